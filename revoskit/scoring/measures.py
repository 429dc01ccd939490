"""How well predicted masks fit the true ones: region similarity, boundary measure, accuracy and robustness.

The definitions are those of ReVOS (docs/protocol.md), as formulas over counts of pixels; `masks.packed` counts them.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from revoskit.errors import UsageError
from revoskit.masks.packed import PackedMasks, pack

BOUNDARY_TOLERANCE = 0.008  # of the frame's diagonal


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


def boundary_measure(truth: Any, prediction: Any, radius: float | np.ndarray | None = None) -> np.ndarray:
    """F of each frame: the harmonic mean of boundary precision and recall.

    A boundary pixel is right if the other mask has a boundary pixel within ceil(0.008·√(h²+w²)) pixels of it, by
    Euclidean distance. Where only one of them has a boundary F is 0, where neither has, 1; a mask that fills the frame
    has none, no more than an empty one.

    Args, returns and raises as `region_similarity`; `radius` is another distance in pixels, one or float (T,).

    Source: Martin, Fowlkes and Malik, Learning to Detect Natural Image Boundaries, PAMI 2004, by way of DAVIS 2016.
    """
    truth, prediction = _pair(truth, prediction)
    radius = tolerance(truth.height, truth.width) if radius is None else radius
    return f_measure(
        truth.boundary_lengths,
        prediction.boundary_lengths,
        truth.boundary_near(prediction, radius),
        prediction.boundary_near(truth, radius),
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
    return np.asarray((pixels - (truth + prediction - 2 * both)) / pixels)


def robustness_of(wrong: np.ndarray, foreground: np.ndarray) -> np.ndarray:
    return np.asarray(np.maximum(1 - wrong / (foreground + 1e-6), 0.0))


@lru_cache(maxsize=64)
def tolerance(height: int, width: int) -> int:
    """How far apart two boundaries may lie and still match, in pixels."""
    return int(np.ceil(BOUNDARY_TOLERANCE * np.linalg.norm((height, width))))
