"""The two protocols: what one expression's prediction is worth, as it is meant and as the published evaluator has it.

Both are described in docs/protocol.md. The true masks of a video, their boundaries and dilations are made once for all
its expressions, as long as they have room; a long video is scored in parts.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from functools import cached_property
from itertools import pairwise
from typing import Literal, get_args

import msgspec
import numpy as np

from revoskit.dataset.records import Expression, ExpressionType, Video
from revoskit.dataset.video_masks import VideoMasks
from revoskit.errors import UsageError
from revoskit.masks.packed import PackedMasks, Patch, pack
from revoskit.masks.rle import MaskSequence
from revoskit.scoring import measures
from revoskit.scoring.prediction import GreyMasks, Note, Prediction, Problem

Protocol = Literal["binary", "official"]
PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)

FRAMES_AT_ONCE = 128  # a multiple of eight
TRUTH_BYTES = 200_000_000  # of true masks, and of what is made of them, to keep for other expressions
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
    problem: Problem | None = None
    notes: tuple[Note, ...] = ()


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


def score(
    truth: Truth, expression: Expression, prediction: Prediction, protocols: Collection[Protocol]
) -> ExpressionScores:
    """Score the prediction for one expression of the video whose true masks these are."""
    video = truth.video
    ids = expression.annotation_ids
    binary = official = empty = area = None
    masks = prediction.binary
    if masks is not None:
        empty = float((masks.areas == 0).mean())
        area = float(masks.areas.mean() / masks.pixels_per_frame)
    if "binary" in protocols:
        binary = Measures() if masks is None else _means(_binary(truth, ids, masks))
    if "official" in protocols:
        official = _official_or_nothing(truth, ids, prediction.official)
    return ExpressionScores(
        video_id=video.video_id,
        expression_id=expression.expression_id,
        expression=expression.text,
        type=expression.type,
        binary=binary,
        official=official,
        empty=empty,
        area=area,
        problem=prediction.problem,
        notes=prediction.notes,
    )


class _Room:
    """How many bytes of true masks there is still room for."""

    def __init__(self, num_bytes: int) -> None:
        self._left = num_bytes

    def take(self, masks: PackedMasks) -> bool:
        """Whether there is room for these masks, with what is made of them when they are compared; if so, take it."""
        needed = 3 * masks.num_bytes
        if needed > self._left:
            return False
        self._left -= needed
        return True


class Truth:
    """The true masks of one video, made when they are needed and kept for all its expressions."""

    def __init__(self, video: Video, masks: VideoMasks) -> None:
        self.video = video
        self._masks = masks
        self._size: tuple[int, int] | None = None
        self._part = slice(0, len(video.frame_names))
        self._parts: dict[int, Truth] = {}
        self._room = _Room(TRUTH_BYTES)
        self._packed: dict[frozenset[int], PackedMasks] = {}
        self._levels: dict[tuple[int, ...], list[PackedMasks]] = {}

    def parts(self) -> Iterator[tuple[int, int, Truth]]:
        """The truth of `FRAMES_AT_ONCE` frames after the other, with the number of the first, and of that after."""
        for begin in range(0, self._part.stop, FRAMES_AT_ONCE):
            end = min(begin + FRAMES_AT_ONCE, self._part.stop)
            if begin not in self._parts:
                part = self._parts[begin] = Truth(self.video, self._masks)
                part._part, part._room = slice(begin, end), self._room
            yield begin, end, self._parts[begin]

    def resized(self, size: tuple[int, int]) -> Truth | None:
        """The same, with a single row or column spread over another size; null where that cannot be."""
        try:
            np.broadcast_to(np.empty((self.video.height, self.video.width)), size)
        except ValueError:
            return None
        resized = Truth(self.video, self._masks)
        resized._size, resized._part = size, self._part
        return resized

    def of(self, annotation_ids: Collection[int]) -> PackedMasks:
        key = frozenset(annotation_ids)
        if key in self._packed:
            return self._packed[key]
        packed = self._pack(self._masks.union(key)[self._part])
        if self._room.take(packed):
            self._packed[key] = packed
        return packed

    def levels(self, annotation_ids: tuple[int, ...]) -> list[PackedMasks]:
        """Where at least one, at least two, … of the tracks lie; as long a list as the deepest overlap, at least one.

        A track that is named twice counts twice.
        """
        key = tuple(sorted(annotation_ids))
        if key in self._levels:
            return self._levels[key]
        union = self.of(key)
        tracks = [self.of([i]) for i in key]
        overlapping = (sum((track.areas for track in tracks), np.zeros_like(union.areas)) != union.areas).any()
        levels = [union, *union.at_least(tracks)[1:]] if overlapping else [union]
        if all(map(self._room.take, levels)):
            self._levels[key] = levels
        return levels

    def sums(self, annotation_ids: tuple[int, ...], frame: int) -> np.ndarray:
        """The tracks added up in eight bits, uint8 (h, w)."""
        total = np.zeros((self.video.height, self.video.width), np.uint8)
        for i in annotation_ids:
            total += self._masks.track(i).take([self._part.start + frame]).decode()[0]
        return total if self._size is None else np.broadcast_to(total, self._size)

    @cached_property
    def foreground_areas(self) -> np.ndarray:
        areas = self._masks.foreground()[self._part].areas()
        return areas if self._size is None else areas * (self._size[0] * self._size[1] // self._pixels)

    @property
    def _pixels(self) -> int:
        return self.video.height * self.video.width

    def _pack(self, masks: MaskSequence) -> PackedMasks:
        if self._size is None:
            return pack(masks)
        pixels = masks.decode()
        return pack(np.ascontiguousarray(np.broadcast_to(pixels, (len(pixels), *self._size))))


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
    if len(levels) > 255:
        raise UsageError(f"video {truth.video.video_id!r}: {len(levels)} tracks overlap, more than 8 bits can count")
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
        measures.robustness_of(wrong, truth.foreground_areas),
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
    parts = []
    for begin, end, part in truth.parts():
        same = size == (truth.video.height, truth.video.width)
        true = part if same else part.resized(size)
        if true is None:
            return Measures()
        parts.append(_official(true, annotation_ids, predicted.some(begin, end)))
    return _means(parts)
