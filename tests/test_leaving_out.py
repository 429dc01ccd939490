"""`faults="skip"`: what is wrong goes, and nothing else, wherever a split is opened."""

from __future__ import annotations

import json
import re
import shutil
import warnings
from pathlib import Path

import pytest
from datasets import load_dataset
from PIL import Image

import revos
from revoskit import cli
from revoskit.dataset.annotations import open_annotations
from revoskit.dataset.layout import EXPRESSIONS, TRACKS, Layout
from revoskit.errors import AnnotationError, RevosError, UsageError
from revoskit.frames import same_shape
from revoskit.miniature import write_miniature

TRAIN = EXPRESSIONS["train"]
TRACK = "3003000"  # of the first video of train, which is in train_sub, too


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return write_miniature(tmp_path_factory.mktemp("sound") / "ReVOS", videos=4, frames=4, height=24, width=40).root


@pytest.fixture
def root(sound, tmp_path):
    shutil.copytree(sound, tmp_path / "ReVOS")
    return tmp_path / "ReVOS"


@pytest.fixture
def edit_json():
    """As the one that all tests share, but for text that is not Unicode."""

    def edit(path, change):
        content = json.loads(path.read_bytes())
        change(content)
        path.write_text(json.dumps(content))

    return edit


def first_video(content):
    return next(iter(content["videos"].values()))


def first_expression(content):
    return next(e for e in first_video(content)["expressions"].values() if e["anno_id"])


def rename_first(content):
    content["videos"]["../../x"] = content["videos"].pop(next(iter(content["videos"])))


def each_mask(change):
    return lambda d: d.update({TRACK: [mask and change(mask) for mask in d[TRACK]]})


BAD_TRACKS = {
    "one mask less": ("track-length", lambda d: d[TRACK].pop()),
    "another size": ("mask-size", each_mask(lambda mask: mask | {"size": [25, 40]})),
    "runs that do not add up": ("mask-runs", each_mask(lambda mask: mask | {"counts": mask["counts"][:-1]})),
    "not there": ("track-missing", lambda d: d.pop(TRACK)),
    "null": ("track-malformed", lambda d: d.update({TRACK: None})),
    "no masks": ("track-malformed", lambda d: d.update({TRACK: ["no", "masks", "at", "all"]})),
    "of absurd size": ("mask-size", each_mask(lambda mask: mask | {"size": [40000, 40000]})),
    "of absurd runs": ("mask-runs", each_mask(lambda mask: {"size": [40000, 40000], "counts": [1600000000]})),
}
BAD_EXPRESSIONS = {
    "without text": lambda d: first_expression(d).update(exp=None),
    "of no type": lambda d: first_expression(d).update(type_id=3),
    "a list": lambda d: first_video(d)["expressions"].update({"0": []}),
    "with ids that are none": lambda d: first_expression(d).update(anno_id=["first"]),
    "with half a surrogate": lambda d: first_expression(d).update(exp="\ud800"),
}
BAD_VIDEOS = {
    "without frames": lambda d: first_video(d).update(frames=[]),
    "of height 0": lambda d: first_video(d).update(height=0),
    "of absurd size": lambda d: first_video(d).update(height=40000, width=40000),
    "half a surrogate in a name": lambda d: first_video(d)["frames"].__setitem__(0, "\ud800"),
    "an id that climbs": rename_first,
    "a list": lambda d: d["videos"].update({next(iter(d["videos"])): []}),
    "no expressions": lambda d: first_video(d).pop("expressions"),
}


def load(root, cache, config="expressions", **options):
    """Every row by its ids, the frames relative to the root; and the warnings."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        loaded = load_dataset("revos", config, data_dir=str(root), cache_dir=str(cache), **options)
    found = {}
    for split, rows in loaded.items():
        for row in rows:
            row["frames"] = [frame and str(Path(frame["path"]).relative_to(root)) for frame in row["frames"]]
            found[split, row["video_id"], row.get("expression_id")] = row
    return found, [str(warning.message) for warning in told if warning.category is UserWarning]


@pytest.fixture(scope="module")
def rows(sound, tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    return {config: load(sound, cache, config)[0] for config in ("expressions", "videos")}


def without(rows, gone):
    return {key: row for key, row in rows.items() if not gone(row)}


def without_track(row):
    """A row of `videos` less the first track, and the expressions that name it."""
    tracks = [track for track in row["tracks"] if track["annotation_id"] != int(TRACK)]
    expressions = [e for e in row["expressions"] if int(TRACK) not in e["annotation_ids"]]
    return {k: v for k, v in row.items() if k != "foreground"} | {"tracks": tracks, "expressions": expressions}


def less(rows, name):
    return {key: {k: v for k, v in row.items() if k != name} for key, row in rows.items()}


@pytest.mark.parametrize("case", BAD_TRACKS)
def test_a_faulty_track_goes_with_the_expressions_that_name_it(root, rows, tmp_path, edit_json, case):
    kind, change = BAD_TRACKS[case]
    edit_json(root / TRACKS, change)
    with pytest.raises(AnnotationError, match=r"faults='skip' \(--faults skip\)"):
        load(root, tmp_path / "cache")
    found, told = load(root, tmp_path / "cache", faults="skip")
    assert found == without(rows["expressions"], lambda row: int(TRACK) in row["annotation_ids"])
    assert len(told) == 1
    assert re.search(rf"faults='skip' has left \d+ expressions.* out of {root}, for \d+ {kind}: .*{TRACK}", told[0])
    of_videos, _ = load(root, tmp_path / "cache", "videos", faults="skip")
    expected = {key: without_track(row) for key, row in rows["videos"].items()}
    assert less(of_videos, "foreground") == expected


@pytest.mark.parametrize("case", BAD_EXPRESSIONS)
def test_a_faulty_expression_goes_alone(root, rows, tmp_path, edit_json, case):
    edit_json(root / TRAIN, BAD_EXPRESSIONS[case])
    with pytest.raises(AnnotationError, match="faults='skip'"):
        load(root, tmp_path / "cache")
    found, told = load(root, tmp_path / "cache", faults="skip")
    (gone,) = rows["expressions"].keys() - found.keys()
    assert gone[0] == "train"
    assert found == without(rows["expressions"], lambda row: row is rows["expressions"][gone])
    assert len(told) == 1
    assert "1 expression out of" in told[0]
    of_videos, _ = load(root, tmp_path / "cache", "videos", faults="skip")
    before, after = rows["videos"][gone[0], gone[1], None], of_videos[gone[0], gone[1], None]
    assert after["expressions"] == [e for e in before["expressions"] if e["expression_id"] != gone[2]]
    assert after["tracks"] == before["tracks"]  # what else is wrong with an expression, its tracks are the video's
    assert after["foreground"] == before["foreground"]


@pytest.mark.parametrize("case", BAD_VIDEOS)
def test_a_faulty_video_goes_alone(root, rows, tmp_path, edit_json, case):
    edit_json(root / TRAIN, BAD_VIDEOS[case])
    for config in rows:
        found, told = load(root, tmp_path / "cache", config, faults="skip")
        gone = {key[:2] for key in rows[config].keys() - found.keys()}
        assert len(gone) == 1
        assert gone.pop()[0] == "train"
        assert all(found[key] == rows[config][key] for key in found)
        assert len(told) == 1
        assert "1 video out of" in told[0]


def test_a_video_that_is_there_twice_goes_alone(root, rows, tmp_path):
    first = next(iter(json.loads((root / TRAIN).read_text())["videos"]))
    text = (root / TRAIN).read_text()
    (root / TRAIN).write_text(text.replace('"videos": {', f'"videos": {{"{first}": {{}}, ', 1))
    with pytest.raises(AnnotationError, match=f"'videos' has the key '{first}' twice"):
        load(root, tmp_path / "cache")
    found, told = load(root, tmp_path / "cache", faults="skip")
    assert found == {key: row for key, row in rows["expressions"].items() if key[:2] != ("train", first)}
    assert "1 video out of" in told[0]


def doubled(path, value):
    """The track stands twice in the file, first as `value`."""
    path.write_text(f'{{"{TRACK}": {json.dumps(value)}, {path.read_text().lstrip()[1:]}')


def test_a_track_that_is_there_twice_is_left_out_and_named_with_both_places(root, rows, tmp_path):
    doubled(root / TRACKS, [None] * 4)
    with pytest.raises(AnnotationError, match=rf"track {TRACK} .*there twice, .*at byte \d+ and at byte \d+"):
        load(root, tmp_path / "cache")
    found, _ = load(root, tmp_path / "cache", faults="skip")
    assert found == without(rows["expressions"], lambda row: int(TRACK) in row["annotation_ids"])


def test_a_track_that_is_there_twice_as_the_same_is_read(root, rows, tmp_path):
    doubled(root / TRACKS, json.loads((root / TRACKS).read_text())[TRACK])
    assert load(root, tmp_path / "cache") == (rows["expressions"], [])


def cut(path):
    path.write_bytes(path.read_bytes()[:-40])


def of_size(*size):
    return lambda path: Image.new("RGB", size).save(path, "JPEG")


BAD_FRAMES = {
    "missing": ("frame-missing", Path.unlink),
    "cut off": ("frame-truncated", cut),
    "empty": ("frame-unreadable", lambda path: path.write_bytes(b"")),
    "no JPEG": ("frame-unreadable", lambda path: Image.new("RGB", (40, 24)).save(path, "PNG")),
    "of another shape": ("frame-size", of_size(40, 40)),
}


@pytest.mark.parametrize("options", [{}, {"num_proc": 2}], ids=["plain", "num_proc"])
@pytest.mark.parametrize("case", BAD_FRAMES)
def test_a_video_with_a_bad_frame_goes(root, rows, tmp_path, case, options):
    kind, spoil = BAD_FRAMES[case]
    spoil(root / "JPEGImages/LV-VIS/train/01020/00002.jpg")
    found, told = load(root, tmp_path / "cache", "videos", faults="skip", **options)
    assert found == without(rows["videos"], lambda row: row["video_id"] == "LV-VIS/train/01020")
    assert any(kind in one and "frame 00002" in one for one in told)


def test_a_frame_of_another_size_and_the_same_shape_stays(root, rows, tmp_path):
    of_size(80, 48)(root / "JPEGImages/LV-VIS/train/01020/00002.jpg")
    assert load(root, tmp_path / "cache", "videos", faults="skip") == (rows["videos"], [])


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [((480, 854), (240, 427), True), ((480, 854), (360, 640), True), ((480, 854), (854, 480), False),
     ((100, 100), (100, 102), False), ((100, 200), (101, 200), True)],
)  # fmt: skip
def test_sizes_are_of_one_shape_to_one_in_a_hundred(one, other, same):
    assert same_shape(one, other) is same_shape(other, one) is same


def test_missing_frames_may_stay_as_null_while_the_rest_is_left_out(root, rows, tmp_path):
    folder = root / "JPEGImages/LV-VIS/train/01020"
    (folder / "00002.jpg").unlink()
    cut(root / "JPEGImages/OVIS/train/00e92ab4/00001.jpg")
    found, _ = load(root, tmp_path / "cache", "videos", faults="skip", missing_frames="keep")
    assert {key[1] for key in rows["videos"].keys() - found.keys()} == {"OVIS/train/00e92ab4"}
    assert found["train", "LV-VIS/train/01020", None]["frames"][2] is None


def test_all_that_is_wrong_is_listed_beside_the_cached_data(root, tmp_path, edit_json):
    edit_json(root / TRACKS, lambda d: d[TRACK].pop())
    (root / "JPEGImages/OVIS/train/00e92ab4/00001.jpg").unlink()
    _, told = load(root, tmp_path / "cache", faults="skip")
    path = Path(re.search(r"All of it: (\S+\.json)", told[0])[1])
    assert path.is_relative_to(tmp_path / "cache")
    said = json.loads(path.read_text())
    assert [(fault["kind"], fault["split"], fault["video"]) for fault in said["faults"]] == [
        ("track-length", "train", "LV-VIS/train/01020"),
        ("frame-missing", "validation", "OVIS/train/00e92ab4"),
        ("track-length", "train_sub", "LV-VIS/train/01020"),
    ]
    assert said["faults"][0]["track"] == TRACK
    assert (said["tracks"], said["videos"]) == (2, 1)


def test_the_cache_follows_a_frame_that_is_mended_in_place(root, rows, tmp_path):
    path = root / "JPEGImages/LV-VIS/train/01020/00002.jpg"
    content = path.read_bytes()
    cut(path)
    assert len(load(root, tmp_path / "cache", "videos", faults="skip")[0]) < len(rows["videos"])
    path.write_bytes(content)
    assert load(root, tmp_path / "cache", "videos", faults="skip")[0] == rows["videos"]


def test_streaming_leaves_the_same_out(root, rows, tmp_path, edit_json):
    edit_json(root / TRACKS, lambda d: d[TRACK].pop())
    options = {"data_dir": str(root), "cache_dir": str(tmp_path / "cache"), "faults": "skip", "streaming": True}
    with pytest.warns(UserWarning, match="faults='skip' has left"):
        streamed = {(row["video_id"], row["expression_id"]) for row in load_dataset("revos", split="train", **options)}
    kept = without(rows["expressions"], lambda row: int(TRACK) in row["annotation_ids"])
    assert streamed == {key[1:] for key in kept if key[0] == "train"}


def test_the_former_name_for_it_is_told_of(root, rows, tmp_path):
    (root / "JPEGImages/LV-VIS/train/01020/00002.jpg").unlink()
    with pytest.warns(FutureWarning, match="missing_frames='skip_video' is now faults='skip'"):
        builder = revos.Revos(data_dir=str(root), cache_dir=str(tmp_path / "cache"), missing_frames="skip_video")
    assert builder.config.faults == "skip"


def test_a_file_that_cannot_be_read_at_all_is_an_error_still(root, tmp_path):
    cut(root / TRACKS)
    with pytest.raises(AnnotationError, match="is not valid JSON"):
        load(root, tmp_path / "cache", faults="skip")


def test_an_expression_of_a_million_tracks_is_one_fault(root, edit_json):
    edit_json(root / TRAIN, lambda d: first_expression(d).update(anno_id=list(range(10**6)), obj_id=[]))
    with pytest.warns(UserWarning, match=r"1 entry-malformed: .*names 1,000,000 tracks. At most 10,000 are read"):
        annotations = open_annotations(Layout.at(root, faults="skip"), "train")
    assert len(annotations.left_out.faults) == 1


@pytest.mark.parametrize("options", [{"faults": "ignore"}, {"splits": ["valid"]}, {"splits": "train"}])
def test_an_option_that_is_not_valid_is_refused_before_anything_is_built(root, tmp_path, options):
    with pytest.raises(
        UsageError, match=r"expected ('error' or 'skip'|a list of some of train, validation, train_sub)"
    ):
        revos.Revos(data_dir=str(root), cache_dir=str(tmp_path / "cache"), **options)


# --- splits -----------------------------------------------------------------------------------------------------------


def test_only_the_splits_that_are_named_are_built(root, rows, tmp_path):
    shutil.rmtree(root / "JPEGImages/LV-VIS")
    (root / TRAIN).write_text("{")
    found, _ = load(root, tmp_path / "cache", splits=["validation"])
    assert found == {key: row for key, row in rows["expressions"].items() if key[0] == "validation"}


def cut_train(root):
    (root / TRAIN).write_text("{")


def remove_frames(root):
    shutil.rmtree(root / "JPEGImages/LV-VIS")


@pytest.mark.parametrize("spoil", [cut_train, remove_frames])
def test_what_is_wrong_with_a_split_says_how_to_build_another_alone(root, tmp_path, spoil):
    spoil(root)
    with pytest.raises(RevosError, match=r"builds every split, whichever is asked for: splits=\[") as error:
        load(root, tmp_path / "cache")
    assert spoil is not cut_train or "splits=['validation'] builds that one" in str(error.value)


# --- every command ----------------------------------------------------------------------------------------------------


@pytest.fixture
def faulty(root, edit_json):
    edit_json(root / TRACKS, lambda d: d[TRACK].pop())
    edit_json(root / TRAIN, lambda d: list(d["videos"].values())[1].update(frames=[]))
    return root


@pytest.mark.parametrize(
    "command",
    [
        ["stats", "{root}", "--json"],
        ["show", "LV-VIS/train/01020", "{root}", "-o", "{out}.png"],
        ["gallery", "{root}", "--split", "train", "-o", "{out}"],
        ["publish", "{root}", "-o", "{out}", "--frames", "none"],
        ["publish", "{root}", "-o", "{out}"],
        ["export", "{root}", "--to", "mevis", "-o", "{out}"],
        ["evaluate", "{predictions}", "{root}", "--split", "train", "--json"],
        ["compare", "{predictions}", "{others}", "{root}", "--split", "train", "--json"],
        ["convert", "{predictions}", "{root}", "--split", "train", "--to", "lines", "-o", "{out}"],
        ["predict", "{adapter}", "{root}", "--split", "train", "-o", "{out}"],
    ],
    ids=lambda command: f"{command[0]}-{len(command)}",
)
def test_every_command_that_opens_a_split_goes_on_without_what_is_wrong(faulty, tmp_path, command, capsys):
    for name in ("p.json", "q.json"):
        (tmp_path / name).write_text(json.dumps({"LV-VIS/train/01020": {}}))
    (tmp_path / "nothing.py").write_text("def predict(frames, text, row): return [None] * len(frames)")
    named = {"root": faulty, "out": tmp_path / "out", "predictions": tmp_path / "p.json"}
    named |= {"others": tmp_path / "q.json", "adapter": f"{tmp_path / 'nothing.py'}:predict"}
    arguments = [part.format(**named) for part in command]
    assert cli.main([*arguments, "--num-proc", "1"] if command[0] == "gallery" else arguments) == 2
    assert "--faults skip" in capsys.readouterr().err
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert cli.main([*arguments, "--faults", "skip"]) in (0, 1)
