"""The record of one thing that is wrong with a copy of the dataset."""

from __future__ import annotations

import msgspec

from revoskit.errors import AnnotationError, FrameFault
from revoskit.kinds import Kind

OF_FRAMES = {
    FrameFault.UNREADABLE: Kind.FRAME_UNREADABLE,
    FrameFault.TRUNCATED: Kind.FRAME_TRUNCATED,
    FrameFault.DAMAGED: Kind.FRAME_DAMAGED,
    FrameFault.SIZE: Kind.FRAME_SIZE,
}
"""What a frame that cannot be read is called among the faults of a copy."""


class Found(msgspec.Struct, frozen=True, order=True, omit_defaults=True):
    """Something about a copy: where, and what was found there. What does not apply is empty."""

    split: str = ""
    video: str = ""
    expression: str = ""
    track: str = ""
    frame: str = ""
    found: str = ""
    file: str = ""

    def __str__(self) -> str:
        numbered = {"expression": self.expression, "track": self.track, "frame": self.frame}
        place = [self.split, self.video, *(f"{what} {name}" for what, name in numbered.items() if name)]
        return ": ".join(text for text in (" · ".join(part for part in place if part), self.found) if text)


class Fault(Found, frozen=True, kw_only=True):
    """One thing that is wrong, of a kind."""

    kind: Kind


def of_error(error: AnnotationError, split: str) -> Fault:
    """The record of an error in the annotations."""
    place = {what: getattr(error, what) or "" for what in ("file", "video", "expression", "track", "frame")}
    return Fault(kind=error.kind or Kind.ENTRY_MALFORMED, found=said(error), split=split, **place)


def said(error: AnnotationError) -> str:
    """What an error says, without the file, which has a field of its own."""
    return str(error).removeprefix(f"{error.file or ''}: ")
