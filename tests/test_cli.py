"""The command, as it is typed."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from datasets import load_dataset
from PIL import Image

import revoskit
from revoskit import atomic, workers
from revoskit.cli import COMMANDS, main, parser
from revoskit.dataset.annotations import open_annotations
from revoskit.dataset.layout import Layout
from revoskit.errors import UsageError
from revoskit.looking import gallery
from revoskit.publishing import publish


def test_demo_loads_its_own_miniature_and_draws_it(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for _ in range(2):  # the second time it finds what the first one made
        assert main(["demo"]) == 0
        printed = capsys.readouterr().out
        assert "load_dataset(" in printed
        assert "validation" in printed
        assert "one of referring, reasoning, nonexistent" in printed
        assert "Its masks on its frames: " in printed
    width, height = Image.open(tmp_path / "revos-demo" / "overlay.png").size
    assert width > 3 * 320  # three frames beside each other, under what they show
    assert height > 180


def test_stats_prints_a_table_or_json(miniature, capsys):
    assert main(["stats", "--data-dir", str(miniature.root)]) == 0
    assert "OVIS" in capsys.readouterr().out
    assert main(["stats", "--data-dir", str(miniature.root), "--split", "train", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["split"] for row in rows} == {"train"}
    assert rows[0]["videos"] == 3


def test_info_prints_and_writes_what_the_dataset_declares(tmp_path, capsys):
    assert main(["info"]) == 0
    assert list(json.loads(capsys.readouterr().out)) == ["expressions", "videos"]
    assert main(["info", "--write", str(tmp_path)]) == 0
    assert len(list(tmp_path.glob("*/dataset_info.json"))) == 2


@pytest.mark.parametrize("arguments", [["stats"], ["stats", "--data-dir", "nowhere"]])
def test_an_error_is_one_message_and_exit_status_2(arguments, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("revoskit stats: ")
    assert "Traceback" not in printed.err


def test_a_reader_that_stops_early_is_no_error(miniature):
    command = f"{sys.executable} -m revoskit.cli info | head -n 1"
    run = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert run.stdout == "{\n"
    assert run.stderr == ""


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    printed = capsys.readouterr().out
    names = "demo download verify unpack check stats info show gallery review predict convert lmms-eval evaluate"
    assert re.findall(r"^    ([\w-]+)(?: |$)", printed, re.MULTILINE) == [
        *names.split(),
        "compare",
        "publish",
        "export",
    ]


def test_a_closed_output_is_no_error(own_miniature):
    code = "import sys; from revoskit.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "stats", "--data-dir", str(own_miniature.root), "--json"]
    done = subprocess.run(["sh", "-c", '"$@" >&-', "sh", *command], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_version_is_that_of_the_package(capsys):
    with pytest.raises(SystemExit) as left:
        main(["--version"])
    assert left.value.code == 0
    assert capsys.readouterr().out == f"revoskit {revoskit.__version__}\n"


# --- where the dataset is ---------------------------------------------------------------------------------------------

OF_THE_DATASET = {
    "stats": [],
    "verify": [],
    "download": [],
    "unpack": [],
    "check": [],
    "predict": ["model.py:predict", "-o", "predictions"],
    "convert": ["predictions", "--to", "png", "-o", "tree"],
    "evaluate": ["predictions"],
    "show": ["OVIS/train/0", "0"],
    "gallery": ["-o", "page"],
    "review": ["--alignment", "report.json", "-o", "page"],
    "publish": ["-o", "published"],
    "export": ["--to", "mevis", "-o", "exported"],
}


def test_the_command_alone_says_what_it_can_do_in_the_order_of_work_and_what_to_try_first(capsys):
    assert main([]) == 2
    said = capsys.readouterr().out
    lines = [line.split()[0] for line in said.splitlines() if line.startswith("  ")]
    assert lines == [command.name for command in COMMANDS]
    assert all(f"{command.name} " in said and command.summary in said for command in COMMANDS)
    work = ["demo", "download", "check", "show", "predict", "evaluate", "compare", "publish"]
    assert [name for name in lines if name in work] == work
    assert "revoskit demo -o ReVOS" in said
    assert max(map(len, said.splitlines())) <= 120


def test_every_other_command_is_about_a_dataset():
    assert {command.name for command in COMMANDS} - {"demo", "info", "compare", "lmms-eval"} == set(OF_THE_DATASET)


@pytest.mark.parametrize("name", OF_THE_DATASET)
def test_the_dataset_is_named_behind_the_arguments_or_by_an_option(name):
    from revoskit.cli.options import layout_of

    typed = [name, *OF_THE_DATASET[name]]
    for ways in (["ReVOS"], ["--data-dir", "ReVOS"], ["ReVOS", "--data-dir", "./ReVOS"]):
        assert layout_of(parser().parse_args([*typed, *ways])).root.name == "ReVOS", ways


@pytest.mark.parametrize("name", OF_THE_DATASET)
def test_two_datasets_are_refused(name, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main([name, *OF_THE_DATASET[name], "one", "--data-dir", "other"]) == 2
    assert "two datasets are named, one and --data-dir other" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_arguments_may_stand_in_any_order():
    typed = parser().parse_args(["evaluate", "P", "--protocol", "both", "ReVOS", "--json"])
    assert (typed.predictions, typed.root, typed.protocol, typed.json) == ("P", "ReVOS", "both", True)
    typed = parser().parse_args(["show", "--frames", "2", "a/b", "-o", "x.png", "0"])
    assert (typed.video, typed.expression, typed.root) == ("a/b", "0", None)
    typed = parser().parse_args(["show", "--", "-a/b"])
    assert typed.video == "-a/b"


def test_a_folder_in_place_of_an_expression_is_the_dataset(miniature, tmp_path):
    video = next(iter(open_annotations(Layout.at(miniature.root), "train").videos))
    for number, typed in enumerate(([video, str(miniature.root)], [video, "0", str(miniature.root)])):
        picture = tmp_path / f"{number}.png"
        assert main(["show", *typed, "-o", str(picture)]) == 0
        assert picture.exists()


# --- the same everywhere ----------------------------------------------------------------------------------------------


def test_the_number_of_processes_has_one_default(monkeypatch):
    monkeypatch.setattr(workers, "cores", lambda: 7)
    numbers = {
        name: typed.num_proc
        for name, words in OF_THE_DATASET.items()
        if hasattr(typed := parser().parse_args([name, *words]), "num_proc")
    }
    assert numbers.pop("predict") == 1  # each of its processes loads a model
    assert numbers == dict.fromkeys(["unpack", "check", "convert", "evaluate", "gallery", "publish", "export"], 7)


@pytest.mark.parametrize(
    ("typed", "usage", "answer"),
    [
        ("evalute P", "revoskit [-h]", "did you mean evaluate?"),
        ("evaluate P --protocl both", "revoskit evaluate", "did you mean --protocol?"),
        ("stats --splt=train", "revoskit stats", "did you mean --split?"),
        ("stats --family mevs", "revoskit stats", "there is no 'mevs'; did you mean mevis?"),
        ("export --to webdatset -o x", "revoskit export", "did you mean webdataset?"),
        ("stats one two", "revoskit stats", "unrecognized arguments: two"),
        ("publish ReVOS", "revoskit publish", "required: -o/--output"),
        ("gallery -o x --num-proc many", "revoskit gallery", "--num-proc: invalid int value: 'many'"),
    ],
)
def test_what_is_mistyped_is_answered_with_the_usage_of_that_command(typed, usage, answer, capsys):
    with pytest.raises(SystemExit) as left:
        main(typed.split())
    assert left.value.code == 2
    printed = capsys.readouterr().err
    assert printed.startswith(f"usage: {usage}")
    assert answer in printed


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_command_explains_itself(command, capsys):
    with pytest.raises(SystemExit) as left:
        main([command.name, "--help"])
    assert left.value.code == 0
    assert command.summary.split()[0] in capsys.readouterr().out


BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
SCRIPTS = [*sorted(BENCHMARKS.glob("bench_*.py")), BENCHMARKS / "stress.py"]


ASK_ALL = """
import contextlib, io, json, runpy, sys
from pathlib import Path
answers = {}
for script in map(Path, sys.argv[1:]):
    sys.argv, sys.path[0] = [str(script), "--help"], str(script.parent)
    with contextlib.redirect_stdout(io.StringIO()) as said:
        try:
            status = runpy.run_path(str(script), run_name="__main__") and "went on"
        except SystemExit as left:
            status = left.code
        except BaseException as error:
            status = repr(error)
    answers[script.name] = [status, said.getvalue()]
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def answers() -> dict[str, list]:
    """How each benchmark ends that is asked for help, and what it says: of one process, which imports all once."""
    done = subprocess.run([sys.executable, "-c", ASK_ALL, *map(str, SCRIPTS)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_every_benchmark_explains_itself(script, answers):
    status, said = answers[script.name]
    assert status == 0
    assert said.startswith(f"usage: {script.name} ")


# --- masks on the frames that somebody accepted -----------------------------------------------------------------------

MAPPED = "OVIS/train/00e92ab4"


@pytest.fixture
def aligned(miniature, tmp_path, monkeypatch) -> list[str]:
    """The dataset and the option, as typed: of one video of `validation`, only the masks 0 and 1 have a frame then."""
    monkeypatch.chdir(tmp_path)
    Path("accepted.json").write_text(json.dumps({MAPPED: {"stride": 3}}))
    return [str(miniature.root), "--alignment", "accepted.json"]


def test_stats_counts_with_an_alignment(aligned, capsys):
    frames = []
    for typed in (aligned, aligned[:1]):
        assert main(["stats", *typed, "--split", "validation", "--json"]) == 0
        frames.append(json.loads(capsys.readouterr().out)[0]["frames"])
    assert frames[1] - frames[0] == 6 - 2


def test_evaluate_expects_the_frames_of_an_alignment(aligned, capsys):
    annotations = open_annotations(Layout.at(aligned[0], alignment="accepted.json"), "validation")
    for video in annotations.videos.values():
        masks = annotations.masks(video)
        for expression in video.expressions:
            folder = Path("P", video.video_id, expression.expression_id)
            folder.mkdir(parents=True)
            for name, mask in zip(video.frame_names, masks.of(expression).decode(), strict=True):
                Image.fromarray(mask * 255).save(folder / f"{name}.png")
    assert main(["evaluate", "P", *aligned, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["binary"]["overall"]["J"] == 100
    assert main(["evaluate", "P", aligned[0]]) == 1  # four frames of each expression are missing as filed


def test_show_draws_the_frames_of_an_alignment(aligned):
    assert main(["show", MAPPED, "0", *aligned, "-o", "x.gif"]) == 0
    assert Image.open("x.gif").n_frames == 2


def test_gallery_shows_the_frames_of_an_alignment(aligned):
    assert main(["gallery", *aligned, "--num-proc", "1", "-o", "page"]) == 0
    index = json.loads(
        Path("page/data/index.js").read_text().removeprefix("revosIndex(").rstrip().rstrip(";").rstrip(")")
    )
    assert {video["id"]: video["frames"] for video in index["videos"]}[MAPPED] == 2


def test_publish_writes_the_frames_of_an_alignment(aligned):
    from pyarrow import parquet

    assert main(["publish", *aligned, "--frames", "none", "--configs", "videos", "--num-proc", "1", "-o", "p"]) == 0
    rows = parquet.read_table(
        next(Path("p/videos").glob("validation*")), columns=["video_id", "frame_names"]
    ).to_pylist()
    assert {row["video_id"]: row["frame_names"] for row in rows}[MAPPED] == ["00000", "00003"]


def test_export_writes_the_frames_of_an_alignment(aligned):
    assert main(["export", "--to", "mevis", *aligned, "--split", "validation", "--num-proc", "1", "-o", "m"]) == 0
    written = next(path for path in Path("m").rglob("meta_expressions.json"))
    videos = json.loads(written.read_text())["videos"]
    assert videos[MAPPED]["frames"] == ["00000", "00003"]


@pytest.mark.parametrize("name", ["stats", "evaluate", "show", "gallery", "publish", "export"])
def test_an_alignment_that_is_not_there_is_refused_before_anything_is_written(
    name, miniature, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    Path("predictions").mkdir()
    assert main([name, *OF_THE_DATASET[name], str(miniature.root), "--alignment", "lost.json"]) == 2
    assert "there is no mapping file" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["predictions"]


# --- one writer at a time ---------------------------------------------------------------------------------------------

WRITERS = {
    "gallery": ["-o", "out"],
    "publish": ["--frames", "none", "-o", "out"],
    "export": ["--to", "webdataset", "-o", "out"],
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_folder_that_another_process_writes_to_is_refused_and_then_taken(
    name, miniature, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(atomic, "PATIENCE", 0.05)
    typed = [name, str(miniature.root), *WRITERS[name], "--num-proc", "1"]
    with atomic.sole_writer(Path("out")):
        Path("out/left.png.0123abcd.part").touch()
        assert main(typed) == 2
        assert f"in use: process {os.getpid()} of host" in capsys.readouterr().err
    assert main(typed) == 0
    assert {path.name for path in Path("out").iterdir() if atomic.is_of_lock(path.name)} <= {
        atomic.LOCK,
        "left.png.0123abcd.part",  # of a publication's folder only what it writes is removed
    }
    assert name == "publish" or not list(Path("out").rglob("*.part"))


@pytest.mark.parametrize("name", WRITERS)
def test_a_folder_of_something_else_is_left_without_a_trace(name, miniature, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for file in ("out/index.html", "out/README.md"):
        Path(file).parent.mkdir(exist_ok=True)
        Path(file).write_text("mine")
    assert main([name, str(miniature.root), *WRITERS[name], "--num-proc", "1"]) == 2
    assert sorted(path.name for path in Path("out").iterdir()) == ["README.md", "index.html"]


TERMINATED = {
    "check": "check {root}",
    "alignment": "check {root} --alignment -o {out}/report.json",
    "convert": "convert {predictions} {root} --to png -o {out}/png",
    "evaluate": "evaluate {predictions} {root} -o {out}/scores",
    "compare": "compare {predictions} {predictions} --names a b --data-dir {root} -o {out}/compared",
    "ytvos": "export {root} --to ytvos -o {out}/ytvos",
    "webdataset": "export {root} --to webdataset -o {out}/webdataset",
    "publish": "publish {root} -o {out}/published",
    "gallery": "gallery {root} -o {out}/gallery",
}


@pytest.mark.skipif(os.name == "nt", reason="there is no such signal")
@pytest.mark.parametrize("command", TERMINATED.values(), ids=list(TERMINATED))
def test_a_command_that_is_terminated_says_so_and_leaves_no_part(command, miniature, tmp_path, monkeypatch, capsys):
    """As its work begins: what becomes of its workers is tried with the pool."""
    predictions = tmp_path / "predictions.json"
    predictions.write_text('{"OVIS/train/00e92ab4": {}}')
    (tmp_path / "out").mkdir()

    def run(function, items, **how):
        signal.raise_signal(signal.SIGTERM)
        yield from ()

    for module in (workers, gallery, publish):
        monkeypatch.setattr(module, "run", run)
    typed = command.format(root=miniature.root, predictions=predictions, out=tmp_path / "out").split()
    assert main(typed) == 143
    assert capsys.readouterr().err.endswith(f"\nrevoskit {typed[0]}: terminated\n")
    assert not list(tmp_path.rglob("*.part"))
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


# --- names from elsewhere ---------------------------------------------------------------------------------------------


def test_no_name_moves_the_cursor_of_a_terminal(capsys):
    assert main(["stats", "no\x1b[2Jwhere\x07"]) == 2
    printed = capsys.readouterr().err
    assert "\x1b" not in printed
    assert r"no\x1b[2Jwhere\x07" in printed


@pytest.fixture
def nameless(own_miniature, tmp_path) -> Path:
    """A copy of the dataset in a folder whose name is not UTF-8, which also holds predictions with such names."""
    root = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    os.rename(own_miniature.root, root)
    video = next(iter(open_annotations(Layout.at(root), "validation"))).video_id
    for name in (f"{video}/0/\udcfd.png", f"{video}/\udcfc/00000.png", "\udcfe/0/00000.png"):
        (root / "P" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "P" / name).touch()
    return root


@pytest.mark.skipif(sys.platform != "linux", reason="its names are text")
@pytest.mark.parametrize(
    ("command", "status"),
    [
        ("verify {root} --json", 1),
        ("stats {root}", 0),
        ("evaluate {root}/P {root} --num-proc 1 -o {root}/scores --json", 1),
        ("convert {root}/P {root} --num-proc 1 --to json -o {root}/P.json", 1),
        ("convert {root}/P {root} --num-proc 1 --to png -o {root}/P2", 1),
        ("gallery {root} --split validation --predictions {root}/P --num-proc 1 -o {root}/page", 0),
        ("publish {root} --num-proc 1 -o {root}/published", 0),
        ("export {root} --to coco -o {root}/coco", 0),
    ],
)
def test_names_that_are_no_text_stop_no_command(command, status, nameless, capsys):
    arguments = [word.format(root=nameless) for word in command.split()]
    for _ in range(2):  # the second time finds what the first has left
        assert main(arguments) == status, capsys.readouterr().err
        printed = capsys.readouterr().out
        assert "--json" not in arguments or json.loads(printed.encode())


@pytest.mark.skipif(sys.platform != "linux", reason="its names are text")
def test_rows_that_could_not_name_their_frames_are_refused(nameless, miniature, tmp_path):
    with pytest.raises(UsageError, match=r"data_dir is .*\\udcff, a name that is not UTF-8"):
        load_dataset("revos", data_dir=str(nameless), cache_dir=str(tmp_path / "cache"))
    with pytest.raises(UsageError, match=r"cache .*\\udcff.* a name that is not UTF-8"):
        load_dataset("revos", data_dir=str(miniature.root), cache_dir=str(nameless / "cache"))


@pytest.mark.skipif(os.name == "nt", reason="its names are text")
def test_a_folder_whose_name_is_no_text_is_reported_like_any_other(own_miniature, tmp_path, capsys):
    os.mkdir(os.fsencode(own_miniature.root / "JPEGImages") + b"/\xff\xfe")
    os.makedirs(os.fsencode(tmp_path / "P") + b"/\xff\xfe/0")
    root = str(own_miniature.root)
    (tmp_path / "P" / next(iter(open_annotations(Layout.at(root), "validation"))).video_id).mkdir(parents=True)
    assert main(["check", root, "--num-proc", "1"]) in (0, 1, 3)
    assert main(["check", root, "--num-proc", "1", "--json"]) in (0, 1, 3)
    assert main(["verify", root]) in (0, 1)
    assert main(["evaluate", str(tmp_path / "P"), root, "--num-proc", "1", "-o", str(tmp_path / "scores")]) == 1
    assert main(["evaluate", str(tmp_path / "P"), root, "--num-proc", "1", "--json"]) == 1
    assert main(["stats", os.fsdecode(os.fsencode(root) + b"\xff")]) == 2
    assert r"\udcff" in capsys.readouterr().err
