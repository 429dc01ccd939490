"""Run lengths of the masks of many frames at once, in NumPy: read from COCO's counts, written as such, united.

A mask of COCO is the lengths of alternating runs of background and object, column by column, the first of them
background and perhaps empty. Its counts store the first three lengths as they are and every other as its difference to
the one two before, in base 32: a digit has five bits and one that says "more follows", the lowest digit comes first,
and the highest bit of the highest is the sign (`rleToString` of the COCO API).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

# Six digits reach 2**29, so every sum stays exact and a run cannot overflow the 32 bits that native code gives it.
MAX_DIGITS = 6
GAP = 3
"""Positions between two frames where edges are counted through all of them: no run goes on in the next frame."""


class Counts(NamedTuple):
    """COCO's counts of many masks end to end; of a null there are none.

    Attributes:
        characters: ASCII.
        ends: where those of each mask end, int64 (T,).
    """

    characters: bytes
    ends: np.ndarray

    @classmethod
    def of(cls, strings: Sequence[str]) -> Counts:
        """From those of each mask, ASCII, none for a null."""
        return cls("".join(strings).encode("ascii"), np.cumsum([len(string) for string in strings], dtype=np.int64))

    @classmethod
    def joined(cls, parts: Sequence[Counts]) -> Counts:
        if len(parts) == 1:
            return parts[0]
        before = itertools.accumulate((len(part.characters) for part in parts), initial=0)
        ends = [part.ends + start for part, start in zip(parts, before, strict=False)]
        return cls(b"".join(part.characters for part in parts), np.concatenate([np.zeros(0, np.int64), *ends]))

    def equal(self, other: Counts) -> bool:
        return self.characters == other.characters and np.array_equal(self.ends, other.ends)

    def sizes(self) -> np.ndarray:
        """In characters, int64 (T,)."""
        sizes = self.ends.copy()
        sizes[1:] -= self.ends[:-1]
        return sizes

    def present(self) -> np.ndarray:
        """The numbers of the masks that are not null, int64."""
        return np.flatnonzero(self.sizes())

    def some(self, begin: int, end: int) -> Counts:
        """Those of the masks from number `begin` to before `end`."""
        first, last = (int(self.ends[i - 1]) if i else 0 for i in (begin, end))
        return Counts(self.characters[first:last], self.ends[begin:end] - first)

    def take(self, numbers: Iterable[int]) -> Counts:
        """Those of these masks, in this order."""
        bounds = [0, *self.ends.tolist()]
        parts = [self.characters[bounds[i] : bounds[i + 1]] for i in numbers]
        return Counts(b"".join(parts), np.cumsum([len(part) for part in parts], dtype=np.int64))

    def strings(self) -> list[str]:
        """The counts of each mask, empty for a null."""
        text, ends = self.characters.decode("ascii"), self.ends.tolist()
        return [text[begin:end] for begin, end in itertools.pairwise([0, *ends])]

    def digits(self) -> np.ndarray:
        """COCO's digits, uint8; one of more than 63 stands for a character that is none."""
        return np.frombuffer(self.characters, np.uint8) - np.uint8(48)

    def has_needless_digits(self) -> bool:
        """Whether any number ends with a digit that only repeats its sign, as no encoder writes it."""
        digits = self.digits()
        before, sign = digits[:-1], (digits[:-1] & 16 != 0) * np.uint8(31)
        return bool(((before > 31) & (digits[1:] == sign)).any())


class Runs(NamedTuple):
    """The run lengths of many masks end to end, int32, and where those of each mask start."""

    lengths: np.ndarray
    starts: np.ndarray

    def counts(self) -> np.ndarray:
        return _gaps(self.starts, len(self.lengths))

    def some(self, first: int, count: int) -> Runs:
        """Those of `count` masks from number `first` on."""
        starts = np.append(self.starts, len(self.lengths))[first : first + count + 1]
        return Runs(self.lengths[starts[0] : starts[-1]], starts[:-1] - starts[0])

    def take(self, numbers: Iterable[int]) -> Runs:
        """Those of these masks, in this order."""
        bounds = [*self.starts.tolist(), len(self.lengths)]
        parts = [np.zeros(0, np.int32), *(self.lengths[bounds[i] : bounds[i + 1]] for i in numbers)]
        return Runs(np.concatenate(parts), np.cumsum([len(part) for part in parts], dtype=np.int64)[:-1])

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

    def canonical(self, pixels: int) -> Runs:
        """The same masks, of `pixels` each, as encoding them would give them: without empty runs."""
        return between(*self.intervals(), len(self.starts), pixels) if len(self.empty()) else self

    def intervals(self) -> tuple[np.ndarray, np.ndarray]:
        """The first position of each run on the object that has a pixel, and the one after its last, both int64.

        Positions count through one mask after the other.
        """
        ends = np.delete(np.cumsum(self.lengths, dtype=np.int64), self._tails())
        first, last = ends.reshape(-1, 2).T
        there = last > first
        return first[there], last[there]

    def _tails(self) -> np.ndarray:
        """The background at the end of masks; wherever else a run ends, an object begins or ends."""
        counts = self.counts()
        return np.asarray((self.starts + counts - 1)[counts % 2 == 1])

    def edges(self, frames: np.ndarray, pixels: int) -> Edges:
        """Of canonical masks of `pixels` each, which are those of these frames."""
        ends = np.cumsum(self.lengths, dtype=np.int32)  # may run over, and comes back once it is moved to its frame
        moved = frames * (pixels + GAP) - np.arange(len(frames)) * pixels
        counts, keys = self.counts(), ends << 1
        keys += np.repeat((2 * moved + self.starts % 2).astype(np.int32), counts)
        keys[1::2] ^= 1  # every second run is object, from the second of its mask on
        return Edges(np.delete(keys, self._tails()), frames, counts // 2 * 2)


class Edges(NamedTuple):
    """Where an object begins and ends, in one frame after the other.

    Attributes:
        keys: int32, ascending: twice the position, and one more where the object ends. Frame t begins at position
            t(pixels + GAP).
        frames: the numbers of the frames in which it has a mask, int64 (M,), less than `frames_at_once`.
        counts: how many keys belong to each of these, int64 (M,).
    """

    keys: np.ndarray
    frames: np.ndarray
    counts: np.ndarray

    def some(self, wanted: np.ndarray) -> np.ndarray:
        """The keys of the frames that are wanted, bool (T,)."""
        wanted = wanted[self.frames]
        return self.keys if wanted.all() else self.keys.take(np.flatnonzero(np.repeat(wanted, self.counts)))


def _gaps(starts: np.ndarray, end: int) -> np.ndarray:
    """From each start to the next, and from the last to `end`: `np.diff(starts, append=end)` in a fifth of its time."""
    ends = np.empty_like(starts)
    ends[:-1] = starts[1:]
    ends[-1:] = end
    return np.asarray(ends - starts)


def frames_at_once(pixels: int) -> int:
    """Frames that are united in one go: their edges can be told apart in 32 bits, and stay in the cache."""
    return min(256, 2**30 // (pixels + GAP))


def unite(tracks: Sequence[Edges], wanted: np.ndarray, pixels: int) -> Counts:
    """What any of these tracks covers, in each of the frames that are wanted, bool (T,).

    Where edges are in order, the number of objects that have begun and not ended says which belong to the union. A run
    of one pixel in the gap behind each frame keeps frames apart; it is not written.
    """
    begins = np.flatnonzero(wanted) * (pixels + GAP)
    borders = begins + pixels + 1
    keys = np.concatenate([2 * borders, 2 * borders + 3, *(edges.some(wanted) for edges in tracks)], dtype=np.int32)
    keys.sort(kind="stable")  # which merges what is in order already
    is_end = keys & 1
    begun = np.cumsum(1 - 2 * is_end, dtype=np.int32)
    positions = keys.take(np.flatnonzero(begun + is_end == 1)) >> 1
    tails = np.searchsorted(positions, borders)  # the background before each border
    starts = np.append(0, tails + 2)[:-1]
    lengths = np.empty_like(positions)
    np.subtract(positions[1:], positions[:-1], out=lengths[1:])
    lengths[starts] = positions[starts] - begins
    lengths[tails] -= 1  # of the gap
    needless = tails[(lengths[tails] == 0) & (tails > starts)]  # an object goes on to the last pixel
    return write(Runs(lengths, starts), unwritten=np.concatenate([tails + 1, needless]))


def between(first: np.ndarray, last: np.ndarray, masks: int, pixels: int) -> Runs:
    """The runs of masks of `pixels` each from the intervals that are object, as `Runs.intervals` gives them.

    They may touch, as where an object goes on in the next column.
    """
    touching = (first[1:] == last[:-1]) & (first[1:] % pixels != 0)
    first, last = first[np.append(True, ~touching)[: len(first)]], last[np.append(~touching, True)[: len(last)]]
    borders = np.arange(masks + 1, dtype=np.int64) * pixels
    before = 2 * np.searchsorted(first, borders)  # edges
    edges = np.insert(np.stack([first, last], axis=1).ravel(), before, borders)
    lengths = np.diff(edges).astype(np.int32)
    starts = (before + np.arange(masks + 1))[:-1]
    ends = np.append(starts[1:], len(lengths))[: len(starts)] - 1
    needless = (lengths[ends] == 0) & (ends > starts)  # an object that goes on to the last pixel
    return Runs(np.delete(lengths, ends[needless]), starts - np.cumsum(needless) + needless)


def read(counts: Counts) -> Runs | None:
    """The runs of the masks that are not null; none where counts are no numbers that native code has."""
    if not counts.characters:
        return Runs(np.zeros(0, np.int32), np.zeros(0, np.int64))
    digits, ends = counts.digits(), counts.ends[counts.present()]
    tops = np.flatnonzero(digits < 32)  # the highest digits: every number ends with the one that has nothing to follow
    if digits.max() > 63 or digits[ends - 1].max() > 31:
        return None
    sizes = np.empty(len(tops), np.int32)
    sizes[0] = tops[0] + 1
    np.subtract(tops[1:], tops[:-1], out=sizes[1:], casting="unsafe")
    if sizes.max() > MAX_DIGITS:
        return None
    # Four digits at a time, the highest last, read as one word. Their five bits each are moved together, those of the
    # number before are shifted out, and the sign is shifted in.
    padded = np.concatenate([np.zeros(3, np.uint8), digits])
    words = np.ndarray(len(digits), "<u4", padded, strides=(1,)).take(tops)
    words = (words & 0x001F001F) | (words >> 3 & 0x03E003E0)
    words = (words & 0x3FF) | (words >> 6 & 0xFFC00)
    numbers = (words << 12).view(np.int32) >> (32 - 5 * np.minimum(sizes, 4))
    longer = np.flatnonzero(sizes > 4)
    for more in range(4, MAX_DIGITS):
        longer = longer[sizes[longer] > more]
        numbers[longer] = numbers[longer] << 5 | digits[tops[longer] - more] & 31
    return _undo_differences(Runs(numbers, np.concatenate([[0], np.searchsorted(tops, ends)[:-1]])))


def _undo_differences(stored: Runs) -> Runs:
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
    return Runs(lengths, starts)


def write(runs: Runs, unwritten: np.ndarray | None = None) -> Counts:
    """The counts of masks of up to 2**29 pixels, as `rleToString` writes them.

    Args:
        runs: with those at `unwritten` left out, which are the last of their masks.
    """
    lengths, starts = runs
    if not len(starts):
        return Counts(b"", starts)
    numbers = lengths.copy()
    numbers[2:] -= lengths[:-2]
    counts = runs.counts()
    for place in range(3):
        at = starts[counts > place] + place
        numbers[at] = lengths[at]
    magnitudes = numbers ^ (numbers >> 31)
    sizes = np.ones(len(numbers), np.uint8)  # in digits
    for bits in range(4, 5 * MAX_DIGITS - 1, 5):  # of a number with its sign
        sizes += magnitudes >= 1 << bits
    if unwritten is not None:
        sizes[unwritten] = 0
    ends = np.cumsum(sizes, dtype=np.int64)
    characters = np.empty(ends[-1] + 1, np.uint8)  # the last is for digits of what is not written
    places = ends - sizes
    if unwritten is not None:
        places[unwritten] = ends[-1]
    left = sizes
    while True:
        more = left > 1
        characters[places] = (numbers.astype(np.uint8) & 31) + 48 + (more.view(np.uint8) << 5)
        longer = np.flatnonzero(more)
        if not len(longer):
            return Counts(characters[:-1].tobytes(), ends.take(np.append(starts[1:], len(lengths)) - 1))
        numbers, places, left = numbers.take(longer) >> 5, places.take(longer) + 1, left.take(longer) - 1
