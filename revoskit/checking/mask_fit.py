"""How well one mask fits one frame, and two masks the motion between two frames: numbers from pixels.

Both are made so that they can be compared between frames: light, contrast and texture of a frame cancel out. Little
but numpy, with Pillow's reduced decoding of JPEGs and its box filter: the changes of colour of a small frame in four
directions, a few hundred points of them for each mask, and no flow field.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image, ImageFilter

from revoskit.frames import Frame, nearest

LONGER_SIDE = 320
"""Frames are read at 1/2, 1/4 or 1/8 of their size as long as the longer side keeps this many pixels."""

OUTLINE_POINTS = 160
PATCH_POINTS = 150

_NEAREST = 4  # displacements under this are taken for the same edge
_BORDER = 3  # pixels along the frame's border in which an outline tells nothing
_FLAT = 8  # changes of colour that noise alone makes: where there is nothing else, nothing is an edge
_BLOCK = 4  # pixels; the mean change around a point need not be known more finely
_DIRECTIONS = [(0, 1), (1, 0), (1, 1), (1, -1)]  # (down, right)
_UNIT = [(dy / np.hypot(dy, dx), dx / np.hypot(dy, dx)) for dy, dx in _DIRECTIONS]
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
    found: np.ndarray = mask[rows][:, columns] > 0
    return found


# --- A mask's outline against the edges of a frame --------------------------------------------------------------------


@dataclass(frozen=True)
class Changes:
    """How much colour changes at each pixel of a frame."""

    along: np.ndarray
    """uint8 (4, height, width): the largest change of a channel from the pixel before to the one behind: to the right,
    downwards, to the lower right, to the lower left. 0 along the frame's border."""
    around: np.ndarray
    """uint8 (rows, columns) of blocks of 4x4 pixels: the mean of the largest of these over the 20x20 pixels around."""

    @classmethod
    def of(cls, frame: np.ndarray) -> Changes:
        """Of a frame, uint8 (height, width, 3)."""
        height, width = frame.shape[:2]
        size = height * width
        channels = frame.transpose(2, 0, 1).ravel()  # one behind the other, so that neighbours are at a fixed distance
        along = np.zeros((4, height, width), np.uint8)
        for found, (dy, dx) in zip(along, _DIRECTIONS, strict=True):
            way = dy * width + dx
            changes = cv2.absdiff(channels[: -2 * way], channels[2 * way :]).ravel()
            red, green, blue = (changes[i * size : (i + 1) * size - 2 * way] for i in range(3))
            np.maximum(np.maximum(red, green), blue, out=found.ravel()[way : size - way])
            found[0] = found[-1] = found[:, 0] = found[:, -1] = 0  # neighbours there are others
        largest = np.maximum(np.maximum(along[0], along[1]), np.maximum(along[2], along[3]))
        around = Image.fromarray(largest).reduce(_BLOCK).filter(ImageFilter.BoxBlur(2))
        return cls(along, np.asarray(around))


@dataclass(frozen=True)
class Outline:
    """Where to look at a frame's `changes`: pixels along the normal of each point of an outline, inside to outside."""

    places: np.ndarray
    """Places in the flattened frame, int32 (points, 2 * reach + 3); the outline itself is in the middle."""
    directions: np.ndarray
    """For each point which of the four directions its normal is nearest to, int32 (points,)."""
    changes: np.ndarray
    """Places of the changes to look at in the flattened `Changes.along`, int (points, 2 * reach + 3)."""
    blocks: np.ndarray
    """Places of the points in the flattened blocks of `Changes.around`, int (points,)."""

    @classmethod
    def at(cls, rows: np.ndarray, columns: np.ndarray, directions: np.ndarray, shape: tuple[int, int]) -> Outline:
        """From rows and columns, int (points, 2 * reach + 3), in a frame of this height and width."""
        middle = rows.shape[1] // 2
        blocks = rows[:, middle] // _BLOCK * -(-shape[1] // _BLOCK) + columns[:, middle] // _BLOCK
        places = rows * shape[1] + columns
        changes = places + directions[:, None] * (shape[0] * shape[1])
        return cls(places.astype(np.int32), directions, changes.astype(np.intp), blocks.astype(np.intp))


def reach(width: int) -> int:
    """How far outlines are displaced along their normals, in pixels: 2 % of the frame's width and a little more."""
    return _NEAREST + round(0.02 * width)


def outline(mask: np.ndarray) -> Outline | None:
    """A mask's outline; null where fewer than a dozen points of it can be compared.

    Args:
        mask: bool (height, width), at the reduced frame's size. What lies close to the frame's border is left out,
            since an object that is cut there has no edge there.
    """
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return None
    top, left = max(0, rows[0] - 6), max(0, columns[0] - 6)
    near = mask[top : rows[-1] + 7, left : columns[-1] + 7]
    padded = np.pad(near, 1, mode="edge")
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    smooth = Image.fromarray(near.astype(np.uint8) * 255).filter(ImageFilter.BoxBlur(2)).filter(ImageFilter.BoxBlur(2))
    points = np.argwhere(near & ~inner)
    normals = -_slope(np.asarray(smooth), points)
    lengths = np.linalg.norm(normals, axis=1)
    sharp = lengths > 1
    normals = normals[sharp] / lengths[sharp, None]
    # The edge runs between the mask's last pixel and the first one outside.
    edge = points[sharp] + (top, left) + 0.5 * normals
    height, width = mask.shape
    inside = ((edge >= _BORDER) & (edge < (height - _BORDER, width - _BORDER))).all(1)
    edge, normals = edge[inside], normals[inside]
    if len(edge) < 12:
        return None
    chosen = np.linspace(0, len(edge) - 1, min(OUTLINE_POINTS, len(edge))).astype(int)
    edge, normals = edge[chosen], normals[chosen]
    steps = np.arange(-reach(width) - 1, reach(width) + 2)  # one more, since edges are looked for within a pixel
    places = np.rint(edge[:, None] + normals[:, None] * steps[:, None]).astype(np.int32)
    places = np.clip(places, 0, (height - 1, width - 1))
    nearest = np.abs(normals @ np.array(_UNIT).T).argmax(1).astype(np.int32)
    return Outline.at(places[..., 0], places[..., 1], nearest, (height, width))


def _slope(picture: np.ndarray, points: np.ndarray) -> np.ndarray:
    """What `np.gradient` says downwards and to the right of some points of a picture, float32 (points, 2)."""
    last = np.array(picture.shape) - 1
    slope = np.empty(points.shape, np.float32)
    for axis in (0, 1):
        before, behind = points.copy(), points.copy()
        before[:, axis] = np.maximum(points[:, axis] - 1, 0)
        behind[:, axis] = np.minimum(points[:, axis] + 1, last[axis])
        rise = picture[behind[:, 0], behind[:, 1]].astype(np.float32) - picture[before[:, 0], before[:, 1]]
        slope[:, axis] = rise / (behind - before)[:, axis]
    return slope


def moved(outline: Outline, shape: tuple[int, int], down: int, right: int) -> Outline:
    """An outline elsewhere in the frame; what leaves it comes in again at the opposite border."""
    rows, columns = np.divmod(outline.places, shape[1])
    return Outline.at((rows + down) % shape[0], (columns + right) % shape[1], outline.directions, shape)


def edge_profile(changes: Changes, outline: Outline) -> np.ndarray:
    """How strong edges are along an outline, and along it displaced inwards and outwards: float (2 * reach + 1,).

    For each point and displacement: the change of colour along the normal, the largest within a pixel as masks are not
    exact, as a share of itself and of the mean change around the point, so that neither contrast nor texture nor noise
    of a place decides. The mean over points.
    """
    along = changes.along.take(outline.changes)
    along = np.maximum(np.maximum(along[:, 2:], along[:, :-2]), along[:, 1:-1])
    around = 2 * changes.around.take(outline.blocks).astype(np.float32)[:, None] + _FLAT
    profile: np.ndarray = np.add.reduce(along / (along + around), 0) / len(along)
    return profile


def edge_fits(profiles: np.ndarray) -> np.ndarray:
    """How much stronger edges are at each displacement than `_NEAREST` pixels and more from it; about 0 by chance.

    Args:
        profiles: float (..., 2 * reach + 1).

    Returns:
        float of the same shape.
    """
    fits: np.ndarray = profiles - profiles @ _means_away(profiles.shape[-1])
    return fits


@functools.lru_cache(maxsize=16)
def _means_away(displacements: int) -> np.ndarray:
    """What a profile is multiplied with to have, for each displacement, the mean over all that are away from it."""
    steps = np.arange(displacements)
    away = np.abs(steps[:, None] - steps) >= _NEAREST
    means: np.ndarray = away / away.sum(0)
    return means


# --- Two masks of a track against the motion between two frames -------------------------------------------------------


@dataclass(frozen=True)
class Patch:
    """Pixels of one mask, and where they ought to be, and might instead be, in a later frame (both halved)."""

    points: np.ndarray
    """Places in the flattened frame, int (n,)."""
    moved: np.ndarray
    """Places in the later one, int (displacements, n): first as the mask moved, then where it was, then around."""
    distance: float
    """How far the mask moved, in pixels of the reduced frame."""


def patch(mask: np.ndarray, later: np.ndarray) -> Patch | None:
    """What to compare to see whether the image moved as the mask did; null where too little of it is there twice.

    Args:
        mask, later: the masks, bool (height, width), at the halved frame's size.
    """
    height, width = mask.shape
    area, *start = _area_and_centre(mask)
    later_area, *end = _area_and_centre(later)
    if area < 30 or later_area < 30:
        return None
    step = np.rint(np.subtract(end, start)).astype(int)
    down, right = step.tolist()
    seen = np.zeros((height, width), bool)  # where the mask is that is in the later one, too
    there, here = _shifted(height, down), _shifted(width, right)
    seen[there[0], here[0]] = mask[there[0], here[0]] & later[there[1], here[1]]
    points = np.argwhere(seen)
    if len(points) < 30:
        return None
    points = points[np.linspace(0, len(points) - 1, min(PATCH_POINTS, len(points))).astype(int)]
    distance = float(np.hypot(*step))
    shifts = step + np.array([(0, 0), tuple(-step), *_AROUND])
    moved = np.clip(points + shifts[:, None], 0, (height - 1, width - 1))
    return Patch(points @ (width, 1), moved @ (width, 1), 2 * distance)


def _area_and_centre(mask: np.ndarray) -> tuple[float, float, float]:
    """Pixels of a mask, and the mean of their rows and columns."""
    moments = cv2.moments(mask.view(np.uint8), binaryImage=True)
    area = moments["m00"]
    return area, moments["m01"] / max(1, area), moments["m10"] / max(1, area)


def _shifted(length: int, step: int) -> tuple[slice, slice]:
    """Which of `length` rows or columns are still inside when they move by `step`, and where they are then."""
    begin, end = max(0, -step), min(length, length - step)
    return slice(begin, end), slice(begin + step, end + step)


def motion_fit(frame: np.ndarray, later: np.ndarray, places: Patch) -> float:
    """How much better the image's motion agrees with the mask's than with others, -1 to 1.

    The correlation of a patch with where the mask went, less the larger of its mean correlation with what lies 8 to 16
    pixels of the reduced frame around and of that with where it was. About 0 or less where the image does not follow.
    """
    before = frame.reshape(-1, 3).take(places.points, 0).astype(np.float32)
    after = later.reshape(-1, 3).take(places.moved, 0).astype(np.float32)
    before -= before.mean(0)
    after -= np.einsum("kpc->kc", after)[:, None] / np.float32(len(before))
    before, after = before.ravel(), after.reshape(len(after), -1)
    flat = 25 * len(places.points)  # the energy of noise alone: a patch without texture tells nothing
    energy = np.sqrt((before @ before + flat) * (np.einsum("kp,kp->k", after, after) + flat))
    correlation = after @ before / energy
    return float(correlation[0] - max(correlation[1], correlation[2:].mean()))
