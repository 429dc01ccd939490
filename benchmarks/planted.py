"""Synthetic videos whose masks are known to belong to other frames than the files say, or to the very ones.

Backgrounds and objects are "dead leaves": patches of many sizes over one another, which give edges everywhere as
photographs do. The camera pans, shakes and zooms; objects turn, deform, cross one another, pass behind things that
nobody annotated, and leave the picture. Light flickers, the sensor has noise, the frames are JPEG, and the masks are
as sloppy as hand-drawn ones; or they are drawn in one of the ways of `DRAWN`: too large, too small, by few corners, as
boxes, with a shadow. Everything is written in the official layout, with numpy and Pillow alone.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from revoskit.dataset.layout import EXPRESSIONS, FRAMES_FOLDER, TRACKS
from revoskit.masks.rle import MaskSequence

Entry = dict[str, Any]  # of a video, in the expression file
Tracks = dict[str, Any]  # by annotation id, as the mask file has them

SIZES = [(270, 480), (360, 640), (480, 270)]
KINDS = [
    "aligned",
    "stride 30",
    "stride 2-20",
    "offset",
    "drift in time",
    "drift in space",
    "other video",
    "far offset",
    "offset at 1 Hz",
    "shift",
    "short",
    "still",
]
"""What is wrong: nothing with `aligned`, with `short` (8 to 16 frames) and, as nothing moves, with `still`."""
SOUND = ["aligned", "short", "still"]
DRAWN = [
    "exact",
    *(f"larger {percent}" for percent in ("0.5", "1", "1.5")),
    *(f"smaller {percent}" for percent in ("0.5", "1", "1.5")),
    "polygon",
    "box",
    "shadow",
    "large shadow",
]
"""How masks are drawn; numbers are percent of the frame's width. Shadows and boxes have no edge in the picture."""


@dataclass(frozen=True)
class Planted:
    """One video: what is wrong with it and, for every mask, the place of its frame in the folder (-1: none)."""

    video_id: str
    kind: str
    drawn: str
    listed: tuple[int, ...]
    truth: tuple[int, ...]
    overlap: float
    """Mean IoU of the masks as filed with those that belong to the listed frames: what there is to be seen."""
    moved: tuple[float, float] = (0.0, 0.0)
    """How far to the right and downwards of its object the last mask was drawn, in pixels."""


@dataclass(frozen=True)
class Case:
    """What to write: the fault, the seed that everything else follows from, and how the masks are drawn."""

    kind: str
    seed: int
    drawn: str = "exact"

    @property
    def video_id(self) -> str:
        drawn = "" if self.drawn == "exact" else f"-{self.drawn.replace(' ', '-')}"
        return f"{self.kind.replace(' ', '-')}/{self.seed:05d}{drawn}"


def write_planted(root: Path, cases: Iterable[Case], num_proc: int = 1) -> dict[str, Planted]:
    """Write the cases as the train split of a dataset under `root`; returns the truth by video id."""
    root.mkdir(parents=True, exist_ok=True)
    entries: dict[str, Any] = {}
    tracks: dict[str, Any] = {}
    truths: dict[str, Planted] = {}
    groups: dict[tuple[str, int], list[Case]] = {}  # that differ in how masks are drawn alone, and so share frames
    for case in cases:
        groups.setdefault((case.kind, case.seed), []).append(case)
    numbers = np.cumsum([0, *map(len, groups.values())]).tolist()
    with ProcessPoolExecutor(num_proc) as pool:
        for made in pool.map(_write_group, [root] * len(groups), groups.values(), numbers[:-1]):
            for planted, entry, video_tracks in made:
                entries[planted.video_id] = entry
                tracks |= video_tracks
                truths[planted.video_id] = planted
    (root / EXPRESSIONS["train"]).write_text(json.dumps({"videos": entries}))
    (root / TRACKS).write_text(json.dumps(tracks))
    return truths


def _write_group(
    root: Path, cases: Sequence[Case], number: int
) -> list[tuple[Planted, dict[str, Any], dict[str, Any]]]:
    """Videos with the same frames and faults; `number` is the first one's."""
    kind, seed = cases[0].kind, cases[0].seed
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    listed, truth, folder_frames = _timing(kind, rng)
    pace = "still" if kind == "still" else "fast" if max(np.diff(truth)) < 2 else "slow"
    scene = Scene(rng, *SIZES[rng.choice(3, p=[0.6, 0.25, 0.15])], pace)
    masked = Scene(rng, scene.height, scene.width, "fast") if kind == "other video" else scene
    moved = np.zeros((len(truth), 2))
    if kind == "drift in space":
        moved = scene.slide(len(truth))
    elif kind == "shift":
        angle = rng.uniform(0, 2 * np.pi)
        moved += scene.width * rng.uniform(0.03, 0.10) * np.array([np.sin(angle), np.cos(angle)])
    seconds = 30 if kind == "offset at 1 Hz" else 1  # of the scene's time for each frame
    _write_frames(root, scene, [case.video_id for case in cases], seconds * np.arange(folder_frames))

    masks = np.stack([masked.masks(seconds * t, m) for t, m in zip(truth, moved, strict=True)], 1)
    right = np.stack([scene.masks(seconds * t) for t in listed], 1)[: len(masks)]
    union = (masks[: len(right)] | right).sum((2, 3))
    seen = union > 0
    overlap = float(((masks[: len(right)] & right).sum((2, 3))[seen] / union[seen]).mean()) if seen.any() else 1.0
    placed = kind not in ("drift in space", "other video", "shift")
    known = tuple(int(t) if 0 <= t < folder_frames and placed else -1 for t in truth)
    made = []
    for i, case in enumerate(cases):
        way = float(moved[-1, 1]), float(moved[-1, 0])
        planted = Planted(case.video_id, kind, case.drawn, tuple(map(int, listed)), known, overlap, way)
        made.append((planted, *_annotated(number + i, scene, listed, drawn(masks, case.drawn, seed))))
    return made


def _write_frames(root: Path, scene: Scene, video_ids: list[str], times: np.ndarray) -> None:
    first, *others = (root / FRAMES_FOLDER / video_id for video_id in video_ids)
    first.mkdir(parents=True, exist_ok=True)
    for i, t in enumerate(times.tolist()):
        path, partial = first / f"{i:05d}.jpg", first / "partial"
        if not path.exists():  # so that a run that was broken off goes on
            Image.fromarray(scene.image(t)).save(partial, "JPEG", quality=scene.quality)
            partial.rename(path)
    for folder in others:
        folder.mkdir(parents=True, exist_ok=True)
        for path in first.glob("*.jpg"):
            if not (folder / path.name).exists():
                os.link(path, folder / path.name)


def _annotated(
    number: int, scene: Scene, listed: np.ndarray, masks: np.ndarray
) -> tuple[dict[str, Any], dict[str, Any]]:
    """A video's entry among the expressions, and its tracks; masks are bool (objects, frames, height, width)."""
    ids = [1000 * number + i for i in range(len(masks))]
    expressions = {
        str(i): {"exp": f"thing {i}", "obj_id": [i], "anno_id": [anno], "type_id": 0} for i, anno in enumerate(ids)
    }
    entry = {"vid_id": number, "height": scene.height, "width": scene.width, "expressions": expressions}
    entry["frames"] = [f"{t:05d}" for t in listed]
    tracks = {
        str(anno): [
            rle if seen else None for rle, seen in zip(MaskSequence.encode(track), track.any((1, 2)), strict=True)
        ]
        for anno, track in zip(ids, masks, strict=True)
    }
    return entry, tracks


# --- How masks are drawn ----------------------------------------------------------------------------------------------


def drawn(masks: np.ndarray, how: str, seed: int) -> np.ndarray:
    """The masks as someone would have drawn them who did it in one of the ways of `DRAWN`.

    Args:
        masks: bool (objects, frames, height, width).
    """
    if how == "exact":
        return masks
    name, _, amount = how.partition(" ")
    rng = np.random.default_rng(seed)
    result = np.zeros_like(masks)
    for index in np.argwhere(masks.any((2, 3))):
        mask = masks[tuple(index)]
        if name in ("larger", "smaller"):
            radius = float(amount) / 100 * mask.shape[1]
            result[tuple(index)] = _dilated(mask, radius) if name == "larger" else _eroded(mask, radius)
        elif name == "polygon":
            result[tuple(index)] = _cornered(mask, rng)
        else:
            result[tuple(index)] = _boxed(mask) if name == "box" else _with_shadow(mask, 0.6 if amount else 0.3)
    return result


def _dilated(mask: np.ndarray, radius: float) -> np.ndarray:
    """A mask grown by a disk."""
    reach = int(radius)
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    where = (
        slice(max(0, rows[0] - reach), rows[-1] + reach + 1),
        slice(max(0, columns[0] - reach), columns[-1] + reach + 1),
    )
    near = np.pad(mask[where], reach)
    grown = np.zeros_like(mask[where])
    height, width = grown.shape
    for dy in range(-reach, reach + 1):
        rows_there = near[reach + dy : reach + dy + height]
        half = int(np.sqrt(radius**2 - dy**2))
        sums = np.pad(rows_there.cumsum(1), ((0, 0), (1, 0)))
        grown |= sums[:, reach + half + 1 :][:, :width] > sums[:, reach - half :][:, :width]
    result = mask.copy()
    result[where] |= grown
    return result


def _eroded(mask: np.ndarray, radius: float) -> np.ndarray:
    """A mask shrunk by a disk; the frame's border takes nothing."""
    return ~_dilated(~mask, radius) if not mask.all() else mask


def _cornered(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A polygon of seven corners on the outline, as seen from the middle."""
    points = np.argwhere(mask)
    center = points.mean(0)
    sides = points - center
    angles = np.arctan2(*sides.T)
    corners = []
    for angle in np.sort(rng.uniform(-np.pi, np.pi) + np.linspace(0, 2 * np.pi, 7, endpoint=False)):
        near = np.abs(np.angle(np.exp(1j * (angles - angle)))) < 0.3
        if near.any():
            y, x = center + sides[near][np.argmax((sides[near] ** 2).sum(1))]
            corners.append((x, y))
    if len(corners) < 3:
        return mask
    image = Image.new("1", mask.shape[::-1])
    ImageDraw.Draw(image).polygon(corners, fill=1)
    return np.asarray(image) if np.asarray(image).any() else mask


def _boxed(mask: np.ndarray) -> np.ndarray:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    result = np.zeros_like(mask)
    result[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
    return result


def _with_shadow(mask: np.ndarray, share: float) -> np.ndarray:
    """The mask and, by a share of its size to the lower right, itself flattened to half its height."""
    points = np.argwhere(mask)
    top, left = points.min(0)
    height, width = points.max(0) + 1 - (top, left)
    y = top + height / 2 + (points[:, 0] - top) / 2 + share * height / 2
    x = points[:, 1] + share * width
    inside = (y < mask.shape[0]) & (x < mask.shape[1])
    result = mask.copy()
    result[y[inside].astype(int), x[inside].astype(int)] = True
    return result


# --- Faults -----------------------------------------------------------------------------------------------------------


def _timing(kind: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, int]:
    """The places in the folder that `frames` lists, those that the masks were made for, and the folder's length."""
    count = int(rng.integers(20, 41))
    plain = np.arange(count)
    if kind == "stride 30":
        count = int(rng.integers(10, 15))
        return np.arange(count), 30 * np.arange(count), 30 * count
    if kind == "stride 2-20":
        stride = int(rng.integers(2, 21))
        count = int(rng.integers(12, 17))
        return np.arange(count), stride * np.arange(count), stride * count
    if kind == "offset":
        return plain, plain + int(rng.choice([-1, 1]) * rng.integers(1, 11)), count
    if kind == "far offset":
        count = int(rng.integers(50, 81))
        far = int(rng.choice([-1, 1]) * rng.integers(10, count // 2 + 1))
        return np.arange(count), np.arange(count) + far, count
    if kind == "offset at 1 Hz":
        return plain, plain + int(rng.choice([-1, 1]) * rng.integers(1, 6)), count
    if kind == "still":
        return plain, plain + int(rng.choice([-1, 1]) * rng.integers(1, 11)), count
    if kind == "short":
        count = int(rng.integers(8, 17))
        step = int(rng.choice([1, 1, 3, 5]))
        return step * np.arange(count), step * np.arange(count), step * count
    if kind == "drift in time":
        end = int(rng.choice([-1, 1]) * rng.integers(4, 14))
        return plain, np.round(plain * (1 + end / (count - 1))).astype(int), count
    layout = rng.choice(3, p=[0.6, 0.2, 0.2])
    if layout == 1:  # every fifth frame of the folder, as in UVO
        return 5 * plain[:24], 5 * plain[:24], 5 * len(plain[:24])
    if layout == 2:  # the folder goes on
        return plain, plain, count + 40
    return plain, plain, count


class Scene:
    """A camera before a textured backdrop, annotated objects, and things in front of them; endless in time."""

    def __init__(self, rng: np.random.Generator, height: int, width: int, pace: str) -> None:
        self.height, self.width = height, width
        self.quality = int(rng.integers(45, 92))
        self.noise = rng.uniform(1, 9)
        self.flicker = rng.uniform(0, 0.04)
        self.amodal = bool(rng.random() < 0.4)
        self.seed = int(rng.integers(2**31))
        # Pixels a frame: from hardly moving to fast. Folders at a full frame rate move less from frame to frame.
        low, high = {"still": (1e-6, 2e-5), "slow": (0.0008, 0.006), "fast": (0.0008, 0.02)}[pace]
        side = max(height, width)

        def speed() -> float:
            return side * float(np.exp(rng.uniform(np.log(low), np.log(high))))

        self.camera = _Path(rng, speed() * rng.integers(0, 2), 0.18 * height, 0.18 * width)
        self.shake = rng.uniform(0, 1.5) * rng.integers(0, 2) * (pace != "still")
        self.zoom = rng.uniform(0, 0.08) * (pace != "still")
        self.blur = ImageFilter.GaussianBlur(rng.uniform(0.3, 1.8) * side / 480)
        tone = _tone(rng)
        self.backdrop = _leaves(rng, int(1.5 * height), int(1.5 * width), 900, tone)
        count = int(rng.integers(1, 4))
        occluders = int(rng.integers(0, 3))
        self.layers = [_Thing(rng, height, width, speed(), tone, small=i >= count) for i in range(count + occluders)]
        self.annotated = count

    def slide(self, count: int) -> np.ndarray:
        """Where masks get to that lose their object: (count, 2) pixels, growing to a radius and more."""
        angle = self.seed % 360 * np.pi / 180
        reach = 1.2 * self.layers[0].radius
        return np.linspace(0, reach, count)[:, None] * [np.sin(angle), np.cos(angle)]

    def image(self, t: int) -> np.ndarray:
        """The frame at time t: uint8 (height, width, 3)."""
        rng = np.random.default_rng([self.seed, t])
        y, x = self.camera.at(t) + rng.normal(0, self.shake, 2)
        zoom = 1 + self.zoom * np.sin(t / 17)
        corner = (x + 0.25 * self.width, y + 0.25 * self.height)
        affine = (1 / zoom, 0, corner[0], 0, 1 / zoom, corner[1])
        frame = self.backdrop.transform(
            (self.width, self.height), Image.Transform.AFFINE, affine, Image.Resampling.BILINEAR
        )
        for thing in self.layers:
            frame.paste(thing.picture(t, frame.size), (0, 0), thing.outline(t, frame.size))
        pixels = np.asarray(frame.filter(self.blur), np.float32) * (1 + rng.normal(0, self.flicker))
        pixels = pixels + rng.normal(0, self.noise, (self.height, self.width, 1))
        return pixels.clip(0, 255).astype(np.uint8)

    def masks(self, t: int, moved: Sequence[float] | np.ndarray = (0, 0)) -> np.ndarray:
        """The annotated masks at time t, bool (objects, height, width): visible parts, or whole where amodal."""
        size = (self.width, self.height)
        drawn = [np.asarray(thing.outline(t, size, sloppy=True, moved=moved)) > 127 for thing in self.layers]
        for i in range(len(drawn)):
            for above in () if self.amodal else drawn[i + 1 :]:
                drawn[i] = drawn[i] & ~above
        return np.stack(drawn[: self.annotated])


class _Path:
    """A smooth way through the plane at a given mean pace, within bounds: two slow waves in each direction."""

    def __init__(self, rng: np.random.Generator, pace: float, reach_y: float, reach_x: float) -> None:
        self.reach = np.array([[reach_y], [reach_x]]) * [0.7, 0.3]
        share = rng.dirichlet([1, 1])[:, None] * rng.uniform(0.5, 1.5, (2, 2))
        self.rate = 1.6 * pace * share / self.reach
        self.phase = rng.uniform(0, 2 * np.pi, (2, 2))

    def at(self, t: float) -> np.ndarray:
        place: np.ndarray = (self.reach * np.sin(self.phase + self.rate * t)).sum(1)
        return place


class _Thing:
    """A textured blob with a wavy outline that turns, breathes and moves."""

    def __init__(
        self, rng: np.random.Generator, height: int, width: int, pace: float, backdrop: np.ndarray, small: bool
    ) -> None:
        side = min(height, width)
        self.radius = side * (rng.uniform(0.06, 0.12) if small else rng.uniform(0.09, 0.26))
        self.center = np.array([height, width]) * rng.uniform(0.3, 0.7, 2)
        self.path = _Path(rng, pace, 0.4 * height, 0.45 * width)
        self.turn = rng.normal(0, 0.25) * pace / self.radius
        self.breath = rng.uniform(0, 0.1), rng.uniform(0, 0.6) * pace / self.radius
        self.waves = rng.uniform(0, 0.18, 4), rng.uniform(0, 2 * np.pi, 4), rng.normal(0, 0.5, 4) * pace / self.radius
        care = float(np.exp(rng.uniform(np.log(0.5), np.log(3))))  # from well-drawn masks to coarse ones
        self.slack = care * rng.normal(0, 0.012, (2, 5)), 1 + care * rng.normal(0, 0.015)
        self.extent = int(3.2 * self.radius)
        likeness = rng.uniform(0, 1)  # from a colour of its own to the backdrop's
        tone = likeness * backdrop + (1 - likeness) * _tone(rng)
        self.texture = _leaves(rng, self.extent, self.extent, 120, tone, rng.uniform(0.25, 1))

    def _pose(self, t: float) -> tuple[np.ndarray, float, float]:
        amount, rate = self.breath
        return self.center + self.path.at(t), self.turn * t, 1 + amount * np.sin(rate * t)

    def outline(
        self, t: float, size: tuple[int, int], sloppy: bool = False, moved: Sequence[float] | np.ndarray = (0, 0)
    ) -> Image.Image:
        """The outline filled, grey (smooth along the edge, where it is not an annotator's)."""
        center, turn, scale = self._pose(t)
        angles = np.linspace(0, 2 * np.pi, 72, endpoint=False)
        height, phase, rate = self.waves
        radii = 1 + sum(height[k] * np.sin((k + 2) * angles + phase[k] + rate[k] * t) for k in range(4))
        if sloppy:
            sines, grown = self.slack
            radii = radii * grown + sum(
                sines[0, k] * np.sin((k + 3) * angles + t) + sines[1, k] * np.cos((k + 3) * angles - t)
                for k in range(5)
            )
        radii = radii * self.radius * scale
        y = center[0] + moved[0] + radii * np.sin(angles + turn)
        x = center[1] + moved[1] + radii * np.cos(angles + turn)
        fine = Image.new("L", (2 * size[0], 2 * size[1]))
        ImageDraw.Draw(fine).polygon(list(zip(2 * x, 2 * y, strict=True)), fill=255)
        return fine.reduce(2)

    def picture(self, t: float, size: tuple[int, int]) -> Image.Image:
        """The texture laid out over a whole frame as it lies at time t."""
        (y, x), turn, scale = self._pose(t)
        cos, sin, middle = np.cos(turn) / scale, np.sin(turn) / scale, self.extent / 2
        affine = (cos, sin, middle - cos * x - sin * y, -sin, cos, middle + sin * x - cos * y)
        return self.texture.transform(size, Image.Transform.AFFINE, affine, Image.Resampling.BILINEAR)


def _tone(rng: np.random.Generator) -> np.ndarray:
    return rng.uniform(60, 195) + rng.normal(0, 25, 3)


def _leaves(
    rng: np.random.Generator, height: int, width: int, count: int, tone: np.ndarray, contrast: float = 1.0
) -> Image.Image:
    """Patches of power-law sizes over one another, in colours around one tone, with grain."""
    spread = contrast * rng.uniform(12, 45)
    image = Image.new("RGB", (width, height), tuple(int(c) for c in tone))
    draw = ImageDraw.Draw(image)
    radii = np.sort(np.minimum(0.35 * min(height, width), 3 / rng.random(count) ** 0.75))[::-1]
    for radius in radii:
        color = tuple(int(c) for c in (tone + rng.normal(0, spread) + rng.normal(0, spread / 2, 3)).clip(0, 255))
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        stretch = rng.uniform(0.4, 1)
        if rng.random() < 0.5:
            draw.ellipse((x - radius, y - stretch * radius, x + radius, y + stretch * radius), fill=color)
        else:
            angles = np.sort(rng.uniform(0, 2 * np.pi, 5))
            draw.polygon([(x + radius * np.cos(a), y + stretch * radius * np.sin(a)) for a in angles], fill=color)
    pixels = np.asarray(image, np.float32) + rng.normal(0, 4, (height, width, 1))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
