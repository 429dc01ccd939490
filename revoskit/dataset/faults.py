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


class Fault(msgspec.Struct, frozen=True, order=True, omit_defaults=True):
    """One thing that is wrong: where, and what was found there."""

    kind: Kind
    found: str = ""
    file: str = ""
    split: str = ""
    video: str = ""
    expression: str = ""
    track: str = ""
    frame: str = ""

    def __str__(self) -> str:
        return placed(self.found, self.split, self.video, self.expression, self.track, self.frame)


def placed(found: str, split: str, video: str, expression: str, track: str, frame: str) -> str:
    """What was found, behind its place, for people; what is empty is left out."""
    numbered = {"expression": expression, "track": track, "frame": frame}
    place = [split, video, *(f"{what} {name}" for what, name in numbered.items() if name)]
    return ": ".join(text for text in (" · ".join(part for part in place if part), found) if text)


def of_error(error: AnnotationError, split: str) -> Fault:
    """The record of an error in the annotations."""
    place = {what: getattr(error, what) or "" for what in ("file", "video", "expression", "track", "frame")}
    found = str(error).removeprefix(f"{place['file']}: ")
    return Fault(error.kind or Kind.ENTRY_MALFORMED, found, split=split, **place)
