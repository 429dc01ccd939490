"""How well predicted masks fit the true ones: region similarity, boundary measure, accuracy and robustness.

The definitions are those of ReVOS (docs/protocol.md). What makes them quick: masks are read into `PackedMasks`, which
hold eight frames in the eight bits of a byte, and only the box around what is there. One pass over such a box then
dilates, intersects or compares eight frames at once, and what has been made of a mask (its boundary, the boundary's
dilation) stays with it, so that a true mask costs nothing the second time. RLEs are never decoded to full frames.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import cv2
import numpy as np

from revoskit.errors import MaskError, UsageError
from revoskit.masks.rle import RLE, MaskSequence

FRAMES_PER_BYTE = 8
BOUNDARY_TOLERANCE = 0.008  # of the frame's diagonal
_BITS = [np.uint8(1 << k) for k in range(FRAMES_PER_BYTE)]


def region_similarity(truth: Any, prediction: Any) -> np.ndarray:
    """J, the Jaccard index of each frame: |G∧P| / |G∨P|, 1 where both are empty.

    Args:
        truth, prediction: masks G and P of the same T frames of h x w pixels: an array (T, h, w) in which what is not
            zero is object, a `MaskSequence`, or a list of RLEs (null is an empty mask).

    Returns:
        float64 (T,), each 0 to 1.

    Raises:
        UsageError: the two differ in length or size.
        MaskError: an RLE is malformed.

    Source: Perazzi et al., A Benchmark Dataset and Evaluation Methodology for Video Object Segmentation, CVPR 2016.
    """
    truth, prediction = _pair(truth, prediction)
    return jaccard(truth.areas, prediction.areas, truth.overlap(prediction))


def boundary_measure(truth: Any, prediction: Any) -> np.ndarray:
    """F of each frame: the harmonic mean of boundary precision and recall.

    A boundary pixel is right if the other mask has a boundary pixel within ceil(0.008·√(h²+w²)) pixels of it, by
    Euclidean distance. Where only the prediction is empty F is 0, where only the truth is it is 0, where both are, 1.

    Args, returns and raises as `region_similarity`.

    Source: Martin, Fowlkes and Malik, Learning to Detect Natural Image Boundaries, PAMI 2004, by way of DAVIS 2016.
    """
    truth, prediction = _pair(truth, prediction)
    return f_measure(
        truth.boundary_lengths,
        prediction.boundary_lengths,
        truth.boundary_near(prediction),
        prediction.boundary_near(truth),
    )


def pixel_accuracy(truth: Any, prediction: Any) -> np.ndarray:
    """A of each frame: the share of pixels where P is object exactly where G is.

    Args, returns and raises as `region_similarity`. Source: the evaluator of R²-VOS (Li et al., ICCV 2023).
    """
    truth, prediction = _pair(truth, prediction)
    return accuracy(truth.areas, prediction.areas, truth.overlap(prediction), truth.pixels_per_frame)


def robustness(truth: Any, prediction: Any, foreground: Any) -> np.ndarray:
    """R of each frame: max(0, 1 - |P∧¬G| / (|D| + 1e-6)), what is wrongly marked in relation to what is there at all.

    `foreground` is D, the union of the video's annotated objects. Args otherwise, returns and raises as
    `region_similarity`. Source: R²-VOS (Li et al., Robust Referring Video Object Segmentation, ICCV 2023).
    """
    truth, prediction = _pair(truth, prediction)
    _, foreground = _pair(truth, foreground)
    wrong = prediction.areas - truth.overlap(prediction)
    return robustness_of(wrong, foreground.areas)


def _pair(truth: Any, prediction: Any) -> tuple[PackedMasks, PackedMasks]:
    truth, prediction = pack(truth), pack(prediction)
    sizes = [(masks.frames, masks.height, masks.width) for masks in (truth, prediction)]
    if sizes[0] != sizes[1]:
        raise UsageError(f"expected masks of the same frames, height and width, found {sizes[0]} and {sizes[1]}")
    return truth, prediction


# --- the formulas, from counts of pixels ------------------------------------------------------------------------------


def jaccard(truth: np.ndarray, prediction: np.ndarray, both: np.ndarray) -> np.ndarray:
    either = truth + prediction - both
    return np.where(either == 0, 1.0, both / np.maximum(either, 1))


def f_measure(
    truth: np.ndarray, prediction: np.ndarray, truth_matched: np.ndarray, prediction_matched: np.ndarray
) -> np.ndarray:
    """F from the lengths of both boundaries and how much of each lies near the other, in pixels, int64 (T,)."""
    precision = np.where(prediction == 0, 1.0, prediction_matched / np.maximum(prediction, 1))
    recall = np.where(truth == 0, 1.0, truth_matched / np.maximum(truth, 1))
    total = precision + recall
    return np.where(total == 0, 0.0, 2 * precision * recall / np.where(total == 0, 1.0, total))


def accuracy(truth: np.ndarray, prediction: np.ndarray, both: np.ndarray, pixels: int) -> np.ndarray:
    return (pixels - (truth + prediction - 2 * both)) / pixels


def robustness_of(wrong: np.ndarray, foreground: np.ndarray) -> np.ndarray:
    return np.maximum(1 - wrong / (foreground + 1e-6), 0.0)


@lru_cache(maxsize=64)
def tolerance(height: int, width: int) -> int:
    """How far apart two boundaries may lie and still match, in pixels."""
    return int(np.ceil(BOUNDARY_TOLERANCE * np.linalg.norm((height, width))))


# --- eight frames a byte ----------------------------------------------------------------------------------------------


class PackedMasks:
    """T masks of h x w pixels in a form that is quick to compare; made by `pack`, `pack_frames` or `pack_rles`.

    Attributes:
        frames, height, width: T, h, w.
        areas: object pixels of each frame, int64 (T,).
    """

    def __init__(self, frames: int, height: int, width: int, boxes: list[_Box | None]) -> None:
        self.frames, self.height, self.width = frames, height, width
        self._boxes = boxes  # one for every eight frames; None where all are empty

    @property
    def pixels_per_frame(self) -> int:
        return self.height * self.width

    @cached_property
    def areas(self) -> np.ndarray:
        return self._per_frame(None if box is None else _count(box.fill) for box in self._boxes)

    @cached_property
    def boundary_lengths(self) -> np.ndarray:
        """Pixels of each frame's boundary map, int64 (T,)."""
        return self._per_frame(None if box is None else _count(box.boundary) for box in self._boxes)

    def unpack(self) -> MaskSequence:
        """The same masks as RLEs, none of them null."""
        pixels = self.height * self.width
        first, last = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        for number, box in enumerate(self._boxes):
            if box is None:
                continue
            flat = box.fill.ravel()  # every column ends in empty pixels, so no run goes on in the next one
            changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
            x, y = np.divmod(changes, box.fill.shape[1])
            positions = (x + box.x) * self.height + (y + box.y)
            changed = flat[changes] ^ flat[changes - 1]
            for bit, value in enumerate(_BITS):
                edges = positions[changed & value != 0] + (number * FRAMES_PER_BYTE + bit) * pixels
                first.append(edges[0::2])
                last.append(edges[1::2])
        return MaskSequence.from_intervals(
            np.concatenate(first), np.concatenate(last), self.frames, self.height, self.width
        )

    def overlap(self, other: PackedMasks) -> np.ndarray:
        """Pixels that are object in both, of each frame, int64 (T,)."""
        return self._per_frame(
            None if a is None or b is None else _count_common(a, a.fill, b, b.fill) for a, b in self._beside(other)
        )

    def boundary_near(self, other: PackedMasks) -> np.ndarray:
        """Pixels of this boundary that lie within the tolerance of the other, of each frame, int64 (T,)."""
        return self._per_frame(
            None if a is None or b is None else _count_common(a, a.boundary, b, b.dilated)
            for a, b in self._beside(other)
        )

    def at_least(self, others: Sequence[PackedMasks]) -> list[PackedMasks]:
        """Where at least one, at least two, … of these masks cover a pixel, as long as there is such a pixel.

        This mask has to cover all of them; it gives the boxes.
        """
        levels: list[list[_Box | None]] = []
        for number, box in enumerate(self._boxes):
            covered: list[np.ndarray] = []
            for mask in others:
                layer = None if mask._boxes[number] is None else box.window(mask._boxes[number])
                for level, area in enumerate(covered):
                    if layer is None:
                        break
                    again = area & layer
                    covered[level] = area | layer
                    layer = again if again.any() else None
                if layer is not None:
                    covered.append(layer)
            for level, area in enumerate(covered):
                if level == len(levels):
                    levels.append([None] * len(self._boxes))
                levels[level][number] = _Box(box.x, box.y, area, self.height, self.width)
        return [PackedMasks(self.frames, self.height, self.width, boxes) for boxes in levels]

    def _beside(self, other: PackedMasks):
        return zip(self._boxes, other._boxes, strict=True)

    def _per_frame(self, counts) -> np.ndarray:
        result = np.zeros((len(self._boxes), FRAMES_PER_BYTE), np.int64)
        for row, found in zip(result, counts, strict=True):
            if found is not None:
                row[:] = found
        return result.ravel()[: self.frames]


class _Box:
    """Up to eight masks around what they cover, a bit each, column by column as RLEs are: `fill` is uint8 (x, y).

    There are as many empty pixels on every side as a dilation needs, even where they lie outside the frame; so all
    neighbours of a pixel are at fixed distances in memory, and moving a mask is moving one flat array.
    """

    def __init__(self, x: int, y: int, fill: np.ndarray, height: int, width: int) -> None:
        self.x, self.y = x, y  # of fill[0, 0] in the frame; may be negative
        self.fill = fill
        self.height, self.width = height, width

    @classmethod
    def around(cls, left: int, top: int, right: int, bottom: int, height: int, width: int) -> _Box:
        """An empty box for masks in these columns and rows (`right` and `bottom` are the first ones outside)."""
        margin = tolerance(height, width) + 1
        size = (right - left + 2 * margin, bottom - top + 2 * margin)
        return cls(left - margin, top - margin, np.zeros(size, np.uint8), height, width)

    @cached_property
    def boundary(self) -> np.ndarray:
        """Where the pixel to the right, below, or both differs. Beyond the frame's edge, a pixel goes on as it is."""
        fill = self.fill
        last_x, last_y = self.width - 1 - self.x, self.height - 1 - self.y
        inside_x, inside_y = last_x + 1 < fill.shape[0], last_y + 1 < fill.shape[1]
        if inside_x or inside_y:
            fill = fill.copy()
        if inside_x:
            fill[last_x + 1] = fill[last_x]
        if inside_y:
            fill[:, last_y + 1] = fill[:, last_y]
        flat, step = fill.ravel(), fill.shape[1]
        edge = np.zeros_like(flat)
        here = flat[: -step - 1]
        found = here ^ flat[step:-1]
        found |= here ^ flat[1:-step]
        found |= here ^ flat[step + 1 :]
        edge[: -step - 1] = found
        edge = edge.reshape(fill.shape)
        edge[: max(0, -self.x)] = 0
        edge[:, : max(0, -self.y)] = 0
        edge[last_x + 1 :] = 0
        edge[:, last_y + 1 :] = 0
        return edge

    @cached_property
    def dilated(self) -> np.ndarray:
        """All pixels within the tolerance of the boundary.

        The disk is put together from columns: the boundary, smeared along y by each half height that occurs in it,
        is moved along x to where the disk has that height. Smearing goes from one half height on to the next.
        """
        radius = tolerance(self.height, self.width)
        step = self.fill.shape[1]
        edge = self.boundary.ravel()
        result = np.zeros_like(edge)
        size = len(edge)
        smeared, reach = edge, 0
        for offset in range(radius, -1, -1):
            half = math.isqrt(radius * radius - offset * offset)
            smeared, reach = _smear(smeared, reach, half), half
            shift = offset * step
            np.bitwise_or(result[shift:], smeared[: size - shift], out=result[shift:])
            if shift:
                np.bitwise_or(result[: size - shift], smeared[shift:], out=result[: size - shift])
        return result.reshape(self.fill.shape)

    def window(self, other: _Box) -> np.ndarray:
        """The other's fill as an array of this box, which has to hold it."""
        result = np.zeros_like(self.fill)
        mine, theirs = _shared(self, result, other, other.fill)
        mine[:] = theirs
        return result


def _smear(flat: np.ndarray, reach: int, goal: int) -> np.ndarray:
    """Widen runs of `reach` pixels to both sides of a boundary pixel to `goal`, in steps that leave no gap."""
    while reach < goal:
        step = min(goal - reach, max(1, reach))
        wider = flat.copy() if reach == 0 else np.zeros_like(flat)
        np.bitwise_or(wider[step:], flat[:-step], out=wider[step:])
        np.bitwise_or(wider[:-step], flat[step:], out=wider[:-step])
        flat, reach = wider, reach + step
    return flat


def _shared(a: _Box, of_a: np.ndarray, b: _Box, of_b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Views of two arrays, one of each box, on the part of the frame that both have."""
    left, top = max(a.x, b.x), max(a.y, b.y)
    right = min(a.x + of_a.shape[0], b.x + of_b.shape[0])
    bottom = min(a.y + of_a.shape[1], b.y + of_b.shape[1])
    if right <= left or bottom <= top:
        return of_a[:0], of_b[:0]
    return (
        of_a[left - a.x : right - a.x, top - a.y : bottom - a.y],
        of_b[left - b.x : right - b.x, top - b.y : bottom - b.y],
    )


def _count_common(a: _Box, of_a: np.ndarray, b: _Box, of_b: np.ndarray) -> list[int] | None:
    mine, theirs = _shared(a, of_a, b, of_b)
    return _count(mine & theirs) if mine.size and theirs.size else None


def _count(packed: np.ndarray) -> list[int]:
    """Set pixels of each of the eight frames."""
    one = np.empty_like(packed)
    return [cv2.countNonZero(np.bitwise_and(packed, bit, out=one)) for bit in _BITS]


# --- into that form ---------------------------------------------------------------------------------------------------


def pack(masks: Any) -> PackedMasks:
    """Masks as arrays (T, h, w), `MaskSequence` or a list of RLEs, all of one size; raises as `region_similarity`."""
    if isinstance(masks, PackedMasks):
        return masks
    if isinstance(masks, MaskSequence):
        return pack_rles(masks)
    if isinstance(masks, (list, tuple)) and all(mask is None or isinstance(mask, dict) for mask in masks):
        return pack_rles(parse_rles(masks))
    pixels = np.asarray(masks)
    if pixels.ndim != 3:
        raise UsageError(f"expected masks of shape (frames, height, width), found {pixels.shape}")
    return pack_frames(pixels.view(np.uint8) if pixels.dtype.itemsize == 1 else (pixels != 0).view(np.uint8))


def parse_rles(masks: Sequence[RLE | None]) -> MaskSequence:
    """RLEs whose size is that of the first one."""
    first = next((mask for mask in masks if mask is not None), None)
    if first is None:
        raise UsageError("a list of nulls says nothing about the size of its masks: pass MaskSequence.empty(T, h, w)")
    size = first.get("size")
    if not (isinstance(size, (list, tuple)) and len(size) == 2 and all(isinstance(side, int) for side in size)):
        raise MaskError(f"expected 'size': [height, width], found {size!r:.80}")
    return MaskSequence.parse(masks, *size)


class Patch(NamedTuple):
    """Grey values, uint8 (h, w), of the part of a frame outside of which all is zero; x, y is its corner."""

    x: int
    y: int
    pixels: np.ndarray

    @classmethod
    def of(cls, frame: np.ndarray) -> Patch:
        """The smallest one of a frame, uint8 (height, width), as a view; of an empty frame it has no pixels."""
        x, y, width, height = cv2.boundingRect(frame)
        return cls(x, y, frame[y : y + height, x : x + width])


def pack_frames(pixels: Sequence[np.ndarray]) -> PackedMasks:
    """Masks from T arrays (h, w) of uint8, in which what is not zero is object."""
    return pack_patches([Patch.of(frame) for frame in pixels], *pixels[0].shape)


def pack_patches(patches: Sequence[Patch], height: int, width: int) -> PackedMasks:
    """Masks of `height` x `width` pixels from T patches, in which what is not zero is object."""
    groups = [patches[i : i + FRAMES_PER_BYTE] for i in range(0, len(patches), FRAMES_PER_BYTE)]
    return PackedMasks(len(patches), height, width, [_box_of_patches(group, height, width) for group in groups])


def _box_of_patches(patches: Sequence[Patch], height: int, width: int) -> _Box | None:
    bounds = [(p.x, p.y, p.x + p.pixels.shape[1], p.y + p.pixels.shape[0]) for p in patches if p.pixels.size]
    if not bounds:
        return None
    lefts, tops, rights, bottoms = zip(*bounds, strict=True)
    left, top, right, bottom = min(lefts), min(tops), max(rights), max(bottoms)
    box = _Box.around(left, top, right, bottom, height, width)
    rows = np.zeros((bottom - top, right - left), np.uint8)
    for (x, y, pixels), bit in zip(patches, _BITS, strict=False):
        if pixels.size:
            part = rows[y - top : y - top + pixels.shape[0], x - left : x - left + pixels.shape[1]]
            part |= np.minimum(pixels, 1) * bit
    inner = left - box.x
    box.fill[inner : inner + right - left, inner : inner + bottom - top] = rows.T
    return box


def pack_rles(masks: MaskSequence) -> PackedMasks:
    """Masks from RLEs, without decoding a frame: a run's ends are set in the box, and one pass fills between them."""
    height, width = masks.height, masks.width
    first, last = masks.intervals()
    areas = np.bincount(first // (height * width), last - first, minlength=len(masks)).astype(np.int64)
    column, row = np.divmod(first, height)
    last_column, last_row = np.divmod(last - 1, height)
    across = last_column > column
    if across.any():  # runs that go on at the top of the next column
        column, row, last_row = _cut_at_columns(column, row, last_column, last_row, height)
    ends = np.searchsorted(column, np.arange(0, len(masks) + 1) * width).tolist()
    column %= width
    boxes = [
        _box_of_runs(column, row, last_row, ends[i : i + FRAMES_PER_BYTE + 1], height, width)
        for i in range(0, len(masks), FRAMES_PER_BYTE)
    ]
    packed = PackedMasks(len(masks), height, width, boxes)
    packed.areas = areas
    return packed


def _cut_at_columns(
    column: np.ndarray, row: np.ndarray, last_column: np.ndarray, last_row: np.ndarray, height: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    pieces = last_column - column + 1
    run = np.repeat(np.arange(len(column)), pieces)
    piece = np.arange(len(run)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    return (
        column[run] + piece,
        np.where(piece == 0, row[run], 0),
        np.where(piece == pieces[run] - 1, last_row[run], height - 1),
    )


def _box_of_runs(
    column: np.ndarray, row: np.ndarray, last_row: np.ndarray, ends: list[int], height: int, width: int
) -> _Box | None:
    """A box of the frames whose vertical runs end, in the arrays, at `ends` (which begins with where they begin)."""
    begin, end = ends[0], ends[-1]
    if begin == end:
        return None
    column, row, last_row = column[begin:end], row[begin:end], last_row[begin:end]
    left, top = int(column.min()), int(row.min())
    box = _Box.around(left, top, int(column.max()) + 1, int(last_row.max()) + 1, height, width)
    flat = box.fill.ravel()
    start = (column - box.x) * box.fill.shape[1] - box.y
    opened, closed = start + row, start + last_row + 1
    for bit, first, last in zip(_BITS, ends, ends[1:], strict=False):
        flat[opened[first - begin : last - begin]] ^= bit
        flat[closed[first - begin : last - begin]] ^= bit
    box.fill = _running_xor(flat).reshape(box.fill.shape)
    return box


def _running_xor(flat: np.ndarray) -> np.ndarray:
    """What `np.bitwise_xor.accumulate` gives, in an eighth of its time: it takes eight bytes at a time."""
    padded = np.zeros(-(-len(flat) // 8) * 8, np.uint8)
    padded[: len(flat)] = flat
    words = padded.view("<u8")
    for bits in (8, 16, 32):
        words ^= words << np.uint64(bits)
    carried = np.bitwise_xor.accumulate(words >> np.uint64(56))
    words[1:] ^= carried[:-1] * np.uint64(0x0101010101010101)
    return padded[: len(flat)]


def join(parts: Sequence[PackedMasks]) -> PackedMasks:
    """Sequences one after the other; all but the last must have a multiple of eight frames."""
    boxes = [box for part in parts for box in part._boxes]
    return PackedMasks(sum(part.frames for part in parts), parts[0].height, parts[0].width, boxes)
