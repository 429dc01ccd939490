"""revoskit.inference: a model over a split, killed, continued, divided, and whatever it may answer."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from official_files import zip_frames
from PIL import Image

from revoskit import cli
from revoskit.dataset.annotations import forget_annotations, open_annotations
from revoskit.dataset.layout import FRAMES_ARCHIVE, Layout
from revoskit.dataset.records import Video
from revoskit.errors import AdapterError, AnnotationError, AnswerError, FrameError, StorageError, UsageError
from revoskit.frames import FrameFile
from revoskit.inference import division
from revoskit.inference.adapter import find, make, masks_and_extra, parse_argument
from revoskit.inference.answers import as_rles
from revoskit.inference.division import Shard, from_environment, parse_shard
from revoskit.inference.lines import Data, Lines, Run
from revoskit.inference.predict import predict
from revoskit.inference.video_frames import VideoFrames
from revoskit.inference.writer import PredictionWriter
from revoskit.masks.rle import MaskSequence
from revoskit.miniature import write_miniature

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a forked process")


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Six videos of four frames; validation has three of them."""
    return write_miniature(tmp_path_factory.mktemp("data") / "ReVOS", videos=6, frames=4, height=24, width=40).root


@pytest.fixture(scope="module")
def annotations(data):
    return open_annotations(Layout.at(data), "validation")


@pytest.fixture(scope="module")
def keys(annotations) -> list[tuple[str, str]]:
    return [(video.video_id, e.expression_id) for video in annotations for e in video.expressions]


@pytest.fixture
def video(annotations) -> Video:
    return next(iter(annotations))


def bright(frames, text, row):
    """The adapter of most tests."""
    return frames.array()[..., 0] > 100


def slow(frames, text, row):
    time.sleep(0.03)
    return bright(frames, text, row)


def lines_of(folder: Path) -> list[dict]:
    return [json.loads(line) for path in sorted(folder.glob("*.jsonl")) for line in path.read_bytes().splitlines()]


def whole_lines_of(folder: Path) -> list[dict]:
    """What a reader who knows nothing of this code takes from it: lines that end and are JSON."""
    found = []
    for path in sorted(folder.glob("*.jsonl")):
        for line in path.read_bytes().split(b"\n")[:-1]:
            try:
                found.append(json.loads(line))
            except ValueError:  # noqa: PERF203
                continue
    return found


# --- what is written --------------------------------------------------------------------------------------------------


def test_every_expression_gets_a_line_with_the_masks_of_its_frames(data, annotations, keys, tmp_path):
    report = predict(bright, data, output=tmp_path / "out")
    assert (report.mine.predicted, report.mine.failed, report.mine.left) == (len(keys), 0, 0)
    lines = lines_of(tmp_path / "out")
    assert [(line["video_id"], line["expression_id"]) for line in lines] == keys
    for line in lines:
        video = annotations.video(line["video_id"])
        folder = data / "JPEGImages" / video.video_id
        pixels = np.stack([np.asarray(Image.open(folder / f"{name}.jpg")) for name in video.frame_names])
        masks = MaskSequence.parse(line["masks"], video.height, video.width).decode()
        near = abs(pixels[..., 0].astype(int) - 100) <= 4  # another decoder may round otherwise
        np.testing.assert_array_equal(masks[~near], (pixels[..., 0] > 100)[~near])
        assert line["seconds"] >= 0
    run = json.loads((tmp_path / "out" / "run.json").read_text())
    assert run["data"]["split"] == "validation"
    assert run["data"]["expressions"] == len(keys)
    assert run["adapter"].endswith("test_predict:bright")
    assert {"revoskit", "python", "numpy"} <= set(run["versions"])


def test_a_folder_that_may_not_be_written_to_is_named(data, tmp_path, monkeypatch):
    def lock(path):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr("revoskit.inference.writer.FileLock", lock)
    for write in (lambda: predict(bright, data, output=tmp_path), lambda: PredictionWriter(tmp_path, data_dir=data)):
        with pytest.raises(StorageError, match=rf"{re.escape(str(tmp_path))} may not be written to \(Read-only"):
            write()


def test_a_disk_that_is_full_is_said_when_a_line_is_written(data, keys, tmp_path, monkeypatch):
    with PredictionWriter(tmp_path, data_dir=data) as writer:

        def write(file, line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with monkeypatch.context() as patch:
            patch.setattr("revoskit.inference.writer.os.write", write)
            with pytest.raises(StorageError, match=rf"the disk of {re.escape(str(tmp_path))} is full"):
                writer.write(*keys[0], None)
        writer.write(*keys[0], None)
    assert [(line["video_id"], line["expression_id"]) for line in whole_lines_of(tmp_path)] == [tuple(keys[0])]


def test_a_failure_is_a_line_with_its_traceback_and_no_mask(data, keys, tmp_path):
    def adapter(frames, text, row):
        if row["expression_id"] == "1":
            raise RuntimeError("no luck with " + text)
        return None, {"text": "nothing there", "tokens": [1, 2]}

    report = predict(adapter, data, output=tmp_path)
    failures = [line for line in lines_of(tmp_path) if "error" in line]
    assert len(failures) == report.mine.failed == len(report.failures) == 3
    assert failures[0]["error"].startswith("RuntimeError: no luck with the ")
    assert 'raise RuntimeError("no luck' in failures[0]["traceback"]
    assert not any("masks" in line for line in failures)
    others = [line for line in lines_of(tmp_path) if "error" not in line]
    assert {json.dumps(line["extra"]) for line in others} == {'{"text": "nothing there", "tokens": [1, 2]}'}
    assert all(line["masks"] is None for line in others)
    assert "3 failed" in report.describe()
    assert "--retry-errors" in report.describe()


def test_failures_are_tried_again_only_when_asked(data, keys, tmp_path):
    calls = []

    def adapter(frames, text, row):
        calls.append(row["expression_id"])
        if len(calls) <= 2:
            raise ValueError
        return bright(frames, text, row)

    assert predict(adapter, data, output=tmp_path).mine.failed == 2
    calls.clear()
    assert predict(adapter, data, output=tmp_path).mine.failed == 2
    assert calls == []
    calls += ["", ""]
    seen = []
    report = predict(adapter, data, output=tmp_path, retry_errors=True, progress=seen.append)
    assert report.mine.predicted == len(keys)
    assert len(calls) == 4
    assert [progress.left for progress in seen] == [2, 1, 0]


@pytest.fixture(scope="module")
def longer(tmp_path_factory) -> Path:
    """Twenty-four videos; more than twenty expressions are in validation."""
    return write_miniature(tmp_path_factory.mktemp("data") / "ReVOS", videos=24, frames=2, height=24, width=40).root


class Failing:
    """An adapter that fails on the calls that it is told to, and tells how many there were."""

    def __init__(self, fails) -> None:
        self.calls, self.videos, self.fails = 0, set(), fails

    def __call__(self, frames, text, row):
        self.calls += 1
        self.videos.add(row["video_id"])
        if error := self.fails(self.calls):
            raise error(f"no {row['expression_id']}")


def test_a_model_that_never_works_is_not_tried_on_all_of_a_split(longer, tmp_path):
    adapter = Failing(lambda call: KeyError)
    with pytest.raises(AdapterError, match=r"(?s)first 10 expressions.*KeyError: .*--retry-errors.*--keep-going"):
        predict(adapter, longer, output=tmp_path)
    assert adapter.calls == len(lines_of(tmp_path)) == 10
    adapter.fails = lambda call: None
    report = predict(adapter, longer, output=tmp_path, retry_errors=True)
    assert report.mine.predicted == report.mine.expressions > 20


@pytest.mark.parametrize(
    "fails",
    [
        lambda call: None if call == 9 else KeyError,
        lambda call: ValueError if call == 9 else KeyError,
        lambda call: None if call == 1 else KeyError,
    ],
    ids=["one success", "two kinds", "the first one worked"],
)
def test_a_model_that_fails_otherwise_is_tried_on_all(longer, tmp_path, fails):
    report = predict(Failing(fails), longer, output=tmp_path)
    assert report.mine.left == 0
    assert report.mine.failed >= report.mine.expressions - 1 > 20


def test_keep_going_tries_all_whatever_happens(longer, tmp_path):
    report = predict(Failing(lambda call: KeyError), longer, output=tmp_path, keep_going=True)
    assert report.mine.failed == report.mine.expressions > 20


def test_a_single_video_of_failures_is_no_reason_to_stop(longer, tmp_path, edit_json):
    def many(content):
        first = next(iter(content["videos"].values()))["expressions"]
        first.update({f"more{number}": dict(first["0"]) for number in range(12)})

    root = tmp_path / "ReVOS"
    shutil.copytree(longer, root)
    edit_json(root / "meta_expressions_valid_.json", many)
    adapter = Failing(lambda call: KeyError if len(adapter.videos) == 1 else None)
    report = predict(adapter, root, output=tmp_path / "out")
    assert report.mine.failed > 12
    assert report.mine.predicted > 20


def test_one_process_of_several_says_that_its_model_never_works(longer, tmp_path):
    path = tmp_path / "adapter.py"
    path.write_text("def f(frames, text, row):\n    raise KeyError('never')")
    with pytest.raises(AdapterError, match="KeyError: 'never'"):
        predict(f"{path}:f", longer, output=tmp_path / "out", num_proc=2)


def test_an_answer_that_does_not_fit_is_a_failure_and_not_the_end(data, keys, tmp_path):
    report = predict(lambda frames, text, row: frames.array()[..., 0] / 255, data, output=tmp_path, keep_going=True)
    assert report.mine.failed == len(keys)
    assert "threshold the scores first" in report.failures[0].error


def test_what_cannot_be_written_as_json_is_a_failure(data, keys, tmp_path):
    report = predict(lambda frames, text, row: (None, {"logits": object()}), data, output=tmp_path, keep_going=True)
    assert report.mine.failed == len(keys)
    assert "extra" in report.failures[0].error


def test_a_frame_that_is_not_there_fails_its_expressions_only(own_miniature, tmp_path):
    video = next(iter(open_annotations(Layout.at(own_miniature.root), "validation")))
    (own_miniature.root / "JPEGImages" / video.video_id / f"{video.frame_names[2]}.jpg").unlink()
    report = predict(bright, own_miniature.root, output=tmp_path / "out")
    assert {f.video_id for f in report.failures} == {video.video_id}
    assert f"has no frame '{video.frame_names[2]}'" in report.failures[0].error


# --- killed and continued ---------------------------------------------------------------------------------------------


def forked(function, *arguments) -> multiprocessing.Process:
    process = multiprocessing.get_context("fork").Process(target=function, args=arguments)
    process.start()
    return process


def run_quietly(data, output, shard):
    predict(slow, data, output=output, shard=shard)


@needs_fork
def test_killed_at_any_time_a_run_goes_on_and_nothing_is_lost_or_done_twice(data, keys, tmp_path):
    rng = random.Random(5)
    kills, seen = 0, set()
    for turn in range(60):
        count = 1 + turn % 3  # another division each time
        processes = [forked(run_quietly, data, tmp_path, (i, count)) for i in range(count)]
        time.sleep(rng.uniform(0.0, 0.15))
        for process in processes:
            process.kill()
            process.join()
            kills += process.exitcode == -signal.SIGKILL
        found = [(line["video_id"], line["expression_id"]) for line in whole_lines_of(tmp_path)]
        assert seen <= set(found)
        seen = set(found)
        if len(seen) == len(keys):
            break
    report = predict(slow, data, output=tmp_path)
    assert report.mine.predicted == len(keys)
    found = [(line["video_id"], line["expression_id"]) for line in whole_lines_of(tmp_path)]
    assert sorted(found) == sorted(keys)
    assert kills > 2


@pytest.fixture(scope="module")
def written(data, tmp_path_factory) -> bytes:
    """The lines of a whole run."""
    folder = tmp_path_factory.mktemp("written")
    predict(bright, data, output=folder)
    return next(folder.glob("*.jsonl")).read_bytes()


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(line=st.integers(0, 20), back=st.one_of(st.integers(0, 3), st.integers(0, 400)))
def test_a_file_cut_off_at_any_byte_is_continued(data, keys, written, tmp_path_factory, line, back):
    ends = [i + 1 for i, byte in enumerate(written) if byte == 10]
    cut = max(0, ends[line] - back)
    complete = sum(end <= cut for end in ends)
    folder = tmp_path_factory.mktemp("cut")
    predict(bright, data, output=folder, shard=(8, 9))  # for which nothing is left: so `run.json` is there
    path = folder / "shard-00000-of-00001.jsonl"
    path.write_bytes(written[:cut])
    lines = Lines([folder])
    lines.refresh()
    assert len(lines.places) == complete
    assert predict(bright, data, output=folder).mine.predicted == len(keys)
    assert path.read_bytes().startswith(written[:cut])  # what was there stays as it was
    assert [without_time(line) for line in whole_lines_of(folder)] == [
        without_time(json.loads(line)) for line in written.splitlines()
    ]


def without_time(line: dict) -> dict:
    return {name: value for name, value in line.items() if name != "seconds"}


@needs_fork
def test_a_shard_that_is_being_written_is_refused(data, tmp_path, monkeypatch):
    monkeypatch.setattr("revoskit.inference.writer._PATIENCE", 0.05)
    with (
        PredictionWriter(tmp_path, data_dir=data, shard=(1, 2)),
        pytest.raises(UsageError, match="another process is writing shard 1/2"),
    ):
        PredictionWriter(tmp_path, data_dir=data, shard=(1, 2), resize=True)
    assert json.loads((tmp_path / "run.json").read_text())["resize"] is False, "what is refused leaves no trace"
    with (
        PredictionWriter(tmp_path, data_dir=data, shard=(1, 2)),
        PredictionWriter(tmp_path, data_dir=data, shard=(0, 2)),
    ):
        pass


@needs_fork
def test_sigterm_lets_the_expression_be_finished(data, keys, tmp_path):
    ready, go = multiprocessing.Pipe()

    def adapter(frames, text, row):
        ready.send("under way")
        time.sleep(0.2)
        return bright(frames, text, row)

    def run():
        report = predict(adapter, data, output=tmp_path)
        os._exit(7 if report.stopped and report.mine.predicted == 1 and "goes on" in report.describe() else 1)

    process = forked(run)
    assert go.poll(30)
    process.terminate()
    process.join()
    assert process.exitcode == 7
    assert len(lines_of(tmp_path)) == 1
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_another_run_in_the_same_folder_is_refused(data, tmp_path):
    predict(bright, data, output=tmp_path)
    for change in ({"split": "train"}, {"resize": True}):
        with pytest.raises(UsageError, match=next(iter(change)) if "resize" in change else "revos train"):
            predict(bright, data, output=tmp_path, **change)
    with pytest.raises(UsageError, match=r"adapter .*bright.* there, .*slow.* now"):
        predict(slow, data, output=tmp_path)
    predict(bright, data, output=tmp_path / "mistyped", shard=(8, 9), arguments={"checkpint": 1})
    predict(bright, data, output=tmp_path / "mistyped")
    with pytest.raises(UsageError, match="the dataset's own folder"):
        predict(bright, data, output=data)
    (tmp_path / "run.json").unlink()
    with pytest.raises(UsageError, match=r"no run\.json"):
        predict(bright, data, output=tmp_path)
    (tmp_path / "run.json").write_text('{"epochs": 3}')
    with pytest.raises(UsageError, match="not that of predictions"):
        predict(bright, data, output=tmp_path)


# --- several processes ------------------------------------------------------------------------------------------------

ADAPTER = """
import os, sys

class Model:
    def __init__(self, level=100, fail=None, die=None):
        self.level, self.fail, self.die = level, fail, die

    def __call__(self, frames, text, row):
        if row["expression_id"] == self.fail:
            raise RuntimeError("as asked")
        if [row["video_id"], row["expression_id"]] == self.die:
            os._exit(9)
        return frames.array()[..., 0] > self.level, {"process": os.getpid()}

def broken(frames, text, row):
    return frames.array()[..., 0] > 100

NUMBER = 3
"""


@pytest.fixture
def adapter_file(tmp_path) -> Path:
    path = tmp_path / "adapter.py"
    path.write_text(ADAPTER)
    return path


def test_several_processes_share_a_split(data, keys, adapter_file, tmp_path):
    out = tmp_path / "out"
    seen = []
    options = {"fail": "0", "die": list(keys[-1])}
    report = predict(f"{adapter_file}:Model", data, output=out, arguments=options, num_proc=2, progress=seen.append)
    assert (report.mine.predicted, report.mine.failed) == (len(keys) - 4, 4)
    errors = {f.error for f in report.failures}
    assert errors == {"RuntimeError: as asked", "the process died 3 times on this expression (it exited with status 9)"}
    assert len(list(out.glob("shard-*-of-00002.jsonl"))) == 2
    assert (seen[0].frames_done, seen[-1].left) == (0, 0)
    lines = [line for line in lines_of(out) if "error" not in line]
    assert len({line["extra"]["process"] for line in lines}) >= 2
    with pytest.raises(UsageError, match="of another run"):
        predict(f"{adapter_file}:Model", data, output=out, num_proc=2)


def test_what_fails_again_is_not_tried_for_ever(data, keys, adapter_file, tmp_path):
    out = tmp_path / "out"
    options = {"fail": "0", "die": list(keys[-1])}
    shards = {"num_proc": 2, "arguments": options, "output": out}
    with PredictionWriter.for_run(out, *described(data, adapter_file, options)) as writer:
        for video_id, expression_id in keys:
            if expression_id == "0" or [video_id, expression_id] == options["die"]:
                writer.error(video_id, expression_id, "before")
            else:
                writer.write(video_id, expression_id, None)
    report = predict(f"{adapter_file}:Model", data, retry_errors=True, **shards)
    assert report.mine.failed == 4
    assert {f.error for f in report.failures} == {
        "RuntimeError: as asked",
        "the process died 3 times on this expression (it exited with status 9)",
    }
    errors = [line for line in whole_lines_of(out) if "error" in line]
    assert len(errors) == 8  # each once before and once again


def described(data, adapter_file, options) -> tuple:
    annotations = open_annotations(Layout.at(data), "validation")
    return annotations, Shard(0, 1), Run(Data.of(annotations), "adapter.py:Model", options, False)


def test_on_ray_each_shard_is_a_task(data, keys, adapter_file, tmp_path, monkeypatch):
    pytest.importorskip("ray")
    monkeypatch.chdir(tmp_path)
    report = predict("adapter.py:Model", data, output="out", num_proc=2, engine="ray")
    assert report.mine.predicted == len(keys)
    assert len({line["extra"]["process"] for line in lines_of(tmp_path / "out")}) == 2
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL  # Ray took it: what is forked later would inherit that


def test_an_adapter_that_was_changed_is_told_of_and_goes_on(data, adapter_file, tmp_path, monkeypatch):
    predict(f"{adapter_file}:broken", data, output=tmp_path / "out", shard=(0, 2))
    adapter_file.write_text(ADAPTER + "# changed")
    monkeypatch.chdir(tmp_path)
    with pytest.warns(UserWarning, match="adapter.py:broken is not the file that it was"):
        report = predict("adapter.py:broken", data, output="out", shard=(1, 2))
    assert report.split.left == 0


def test_an_adapter_that_cannot_be_made_ends_the_run_at_once(data, adapter_file, tmp_path):
    for num_proc in (1, 2):
        with pytest.raises(AdapterError, match="no argument 'lewel'; it has level, fail"):
            predict(f"{adapter_file}:Model", data, output=tmp_path / "o", arguments={"lewel": 3}, num_proc=num_proc)


def test_a_worker_is_told_its_part_by_its_environment_or_its_caller():
    assert from_environment({}) == Shard(0, 1)
    assert from_environment({"RANK": "3", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}) == Shard(3, 8, 1)
    assert from_environment({"SLURM_PROCID": "5", "SLURM_NTASKS": "6", "SLURM_LOCALID": "1"}) == Shard(5, 6, 1)
    slurm = {"SLURM_PROCID": "1", "SLURM_NTASKS": "6"}
    assert from_environment({"RANK": "0", "WORLD_SIZE": "2", **slurm}) == Shard(0, 2)
    assert from_environment({"RANK": "0"}) == Shard(0, 1)
    assert parse_shard("2/5") == Shard(2, 5)
    for wrong in ("5/5", "1", "a/b", "-1/3", "1/0"):
        with pytest.raises(UsageError, match="shard"):
            parse_shard(wrong)
    with pytest.raises(UsageError, match="RANK=one"):
        from_environment({"RANK": "one", "WORLD_SIZE": "2"})


def test_processes_that_are_many_already_are_not_multiplied(data, tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(UsageError, match="process 1 of 4 already"):
        predict(bright, data, output=tmp_path / "a", num_proc=2)
    report = predict(bright, data, output=tmp_path / "b")
    assert report.shard == Shard(1, 4)
    assert [path.name for path in (tmp_path / "b").glob("*.jsonl")] == ["shard-00001-of-00004.jsonl"]
    assert report.split.left == report.split.expressions - report.mine.expressions
    assert "Left to the other shards" in report.describe()


videos = st.lists(st.tuples(st.integers(1, 300), st.integers(0, 30)), min_size=1, max_size=40)


@given(videos, st.integers(1, 9))
def test_every_video_belongs_to_one_shard_and_none_has_much_more_than_another(sizes, count):
    split = [
        Video(f"v/{n}", 4, 4, ("0",) * frames, (None,) * expressions) for n, (frames, expressions) in enumerate(sizes)
    ]
    shards = [Shard(i, count).videos(split) for i in range(count)]
    assert sorted(video.video_id for part in shards for video in part) == sorted(video.video_id for video in split)
    for part in shards:
        places = [split.index(video) for video in part]
        assert places == sorted(places)
    loads = [sum(map(division.cost, part)) for part in shards]
    assert max(loads) - min(loads) <= max(map(division.cost, split))


# --- adapters ---------------------------------------------------------------------------------------------------------


def test_adapters_are_found_by_name_and_missed_by_name(adapter_file, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert make(f"{adapter_file}:broken", {}).__name__ == "broken"
    assert make(f"{adapter_file}:Model", {"level": 7}).level == 7
    assert make("test_predict:bright", {}) is not None
    for name, message in (
        ("adapter", "expected file.py:name"),
        (f"{adapter_file}:Modle", "has no function or class 'Modle'; it has Model, broken"),
        (f"{adapter_file}:NUMBER", "has no function or class"),
        (f"{tmp_path}/nowhere.py:f", "there is no file"),
        ("no_such_package.x:f", "there is no module 'no_such_package', neither in"),
    ):
        with pytest.raises(AdapterError, match=message.replace(".", r"\.")):
            make(name, {})
    with pytest.raises(AdapterError, match="is a function"):
        make(bright, {"level": 3})
    (tmp_path / "faulty.py").write_text("import not_there_at_all")
    with pytest.raises(AdapterError, match="not_there_at_all"):
        make(f"{tmp_path / 'faulty.py'}:f", {})


def test_an_adapter_may_be_typed_at_a_prompt(data, keys, tmp_path):
    namespace: dict = {"__name__": "__main__"}
    exec(compile("def typed(frames, text, row):\n    return None", "<stdin>", "exec"), namespace)
    assert predict(namespace["typed"], data, output=tmp_path).mine.predicted == len(keys)


def test_what_other_processes_would_not_find_is_refused_before_anything_is_written(data, tmp_path):
    with pytest.raises(AdapterError, match=r"cannot be sent to other processes .*name it \(file.py:name\)"):
        predict(lambda frames, text, row: None, data, output=tmp_path / "out", num_proc=2)
    assert not (tmp_path / "out").exists()


def test_arguments_are_json_where_they_can_be():
    assert parse_argument("level=0.5") == ("level", 0.5)
    assert parse_argument("checkpoint=a=b.pt") == ("checkpoint", "a=b.pt")
    assert parse_argument("flag=true") == ("flag", True)
    for wrong in ("level", "=3", "a b=3"):
        with pytest.raises(AdapterError, match="key=value"):
            parse_argument(wrong)


def test_a_class_that_asks_for_a_device_gets_the_gpu_of_its_process_or_the_cpu(monkeypatch):
    torch = pytest.importorskip("torch")

    class Model:
        def __init__(self, device, level=3):
            self.device = device

        def __call__(self, frames, text, row):
            return None

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert make(Model, {"level": 4}, local=3).device == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert make(Model, {}, local=1).device == "cuda:1"
    assert make(Model, {}, local=3).device == "cuda:1"
    assert make(Model, {"device": "mps"}).device == "mps"


def test_an_answer_may_come_with_more():
    rle = {"size": [1, 1], "counts": "1"}
    assert masks_and_extra([rle]) == ([rle], None)
    assert masks_and_extra((rle, rle)) == ((rle, rle), None)
    assert masks_and_extra((None, {"text": "no"})) == (None, {"text": "no"})
    with pytest.raises(AnswerError, match="found a dict of prediction_masks"):
        masks_and_extra({"prediction_masks": []})


class StandIn:
    """Gives itself for every name and every call, but what it is told to give."""

    def __init__(self, **answers):
        self.__dict__ |= answers

    def __getattr__(self, name):
        return lambda *args, **kwargs: self


def documented(name: str) -> type:
    """A class of docs/predicting.md."""
    page = (Path(__file__).parent.parent / "docs" / "predicting.md").read_text(encoding="utf-8")
    (block,) = [b for b in re.findall(r"^```python\n(.*?)^```$", page, re.M | re.S) if f"class {name}" in b]
    namespace: dict = {}
    exec(compile(block, "predicting.md", "exec"), namespace)
    return namespace[name]


def test_the_documented_adapter_of_predict_forward_calls_it_as_sa2va_does(data, keys, tmp_path, monkeypatch):
    def predict_forward(*, video, text, tokenizer):
        assert all(image.mode == "RGB" for image in video)
        assert text.startswith("<image>")
        width, height = video[0].size
        masks = np.ones((len(video), height, width), bool)
        return {"prediction": "Sure, [SEG].", "prediction_masks": [masks] if "box" in text else []}

    model = StandIn(predict_forward=predict_forward)
    loads = StandIn(from_pretrained=lambda *args, **kwargs: model)
    model.eval, model.to = lambda: model, lambda device: model
    monkeypatch.setitem(sys.modules, "transformers", StandIn(AutoModel=loads, AutoTokenizer=loads))
    report = predict(documented("PredictForward"), data, output=tmp_path, arguments={"checkpoint": "x"})
    assert report.failures == ()
    lines = lines_of(tmp_path)
    assert {line["extra"]["text"] for line in lines} == {"Sure, [SEG]."}
    assert {line["masks"] is None for line in lines} == {True, False}


def test_the_documented_adapter_of_a_tracker_gives_it_a_folder_of_its_frames_alone(data, keys, tmp_path, monkeypatch):
    torch = pytest.importorskip("torch")
    seen = []

    def init_state(video_path):
        names = sorted(os.listdir(video_path))
        assert names == [f"{number:05d}.jpg" for number in range(4)]
        with Image.open(Path(video_path) / names[0]) as image:
            seen.append(image.size)
        return len(names)

    def propagate_in_video(state):
        for number in range(state):
            yield number, [1], torch.full((1, 1, seen[-1][1], seen[-1][0]), 1.0 if number else -1.0)

    sam = StandIn(init_state=init_state, propagate_in_video=propagate_in_video)
    box = {"xmin": 1, "ymin": 1, "xmax": 9, "ymax": 9}
    find = lambda image, candidate_labels: [{"box": box}] if "box" in candidate_labels[0] else []  # noqa: E731
    monkeypatch.setitem(sys.modules, "transformers", StandIn(pipeline=lambda *args, **kwargs: find))
    build = StandIn(build_sam2_video_predictor=lambda *args, **kwargs: sam)
    monkeypatch.setitem(sys.modules, "sam2", StandIn())
    monkeypatch.setitem(sys.modules, "sam2.build_sam", build)
    options = {"config": "c", "checkpoint": "x", "detector": "d"}
    report = predict(documented("BoxAndTrack"), data, output=tmp_path, arguments=options)
    assert report.failures == ()
    found = [line for line in lines_of(tmp_path) if line["masks"]]
    assert 0 < len(found) < len(keys)
    for line in found:
        height, width = line["masks"][0]["size"]
        areas = MaskSequence.parse(line["masks"], height, width).areas().tolist()
        assert areas == [0, *[height * width] * 3]


# --- frames -----------------------------------------------------------------------------------------------------------


def test_frames_are_images_arrays_and_paths(data, annotations, video):
    frames = VideoFrames(annotations, video)
    pixels = [np.asarray(Image.open(path)) for path in frames.paths()]
    assert len(frames) == len(pixels) == 4
    assert frames[0].mode == "RGB"
    for mine, theirs in zip(frames, pixels, strict=True):
        assert abs(np.asarray(mine).astype(int) - theirs).max() <= 4
    np.testing.assert_array_equal(frames.array(), np.stack([np.asarray(image) for image in frames.images()]))
    np.testing.assert_array_equal(np.asarray(frames[-1]), frames.array()[3])
    assert [np.asarray(f).shape for f in frames[1:3]] == [(24, 40, 3)] * 2
    assert frames.array(size=12).shape == (4, 12, 20, 3)
    assert frames.array(size=(10, 30)).shape == (4, 10, 30, 3)
    with pytest.raises(IndexError):
        frames[4]
    for wrong in (0, (1, 2, 3), "big", (4, -1)):
        with pytest.raises(UsageError, match="size is"):
            frames.array(size=wrong)


def test_frames_are_decoded_once_within_a_bound_of_memory(annotations, video, monkeypatch):
    opened = []
    pixels = FrameFile.pixels
    monkeypatch.setattr(FrameFile, "pixels", lambda frame, *rest: (opened.append(frame.path), pixels(frame, *rest)))
    frames = VideoFrames(annotations, video)
    for _ in range(3):
        frames.images()
        frames.array()
    assert len(opened) == 4
    opened.clear()
    bounded = VideoFrames(annotations, video, memory=2 * 24 * 40 * 3)
    for _ in range(3):
        bounded.array()
    assert len(opened) == 4 + 2 + 2


def test_frames_can_be_changed_without_harm(annotations, video):
    frames = VideoFrames(annotations, video)
    before = frames.array()
    frames[0].paste((0, 0, 0), (0, 0, 40, 24))
    frames.array()[:] = 0
    np.testing.assert_array_equal(frames.array(), before)


def test_a_path_that_is_not_there_says_so(own_miniature):
    found = open_annotations(Layout.at(own_miniature.root), "validation")
    video = next(iter(found))
    (own_miniature.root / "JPEGImages" / video.video_id / f"{video.frame_names[0]}.jpg").unlink()
    with pytest.raises(FrameError, match=f"{video.video_id}.* has no frame '{video.frame_names[0]}'"):
        VideoFrames(found, video).paths()


def test_frames_in_an_archive_are_the_same_and_are_unpacked_where_paths_are_wanted(own_miniature):
    root = own_miniature.root
    layout = Layout.at(root)
    video = next(iter(open_annotations(layout, "validation")))
    unpacked = VideoFrames(open_annotations(layout, "validation"), video)
    content, arrays = [Path(path).read_bytes() for path in unpacked.paths()], unpacked.array()
    zip_frames(root, root / FRAMES_ARCHIVE)
    shutil.rmtree(root / "JPEGImages")
    forget_annotations()
    with VideoFrames(open_annotations(layout, "validation"), video) as frames:
        np.testing.assert_array_equal(frames.array(), arrays)
        paths = [Path(path) for path in frames.paths()]
        assert [path.name for path in paths] == [f"{name}.jpg" for name in video.frame_names]
        assert [path.read_bytes() for path in paths] == content
        assert frames.paths() == list(map(str, paths))
    assert not paths[0].parent.exists()
    assert predict(bright, root, output=root / "predictions").failures == ()


# --- masks ------------------------------------------------------------------------------------------------------------


def truth() -> np.ndarray:
    masks = np.zeros((4, 24, 40), bool)
    masks[1, 3:9, 5:30] = masks[3, 20:, 39:] = True
    return masks


def decoded(rles) -> np.ndarray:
    return MaskSequence.parse(rles, 24, 40).decode().astype(bool)


def uncompressed() -> list:
    runs = MaskSequence.encode(truth()).runs()
    return [{"size": [24, 40], "counts": counts} for counts in runs]


@pytest.mark.parametrize(
    "masks",
    [
        truth(),
        truth().astype(np.int64) * 255,
        list(truth()),
        list(MaskSequence.encode(truth())),
        MaskSequence.encode(truth()),
        [None, *list(MaskSequence.encode(truth()))[1:]],
        [{**m, "counts": m["counts"].encode()} for m in MaskSequence.encode(truth())],
        uncompressed(),
    ],
    ids=["bool", "int64", "list", "rles", "sequence", "null", "bytes", "uncompressed"],
)
def test_masks_of_every_form_are_the_same(video, masks):
    np.testing.assert_array_equal(decoded(as_rles(masks, video)), truth())


def test_sizes_that_are_numbers_of_numpy_can_be_written_as_json(video):
    masks = [{"size": list(np.array(mask["size"])), "counts": mask["counts"]} for mask in MaskSequence.encode(truth())]
    assert json.loads(json.dumps(as_rles(masks, video))) == list(MaskSequence.encode(truth()))


def test_run_lengths_of_six_digits_are_written_without_native_code_which_ends_the_process_over_them():
    """`rleToString` reserves six characters a number, and none for the zero byte behind the last: tried in another."""
    code = """
from revoskit.inference.answers import compressed
runs = [2**24, 2**24 + 1, 2**25 - 1, 0]
found = [compressed({"size": [2**13, 2**13], "counts": runs}, 2**13, 2**13)["counts"] for _ in range(2000)]
assert set(found) == {"PPPP`0QPPP`0ooooo0oooo_O"}
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_tensors_are_masks_too(video):
    torch = pytest.importorskip("torch")
    for kind in (torch.bool, torch.uint8, torch.int64):
        np.testing.assert_array_equal(decoded(as_rles(torch.from_numpy(truth()).to(kind), video)), truth())
    for kind in (torch.float32, torch.bfloat16, torch.float16):
        with pytest.raises(AnswerError, match="threshold"):
            as_rles(torch.from_numpy(truth()).to(kind), video)


def test_masks_that_can_only_be_a_mistake_are_refused(video):
    grey = truth().astype(np.uint8) * 255
    grey[1, 3, 5] = 128
    rle = MaskSequence.encode(truth())[1]
    for masks, message in (
        (truth().astype(np.float32), "float32, not booleans: threshold"),
        (grey, r"more than zero and one other value \(0, 128, 255"),
        (truth().astype(np.int8) * -1, "more than zero"),
        (truth()[:3], "3 masks, expected one for each of the video's 4 frames"),
        (truth()[:, :20], r"the masks are 20x40 \(height x width\), the video is 24x40"),
        (truth()[None], r"shape \(1, 4, 24, 40\).*take masks\[0\]"),
        (truth()[:, None], r"take masks\[:, 0\]"),
        (truth()[0], "has the shape|expected"),
        ([truth()[0]] * 3 + [truth()[0, :4]], "not of one shape"),
        ([rle] * 3 + [truth()[0]], "holds dict, ndarray"),
        ([{"size": [24, 40], "counts": [3, 4]}] * 4, "number 0"),
        ([{"size": [24, 40], "counts": [-1, 24 * 40 + 1]}] * 4, "number 0"),
        ([{"size": [24, 40], "counts": "51"}] * 4, "add up"),
        ([{"size": [10**9, 10**9], "counts": "51"}] * 4, "height x width"),
        ("masks.npy", "found str"),
        (3, "found int"),
        ([1, 2, 3, 4], "shape"),
    ):
        with pytest.raises(AnswerError, match=message):
            as_rles(masks, video)


def test_masks_of_another_size_are_resized_when_that_is_allowed(video):
    small = truth()[:, ::2, ::2]
    want = small.repeat(2, 1).repeat(2, 2)
    np.testing.assert_array_equal(decoded(as_rles(small, video, resize=True)), want)
    np.testing.assert_array_equal(decoded(as_rles(list(MaskSequence.encode(small)), video, resize=True)), want)


# --- a loop of one's own ----------------------------------------------------------------------------------------------


def test_a_writer_of_ones_own_knows_what_is_done(data, keys, tmp_path, video):
    key = keys[0]
    with PredictionWriter(tmp_path, data_dir=data, split="validation") as writer:
        assert not writer.done(*key)
        writer.write(*key, truth(), extra={"text": "it"})
        assert writer.done(*key)
        writer.error(*keys[1], "a reason")
        assert writer.done(*keys[1])
        for arguments in (("nowhere", "0"), (key[0], "99")):
            with pytest.raises((AnnotationError, UsageError), match="has no"):
                writer.write(*arguments, None)
        with pytest.raises(AnswerError):
            writer.write(*keys[2], truth()[:1])
        writer.write(*keys[3][:1], int(keys[3][1]), None)
        assert writer.done(*keys[3])
    with pytest.raises(UsageError, match="closed"):
        writer.write(*key, None)
    with PredictionWriter(tmp_path, data_dir=data, shard=(1, 3), retry_errors=True) as writer:
        assert writer.done(*key)
        assert not writer.done(*keys[1])
        writer.write(*keys[1], truth())
        assert writer.done(*keys[1])
    lines = Lines([tmp_path])
    lines.refresh()
    assert not lines.places[keys[1]].failed
    assert lines.places[key].read().extra == {"text": "it"}


def test_masks_count_before_an_error_and_later_ones_before_earlier(data, keys, tmp_path):
    with PredictionWriter(tmp_path, data_dir=data) as writer:
        writer.write(*keys[0], None)
        writer.write(*keys[0], truth())
        writer.error(*keys[0], "late")
    lines = Lines([tmp_path])
    lines.refresh()
    assert lines.places[keys[0]].read().masks is not None


def test_a_torn_line_tells_whose_it_was(data, keys, tmp_path):
    with PredictionWriter(tmp_path, data_dir=data) as writer:
        writer.write(*keys[0], truth())
        writer.write(*keys[1], truth())
        path = writer.path
    content = path.read_bytes()
    path.write_bytes(content[:-40])
    with PredictionWriter(tmp_path, data_dir=data) as writer:
        assert writer.done(*keys[0])
        assert not writer.done(*keys[1])
        writer.write(*keys[2], None)
        assert writer.lines.broken_off() == {keys[1]}
    assert path.read_bytes().startswith(content[:-40] + b"\n")


# --- the command ------------------------------------------------------------------------------------------------------


def test_the_command_says_what_is_done_what_failed_and_what_to_do(data, keys, adapter_file, tmp_path, capsys):
    command = ["predict", f"{adapter_file}:Model", str(data), "-o", str(tmp_path / "out"), "--arg"]
    assert cli.main([*command, "fail=7"]) == 0  # a number is no text, so nothing fails
    assert f"{len(keys)} of {len(keys)} expressions are predicted" in capsys.readouterr().out
    assert cli.main([*command, 'fail="0"']) == 2
    assert "of another run" in capsys.readouterr().err
    command[-2] = str(tmp_path / "second")
    assert cli.main([*command, 'fail="0"', "--json", "--shard", "0/2"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["shard"] == "0/2"
    assert found["mine"]["failed"] == len(found["failures"]) > 0
    assert found["failures"][0]["error"] == "RuntimeError: as asked"
    assert cli.main(["predict", f"{adapter_file}:Modle", str(data), "-o", str(tmp_path / "third")]) == 2
    assert "no function or class 'Modle'" in capsys.readouterr().err


def test_under_torchrun_a_failure_does_not_end_the_other_processes(data, adapter_file, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    monkeypatch.setenv("WORLD_SIZE", "2")
    statuses = []
    for rank in (0, 1):
        monkeypatch.setenv("RANK", str(rank))
        command = ["predict", f"{adapter_file}:Model", str(data), "-o", str(tmp_path / "out"), "--arg", 'fail="0"']
        statuses.append(cli.main(command))
    assert statuses == [0, 1]


@needs_fork
def test_sigterm_ends_the_command_with_a_status_of_its_own(data, tmp_path):
    adapter = tmp_path / "adapter.py"
    adapter.write_text("import time\ndef f(frames, text, row):\n    open('begun', 'w').close(); time.sleep(0.2)")
    process = forked(in_folder, tmp_path, ["predict", f"{adapter}:f", str(data), "-o", str(tmp_path / "out")])
    while not (tmp_path / "begun").exists():
        time.sleep(0.01)
    process.terminate()
    process.join()
    assert process.exitcode == 143
    assert len(lines_of(tmp_path / "out")) == 1


def in_folder(folder, command):
    os.chdir(folder)
    os._exit(cli.main(command))


@pytest.mark.skipif(sys.platform != "linux", reason="other systems take no such name")
def test_an_adapter_in_a_file_whose_name_is_not_utf8_is_found(tmp_path):
    path = tmp_path / os.fsdecode(b"bad\xff.py")
    path.write_text("def predict(frames, text, row):\n    return None\n")
    assert find(f"{path}:predict").__name__ == "predict"
