"""How well one mask fits one frame, and two masks the motion between two frames: numbers from pixels.

Both are made so that they can be compared between frames: light, contrast and texture of a frame cancel out. Little
but numpy, with the reduced decoding of JPEGs and OpenCV's filters: the changes of colour of a small frame in four
directions, a few hundred points of them for each mask, and no flow field.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from PIL import Image

from revoskit.frames import Frame, nearest
from revoskit.masks.rle import MaskSequence

LONGER_SIDE = 320
"""Frames are read at 1/2, 1/4 or 1/8 of their size as long as the longer side keeps this many pixels."""

OUTLINE_POINTS = 160
PATCH_POINTS = 150

_NEAREST = 4  # displacements under this are taken for the same edge
_BORDER = 3  # pixels along the frame's border in which an outline tells nothing
_FLAT = 8  # changes of colour that noise alone makes: where there is nothing else, nothing is an edge
_BLOCK = 4  # pixels; the mean change around a point need not be known more finely
_CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.uint8)
_DIRECTIONS = [(0, 1), (1, 0), (1, 1), (1, -1)]  # (down, right)
_UNIT = [(dy / np.hypot(dy, dx), dx / np.hypot(dy, dx)) for dy, dx in _DIRECTIONS]
_AROUND = [
    (round(radius * np.sin(angle)), round(radius * np.cos(angle)))
    for radius in (4, 8)
    for angle in np.arange(8) * np.pi / 4
]


def read_frame(frame: Frame, shape: tuple[int, int] | None = None) -> np.ndarray:
    """A frame at reduced size, its channels one behind the other: uint8 (3, height, width).

    Args:
        shape: bring it to this height and width, where it has another.

    Raises:
        FrameError: it cannot be read.
    """
    pixels = frame.small(LONGER_SIDE)
    if shape and pixels.shape[:2] != shape:
        pixels = np.asarray(Image.fromarray(pixels).resize(shape[::-1], Image.Resampling.BOX))
    channels = np.empty((3, *pixels.shape[:2]), np.uint8)
    cv2.split(pixels, list(channels))
    return channels


def halved(frame: np.ndarray) -> np.ndarray:
    """Means of 2x2 pixels, uint8 (3, height // 2, width // 2): what `motion_fit` compares."""
    height, width = frame.shape[1] // 2, frame.shape[2] // 2
    whole = frame[:, : 2 * height, : 2 * width]
    return np.stack([cv2.resize(channel, (width, height), interpolation=cv2.INTER_AREA) for channel in whole])


def resized(masks: MaskSequence, shape: tuple[int, int]) -> np.ndarray:
    """Masks at another size by their nearest pixels, bool (masks, *shape)."""
    return masks.sample(nearest(masks.height, shape[0]), nearest(masks.width, shape[1])).view(bool)


# --- A mask's outline against the edges of a frame --------------------------------------------------------------------


@dataclass(frozen=True)
class Changes:
    """How much colour changes at each pixel of a frame."""

    along: np.ndarray
    """uint8 (4, height, width): the largest change of a channel from the pixel before to the one behind: to the right,
    downwards, to the lower right, to the lower left. 0 along the frame's border."""
    usual: np.ndarray
    """float32 (rows, columns) of blocks of 4x4 pixels: twice the mean of the largest of these over the 20x20 pixels
    around, and what noise alone makes. An edge is as strong as its change's share of itself and this."""

    @classmethod
    def of(cls, frame: np.ndarray) -> Changes:
        """Of a frame, uint8 (3, height, width)."""
        height, width = frame.shape[1:]
        along = np.zeros((4, height, width), np.uint8)
        spare = np.empty((height - 2, width - 2), np.uint8)
        for found, (dy, dx) in zip(along[:, 1:-1, 1:-1], _DIRECTIONS, strict=True):
            before = frame[:, 1 - dy : height - 1 - dy, 1 - dx : width - 1 - dx]
            behind = frame[:, 1 + dy : height - 1 + dy, 1 + dx : width - 1 + dx]
            cv2.absdiff(before[0], behind[0], dst=found)
            for channel in (1, 2):
                cv2.max(found, cv2.absdiff(before[channel], behind[channel], dst=spare), dst=found)
        largest = cv2.max(cv2.max(along[0], along[1]), cv2.max(along[2], along[3]))
        mean = _blurred(np.asarray(Image.fromarray(largest).reduce(_BLOCK)))
        return cls(along, 2 * mean.astype(np.float32) + _FLAT)


def _blurred(picture: np.ndarray) -> np.ndarray:
    """Means over 5x5 pixels of a picture, uint8 (height, width); its border goes on as it is."""
    across = cv2.blur(picture, (5, 1), borderType=cv2.BORDER_REPLICATE)
    return cv2.blur(across, (1, 5), borderType=cv2.BORDER_REPLICATE)


@dataclass(frozen=True)
class Outline:
    """Where to look at a frame's changes: pixels along the normal of each point of an outline, inside to outside."""

    rows: np.ndarray
    """int32 (2 * reach + 3, points); the outline itself is in the middle."""
    columns: np.ndarray
    """int32 of the same shape."""
    directions: np.ndarray
    """For each point which of the four directions its normal is nearest to, int32 (points,)."""
    shares: np.ndarray
    """How much each point counts, float32 (points,): 1 together."""
    shape: tuple[int, int]
    """Height and width of the frame."""
    masks: int = 1
    """The number of masks that it is of."""

    @classmethod
    def joined(cls, outlines: Sequence[Outline]) -> Outline:
        """Of several masks on one frame, which count alike however many points each has."""
        if len(outlines) == 1:
            return outlines[0]
        return cls(
            np.concatenate([outline.rows for outline in outlines], 1),
            np.concatenate([outline.columns for outline in outlines], 1),
            np.concatenate([outline.directions for outline in outlines]),
            np.concatenate([outline.shares for outline in outlines]) / np.float32(len(outlines)),
            outlines[0].shape,
            len(outlines),
        )

    @functools.cached_property
    def changes(self) -> np.ndarray:
        """Places of the changes to look at in the flattened `Changes.along`, int (2 * reach + 3, points)."""
        height, width = self.shape
        places: np.ndarray = ((self.directions * height + self.rows) * width + self.columns).astype(np.intp)
        return places

    @functools.cached_property
    def blocks(self) -> np.ndarray:
        """Places of the points in the flattened `Changes.usual`, int (points,)."""
        middle, blocks = len(self.rows) // 2, -(-self.shape[1] // _BLOCK)
        places: np.ndarray = (self.rows[middle] // _BLOCK * blocks + self.columns[middle] // _BLOCK).astype(np.intp)
        return places


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
    near = mask[top : rows[-1] + 7, left : columns[-1] + 7].view(np.uint8)
    inner = cv2.erode(near, _CROSS, borderType=cv2.BORDER_REPLICATE)
    points = np.argwhere(near > inner)
    normals = -_slope(_blurred(_blurred(near * np.uint8(255))), points)
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
    steps = np.arange(-reach(width) - 1, reach(width) + 2)[:, None]  # one more: edges are looked for within a pixel
    down, right = (
        np.clip(np.rint(start + normal * steps), 0, length - 1).astype(np.int32)
        for start, normal, length in zip(edge.T, normals.T, mask.shape, strict=True)
    )
    directions = np.abs(normals @ np.array(_UNIT).T).argmax(1).astype(np.int32)
    return Outline(down, right, directions, np.full(len(edge), 1 / len(edge), np.float32), (height, width))


def _slope(picture: np.ndarray, points: np.ndarray) -> np.ndarray:
    """What `np.gradient` says downwards and to the right of some points of a picture, float32 (points, 2)."""
    last = np.array(picture.shape) - 1
    slope = np.empty(points.shape, np.float32)
    for axis in (0, 1):
        before, behind = points.copy(), points.copy()
        before[:, axis] = np.maximum(points[:, axis] - 1, 0)
        behind[:, axis] = np.minimum(points[:, axis] + 1, last[axis])
        rise = picture[behind[:, 0], behind[:, 1]].astype(np.float32) - picture[before[:, 0], before[:, 1]]
        slope[:, axis] = rise / np.maximum(1, (behind - before)[:, axis])  # 0 where there is one row alone
    return slope


def moved(outline: Outline, down: int, right: int) -> Outline:
    """An outline elsewhere in the frame; what leaves it comes in again at the opposite border."""
    height, width = outline.shape
    rows, columns = outline.rows + down % height, outline.columns + right % width
    rows -= (rows >= height) * np.int32(height)  # as % does, which takes several times as long
    columns -= (columns >= width) * np.int32(width)
    return replace(outline, rows=rows, columns=columns)


def edge_profile(changes: Changes, outline: Outline) -> np.ndarray:
    """How strong edges are along an outline, and along it displaced inwards and outwards: float32 (2 * reach + 1,).

    For each point and displacement: the change of colour along the normal, the largest within a pixel as masks are not
    exact, as a share of itself and of the mean change around the point, so that neither contrast nor texture nor noise
    of a place decides. The mean over points.
    """
    along = changes.along.take(outline.changes)
    strongest = np.maximum(np.maximum(along[2:], along[:-2]), along[1:-1]).astype(np.float32)
    profile: np.ndarray = strongest / (strongest + changes.usual.take(outline.blocks)) @ outline.shares
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


@dataclass(frozen=True)
class Small:
    """A mask at the halved frame's size."""

    pixels: np.ndarray
    """bool (height, width)"""
    area: int
    centre: np.ndarray
    """The mean of its rows and of its columns."""

    @classmethod
    def of(cls, pixels: np.ndarray) -> Small:
        rows, columns = (
            cv2.reduce(pixels.view(np.uint8), axis, cv2.REDUCE_SUM, dtype=cv2.CV_32S).ravel() for axis in (1, 0)
        )
        area = int(rows.sum())
        return cls(pixels, area, np.array([line @ np.arange(len(line)) for line in (rows, columns)]) / max(1, area))


def patch(mask: Small, later: Small) -> Patch | None:
    """What to compare to see whether the image moved as the mask did; null where too little of it is there twice."""
    if mask.area < 30 or later.area < 30:
        return None
    height, width = mask.pixels.shape
    step = np.rint(later.centre - mask.centre).astype(int)
    down, right = step.tolist()
    seen = np.zeros((height, width), bool)  # where the mask is that is in the later one, too
    there, here = _shifted(height, down), _shifted(width, right)
    seen[there[0], here[0]] = mask.pixels[there[0], here[0]] & later.pixels[there[1], here[1]]
    places = np.flatnonzero(seen)
    if len(places) < 30:
        return None
    places = places[np.linspace(0, len(places) - 1, min(PATCH_POINTS, len(places))).astype(int)]
    shifts = step + np.array([(0, 0), tuple(-step), *_AROUND])
    rows, columns = (
        np.clip(at + shift[:, None], 0, length - 1)
        for at, shift, length in zip(np.divmod(places, width), shifts.T, (height, width), strict=True)
    )
    return Patch(places, rows * width + columns, 2 * float(np.hypot(*step)))


def _shifted(length: int, step: int) -> tuple[slice, slice]:
    """Which of `length` rows or columns are still inside when they move by `step`, and where they are then."""
    begin, end = max(0, -step), min(length, length - step)
    return slice(begin, end), slice(begin + step, end + step)


def motion_fit(frame: np.ndarray, later: np.ndarray, places: Patch) -> float:
    """How much better the image's motion agrees with the mask's than with others, -1 to 1.

    The correlation of a patch with where the mask went, less the larger of its mean correlation with what lies 8 to 16
    pixels of the reduced frame around and of that with where it was. About 0 or less where the image does not follow.

    Args:
        frame, later: halved frames, uint8 (3, height, width).
    """
    before = frame.reshape(3, -1).take(places.points, 1).astype(np.float32)
    after = later.reshape(3, -1).take(places.moved, 1).astype(np.float32)
    before -= before.mean(1, keepdims=True)
    after -= after.mean(2, keepdims=True)
    flat = 25 * len(places.points)  # the energy of noise alone: a patch without texture tells nothing
    energy = np.sqrt((np.vdot(before, before) + flat) * (np.einsum("ckp,ckp->k", after, after) + flat))
    correlation = np.einsum("ckp,cp->k", after, before) / energy
    return float(correlation[0] - max(correlation[1], correlation[2:].mean()))
