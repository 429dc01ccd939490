"""One Parquet shard of a published dataset: its columns, and the function that writes it.

A shard is a pure function of its record, the dataset and the options: the same bytes come out whichever process or
machine writes it. Plain `datasets` reads the files, without any of our code.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Features, Value

from revoskit.atomic import replacing
from revoskit.dataset.annotations import Annotations, open_annotations
from revoskit.dataset.changes import unchanged
from revoskit.dataset.columns import expression_example, expressions_features, video_example, videos_features
from revoskit.dataset.layout import FileState, Layout
from revoskit.dataset.records import Expression, Video
from revoskit.dataset.video_masks import VideoMasks
from revoskit.errors import RevosError
from revoskit.frames import nearest
from revoskit.masks.rle import MaskSequence
from revoskit.publishing.dataset_info import plain
from revoskit.publishing.frames_column import MAX_COLUMN_BYTES, Frames
from revoskit.publishing.preview import PICTURE, PREVIEW, preview_examples, preview_features
from revoskit.workers import interrupts_held

CONFIGS = ("expressions", "videos")
EVERY_CONFIG = (PREVIEW, *CONFIGS)
"""The first of those that are published is the one that the Hub's viewer opens, and that is loaded without a name."""
VIDEO_INDEX = "video_index"
WRITER = 4  # one more whenever the same shard comes out as other bytes, so that none is taken for another's
# In a shard's footer: what it is, and what its rows take once loaded.
IDENTITY = b"revoskit.shard"
NUM_BYTES = b"revoskit.num_bytes"
SCALED = b"revoskit.scaled"  # the videos some of whose frames had another size than the annotations say, as JSON
SQUEEZED = b"revoskit.squeezed"  # the videos whose frames were encoded anew for a row to hold them, as JSON

# A row group is the least that a reader can take, and what the writer holds. It has the rows of one video, so that a
# filter by video reads nothing else, and a changed video leaves the bytes of the others as they were; a video whose
# expressions take more than this has several.
ROW_GROUP_BYTES = 16_000_000
# What `datasets` writes too, as its own writer names it in the footer: pages end where the content says so.
CHUNKING = {"min_chunk_size": 256 * 1024, "max_chunk_size": 1024 * 1024, "norm_level": 0}
CHUNKED = b"content_defined_chunking"
EMPTY_MASK_BYTES = 40  # of a mask that covers nothing, and the name of its frame


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
    """What the frames and masks take in the official files, or a preview's pictures at most."""
    frame_bytes: int = 0
    """Those of the frames that are embedded, or of the pictures."""
    frames: str = ""
    """A digest of the size and time of every frame that is embedded."""

    @property
    def path(self) -> str:
        """Where it goes, relative to the published folder."""
        return self._path(f"{self.number:05d}")

    @property
    def pattern(self) -> str:
        """What the paths of all shards of its split have in common, and those of another division have not."""
        return self._path("*")

    def _path(self, number: str) -> str:
        return f"{self.config}/{self.split}-{number}-of-{self.count:05d}.parquet"


def identity(shard: Shard, content: Content) -> str:
    """What a shard's footer says it is, wherever and whenever it was written."""
    what = msgspec.json.encode([WRITER, msgspec.structs.replace(shard, frames=""), content])
    return hashlib.sha256(what).hexdigest()


class WrittenShard(msgspec.Struct, frozen=True):
    """A shard in place."""

    shard: Shard
    file_bytes: int
    num_bytes: int
    """What its rows take once loaded."""
    squeezed: tuple[str, ...] = ()
    """The videos whose frames were encoded anew, since a row cannot hold them as they are."""
    scaled: tuple[str, ...] = ()
    """The videos some of whose frames had another size than the annotations say, and were brought to that."""


def published_features(config: str, content: Content) -> Features:
    """The columns of a published config: the builder's, with the frames in `videos` or nowhere.

    A row of `expressions` has in `video_index` the row of its video in the same split of `videos`. `preview` is not
    among the builder's.
    """
    if config == PREVIEW:
        return preview_features()
    columns = dict(videos_features() if config == "videos" else expressions_features())
    if config == "expressions":
        columns = {"video_id": columns.pop("video_id"), VIDEO_INDEX: Value("int32"), **columns}
    if config == "expressions" or content.frames == "none":
        del columns["frames"]
    return Features(columns)


def write_shard(shard: Shard, layout: Layout, state: FileState, folder: Path, content: Content) -> None:
    """Write a shard under a temporary name, and rename it into place once it is whole.

    In memory are the rows of two videos, or `ROW_GROUP_BYTES` of each, and the encoded form of one.

    Raises:
        ChangedError: the annotation files are not, or do not stay, in the state that they were planned in.
        MissingFilesError: a frame is not on disk.
        FrameError: a frame cannot be read, or is not a whole JPEG.
        AnnotationError: a video's masks are missing or malformed.
        RevosError: a video's frames or masks are too many for a row.
        StorageError: the disk is full.
    """
    path = folder / shard.path
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part, unchanged(layout, state):
        _write_parquet(part, shard, layout, content)


def _write_parquet(path: Path, shard: Shard, layout: Layout, content: Content) -> None:
    schema = arrow_schema(published_features(shard.config, content))
    jpegs = {"frames", PICTURE} & set(schema.names)
    chunked = not jpegs  # to look for where to end pages in JPEGs takes longer than to write them
    with _Writer(path, schema, chunked) as writer, Frames(layout.split(shard.split)) as frames:
        for table in _tables(shard, layout, content, schema, frames):
            writer.write(table)
            del table  # or it would be kept while the next video is read
        anew = {SQUEEZED: msgspec.json.encode(frames.squeezed), SCALED: msgspec.json.encode(frames.scaled)}
        writer.finish({IDENTITY: identity(shard, content).encode(), **anew})


class _Writer:
    """Writes row groups in a thread: native code that needs no interpreter, so that meanwhile the next are made."""

    def __init__(self, path: Path, schema: pa.Schema, chunked: bool) -> None:
        self._file = path.open("wb")  # by Python, which opens what has a name that is no text
        self._writer = pq.ParquetWriter(
            self._file,
            schema,
            write_page_index=True,
            use_content_defined_chunking=CHUNKING if chunked else False,
            **_encodings(schema),
        )
        self._footer = {CHUNKED: json.dumps(CHUNKING).encode()} if chunked else {}
        self._thread = ThreadPoolExecutor(1)
        self._writing: Future[None] | None = None
        self._num_bytes = 0

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, *error: object) -> None:
        with interrupts_held():  # closed while the thread still writes, it would crash
            self._thread.shutdown()
            with self._file:
                self._writer.close()

    def write(self, group: pa.Table) -> None:
        """Begin to write a row group, once the one before is written."""
        self._wait()
        self._writing = self._thread.submit(self._writer.write_table, group, row_group_size=group.num_rows)
        self._num_bytes += group.nbytes

    def finish(self, metadata: dict[bytes, bytes]) -> None:
        self._wait()
        footer = {**self._footer, **metadata, NUM_BYTES: str(self._num_bytes).encode()}
        self._writer.add_key_value_metadata({key.decode(): value.decode() for key, value in footer.items()})

    def _wait(self) -> None:
        if self._writing:
            self._writing.result()


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
    jpegs = [leaf for leaf in leaves if leaf.startswith(("frames.", f"{PICTURE}.")) and leaf.endswith(".bytes")]
    others = [leaf for leaf in leaves if leaf not in jpegs]
    return {
        "compression": {leaf: "NONE" if leaf in jpegs else "ZSTD" for leaf in leaves},
        "use_dictionary": others,
        "write_statistics": others,
    }


def _tables(shard: Shard, layout: Layout, content: Content, schema: pa.Schema, frames: Frames) -> Iterator[pa.Table]:
    """The rows of each video, a row group at a time."""
    annotations = open_annotations(layout, shard.split)
    for index, video_id in enumerate(shard.video_ids, shard.first_video):
        video = annotations.video(video_id)
        masks = annotations.masks(video)
        as_filed, size = video, published_size(video, content)
        if shard.config == PREVIEW:
            yield pa.Table.from_pylist(list(preview_examples(annotations, video, size)), schema)
            continue
        if size != (video.height, video.width):
            video = msgspec.structs.replace(video, height=size[0], width=size[1])
            masks = _ResizedMasks(video, masks)
        if shard.config == "expressions":
            for some in _by_size(annotations, video):
                rows = [{VIDEO_INDEX: index, **expression_example(video, e, masks, [])} for e in some]
                yield pa.Table.from_pylist(rows, schema)
            continue
        _require_fitting(annotations, video, video.annotation_ids, "its tracks")
        table = pa.Table.from_pylist([video_example(video, masks, [])], schema)
        if content.frames == "embed":
            place = schema.get_field_index("frames")
            table = table.set_column(place, schema.field(place), frames.column(as_filed, size))
        yield table


def _by_size(annotations: Annotations, video: Video) -> Iterator[list[Expression]]:
    """A video's expressions, as many together as fill a row group: they can be thousands, each with all its masks."""
    some: list[Expression] = []
    num_bytes = 0
    for expression in video.expressions:
        what = f"the masks of expression {expression.expression_id!r}"
        num_bytes += _require_fitting(annotations, video, expression.annotation_ids, what)
        num_bytes += EMPTY_MASK_BYTES * len(video.frame_names)
        some.append(expression)
        if num_bytes >= ROW_GROUP_BYTES:
            yield some
            some, num_bytes = [], 0
    if some:
        yield some


def _require_fitting(annotations: Annotations, video: Video, annotation_ids: Iterable[int], what: str) -> int:
    """The bytes of these tracks in the official file; an error where a row cannot hold as many."""
    num_bytes = sum(annotations.track_bytes(i) for i in annotation_ids)
    if num_bytes > MAX_COLUMN_BYTES:
        raise RevosError(
            f"video {video.video_id!r}: {what} take {num_bytes:,} bytes, a row can hold {MAX_COLUMN_BYTES:,}"
        )
    return num_bytes


def published_size(video: Video, content: Content) -> tuple[int, int]:
    """Height and width of a video as published."""
    longer = max(video.height, video.width)
    if content.max_side is None or longer <= content.max_side:
        return video.height, video.width
    scale = content.max_side / longer
    return max(1, round(video.height * scale)), max(1, round(video.width * scale))


# --- masks of another size --------------------------------------------------------------------------------------------


class _ResizedMasks(VideoMasks):
    """The masks of a video at another size, which `video` states.

    Each pixel is the one that lies at its centre in the original. So the union of resized tracks is the resized union,
    and objects that do not overlap still do not. Null stays null; an object can become too small to cover any pixel.
    """

    def __init__(self, video: Video, masks: VideoMasks) -> None:
        self.video = video
        self._masks = masks
        self._rows = nearest(masks.video.height, video.height)
        self._columns = nearest(masks.video.width, video.width)
        self._unions: dict[frozenset[int], MaskSequence] = {}

    def track(self, annotation_id: int) -> MaskSequence:
        return self._resized(self._masks.track(annotation_id))

    def union(self, annotation_ids: Collection[int]) -> MaskSequence:
        key = frozenset(annotation_ids)
        if key not in self._unions:
            self._unions[key] = self._resized(self._masks.union(key))
        return self._unions[key]

    def foreground(self) -> MaskSequence:
        return self._resized(self._masks.foreground())

    def filed_foreground(self) -> MaskSequence:
        return self._resized(self._masks.filed_foreground())

    def of_size(self, height: int, width: int) -> VideoMasks:
        return _ResizedMasks(self.video, self._masks.of_size(height, width))

    def _resized(self, masks: MaskSequence) -> MaskSequence:
        return masks.resampled(self._rows, self._columns)
