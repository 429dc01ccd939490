"""The annotation files as records: videos, their expressions, and the tracks that expressions point to.

`meta_expressions_*.json` is read whole, as `Video` and `Expression` records. `mask_dict.json` is hundreds of megabytes,
so it is mapped into memory and only indexed: a track is decoded when it is asked for, and processes share the pages.
Everything read here has been checked: whatever leaves this module has the types, lengths and sizes it ought to have.
"""

from __future__ import annotations

import contextlib
import enum
import functools
import json
import mmap
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np

from revoskit.dataset.families import FAMILIES, REVOS, Family
from revoskit.dataset.layout import Layout, check_file_stem, check_relative
from revoskit.dataset.remapping import apply_mapping, folder_frames, read_mapping
from revoskit.errors import (
    AnnotationError,
    FrameError,
    MaskError,
    MissingFilesError,
    Place,
    UnsizedError,
    UsageError,
)
from revoskit.frames import FrameFile
from revoskit.masks.rle import MAX_PIXELS, RLE, MaskSequence


class ExpressionType(enum.IntEnum):
    """What an expression asks for; the values are the files' `type_id`."""

    REFERRING = 0
    REASONING = 1
    NONEXISTENT = 2

    @property
    def label(self) -> str:
        return self.name.lower()


class Expression(msgspec.Struct, frozen=True):
    """A phrase about one video and the objects that it means, as the file has them (none, one or several)."""

    expression_id: str
    text: str
    type: ExpressionType | None  # null where the dataset has no types: ReVOS always has them
    object_ids: tuple[int, ...]
    annotation_ids: tuple[int, ...]


class Video(msgspec.Struct, frozen=True):
    """A video of one split: its size in pixels, its frames in file order, its expressions in file order."""

    video_id: str
    height: int
    width: int
    frame_names: tuple[str, ...]
    expressions: tuple[Expression, ...]

    @property
    def source(self) -> str:
        """The dataset that the video was taken from, such as `LV-VIS`; empty where its id does not say."""
        return self.video_id.rpartition("/")[0].split("/")[0]

    @property
    def annotation_ids(self) -> tuple[int, ...]:
        """The tracks that the expressions name, each once, in ascending order."""
        return tuple(sorted({i for expression in self.expressions for i in expression.annotation_ids}))

    def object_id(self, annotation_id: int) -> int | None:
        """The object that a track belongs to: what the first expression that names the track pairs it with."""
        for expression in self.expressions:
            for obj, annotation in zip(expression.object_ids, expression.annotation_ids, strict=False):
                if annotation == annotation_id:
                    return obj
        return None


class VideoMasks:
    """The masks of one video, decoded when asked for and kept while this object lives.

    Expressions of a video share objects, so every union is made once for each distinct set of tracks.
    """

    def __init__(self, video: Video, tracks: TrackFile, foreground: ForegroundFile | None, family: str) -> None:
        self.video = video
        self._family = family
        self._tracks = tracks
        self._foreground_file = foreground
        self._by_id: dict[int, MaskSequence] = {}
        self._unions: dict[frozenset[int], MaskSequence] = {}
        self._foreground: MaskSequence | None = None

    def track(self, annotation_id: int) -> MaskSequence:
        """One track, verbatim: null where the object is not annotated.

        Raises:
            AnnotationError: mask_dict.json has no such track, or it does not fit the video.
        """
        if annotation_id not in self._by_id:
            with _advising(self._family):
                self._by_id[annotation_id] = self._tracks.read(annotation_id, self.video)
        return self._by_id[annotation_id]

    def union(self, annotation_ids: Collection[int]) -> MaskSequence:
        """Frame by frame, what any of these tracks covers; never null."""
        key = frozenset(annotation_ids)
        if key not in self._unions:
            tracks = [self.track(i) for i in sorted(key)]
            self._unions[key] = (
                tracks[0].union(*tracks[1:])
                if tracks
                else MaskSequence.empty(len(self.video.frame_names), self.video.height, self.video.width)
            )
        return self._unions[key]

    def of(self, expression: Expression) -> MaskSequence:
        """The masks that an expression means: the union of its tracks."""
        return self.union(expression.annotation_ids)

    def foreground(self) -> MaskSequence:
        """The union of every track that the video's expressions name, from its own file where that has the video."""
        if self._foreground is None:
            if self._foreground_file is not None and self.video.video_id in self._foreground_file:
                with _advising(self._family):
                    self._foreground = self._foreground_file.read(self.video)
            else:
                self._foreground = self.union(self.video.annotation_ids)
        return self._foreground


class HiddenMasks(VideoMasks):
    """The masks of a video whose split keeps them back: none at all, which is something else than empty masks."""

    def __init__(self, video: Video) -> None:
        self.video = video

    def track(self, annotation_id: int) -> MaskSequence:
        return MaskSequence.empty(0, self.video.height, self.video.width)

    def union(self, annotation_ids: Collection[int]) -> MaskSequence:
        return MaskSequence.empty(0, self.video.height, self.video.width)

    def foreground(self) -> MaskSequence:
        return MaskSequence.empty(0, self.video.height, self.video.width)


class _KeptMasks(VideoMasks):
    """The masks of a video at those frames that a mapping keeps."""

    def __init__(self, video: Video, filed: VideoMasks, kept: list[int]) -> None:
        self.video, self._filed, self._kept = video, filed, kept

    def track(self, annotation_id: int) -> MaskSequence:
        return self._filed.track(annotation_id).take(self._kept)

    def union(self, annotation_ids: Collection[int]) -> MaskSequence:
        return self._filed.union(annotation_ids).take(self._kept)

    def foreground(self) -> MaskSequence:
        return self._filed.foreground().take(self._kept)


class Annotations:
    """One split: its videos by id, in file order, and the masks of each.

    Where the layout names an alignment, a video that it maps has the frames that its masks belong to as its
    `frame_names`, in the order of the masks. All other videos are as filed, and so are those that have no frames on
    disk: there is nothing to count among.
    """

    def __init__(self, layout: Layout, split: str) -> None:
        self.layout = layout
        self.split = split
        self.unsized: dict[str, UnsizedError] = {}
        """The videos that are not among `videos`, since nothing tells their size: they lack all their frames."""
        with _advising(layout.family):
            self.videos, faults = scan_expressions(layout.expressions(split), _Form.of(layout, split))
            for fault in faults:
                if not isinstance(fault, UnsizedError):
                    raise fault
                self.unsized[fault.record.video_id] = fault
            self._filed: dict[str, Video] = {}
            self._kept: dict[str, list[int]] = {}
            self.hidden = layout.files(split).hidden and not (
                layout.tracks.is_file() and any(video.annotation_ids for video in self.videos.values())
            )
            if self.hidden:
                self.videos = {video_id: _without_tracks(video) for video_id, video in self.videos.items()}
            else:
                self._tracks = open_once(TrackFile, layout.tracks)
                self._foreground = open_once(ForegroundFile, layout.foreground) if layout.foreground.is_file() else None
        if layout.alignment is not None:
            self._align(layout.alignment)

    def _align(self, path: Path) -> None:
        """Apply a file of accepted mappings."""
        mappings = read_mapping(path)
        mapped = [video_id for video_id in self.videos if video_id in mappings]
        if self.hidden and mapped:
            raise UsageError(
                f"{self.split} keeps its masks back, so that there is none to find a frame for: take video "
                f"{min(mapped)!r} out of the mapping file {path}"
            )
        for video_id in mapped:
            folder = folder_frames(self.layout, video_id)
            if not folder:
                continue
            filed = self._filed[video_id] = self.videos[video_id]
            names = apply_mapping(mappings[video_id], filed, folder)
            self._kept[video_id] = [i for i, name in enumerate(names) if name is not None]
            kept = tuple(name for name in names if name is not None)
            self.videos[video_id] = msgspec.structs.replace(filed, frame_names=kept)

    def __reduce__(self):  # another process maps the files itself and so shares their pages
        return open_annotations, (self.layout, self.split)

    def __iter__(self) -> Iterator[Video]:
        return iter(self.videos.values())

    def video(self, video_id: str) -> Video:
        """The record of a video.

        Raises:
            AnnotationError: the split has no such video.
        """
        if video_id not in self.videos:
            raise AnnotationError(
                f"{self.layout.expressions(self.split)} has no video {video_id!r}; its {len(self.videos)} ids "
                f"look like {next(iter(self.videos), '-')!r}",
                file=self.layout.expressions(self.split),
                video=video_id,
            )
        return self.videos[video_id]

    def track_bytes(self, annotation_id: int) -> int:
        """What a track takes in its file, 0 where there is none: known without decoding, to divide work by size."""
        return self._tracks.num_bytes(str(annotation_id))

    def masks(self, video: Video) -> VideoMasks:
        """The masks of a video; where the split keeps them back (`hidden`), sequences without a single mask."""
        if self.hidden:
            return HiddenMasks(video)
        filed = self._filed.get(video.video_id, video)
        masks = VideoMasks(filed, self._tracks, self._foreground, self.layout.family)
        return masks if filed is video else _KeptMasks(video, masks, self._kept[video.video_id])


def _without_tracks(video: Video) -> Video:
    """A video whose expressions name no objects: where the masks are kept back, a name leads nowhere."""
    nameless = [msgspec.structs.replace(e, object_ids=(), annotation_ids=()) for e in video.expressions]
    return msgspec.structs.replace(video, expressions=tuple(nameless))


def open_annotations(layout: Layout, split: str) -> Annotations:
    """The annotations of a split, read once a process as long as the files stay as they are.

    Raises:
        MissingFilesError: files are missing.
        AnnotationError: a file is not in the official format; the message says where and what was expected.
    """
    layout.require()
    if not layout.expressions(split).is_file():
        raise MissingFilesError(
            f"{layout.expressions(split)} is not there. The splits that are: {', '.join(layout.splits())}"
        )
    found = _annotations(layout.within(split), split, layout.annotation_state())
    lacking = (error.record for error in found.unsized.values())
    if any(any(found.layout.frame_paths(video.video_id, video.frame_names)) for video in lacking):  # they came since
        found = Annotations(found.layout, split)
    return found


def missing_frames(annotations: Annotations) -> dict[str, list[str]]:
    """The names of the frames that are not on disk, by id of the videos that lack any."""
    missing = {video_id: list(error.record.frame_names) for video_id, error in annotations.unsized.items()}
    for video in annotations:
        paths = annotations.layout.frame_paths(video.video_id, video.frame_names)
        if names := [name for name, path in zip(video.frame_names, paths, strict=True) if path is None]:
            missing[video.video_id] = names
    return missing


def forget_annotations() -> None:
    """Read anew what is opened next.

    Sizes that were read from frames, and what a mapping counts among frames, do not follow when the frames change.
    """
    _annotations.cache_clear()


@functools.lru_cache(maxsize=3)
def _annotations(layout: Layout, split: str, stamps: tuple) -> Annotations:
    return Annotations(layout, split)


@contextlib.contextmanager
def _advising(family: str) -> Iterator[None]:
    """What to do, after what is wrong: for those who load and cannot go on, not for `check`, which lists all of it."""
    try:
        yield
    except AnnotationError as error:
        advice = "`revoskit check` lists all that is wrong with a copy of ReVOS."
        if family != REVOS:
            advice = f"See {FAMILIES[family].homepage}."
        raise error.advising(f"Correct the file or get it anew. {advice}") from None


def open_once(kind: type, path: Path) -> Any:
    """A `TrackFile` or `ForegroundFile`, mapped and indexed once a process as long as the file stays as it is."""
    return _opened(kind, path, _stamp(path))


@functools.lru_cache(maxsize=4)
def _opened(kind: type, path: Path, stamp: tuple) -> Any:
    return kind(path)


def _stamp(path: Path) -> tuple[str, int, int]:
    status = path.stat()
    return str(path), status.st_size, status.st_mtime_ns


# --- meta_expressions_*.json ------------------------------------------------------------------------------------------


_ObjectId = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]
_AnnotationId = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_Pixels = Annotated[int, msgspec.Meta(gt=0, le=2**31 - 1)]


class _ExpressionEntry(msgspec.Struct):
    exp: str
    obj_id: list[_ObjectId]
    anno_id: list[_AnnotationId]
    type_id: Annotated[int, msgspec.Meta(ge=0, le=2)]


class _UntypedEntry(msgspec.Struct):
    """An expression of a dataset without ReVOS's types."""

    exp: str
    obj_id: list[_ObjectId]
    anno_id: list[_AnnotationId]


class _HiddenEntry(_UntypedEntry):
    """An expression that may not say which objects it means."""

    obj_id: list[_ObjectId] = []
    anno_id: list[_AnnotationId] = []


class _VideoEntry(msgspec.Struct):
    height: _Pixels
    width: _Pixels
    frames: Annotated[list[str], msgspec.Meta(min_length=1)]


class _UnsizedEntry(_VideoEntry, kw_only=True):
    """A video that may not say its size."""

    height: _Pixels | None = None
    width: _Pixels | None = None


class _DuplicateKey(dict):
    """A JSON object that has a key twice, noted while parsing and reported where its place is known."""

    key: str


class _Form(msgspec.Struct, frozen=True):
    """How one split's expression file is to be read: strictly, but for what its family leaves out."""

    family: Family = FAMILIES[REVOS]
    hidden: bool = False
    layout: Layout | None = None  # where to look for frames when a video does not say its size

    @classmethod
    def of(cls, layout: Layout, split: str) -> _Form:
        return cls(FAMILIES[layout.family], layout.files(split).hidden, layout)

    @property
    def expression(self) -> type:
        if self.hidden:
            return _HiddenEntry
        return _ExpressionEntry if self.family.typed else _UntypedEntry


def read_expressions(path: Path, form: _Form | None = None) -> dict[str, Video]:
    """The videos of a `meta_expressions_*.json`, by id, in file order.

    Raises:
        AnnotationError: the file is not JSON, or not in the official format.
    """
    videos, faults = scan_expressions(path, form)
    if faults:
        raise faults[0]
    return videos


def scan_expressions(path: Path, form: _Form | None = None) -> tuple[dict[str, Video], list[AnnotationError]]:
    """Like `read_expressions`, but goes on: what can be read, less the faulty entries, and what is wrong with those.

    Raises:
        AnnotationError: the file as a whole cannot be read.
    """
    document = _parse_json(path)
    place: Place = {"file": path}
    entries = _object(_object(document, str(path), place).get("videos"), f"{path}: 'videos'", place)
    videos: dict[str, Video] = {}
    faults: list[AnnotationError] = []
    for video_id, entry in entries.items():
        with _noting(faults):
            videos[video_id] = _video(video_id, entry, path, form or _Form(), faults)
    return videos, faults


@contextlib.contextmanager
def _noting(faults: list[AnnotationError]) -> Iterator[None]:
    try:
        yield
    except AnnotationError as error:
        faults.append(error)


def _parse_json(path: Path) -> Any:
    def note_duplicates(pairs: list[tuple[str, Any]]) -> dict:
        found = dict(pairs)
        if len(found) == len(pairs):
            return found
        seen: set[str] = set()
        marked = _DuplicateKey(found)
        marked.key = next(key for key, _ in pairs if key in seen or seen.add(key))
        return marked

    try:
        return json.loads(path.read_bytes(), object_pairs_hook=note_duplicates)
    except json.JSONDecodeError as error:
        at = f"line {error.lineno}, column {error.colno} (character {error.pos} of {len(error.doc)})"
        raise _not_json(path, f"{error.msg} at {at}") from None
    except UnicodeDecodeError as error:
        raise _not_json(path, f"byte {error.start} is not UTF-8") from None
    except RecursionError:
        raise _not_json(path, "it is nested too deeply") from None
    except ValueError as error:  # a number of thousands of digits
        raise _not_json(path, str(error)) from None


def _not_json(path: Path, reason: str) -> AnnotationError:
    return AnnotationError(
        f"{path} is not valid JSON: {reason}. A download may have broken off ({path.stat().st_size:,} bytes are here): "
        "compare its SHA-256 with the official one.",
        file=path,
    )


def _object(value: Any, where: str, place: Place) -> dict:
    if isinstance(value, _DuplicateKey):
        raise AnnotationError(f"{where} has the key {value.key!r} twice: one of the two would be lost", **place)
    if not isinstance(value, dict):
        raise AnnotationError(f"{where}: expected an object, found {_brief(value)}", **place)
    return value


def _brief(value: Any) -> str:
    return "nothing" if value is None else f"{type(value).__name__} {value!r:.60}"


def _convert(value: Any, kind: type, where: str, place: Place) -> Any:
    try:
        return msgspec.convert(_object(value, where, place), kind)
    except msgspec.ValidationError as error:
        raise AnnotationError(f"{where}: {error}", **place) from None
    except UnicodeEncodeError as error:  # msgspec reads keys as UTF-8
        raise AnnotationError(
            f"{where} has a key that holds half of a surrogate pair: {error.object!r:.60}", **place
        ) from None


def _text(value: str, where: str, place: Place) -> str:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise AnnotationError(f"{where} holds half of a surrogate pair: {value!r:.60}", **place) from None
    return value


def _video(video_id: str, value: Any, path: Path, form: _Form, faults: list[AnnotationError]) -> Video:
    """A video without those expressions that are faulty; they are added to `faults`."""
    where = f"{path}: video {video_id!r}"
    place: Place = {"file": path, "video": video_id}
    entry = _convert(value, _VideoEntry if form.family.sized else _UnsizedEntry, where, place)
    check_relative(_text(video_id, where, place), f"{path}: video id", **place)
    for name in entry.frames:
        check_file_stem(_text(name, where, place), f"{where}: frame", **(place | {"frame": name}))
    expressions: list[Expression] = []
    for key, expression in _object(value.get("expressions"), f"{where}: 'expressions'", place).items():
        with _noting(faults):
            expressions.append(_expression(key, expression, where, place, form))
    video = Video(video_id, entry.height or 0, entry.width or 0, tuple(entry.frames), tuple(expressions))
    if entry.height is None or entry.width is None:
        height, width = _size_of(video, form.layout, where, place)
        if entry.height not in (None, height) or entry.width not in (None, width):
            said = f"height {entry.height}" if entry.height is not None else f"width {entry.width}"
            raise AnnotationError(
                f"{where} says {said}, and its frames are {height}x{width} pixels (height x width)", **place
            )
        return msgspec.structs.replace(video, height=height, width=width)
    return video


def _size_of(video: Video, layout: Layout, where: str, place: Place) -> tuple[int, int]:
    """The size of a video that does not say it: that of the first frame on disk that has one, or else of its masks."""
    paths = [path for path in layout.frame_paths(video.video_id, video.frame_names) if path is not None]
    size = next(filter(None, map(_frame_size, paths)), None) or _mask_size(video, layout.tracks)
    if size is None and paths:
        raise AnnotationError(f"{where} does not say its height and width, and {paths[0]} is no picture", **place)
    if size is None:
        raise UnsizedError(
            f"{where} does not say its height and width, and neither a frame nor a mask of it is there to read them "
            f"from: expected {layout.video_folder(video.video_id) / video.frame_names[0]}.jpg or another of its "
            f"{len(video.frame_names)} frames. Put one there.",
            video,
            file=place["file"],
        )
    return size


def _frame_size(path: str) -> tuple[int, int] | None:
    """Height and width, or None where it is no picture."""
    try:
        return FrameFile(path).size()
    except FrameError:
        return None


def _mask_size(video: Video, path: Path) -> tuple[int, int] | None:
    """What the first mask of any of a video's tracks says, if it can be a size."""
    tracks: TrackFile | tuple = open_once(TrackFile, path) if path.is_file() else ()
    for key in map(str, video.annotation_ids):
        masks = tracks.unchecked(key) if key in tracks else []
        size = next((mask["size"] for mask in masks if mask), [])
        if len(size) == 2 and min(size) > 0 and size[0] * size[1] <= MAX_PIXELS:
            return size[0], size[1]
    return None


def _expression(expression_id: str, value: Any, video: str, of_video: Place, form: _Form) -> Expression:
    where, place = f"{video}, expression {expression_id!r}", of_video | {"expression": expression_id}
    entry = _convert(value, form.expression, where, place)
    # predictions are filed under it
    check_file_stem(_text(expression_id, where, place), f"{video}: expression id", **place)
    text = _text(entry.exp, where, place)
    if form.family.spaces_as_underscores:
        text = text.replace("_", " ")
    kind = ExpressionType(entry.type_id) if form.family.typed else None
    return Expression(expression_id, text, kind, tuple(entry.obj_id), tuple(entry.anno_id))


# --- mask_dict.json and mask_dict_foreground.json ---------------------------------------------------------------------


class _MappedObject:
    """A JSON file that is one large object: mapped into memory, its members found but not decoded."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._members = _index(path)

    def __contains__(self, key: str) -> bool:
        return key in self._members

    def __len__(self) -> int:
        return len(self._members)

    def keys(self) -> Collection[str]:
        return self._members.keys()

    def num_bytes(self, key: str) -> int:
        return len(memoryview(self._members[key])) if key in self._members else 0

    def _decode(self, key: str, decoder: msgspec.json.Decoder, where: str, place: Place) -> Any:
        try:
            return decoder.decode(self._members[key])
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise AnnotationError(f"{self.path}: {where}: {error}", file=self.path, **place) from None


class TrackFile(_MappedObject):
    """`mask_dict.json`: every track by its annotation id."""

    _decoder = msgspec.json.Decoder(list[RLE | None])

    def unchecked(self, annotation_id: str) -> list[RLE | None]:
        """A track as the file has it, for whoever looks for what is wrong with it: its masks may be malformed.

        Raises:
            AnnotationError: it is not a list of masks and nulls.
        """
        return self._decode(annotation_id, self._decoder, f"track {annotation_id}", {"track": annotation_id})

    def read(self, annotation_id: int, video: Video) -> MaskSequence:
        """The track as masks of `video`, one per frame, verbatim.

        Raises:
            AnnotationError: there is no such track, or it does not fit the video's frames and size.
        """
        key = str(annotation_id)
        if key not in self:
            named_by = next(e.expression_id for e in video.expressions if annotation_id in e.annotation_ids)
            raise AnnotationError(
                f"{self.path} has no track {key!r}, which expression {named_by!r} of video {video.video_id!r} names. "
                "The two files may be of different releases: compare their SHA-256 with the official ones.",
                file=self.path,
                video=video.video_id,
                expression=named_by,
                track=key,
            )
        where, place = f"track {key} of video {video.video_id!r}", Place(track=key, video=video.video_id)
        return _fit(self._decode(key, self._decoder, where, place), video, self.path, where, place)


class ForegroundEntry(msgspec.Struct):
    """What the file says of one video: a mask per frame, and the share of the frame's pixels that each covers."""

    masks_rle: list[RLE | None]
    foreground_ratio: Any = None


class ForegroundFile(_MappedObject):
    """`mask_dict_foreground.json`: per video, the union of its annotated objects."""

    _decoder = msgspec.json.Decoder(ForegroundEntry)

    def unchecked(self, video_id: str) -> ForegroundEntry:
        """A video's entry as the file has it; raises as `TrackFile.unchecked` does."""
        return self._decode(video_id, self._decoder, f"video {video_id!r}", {"video": video_id})

    def read(self, video: Video) -> MaskSequence:
        """The foreground masks of `video`, one per frame, null read as empty; raises as `TrackFile.read` does."""
        where, place = f"video {video.video_id!r}", Place(video=video.video_id)
        entry = self._decode(video.video_id, self._decoder, where, place)
        return _fit(entry.masks_rle, video, self.path, where, place).filled()


def _fit(masks: list[RLE | None], video: Video, file: Path, where: str, place: Place) -> MaskSequence:
    frames = len(video.frame_names)
    if len(masks) != frames:
        raise AnnotationError(
            f"{file}: {where} has {len(masks)} masks, expected one for each of the video's {frames} frames",
            file=file,
            **place,
        )
    try:
        return MaskSequence.parse(masks, video.height, video.width)
    except MaskError as error:
        at, index, reason = "", error.index, error.reason
        if index is not None:
            name = video.frame_names[index]
            at, place = f", frame {name!r} (number {index})", place | {"frame": name}
        raise MaskError(f"{file}: {where}{at}: {reason}", index=index, reason=reason, file=file, **place) from None


_KEY = rb'\s*"(?:[^"\\]|\\.)*"\s*:\s*'
_BEFORE_FIRST = re.compile(rb"\s*\{" + _KEY, re.DOTALL)
_BETWEEN = re.compile(rb"\s*," + _KEY, re.DOTALL)


def _index(path: Path) -> dict[str, msgspec.Raw]:
    """The members of a file's one object, each still as the bytes of the mapped file."""
    if path.stat().st_size == 0:
        raise _not_json(path, "it is empty")
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    try:
        members = msgspec.json.decode(mapped, type=dict[str, msgspec.Raw])
    except msgspec.ValidationError as error:
        raise AnnotationError(f"{path}: {error}", file=path) from None
    except msgspec.DecodeError as error:
        raise _not_json(path, str(error)) from None
    except UnicodeDecodeError:
        raise _not_json(path, "a key is not UTF-8") from None
    except RecursionError:
        raise _not_json(path, "it is nested too deeply") from None
    refuse_duplicates(path, mapped, members)
    return members


def refuse_duplicates(path: Path, mapped: mmap.mmap | msgspec.Raw, members: dict[str, msgspec.Raw]) -> None:
    """See that none of an object's members was lost to a later one with the same key.

    A decoded dict has lost all but the last of equal keys; the lost ones show as bytes between the values kept.

    Raises:
        AnnotationError: one was.
    """
    base = np.frombuffer(mapped, np.uint8).ctypes.data
    spans = sorted((np.frombuffer(raw, np.uint8).ctypes.data - base, len(memoryview(raw))) for raw in members.values())
    position = 0
    for start, length in spans:
        pattern = _BETWEEN if position else _BEFORE_FIRST
        if not pattern.fullmatch(memoryview(mapped), position, start):
            lost = re.compile(rb'"((?:[^"\\]|\\.)*)"', re.DOTALL).search(memoryview(mapped), position)
            raise AnnotationError(
                f"{path} has the key {lost[1].decode(errors='replace')!r} twice (the first at byte {lost.start()}): "
                "one of the two would be lost",
                file=path,
            )
        position = start + length
