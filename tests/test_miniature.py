"""The miniature has the traits of the real data that code must cope with, and is the same every time."""

import json

import numpy as np
import pytest

from revoskit.dataset.annotations import open_annotations
from revoskit.dataset.layout import Layout
from revoskit.dataset.records import ExpressionType
from revoskit.errors import UsageError
from revoskit.miniature import LONG, Miniature, write_miniature


@pytest.fixture(scope="module")
def miniature(tmp_path_factory, really_long_video) -> Miniature:
    return write_miniature(tmp_path_factory.mktemp("miniature") / "ReVOS", frames=6, height=72, width=128)


def files(root):
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_the_same_arguments_give_the_same_bytes(tmp_path):
    one, two = (write_miniature(tmp_path / name, videos=2, frames=3).root for name in ("one", "two"))
    assert files(one) == files(two)
    assert files(write_miniature(tmp_path / "three", videos=2, frames=3, seed=1).root) != files(one)


def test_it_has_what_the_real_data_has(miniature):
    layout = Layout.at(miniature.root)
    videos = {v.video_id: v for split in ("train", "validation") for v in open_annotations(layout, split)}
    assert "UVO/all/-CiPki3XuVI" in videos
    assert {e.type for v in videos.values() for e in v.expressions} == set(ExpressionType)
    assert any("<b>" in e.text and "  " in e.text for v in videos.values() for e in v.expressions)
    assert [v.video_id for v in videos.values() if len(v.frame_names) > 255] == [LONG]
    assert any(len(e.annotation_ids) > 2 for v in videos.values() for e in v.expressions)
    assert len({(v.height, v.width) for v in videos.values()}) > 1
    for video in videos.values():
        ball, box, triangle = (miniature.pixels[i] for i in video.annotation_ids)
        assert (ball & box).any(), "two objects overlap"
        assert triangle[0].any()
        assert not triangle[-1].any(), "an object leaves"


def test_frames_show_the_shapes_where_the_masks_are(miniature):
    layout = Layout.at(miniature.root)
    for video in open_annotations(layout, "train"):
        for frame, index in zip(layout.split("train").frames(video), range(99), strict=False):
            picture = np.asarray(frame.image()).astype(int)
            assert picture.shape == (video.height, video.width, 3)
            colorful = np.ptp(picture, axis=2) > 90
            union = np.any([miniature.pixels[i][index] for i in video.annotation_ids], axis=0)
            assert (colorful == union).mean() > 0.97


def test_more_videos_than_the_seven_have_ids_of_their_own(tmp_path):
    root = write_miniature(tmp_path / "many", videos=9, frames=2, height=8, width=8).root
    train = json.loads((root / "meta_expressions_train_.json").read_text())["videos"]
    valid = json.loads((root / "meta_expressions_valid_.json").read_text())["videos"]
    assert len(train) + len(valid) == 9


def test_a_dataset_is_never_written_over(own_miniature):
    with pytest.raises(UsageError, match="already holds a dataset"):
        write_miniature(own_miniature.root)
