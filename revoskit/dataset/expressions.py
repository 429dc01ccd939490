"""`meta_expressions_*.json`: read whole, as records of videos and expressions, all of them checked.

What leaves this module has the types and the names that it ought to have: paths stay inside the dataset's folder.
"""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec

from revoskit.dataset import spellings
from revoskit.dataset.drawn import DrawnVideo
from revoskit.dataset.families import FAMILIES, Family
from revoskit.dataset.layout import SplitFiles, check_file_stem, check_relative
from revoskit.dataset.picture_tracks import PictureTracks
from revoskit.dataset.records import Expression, ExpressionType, UnsizedError, Video
from revoskit.dataset.tracks import TrackFile, open_once
from revoskit.errors import AnnotationError, FrameError, JsonError, Place
from revoskit.frames import Frame
from revoskit.masks.rle import MAX_PIXELS
from revoskit.text import brief

_ObjectId = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]
_AnnotationId = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
MAX_TRACKS = 10_000
"""Of one video, or named by one expression: thousands of times what any released dataset has."""
_TYPES = list(ExpressionType)  # by number: asking the class takes longer
_Pixels = Annotated[int, msgspec.Meta(gt=0, le=2**31 - 1)]


class _UntypedEntry(msgspec.Struct, gc=False):
    """An expression of a dataset without ReVOS's types."""

    exp: str
    obj_id: tuple[_ObjectId, ...]
    anno_id: tuple[_AnnotationId, ...]


class _TypedEntry(_UntypedEntry, gc=False):
    type_id: Annotated[int, msgspec.Meta(ge=0, le=2)]


class _HiddenEntry(_UntypedEntry, gc=False):
    """An expression that may not say which objects it means."""

    obj_id: tuple[_ObjectId, ...] = ()
    anno_id: tuple[_AnnotationId, ...] = ()


class _VideoEntry(msgspec.Struct):
    """A video that may not say its size."""

    frames: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    height: _Pixels | None = None
    width: _Pixels | None = None


class _DuplicateKey(dict[str, Any]):
    """A JSON object that has keys twice, noted while parsing and reported where its place is known."""

    keys_twice: list[str]


def _expression_type(files: SplitFiles) -> type[_UntypedEntry]:
    """How a split's expressions are to be read: strictly, but for what its family leaves out."""
    if files.hidden:
        return _HiddenEntry
    return _TypedEntry if FAMILIES[files.layout.family].typed else _UntypedEntry


def read_expressions(files: SplitFiles) -> dict[str, Video]:
    """The videos of a split, by id, in file order.

    Raises:
        AnnotationError: the file is not JSON, or not in the official format.
    """
    videos, faults = scan_expressions(files)
    if faults:
        raise faults[0]
    return videos


def scan_expressions(files: SplitFiles) -> tuple[dict[str, Video], list[AnnotationError]]:
    """Like `read_expressions`, but goes on: what can be read, less the faulty entries, and what is wrong with those.

    Raises:
        AnnotationError: the file as a whole cannot be read.
    """
    with contextlib.suppress(_InDoubtError):
        return _scan(files, _one_at_a_time(files.expressions), ())
    path = files.expressions
    document = _parse_json(path)
    place: Place = {"file": path}
    entries = _object(document, str(path), place).get("videos")
    twice = entries.keys_twice if isinstance(entries, _DuplicateKey) else []
    entries = entries if isinstance(entries, _DuplicateKey) else _object(entries, f"{path}: 'videos'", place)
    return _scan(files, entries.items(), twice)


def _scan(
    files: SplitFiles, entries: Iterable[tuple[str, Any]], twice: Collection[str]
) -> tuple[dict[str, Video], list[AnnotationError]]:
    place: Place = {"file": files.expressions}
    elsewhere = _video_ids(files.less)
    videos: dict[str, Video] = {}
    faults = [_twice(f"{files.expressions}: 'videos'", key, place | {"video": key}) for key in twice]
    for number, (video_id, entry) in enumerate(entries):
        if video_id not in elsewhere and video_id not in twice:
            with _noting(faults):
                videos[video_id] = _video(video_id, entry, files, number, faults)
    return videos, faults


class _InDoubtError(Exception):
    """Something may be wrong with a file: it is to be read by the parser that says what."""


def _one_at_a_time(path: Path) -> Iterator[tuple[str, Any]]:
    """The videos of a file and the entry of each, decoded when its turn comes: quick, and never all in memory.

    Raises:
        _InDoubtError: the file is not JSON, or a key is there twice, of which the parser keeps one. A key shows by its
            colon, but for colons in texts, which are as many before as after as long as none is written as a number.
    """
    try:
        content = path.read_bytes()
        document = msgspec.json.decode(content, type=dict[str, msgspec.Raw])
        videos = msgspec.json.decode(document["videos"], type=dict[str, msgspec.Raw])
        colons = content.count(b":") - _colons(document | {"videos": dict.fromkeys(videos)})
        for video_id, encoded in videos.items():
            entry = msgspec.json.decode(encoded)
            colons -= _colons(entry)
            yield video_id, entry
        if colons or rb"\u003" in content:
            raise _InDoubtError
    except (IsADirectoryError, KeyError, msgspec.MsgspecError, ValueError, OverflowError, RecursionError):
        raise _InDoubtError from None


def _colons(document: Any) -> int:
    return msgspec.json.encode(document).count(b":")


class _Sides(msgspec.Struct):
    height: Any = None
    width: Any = None


class _EverySides(msgspec.Struct):
    videos: dict[str, _Sides]


def ids_without_size(path: Path) -> list[str]:
    """The ids of the videos that do not say their height and width, found without reading all else; unchecked.

    None where the file cannot be read: that is said when it is opened.
    """
    try:
        content = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
        try:
            videos = msgspec.json.decode(content, type=_EverySides).videos
        except (msgspec.DecodeError, UnicodeDecodeError):  # one faulty video, or what only Python's own parser takes
            videos = msgspec.convert(_readable(json.loads(content)), dict[str, _Sides])
    except (OSError, ValueError, RecursionError):
        return []
    return [video_id for video_id, video in videos.items() if video.height is None or video.width is None]


def _readable(document: Any) -> dict[str, Any]:
    """The entries of a file that are objects."""
    entries = document.get("videos") if isinstance(document, dict) else None
    found = entries.items() if isinstance(entries, dict) else ()
    return {video_id: entry for video_id, entry in found if isinstance(entry, dict)}


def _video_ids(path: Path | None) -> Collection[str]:
    """Those of the videos that a file of expressions has; none where it is not there."""
    if path is None or not path.is_file():
        return ()
    return _object(
        _object(_parse_json(path), str(path), {"file": path}).get("videos"), str(path), {"file": path}
    ).keys()


@contextlib.contextmanager
def _noting(faults: list[AnnotationError]) -> Iterator[None]:
    try:
        yield
    except AnnotationError as error:
        faults.append(error)


def _parse_json(path: Path) -> Any:
    def note_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) == len(pairs):
            return found
        marked = _DuplicateKey(found)
        marked.keys_twice = [key for key, times in Counter(key for key, _ in pairs).items() if times > 1]
        return marked

    try:
        return json.loads(path.read_bytes(), object_pairs_hook=note_duplicates)
    except IsADirectoryError:
        raise JsonError(path, "it is a folder") from None
    except json.JSONDecodeError as error:
        at = f"line {error.lineno}, column {error.colno} (character {error.pos} of {len(error.doc)})"
        raise JsonError(path, f"{error.msg} at {at}") from None
    except UnicodeDecodeError as error:
        raise JsonError(path, f"byte {error.start} is not UTF-8") from None
    except RecursionError:
        raise JsonError(path, "it is nested too deeply") from None
    except ValueError as error:  # a number of thousands of digits
        raise JsonError(path, str(error)) from None


def _twice(where: str, key: str, place: Place) -> AnnotationError:
    return AnnotationError(f"{where} has the key {key!r} twice: one of the two would be lost", **place)


def _object(value: Any, where: str, place: Place) -> dict[str, Any]:
    if isinstance(value, _DuplicateKey):
        raise _twice(where, value.keys_twice[0], place)
    if not isinstance(value, dict):
        raise AnnotationError(f"{where}: expected an object, found {_brief(value)}", **place)
    return value


def _brief(value: Any) -> str:
    return "nothing" if value is None else f"{type(value).__name__} {brief(value)}"


_Entry = TypeVar("_Entry", bound=msgspec.Struct)


def _convert(
    value: Any, kind: type[_Entry], spelled: Callable[[dict[str, Any]], dict[str, Any]], where: str, place: Place
) -> _Entry:
    """An entry in its official form, also where it is spelled in another that is as clear."""
    entry = _object(value, where, place)
    with contextlib.suppress(msgspec.ValidationError, UnicodeEncodeError):
        return msgspec.convert(entry, kind)
    try:
        return msgspec.convert(spelled(entry), kind)
    except msgspec.ValidationError as error:
        raise AnnotationError(f"{where}: {error}", **place) from None
    except UnicodeEncodeError as error:  # msgspec reads keys as UTF-8
        raise AnnotationError(
            f"{where} has a key that holds half of a surrogate pair: {brief(error.object)}", **place
        ) from None


def _text(value: str, where: str, place: Place) -> str:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise AnnotationError(f"{where} holds half of a surrogate pair: {brief(value)}", **place) from None
    return value


def _video(video_id: str, value: Any, files: SplitFiles, number: int, faults: list[AnnotationError]) -> Video:
    """A video without those expressions that are faulty; they are added to `faults`."""
    path = files.expressions
    where = f"{path}: video {video_id!r}"
    place: Place = {"file": path, "video": video_id}
    check_relative(_text(video_id, where, place), f"{path}: video id", **place)
    drawn = None
    if files.picture_path is not None:
        drawn = DrawnVideo(video_id, _object(value, where, place), number, files)
        value = drawn.entry
    entry = _convert(value, _VideoEntry, spellings.video, where, place)
    if not _are_plain(entry.frames):
        for name in entry.frames:
            check_file_stem(_text(name, where, place), f"{where}: frame", **(place | {"frame": name}))
    said = _object(value.get("expressions"), f"{where}: 'expressions'", place)
    found = _official(said, files)
    expressions, every = (found, found) if found else _one_by_one(said, where, place, files, drawn, faults)
    pictures = () if drawn is None else drawn.pictures
    sides = entry.height or 0, entry.width or 0
    video = Video(video_id, *sides, entry.frames, tuple(expressions), pictures=pictures)
    if len(video.annotation_ids) > MAX_TRACKS:
        raise AnnotationError(f"{where} names {len(video.annotation_ids):,} tracks. {_TOO_MANY}", **place)
    if len(every) > len(expressions):  # whatever else is wrong with an expression, its tracks are still the video's
        whole = msgspec.structs.replace(video, expressions=tuple(every))
        video = msgspec.structs.replace(video, kept_tracks=tuple(whole.objects().items()))
    if entry.height is None or entry.width is None:
        height, width = _size_of(video, files, where, place)
        if entry.height not in (None, height) or entry.width not in (None, width):
            side = f"height {entry.height}" if entry.height is not None else f"width {entry.width}"
            raise AnnotationError(
                f"{where} says {side}, and its frames are {height}x{width} pixels (height x width)", **place
            )
        video = msgspec.structs.replace(video, height=height, width=width)
    return _require_pixels(video, where, place)


def _are_plain(names: Collection[str]) -> bool:
    """Whether all are of ASCII letters and digits alone, and so sound as they nearly always are: quick to tell."""
    joined = "".join(names)
    return joined.isascii() and joined.isalnum() and all(names)


def _official(said: dict[str, Any], files: SplitFiles) -> list[Expression] | None:
    """A video's expressions, if all are in the official form and nothing is wrong with any: quick to tell of many."""
    kind, family = _expression_type(files), FAMILIES[files.layout.family]
    if files.picture_path is not None or not _are_plain(said) or _DuplicateKey in map(type, said.values()):
        return None
    try:
        entries = [msgspec.convert(one, kind) for one in said.values()]
        "".join([entry.exp for entry in entries]).encode()
    except (msgspec.ValidationError, UnicodeEncodeError):
        return None
    if any(max(len(entry.anno_id), len(entry.obj_id)) > MAX_TRACKS for entry in entries):
        return None
    return [_record(key, entry, family) for key, entry in zip(said, entries, strict=True)]


def _one_by_one(
    said: dict[str, Any],
    where: str,
    place: Place,
    files: SplitFiles,
    drawn: DrawnVideo | None,
    faults: list[AnnotationError],
) -> tuple[list[Expression], list[Expression]]:
    """A video's expressions less the faulty ones, and with these as far as they name tracks."""
    expressions: list[Expression] = []
    every: list[Expression] = []
    for key, one in said.items():
        before = len(expressions)
        with _noting(faults):
            expressions.append(_expression(key, one, where, place, files, drawn))
        every.append(expressions[-1] if len(expressions) > before else _named_by(one))
    return expressions, every


_TOO_MANY = (
    f"At most {MAX_TRACKS:,} are read: no released dataset comes near, so the file is damaged or made to do harm. "
    "Compare its SHA-256 with the official one"
)


class _Named(msgspec.Struct):
    """What of an expression can be read even where the rest cannot: the tracks that it names."""

    obj_id: list[_ObjectId]
    anno_id: list[_AnnotationId]


def _named_by(said: Any) -> Expression:
    """An expression of which only the tracks count; none where not even those can be read."""
    with contextlib.suppress(msgspec.ValidationError, ValueError, TypeError):
        named = msgspec.convert(spellings.expression(said), _Named)
        if len(named.anno_id) <= MAX_TRACKS:
            return Expression("", "", None, tuple(named.obj_id), spellings.without_none(named.anno_id))
    return Expression("", "", None, (), ())


def _require_pixels(video: Video, where: str, place: Place) -> Video:
    """The video, if it is of a size that a frame can have."""
    if video.height * video.width > MAX_PIXELS:
        raise AnnotationError(
            f"{where} says that it is {video.height}x{video.width} pixels (height x width): frames of up to "
            f"{MAX_PIXELS:,} pixels are read ($REVOSKIT_MAX_PIXELS says otherwise)",
            **place,
        )
    return video


def _size_of(video: Video, files: SplitFiles, where: str, place: Place) -> tuple[int, int]:
    """The size of a video that does not say it: that of the first frame on disk that has one, or else of its masks."""
    frames = [frame for frame in files.frames(video) if frame is not None]
    size = next(filter(None, map(_frame_size, frames)), None) or _mask_size(video, files)
    if size is None and frames:
        raise AnnotationError(f"{where} does not say its height and width, and {frames[0].file} is no picture", **place)
    if size is None:
        raise UnsizedError(
            f"{where} does not say its height and width, and neither a frame nor a mask of it is there to read them "
            f"from: expected {files.video_folder(video.video_id) / video.frame_names[0]}.jpg or another of its "
            f"{len(video.frame_names)} frames. Put one there.",
            video,
            file=place["file"],
        )
    return size


def _frame_size(frame: Frame) -> tuple[int, int] | None:
    """Height and width, or None where it is no picture."""
    try:
        return frame.size()
    except FrameError:
        return None


def _mask_size(video: Video, files: SplitFiles) -> tuple[int, int] | None:
    """What the first mask of any of a video's tracks says, if it can be a size."""
    if not files.has_tracks:
        return None
    if files.picture_path is not None:
        return PictureTracks(files.tracks).size_of(video)
    tracks = open_once(TrackFile, files.tracks)
    for key in map(str, video.annotation_ids):
        masks = tracks.unchecked(key) if key in tracks else []
        size = next((mask["size"] for mask in masks if mask), [])
        if len(size) == 2 and min(size) > 0 and size[0] * size[1] <= MAX_PIXELS:
            return size[0], size[1]
    return None


def _expression(
    expression_id: str, value: Any, video: str, of_video: Place, files: SplitFiles, drawn: DrawnVideo | None
) -> Expression:
    where, place = f"{video}, expression {expression_id!r}", of_video | {"expression": expression_id}
    if drawn is not None:
        value = drawn.expression(value, where, place)
    entry = _convert(value, _expression_type(files), spellings.expression, where, place)
    # predictions are filed under it
    check_file_stem(_text(expression_id, where, place), f"{video}: expression id", **place)
    _text(entry.exp, where, place)
    if max(len(entry.anno_id), len(entry.obj_id)) > MAX_TRACKS:
        number = max(len(entry.anno_id), len(entry.obj_id))
        raise AnnotationError(f"{where} names {number:,} tracks. {_TOO_MANY}", **place)
    found = _record(expression_id, entry, FAMILIES[files.layout.family])
    return found if drawn is None else msgspec.structs.replace(found, kind=value.get("kind", ""))


def _record(expression_id: str, entry: _UntypedEntry, family: Family) -> Expression:
    """An entry that is sound, as the record of it."""
    text = entry.exp.replace("_", " ") if family.spaces_as_underscores else entry.exp
    kind = _TYPES[entry.type_id] if isinstance(entry, _TypedEntry) else None
    tracks = spellings.without_none(entry.anno_id)
    objects = entry.obj_id if tracks else spellings.without_none(entry.obj_id)
    return Expression(expression_id, text, kind, objects, tracks)
