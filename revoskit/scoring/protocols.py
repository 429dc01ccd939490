"""The two protocols: what one expression's prediction is worth, as it is meant and as the published evaluator has it.

Both are described in docs/protocol.md. The true masks of a video, their boundaries and dilations are made once for all
its expressions, as long as they have room; a long video is scored in parts.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Iterator
from itertools import pairwise
from typing import Literal, get_args

import msgspec
import numpy as np

from revoskit.dataset.annotations import Annotations
from revoskit.dataset.families import FAMILIES, REVOS
from revoskit.dataset.records import Expression, ExpressionType
from revoskit.errors import AnnotationError, UsageError
from revoskit.masks.packed import PackedMasks, Patch
from revoskit.scoring import measures
from revoskit.scoring.attributes import Attributes, attributes, unknown
from revoskit.scoring.extra import Extra, extra, frames_of
from revoskit.scoring.prediction import GreyMasks, Note, Prediction, Problem, ProblemKind
from revoskit.scoring.truth import MOST_LEVELS, Truth

Protocol = Literal["binary", "official"]
PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)

PerFrame = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # J, F, A and R of each frame, float64 (T,)


class Measures(msgspec.Struct, frozen=True):
    """The scores of one expression: means over its frames, 0 to 1."""

    J: float = 0.0
    F: float = 0.0
    A: float = 0.0
    R: float = 0.0

    def percent(self) -> dict[str, float]:
        """All five published measures, 0 to 100."""
        return {
            "J": 100 * self.J,
            "F": 100 * self.F,
            "J&F": 100 * (self.J + self.F) / 2,
            "A": 100 * self.A,
            "R": 100 * self.R,
        }


class ExpressionScores(msgspec.Struct, frozen=True):
    """What one expression's prediction is worth in each protocol that was asked for."""

    video_id: str
    expression_id: str
    expression: str
    type: ExpressionType | None
    binary: Measures | None
    official: Measures | None
    empty: float | None
    """Share of frames in which nothing is predicted; null without a usable prediction."""
    area: float | None
    """Share of a frame's pixels that is predicted, mean over the frames; null without a usable prediction."""
    attributes: Attributes
    """What kind of target it has."""
    extra: Extra | None = None
    """The measures of other benchmarks, where they were asked for."""
    problem: Problem | None = None
    notes: tuple[Note, ...] = ()
    kind: str = ""
    """What the dataset itself calls the expression; empty where it does not say."""


def protocols_of(protocol: Protocol | Literal["both"]) -> tuple[Protocol, ...]:
    """The protocols that a user asks for by one word.

    Raises:
        UsageError: it is none of them.
    """
    if protocol == "both":
        return PROTOCOLS
    if protocol not in PROTOCOLS:
        raise UsageError(f"there is no protocol {protocol!r}: use {', '.join(PROTOCOLS)} or both")
    return (protocol,)


def require_scorable(annotations: Annotations, protocols: Collection[Protocol]) -> None:
    """See that a split has masks to score against, and that its dataset has these protocols.

    Raises:
        UsageError: it has not.
    """
    title = FAMILIES[annotations.layout.family].title
    if annotations.hidden:
        raise UsageError(f"{title} keeps the masks of {annotations.split} back: its own server scores predictions")
    if "official" in protocols and annotations.layout.family != REVOS:
        raise UsageError(f"the protocol official is that of ReVOS's own evaluator: score {title} with protocol binary")


def score(
    truth: Truth,
    expression: Expression,
    prediction: Prediction,
    protocols: Collection[Protocol],
    *,
    further: bool = False,
) -> ExpressionScores:
    """Score the prediction for one expression of the video whose true masks these are.

    With `further`, also in the measures of other benchmarks.
    """
    video = truth.video
    ids = expression.annotation_ids
    binary = official = empty = area = None
    masks = prediction.binary
    if masks is not None:
        empty = float((masks.areas == 0).mean())
        area = float(masks.areas.mean() / masks.pixels_per_frame)
    if "binary" in protocols:
        binary = Measures() if masks is None else _means(_binary(truth, ids, masks))
    problem = prediction.problem
    if "official" in protocols:
        try:
            official = _official_or_nothing(truth, ids, prediction.official)
        except AnnotationError as error:  # the published evaluator goes on, and gives it nothing
            official = Measures()
            problem = problem or Problem(
                video.video_id, expression.expression_id, ProblemKind.UNSCORABLE, f"its true masks are faulty: {error}"
            )
        if official != Measures() and "binary" not in protocols:
            problem = None  # what would be wrong with it is not wrong here, such as a size that only the video states
    return ExpressionScores(
        video_id=video.video_id,
        expression_id=expression.expression_id,
        expression=expression.text,
        type=expression.type,
        binary=binary,
        official=official,
        empty=empty,
        area=area,
        attributes=_attributes(truth, expression, protocols),
        extra=_further(truth, ids, masks) if further else None,
        problem=problem,
        notes=prediction.notes,
        kind=expression.kind,
    )


def _attributes(truth: Truth, expression: Expression, protocols: Collection[Protocol]) -> Attributes:
    """What kind of target it is; nothing can be told of one whose masks are faulty, which only one protocol scores."""
    try:
        return attributes(truth, expression)
    except AnnotationError:
        if "binary" in protocols:
            raise
        return unknown(truth.video)


def _further(truth: Truth, annotation_ids: tuple[int, ...], predicted: PackedMasks | None) -> Extra:
    parts = [
        frames_of(part.of(annotation_ids), None if predicted is None else predicted.some(begin, end))
        for begin, end, part in truth.parts()
    ]
    return extra(parts, usable=predicted is not None)


def _binary(truth: Truth, annotation_ids: tuple[int, ...], predicted: PackedMasks) -> Iterator[PerFrame]:
    for begin, end, part in truth.parts():
        true, found = part.of(annotation_ids), predicted.some(begin, end)
        both = true.overlap(found)
        yield (
            *_jaccard_and_boundary(true, found, both),
            measures.accuracy(true.areas, found.areas, both, true.pixels_per_frame),
            measures.robustness_of(found.areas - both, part.foreground_areas),
        )


def _official(truth: Truth, annotation_ids: tuple[int, ...], predicted: GreyMasks) -> PerFrame:
    """As published: the prediction's grey values and the number of overlapping tracks are compared as they are."""
    masks = predicted.masks
    levels = truth.levels(annotation_ids)
    if len(levels) == MOST_LEVELS:
        raise UsageError(f"video {truth.video.video_id!r}: over 255 tracks overlap, more than 8 bits can count")
    common = [level.overlap(masks) for level in levels]
    # Of the predicted pixels, how many lie where exactly 0, 1, 2, … tracks do.
    above = [masks.areas, *common, np.zeros_like(masks.areas)]
    exactly = [more - fewer for more, fewer in pairwise(above)]
    pixels = masks.pixels_per_frame
    agreeing = pixels - (levels[0].areas + masks.areas - common[0])  # where both are zero
    wrong = np.zeros_like(agreeing)
    for count, area in enumerate(exactly):
        agreeing += np.where((predicted.values == count) & (count > 0), area, 0)
        wrong += area * ((1 - count) % 256 * predicted.values % 256)
    for frame, patch in predicted.several.items():
        agreeing[frame], wrong[frame] = _compare_greys(truth.sums(annotation_ids, frame), patch)
    return (
        *_jaccard_and_boundary(levels[0], masks, common[0]),
        agreeing / pixels,
        measures.robustness_of(wrong, truth.filed_foreground_areas),
    )


def _compare_greys(true: np.ndarray, patch: Patch) -> tuple[int, int]:
    """Pixels that are equal in the whole frame, and the wrong ones, weighted as 8-bit arithmetic does."""
    height, width = patch.pixels.shape
    inside = true[patch.y : patch.y + height, patch.x : patch.x + width]
    outside = true.size - inside.size - (np.count_nonzero(true) - np.count_nonzero(inside))
    wrong = (np.uint8(1) - inside) * patch.pixels
    return int(outside + np.count_nonzero(inside == patch.pixels)), int(wrong.sum())


def _jaccard_and_boundary(true: PackedMasks, predicted: PackedMasks, both: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return measures.jaccard(true.areas, predicted.areas, both), measures.boundary_measure(true, predicted)


def _means(parts: Iterable[PerFrame]) -> Measures:
    return Measures(*(float(np.concatenate(values).mean()) for values in zip(*parts, strict=True)))


def _official_or_nothing(truth: Truth, annotation_ids: tuple[int, ...], predicted: GreyMasks | None) -> Measures:
    if predicted is None:
        return Measures()
    size = (predicted.masks.height, predicted.masks.width)
    if size != (truth.video.height, truth.video.width):
        with contextlib.suppress(AnnotationError):  # which size a video states, nobody asks
            others = truth.of_size(size).parts()
            return _means(_official(part, annotation_ids, predicted.some(begin, end)) for begin, end, part in others)
    parts = []
    for begin, end, part in truth.parts():
        same = size == (truth.video.height, truth.video.width)
        true = part if same else part.resized(size)
        if true is None:
            return Measures()
        parts.append(_official(true, annotation_ids, predicted.some(begin, end)))
    return _means(parts)
