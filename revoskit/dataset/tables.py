"""Rows of every config as Arrow tables, built column by column: what `datasets` makes of the examples of `columns`.

`datasets` turns an example into Arrow by walking its lists, several Python objects for every mask of every frame. Here
the masks of each set of tracks and the frames of a video become an array once, and rows are put together from these.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import Features

from revoskit.dataset.columns import expression_columns, video_columns
from revoskit.dataset.records import Video
from revoskit.dataset.video_masks import VideoMasks
from revoskit.frames import EncodedFrame
from revoskit.masks.rle import MaskSequence

Shown = tuple[Video, VideoMasks, list[EncodedFrame | None]]
"""A video, its masks and its frames."""


def expression_tables(videos: Iterable[Shown], features: Features, rows: int) -> Iterator[pa.Table]:
    """The rows of config `expressions`, `rows` in each table but the last."""
    schema = pa.schema(features.type)
    return _of_length((part for shown in videos for part in _expressions(*shown, schema, rows)), rows)


def video_tables(videos: Iterable[Shown], features: Features, rows: int) -> Iterator[pa.Table]:
    """The rows of config `videos`, `rows` in each table but the last."""
    schema = pa.schema(features.type)
    return _of_length((_video(*shown, schema) for shown in videos), rows)


def _of_length(tables: Iterable[pa.Table], rows: int) -> Iterator[pa.Table]:
    """The same rows in tables of this length; the last one may be shorter."""
    waiting: list[pa.Table] = []
    number = 0
    for table in tables:
        waiting.append(table)
        number += table.num_rows
        while number >= rows:
            joined = pa.concat_tables(waiting)
            yield joined.slice(0, rows)
            waiting, number = [joined.slice(rows)], number - rows
    if number:
        yield pa.concat_tables(waiting)


def _expressions(
    video: Video, masks: VideoMasks, frames: list[EncodedFrame | None], schema: pa.Schema, rows: int
) -> Iterator[pa.Table]:
    of_video = _of_video(video, frames, schema)
    known: dict[frozenset[int], pa.Array[Any]] = {}
    expressions = iter(video.expressions)
    while some := list(islice(expressions, rows)):
        # In chunks, which `datasets` joins as it writes them: to join them here too would copy every mask once more.
        columns: dict[str, Any] = {name: pa.chunked_array([array] * len(some)) for name, array in of_video.items()}
        examples = [expression_columns(expression) for expression in some]
        for name in examples[0]:
            columns[name] = pa.array([example[name] for example in examples], schema.field(name).type)
        of_rows = []
        for expression in some:
            key = frozenset(expression.annotation_ids)
            if key not in known:
                known[key] = _masks(masks.of(expression), schema.field("masks").type)
            of_rows.append(known[key])
        columns["masks"] = pa.chunked_array(of_rows)
        yield _table(columns, schema)


def _video(video: Video, masks: VideoMasks, frames: list[EncodedFrame | None], schema: pa.Schema) -> pa.Table:
    columns = _of_video(video, frames, schema)
    tracks, objects = schema.field("tracks").type, video.objects()
    types = {field.name: field.type for field in tracks.value_type}
    of_tracks = [_masks(masks.track(i), types["masks"]) for i in objects]
    per_track = {
        "annotation_id": pa.array(list(objects), types["annotation_id"]),
        "object_id": pa.array(list(objects.values()), types["object_id"]),
        "masks": pa.concat_arrays(of_tracks) if of_tracks else pa.array([], types["masks"]),
    }
    columns["tracks"] = _row(_struct(per_track, tracks.value_type), tracks)
    expressions = [expression_columns(expression) for expression in video.expressions]
    columns["expressions"] = pa.array([expressions], schema.field("expressions").type)
    columns["foreground"] = _masks(masks.foreground(), schema.field("foreground").type)
    return _table(columns, schema)


def _of_video(video: Video, frames: list[EncodedFrame | None], schema: pa.Schema) -> dict[str, pa.Array[Any]]:
    """The columns that every row of a video has in common, a row of each."""
    return {name: pa.array([value], schema.field(name).type) for name, value in video_columns(video, frames).items()}


def _masks(masks: MaskSequence, column: Any) -> pa.Array[Any]:
    """One row, with a struct for each frame: size and counts, both null where the mask is."""
    kind = column.value_type
    stored = masks.counts()
    there = stored.sizes() > 0
    sizes, absent = _sizes(there.tobytes(), masks.height, masks.width, kind.field("size").type)
    offsets = pa.array(np.append(0, stored.ends), pa.int32()).buffers()[1]
    counts: Any = pa.Array.from_buffers(
        kind.field("counts").type, len(there), [sizes.buffers()[0], offsets, pa.py_buffer(stored.characters)]
    )
    return _row(_struct({"size": sizes, "counts": counts}, kind, absent), column)


@functools.lru_cache(maxsize=4)  # all unions of a video have the same
def _sizes(there: bytes, height: int, width: int, kind: pa.DataType) -> tuple[Any, Any]:
    """The sizes of masks that are there, a byte each that is 0 or 1; and which are absent, null where none is."""
    here = np.frombuffer(there, bool)
    numbers: Any = pa.array(np.tile(np.array([height, width], np.int32), np.count_nonzero(here)))
    offsets = pa.array(np.append(0, np.cumsum(2 * here)), pa.int32())
    absent: Any = None if here.all() else pa.array(~here)
    return pa.ListArray.from_arrays(offsets, numbers, type=kind, mask=absent), absent


def _struct(columns: dict[str, pa.Array[Any]], kind: pa.StructType, absent: Any = None) -> pa.Array[Any]:
    fields = [kind.field(i) for i in range(kind.num_fields)]
    return pa.StructArray.from_arrays([columns[field.name] for field in fields], fields=fields, mask=absent)


def _row(values: pa.Array[Any], kind: pa.DataType) -> pa.Array[Any]:
    """One row of a list type, whose value is the list of these."""
    return pa.ListArray.from_arrays(pa.array([0, len(values)], pa.int32()), values, type=kind)


def _table(columns: dict[str, Any], schema: pa.Schema) -> pa.Table:
    return pa.Table.from_arrays([columns[name] for name in schema.names], schema=schema)
