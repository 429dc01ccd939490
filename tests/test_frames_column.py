"""Frames as a column: the bytes on disk, and memory that is used again only once nothing refers to it."""

from __future__ import annotations

import io
import re
from pathlib import Path

import msgspec
import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from revoskit.dataset.annotations import open_annotations
from revoskit.dataset.layout import Layout
from revoskit.dataset.records import Video
from revoskit.errors import FrameError, MissingFilesError, RevosError
from revoskit.frames import Frame
from revoskit.publishing import frames_column, shards
from revoskit.publishing.frames_column import Frames
from revoskit.publishing.publish import make_plan
from revoskit.publishing.shards import Content, write_shard


def jpeg(width: int, height: int) -> bytes:
    made = io.BytesIO()
    Image.new("RGB", (width, height)).save(made, "JPEG")
    return made.getvalue()


FOUR_BY_FOUR = jpeg(4, 4)


def video_of(data: Path, sizes: list[int], video_id: str = "made/up") -> Video:
    """A video of small JPEGs, each with as many bytes more as said, no two with the same content."""
    folder = data / "JPEGImages" / video_id
    folder.mkdir(parents=True)
    names = tuple(f"{i:05d}" for i in range(len(sizes)))
    for i, (name, size) in enumerate(zip(names, sizes, strict=True)):
        start = bytes([i, *video_id.encode()])
        (folder / f"{name}.jpg").write_bytes(FOUR_BY_FOUR[:-2] + (start * size)[:size] + b"\xff\xd9")
    return Video(video_id, 4, 4, names, ())


def size_of(video: Video, smaller: bool) -> tuple[int, int]:
    return (video.height // 2, video.width // 2) if smaller else (video.height, video.width)


def contents(data: Path, video: Video) -> list[bytes]:
    return [(data / "JPEGImages" / video.video_id / f"{name}.jpg").read_bytes() for name in video.frame_names]


def embedded(column) -> list[bytes]:
    return [frame["bytes"] for frame in column.to_pylist()[0]]


def test_a_column_holds_the_files_and_their_names(tmp_path):
    video = video_of(tmp_path, [10, 5, 200_000, 4])
    with Frames(Layout.at(tmp_path).split("train")) as frames:
        column = frames.column(video, (video.height, video.width))
        assert embedded(column) == contents(tmp_path, video)
        assert [frame["path"] for frame in column.to_pylist()[0]] == [f"{name}.jpg" for name in video.frame_names]


def test_memory_is_used_again_once_a_column_is_gone_and_never_before(tmp_path, monkeypatch):
    monkeypatch.setattr(frames_column, "_MEMORY", frames_column._Memory())
    videos = [video_of(tmp_path, [size] * 3, f"video/{i}") for i, size in enumerate([900, 700, 800, 500, 2000])]

    def address(column) -> int:
        return column.values.field("bytes").buffers()[2].address

    with Frames(Layout.at(tmp_path).split("train")) as frames:
        first, second = frames.column(videos[0], (4, 4)), frames.column(videos[1], (4, 4))
        assert address(first) != address(second)
        assert embedded(first) == contents(tmp_path, videos[0])
        free = address(first)
        images = first.values  # a part of the column keeps all of it
        del first
        other = frames.column(videos[2], (4, 4))
        assert address(other) != free
        del images
        third = frames.column(videos[3], (4, 4))
        assert address(third) == free, "2,700 bytes are enough for 1,500"
        larger = frames.column(videos[4], (4, 4))
        for column, video in [(second, videos[1]), (other, videos[2]), (third, videos[3]), (larger, videos[4])]:
            assert embedded(column) == contents(tmp_path, video)


def test_a_shard_of_many_row_groups_holds_every_frame_of_every_video(own_miniature, tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "ROW_GROUP_BYTES", 1)
    layout = Layout.at(own_miniature.root)
    (shard,) = [one for one in make_plan(layout, configs=["videos"]).shards if one.split == "train"]
    write_shard(shard, layout, layout.annotation_state(), tmp_path / "out", Content())
    annotations = open_annotations(layout, "train")
    rows = pq.read_table(tmp_path / "out" / shard.path, columns=["video_id", "frames"]).to_pylist()
    assert len(rows) > 1
    for row in rows:
        assert [frame["bytes"] for frame in row["frames"]] == contents(
            layout.root, annotations.video(row["video_id"])
        ), row["video_id"]


def test_a_frame_that_is_not_on_disk_is_named(tmp_path):
    video = video_of(tmp_path, [10, 10])
    (tmp_path / "JPEGImages/made/up/00001.jpg").unlink()
    with (
        Frames(Layout.at(tmp_path).split("train")) as frames,
        pytest.raises(MissingFilesError, match=r"made/up has no 00001\.jpg"),
    ):
        frames.column(video, (video.height, video.width))


DAMAGE = {
    "empty": (lambda jpeg: b"", "it is empty"),
    "cut short": (lambda jpeg: jpeg[:-200], "it is truncated"),
    "another format": (lambda jpeg: b"GIF89a" + jpeg, "it does not begin as one"),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGE.values(), ids=list(DAMAGE))
@pytest.mark.parametrize("resize", [False, True], ids=["as it is", "smaller"])
def test_a_frame_that_is_not_a_whole_jpeg_is_named(own_miniature, resize, damage, message):
    video, path = first_frame(Layout.at(own_miniature.root))
    path.write_bytes(damage(path.read_bytes()))
    with (
        Frames(Layout.at(own_miniature.root).split("train")) as frames,
        pytest.raises(FrameError, match=rf"{re.escape(str(path))} is not a sound JPEG: {message}.*Unpack it anew"),
    ):
        frames.column(video, size_of(video, resize))


def test_a_whole_jpeg_with_something_behind_it_is_embedded_as_it_is(own_miniature):
    video, path = first_frame(Layout.at(own_miniature.root))
    path.write_bytes(path.read_bytes() + b"padding")
    with Frames(Layout.at(own_miniature.root).split("train")) as frames:
        assert embedded(frames.column(video, (video.height, video.width)))[0] == path.read_bytes()


def first_frame(layout: Layout) -> tuple[Video, Path]:
    video = next(iter(open_annotations(layout, "train")))
    return video, Path(layout.split("train").frames(video)[0].path)


def test_a_frame_of_another_size_and_the_same_shape_is_brought_to_that_of_its_row_with_a_word(own_miniature):
    layout = Layout.at(own_miniature.root)
    video, path = first_frame(layout)
    path.write_bytes(jpeg(2 * video.width, 2 * video.height))
    with Frames(layout.split("train")) as frames:
        found = embedded(frames.column(video, (video.height, video.width)))
        assert frames.scaled == [video.video_id]
    assert {Image.open(io.BytesIO(one)).size for one in found} == {(video.width, video.height)}
    assert found[1:] == contents(layout.root, video)[1:]


@pytest.mark.parametrize("smaller", [False, True])
def test_a_frame_of_another_shape_is_refused_before_it_is_decoded(own_miniature, smaller, monkeypatch):
    layout = Layout.at(own_miniature.root)
    video, path = first_frame(layout)
    path.write_bytes(jpeg(video.width, 3 * video.height))
    monkeypatch.setattr(Image.Image, "load", None)
    with (
        Frames(layout.split("train")) as frames,
        pytest.raises(
            FrameError, match=rf"{path.name} is {3 * video.height}x{video.width} pixels .*the annotations say"
        ),
    ):
        frames.column(video, size_of(video, smaller))


@pytest.mark.parametrize("size", [2000, 5], ids=["longer", "shorter"])
def test_a_frame_that_changes_while_it_is_read_is_named(tmp_path, monkeypatch, size):
    video = video_of(tmp_path, [10, 10])
    changing = tmp_path / "JPEGImages/made/up/00001.jpg"
    read = frames_column._read

    def change_and_read(video: Video, frame: Frame, into: memoryview) -> bool:
        if frame.file == str(changing):
            changing.write_bytes(bytes(size))
        return read(video, frame, into)

    monkeypatch.setattr(frames_column, "_read", change_and_read)
    with (
        Frames(Layout.at(tmp_path).split("train")) as frames,
        pytest.raises(RevosError, match=r"00001\.jpg changed while it was read"),
    ):
        frames.column(video, (video.height, video.width))


def test_frames_that_a_row_cannot_hold_are_encoded_anew_the_largest_first(own_miniature, monkeypatch):
    layout = Layout.at(own_miniature.root)
    video, path = first_frame(layout)
    noise = np.random.default_rng(0).integers(0, 255, (video.height, video.width, 3), np.uint8)
    Image.fromarray(noise).save(path, quality=100)
    filed = contents(layout.root, video)
    room = sum(map(len, filed[1:])) + len(filed[0]) // 2
    monkeypatch.setattr(frames_column, "MAX_COLUMN_BYTES", room)
    with Frames(layout.split("train")) as frames:
        found = embedded(frames.column(video, (video.height, video.width)))
        assert frames.squeezed == [video.video_id]
    assert found[1:] == filed[1:], "these take less than their share"
    assert 0.8 * room < sum(map(len, found)) <= room
    with Image.open(io.BytesIO(found[0])) as image:
        assert image.size == (video.width, video.height)
        grey = np.asarray(Image.fromarray(noise).convert("L"), float)
        assert abs(np.asarray(image.convert("L")) - grey).mean() < 15


@pytest.mark.parametrize("resize", [False, True])
def test_more_than_a_row_can_hold_whatever_the_quality_is_refused_with_what_to_do(own_miniature, monkeypatch, resize):
    video, _ = first_frame(Layout.at(own_miniature.root))
    if resize:
        video = msgspec.structs.replace(video, height=video.height // 2, width=video.width // 2)
    monkeypatch.setattr(frames_column, "MAX_COLUMN_BYTES", 150)
    with (
        Frames(Layout.at(own_miniature.root).split("train")) as frames,
        pytest.raises(RevosError, match=rf"{video.video_id!r} take [\d,]+ bytes, .* a row can hold 150: .*--max-side"),
    ):
        frames.column(video, size_of(video, resize))
