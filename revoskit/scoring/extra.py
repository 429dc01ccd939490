"""Measures that other benchmarks use, none of them ReVOS's own: docs/protocol.md has each definition and its source."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import msgspec
import numpy as np

from revoskit.masks.packed import PackedMasks
from revoskit.scoring import measures

NAMES = {
    "tIoU": "tIoU",
    "vIoU": "vIoU",
    "Fdot": "Ḟ",
    "J&Fdot": "J&Ḟ",
    "J&Fdot_gone": "J&Ḟ while gone",
    "J&Fdot_returned": "J&Ḟ after return",
    "N_acc": "N-acc",
    "T_acc": "T-acc",
    "J_first": "J first third",
    "J_middle": "J middle third",
    "J_last": "J last third",
}
"""Each measure, as files have it, and what people read."""


class Extra(msgspec.Struct, frozen=True):
    """The further measures of one expression, 0 to 1; null where one says nothing about it."""

    tIoU: float
    vIoU: float
    Fdot: float
    JFdot: float
    JFdot_gone: float | None
    JFdot_returned: float | None
    N_acc: float | None
    T_acc: float | None
    J_first: float | None
    J_middle: float | None
    J_last: float | None

    def percent(self) -> dict[str, float | None]:
        """All of them by their names in files, 0 to 100."""
        values = msgspec.structs.astuple(self)
        return {name: None if value is None else 100 * value for name, value in zip(NAMES, values, strict=True)}


class Frames(NamedTuple):
    """What the further measures are made from, of each frame."""

    truth: np.ndarray
    """Whether the true mask is not empty, bool (T,)."""
    prediction: np.ndarray
    """The same of the predicted one."""
    jaccard: np.ndarray
    """J, float64 (T,)."""
    boundary: np.ndarray
    """Ḟ, float64 (T,)."""


def frames_of(true: PackedMasks, predicted: PackedMasks | None) -> Frames:
    """Those of some frames; without a usable prediction, J and Ḟ are 0."""
    if predicted is None:
        nothing = np.zeros(true.frames)
        return Frames(true.areas > 0, nothing > 0, nothing, nothing)
    jaccard = measures.jaccard(true.areas, predicted.areas, true.overlap(predicted))
    boundary = measures.boundary_measure(true, predicted, adaptive_tolerance(true))
    return Frames(true.areas > 0, predicted.areas > 0, jaccard, boundary)


def extra(parts: Iterable[Frames], *, usable: bool = True) -> Extra:
    """The further measures of one expression, from all its frames.

    Where the prediction is not `usable`, all that says something about the expression is 0.
    """
    truth, prediction, jaccard, boundary = map(np.concatenate, zip(*parts, strict=True))
    both, either = truth & prediction, np.count_nonzero(truth | prediction)
    seen_before = np.concatenate([[False], np.logical_or.accumulate(truth)[:-1]])
    gone = ~truth & seen_before
    gone_before = np.concatenate([[False], np.logical_or.accumulate(gone)[:-1]])
    means = (jaccard + boundary) / 2
    exists = bool(truth.any())
    answered = float(usable and prediction.any() == exists)
    both_empty = 1.0 if usable else 0.0
    thirds = np.arange(len(truth)) * 3 // len(truth)
    return Extra(
        tIoU=float(np.count_nonzero(both) / either) if either else both_empty,
        vIoU=float(jaccard[both].sum() / either) if either else both_empty,
        Fdot=float(boundary.mean()),
        JFdot=float(means.mean()),
        JFdot_gone=_mean(means[gone]),
        JFdot_returned=_mean(means[truth & gone_before]),
        N_acc=None if exists else answered,
        T_acc=answered if exists else None,
        J_first=_mean(jaccard[thirds == 0]),
        J_middle=_mean(jaccard[thirds == 1]),
        J_last=_mean(jaccard[thirds == 2]),
    )


def adaptive_tolerance(true: PackedMasks) -> np.ndarray:
    """How far apart boundaries may lie for Ḟ, in pixels, float64 (T,): less for small objects, as MOSEv2 has it."""
    usual = measures.BOUNDARY_TOLERANCE * float(np.hypot(true.height, true.width))
    by_area = np.ceil(0.1 * np.sqrt(true.areas))
    return np.where(true.areas > 0, np.minimum(usual, by_area), usual)


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if len(values) else None
