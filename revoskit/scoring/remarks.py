"""What is odd about a set of predictions that is scored all the same, said once and not for every expression."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from revoskit.dataset.records import ExpressionType
from revoskit.scoring.prediction import Note
from revoskit.scoring.protocols import ExpressionScores, Protocol

_MOST = 0.5  # of a frame: masks that cover more of it, and are wrong in more of it, are probably the background


def remarks(expressions: Sequence[ExpressionScores], protocols: Sequence[Protocol]) -> list[str]:
    """Sentences about these predictions, none where nothing is odd."""
    counts = Counter(note for expression in expressions for note in expression.notes)
    found = []
    if number := counts[Note.SEVERAL_GREYS]:
        found.append(
            f"{number:,} predictions have frames with several grey values: all that is not black counts as object. If "
            "these are scores, threshold them before they are saved."
        )
    if number := counts[Note.NUMBERED]:
        found.append(
            f"{number:,} predictions have files called by the number of their frame (0.png) and not by its name: they "
            "are read so, and the published evaluator would not find them."
        )
    if (number := counts[Note.GREY]) and "official" in protocols:
        found.append(
            f"{number:,} predictions are saved with another grey value than 1, such as 255: A and R of `official` "
            "compare that value and say little about the masks (docs/protocol.md, “The 255 artefact”). Quote `binary`."
        )
    if number := _inverted(expressions):
        found.append(
            f"{number:,} predictions cover most of the frame, and little of it rightly: are object and background "
            "exchanged?"
        )
    return found


def _inverted(expressions: Sequence[ExpressionScores]) -> int:
    """How many predictions look like the background, where that is most of them; else 0."""
    there = [e for e in expressions if e.area is not None and e.type is not ExpressionType.NONEXISTENT]
    full = [e for e in there if e.area is not None and e.area > _MOST]
    right = [e.binary.A for e in full if e.binary is not None]
    if len(full) <= len(there) / 2 or (right and np.mean(right) > 1 - _MOST):
        return 0
    return len(full)
