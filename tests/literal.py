"""The protocol of ReVOS word for word (docs/protocol.md), plain, frame by frame: what the quick code is compared with.

Nothing here shares code with revoskit.
"""

from __future__ import annotations

import math

import numpy as np
from PIL import Image


def boundary_map(mask: np.ndarray) -> np.ndarray:
    """Of every pixel: does the right, the lower or the lower-right neighbour differ?"""
    mask = mask != 0
    marked = np.zeros(mask.shape, bool)
    marked[:, :-1] |= mask[:, :-1] != mask[:, 1:]
    marked[:-1, :] |= mask[:-1, :] != mask[1:, :]
    marked[:-1, :-1] |= mask[:-1, :-1] != mask[1:, 1:]
    return marked


def share_within(points: np.ndarray, others: np.ndarray, radius: float) -> float:
    """Of the marked pixels in `points`, the share that has one of `others` within `radius`."""
    places, targets = np.argwhere(points), np.argwhere(others)
    squared = ((places[:, None] - targets[None]) ** 2).sum(-1)
    return float((squared.min(1) <= radius**2 + 1e-9).mean())


def boundary_f(truth: np.ndarray, prediction: np.ndarray, radius: float | None = None) -> float:
    height, width = truth.shape
    if radius is None:
        radius = math.ceil(0.008 * math.sqrt(height**2 + width**2))
    edge_g, edge_p = boundary_map(truth), boundary_map(prediction)
    if not edge_g.any() and not edge_p.any():
        precision, recall = 1.0, 1.0
    elif not edge_p.any():
        precision, recall = 1.0, 0.0
    elif not edge_g.any():
        precision, recall = 0.0, 1.0
    else:
        precision = share_within(edge_p, edge_g, radius)
        recall = share_within(edge_g, edge_p, radius)
    return 0.0 if precision + recall == 0 else 2 * precision * recall / (precision + recall)


def region(truth: np.ndarray, prediction: np.ndarray) -> float:
    truth, prediction = truth != 0, prediction != 0
    either = (truth | prediction).sum()
    return 1.0 if either == 0 else float((truth & prediction).sum() / either)


def binary_frame(truth: np.ndarray, prediction: np.ndarray, foreground: np.ndarray) -> tuple[float, ...]:
    """J, F, A, R of a frame, masks being zero or non-zero."""
    truth, prediction, foreground = truth != 0, prediction != 0, foreground != 0
    agree = float((truth == prediction).mean())
    wrong = (prediction & ~truth).sum()
    return (
        region(truth, prediction),
        boundary_f(truth, prediction),
        agree,
        max(0.0, float(1 - wrong / (foreground.sum() + 1e-6))),
    )


def official_frame(tracks: list[np.ndarray], grey: np.ndarray, foreground: np.ndarray) -> tuple[float, ...]:
    """J, F, A, R of a frame as published: tracks added up in 8 bits, predictions as raw grey values."""
    value = grey.astype(int)
    truth = sum(((track != 0).astype(int) for track in tracks), np.zeros(grey.shape, int)) % 256
    agreeing = int((truth == value).sum())
    wrong = int((((1 - truth) % 256) * value % 256).sum())
    return (
        region(truth, grey),
        boundary_f(truth, grey),
        agreeing / grey.size,
        max(0.0, 1 - wrong / (int((foreground != 0).sum()) + 1e-6)),
    )


def read_grey(path) -> np.ndarray:
    """A grey or black-and-white PNG as grey values."""
    image = Image.open(path)
    assert image.mode in ("L", "1"), image.mode
    return np.asarray(image.convert("L"))


def mean(frames: list[tuple[float, ...]]) -> dict[str, float]:
    j, f, a, r = (float(np.mean(values)) for values in zip(*frames, strict=True))
    return {"J": j, "F": f, "J&F": (j + f) / 2, "A": a, "R": r}


NOTHING = {"J": 0.0, "F": 0.0, "J&F": 0.0, "A": 0.0, "R": 0.0}


def aggregate(expressions: list[tuple[int, dict[str, float]]], *, rounded: bool) -> dict[str, dict[str, float]]:
    """Percent, from (type, scores 0 to 1) of every expression; overall is the mean of the two types' means."""
    result = {}
    for name, kind in (("referring", 0), ("reasoning", 1)):
        of_kind = [scores for found, scores in expressions if found == kind]
        row = {}
        for measure in "JFAR":
            values = [100 * scores[measure] for scores in of_kind]
            row[measure] = float(np.mean([np.round(v, 2) for v in values] if rounded else values))
        row["J&F"] = (row["J"] + row["F"]) / 2
        result[name] = row
    result["overall"] = {k: (result["referring"][k] + result["reasoning"][k]) / 2 for k in result["referring"]}
    return result


def extra(truth: np.ndarray, prediction: np.ndarray) -> dict[str, float | None]:
    """The measures of other benchmarks, in percent, frame by frame, as docs/protocol.md defines them."""
    height, width = truth.shape[1:]
    g = [bool(frame.any()) for frame in truth]
    p = [bool(frame.any()) for frame in prediction]
    both = [t for t in range(len(g)) if g[t] and p[t]]
    either = [t for t in range(len(g)) if g[t] or p[t]]
    j = [region(*frame) for frame in zip(truth, prediction, strict=True)]
    f = []
    for true, predicted in zip(truth, prediction, strict=True):
        radius = 0.008 * math.sqrt(height**2 + width**2)
        if true.any():
            radius = min(radius, math.ceil(0.1 * math.sqrt((true != 0).sum())))
        f.append(boundary_f(true, predicted, radius))
    seen = was_gone = False
    gone, returned = [], []
    for t in range(len(g)):
        if g[t] and was_gone:
            returned.append((j[t] + f[t]) / 2)
        if not g[t] and seen:
            gone.append((j[t] + f[t]) / 2)
            was_gone = True
        seen = seen or g[t]
    right = float(any(p) == any(g))
    third = [[j[t] for t in range(len(j)) if t * 3 // len(j) == k] for k in range(3)]
    values = {
        "tIoU": len(both) / len(either) if either else 1.0,
        "vIoU": sum(j[t] for t in both) / len(either) if either else 1.0,
        "Fdot": sum(f) / len(f),
        "J&Fdot": (sum(j) / len(j) + sum(f) / len(f)) / 2,
        "J&Fdot_gone": sum(gone) / len(gone) if gone else None,
        "J&Fdot_returned": sum(returned) / len(returned) if returned else None,
        "N_acc": None if any(g) else right,
        "T_acc": right if any(g) else None,
        "J_first": sum(third[0]) / len(third[0]) if third[0] else None,
        "J_middle": sum(third[1]) / len(third[1]) if third[1] else None,
        "J_last": sum(third[2]) / len(third[2]) if third[2] else None,
    }
    return {name: None if value is None else 100 * value for name, value in values.items()}
