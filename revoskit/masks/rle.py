"""COCO run-length masks: check, decode, union, area.

A mask is stored as ``{"size": [height, width], "counts": str}``, its counts as `runs` explains them. `pycocotools`
reads such a string without looking where it ends: malformed counts crash the interpreter, and counts that are too short
leave pixels uninitialised. So native code is reached through `MaskSequence` alone, which cannot be made from anything
but sound masks, and for one frame at a time: some versions of it fail on lists of more than 255. All else is done in
`runs`, on those of all frames at once.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypedDict, overload

import numpy as np
from pycocotools import mask as coco

from revoskit import regular
from revoskit.errors import MaskError
from revoskit.masks.runs import MAX_DIGITS, Counts, Edges, Runs, between, frames_at_once, read, unite, write
from revoskit.text import brief

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


def faults(masks: Sequence[RLE | None], height: int, width: int) -> list[Fault]:
    """What is wrong with each mask of a sequence, in order; an empty list means all are sound. Null masks are."""
    if not 0 < height * width <= MAX_PIXELS:
        return [Fault(i, f"masks of {height}x{width} pixels are not supported") for i in range(len(masks))]
    return _examine(masks, height, width)[0]


def _examine(masks: Sequence[RLE | None], height: int, width: int) -> tuple[list[Fault], Counts, Runs]:
    """Faults, in order; the counts of the masks that can be read, and their runs."""
    found = _shape_faults(masks, height, width)
    unusable = {fault.index for fault in found}
    strings = ["" if mask is None or i in unusable else mask["counts"] for i, mask in enumerate(masks)]
    counts = Counts.of(strings)
    runs = read(counts)
    if runs is None:
        found = sorted([*found, *_unreadable(counts)], key=lambda fault: fault.index)
        unusable = {fault.index for fault in found}
        counts = Counts.of(["" if i in unusable else string for i, string in enumerate(strings)])
        runs = read(counts)
    assert runs is not None
    lengths, starts = runs
    if not len(starts):
        return found, counts, runs
    negative = np.minimum.reduceat(lengths, starts) < 0 if lengths.min() < 0 else np.zeros(len(starts), bool)
    totals = np.add.reduceat(lengths, starts, dtype=np.int64)
    wrong = np.flatnonzero(negative | (totals != height * width))
    for i in wrong:
        reason = (
            "its counts hold a negative run"
            if negative[i]
            else f"its counts add up to {totals[i]} pixels, expected {height}x{width} = {height * width}"
        )
        found.append(Fault(int(counts.present()[i]), reason))
    return sorted(found, key=lambda fault: fault.index) if len(wrong) else found, counts, runs


def _unreadable(counts: Counts) -> list[Fault]:
    """Counts that are no sequence of numbers at all."""
    reasons: dict[int, str] = {}
    digits, ends, present = counts.digits(), counts.ends, counts.present()
    foreign = np.flatnonzero(digits > 63)
    reasons.update(dict.fromkeys(np.searchsorted(ends, foreign, "right").tolist(), _FOREIGN))
    for i in present[digits[ends[present] - 1] & 32 != 0].tolist():
        reasons.setdefault(i, "its counts break off inside a number")
    # A number that is too long shows as MAX_DIGITS digits in a row that all say "more follows".
    more = np.concatenate([digits & 32, np.zeros(MAX_DIGITS, np.uint8)])
    long = functools.reduce(np.bitwise_and, (more[i : i + len(digits)] for i in range(MAX_DIGITS)))
    if long.any():
        for i in np.searchsorted(ends, np.flatnonzero(long), "right").tolist():
            reasons.setdefault(i, "its counts hold a number that is too large")
    return [Fault(i, reason) for i, reason in reasons.items()]


def _shape_faults(masks: Sequence[RLE | None], height: int, width: int) -> list[Fault]:
    """Masks that are not even a size and a string. Sound sequences, the usual ones, are not looked at one by one."""
    present = [mask for mask in masks if mask is not None]
    try:
        sizes = [mask["size"] for mask in present]
        strings = [mask["counts"] for mask in present]
        usual = sizes.count([height, width]) == len(present) and all(strings) and all(map(str.isascii, strings))
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
    runs = Runs(np.array(counts, np.int32), np.zeros(1, np.int64))
    return {"size": [height, width], "counts": write(runs).characters.decode("ascii")}


class MaskSequence(Sequence["RLE | None"]):
    """The masks of one object over the frames of a video, all sound and of one size; a frame may have none (null).

    Made by `parse` from untrusted RLEs, by `encode` from pixels, or by `empty`; it behaves as a list of RLEs. What it
    computes takes a null as an empty mask. Immutable; safe to share.
    """

    __slots__ = ("_blocks", "_counts", "_even", "_runs", "height", "width")

    height: int
    width: int
    _counts: Counts
    _runs: Runs | None
    """Of the masks that are not null, canonical; null as long as nobody has asked for them."""
    _blocks: list[_Block] | None
    """As many frames each as are united in one go; null as long as nobody has asked for a union."""
    _even: bool
    """Whether no mask has empty runs."""

    def __init__(self) -> None:
        raise TypeError("make a MaskSequence with parse(), encode() or empty()")

    @classmethod
    def _trusted(
        cls, counts: Counts, height: int, width: int, runs: Runs | None = None, even: bool = True
    ) -> MaskSequence:
        self = object.__new__(cls)
        self._counts, self.height, self.width, self._runs, self._even = counts, height, width, runs, even
        self._blocks = None
        return self

    @classmethod
    def parse(cls, masks: Sequence[RLE | None], height: int, width: int) -> MaskSequence:
        """Masks as found in a file, kept to the letter.

        Raises:
            MaskError: at the first mask that is not one of `height` x `width` pixels; its `index` says which.
        """
        if not 0 < height * width <= MAX_PIXELS:
            raise MaskError(f"masks of {height}x{width} pixels are not supported")
        found, counts, runs = _examine(masks, height, width)
        if found:
            index, reason = found[0].index, found[0].reason
            raise MaskError(f"mask {index}: {reason}", index=index, reason=reason)
        canonical = runs.canonical(height * width)
        return cls._trusted(counts, height, width, canonical, canonical is runs)

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
        return cls._trusted(Counts.of([_blank(height * width)] * frames), height, width)

    def __len__(self) -> int:
        return len(self._counts.ends)

    @overload
    def __getitem__(self, index: int) -> RLE | None: ...

    @overload
    def __getitem__(self, index: slice) -> MaskSequence: ...

    def __getitem__(self, index: int | slice) -> RLE | MaskSequence | None:
        indices = range(len(self))[index]
        if isinstance(indices, int):
            return self._mask(self._counts.some(indices, indices + 1).characters.decode("ascii"))
        if indices.step != 1:
            return self.take(indices)
        some, runs = self._counts.some(indices.start, max(indices.stop, indices.start)), None
        if self._runs is not None:
            before = self._counts.some(0, indices.start)
            runs = self._runs.some(len(before.present()), len(some.present()))
        return MaskSequence._trusted(some, self.height, self.width, runs, self._even)

    def __iter__(self) -> Iterator[RLE | None]:
        return map(self._mask, self._counts.strings())

    def _mask(self, counts: str) -> RLE | None:
        return {"size": [self.height, self.width], "counts": counts} if counts else None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, MaskSequence):
            return NotImplemented
        return (self.height, self.width) == (other.height, other.width) and self._counts.equal(other._counts)

    def __repr__(self) -> str:
        return f"MaskSequence({len(self)} masks of {self.height}x{self.width})"

    def counts(self) -> Counts:
        """The counts of all masks as one text, for whoever has no use for an object each."""
        return self._counts

    def take(self, indices: Iterable[int]) -> MaskSequence:
        """The masks at these frames, in this order."""
        numbers, runs = [range(len(self))[index] for index in indices], None
        if self._runs is not None:
            sizes = self._counts.sizes()
            before = (np.cumsum(sizes > 0) - 1).tolist()  # masks that are not null
            runs = self._runs.take(before[i] for i in numbers if sizes[i])
        return MaskSequence._trusted(self._counts.take(numbers), self.height, self.width, runs, self._even)

    def filled(self) -> MaskSequence:
        """The same masks with every null replaced by an empty mask, so that `pycocotools` takes them."""
        if self._counts.sizes().all():
            return self
        blank = _blank(self.height * self.width)
        counts = Counts.of([string or blank for string in self._counts.strings()])
        return MaskSequence._trusted(counts, self.height, self.width, even=self._even)

    def union(self, *others: MaskSequence) -> MaskSequence:
        """Frame by frame, what any of the sequences covers; never null. All must agree in length and size."""
        for other in others:
            if (len(other), other.height, other.width) != (len(self), self.height, self.width):
                raise MaskError(f"cannot unite {self!r} with {other!r}")
        if not others:
            return self.filled()
        blocks = zip(*(sequence._read_blocks() for sequence in (self, *others)), strict=True)
        united = Counts.joined([_united(block, self.height * self.width) for block in blocks])
        return MaskSequence._trusted(united, self.height, self.width)

    def decode(self) -> np.ndarray:
        """Pixels, uint8 (T, height, width): 1 on the object."""
        pixels = np.zeros((len(self), self.height, self.width), np.uint8)
        for i, mask in enumerate(self):  # one at a time, since the batch call returns Fortran order: copying costs more
            if mask is not None:
                pixels[i] = coco.decode(_native(mask))
        return pixels

    def intervals(self) -> tuple[np.ndarray, np.ndarray]:
        """Every run of object pixels, as its first position and the one after its last, both int64, ascending.

        Positions count column by column, through all frames: frame t begins at t·height·width.
        """
        present, pixels = self._counts.present(), self.height * self.width
        first, last = self._read().intervals()
        skipped = (present - np.arange(len(present))) * pixels  # by nulls before each mask
        if skipped.any():
            shift = skipped[first // pixels]
            first, last = first + shift, last + shift
        return first, last

    def _read(self) -> Runs:
        """The runs of the masks that are not null, as parsing has left them or anew."""
        if self._runs is None:
            runs = read(self._counts)
            assert runs is not None  # all are sound
            self._runs = runs.canonical(self.height * self.width)
        return self._runs

    def _read_blocks(self) -> list[_Block]:
        if self._blocks is None:
            pixels = self.height * self.width
            at_once = frames_at_once(pixels)
            cuts = range(0, len(self), at_once)
            parts = [self] if len(cuts) == 1 else [self[begin : begin + at_once] for begin in cuts]
            even = self._even and not self._counts.has_needless_digits()
            self._blocks = [
                _Block(part._counts, part._read().edges(part._counts.present(), pixels), even) for part in parts
            ]
        return self._blocks

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
        strings: list[str] = []
        for begin in range(0, len(self), MASKS_AT_ONCE):
            some = self[begin : begin + MASKS_AT_ONCE]
            made = MaskSequence.encode(some.sample(rows, columns))._counts.strings()
            strings += [new if old else "" for old, new in zip(some._counts.strings(), made, strict=True)]
        return MaskSequence._trusted(Counts.of(strings), len(rows), len(columns))

    @classmethod
    def from_intervals(cls, first: np.ndarray, last: np.ndarray, frames: int, height: int, width: int) -> MaskSequence:
        """Masks from what `intervals` gives: runs that begin at `first` and end before `last`, none across frames.

        Both are int64 and ascending; runs of one frame may touch, as where an object goes on in the next column.
        """
        runs = between(first, last, frames, height * width)
        return cls._trusted(write(runs), height, width, runs)

    def areas(self) -> np.ndarray:
        """Object pixels per frame, int64 (T,)."""
        areas = np.zeros(len(self), np.int64)
        present = self._counts.present()
        if len(present):
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
        runs = self._read()
        lengths = iter(np.split(runs.lengths, runs.starts[1:]))
        return [next(lengths).tolist() if size else None for size in self._counts.sizes()]


class _Block(NamedTuple):
    """What a union asks of some frames of a track."""

    counts: Counts
    edges: Edges
    even: bool
    """Whether the counts are canonical."""


def _united(tracks: Sequence[_Block], pixels: int) -> Counts:
    """Frame by frame, what any of the tracks covers."""
    frames = len(tracks[0].counts.ends)
    edges = [track.edges for track in tracks]
    several = np.bincount(np.concatenate([some.frames for some in edges]), minlength=frames) > 1
    for track in tracks:
        if not track.even:
            several[track.edges.frames] = True
    if 4 * np.count_nonzero(several) >= 3 * frames:
        return unite(edges, np.ones(frames, bool), pixels)
    # Where only one has a mask, it is that one to the letter. To take these out pays where they are many.
    strings = [_blank(pixels)] * frames
    for track in tracks:
        own = track.counts.strings()
        for i in track.edges.frames.tolist():
            strings[i] = own[i]
    united = unite(edges, several, pixels).strings()
    for i, string in zip(np.flatnonzero(several).tolist(), united, strict=True):
        strings[i] = string
    return Counts.of(strings)


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


def _native(mask: RLE) -> Any:
    """A sound mask as native code takes it, whose stub asks for bytes where text will do."""
    return mask


@functools.lru_cache(maxsize=64)  # a video asks for it once a union
def _blank(pixels: int) -> str:
    """The counts of a mask that is background throughout."""
    return write(Runs(np.array([pixels], np.int32), np.zeros(1, np.int64))).characters.decode("ascii")
