"""One Parquet shard of a published dataset: its columns, and the function that writes it.

A shard is a pure function of its record, the dataset and the options: the same bytes come out whichever process or
machine writes it. Plain `datasets` reads the files, without any of our code.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Features, Value

from revoskit.annotations import Expression, Video, VideoMasks, open_annotations
from revoskit.embedding import Frames
from revoskit.features import expression_example, expressions_features, video_example, videos_features
from revoskit.files import part_of
from revoskit.info import plain
from revoskit.layout import Layout
from revoskit.rle import MaskSequence

CONFIGS = ("expressions", "videos")
VIDEO_INDEX = "video_index"
NUM_BYTES = b"revoskit.num_bytes"  # in a shard's footer: what its rows take once loaded

# A row group is the least that a reader can take, and what the writer holds. It ends with the video that fills it.
ROW_GROUP_BYTES = 16_000_000
MASKS_AT_A_TIME = 32


class Content(msgspec.Struct, frozen=True):
    """What is put into the shards."""

    frames: Literal["embed", "none"] = "embed"
    """The JPEGs as they are on disk in config `videos`, or no column `frames` at all."""
    max_side: int | None = None
    """Make videos whose longer side exceeds this many pixels smaller: frames, masks, `height` and `width`."""


class Shard(msgspec.Struct, frozen=True):
    """Consecutive videos of one split, to be written to one file."""

    config: str
    split: str
    number: int
    count: int
    first_video: int
    """Row of the first video in the split's `videos`."""
    video_ids: tuple[str, ...]
    rows: int
    num_bytes: int
    """What the frames and masks take in the official files."""

    @property
    def path(self) -> str:
        """Where it goes, relative to the published folder."""
        return f"{self.config}/{self.split}-{self.number:05d}-of-{self.count:05d}.parquet"


class WrittenShard(msgspec.Struct, frozen=True):
    """A shard in place."""

    shard: Shard
    file_bytes: int
    num_bytes: int
    """What its rows take once loaded."""


def published_features(config: str, content: Content) -> Features:
    """The columns of a published config: the builder's, with the frames in `videos` or nowhere.

    A row of `expressions` has in `video_index` the row of its video in the same split of `videos`.
    """
    columns = dict(videos_features() if config == "videos" else expressions_features())
    if config == "expressions":
        columns = {"video_id": columns.pop("video_id"), VIDEO_INDEX: Value("int32"), **columns}
    if config == "expressions" or content.frames == "none":
        del columns["frames"]
    return Features(columns)


def write_shard(shard: Shard, layout: Layout, folder: Path, content: Content) -> None:
    """Write a shard under a temporary name, and rename it into place once it is whole.

    In memory are two row groups, each of `ROW_GROUP_BYTES` and one video more at most, and the encoded form of one.

    Raises:
        MissingFilesError: a frame is not on disk.
        AnnotationError: a video's masks are missing or malformed.
        RevosError: a frame cannot be read, or a video's frames are too many for a row.
    """
    path = folder / shard.path
    path.parent.mkdir(parents=True, exist_ok=True)
    part = part_of(path)
    try:
        _write_parquet(part, shard, layout, content)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _write_parquet(path: Path, shard: Shard, layout: Layout, content: Content) -> None:
    schema = arrow_schema(published_features(shard.config, content))
    num_bytes = 0
    with (
        pq.ParquetWriter(path, schema, **_encodings(schema)) as writer,
        ThreadPoolExecutor(1) as thread,
        Frames(layout) as frames,
    ):
        writing: Future | None = None
        for group in _row_groups(_tables(shard, layout, content, schema, frames)):
            if writing:
                writing.result()
            # Native code that needs no interpreter: meanwhile the next masks are checked.
            writing = thread.submit(writer.write_table, group, row_group_size=group.num_rows)
            num_bytes += group.nbytes
        if writing:
            writing.result()
        writer.add_key_value_metadata({NUM_BYTES: str(num_bytes).encode()})


def arrow_schema(features: Features) -> pa.Schema:
    """The schema with the features in its metadata, spelled so that every supported version of `datasets` reads it."""
    described = {"info": {"features": plain(features.to_dict())}}
    return pa.schema(features.type).with_metadata({"huggingface": json.dumps(described)})


def _encodings(schema: pa.Schema) -> dict[str, Any]:
    """How each column is stored: JPEGs as they are, since nothing makes them smaller; the rest compressed."""
    sink = io.BytesIO()
    pq.write_table(schema.empty_table(), sink)
    stored = pq.read_metadata(sink).schema
    leaves = [stored.column(i).path for i in range(len(stored))]
    jpegs = [leaf for leaf in leaves if leaf.startswith("frames.") and leaf.endswith(".bytes")]
    others = [leaf for leaf in leaves if leaf not in jpegs]
    return {
        "compression": {leaf: "NONE" if leaf in jpegs else "ZSTD" for leaf in leaves},
        "use_dictionary": others,
        "write_statistics": others,
    }


def _row_groups(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """The rows of several videos together, until they take `ROW_GROUP_BYTES`."""
    waiting: list[pa.Table] = []
    for table in tables:
        waiting.append(table)
        if sum(one.nbytes for one in waiting) >= ROW_GROUP_BYTES:
            group, waiting = pa.concat_tables(waiting), []
            del table  # or it would be kept while the next video is read
            yield group
            del group
    if waiting:
        yield pa.concat_tables(waiting)


def _tables(shard: Shard, layout: Layout, content: Content, schema: pa.Schema, frames: Frames) -> Iterator[pa.Table]:
    """The rows of each video."""
    annotations = open_annotations(layout, shard.split)
    for index, video_id in enumerate(shard.video_ids, shard.first_video):
        video = annotations.video(video_id)
        masks = annotations.masks(video)
        size = published_size(video, content)
        smaller = size != (video.height, video.width)
        if smaller:
            video = msgspec.structs.replace(video, height=size[0], width=size[1])
            masks = _ResizedMasks(masks, *size)
        if shard.config == "expressions":
            rows = [{VIDEO_INDEX: index, **expression_example(video, e, masks, [])} for e in video.expressions]
            if rows:
                yield pa.Table.from_pylist(rows, schema)
            continue
        table = pa.Table.from_pylist([video_example(video, masks, [])], schema)
        if content.frames == "embed":
            place = schema.get_field_index("frames")
            table = table.set_column(place, schema.field(place), frames.column(video, resize=smaller))
        yield table


def published_size(video: Video, content: Content) -> tuple[int, int]:
    """Height and width of a video as published."""
    longer = max(video.height, video.width)
    if content.max_side is None or longer <= content.max_side:
        return video.height, video.width
    scale = content.max_side / longer
    return max(1, round(video.height * scale)), max(1, round(video.width * scale))


# --- masks of another size --------------------------------------------------------------------------------------------


class _ResizedMasks:
    """The masks of a video at another size, where `VideoMasks` is expected.

    Each pixel is the one that lies at its centre in the original. So the union of resized tracks is the resized union,
    and objects that do not overlap still do not. Null stays null; an object can become too small to cover any pixel.
    """

    def __init__(self, masks: VideoMasks, height: int, width: int) -> None:
        self._masks = masks
        self._rows = _centres(masks.video.height, height)
        self._columns = _centres(masks.video.width, width)
        self._resized: dict[frozenset[int], MaskSequence] = {}

    def track(self, annotation_id: int) -> MaskSequence:
        return self._resize(self._masks.track(annotation_id))

    def of(self, expression: Expression) -> MaskSequence:
        key = frozenset(expression.annotation_ids)
        if key not in self._resized:
            self._resized[key] = self._resize(self._masks.of(expression))
        return self._resized[key]

    def foreground(self) -> MaskSequence:
        return self._resize(self._masks.foreground())

    def _resize(self, masks: MaskSequence) -> list:
        resized = []
        for start in range(0, len(masks), MASKS_AT_A_TIME):
            some = masks[start : start + MASKS_AT_A_TIME]
            made = MaskSequence.encode(some.sample(self._rows, self._columns))
            resized += [None if mask is None else new for mask, new in zip(some, made, strict=True)]
        return resized


def _centres(before: int, after: int) -> np.ndarray:
    """For each row (or column) after resizing, the one before that its centre lies in."""
    return ((np.arange(after) + 0.5) * before / after).astype(np.intp)
