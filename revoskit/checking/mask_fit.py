"""How well one mask fits one frame, and two masks the motion between two frames: numbers from pixels.

Both are made so that they can be compared between frames: light, contrast and texture of a frame cancel out. Plain
numpy over a few hundred points a mask, and Pillow's reduced decoding of JPEGs: no flow field, no gradient of a whole
picture is ever computed, so there is nothing here for OpenCV to do faster.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from revoskit.frames import Frame, nearest

LONGER_SIDE = 320
"""Frames are read at 1/2, 1/4 or 1/8 of their size as long as the longer side keeps this many pixels."""

OUTLINE_POINTS = 160
PATCH_POINTS = 150
REACH = 8
"""How far outlines are displaced along their normals for comparison, in pixels of the reduced frame."""

_NEAREST = 4  # displacements under this are taken for the same edge
_STEPS = np.arange(-REACH - 2, REACH + 3)
_AWAY = [i for i, step in enumerate(range(-REACH, REACH + 1)) if abs(step) >= _NEAREST]
_AROUND = [
    (round(radius * np.sin(angle)), round(radius * np.cos(angle)))
    for radius in (4, 8)
    for angle in np.arange(8) * np.pi / 4
]


def read_frame(frame: Frame, shape: tuple[int, int] | None = None) -> np.ndarray:
    """A frame at reduced size, uint8 (height, width, 3).

    Args:
        shape: bring it to this height and width, where it has another.

    Raises:
        FrameError: it cannot be read.
    """
    reduced = frame.image(LONGER_SIDE)
    if shape and reduced.size != (shape[1], shape[0]):
        reduced = reduced.resize((shape[1], shape[0]), Image.Resampling.BOX)
    return np.asarray(reduced)


def halved(frame: np.ndarray) -> np.ndarray:
    """Means of 2x2 pixels, uint8 (height // 2, width // 2, 3): what `motion_fit` compares."""
    return np.asarray(Image.fromarray(frame[: frame.shape[0] // 2 * 2, : frame.shape[1] // 2 * 2]).reduce(2))


def resized(mask: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """A mask at another size by its nearest pixels, bool `shape`."""
    rows, columns = map(nearest, mask.shape, shape)
    return mask[rows][:, columns] > 0


# --- A mask's outline against the edges of a frame --------------------------------------------------------------------


def outline(mask: np.ndarray) -> np.ndarray | None:
    """Where to look at a frame: for each point of the outline, pixels along its normal from inside to outside.

    Args:
        mask: bool (height, width), at the reduced frame's size. What lies close to the frame's border is left out,
            since an object that is cut there has no edge there.

    Returns:
        Places in the flattened frame, int (points, 2 * REACH + 5); null where fewer than a dozen points are left.
    """
    rows, columns = np.nonzero(mask)
    if not len(rows):
        return None
    top, left = max(0, rows.min() - 6), max(0, columns.min() - 6)
    near = mask[top : rows.max() + 7, left : columns.max() + 7]
    padded = np.pad(near, 1, mode="edge")
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    slope = np.stack(np.gradient(_blurred(_blurred(near.astype(np.float32)))))
    points = np.argwhere(near & ~inner)
    normals = -slope[:, points[:, 0], points[:, 1]].T
    lengths = np.linalg.norm(normals, axis=1)
    sharp = lengths > 1e-3
    normals = normals[sharp] / lengths[sharp, None]
    # The edge runs between the mask's last pixel and the first one outside.
    edge = points[sharp] + (top, left) + 0.5 * normals
    places = np.rint(edge[:, None] + normals[:, None] * _STEPS[:, None]).astype(int)
    height, width = mask.shape
    inside = ((places >= 0) & (places < (height, width))).all((1, 2))
    places = places[inside]
    if len(places) < 12:
        return None
    chosen = np.linspace(0, len(places) - 1, min(OUTLINE_POINTS, len(places))).astype(int)
    return places[chosen] @ (width, 1)


def _blurred(values: np.ndarray, radius: int = 2) -> np.ndarray:
    for axis in (0, 1):
        pad = [(radius, radius) if axis == i else (0, 0) for i in (0, 1)]
        windows = np.lib.stride_tricks.sliding_window_view(np.pad(values, pad, mode="edge"), 2 * radius + 1, axis)
        values = windows.mean(-1)
    return values


def strayed(places: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The same outline in a place that has nothing to do with it: half a frame further each way, around the border."""
    rows, columns = np.divmod(places, shape[1])
    return (rows + shape[0] // 2) % shape[0] * shape[1] + (columns + shape[1] // 2) % shape[1]


def edge_fit(frame: np.ndarray, places: np.ndarray) -> float:
    """How well an outline follows the frame's edges, 0 to 1; about a half where it has nothing to do with them.

    For each point of the outline: the share of displacements along the normal, by 4 to `REACH` pixels either way, at
    which colour changes less along the normal than at the outline itself (within a pixel, as masks are not exact). The
    mean over points. Being a rank it does not depend on contrast or noise that a whole frame shares.
    """
    colors = frame.reshape(-1, 3)[places].astype(np.int16)
    change = np.abs(colors[:, 2:] - colors[:, :-2]).sum(2)
    change = np.maximum(np.maximum(change[:, 2:], change[:, 1:-1]), change[:, :-2])
    here, away = change[:, [REACH]], change[:, _AWAY]
    return float((here > away).mean() + 0.5 * (here == away).mean())


# --- Two masks of a track against the motion between two frames -------------------------------------------------------


@dataclass(frozen=True)
class Patch:
    """Pixels of one mask, and where they ought to be, and might instead be, in a later frame (both halved)."""

    points: np.ndarray
    """Places in the flattened frame, int (n,)."""
    moved: np.ndarray
    """Places in the later one, int (displacements, n): first as the mask moved, then for comparison."""
    distance: float
    """How far the mask moved, in pixels of the reduced frame."""


def patch(mask: np.ndarray, later: np.ndarray) -> Patch | None:
    """What to compare to see whether the image moved as the mask did; null where too little of it is there twice.

    Args:
        mask, later: the masks, bool (height, width), at the halved frame's size.
    """
    height, width = mask.shape
    points, ends = np.argwhere(mask), np.argwhere(later)
    if len(points) < 30 or len(ends) < 30:
        return None
    step = np.rint(ends.mean(0) - points.mean(0)).astype(int)
    arrived = points + step
    seen = ((arrived >= 0) & (arrived < (height, width))).all(1)
    seen[seen] = later[tuple(arrived[seen].T)]
    points = points[seen]
    if len(points) < 30:
        return None
    points = points[np.linspace(0, len(points) - 1, min(PATCH_POINTS, len(points))).astype(int)]
    distance = float(np.hypot(*step))
    others = [*_AROUND, tuple(-step)] if distance >= 3 else _AROUND  # minus the step: the image stood still
    shifts = step + np.array([(0, 0), *others])
    moved = np.clip(points + shifts[:, None], 0, (height - 1, width - 1))
    return Patch(points @ (width, 1), moved @ (width, 1), 2 * distance)


def motion_fit(frame: np.ndarray, later: np.ndarray, places: Patch) -> float:
    """How much better the image's motion agrees with the mask's than with others, -1 to 1.

    The correlation of a patch with where the mask went, less its mean correlation with what lies 8 to 16 pixels of the
    reduced frame around, and with where it was. About 0 where the mask moves and the image does not follow.
    """
    before = frame.reshape(-1, 3)[places.points].astype(np.float32)
    after = later.reshape(-1, 3)[places.moved].astype(np.float32)
    before -= before.mean(0)
    after -= after.mean(1, keepdims=True)
    flat = 25 * len(before)  # the energy of noise alone: a patch without texture tells nothing
    energy = np.sqrt(((before**2).sum() + flat) * ((after**2).sum((1, 2)) + flat))
    correlation = np.einsum("pc,kpc->k", before, after) / energy
    return float(correlation[0] - correlation[1:].mean())
