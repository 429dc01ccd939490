"""COCO run-length masks: check, decode, union, area.

A mask is stored as ``{"size": [height, width], "counts": str}``: the lengths of alternating runs of background
and object, column by column, as differences to the run two before, in base 32 (``rleToString`` of the COCO API).
`pycocotools` reads such a string without looking where it ends: malformed counts crash the interpreter, counts that
are too short leave pixels uninitialised, and an empty run in the middle of two masks ends their merging early. So
native code is reached through `MaskSequence` alone, which cannot be made from anything but sound masks, and for one
frame at a time: some versions of it fail on lists of more than 255. All else is done here, on the runs of all frames at
once.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypedDict, overload

import numpy as np
from pycocotools import mask as coco

from revoskit import regular
from revoskit.errors import MaskError
from revoskit.text import brief

# A COCO digit has five bits and one that says "more follows". Six digits reach 2**29, so every sum stays exact and
# a run cannot overflow the 32 bits that native code gives it.
MAX_DIGITS = 6
MAX_PIXELS = min(regular.MAX_PIXELS, 2**29 - 1)
MASKS_AT_ONCE = 32  # that are pixels while they are resampled


class RLE(TypedDict):
    """One mask: `size` is [height, width] in pixels, `counts` COCO's compressed string."""

    size: list[int]
    counts: str


@dataclass(frozen=True)
class Fault:
    """Why one mask of a sequence cannot be used: its position and the reason, in words."""

    index: int
    reason: str


class _Runs(NamedTuple):
    """The run lengths of many masks end to end, int32, and where those of each mask start."""

    lengths: np.ndarray
    starts: np.ndarray

    def counts(self) -> np.ndarray:
        return _gaps(self.starts, len(self.lengths))

    def some(self, first: int, count: int) -> _Runs:
        """Those of `count` masks from number `first` on."""
        starts = np.append(self.starts, len(self.lengths))[first : first + count + 1]
        return _Runs(self.lengths[starts[0] : starts[-1]], starts[:-1] - starts[0])

    def places(self) -> np.ndarray:
        """The number of each run within its mask, int32."""
        starts = np.repeat(self.starts.astype(np.int32), self.counts())
        return np.asarray(np.arange(len(self.lengths), dtype=np.int32) - starts)

    def on_object(self) -> np.ndarray:
        """Which runs are object: every second one of a mask, bool."""
        return np.asarray(self.places() & 1 == 1)

    def empty(self) -> np.ndarray:
        """The runs without a pixel, but for a mask's first, which says that it begins with object: int64."""
        empty = np.flatnonzero(self.lengths == 0)
        return np.asarray(empty[self.starts[np.searchsorted(self.starts, empty, "right") - 1] != empty])

    def canonical(self, pixels: int) -> _Runs:
        """The same masks, of `pixels` each, as encoding them would give them: without empty runs."""
        return _runs_between(*self.intervals(), len(self.starts), pixels) if len(self.empty()) else self

    def intervals(self) -> tuple[np.ndarray, np.ndarray]:
        """The first position of each run on the object that has a pixel, and the one after its last, both int64.

        Positions count through one mask after the other.
        """
        ends, counts = np.cumsum(self.lengths, dtype=np.int64), self.counts()
        background = counts % 2 == 1  # at the end of a mask; wherever else a run ends, an object begins or ends
        first, last = np.delete(ends, (self.starts + counts - 1)[background]).reshape(-1, 2).T
        there = last > first
        return first[there], last[there]


def _gaps(starts: np.ndarray, end: int) -> np.ndarray:
    """From each start to the next, and from the last to `end`: `np.diff(starts, append=end)` in a fifth of its time."""
    ends = np.empty_like(starts)
    ends[:-1] = starts[1:]
    ends[-1:] = end
    return np.asarray(ends - starts)


def faults(masks: Sequence[RLE | None], height: int, width: int) -> list[Fault]:
    """What is wrong with each mask of a sequence, in order; an empty list means all are sound. Null masks are."""
    if not 0 < height * width <= MAX_PIXELS:
        return [Fault(i, f"masks of {height}x{width} pixels are not supported") for i in range(len(masks))]
    return _examine(masks, height, width)[0]


def _examine(masks: Sequence[RLE | None], height: int, width: int) -> tuple[list[Fault], _Runs | None]:
    """Faults, and the runs of all masks that are there."""
    found = _shape_faults(masks, height, width)
    unusable = {fault.index for fault in found}
    present = [(i, mask["counts"]) for i, mask in enumerate(masks) if mask is not None and i not in unusable]
    indices, strings = [i for i, _ in present], [counts for _, counts in present]
    if not strings:
        return found, None
    digits, ends = _digits(strings)
    unreadable = _unreadable(digits, ends)
    if unreadable:
        found += [Fault(indices[i], reason) for i, reason in unreadable.items()]
        strings = [string for i, string in enumerate(strings) if i not in unreadable]
        indices = [index for i, index in enumerate(indices) if i not in unreadable]
        if not strings:
            return sorted(found, key=lambda fault: fault.index), None
        digits, ends = _digits(strings)

    runs = _run_lengths(digits, ends)
    lengths, starts = runs
    negative = np.minimum.reduceat(lengths, starts) < 0 if lengths.min() < 0 else np.zeros(len(starts), bool)
    totals = np.add.reduceat(lengths, starts, dtype=np.int64)
    for i in np.flatnonzero(negative | (totals != height * width)):
        reason = (
            "its counts hold a negative run"
            if negative[i]
            else f"its counts add up to {totals[i]} pixels, expected {height}x{width} = {height * width}"
        )
        found.append(Fault(indices[i], reason))
    return sorted(found, key=lambda fault: fault.index), runs


def _shape_faults(masks: Sequence[RLE | None], height: int, width: int) -> list[Fault]:
    """Masks that are not even a size and a string. Sound sequences, the usual ones, are not looked at one by one."""
    present = [mask for mask in masks if mask is not None]
    try:
        sizes = [mask["size"] for mask in present]
        strings = [mask["counts"] for mask in present]
        usual = sizes.count([height, width]) == len(present) and all(strings) and "".join(strings).isascii()
        if usual and max(map(len, strings), default=0) <= most_counts(height, width):
            return []
    except (TypeError, KeyError, IndexError):
        pass  # found again below, where it gets its words
    reasons = ((i, _shape_fault(mask, height, width)) for i, mask in enumerate(masks) if mask is not None)
    return [Fault(i, reason) for i, reason in reasons if reason]


def most_counts(height: int, width: int) -> int:
    """Characters of counts that are read: some for every pixel, and for runs without any."""
    return 4 * height * width + 1000


def _shape_fault(mask: Any, height: int, width: int) -> str | None:
    if not isinstance(mask, dict) or not isinstance(mask.get("counts"), (str, list, tuple)):
        return f"expected null or {{'size': [height, width], 'counts': str}}, found {brief(mask, 80)}"
    if not isinstance(mask.get("size"), (list, tuple)) or list(mask["size"]) != [height, width]:
        return f"its size is {brief(mask.get('size'), 40)}, expected [{height}, {width}]"
    if not mask["counts"]:
        return "its counts are empty"
    if not isinstance(mask["counts"], str):
        return f"its counts are {len(mask['counts']):,} numbers, which are not the runs of {height}x{width} pixels"
    if not mask["counts"].isascii():
        return _FOREIGN
    if len(mask["counts"]) > most_counts(height, width):
        return f"its counts have {len(mask['counts']):,} characters, which no mask of {height}x{width} pixels needs"
    return None


_FOREIGN = "its counts hold a character outside COCO's alphabet"


def _digits(strings: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """COCO digits of all strings end to end, uint8, and where each string ends."""
    digits = np.frombuffer("".join(strings).encode("ascii"), np.uint8) - np.uint8(48)
    return digits, np.cumsum([len(string) for string in strings])


def _unreadable(digits: np.ndarray, ends: np.ndarray) -> dict[int, str]:
    """Strings that are no sequence of numbers at all, by position."""
    reasons: dict[int, str] = {}
    if digits.max() > 63:
        foreign = np.searchsorted(ends, np.flatnonzero(digits > 63), "right")
        reasons.update(dict.fromkeys(foreign.tolist(), _FOREIGN))
    for i in np.flatnonzero(digits[ends - 1] & 32).tolist():
        reasons.setdefault(i, "its counts break off inside a number")
    # A number that is too long shows as MAX_DIGITS digits in a row that all say "more follows".
    more = np.concatenate([digits & 32, np.zeros(MAX_DIGITS, np.uint8)])
    long = functools.reduce(np.bitwise_and, (more[i : i + len(digits)] for i in range(MAX_DIGITS)))
    if long.any():
        for i in np.searchsorted(ends, np.flatnonzero(long), "right").tolist():
            reasons.setdefault(i, "its counts hold a number that is too large")
    return reasons


def _run_lengths(digits: np.ndarray, ends: np.ndarray) -> _Runs:
    """The runs of readable counts, for all strings at once."""
    tops = np.flatnonzero(digits < 32)  # the highest digits: every number ends with the one that has nothing to follow
    sizes = np.empty(len(tops), np.int32)
    sizes[0] = tops[0] + 1
    np.subtract(tops[1:], tops[:-1], out=sizes[1:], casting="unsafe")
    # Four digits at a time, the highest last, read as one word. Their five bits each are moved together, those of the
    # number before are shifted out, and the sign is shifted in.
    padded = np.concatenate([np.zeros(3, np.uint8), digits])
    words = np.ndarray(len(digits), "<u4", padded, strides=(1,)).take(tops)
    words = (words & 0x001F001F) | (words >> 3 & 0x03E003E0)
    words = (words & 0x3FF) | (words >> 6 & 0xFFC00)
    numbers = (words << 12).view(np.int32) >> (32 - 5 * np.minimum(sizes, 4))
    for more in range(4, MAX_DIGITS):
        longer = np.flatnonzero(sizes > more)
        numbers[longer] = numbers[longer] << 5 | digits[tops[longer] - more] & 31
    return _undo_differences(_Runs(numbers, np.concatenate([[0], np.searchsorted(tops, ends)[:-1]])))


def _undo_differences(stored: _Runs) -> _Runs:
    """Runs from numbers: from the fourth of a mask on, each is stored as its difference to the one two before.

    In 32 bits, as native code does it, so that both read the same runs.
    """
    numbers, starts = stored
    lengths = np.empty_like(numbers)
    for parity in (0, 1):  # of the places: a running sum over every other number, across all masks
        sums = np.zeros(len(numbers[parity::2]) + 1, np.int32)
        np.cumsum(numbers[parity::2], out=sums[1:])
        first = (starts + 1 - parity) // 2
        alone = starts % 2 == parity  # a mask's first number is no part of a sum: its third begins one
        before = np.repeat(sums[first + alone], _gaps(first, len(sums) - 1))
        lengths[parity::2] = sums[1:] - before
    lengths[starts] = numbers[starts]
    return _Runs(lengths, starts)


def compressed(counts: Sequence[Any], size: Sequence[Any]) -> RLE:
    """A mask from the lengths of its runs, background first, column by column: COCO's form that is not compressed.

    Args:
        counts: whole numbers, from a file perhaps.
        size: height and width in pixels, from there too.

    Raises:
        MaskError: they are not the runs of a mask of that size.
    """
    if len(size) != 2 or not all(type(side) is int and side > 0 for side in size) or size[0] * size[1] > MAX_PIXELS:
        raise MaskError(f"its size is {brief(list(size), 40)}, expected [height, width]")
    height, width = size
    if len(counts) > most_counts(height, width):
        raise MaskError(f"its counts are {len(counts):,} numbers, which no mask of {height}x{width} pixels needs")
    if not all(type(run) is int and run >= 0 for run in counts):
        raise MaskError("its counts are not all whole numbers of pixels")
    if sum(counts) != height * width:
        raise MaskError(f"its counts add up to {sum(counts)} pixels, expected {height}x{width} = {height * width}")
    runs = _Runs(np.array(counts, np.int32), np.zeros(1, np.int64))
    return {"size": [height, width], "counts": _strings(runs)[0]}


class MaskSequence(Sequence["RLE | None"]):
    """The masks of one object over the frames of a video, all sound and of one size; a frame may have none (null).

    Made by `parse` from untrusted RLEs, by `encode` from pixels, or by `empty`; it behaves as a list of RLEs. What it
    computes takes a null as an empty mask. Immutable; safe to share.
    """

    __slots__ = ("_even", "_masks", "_runs", "height", "width")

    height: int
    width: int
    _masks: list[RLE | None]
    _runs: _Runs | None
    """Of the masks that are not null, canonical; null as long as nobody has asked for them."""
    _even: bool
    """Whether all masks are canonical to the letter."""

    def __init__(self) -> None:
        raise TypeError("make a MaskSequence with parse(), encode() or empty()")

    @classmethod
    def _trusted(
        cls, masks: list[RLE | None], height: int, width: int, runs: _Runs | None = None, even: bool = True
    ) -> MaskSequence:
        self = object.__new__(cls)
        self._masks, self.height, self.width, self._runs, self._even = masks, height, width, runs, even
        return self

    @classmethod
    def parse(cls, masks: Sequence[RLE | None], height: int, width: int) -> MaskSequence:
        """Masks as found in a file, kept to the letter.

        Raises:
            MaskError: at the first mask that is not one of `height` x `width` pixels; its `index` says which.
        """
        if not 0 < height * width <= MAX_PIXELS:
            raise MaskError(f"masks of {height}x{width} pixels are not supported")
        found, runs = _examine(masks, height, width)
        if found:
            index, reason = found[0].index, found[0].reason
            raise MaskError(f"mask {index}: {reason}", index=index, reason=reason)
        canonical = None if runs is None else runs.canonical(height * width)
        return cls._trusted(list(masks), height, width, canonical, canonical is runs)

    @classmethod
    def encode(cls, pixels: np.ndarray) -> MaskSequence:
        """Masks from an array (T, height, width) of any dtype: what is not zero is object.

        Raises:
            MaskError: its frames have no rows or no columns, or are too large.
        """
        frames, height, width = pixels.shape
        _require_pixels(frames, height, width)
        edges = [np.zeros(0, np.int64)]
        for number, frame in enumerate(pixels):
            edges.append(_edges(frame) + number * height * width)
        first, last = np.concatenate(edges).reshape(-1, 2).T
        return cls.from_intervals(first, last, frames, height, width)

    @classmethod
    def empty(cls, frames: int, height: int, width: int) -> MaskSequence:
        """`frames` masks of background throughout; raises MaskError where they would have no pixel or too many."""
        _require_pixels(frames, height, width)
        blank = _blank(height, width)
        return cls._trusted([blank] * frames, height, width)

    def __len__(self) -> int:
        return len(self._masks)

    @overload
    def __getitem__(self, index: int) -> RLE | None: ...

    @overload
    def __getitem__(self, index: slice) -> MaskSequence: ...

    def __getitem__(self, index: int | slice) -> RLE | MaskSequence | None:
        if isinstance(index, slice):
            some, runs = self._masks[index], None
            if self._runs is not None and index.step in (None, 1):
                before = self._masks[: index.indices(len(self))[0]]
                runs = self._runs.some(*(len(part) - part.count(None) for part in (before, some)))
            return MaskSequence._trusted(some, self.height, self.width, runs, self._even)
        return self._masks[index]

    def __iter__(self) -> Iterator[RLE | None]:
        return iter(self._masks)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, MaskSequence):
            return NotImplemented
        return (self.height, self.width, self._masks) == (other.height, other.width, other._masks)

    def __repr__(self) -> str:
        return f"MaskSequence({len(self)} masks of {self.height}x{self.width})"

    def take(self, indices: Iterable[int]) -> MaskSequence:
        """The masks at these frames, in this order."""
        masks = [self._masks[i] for i in indices]
        return MaskSequence._trusted(masks, self.height, self.width, even=self._even)

    def filled(self) -> MaskSequence:
        """The same masks with every null replaced by an empty mask, so that `pycocotools` takes them."""
        if None not in self._masks:
            return self
        blank = _blank(self.height, self.width)
        masks: list[RLE | None] = [blank if mask is None else mask for mask in self._masks]
        return MaskSequence._trusted(masks, self.height, self.width, even=self._even)

    def union(self, *others: MaskSequence) -> MaskSequence:
        """Frame by frame, what any of the sequences covers; never null. All must agree in length and size."""
        for other in others:
            if (len(other), other.height, other.width) != (len(self), self.height, self.width):
                raise MaskError(f"cannot unite {self!r} with {other!r}")
        if not others:
            return self.filled()
        blank = _blank(self.height, self.width)
        masks: list[RLE | None] = []
        # A mask at a time: joining the runs of all frames in numpy, and writing them out, takes three times as long.
        for frame in zip(*(sequence._canonical() for sequence in (self, *others)), strict=True):
            present = [mask for mask in frame if mask is not None and mask["counts"] != blank["counts"]]
            if len(present) > 1:
                masks.append(_from_native(coco.merge([_native(mask) for mask in present])))
            else:
                masks.append(present[0] if present else blank)
        return MaskSequence._trusted(masks, self.height, self.width)

    def _canonical(self) -> list[RLE | None]:
        """The masks without empty runs after the first, since native code would end a union there."""
        if self._even:
            return self._masks
        counts = iter(_strings(self._read()))
        size = [self.height, self.width]
        return [None if mask is None else {"size": size, "counts": next(counts)} for mask in self._masks]

    def decode(self) -> np.ndarray:
        """Pixels, uint8 (T, height, width): 1 on the object."""
        pixels = np.zeros((len(self), self.height, self.width), np.uint8)
        present = [i for i, mask in enumerate(self._masks) if mask is not None]
        for i in present:  # one at a time: the batch call returns Fortran order, and copying it costs more
            pixels[i] = coco.decode(_native(self._masks[i]))
        return pixels

    def intervals(self) -> tuple[np.ndarray, np.ndarray]:
        """Every run of object pixels, as its first position and the one after its last, both int64, ascending.

        Positions count column by column, through all frames: frame t begins at t·height·width.
        """
        present = [i for i, mask in enumerate(self._masks) if mask is not None]
        if not present:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        first, last = self._read().intervals()
        pixels = self.height * self.width
        skipped = (np.array(present, np.int64) - np.arange(len(present))) * pixels  # by nulls before each mask
        if skipped[-1]:
            shift = skipped[first // pixels]
            first, last = first + shift, last + shift
        return first, last

    def _read(self) -> _Runs:
        """The runs of the masks that are not null, of which there must be one, as parsing has left them or anew."""
        if self._runs is None:
            runs = _run_lengths(*_digits([mask["counts"] for mask in self._masks if mask is not None]))
            self._runs = runs.canonical(self.height * self.width)
        return self._runs

    def sample(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """What `decode()[:, rows][:, :, columns]` gives, without decoding the pixels between: uint8 (T, rows, columns).

        Every edge between two runs is carried over to the first sampled pixel at or after it, column by column as runs
        count, and the shorter runs that come of it are written out. So the cost follows the number of runs and the size
        of the result, not that of the masks.

        Args:
            rows, columns: which ones, in ascending order; one may come several times.
        """
        if not len(rows) or not len(columns):
            return np.zeros((len(self), len(rows), len(columns)), np.uint8)
        columns, copies = np.unique(columns, return_inverse=True)
        size = len(rows) * len(columns)
        mask, position = np.divmod(np.stack(self.intervals(), axis=1).ravel(), self.height * self.width)
        column, row = np.divmod(position, self.height)
        x = np.searchsorted(columns, column)
        on_sampled = np.append(columns, -1)[x] == column  # else the edge lies between two sampled columns
        edges = mask * size + x * len(rows) + np.where(on_sampled, np.searchsorted(rows, row), 0)
        lengths = np.diff(edges, prepend=0, append=len(self) * size)
        values = (np.arange(len(lengths)) & 1).astype(np.uint8)  # background and object take turns
        pixels = np.repeat(values, lengths).reshape(len(self), len(columns), len(rows)).transpose(0, 2, 1)
        return np.ascontiguousarray(pixels if len(columns) == len(copies) else pixels[:, :, copies])

    def resampled(self, rows: np.ndarray, columns: np.ndarray) -> MaskSequence:
        """What lies at these rows and columns, as `sample` has it; null stays null."""
        masks: list[RLE | None] = []
        for begin in range(0, len(self), MASKS_AT_ONCE):
            some = self[begin : begin + MASKS_AT_ONCE]
            made = MaskSequence.encode(some.sample(rows, columns))
            masks += [None if mask is None else new for mask, new in zip(some, made, strict=True)]
        return MaskSequence._trusted(masks, len(rows), len(columns))

    @classmethod
    def from_intervals(cls, first: np.ndarray, last: np.ndarray, frames: int, height: int, width: int) -> MaskSequence:
        """Masks from what `intervals` gives: runs that begin at `first` and end before `last`, none across frames.

        Both are int64 and ascending; runs of one frame may touch, as where an object goes on in the next column.
        """
        runs = _runs_between(first, last, frames, height * width)
        masks: list[RLE | None] = [{"size": [height, width], "counts": counts} for counts in _strings(runs)]
        return cls._trusted(masks, height, width, runs if frames else None)

    def areas(self) -> np.ndarray:
        """Object pixels per frame, int64 (T,)."""
        areas = np.zeros(len(self), np.int64)
        present = [i for i, mask in enumerate(self._masks) if mask is not None]
        if present:
            runs = self._read()
            areas[present] = np.add.reduceat(np.where(runs.on_object(), runs.lengths, 0), runs.starts, dtype=np.int64)
        return areas

    def boxes(self) -> np.ndarray:
        """The smallest box around the object per frame, float64 (T, 4) as x, y, width, height in pixels; 0 for none."""
        boxes = np.zeros((len(self), 4))
        first, last = self.intervals()
        frame, begin = np.unique(first // (self.height * self.width), return_index=True)
        if not len(frame):
            return boxes
        column, row = np.divmod(first, self.height)
        last_column, last_row = np.divmod(last - 1, self.height)
        across = column < last_column  # such a run touches the upper and the lower border
        left = np.minimum.reduceat(column, begin) - frame * self.width
        right = np.maximum.reduceat(last_column, begin) - frame * self.width
        top = np.minimum.reduceat(np.where(across, 0, row), begin)
        bottom = np.maximum.reduceat(np.where(across, self.height - 1, last_row), begin)
        boxes[frame] = np.stack([left, top, right - left + 1, bottom - top + 1], axis=1)
        return boxes

    def runs(self) -> list[list[int] | None]:
        """COCO's uncompressed form: the lengths of alternating runs, background first, column by column; or null."""
        if all(mask is None for mask in self._masks):
            return [None] * len(self)
        runs = self._read()
        lengths = iter(np.split(runs.lengths, runs.starts[1:]))
        return [None if mask is None else next(lengths).tolist() for mask in self._masks]


def _require_pixels(frames: int, height: int, width: int) -> None:
    if not (0 if frames == 0 else 1) <= height * width <= MAX_PIXELS:
        raise MaskError(f"masks of {height}x{width} pixels are not supported")


def _edges(pixels: np.ndarray) -> np.ndarray:
    """Where runs on the object begin and end, in turns, in an array (height, width) of any dtype: int64, ascending.

    From where it changes down its columns. `pycocotools`, which reads every pixel, takes ten times as long.
    """
    height, width = pixels.shape
    on = pixels if pixels.dtype == bool else pixels != 0
    changed = np.empty((height, width), bool)
    np.not_equal(on[1:], on[:-1], out=changed[1:])
    np.not_equal(on[0, 1:], on[-1, :-1], out=changed[0, 1:])  # a column goes on from the foot of the one before
    changed[0, 0] = on[0, 0]
    row, column = np.divmod(np.flatnonzero(changed), width)
    edges = np.sort(column.astype(np.int64) * height + row)
    return np.append(edges, height * width) if len(edges) % 2 else edges


def _runs_between(first: np.ndarray, last: np.ndarray, masks: int, pixels: int) -> _Runs:
    """The runs of masks of `pixels` each from the intervals that are object, as `from_intervals` takes them."""
    touching = (first[1:] == last[:-1]) & (first[1:] % pixels != 0)
    first, last = first[np.append(True, ~touching)[: len(first)]], last[np.append(~touching, True)[: len(last)]]
    borders = np.arange(masks + 1, dtype=np.int64) * pixels
    before = 2 * np.searchsorted(first, borders)  # edges
    edges = np.insert(np.stack([first, last], axis=1).ravel(), before, borders)
    lengths = np.diff(edges).astype(np.int32)
    starts = (before + np.arange(masks + 1))[:-1]
    ends = np.append(starts[1:], len(lengths))[: len(starts)] - 1
    needless = (lengths[ends] == 0) & (ends > starts)  # an object that goes on to the last pixel
    return _Runs(np.delete(lengths, ends[needless]), starts - np.cumsum(needless) + needless)


def _strings(runs: _Runs) -> list[str]:
    """COCO's compressed strings of these runs, as `rleToString` writes them."""
    if not len(runs.starts):
        return []
    text, ends = _text(runs)
    joined = text.tobytes().decode("ascii")
    return [joined[begin:end] for begin, end in itertools.pairwise([0, *ends.tolist()])]


def _bytes(values: Sequence[Sequence[int]]) -> np.ndarray:
    """Words of up to eight bytes, the lowest first."""
    return np.array([sum(byte << 8 * i for i, byte in enumerate(word)) for word in values], np.uint64)


# By the number of a number's digits, in the bytes of a word: which are used, and what makes a character of a digit.
_USED = _bytes([[1] * size for size in range(MAX_DIGITS + 1)])
_CHARACTER = _bytes([[48 + 32] * (size - 1) + [48] for size in range(MAX_DIGITS + 1)])


def _text(runs: _Runs) -> tuple[np.ndarray, np.ndarray]:
    """COCO's compressed strings of these runs end to end, uint8, and where each of them ends."""
    lengths, starts = runs
    numbers = lengths.copy()
    numbers[2:] -= lengths[:-2]
    for place in range(3):  # a mask's first three numbers are lengths, all others differences to the one two before
        at = starts[runs.counts() > place] + place
        numbers[at] = lengths[at]
    magnitudes = numbers ^ (numbers >> 31)
    sizes = np.ones(len(numbers), np.uint8)  # in digits
    for bits in range(4, 5 * MAX_DIGITS - 1, 5):  # of a number with its sign
        sizes += magnitudes >= 1 << bits
    # The bits of four digits are moved apart, each into a byte of its own; few numbers have more.
    pairs = (numbers.view(np.uint32) & 0x3FF) | ((numbers.view(np.uint32) & 0xFFC00) << 6)
    words = ((pairs & 0x001F001F) | ((pairs & 0x03E003E0) << 3)).astype(np.uint64)
    for more in range(4, MAX_DIGITS):
        longer = np.flatnonzero(sizes > more)
        words[longer] |= (numbers[longer] >> 5 * more & 31).astype(np.uint64) << np.uint64(8 * more)
    words += _CHARACTER.take(sizes)
    used = _USED.take(sizes).astype("<u8", copy=False).view(bool)
    text = np.compress(used, words.astype("<u8", copy=False).view(np.uint8))
    return text, np.cumsum(np.add.reduceat(sizes, starts, dtype=np.int64))


def _native(mask: RLE | None) -> Any:
    """A sound mask as native code takes it, whose stub asks for bytes where text will do."""
    assert mask is not None
    return mask


def _from_native(encoded: Any) -> RLE:
    height, width = encoded["size"]
    return {"size": [height, width], "counts": encoded["counts"].decode("ascii")}


def _blank(height: int, width: int) -> RLE:
    return {"size": [height, width], "counts": _blank_counts(height * width)}


@functools.lru_cache(maxsize=64)  # a video asks for it once a union
def _blank_counts(pixels: int) -> str:
    return _strings(_Runs(np.array([pixels], np.int32), np.zeros(1, np.int64)))[0]
