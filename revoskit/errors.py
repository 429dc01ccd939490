"""What can be wrong, as exceptions: one base, and each kind also the builtin that fits it.

An error is made with its facts, which are attributes: none is hung on afterwards, and none has to be read out of the
message. It crosses from one process to another with all of them.
"""

from __future__ import annotations

import enum
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from revoskit.kinds import Kind


class RevosError(Exception):
    """Base of every error that this project raises on purpose."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _remade, (type(self), self.args, self.__dict__)

    def advising(self, advice: str) -> Self:
        """The same error, with what to do about it as a line of its own."""
        return _remade(type(self), (f"{self}\n{advice}",), self.__dict__)  # type: ignore[return-value]


def _remade(kind: type[RevosError], args: tuple[Any, ...], facts: dict[str, Any]) -> RevosError:
    """An error that comes out of another process: as it was, however it was made."""
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(facts)
    return error


class UsageError(RevosError, ValueError):
    """An argument or option with a value that does not make sense."""


class MissingFilesError(RevosError, FileNotFoundError):
    """Files or frames that ought to be on disk and are not."""


class Place(TypedDict, total=False):
    """Where in the annotations something is: as much of this as is known."""

    file: str | os.PathLike[str]
    video: str
    expression: str
    track: str
    frame: str


class AnnotationError(RevosError, ValueError):
    """An annotation file that does not say what the official format says.

    `file`, `video`, `expression`, `track` (ids) and `frame` (a name) say where, each null where it does not apply;
    `kind` says what, where it is about the data.
    """

    def __init__(self, message: str, *, kind: Kind | None = None, **place: Unpack[Place]) -> None:
        super().__init__(message)
        self.kind = kind
        self.file = None if place.get("file") is None else str(place["file"])
        self.video, self.expression = place.get("video"), place.get("expression")
        self.track, self.frame = place.get("track"), place.get("frame")


class JsonError(AnnotationError):
    """An annotation file that is no JSON, so that nothing of it can be read."""

    def __init__(self, file: Path, reason: str) -> None:
        super().__init__(f"{file} {_what_it_is(file, reason)}", file=file)
        self.reason = reason


def _what_it_is(file: Path, reason: str) -> str:
    """What lies in place of a file of JSON, and what to do about it."""
    if file.is_dir():
        return "is a folder, where a file of JSON is expected: put the file itself there, or take the folder away."
    with file.open("rb") as content:
        start = content.read(4)
    if start.startswith(b"\x1f\x8b") or start == b"PK\x03\x04":
        return "is compressed, where plain JSON is expected: unpack it (gzip -d, unzip) and give it this name."
    return (
        f"is not valid JSON: {reason}. A download may have broken off ({file.stat().st_size:,} bytes are here): "
        "compare its SHA-256 with the official one."
    )


class ChangedError(RevosError, RuntimeError):
    """Files, by their names in `files`, that were replaced or written to while something was made from them."""

    def __init__(self, root: str | os.PathLike[str], files: Sequence[str]) -> None:
        super().__init__(
            f"{', '.join(files)} in {root} changed while something was made from it, which would mix two states of the "
            "dataset: it is not kept. Give the same command again once nothing is written there."
        )
        self.root, self.files = str(root), list(files)


class MaskError(AnnotationError):
    """A run-length encoding that does not describe a mask of the stated size.

    Of several masks, `index` is the position of the one that is meant, null where it is all of them; `reason` says what
    is wrong, without the place.
    """

    def __init__(
        self,
        message: str,
        *,
        index: int | None = None,
        reason: str | None = None,
        kind: Kind | None = None,
        **place: Unpack[Place],
    ) -> None:
        super().__init__(message, kind=kind, **place)
        self.index, self.reason = index, message if reason is None else reason


class FolderInUseError(UsageError):
    """A folder that another process writes to, as `folder` names it."""

    def __init__(self, message: str, folder: str | os.PathLike[str]) -> None:
        super().__init__(message)
        self.folder = str(folder)


class StorageError(RevosError, OSError):
    """A folder that cannot be written to, as `folder` names it: its disk is full, or it is not allowed."""

    def __init__(self, folder: str | os.PathLike[str], message: str) -> None:
        super().__init__(message)
        self.folder = str(folder)


class WorkerError(RevosError, RuntimeError):
    """Worker processes that died, however often their work was tried."""


class FrameFault(enum.Enum):
    """What can be wrong with a frame."""

    UNREADABLE = "unreadable"
    """It cannot be opened, or does not begin as a JPEG."""
    TRUNCATED = "truncated"
    """It breaks off before its end."""
    DAMAGED = "damaged"
    """Its data cannot be decoded."""
    SIZE = "size"
    """It has not the size of its video."""


class FrameError(RevosError, OSError):
    """A frame that cannot be read: it is not there, or not the JPEG that it ought to be.

    Args:
        file: the file that it comes from, or what else its place is called; None where that is not known.
        problem: what is wrong, to be read after the file's name.
        fault: the kind of it.
        advice: what to do about it, a sentence.
        where: the video and the frame, for who knows them.
        index: the frame's position in the video.
    """

    def __init__(
        self,
        file: str | None,
        problem: str,
        fault: FrameFault = FrameFault.UNREADABLE,
        advice: str = "",
        *,
        where: str = "",
        index: int | None = None,
    ) -> None:
        text = f"{where + ': ' if where else ''}{file or 'it'} {problem}"
        super().__init__(f"{text}. {advice}" if advice else text)
        self.file, self.problem, self.fault, self.advice = file, problem, fault, advice
        self.where, self.index = where, index


class DownloadError(RevosError, OSError):
    """A file that could not be fetched; another source, or a later time, may do."""


class ArchiveError(RevosError, ValueError):
    """An archive that is broken, or that holds what must not be unpacked."""


class AdapterError(RevosError):
    """A model's adapter that cannot be found, or that fails before it has seen a frame."""


class AnswerError(UsageError):
    """What a model gives as the masks of a video and cannot be them."""
