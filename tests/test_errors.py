"""Errors: their facts, in the process where they arise and in another."""

from __future__ import annotations

import pickle

import msgspec
import numpy as np
import pytest

from revoskit import errors
from revoskit.dataset.annotations import open_annotations
from revoskit.dataset.layout import TRACKS, Layout
from revoskit.dataset.records import UnsizedError, Video
from revoskit.errors import AnnotationError, MaskError
from revoskit.masks.rle import MaskSequence
from revoskit.training.clips import Clips

VIDEO = Video("a/b", 0, 0, ("00000",), ())
MADE = [
    AnnotationError("no", file="x.json", video="a/b", expression="0", track="7", frame="00000"),
    UnsizedError("no size", VIDEO, "x.json"),
    MaskError("mask 3: short", index=3, reason="short", file="x.json", track="7"),
    *(kind("no") for kind in vars(errors).values() if isinstance(kind, type) and kind.__name__ in {
        "UsageError", "MissingFilesError", "WorkerError", "DownloadError", "ArchiveError"
    }),
]  # fmt: skip


@pytest.mark.parametrize("error", MADE, ids=lambda error: type(error).__name__)
def test_an_error_arrives_in_another_process_with_all_its_facts(error):
    there = pickle.loads(pickle.dumps(error))
    assert type(there) is type(error)
    assert (str(there), there.args, vars(there)) == (str(error), error.args, vars(error))


def test_advice_is_a_line_more_on_an_error_that_is_otherwise_the_same():
    before = MADE[2]
    advised = before.advising("Get it anew.")
    assert str(advised) == f"{before}\nGet it anew."
    assert (type(advised), vars(advised)) == (MaskError, vars(before))
    assert str(before) == "mask 3: short"


@pytest.fixture
def first(own_miniature):
    return next(video for video in open_annotations(Layout.at(own_miniature.root), "train") if video.annotation_ids)


def spoil_track(root, edit_json, track, change):
    def spoil(content):
        content[str(track)] = change(content[str(track)])

    edit_json(root / TRACKS, spoil)


def short(masks):
    return masks[:-1]


def cut(masks):
    return [None if mask is None else mask | {"counts": mask["counts"][:-1]} for mask in masks]


@pytest.mark.parametrize(
    ("change", "kind"), [(short, AnnotationError), (cut, MaskError), (lambda _: None, AnnotationError)]
)
def test_what_is_wrong_with_a_track_says_where(own_miniature, first, edit_json, change, kind):
    track = first.annotation_ids[0]
    spoil_track(own_miniature.root, edit_json, track, change)
    annotations = open_annotations(Layout.at(own_miniature.root), "train")
    with pytest.raises(kind) as raised:
        annotations.masks(first).track(track)
    error = raised.value
    assert (error.file, error.video, error.track) == (
        str(own_miniature.root / TRACKS), first.video_id, str(track)
    )  # fmt: skip
    if kind is MaskError:
        assert error.frame == first.frame_names[error.index]
        assert error.reason in str(error)


def test_a_track_that_is_not_there_names_an_expression_that_means_it(own_miniature, first, edit_json):
    track = first.annotation_ids[0]
    edit_json(own_miniature.root / TRACKS, lambda content: content.pop(str(track)))
    with pytest.raises(AnnotationError) as raised:
        open_annotations(Layout.at(own_miniature.root), "train").masks(first).track(track)
    named = next(e.expression_id for e in first.expressions if track in e.annotation_ids)
    assert (raised.value.video, raised.value.expression, raised.value.track) == (first.video_id, named, str(track))


def test_what_is_wrong_with_an_entry_says_where(own_miniature, first, edit_json):
    layout = Layout.at(own_miniature.root)
    key = first.expressions[0].expression_id

    def spoil(content):
        content["videos"][first.video_id]["expressions"][key]["type_id"] = 9

    edit_json(layout.split("train").expressions, spoil)
    with pytest.raises(AnnotationError) as raised:
        open_annotations(layout, "train")
    error = raised.value
    assert (error.file, error.video, error.expression) == (str(layout.split("train").expressions), first.video_id, key)


@pytest.mark.parametrize("expressions", [True, False])
def test_a_video_of_absurd_size_is_refused_by_name_with_masks_or_without(own_miniature, first, edit_json, expressions):
    layout = Layout.at(own_miniature.root)

    def enlarge(content):
        video = content["videos"][first.video_id]
        video.update(height=40000, width=40000)
        if not expressions:
            video["expressions"] = {}

    edit_json(layout.split("train").expressions, enlarge)
    with pytest.raises(AnnotationError, match=r"says that it is 40000x40000 pixels .*67,108,864") as raised:
        open_annotations(layout, "train")
    assert (raised.value.file, raised.value.video) == (str(layout.split("train").expressions), first.video_id)


def test_a_row_of_absurd_size_is_refused_by_clips_for_its_masks():
    row = {
        "video_id": "a", "height": 40000, "width": 40000, "frame_names": ["0"],
        "frames": [{"path": "nowhere.jpg", "bytes": None}], "expression": "x", "masks": [None],
        "expression_id": "0", "expression_type": 0,
    }  # fmt: skip
    with pytest.raises(MaskError, match="video 'a', expression '0': masks of 40000x40000 pixels are not supported"):
        Clips(1, "visible", size=8)(row)


def test_sequences_name_the_mask_that_is_wrong_by_its_position():
    good = MaskSequence.encode(np.ones((1, 4, 5)))[0]
    with pytest.raises(MaskError) as raised:
        MaskSequence.parse([good, None, good | {"counts": "1"}], 4, 5)
    assert raised.value.index == 2
    assert raised.value.reason == "its counts add up to 1 pixels, expected 4x5 = 20"


def test_the_record_of_a_video_without_a_size_comes_with_the_error():
    there = pickle.loads(pickle.dumps(MADE[1]))
    assert msgspec.structs.asdict(there.record) == msgspec.structs.asdict(VIDEO)
