"""`mask_dict.json` and `mask_dict_foreground.json`: read and decoded as far as they are asked for.

`mask_dict.json` is hundreds of megabytes, so it is only indexed: a track is read and decoded when its turn comes. What
is read has been checked: it has the number and the size of masks that its video ought to have.
"""

from __future__ import annotations

import functools
import json
import re
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, cast

import msgspec

from revoskit.dataset import spellings
from revoskit.dataset.records import Video
from revoskit.dataset.stretches import Content, Stretch, Stretches, stretches_of
from revoskit.errors import AnnotationError, JsonError, MaskError, Place
from revoskit.kinds import Kind
from revoskit.masks.rle import RLE, MaskSequence

_Decoded = TypeVar("_Decoded")
Sparse = Callable[[Sequence[int]], MaskSequence]
"""Gives the masks of a few frames."""


class Tracks(Protocol):
    """The tracks of a split, wherever they lie: in a file or in PNGs."""

    path: Path

    def __contains__(self, key: str) -> bool: ...

    def num_bytes(self, key: str) -> int: ...

    def read(self, annotation_id: int, video: Video) -> MaskSequence:
        """The track as masks of `video`, one per frame.

        Raises:
            AnnotationError: there is no such track, or it does not fit the video's frames and size.
        """
        ...


class IndexedObject:
    """A JSON file that is one large object: its members found, and read when they are asked for."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stretches = Stretches(path)
        content = self._stretches.content()
        begin = len(_BYTE_ORDER_MARK) if content[:3] == _BYTE_ORDER_MARK else 0
        members = _index(path, content[begin:])
        self._members = stretches_of(content, members)
        self._twice = self._told_apart(content, begin, members)
        """Of each key that is there twice with different values, what is wrong with it."""

    def _told_apart(self, content: memoryview, begin: int, members: dict[str, msgspec.Raw]) -> dict[str, str]:
        """A member that is there twice is in doubt only where the two differ, and the others are not."""
        twice = {}
        for position, start in _gaps(content, self._members.values(), begin):
            for key, value in _lost(self.path, content, position, start):
                if value != msgspec.json.decode(members[key]):
                    first = position + bytes(content[position:start]).find(f'"{key}"'.encode())
                    last = self._members[key].position
                    twice[key] = (
                        f"it is there twice, with different masks, at byte {first} and at byte {last}: which is meant "
                        "is not known"
                    )
        return twice

    def __contains__(self, key: str) -> bool:
        return key in self._members

    def __len__(self) -> int:
        return len(self._members)

    def keys(self) -> Collection[str]:
        return self._members.keys()

    def num_bytes(self, key: str) -> int:
        return self._members[key].length if key in self._members else 0

    def _decode(self, key: str, form: _Form[_Decoded], where: str, place: Place) -> _Decoded:
        """A member in its official form, also where it is spelled in another that is as clear."""
        if key in self._twice:
            raise AnnotationError(f"{self.path}: {where}: {self._twice[key]}", kind=Kind.TRACK_MALFORMED, **place)
        encoded = self._stretches.read(self._members[key])
        try:
            return form.strict.decode(encoded)
        except (msgspec.DecodeError, UnicodeDecodeError):
            pass
        try:
            return msgspec.convert(form.spelled(msgspec.json.decode(encoded)), form.strict.type)
        except MaskError as error:
            message = f"{self.path}: {where}: {error}"
            raise MaskError(message, index=error.index, reason=error.reason, kind=Kind.MASK_RUNS, **place) from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise AnnotationError(f"{self.path}: {where}: {error}", kind=Kind.TRACK_MALFORMED, **place) from None


@dataclass(frozen=True)
class _Form(Generic[_Decoded]):
    """What a member of a file ought to be: as a decoder, and how other spellings are brought to that form."""

    strict: msgspec.json.Decoder[_Decoded]
    spelled: Callable[[Any], Any]


class TrackFile(IndexedObject):
    """`mask_dict.json`: every track by its annotation id.

    Masks beyond a video's last frame are not looked at, as no reader of these files does; the first are warned of.
    """

    _warned = False
    _form = _Form(msgspec.json.Decoder(list[RLE | None]), spellings.masks)

    def unchecked(self, annotation_id: str) -> list[RLE | None]:
        """A track as the file has it, for whoever looks for what is wrong with it: its masks may be malformed.

        Raises:
            AnnotationError: it is not a list of masks and nulls.
        """
        return self._decode(
            annotation_id, self._form, f"track {annotation_id}", {"file": self.path, "track": annotation_id}
        )

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
                kind=Kind.TRACK_MISSING,
                file=self.path,
                video=video.video_id,
                expression=named_by,
                track=key,
            )
        where, place = (
            f"track {key} of video {video.video_id!r}",
            Place(file=self.path, track=key, video=video.video_id),
        )
        masks = self._decode(key, self._form, where, place)
        if len(masks) > len(video.frame_names) and not self._warned:
            self._warned = True
            warnings.warn(
                f"{self.path}: {where} has {len(masks)} masks for {len(video.frame_names)} frames: those beyond the "
                "last frame are not looked at. `revoskit check` lists every such track.",
                stacklevel=2,
            )
        return _fit(masks, video, where, place)


class ForegroundEntry(msgspec.Struct):
    """What the file says of one video: a mask per frame, and the share of the frame's pixels that each covers."""

    masks_rle: list[RLE | None]
    foreground_ratio: Any = None


class ForegroundFile(IndexedObject):
    """`mask_dict_foreground.json`: per video, the union of its annotated objects."""

    _warned = False
    _form = _Form(msgspec.json.Decoder(ForegroundEntry), spellings.foreground)

    def distrust(self, reason: str) -> None:
        """Say of the first video that its foreground is made from its tracks instead, and why."""
        if not self._warned:
            self._warned = True
            warnings.warn(
                f"{reason}. Its foreground is made from its tracks instead, and so are others that are like it: "
                "`revoskit check` lists them. Rows are the same without the file: delete it, and it is not read in "
                "vain.",
                stacklevel=2,
            )

    def unchecked(self, video_id: str) -> ForegroundEntry:
        """A video's entry as the file has it; raises as `TrackFile.unchecked` does."""
        return self._decode(video_id, self._form, f"video {video_id!r}", {"file": self.path, "video": video_id})

    def read(self, video: Video, matches: Callable[[Sparse], bool] = lambda some: True) -> MaskSequence | None:
        """The foreground masks of `video`, one per frame, null read as empty; raises as `TrackFile.read` does.

        Args:
            matches: is given a function that reads a few frames alone; where it says no, the others, which take
                nearly all of the time, are not read, and the result is null.
        """
        where = f"video {video.video_id!r}"
        place: Place = {"file": self.path, "video": video.video_id}
        if video.video_id not in self:
            raise AnnotationError(f"{self.path} has no {where}", kind=Kind.FOREGROUND_ABSENT, **place)
        masks = self._decode(video.video_id, self._form, where, place).masks_rle

        def some(frames: Sequence[int]) -> MaskSequence:
            wanted = set(frames)
            alone = [mask if index in wanted else None for index, mask in enumerate(masks)]
            return _fit(alone, video, where, place).take(frames).filled()

        return _fit(masks, video, where, place).filled() if matches(some) else None


def _fit(masks: list[RLE | None], video: Video, where: str, place: Place) -> MaskSequence:
    file, frames = place["file"], len(video.frame_names)
    if len(masks) < frames:
        raise AnnotationError(
            f"{file}: {where} has {len(masks)} masks, expected one for each of the video's {frames} frames",
            kind=Kind.TRACK_LENGTH,
            **place,
        )
    try:
        return MaskSequence.parse(masks[:frames], video.height, video.width)
    except MaskError as error:
        at, index, reason = "", error.index, error.reason
        if index is not None:
            name = video.frame_names[index]
            at, place = f", frame {name!r} (number {index})", place | {"frame": name}
        kind = Kind.MASK_RUNS if index is None or _states(masks[index], video) else Kind.MASK_SIZE
        raise MaskError(f"{file}: {where}{at}: {reason}", index=index, reason=reason, kind=kind, **place) from None


def _states(mask: RLE | None, video: Video) -> bool:
    """Whether a mask says that it has the size of the video."""
    return mask is not None and mask["size"] == [video.height, video.width]


_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_KEY = rb'\s*"(?:[^"\\]|\\.)*"\s*:\s*'
_BEFORE_FIRST = re.compile(rb"\s*\{" + _KEY, re.DOTALL)
_BETWEEN = re.compile(rb"\s*," + _KEY, re.DOTALL)


def _index(path: Path, content: memoryview) -> dict[str, msgspec.Raw]:
    """The members of a file's one object, each still as the bytes there."""
    if not content:
        raise JsonError(path, "it is empty")
    try:
        return msgspec.json.decode(content, type=dict[str, msgspec.Raw])
    except msgspec.ValidationError as error:
        raise AnnotationError(f"{path}: {error}", file=path) from None
    except msgspec.DecodeError as error:
        raise JsonError(path, str(error)) from None
    except UnicodeDecodeError:
        raise JsonError(path, "a key is not UTF-8") from None
    except RecursionError:
        raise JsonError(path, "it is nested too deeply") from None


def refuse_duplicates(path: Path, content: Content, members: dict[str, msgspec.Raw]) -> None:
    """See that none of an object's members was lost to a later one with the same key.

    A decoded dict has lost all but the last of equal keys; the lost ones show as bytes between the values kept.

    Raises:
        AnnotationError: one was.
    """
    for position, _ in _gaps(content, stretches_of(content, members).values()):
        lost = re.compile(rb'"((?:[^"\\]|\\.)*)"', re.DOTALL).search(memoryview(content), position)
        key, at = (lost[1].decode(errors="replace"), lost.start()) if lost else ("?", position)
        raise AnnotationError(
            f"{path} has the key {key!r} twice (the first at byte {at}): one of the two would be lost",
            file=path,
        )


def _gaps(content: Content, values: Iterable[Stretch], position: int = 0) -> Iterator[tuple[int, int]]:
    """The bytes between one value that was kept and the next that hold more than the key of the latter.

    Args:
        position: where the object begins that the values are of.
    """
    pattern, view = _BEFORE_FIRST, memoryview(content)
    for start, length in sorted(values):
        if not pattern.fullmatch(view, position, start):
            yield position, start
        position, pattern = start + length, _BETWEEN


def _lost(path: Path, content: memoryview, position: int, start: int) -> list[tuple[str, Any]]:
    """The members that such a gap holds, each time that a key is there."""
    gap = bytes(content[position:start]).lstrip()[1:]  # less the brace or the comma
    try:
        pairs: list[tuple[str, Any]] = json.JSONDecoder(object_pairs_hook=_Pairs).decode(f"{{{gap.decode()}null}}")
    except (ValueError, RecursionError):
        raise JsonError(path, f"bytes {position} to {start} cannot be read") from None
    return [(key, _plain(value)) for key, value in pairs[:-1]]


class _Pairs(list[tuple[str, Any]]):
    """A JSON object as its members in order, so that none is lost to another of the same key."""


def _plain(value: Any) -> Any:
    if isinstance(value, _Pairs):
        return {key: _plain(one) for key, one in value}
    return [_plain(one) for one in value] if isinstance(value, list) else value


_File = TypeVar("_File", bound=IndexedObject)


def open_once(kind: type[_File], path: Path) -> _File:
    """A `TrackFile` or `ForegroundFile`, indexed once a process as long as the file stays as it is."""
    status = path.stat()
    opened = _opened(kind, path, (status.st_size, status.st_mtime_ns))  # type: ignore[arg-type]  # classes are hashable
    return cast(_File, opened)


@functools.lru_cache(maxsize=4)
def _opened(kind: Callable[[Path], IndexedObject], path: Path, state: tuple[int, int]) -> IndexedObject:
    return kind(path)
