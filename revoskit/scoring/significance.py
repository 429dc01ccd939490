"""Means with intervals, and differences with p values, that take the video as the unit and not the expression.

Expressions of one video share its tracks: where a method does well on one of them, it does well on the others. Whoever
resamples expressions takes them for so many independent trials, and gets intervals that are far too narrow.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from statistics import NormalDist

import msgspec
import numpy as np

RESAMPLES = 10_000
CONFIDENCE = 95  # percent
OVERALL = "overall"
_AT_ONCE = 1000  # resamples


class Interval(msgspec.Struct, frozen=True):
    """A mean and the ends of its interval; null where there is nothing to take the mean of."""

    value: float | None
    low: float | None
    high: float | None


class Difference(msgspec.Struct, frozen=True):
    """How much more the second of two has than the first, the ends of its interval, and p for no difference at all."""

    difference: float | None
    low: float | None
    high: float | None
    p: float | None


class VideoResampling:
    """Scores of several methods for the same expressions, resampled by video: paired bootstrap and paired sign-flip.

    In each resample of the bootstrap, as many videos as there are get drawn with replacement, each with all its
    expressions and for all methods alike; the mean of every group is made anew, and `overall` as the mean of these
    means. Intervals lie between percentiles of the resamples, a little further out where videos are few. For a p value,
    the two methods change places in a random half of the videos: p is how often the difference is then at least as
    large as it is in truth, in either direction. Where there are few videos, all ways of changing places are tried.

    Args:
        scores: float64 (methods, expressions, measures).
        videos: the number of each expression's video, int (expressions,).
        groups: which expressions belong to each group, bool (expressions,). Where one is called "overall" it is that;
            otherwise overall is the mean of the groups' means.
        resamples: of the bootstrap, and of the changes of place.
        seed: the same seed, the same numbers.

    Sources: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapters 8 and 13 (percentile intervals,
    units that are drawn whole) and 15 (permutation tests); Hesterberg, What Teachers Should Know About the Bootstrap,
    The American Statistician 69, 2015 (percentiles further out for small samples).
    """

    def __init__(
        self,
        scores: np.ndarray,
        videos: np.ndarray,
        groups: Mapping[str, np.ndarray],
        *,
        resamples: int = RESAMPLES,
        seed: int = 0,
    ) -> None:
        methods, _, measures = scores.shape
        self._shape = (methods, measures)
        self._resamples, self._seed = resamples, seed
        _, numbers = np.unique(videos, return_inverse=True)
        self._videos = int(numbers.max(initial=-1)) + 1
        self._sums: dict[str, np.ndarray] = {}  # (videos, methods * measures)
        self._counts: dict[str, np.ndarray] = {}  # (videos,)
        flat = np.moveaxis(scores, 0, 1).reshape(scores.shape[1], -1)
        for name, members in groups.items():
            self._sums[name] = np.zeros((self._videos, methods * measures))
            np.add.at(self._sums[name], numbers[members], flat[members])
            self._counts[name] = np.bincount(numbers[members], minlength=self._videos).astype(float)
        self.rows = [*groups] if OVERALL in groups else [*groups, OVERALL]
        self._values = self._means(np.ones((1, self._videos)))
        drawn = [self._means(weights) for weights in self._draws()]
        self._drawn = {row: np.concatenate([part[row] for part in drawn]) for row in self.rows}

    def mean(self, row: str, method: int, measure: int) -> Interval:
        """The mean of a group, or overall, with its interval."""
        value = self._values[row][0, method, measure]
        return Interval(*_known(value, *self._ends(self._drawn[row][:, method, measure])))

    def difference(self, row: str, a: int, b: int, measure: int) -> Difference:
        """What method `b` has more than method `a`."""
        value = self._values[row][0, b, measure] - self._values[row][0, a, measure]
        drawn = self._drawn[row][:, b, measure] - self._drawn[row][:, a, measure]
        return Difference(*_known(value, *self._ends(drawn), self._p_values[self.rows.index(row), a, b, measure]))

    def _ends(self, drawn: np.ndarray) -> tuple[float, float]:
        """Between which the middle 95 % lie; resamples that had no mean are left out, and one video has no ends."""
        known = drawn[~np.isnan(drawn)]
        if not len(known) or self._videos < 2:
            return np.nan, np.nan
        tail = _tail(self._videos)
        low, high = np.percentile(known, [tail, 100 - tail])
        return float(low), float(high)

    def _means(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Means by row, float64 (resamples, methods, measures), NaN where nothing was drawn of a group.

        `weights` says how often each video was drawn, float64 (resamples, videos).
        """
        means = {}
        with np.errstate(invalid="ignore"):
            for name, sums in self._sums.items():
                mean = (weights @ sums) / (weights @ self._counts[name])[:, None]
                means[name] = mean.reshape(-1, *self._shape)
        if OVERALL not in means:
            means[OVERALL] = np.mean(list(means.values()), axis=0)
        return means

    def _draws(self) -> Iterator[np.ndarray]:
        random = np.random.default_rng(self._seed)
        for begin in range(0, self._resamples, _AT_ONCE):
            count = min(_AT_ONCE, self._resamples - begin)
            drawn = (
                random.integers(0, self._videos, (count, self._videos)) if self._videos else np.zeros((count, 0), int)
            )
            drawn += np.arange(count)[:, None] * self._videos
            yield np.bincount(drawn.ravel(), minlength=count * self._videos).reshape(count, -1).astype(float)

    @cached_property
    def _p_values(self) -> np.ndarray:
        """Of every row, pair of methods and measure, float64 (rows, methods, methods, measures): `b` against `a`."""
        shares = np.stack([self._shares(row) for row in self.rows], axis=1)
        differences = shares[:, :, None] - shares[:, :, :, None]
        shape, differences = differences.shape[1:], differences.reshape(self._videos, -1)
        found = np.abs(differences.sum(0)) * (1 - 1e-9)  # another order of adding up makes no other difference
        exact = self._videos < 60 and 2**self._videos <= self._resamples
        as_large = np.zeros(differences.shape[1], np.int64)
        for signs in _all_signs(self._videos) if exact else self._random_signs():
            as_large += np.count_nonzero(np.abs(signs @ differences) >= found, axis=0)
        p = as_large / 2**self._videos if exact else (1 + as_large) / (1 + self._resamples)
        return np.asarray(np.where(np.isnan(found), np.nan, p).reshape(shape))

    def _shares(self, row: str) -> np.ndarray:
        """What each video contributes to a mean, float64 (videos, methods, measures); all of them add up to it."""
        if row not in self._sums:
            return np.asarray(np.mean([self._shares(name) for name in self._sums], axis=0))
        with np.errstate(invalid="ignore"):
            return np.asarray(self._sums[row].reshape(-1, *self._shape) / self._counts[row].sum())

    def _random_signs(self) -> Iterator[np.ndarray]:
        random = np.random.default_rng([self._seed, 1])
        for begin in range(0, self._resamples, _AT_ONCE):
            count = min(_AT_ONCE, self._resamples - begin)
            yield random.integers(0, 2, (count, self._videos), dtype=np.int8) * 2.0 - 1.0


def _all_signs(count: int) -> Iterator[np.ndarray]:
    for begin in range(0, 2**count, _AT_ONCE):
        numbers = np.arange(begin, min(2**count, begin + _AT_ONCE))
        yield (numbers[:, None] >> np.arange(count) & 1) * 2.0 - 1.0


def _tail(count: int) -> float:
    """The percentage of resamples to leave out at either end.

    Of `count` independent units, somewhat less than 2.5, since a resample of few units varies less than a sample.
    """
    z = NormalDist().inv_cdf(0.5 + CONFIDENCE / 200)
    freedom = max(count - 1, 1)
    t = z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)  # Student's quantile
    return 100 * NormalDist().cdf(-t * math.sqrt(count / freedom))


def _known(*values: float) -> Sequence[float | None]:
    return [None if np.isnan(value) else float(value) for value in values]
