"""Which frames of a video make a clip."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias, TypeGuard, get_args

import numpy as np

from revoskit.errors import UsageError

Name = Literal["uniform", "random", "contiguous", "visible", "context", "all"]
Short = Literal["repeat", "pad"]
Visible: TypeAlias = Callable[[], np.ndarray]
Parts: TypeAlias = list[tuple[np.ndarray, int]]
"""Of a clip: positions of frames, all different and ascending, and how many were wanted."""


def is_count(value: object) -> TypeGuard[int]:
    """Whether it is a whole number from 1 up."""
    return isinstance(value, (int, np.integer)) and bool(value >= 1)


class Draw:
    """Makes the choices: at random in training, always the middle in evaluation (`rng` is None)."""

    def __init__(self, rng: np.random.Generator | None) -> None:
        self._rng = rng

    def between(self, low: int | np.ndarray, high: int | np.ndarray) -> np.ndarray:
        """One whole number from `low` up to and without `high`, or one of each pair."""
        if self._rng is None:
            return (np.asarray(low) + high - 1) // 2
        return np.asarray(self._rng.integers(low, high))

    def some(self, total: int, count: int) -> np.ndarray:
        """`count` of `total`, all different, in ascending order."""
        if self._rng is None:
            return self.one_per_bin(total, count)
        return np.sort(self._rng.choice(total, count, replace=False))

    def one_per_bin(self, total: int, count: int) -> np.ndarray:
        """One from each of `count` bins of equal length, in ascending order."""
        edges = np.arange(count + 1) * total // count
        return self.between(edges[:-1], edges[1:])


@dataclass(frozen=True)
class Sampling:
    """How many frames a clip has, and which; `Clips` says what the arguments mean."""

    name: Name
    num_frames: int | tuple[int, int]
    stride: int = 1
    context: int | None = None
    short: Short = "repeat"

    def __post_init__(self) -> None:
        if self.name not in _SAMPLINGS:
            raise UsageError(f"sampling is {self.name!r}: expected one of {', '.join(_SAMPLINGS)}")
        if self.short not in get_args(Short):
            raise UsageError(f"short is {self.short!r}: expected one of {', '.join(get_args(Short))}")
        ends = self._range
        if len(ends) != 2 or not all(map(is_count, ends)) or ends[0] > ends[1]:
            raise UsageError(f"num_frames is {self.num_frames!r}: expected a number from 1 up, or (least, most)")
        if not is_count(self.stride):
            raise UsageError(f"stride is {self.stride!r}: expected a number from 1 up")
        if self.stride != 1 and self.name in ("uniform", "random", "all"):
            raise UsageError(
                f"stride={self.stride} goes with sampling='contiguous', 'visible' or 'context', not with {self.name!r}"
            )
        if self.name == "context" and not 1 <= self._context(ends[0]) < ends[0]:
            raise UsageError(
                f"context is {self.context!r} of {self.num_frames} frames: expected at least one frame of context "
                "and one that is not"
            )
        if self.name != "context" and self.context is not None:
            raise UsageError(f"context={self.context} goes with sampling='context', not with {self.name!r}")

    @property
    def _range(self) -> tuple[int, ...]:
        if isinstance(self.num_frames, (tuple, list)):
            return tuple(self.num_frames)
        return self.num_frames, self.num_frames

    def _context(self, count: int) -> int:
        return count // 2 if self.context is None else self.context

    def frames(self, total: int, visible: Visible, draw: Draw) -> tuple[np.ndarray, np.ndarray]:
        """Choose from a video of `total` frames.

        Args:
            visible: says which frames the object is seen in, bool (total,); only called where that matters.

        Returns:
            The positions of the frames, int64 (T,), -1 for padding, and which of them count, bool (T,): not the
            padding, and not the repetitions.
        """
        low, high = self._range
        count = int(draw.between(low, high + 1)) if low < high else low
        parts = _SAMPLINGS[self.name](self, total, count, visible, draw)
        filled = [_fill(chosen, wanted, self.short) for chosen, wanted in parts]
        return np.concatenate([positions for positions, _ in filled]), np.concatenate([valid for _, valid in filled])

    def _uniform(self, total: int, count: int, visible: Visible, draw: Draw) -> Parts:
        return [(draw.one_per_bin(total, min(count, total)), count)]

    def _random(self, total: int, count: int, visible: Visible, draw: Draw) -> Parts:
        return [(draw.some(total, min(count, total)), count)]

    def _contiguous(self, total: int, count: int, visible: Visible, draw: Draw) -> Parts:
        return [(self._run(total, count, draw), count)]

    def _all(self, total: int, count: int, visible: Visible, draw: Draw) -> Parts:
        return [(np.arange(total), total)]

    def _with_context(self, total: int, count: int, visible: Visible, draw: Draw) -> Parts:
        context = self._context(count)
        return [
            (draw.one_per_bin(total, min(context, total)), context),
            (self._run(total, count - context, draw), count - context),
        ]

    def _visible(self, total: int, count: int, visible: Visible, draw: Draw) -> Parts:
        seen = np.flatnonzero(visible())
        around = int(seen[draw.between(0, len(seen))]) if len(seen) else None
        return [(self._run(total, count, draw, around), count)]

    def _run(self, total: int, count: int, draw: Draw, around: int | None = None) -> np.ndarray:
        """Frames `stride` apart, as many as there are up to `count`; frame `around` is one of them."""
        if around is None:
            reach = min(count, -(-total // self.stride))
            start = int(draw.between(0, total - (reach - 1) * self.stride))
        else:
            phase = around % self.stride  # of the frames that are a whole number of strides away
            there = -(-(total - phase) // self.stride)
            reach, at = min(count, there), around // self.stride
            first = draw.between(max(0, at - reach + 1), min(at, there - reach) + 1)
            start = phase + int(first) * self.stride
        return start + np.arange(reach) * self.stride


_SAMPLINGS: dict[str, Callable[[Sampling, int, int, Visible, Draw], Parts]] = {
    "uniform": Sampling._uniform,
    "random": Sampling._random,
    "contiguous": Sampling._contiguous,
    "all": Sampling._all,
    "context": Sampling._with_context,
    "visible": Sampling._visible,
}


def _fill(chosen: np.ndarray, wanted: int, short: Short) -> tuple[np.ndarray, np.ndarray]:
    """Make up the number where a video has too few frames: repeat them evenly in place, or pad with -1 at the end."""
    if len(chosen) == wanted:
        return chosen, np.ones(wanted, bool)
    if short == "pad":
        padding = np.full(wanted - len(chosen), -1)
        return np.concatenate([chosen, padding]), np.arange(wanted) < len(chosen)
    held = np.arange(wanted) * len(chosen) // wanted
    return chosen[held], np.diff(held, prepend=-1) > 0
