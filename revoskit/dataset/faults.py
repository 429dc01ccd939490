"""The record of one thing that is wrong with a copy of the dataset."""

from __future__ import annotations

import msgspec

from revoskit.errors import AnnotationError
from revoskit.kinds import Kind


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
        place = [self.split, self.video]
        place += [f"{what} {getattr(self, what)}" for what in ("expression", "track", "frame") if getattr(self, what)]
        return ": ".join(text for text in (" · ".join(part for part in place if part), self.found) if text)


def of_error(error: AnnotationError, split: str) -> Fault:
    """The record of an error in the annotations."""
    place = {what: getattr(error, what) or "" for what in ("file", "video", "expression", "track", "frame")}
    found = str(error).removeprefix(f"{place['file']}: ")
    return Fault(error.kind or Kind.ENTRY_MALFORMED, found, split=split, **place)
