"""Synthetic videos whose masks are known to belong to other frames than the files say, or to the very ones.

Backgrounds and objects are "dead leaves": patches of many sizes over one another, which give edges everywhere as
photographs do. The camera pans, shakes and zooms; objects turn, deform, cross one another, pass behind things that
nobody annotated, and leave the picture. Light flickers, the sensor has noise, the frames are JPEG, and the masks are
as sloppy as hand-drawn ones. Everything is written in the official layout, with numpy and Pillow alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from revoskit.dataset.layout import EXPRESSIONS, FRAMES_FOLDER, TRACKS
from revoskit.masks.rle import MaskSequence

SIZES = [(270, 480), (360, 640), (480, 270)]
KINDS = ["aligned", "stride 30", "stride 2-20", "offset", "drift in time", "drift in space", "other video"]


@dataclass(frozen=True)
class Planted:
    """One video: what is wrong with it and, for every mask, the place of its frame in the folder (-1: none)."""

    video_id: str
    kind: str
    listed: tuple[int, ...]
    truth: tuple[int, ...]
    overlap: float
    """Mean IoU of the masks as filed with those that belong to the listed frames: what there is to be seen."""


@dataclass(frozen=True)
class Case:
    """What to write: the fault, and the seed that everything else follows from."""

    kind: str
    seed: int

    @property
    def video_id(self) -> str:
        return f"{self.kind.replace(' ', '-')}/{self.seed:05d}"


def write_planted(root: Path, cases: Iterable[Case], num_proc: int = 1) -> dict[str, Planted]:
    """Write the cases as the train split of a dataset under `root`; returns the truth by video id."""
    root.mkdir(parents=True, exist_ok=True)
    cases = list(cases)
    entries, tracks, truths = {}, {}, {}
    with ProcessPoolExecutor(num_proc) as pool:
        made = pool.map(_write_video, [root] * len(cases), cases, range(len(cases)))
        for planted, entry, video_tracks in made:
            entries[planted.video_id] = entry
            tracks |= video_tracks
            truths[planted.video_id] = planted
    (root / EXPRESSIONS["train"]).write_text(json.dumps({"videos": entries}))
    (root / TRACKS).write_text(json.dumps(tracks))
    return truths


def _write_video(root: Path, case: Case, number: int) -> tuple[Planted, dict, dict]:
    rng = np.random.default_rng([case.seed, KINDS.index(case.kind)])
    listed, truth, folder_frames = _timing(case.kind, rng)
    scene = Scene(rng, *SIZES[rng.choice(3, p=[0.6, 0.25, 0.15])], fast=max(np.diff(truth)) < 2)
    masked = Scene(rng, scene.height, scene.width, fast=True) if case.kind == "other video" else scene
    slide = scene.slide(len(truth)) if case.kind == "drift in space" else np.zeros((len(truth), 2))
    folder = root / FRAMES_FOLDER / case.video_id
    folder.mkdir(parents=True, exist_ok=True)
    for t in range(folder_frames):
        path, partial = folder / f"{t:05d}.jpg", folder / "partial"
        if not path.exists():  # so that a run that was broken off goes on
            Image.fromarray(scene.image(t)).save(partial, "JPEG", quality=scene.quality)
            partial.rename(path)

    masks = np.stack([masked.masks(t, moved) for t, moved in zip(truth, slide, strict=True)], 1)
    right = np.stack([scene.masks(t) for t in listed], 1)[: len(masks)]
    union = (masks[: len(right)] | right).sum((2, 3))
    seen = union > 0
    overlap = float(((masks[: len(right)] & right).sum((2, 3))[seen] / union[seen]).mean()) if seen.any() else 1.0
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
    known = tuple(int(t) if 0 <= t < folder_frames and case.kind not in KINDS[-2:] else -1 for t in truth)
    return Planted(case.video_id, case.kind, tuple(map(int, listed)), known, overlap), entry, tracks


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

    def __init__(self, rng: np.random.Generator, height: int, width: int, fast: bool) -> None:
        self.height, self.width = height, width
        self.quality = int(rng.integers(45, 92))
        self.noise = rng.uniform(1, 9)
        self.flicker = rng.uniform(0, 0.04)
        self.amodal = bool(rng.random() < 0.4)
        self.seed = int(rng.integers(2**31))
        # Pixels a frame: from hardly moving to fast. Folders at a full frame rate move less from frame to frame.
        low, high = (0.0008, 0.02) if fast else (0.0008, 0.006)
        side = max(height, width)

        def pace() -> float:
            return side * float(np.exp(rng.uniform(np.log(low), np.log(high))))

        self.camera = _Path(rng, pace() * rng.integers(0, 2), 0.18 * height, 0.18 * width)
        self.shake = rng.uniform(0, 1.5) * rng.integers(0, 2)
        self.zoom = rng.uniform(0, 0.08)
        self.blur = ImageFilter.GaussianBlur(rng.uniform(0.3, 1.8) * side / 480)
        tone = _tone(rng)
        self.backdrop = _leaves(rng, int(1.5 * height), int(1.5 * width), 900, tone)
        count = int(rng.integers(1, 4))
        occluders = int(rng.integers(0, 3))
        self.layers = [_Thing(rng, height, width, pace(), tone, small=i >= count) for i in range(count + occluders)]
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
        frame = self.backdrop.transform((self.width, self.height), Image.Transform.AFFINE, affine, Image.BILINEAR)
        for thing in self.layers:
            frame.paste(thing.picture(t, frame.size), (0, 0), thing.outline(t, frame.size))
        pixels = np.asarray(frame.filter(self.blur), np.float32) * (1 + rng.normal(0, self.flicker))
        pixels = pixels + rng.normal(0, self.noise, (self.height, self.width, 1))
        return pixels.clip(0, 255).astype(np.uint8)

    def masks(self, t: int, moved: np.ndarray | tuple = (0, 0)) -> np.ndarray:
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
        return (self.reach * np.sin(self.phase + self.rate * t)).sum(1)


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

    def outline(self, t: float, size: tuple[int, int], sloppy: bool = False, moved=(0, 0)) -> Image.Image:
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
        return self.texture.transform(size, Image.Transform.AFFINE, affine, Image.BILINEAR)


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
