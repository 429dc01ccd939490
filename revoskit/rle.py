"""COCO run-length masks: check, decode, union, area.

A mask is stored as ``{"size": [height, width], "counts": str}``: the lengths of alternating runs of background
and object, column by column, as differences to the run two before, in base 32 (``rleToString`` of the COCO API).
`pycocotools` reads such a string without looking where it ends: malformed counts crash the interpreter, counts that
are too short leave pixels uninitialised, and an empty run in the middle of two masks ends their merging early.
So native code is reached through `MaskSequence` alone, which cannot be made from anything but sound masks.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
from pycocotools import mask as coco

from revoskit.errors import MaskError

# A COCO digit has five bits and one that says "more follows". Six digits reach 2**29, so every sum stays exact and
# a run cannot overflow the 32 bits that native code gives it.
MAX_DIGITS = 6
MAX_PIXELS = 2**29 - 1


class RLE(TypedDict):
    """One mask: `size` is [height, width] in pixels, `counts` COCO's compressed string."""

    size: list[int]
    counts: str


@dataclass(frozen=True)
class Fault:
    """Why one mask of a sequence cannot be used: its position and the reason, in words."""

    index: int
    reason: str


@dataclass(frozen=True)
class _Runs:
    """The run lengths of many masks end to end: mask i owns `lengths[starts[i]:starts[i + 1]]`."""

    lengths: np.ndarray
    starts: np.ndarray

    def totals(self) -> np.ndarray:
        return np.add.reduceat(self.lengths, self.starts[:-1])

    def any_per_mask(self, condition: np.ndarray) -> np.ndarray:
        return np.logical_or.reduceat(condition, self.starts[:-1])

    def positions(self) -> np.ndarray:
        """The place of every run within its own mask; even ones are background."""
        return np.arange(len(self.lengths)) - np.repeat(self.starts[:-1], np.diff(self.starts))


def faults(masks: Sequence[RLE | None], height: int, width: int) -> list[Fault]:
    """What is wrong with each mask of a sequence, in order; an empty list means all are sound. Null masks are."""
    if not 0 < height * width <= MAX_PIXELS:
        return [Fault(i, f"masks of {height}x{width} pixels are not supported") for i in range(len(masks))]
    return _examine(masks, height, width)[0]


def _examine(masks: Sequence[RLE | None], height: int, width: int) -> tuple[list[Fault], list[int]]:
    """Faults, and the positions of masks that are sound but have an empty run after their first."""
    found: list[Fault] = []
    indices, strings = [], []
    for index, mask in enumerate(masks):
        if mask is None:
            continue
        reason = _shape_fault(mask, height, width)
        if reason:
            found.append(Fault(index, reason))
        else:
            indices.append(index)
            strings.append(mask["counts"].encode("ascii"))
    if not strings:
        return found, []

    unreadable = _unreadable(strings)
    if unreadable:
        found += [Fault(indices[i], reason) for i, reason in unreadable.items()]
        indices = [index for i, index in enumerate(indices) if i not in unreadable]
        strings = [string for i, string in enumerate(strings) if i not in unreadable]
    if not strings:
        return sorted(found, key=lambda fault: fault.index), []

    runs = _run_lengths(strings)
    negative = runs.any_per_mask(runs.lengths < 0)
    totals = runs.totals()
    for i in np.flatnonzero(negative | (totals != height * width)):
        reason = (
            "its counts hold a negative run"
            if negative[i]
            else f"its counts add up to {totals[i]} pixels, expected {height}x{width} = {height * width}"
        )
        found.append(Fault(indices[i], reason))
    empty = runs.lengths == 0
    empty[runs.starts[:-1]] = False
    uneven = [indices[i] for i in np.flatnonzero(runs.any_per_mask(empty))] if empty.any() else []
    return sorted(found, key=lambda fault: fault.index), uneven


def _shape_fault(mask: RLE, height: int, width: int) -> str | None:
    if not isinstance(mask, dict) or not isinstance(mask.get("counts"), str):
        return f"expected null or {{'size': [height, width], 'counts': str}}, found {mask!r:.80}"
    if list(mask.get("size") or ()) != [height, width]:
        return f"its size is {mask.get('size')}, expected [{height}, {width}]"
    if not mask["counts"]:
        return "its counts are empty"
    if not mask["counts"].isascii():
        return "its counts hold a character outside COCO's alphabet"
    return None


def _unreadable(strings: list[bytes]) -> dict[int, str]:
    """Strings that are no sequence of numbers at all, by position."""
    digits = np.frombuffer(b"".join(strings), np.uint8) - np.uint8(48)
    ends = np.cumsum([len(string) for string in strings])
    starts = ends - [len(string) for string in strings]
    reasons: dict[int, str] = {}
    if (digits > 63).any():
        for i in np.flatnonzero(np.logical_or.reduceat(digits > 63, starts)):
            reasons[int(i)] = "its counts hold a character outside COCO's alphabet"
    for i in np.flatnonzero(digits[ends - 1] & 32):
        reasons.setdefault(int(i), "its counts break off inside a number")
    # A number that is too long shows as MAX_DIGITS digits in a row that all say "more follows".
    last = np.flatnonzero(digits & 32 == 0)
    lengths = np.diff(last, prepend=-1)
    for position in last[lengths > MAX_DIGITS]:
        reasons.setdefault(int(np.searchsorted(ends, position, "right")), "its counts hold a number that is too large")
    return reasons


def _run_lengths(strings: list[bytes]) -> _Runs:
    """Run lengths of readable counts, for all strings at once."""
    digits = np.frombuffer(b"".join(strings), np.uint8) - np.uint8(48)
    last = np.flatnonzero(digits & 32 == 0)  # the final digit of every number, the most significant one
    lengths = np.diff(last, prepend=-1)
    numbers = (digits[last] & 31).astype(np.int32)
    numbers -= (numbers & 16) << 1  # its fifth bit is the sign
    for place in range(1, int(lengths.max())):
        longer = np.flatnonzero(lengths > place)
        numbers[longer] = (numbers[longer] << 5) | (digits[last[longer] - place] & 31)

    string_ends = np.cumsum([len(string) for string in strings])
    starts = np.concatenate([[0], np.searchsorted(last, string_ends)])
    return _Runs(_undo_differences(numbers, starts), starts)


def _undo_differences(numbers: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Runs from numbers: from the fourth of a mask on, each is stored as its difference to the one two before."""
    sums = np.empty(len(numbers), np.int64)  # over every other number, across all masks
    np.cumsum(numbers[0::2], out=sums[0::2])
    np.cumsum(numbers[1::2], out=sums[1::2])
    firsts = starts[:-1]
    counts = np.diff(starts)
    # What the running sums held before a mask's own chains began: its third number starts one, its second the other.
    before_even = sums[firsts]
    before_odd = np.where(firsts > 0, sums[firsts - 1], 0)
    odd = (np.arange(len(numbers)) - np.repeat(firsts, counts)) & 1
    runs = sums - np.where(odd, np.repeat(before_odd, counts), np.repeat(before_even, counts))
    runs[firsts] = numbers[firsts]
    return runs


class MaskSequence(Sequence["RLE | None"]):
    """The masks of one object over the frames of a video, all sound and of one size; a frame may have none (null).

    Made by `parse` from untrusted RLEs, by `encode` from pixels, or by `empty`; it behaves as a list of RLEs. What it
    computes takes a null as an empty mask. Immutable; safe to share.
    """

    __slots__ = ("_clean", "_masks", "height", "width")

    def __init__(self) -> None:
        raise TypeError("make a MaskSequence with parse(), encode() or empty()")

    @classmethod
    def _trusted(cls, masks: list[RLE | None], height: int, width: int, clean: list[RLE | None] | None = None):
        self = object.__new__(cls)
        self._masks, self.height, self.width = masks, height, width
        self._clean = masks if clean is None else clean
        return self

    @classmethod
    def parse(cls, masks: Sequence[RLE | None], height: int, width: int) -> MaskSequence:
        """Masks as found in a file, kept to the letter.

        Raises:
            MaskError: at the first mask that is not one of `height` x `width` pixels; its `fault` says which.
        """
        if not 0 < height * width <= MAX_PIXELS:
            raise MaskError(f"masks of {height}x{width} pixels are not supported")
        found, uneven = _examine(masks, height, width)
        if found:
            error = MaskError(f"mask {found[0].index}: {found[0].reason}")
            error.fault = found[0]
            raise error
        masks = list(masks)
        clean = list(masks)
        for index in uneven:  # sound to decode, but the merging in native code would stop at the empty run
            clean[index] = _encode(coco.decode(masks[index])[:, :, None])[0]
        return cls._trusted(masks, height, width, clean)

    @classmethod
    def encode(cls, pixels: np.ndarray) -> MaskSequence:
        """Masks from an array (T, height, width) of any dtype: what is not zero is object."""
        frames, height, width = pixels.shape
        if frames == 0:
            return cls._trusted([], height, width)
        masks = _encode(np.asarray(pixels != 0, np.uint8).transpose(1, 2, 0))
        return cls._trusted(masks, height, width)

    @classmethod
    def empty(cls, frames: int, height: int, width: int) -> MaskSequence:
        """`frames` masks that are background throughout."""
        blank = _blank(height, width)
        return cls._trusted([blank] * frames, height, width)

    def __len__(self) -> int:
        return len(self._masks)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return MaskSequence._trusted(self._masks[index], self.height, self.width, self._clean[index])
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
        indices = list(indices)
        masks = [self._masks[i] for i in indices]
        return MaskSequence._trusted(masks, self.height, self.width, [self._clean[i] for i in indices])

    def filled(self) -> MaskSequence:
        """The same masks with every null replaced by an empty mask, so that `pycocotools` takes them."""
        if None not in self._masks:
            return self
        blank = _blank(self.height, self.width)
        masks = [blank if mask is None else mask for mask in self._masks]
        clean = [blank if mask is None else mask for mask in self._clean]
        return MaskSequence._trusted(masks, self.height, self.width, clean)

    def union(self, *others: MaskSequence) -> MaskSequence:
        """Frame by frame, what any of the sequences covers; never null. All must agree in length and size."""
        for other in others:
            if (len(other), other.height, other.width) != (len(self), self.height, self.width):
                raise MaskError(f"cannot unite {self!r} with {other!r}")
        if not others:
            return self.filled()
        blank = _blank(self.height, self.width)
        masks = []
        for frame in zip(self._clean, *(other._clean for other in others), strict=True):
            present = [mask for mask in frame if mask is not None]
            if len(present) > 1:
                merged = coco.merge(present)
                masks.append({"size": [self.height, self.width], "counts": merged["counts"].decode("ascii")})
            else:
                masks.append(present[0] if present else blank)
        return MaskSequence._trusted(masks, self.height, self.width)

    def decode(self) -> np.ndarray:
        """Pixels, uint8 (T, height, width): 1 on the object."""
        pixels = np.zeros((len(self), self.height, self.width), np.uint8)
        present = [i for i, mask in enumerate(self._masks) if mask is not None]
        for i in present:  # one at a time: the batch call returns Fortran order, and copying it costs more
            pixels[i] = coco.decode(self._masks[i])
        return pixels

    def intervals(self) -> tuple[np.ndarray, np.ndarray]:
        """Every run of object pixels, as its first position and the one after its last, both int64, ascending.

        Positions count column by column, through all frames: frame t begins at t·height·width.
        """
        present = [i for i, mask in enumerate(self._clean) if mask is not None]
        if not present:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        runs = _run_lengths([self._clean[i]["counts"].encode("ascii") for i in present])
        pixels = self.height * self.width
        ends = np.cumsum(runs.lengths)  # as if no frame were null
        positions = runs.positions()
        skipped = (np.array(present) - np.arange(len(present))) * pixels
        if skipped[-1]:
            ends += np.repeat(skipped, np.diff(runs.starts))
        objects = np.flatnonzero(positions & 1)
        return ends[objects] - runs.lengths[objects], ends[objects]

    @classmethod
    def from_intervals(cls, first: np.ndarray, last: np.ndarray, frames: int, height: int, width: int) -> MaskSequence:
        """Masks from what `intervals` gives: runs that begin at `first` and end before `last`, none across frames.

        Both are int64 and ascending; runs of one frame may touch, as where an object goes on in the next column.
        """
        pixels = height * width
        touching = (first[1:] == last[:-1]) & (first[1:] % pixels != 0)
        first, last = first[np.append(True, ~touching)[: len(first)]], last[np.append(~touching, True)[: len(last)]]
        borders = np.searchsorted(first, np.arange(frames + 1) * pixels)
        masks = []
        for frame, (begin, end) in enumerate(itertools.pairwise(borders.tolist())):
            edges = np.stack([first[begin:end], last[begin:end]], axis=1).ravel() - frame * pixels
            counts = np.diff(edges, prepend=0, append=pixels)
            if counts[-1] == 0 and len(counts) > 1:
                counts = counts[:-1]
            encoded = coco.frPyObjects({"size": [height, width], "counts": counts.tolist()}, height, width)
            masks.append({"size": [height, width], "counts": encoded["counts"].decode("ascii")})
        return cls._trusted(masks, height, width)

    def areas(self) -> np.ndarray:
        """Object pixels per frame, int64 (T,)."""
        areas = np.zeros(len(self), np.int64)
        present = [i for i, mask in enumerate(self._masks) if mask is not None]
        if present:
            areas[present] = coco.area([self._masks[i] for i in present])
        return areas


def _encode(pixels: np.ndarray) -> list[RLE]:
    """RLEs of an array (height, width, T) of 0 and 1."""
    height, width, _ = pixels.shape
    encoded = coco.encode(np.asfortranarray(pixels, np.uint8))
    return [{"size": [height, width], "counts": rle["counts"].decode("ascii")} for rle in encoded]


def _blank(height: int, width: int) -> RLE:
    return _encode(np.zeros((height, width, 1), np.uint8))[0]
