"""Writes a small dataset in the official layout: moving shapes with exact masks, for trying things and for tests.

It holds what the real data is known to hold: ids with slashes and a leading dash, frame names with gaps, objects that
overlap, an object that leaves (null masks), expressions of every type, texts that need care, and among short videos a
long one.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from revoskit.dataset.families import FAMILIES
from revoskit.dataset.layout import EXPRESSIONS, FOREGROUND, FRAMES_FOLDER, TRACKS
from revoskit.drawn_miniature import DRAWN_IDS, draw
from revoskit.errors import UsageError
from revoskit.masks.rle import RLE, MaskSequence

COLORS = {
    "red": (214, 48, 49),
    "green": (39, 160, 82),
    "blue": (42, 98, 214),
    "yellow": (240, 196, 25),
    "purple": (142, 68, 173),
    "orange": (232, 118, 28),
}
LONG = "TAO/train/ArgoVerse/0f0d7759"
LONG_FRAMES = 300  # more than a byte counts, which was too much for a library once
_IDS = [
    ("train", "LV-VIS/train/01020"),
    ("train", "UVO/all/-CiPki3XuVI"),
    ("train", "MOSE/train/a1b2c3d4"),
    ("validation", "OVIS/train/00e92ab4"),
    ("validation", "TAO/train/YFCC100M/v_25685519"),
    ("validation", "MeViS/valid_u/0a1b2c3d4e5f"),
    ("validation", LONG),
]
_FIRST_ANNOTATION = 3003000

Entry = dict[str, Any]  # an object of a JSON file


@dataclass
class Miniature:
    """What was written: the folder, and per annotation id the exact pixels, bool (T, height, width)."""

    root: Path
    pixels: dict[int, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class _Shape:
    """A shape of one colour that moves in a straight line; it counts as annotated while any of it is in view."""

    kind: str
    color: str
    radius: float
    start: tuple[float, float]  # centre as y, x, in pixels
    step: tuple[float, float]  # per frame

    def pixels(self, frame: int, height: int, width: int) -> np.ndarray:
        y, x = np.mgrid[:height, :width]
        y = y - (self.start[0] + frame * self.step[0])
        x = x - (self.start[1] + frame * self.step[1])
        if self.kind == "ball":
            inside = y * y + x * x <= self.radius**2
        elif self.kind == "box":
            inside = np.maximum(abs(y), abs(x)) <= self.radius
        else:  # a triangle that stands on its base
            inside = (abs(y) <= self.radius) & (abs(x) * 2 <= y + self.radius)
        return np.asarray(inside)


def write_miniature(
    root: str | os.PathLike[str],
    *,
    videos: int = len(_IDS),
    frames: int = 12,
    height: int = 180,
    width: int = 320,
    frames_folder: str = FRAMES_FOLDER,
    seed: int = 0,
) -> Miniature:
    """Write a dataset of `videos` videos; the same arguments give the same bytes.

    Args:
        root: the folder to write to; it is made where it does not exist.
        videos: how many; beyond the seven that mimic the real ids, they alternate between train and validation.
        frames: frames per video; the seventh, `LONG`, has 300.
        height, width: pixels of a frame; every third video stands upright, with the two exchanged. The long one is a
            quarter as high and wide.
        frames_folder: where the video folders go: `"JPEGImages"`, or `""` for the root itself.
        seed: of the colours, the motion and the texture.

    Returns:
        The masks as pixels, to compare with what is loaded.

    Raises:
        UsageError: the folder already holds a dataset, which this would write over.
    """
    root = Path(root)
    if (root / TRACKS).exists():
        raise UsageError(f"{root} already holds a dataset ({TRACKS}): name a folder that does not")
    written = Miniature(root)
    tracks: dict[str, list[RLE | None]] = {}
    foreground: dict[str, Entry] = {}
    entries: dict[str, dict[str, Entry]] = {"train": {}, "validation": {}}
    for number, (split, video_id) in enumerate(_videos(videos)):
        size = (height, width) if number % 3 != 1 else (width, height)
        length = frames
        if video_id == LONG:
            size, length = (-(-height // 4), -(-width // 4)), LONG_FRAMES
        rng = np.random.default_rng([seed, number])
        shapes = _shapes(rng, length, *size)
        pixels = np.stack([[shape.pixels(i, *size) for i in range(length)] for shape in shapes])
        ids = [_FIRST_ANNOTATION + 10 * number + i for i in range(len(shapes))]
        names = [f"{i * (5 if video_id.startswith('UVO') else 1):05d}" for i in range(length)]

        _write_frames(root / frames_folder / video_id, names, shapes, pixels, rng)
        written.pixels |= dict(zip(ids, pixels, strict=True))
        tracks |= {str(i): _track(mask) for i, mask in zip(ids, pixels, strict=True)}
        union = np.asarray(pixels.any(0))
        foreground[video_id] = {
            "masks_rle": list(MaskSequence.encode(union)),
            "foreground_ratio": union.mean((1, 2)).tolist(),
        }
        entries[split][video_id] = {
            "vid_id": number,
            "height": size[0],
            "width": size[1],
            "frames": names,
            "expressions": _expressions(shapes, ids, number),
        }

    _write_json(root / FOREGROUND, foreground)
    entries["train_sub"] = dict(list(entries["train"].items())[:1])
    for split, found in entries.items():
        _write_json(root / EXPRESSIONS[split], {"videos": found})
    _write_json(root / TRACKS, tracks)  # last: it tells a whole dataset from one that was interrupted
    return written


def _videos(count: int) -> Iterator[tuple[str, str]]:
    yield from _IDS[:count]
    for number in range(len(_IDS), count):
        yield ("train", "validation")[number % 2], f"LV-VIS/train/{number:05d}"


def _shapes(rng: np.random.Generator, frames: int, height: int, width: int) -> list[_Shape]:
    """A ball and a box that meet in mid-picture, and a triangle that leaves on the left."""
    side = min(height, width)
    colors = rng.permutation(list(COLORS))[:3].tolist()
    middle = np.array([height, width]) / 2
    travel = 0.3 * width / max(1, frames - 1)
    drift = rng.uniform(-0.1, 0.1) * height / max(1, frames)
    ball = middle + np.array([0.05 * height, -0.32 * width])
    box = middle + np.array([0.15 * height, 0.28 * width])
    triangle = np.array([0.25 * height, 0.3 * width])
    gone = (triangle[1] + 0.3 * side) / (0.6 * frames)  # out of view after 60 % of the frames
    return [
        _Shape("ball", colors[0], 0.2 * side, tuple(ball), (drift, travel)),
        _Shape("box", colors[1], 0.16 * side, tuple(box), (-drift, -travel)),
        _Shape("triangle", colors[2], 0.14 * side, tuple(triangle), (0.0, -gone)),
    ]


def _expressions(shapes: list[_Shape], ids: list[int], number: int) -> dict[str, Entry]:
    ball, box, triangle = shapes
    absent = next(color for color in COLORS if color not in {shape.color for shape in shapes})
    wanted = [
        (f"the {ball.color} ball", [0], 0),
        (f"the {box.color} box", [1], 0),
        ("every shape in the picture", [0, 1, 2], 0),
        ("which of these would roll down a slope?", [0], 1),
        ("what is about to leave the picture?", [2], 1),
        ("the two that are going to meet", [0, 1], 1),
        (f"the {absent} star", [], 2),
    ]
    if number == 0:
        wanted.append((f"das  {triangle.color} Dreieck – “<b>oben</b>” & links 🪁 ", [2], 0))
    return {
        str(i): {"exp": text, "obj_id": objects, "anno_id": [ids[j] for j in objects], "type_id": kind}
        for i, (text, objects, kind) in enumerate(wanted)
    }


def _track(pixels: np.ndarray) -> list[RLE | None]:
    seen = np.asarray(pixels.any((1, 2)))
    return [mask if there else None for mask, there in zip(MaskSequence.encode(pixels), seen, strict=True)]


def _write_frames(
    folder: Path, names: list[str], shapes: list[_Shape], pixels: np.ndarray, rng: np.random.Generator
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    _, _, height, width = pixels.shape
    y, x = np.mgrid[:height, :width]
    paper = 205 + 20 * y / height - 15 * x / width + 6 * np.sin(x / 9) * np.sin(y / 7)
    background = paper[..., None] + rng.uniform(-8, 8, 3)
    for i, name in enumerate(names):
        image = background + rng.normal(0, 2, (height, width, 1))
        for shape, masks in zip(shapes, pixels, strict=True):
            image[masks[i]] = COLORS[shape.color]
        Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(folder / f"{name}.jpg", quality=90)


def _write_json(path: Path, content: Mapping[str, object]) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


# --- The datasets with files of the same kind -------------------------------------------------------------------------

_SISTER_IDS = {
    "mevis": ["0ab4afe7fb46", "0fea0cb75a25", "1a1dbe153793", "2b904b76c8f0", "3f99366076b5", "5e2a4c6b8d01"],
    "lv_vis": [f"{number:05d}" for number in range(6)],
    "fevos": [f"video_{number:04d}" for number in range(6)],
    "ref_sav": [f"sav_{53900 + number:06d}" for number in range(6)],
}
_SISTER_IDS["mevis_v2"] = _SISTER_IDS["mevis"]
_SISTER_IDS |= DRAWN_IDS


def write_sister(root: str | os.PathLike[str], family: str, *, videos: int = 6, **options: int) -> Miniature:
    """Write a small stand-in for another dataset: the videos of a miniature, in that dataset's layout.

    It leaves out what the dataset leaves out: types, and in a hidden split the objects and the masks too. In MeViS the
    hidden split does not say the size of its videos either, nor does any split whose masks are PNGs.

    Args:
        root: the folder to write to.
        family: a key of `families.FAMILIES`, not ReVOS.
        videos: how many, up to six, dealt to the splits in turn; a split that gets none is not there.
        options: as for `write_miniature`: frames, height, width, seed.
    """
    root = Path(root)
    written = write_miniature(root / "revos", videos=videos, frames_folder=FRAMES_FOLDER, **options)
    source = {name: json.loads((written.root / file).read_bytes())["videos"] for name, file in EXPRESSIONS.items()}
    tracks = json.loads((written.root / TRACKS).read_bytes())
    splits = list(FAMILIES[family].splits.items())
    entries: dict[str, dict[str, Entry]] = {split: {} for split, _ in splits}
    named: dict[str, dict[str, object]] = {}
    for number, (video_id, entry) in enumerate((source["train"] | source["validation"]).items()):
        split, files = splits[number % len(splits)]
        sister_id = _SISTER_IDS[family][number]
        folder = root / files.frames[0] / sister_id / files.frames_within
        folder.parent.mkdir(parents=True, exist_ok=True)
        os.rename(written.root / FRAMES_FOLDER / video_id, folder)
        if family == "ref_sav":  # every fourth frame of a video, counted from 100000
            names = [str(100000 + 4 * i) for i in range(len(entry["frames"]))]
            for old, new in zip(entry["frames"], names, strict=True):
                os.rename(folder / f"{old}.jpg", folder / f"{new}.jpg")
            entry["frames"] = names
        entries[split][sister_id] = entry if family in DRAWN_IDS else _as_sister(entry, family, files.hidden)
        if not files.hidden and family not in DRAWN_IDS:
            ids = {str(i) for expression in entry["expressions"].values() for i in expression["anno_id"]}
            named.setdefault(files.tracks[0], {}).update({i: tracks[i] for i in sorted(ids)})
    shutil.rmtree(written.root)
    if family in DRAWN_IDS:
        return Miniature(root, draw(root, family, entries, written.pixels))
    for split, files in splits:
        if entries[split]:
            _write_json(root / files.expressions[0], {"videos": entries[split]})
    for file, content in named.items():
        _write_json(root / file, content)
    return Miniature(root, written.pixels)


def _as_sister(entry: Entry, family: str, hidden: bool) -> Entry:
    """A video's entry, less what the dataset does not say."""
    kept = {"exp"} if hidden else {"exp", "obj_id", "anno_id"}
    if family == "ref_sav":  # it has a type_id that means something else: a long caption or a short one
        kept.add("type_id")
    absent = [key for key, expression in entry["expressions"].items() if not expression["anno_id"]]
    expressions = {
        key: {name: value for name, value in expression.items() if name in kept}
        for key, expression in entry["expressions"].items()
        if family == "mevis_v2" or key not in absent  # the others have no expression without a target
    }
    if family == "ref_sav":
        for expression in expressions.values():
            expression["type_id"] %= 2
    if family == "lv_vis":
        for expression in expressions.values():
            expression["exp"] = expression["exp"].replace(" ", "_")
    if family == "fevos":
        for expression in expressions.values():
            expression["ans"] = "the answer, in words"
    entry = {**entry, "expressions": expressions}
    if hidden and family == "mevis":
        del entry["height"], entry["width"]
    return entry
