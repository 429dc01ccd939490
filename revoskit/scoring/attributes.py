"""What kind of target an expression has, from the true masks alone: to see on what a method wins and on what it fails.

Every attribute is a word, and docs/comparing.md says what each means. Whoever changes a threshold changes it there too:
a test holds the two against each other.
"""

from __future__ import annotations

import msgspec
import numpy as np

from revoskit.dataset.records import Expression, Video
from revoskit.scoring import measures
from revoskit.scoring.truth import Truth

NONE = "none"
"""Of an expression whose target is in no frame, or where there is nothing to tell."""

_SIZES = ((0.01, "small"), (0.1, "medium"), (np.inf, "large"))  # share of the frame, mean where it is visible: below
_MOTIONS = ((0.7, "fast"), (0.9, "medium"), (np.inf, "slow"))  # IoU with itself in the next frame, mean: below
_LENGTHS = ((40, "short"), (100, "medium"), (np.inf, "long"))  # frames: below
_TRACKS = ((3, "1-2"), (6, "3-5"), (np.inf, "6+"))  # of the video: below


class Attributes(msgspec.Struct, frozen=True):
    """The slices that one expression belongs to."""

    source: str
    """The dataset that its video was taken from."""
    size: str
    objects: str
    """How many tracks it means: 0, 1, 2 or 3+."""
    presence: str
    """Visible in every frame ("always"), in part of them ("part"), or gone and back again ("returns")."""
    motion: str
    length: str
    tracks: str
    """How many tracks the video has: the more, the more there is to mistake for the target."""


_ORDER = ["always", "part", "returns", "small", "slow", "short", "medium", "large", "fast", "long"]


def order(value: str) -> tuple[int, str]:
    """What to sort the values of an attribute by: small before large, numbers and names by themselves, none last."""
    return (_ORDER.index(value) if value in _ORDER else 1000 if value == NONE else 100), value


ATTRIBUTES = Attributes.__struct_fields__
KIND = "kind"
"""A further one: what the dataset itself calls an expression, where it does."""
ALIGNMENT = "alignment"
"""And one that only a check of the frames can tell."""
FURTHER = (KIND, ALIGNMENT)


def attributes(truth: Truth, expression: Expression) -> Attributes:
    """Those of an expression of the video whose true masks these are."""
    video = truth.video
    areas, overlaps = truth.areas_and_overlaps(expression.annotation_ids)
    visible = areas > 0
    objects = len(set(expression.annotation_ids))
    return Attributes(
        source=video.source or NONE,
        size=_below(_SIZES, areas[visible].mean() / truth.pixels_per_frame) if visible.any() else NONE,
        objects=str(objects) if objects < 3 else "3+",
        presence=_presence(visible),
        motion=_motion(areas, overlaps),
        length=_below(_LENGTHS, len(video.frame_names)),
        tracks=_below(_TRACKS, len(video.annotation_ids)) if video.annotation_ids else NONE,
    )


def unknown(video: Video) -> Attributes:
    """Those of an expression of whose target nothing can be told, since its true masks are faulty."""
    return Attributes(video.source or NONE, NONE, NONE, NONE, NONE, _below(_LENGTHS, len(video.frame_names)), NONE)


def _below(limits: tuple[tuple[float, str], ...], value: float) -> str:
    return next(label for limit, label in limits if value < limit)


def _presence(visible: np.ndarray) -> str:
    if not visible.any():
        return NONE
    if visible.all():
        return "always"
    appearances = np.count_nonzero(visible[1:] & ~visible[:-1]) + int(visible[0])
    return "returns" if appearances > 1 else "part"


def _motion(areas: np.ndarray, overlaps: np.ndarray) -> str:
    both_visible = (areas[:-1] > 0) & (areas[1:] > 0)
    if not both_visible.any():
        return NONE
    similarity = measures.jaccard(areas[:-1], areas[1:], overlaps)
    return _below(_MOTIONS, float(similarity[both_visible].mean()))
