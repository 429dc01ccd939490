"""Which frames a video's masks may belong to, other than those that the annotations list: the mappings to try."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from revoskit.dataset.records import Video
from revoskit.dataset.remapping import Linear, Mapping

STRIDES = [*range(1, 21), 24, 25, 30, 32, 36, 40, 48, 50, 60]
_NEAR = list(range(1, 17))
_FAR = [*range(18, 41, 2), *range(43, 61, 3)]
OFFSETS = [sign * k for k in _NEAR + _FAR for sign in (-1, 1)]
DRIFTS = [-16, -12, -8, -5, -3, 3, 5, 8, 12, 16]
"""By how many frames of the folder the last mask is off, where the first is not."""
LISTED = [-8, -6, -4, -3, -2, -1, 1, 2, 3, 4, 6, 8]
"""By how many listed frames, where the list leaves out some of the folder's."""
LEAST_SHARE = 0.5
"""Of the masks looked at, a mapping gives at least this share a frame."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """A mapping: for each mask, the place of its frame among the folder's; -1 where it has none."""

    name: str
    places: np.ndarray
    kind: str = ""
    amount: int = 0

    @property
    def is_far(self) -> bool:
        """Most of its masks are given frames that are far from the ones as filed."""
        return self.kind == "stride" or (self.kind == "offset" and abs(self.amount) > max(_NEAR))

    def mapping(self, folder: Sequence[str]) -> Mapping:
        """As a mapping file has it."""
        inside = np.flatnonzero(self.places >= 0)
        steps = np.diff(self.places[inside]) if len(inside) > 1 else np.array([1])
        if (np.diff(inside) == 1).all() and (steps == steps[0]).all() and steps[0] > 0:
            stride = int(steps[0])
            return Linear(stride, int(self.places[inside[0]] - stride * inside[0]), len(folder))
        names: list[str | None] = []
        for place in self.places.tolist():
            name = folder[place] if place >= 0 else None
            names.append(None if name in names else name)
        return names


def candidates(video: Video, folder: Sequence[str], sampled: np.ndarray) -> tuple[Candidate, list[Candidate]]:
    """The filed mapping, and those to try that give enough of the sampled masks a frame, each once."""
    where = {name: place for place, name in enumerate(folder)}
    filed = np.array([where.get(name, -1) for name in video.frame_names])
    listed = np.append(filed, np.full(max(LISTED), -1))
    tried = [_stride(filed, stride, 0, len(folder)) for stride in STRIDES]
    tried += [_offset(filed, offset, len(folder)) for offset in OFFSETS]
    tried += [_drift(filed, end, len(folder)) for end in DRIFTS]
    tried += [Candidate(f"listed frame {k:+d}", np.roll(listed, -k)[: len(filed)], "listed", k) for k in LISTED]
    return Candidate("as filed", filed), distinct(tried, [filed], sampled)


def distinct(tried: Iterable[Candidate], known: Iterable[np.ndarray], sampled: np.ndarray) -> list[Candidate]:
    """Those that are not known, each once, and give enough of the sampled masks a frame."""
    seen = {places.tobytes() for places in known}
    found = []
    for candidate in tried:
        key = candidate.places.tobytes()
        if key not in seen and (candidate.places[sampled] >= 0).mean() >= LEAST_SHARE:
            seen.add(key)
            found.append(candidate)
    return found


def around(filed: np.ndarray, best: Candidate, frames: int) -> list[Candidate]:
    """The mappings next to one."""
    if best.kind == "offset":
        return [_offset(filed, best.amount + k, frames) for k in (-2, -1, 1, 2)]
    if best.kind == "drift":
        return [_drift(filed, best.amount + k, frames) for k in (-2, -1, 1, 2)]
    if best.kind == "stride":
        start = int((best.places - best.amount * np.arange(len(filed)))[best.places >= 0][0])
        near = [_stride(filed, best.amount, start + k, frames) for k in (-2, -1, 1, 2)]
        return near + [_stride(filed, best.amount + k, start, frames) for k in (-1, 1) if best.amount + k > 0]
    return []


def _inside(places: np.ndarray, known: np.ndarray, frames: int) -> np.ndarray:
    return np.where(known & (places >= 0) & (places < frames), places, -1)


def _stride(filed: np.ndarray, stride: int, offset: int, frames: int) -> Candidate:
    places = stride * np.arange(len(filed)) + offset
    name = f"stride {stride}" + (f", offset {offset:+d}" if offset else "")
    return Candidate(name, _inside(places, places >= 0, frames), "stride", stride)


def _offset(filed: np.ndarray, offset: int, frames: int) -> Candidate:
    return Candidate(f"offset {offset:+d}", _inside(filed + offset, filed >= 0, frames), "offset", offset)


def _drift(filed: np.ndarray, end: int, frames: int) -> Candidate:
    grown = np.rint(np.linspace(0, end, len(filed))).astype(int)
    return Candidate(f"drift {end:+d}", _inside(filed + grown, filed >= 0, frames), "drift", end)
