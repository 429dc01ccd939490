"""Whether masks lie beside their objects by the same way in every frame, or by one that grows: a shift in space.

The outlines of each mask are correlated with the edges of its frame for all shifts at once (by Fourier transform); the
shift that stands out is believed if edges are clearly stronger there in mask after mask.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from revoskit.checking import mask_fit
from revoskit.checking.evidence import LEAST_EDGE_SPREAD, LEAST_FRAMES, Gain, Trial
from revoskit.checking.hypotheses import Candidate

REACH = 0.12
"""How far shifts are looked for, in widths of the frame."""
_LEAST = 0.02  # what is less is left to the displacement of outlines
_MASKS = 16  # that are looked at
_PEAK = 3.7  # of the correlation at the shift, in standard deviations over all shifts
_BETTER, _MARGIN = 3.0, 0.04  # of the edges there over those where the masks are drawn: z-score and mean


@dataclass(frozen=True)
class Shift:
    """Where masks should lie that lie beside their objects."""

    down: float
    right: float
    """Of the reduced frame, in pixels: from where the mask is drawn to where it should be."""
    grows: bool
    """The last mask is off by this and the first one not at all, rather than all by the same."""
    gain: Gain
    """By how much edges are stronger there than where the masks are drawn."""


def find_shift(trial: Trial, filed: Candidate) -> Shift | None:
    """The shift under which masks lie on edges, where there is one beyond doubt."""
    indices = [i for i in trial.sample.indices.tolist() if filed.places[i] >= 0 and i in trial.outlines]
    if len(indices) < 2 * LEAST_FRAMES - 2:
        return None
    indices = [indices[i] for i in np.linspace(0, len(indices) - 1, min(_MASKS, len(indices))).astype(int).tolist()]
    span = round(REACH * trial.shape[1] / 2)
    maps = np.stack([_correlation(trial, filed, i, span) for i in indices])
    share = (np.array(indices) - indices[0]) / (indices[-1] - indices[0])
    constant = _best_shift(trial, filed, indices, maps, np.ones(len(indices)))
    growing = _best_shift(trial, filed, indices, _stretched(maps, share), share)
    found = [shift for shift in (constant, growing) if shift is not None]
    return max(found, key=lambda shift: shift.gain.mean, default=None)


def _best_shift(
    trial: Trial, filed: Candidate, indices: list[int], maps: np.ndarray, share: np.ndarray
) -> Shift | None:
    """The shift that all masks together speak for, if it is clearly better than none.

    Args:
        maps: the correlations of each mask, float (masks, 2 * span + 1, 2 * span + 1).
        share: how much of the shift each mask has.
    """
    down, right, peak = _peak(maps.mean(0), trial.shape[1])
    if peak < _PEAK:
        return None
    shift = _refined(trial, filed, indices, (2 * down, 2 * right), share)
    return shift if shift.gain.z >= _BETTER and shift.gain.mean >= _MARGIN else None


def _stretched(maps: np.ndarray, share: np.ndarray) -> np.ndarray:
    """The correlations of each mask for its share of the shift."""
    span = maps.shape[1] // 2
    steps = np.arange(-span, span + 1)
    places = np.rint(share[:, None] * steps).astype(int) + span
    stretched: np.ndarray = np.stack([found[rows][:, rows] for found, rows in zip(maps, places, strict=True)])
    return stretched


def _correlation(trial: Trial, filed: Candidate, i: int, span: int) -> np.ndarray:
    """How strong edges are under a mask's outlines for each shift, float (2 * span + 1, 2 * span + 1), half size."""
    changes = mask_fit.Changes.of(trial.halved(int(filed.places[i])))
    height, width = changes.along.shape[1:]
    along = changes.along.astype(np.float32)
    strength = along / (along + changes.usual.repeat(4, 0).repeat(4, 1)[:height, :width])
    strength -= strength.mean((1, 2), keepdims=True)
    outline = trial.outlines[i]
    near = len(outline.rows) // 2 + np.array([-2, 0, 2])  # half a pixel of the halved frame and more to both sides
    rows, columns = np.minimum(outline.rows[near] // 2, height - 1), np.minimum(outline.columns[near] // 2, width - 1)
    places = (outline.directions * height + rows) * width + columns
    drawn = np.bincount(places.ravel(), minlength=along.size).reshape(along.shape).astype(np.float32)
    padding = (0, cv2.getOptimalDFTSize(height + span) - height, 0, cv2.getOptimalDFTSize(width + span) - width)
    spectra = [
        [cv2.dft(cv2.copyMakeBorder(picture, *padding, cv2.BORDER_CONSTANT)) for picture in pair]
        for pair in zip(strength, drawn, strict=True)
    ]
    spectrum = np.sum([cv2.mulSpectrums(one, other, 0, conjB=True) for one, other in spectra], axis=0)
    found = cv2.idft(spectrum, flags=cv2.DFT_SCALE | cv2.DFT_REAL_OUTPUT) / drawn.sum()
    correlation: np.ndarray = np.roll(found, (span, span), (0, 1))[: 2 * span + 1, : 2 * span + 1]
    return correlation


def _peak(correlation: np.ndarray, width: int) -> tuple[int, int, float]:
    """The best shift (down, right) and how far it stands out, in standard deviations."""
    span = len(correlation) // 2
    down, right = np.mgrid[-span : span + 1, -span : span + 1]
    far = down**2 + right**2 >= (_LEAST * width / 2) ** 2
    place = np.argmax(np.where(far, correlation, -1))
    best = float(correlation.flat[place])
    spread = float(correlation.std())
    return int(down.flat[place]), int(right.flat[place]), (best - float(np.median(correlation))) / max(spread, 1e-6)


def _refined(trial: Trial, filed: Candidate, indices: list[int], start: tuple[int, int], share: np.ndarray) -> Shift:
    """The best of the shifts around one that was found at half the size, and what is gained by it."""
    fits: dict[tuple[int, int], list[np.ndarray]] = {}
    near = [(start[0] + a, start[1] + b) for a in (-1, 0, 1) for b in (-1, 0, 1)]
    for i, part in zip(indices, share.tolist(), strict=True):
        changes = trial.changes(int(filed.places[i]))
        for down, right in near:
            way = round(part * down), round(part * right)
            outline = mask_fit.moved(trial.outlines[i], *way)
            fits.setdefault((down, right), []).append(trial.fits(changes, outline))
    means = {shift: np.mean(found, axis=0) for shift, found in fits.items()}
    best = max(means, key=lambda shift: float(means[shift].max()))
    theirs, ours = np.stack(fits[best]), trial.edges(filed)
    these = np.searchsorted(ours.indices, indices)
    gains = theirs[:, means[best].argmax()] - ours.at(ours.best)[these]
    gain = Gain.of(gains, ours.weights[these], LEAST_EDGE_SPREAD)
    return Shift(*best, bool(share[0] == 0), gain)
