"""The protocol of ReVOS word for word (docs/protocol.md), slow and plain: what the quick code is compared with.

Nothing here shares code with revoskit.
"""

from __future__ import annotations

import math

import numpy as np
from PIL import Image


def boundary_map(mask: np.ndarray) -> np.ndarray:
    """Pixel by pixel: does the right, the lower or the lower-right neighbour differ?"""
    mask = mask != 0
    height, width = mask.shape
    marked = np.zeros((height, width), bool)
    for y in range(height):
        for x in range(width):
            last_row, last_column = y == height - 1, x == width - 1
            neighbours = []
            if not last_column:
                neighbours.append((y, x + 1))
            if not last_row:
                neighbours.append((y + 1, x))
            if not last_row and not last_column:
                neighbours.append((y + 1, x + 1))
            marked[y, x] = any(mask[place] != mask[y, x] for place in neighbours)
    return marked


def share_within(points: np.ndarray, others: np.ndarray, radius: int) -> float:
    """Of the marked pixels in `points`, the share that has one of `others` within `radius`."""
    places, targets = np.argwhere(points), np.argwhere(others)
    squared = ((places[:, None] - targets[None]) ** 2).sum(-1)
    return float((squared.min(1) <= radius**2).mean())


def boundary_f(truth: np.ndarray, prediction: np.ndarray) -> float:
    height, width = truth.shape
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
    truth = [[0] * grey.shape[1] for _ in range(grey.shape[0])]
    agreeing = wrong = 0
    for y in range(grey.shape[0]):
        for x in range(grey.shape[1]):
            truth[y][x] = sum(int(track[y, x] != 0) for track in tracks) % 256
            value = int(grey[y, x])
            agreeing += truth[y][x] == value
            wrong += ((1 - truth[y][x]) % 256) * value % 256
    truth = np.array(truth)
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
