"""Copies that differ from the official form: what is not in doubt is read, and files that few need block nobody."""

from __future__ import annotations

import json
import shutil
import warnings

import msgspec
import numpy as np
import pytest
from datasets import load_dataset
from pycocotools import mask as coco

import revos
from revoskit import cli, stats
from revoskit.dataset import spellings
from revoskit.dataset.annotations import open_annotations, open_splits
from revoskit.dataset.layout import EXPRESSIONS, FOREGROUND, TRACKS, Layout
from revoskit.dataset.tracks import ForegroundFile
from revoskit.errors import AnnotationError, MaskError
from revoskit.looking import pictures
from revoskit.miniature import write_miniature

TRAIN, SUB = EXPRESSIONS["train"], EXPRESSIONS["train_sub"]


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return write_miniature(tmp_path_factory.mktemp("sound") / "ReVOS", videos=4, frames=4, height=24, width=40).root


@pytest.fixture
def root(sound, tmp_path):
    """A copy that a test may change; frames are linked, so only annotation files may be."""
    shutil.copytree(sound, tmp_path / "ReVOS", symlinks=True)
    return tmp_path / "ReVOS"


def everything(root, splits=None):
    """All that rows are made of: records, tracks, unions and foregrounds of every split."""
    found = {}
    for split, of_split in open_splits(Layout.at(root), splits).items():
        for video in of_split:
            masks = of_split.masks(video)
            found[split, video.video_id] = (
                video,
                [list(masks.track(i)) for i in video.annotation_ids],
                [list(masks.of(e)) for e in video.expressions],
                list(masks.foreground()),
            )
    return found


def ours(told):
    """The warnings that are not of some library."""
    return [warning for warning in told if warning.category is UserWarning]


def change_expressions(change, name=TRAIN):
    def spoil(content):
        for video in content["videos"].values():
            for entry in video["expressions"].values():
                change(entry)

    return name, spoil


def change_masks(change):
    """Each entry of every track, null or not, becomes what `change` gives."""

    def spoil(content):
        for key, masks in content.items():
            content[key] = [change(mask) for mask in masks]

    return TRACKS, spoil


def run_lengths(mask):
    pixels = coco.decode(mask).ravel(order="F")
    edges = np.flatnonzero(np.diff(pixels)) + 1
    runs = np.diff([0, *edges, len(pixels)]).tolist()
    return mask | {"counts": [0, *runs] if pixels[0] else runs}


def in_two_parts(mask):
    """A list of masks of which the union is the one that was: its left half and its right."""
    pixels = coco.decode(mask)
    halves = []
    for part in (slice(0, 20), slice(20, None)):
        half = np.zeros_like(pixels, order="F")
        half[:, part] = pixels[:, part]
        made = coco.encode(half)
        halves.append({"size": mask["size"], "counts": made["counts"].decode()})
    return halves


def ids(change):
    return change_expressions(lambda e: e.update({key: change(e[key]) for key in ("obj_id", "anno_id")}))


def videos(change):
    return TRAIN, lambda content: [change(video) for video in content["videos"].values()]


def present(change):
    return change_masks(lambda mask: change(mask) if mask else mask)


def absent(value):
    return change_masks(lambda mask: mask or value)


SPELLED = {
    "ids as text": ids(lambda found: [str(i) for i in found]),
    "ids with a point": ids(lambda found: [float(i) for i in found]),
    "one id without a list": ids(lambda found: found[0] if len(found) == 1 else found),
    "one id without a list, as text": ids(lambda found: str(found[0]) if len(found) == 1 else found),
    "no ids as null": ids(lambda found: found or None),
    "no ids as a list of null": ids(lambda found: found or [None]),
    "no ids as -1": ids(lambda found: found or [-1]),
    "no ids as -1 without a list": ids(lambda found: found or -1),
    "no ids as text": ids(lambda found: found or ["-1"]),
    "types as text": change_expressions(lambda e: e.update(type_id=str(e["type_id"]))),
    "types with a point": change_expressions(lambda e: e.update(type_id=float(e["type_id"]))),
    "no mask as {}": absent({}),
    "no mask as []": absent([]),
    "no mask as text": absent(""),
    "no mask as 0": absent(0),
    "no mask as false": absent(False),
    "a mask in a list": present(lambda mask: [mask]),
    "a mask in a list beside none": present(lambda mask: [{}, mask]),
    "a mask in two parts": present(in_two_parts),
    "a mask in a list beside null": present(lambda mask: [None, mask]),
    "run lengths": present(run_lengths),
    "run lengths in a list": present(lambda mask: [run_lengths(mask)]),
    "sizes with a point": present(lambda mask: mask | {"size": [float(side) for side in mask["size"]]}),
    "a size with a point and run lengths": present(lambda m: run_lengths(m) | {"size": [float(s) for s in m["size"]]}),
    "a height with a point": videos(lambda video: video.update(height=float(video["height"]))),
    "no height": videos(lambda video: video.pop("height")),
    "neither height nor width": videos(lambda video: (video.pop("height"), video.pop("width"))),
    "a height that is null": videos(lambda video: video.update(height=None)),
}  # fmt: skip


@pytest.mark.parametrize("case", SPELLED)
def test_what_is_not_in_doubt_is_read_without_a_word(sound, root, edit_json, case):
    name, change = SPELLED[case]
    edit_json(root / name, change)
    assert (root / name).read_bytes() != (sound / name).read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        assert everything(root) == everything(sound)


@pytest.mark.parametrize("name", [TRAIN, TRACKS, FOREGROUND])
def test_a_byte_order_mark_is_no_part_of_a_file(sound, root, name):
    (root / name).write_bytes(b"\xef\xbb\xbf" + (root / name).read_bytes())
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        assert everything(root) == everything(sound)


def test_the_size_of_a_video_that_says_none_is_that_of_its_masks_where_there_are_no_frames(sound, root, edit_json):
    edit_json(root / TRAIN, lambda d: [v.pop("height") for v in d["videos"].values()])
    shutil.rmtree(root / "JPEGImages")
    assert everything(root, ["train"]) == everything(sound, ["train"])


def test_masks_beyond_the_last_frame_are_not_looked_at_and_warned_of_once(sound, root, edit_json):
    edit_json(root / TRACKS, lambda d: [masks.extend([masks[0], None]) for masks in d.values()])
    with pytest.warns(UserWarning, match=r"has 6 masks for 4 frames: those beyond .*`revoskit check`") as told:
        assert everything(root) == everything(sound)
    assert len(ours(told)) == 1


def test_check_warns_of_masks_beyond_the_last_frame(root, edit_json, capsys):
    edit_json(root / TRACKS, lambda d: [masks.append(None) for masks in d.values()])
    assert cli.main(["check", str(root), "--json"]) == 3
    found = {finding["kind"]: finding for finding in json.loads(capsys.readouterr().out)["findings"]}
    assert found["track-long"]["severity"] == "warning"
    assert found["track-long"]["count"] == len(json.loads((root / TRACKS).read_text()))


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"size": [24, 40], "counts": [959]}, "add up to 959 pixels, expected 24x40 = 960"),
        ({"size": [24, 40], "counts": [961, -1]}, "not all whole numbers"),
        ({"size": [24, 40], "counts": [960.0]}, "not all whole numbers"),
        ({"size": [24, 40], "counts": [True] * 960}, "not all whole numbers"),
        ({"size": [10**6, 10**6], "counts": [10**12]}, r"its size is \[1000000, 1000000\]"),
        ({"size": [0, 40], "counts": []}, r"its size is \[0, 40\]"),
        ([{"size": [24, 40], "counts": [960]}, {"size": [24, 40], "counts": "1"}], "add up to 1 pixels"),
        ([{"size": [24, 40], "counts": [960]}, {"size": [40, 24], "counts": [960]}], r"its size is \[40, 24\]"),
    ],
)
def test_spellings_that_are_no_mask_are_refused_with_the_place_and_the_reason(entry, reason):
    with pytest.raises(MaskError, match=f"mask 1: .*{reason}") as raised:
        spellings.masks([None, entry])
    assert raised.value.index == 1


@pytest.mark.parametrize("entry", [7, "oP1", [[1, 2, 3]], [[{"size": [24, 40], "counts": "P1"}]], True])
def test_what_is_no_spelling_of_a_mask_is_left_for_the_reader_to_refuse(entry):
    assert spellings.masks([entry]) == [entry]


@pytest.mark.parametrize("change", [lambda d: d.update(type_id=True), lambda d: d.update(anno_id=[None]),
                                    lambda d: d.update(anno_id=[[3003000]]),
                                    lambda d: d.update(anno_id=[1.5]), lambda d: d.update(anno_id={})])  # fmt: skip
def test_what_is_in_doubt_is_refused(root, edit_json, change):
    edit_json(root / TRAIN, lambda d: change(next(iter(d["videos"].values()))["expressions"]["0"]))
    with pytest.raises(AnnotationError, match="expression '0'"):
        open_annotations(Layout.at(root), "train")


# --- files that few need ----------------------------------------------------------------------------------------------


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])


def rewritten(change):
    def spoil(path):
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))

    return spoil


def another_object(content):
    """The foreground of each video is of other objects, of none at all, as before its expressions were replaced."""
    for entry in content.values():
        for mask in entry["masks_rle"]:
            empty = coco.encode(np.zeros(mask["size"], np.uint8, order="F"))
            mask["counts"] = empty["counts"].decode()


FOREGROUNDS = {
    "cut off": cut,
    "empty": lambda path: path.write_bytes(b""),
    "a list": lambda path: path.write_text("[]"),
    "a video twice": lambda path: path.write_text(
        path.read_text()[:-1] + f', "{next(iter(json.loads(path.read_text())))}": 2}}'
    ),
    "of another length": rewritten(lambda d: [v["masks_rle"].pop() for v in d.values()]),
    "of another size": rewritten(
        lambda d: [m.update(size=m["size"][::-1]) for v in d.values() for m in v["masks_rle"]]
    ),
    "stale": rewritten(another_object),
    "of no masks": rewritten(lambda d: [v.update(masks_rle=None) for v in d.values()]),
    "a ratio that is no number": rewritten(lambda d: [v.update(foreground_ratio=[float("nan")]) for v in d.values()]),
}


@pytest.mark.parametrize("case", FOREGROUNDS)
def test_a_foreground_that_cannot_be_trusted_is_made_from_the_tracks_with_one_warning(sound, root, case):
    FOREGROUNDS[case](root / FOREGROUND)
    with pytest.warns(UserWarning, match=r"mask_dict_foreground\.json.*(?s:.)*made from") as told:
        assert everything(root) == everything(sound)
    assert len(ours(told)) == 1


def test_rows_of_expressions_need_no_foreground_and_so_do_not_read_it(root):
    cut(root / FOREGROUND)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        annotations = open_annotations(Layout.at(root), "validation")
        for video in annotations:
            masks = annotations.masks(video)
            assert all(len(masks.of(e)) == len(video.frame_names) for e in video.expressions)
    with pytest.warns(UserWarning, match="made from the tracks"):
        masks.foreground()


def test_of_a_foreground_that_has_a_video_twice_the_other_videos_are_read(root):
    path = root / FOREGROUND
    first, second, *_ = sound = json.loads(path.read_text())
    path.write_text(f'{{"{first}": {{"masks_rle": []}}, {path.read_text()[1:]}')
    file = ForegroundFile(path)
    with pytest.raises(AnnotationError, match=r"it is there twice, with different masks"):
        file.unchecked(first)
    assert file.unchecked(second).masks_rle == sound[second]["masks_rle"]


def test_a_foreground_without_some_videos_is_made_from_the_tracks(sound, root, edit_json):
    edit_json(root / FOREGROUND, lambda d: d.pop(next(iter(d))))
    assert everything(root) == everything(sound)


def sub(change):
    def write(root):
        entries = json.loads((root / SUB).read_text())["videos"]
        content = change(entries)
        (root / SUB).write_text(content if isinstance(content, str) else json.dumps(content))

    return write


def without_types(entries):
    for video in entries.values():
        for entry in video["expressions"].values():
            del entry["type_id"]
    return {"videos": entries}


def texts(entries):
    return {k: [e["exp"] for e in v["expressions"].values()] for k, v in entries.items()}


def texts_by_id(entries):
    by_id = {k: {i: e["exp"] for i, e in v["expressions"].items()} for k, v in entries.items()}
    return {"videos": {video_id: {"expressions": said} for video_id, said in by_id.items()}}


SUBSETS = {
    "without types": sub(without_types),
    "a list of ids": sub(list),
    "ids under videos": sub(lambda entries: {"videos": list(entries)}),
    "ids, a line each": sub(lambda entries: "\n".join(entries) + "\n"),
    "ids of expressions": sub(lambda entries: {k: list(v["expressions"]) for k, v in entries.items()}),
    "whole numbers for them": sub(lambda entries: {k: [int(i) for i in v["expressions"]] for k, v in entries.items()}),
    "texts": sub(texts),
    "texts by id": sub(texts_by_id),
}


@pytest.mark.parametrize("case", SUBSETS)
def test_a_train_sub_that_names_a_part_of_train_is_that_part(sound, root, case):
    SUBSETS[case](root)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        assert everything(root) == everything(sound)


UNREADABLE = {
    "cut off": lambda root: cut(root / SUB),
    "empty": lambda root: (root / SUB).write_bytes(b""),
    "of unknown videos": sub(lambda entries: [*entries, "OVIS/train/nobody"]),
    "of unknown texts": sub(lambda entries: {k: ["nothing that is said of it"] for k in entries}),
    "a number": sub(lambda entries: 7),
    "an entry without sense": sub(lambda entries: {k: {"expressions": 7} for k in entries}),
    "binary": lambda root: (root / SUB).write_bytes(b"\xff\xfe\xff"),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_a_train_sub_that_cannot_be_read_is_left_out_with_one_warning_and_is_an_error_by_name(sound, root, case):
    UNREADABLE[case](root)
    with pytest.warns(UserWarning, match=r"train_sub is left out, since it cannot be read: .*_train_sub_") as told:
        assert everything(root) == everything(sound, ["train", "validation"])
    assert len(ours(told)) == 1
    with pytest.raises(AnnotationError):
        open_annotations(Layout.at(root), "train_sub")


def test_neither_file_blocks_those_who_load_count_or_look(sound, root, tmp_path, capsys):
    cut(root / FOREGROUND)
    cut(root / SUB)
    with pytest.warns(UserWarning, match="train_sub is left out"):
        loaded = load_dataset(revos.NAME, "videos", data_dir=str(root), cache_dir=str(tmp_path / "cache"))
    expected = load_dataset(revos.NAME, "videos", data_dir=str(sound), cache_dir=str(tmp_path / "cache"))
    assert list(loaded) == ["train", "validation"]
    for split in loaded:
        assert list(loaded[split].remove_columns("frames")) == list(expected[split].remove_columns("frames"))
    with pytest.warns(UserWarning, match="train_sub is left out"):
        assert cli.main(["stats", str(root), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == msgspec.to_builtins(
        stats.measure(Layout.at(sound), ["train", "validation"])
    )


def test_a_video_is_found_though_another_split_cannot_be_read(root):
    video = next(iter(open_annotations(Layout.at(root), "validation"))).video_id
    cut(root / TRAIN)
    assert pictures.find_scene(Layout.at(root), video).video.video_id == video
    with pytest.raises(AnnotationError, match="is not valid JSON"):
        pictures.find_scene(Layout.at(root), "OVIS/train/nobody")
