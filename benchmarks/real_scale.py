"""Writes annotations of the size of the real dataset, for the benchmarks: same counts, made-up content.

    python benchmarks/real_scale.py FOLDER

1,042 videos of 720p, 35,074 expressions, of which 40 % name two or three of about 9,000 tracks, and a mask_dict.json of
280 MB; half of the masks have fewer than 210 runs. Most videos have 30 to 110 frames, 4 % more than 300,
three 1,500 as in TAO; 115,000 in all. The frames are hard links to a few JPEGs, so that they are there to be found and
can be opened, but take no room. `--setting short` is like what earlier figures were measured on: 480p, larger objects,
20 % of the expressions with several tracks, no video of more than 110 frames, 200 MB.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from revoskit.dataset.layout import EXPRESSIONS, FOREGROUND, FRAMES_FOLDER, TRACKS
from revoskit.masks.rle import MaskSequence

VIDEOS = {"train": 626, "validation": 416}
EXPRESSION_COUNT = 35_074
SOURCES = ["LV-VIS/train", "MOSE/train", "OVIS/train", "TAO/train/YFCC100M", "UVO/all", "MeViS/train"]


class Setting(NamedTuple):
    """What the made-up content is like."""

    height: int
    width: int
    radius: Callable[[np.random.Generator], float]
    """Draws that of an object, in pixels."""
    ripple: float
    """How far its outline goes in and out from pixel to pixel, in radii."""
    tracks_named: tuple[float, float, float]
    """The shares of the expressions that name one, two and three tracks."""
    long: float
    """The share of the videos with 300 to 1,200 frames."""


SETTINGS = {
    "real": Setting(720, 1280, lambda rng: 38 * rng.lognormal(0, 0.6), 0.05, (0.6, 0.24, 0.16), 0.04),
    "short": Setting(480, 854, lambda rng: rng.uniform(30, 120), 0, (0.8, 0.12, 0.08), 0),
}
LONGEST = 1500  # as a few of TAO's


def write(root: Path, videos: dict[str, int] = VIDEOS, seed: int = 0, setting: str = "real") -> Path:
    """Write the dataset under `root` unless it is there; returns `root`."""
    if (root / TRACKS).exists():
        return root
    rng = np.random.default_rng(seed)
    like = SETTINGS[setting]
    masks = _mask_pool(rng, like)
    pictures = _pictures(root, rng, like)
    total = sum(videos.values())
    expressions = round(EXPRESSION_COUNT * total / sum(VIDEOS.values()))
    share = rng.multinomial(expressions - total, np.full(total, 1 / total)) + 1
    tracks, foreground, next_id, number = {}, {}, 3_000_000, 0
    for split, count in videos.items():
        entries = {}
        for _ in range(count):
            video_id = f"{SOURCES[number % len(SOURCES)]}/{number:08x}"
            names = [f"{i:05d}" for i in range(_length(rng, like, number))]
            ids = list(range(next_id, next_id + int(rng.integers(4, 14))))
            next_id += len(ids)
            for i in ids:
                # In a long video, an object is there for a part of the time.
                tracks[str(i)] = _track(rng, masks, len(names), 0.1 if len(names) <= 300 else 0.6)
            entries[video_id] = {
                "vid_id": number,
                "height": like.height,
                "width": like.width,
                "frames": names,
                "expressions": _expressions(rng, like, ids, int(share[number])),
            }
            named = {i for expression in entries[video_id]["expressions"].values() for i in expression["anno_id"]}
            foreground[video_id] = _foreground([tracks[str(i)] for i in sorted(named)], like, len(names))
            folder = root / FRAMES_FOLDER / video_id
            folder.mkdir(parents=True)
            for i, name in enumerate(names):
                os.link(pictures[(number + i) % len(pictures)], folder / f"{name}.jpg")
            number += 1
        _write_json(root / EXPRESSIONS[split], {"videos": entries})
    _write_json(root / FOREGROUND, foreground)
    _write_json(root / TRACKS, tracks)
    return root


def _length(rng: np.random.Generator, like: Setting, number: int) -> int:
    short, long, is_long = int(rng.integers(30, 111)), int(rng.integers(301, 1201)), rng.random() < like.long
    if like.long and number % 300 == 297:  # of TAO, the fourth source
        return LONGEST
    return long if is_long else short


def _mask_pool(rng: np.random.Generator, like: Setting, size: int = 2000) -> list[dict]:
    """Blobs with ragged outlines, whose counts are about as long as those of real objects."""
    pool = []
    for _ in range(size):
        radius = min(like.radius(rng), like.height / 2.4)
        cy, cx = rng.uniform(0.16, 0.84) * like.height, rng.uniform(0.14, 0.86) * like.width
        reach = radius * 1.3
        top, left = max(0, int(cy - reach)), max(0, int(cx - reach))
        y, x = np.mgrid[top : min(like.height, int(cy + reach)), left : min(like.width, int(cx + reach))]
        angle = np.arctan2(y - cy, x - cx)
        outline = radius * (1 + 0.12 * np.sin(angle * rng.integers(3, 9) + rng.uniform(0, 6)))
        outline += like.ripple * radius * np.sin(angle * rng.integers(15, 40))
        pixels = np.zeros((1, like.height, like.width), bool)
        pixels[0, top : top + len(y), left : left + y.shape[1]] = np.hypot(y - cy, x - cx) < outline
        pool += MaskSequence.encode(pixels)
    return pool


def _track(rng: np.random.Generator, pool: list[dict], frames: int, nulls: float) -> list[dict | None]:
    start = int(rng.integers(len(pool)))
    gone = rng.random(frames) < nulls
    return [None if gone[i] else pool[(start + i) % len(pool)] for i in range(frames)]


def _foreground(tracks: list[list[dict | None]], like: Setting, frames: int) -> dict:
    united = MaskSequence.empty(frames, like.height, like.width)
    united = united.union(*(MaskSequence.parse(track, like.height, like.width) for track in tracks))
    return {"masks_rle": list(united), "foreground_ratio": (united.areas() / like.height / like.width).tolist()}


def _expressions(rng: np.random.Generator, like: Setting, ids: list[int], count: int) -> dict[str, dict]:
    found = {}
    for i in range(count):
        kind = int(rng.choice(3, p=[0.572, 0.419, 0.009]))
        many = int(rng.choice([1, 2, 3], p=like.tracks_named)) if kind != 2 else 0
        objects = sorted(rng.choice(len(ids), min(many, len(ids)), replace=False).tolist())
        text = f"the object that somebody would reach for first, in the {i}th way of saying so"
        found[str(i)] = {"exp": text, "obj_id": objects, "anno_id": [ids[j] for j in objects], "type_id": kind}
    return found


def _pictures(root: Path, rng: np.random.Generator, like: Setting, count: int = 8) -> list[Path]:
    folder = root / "pictures"  # outside JPEGImages; several, since a file system limits the links to one file
    folder.mkdir(parents=True)
    paths = []
    for i in range(count):
        coarse = Image.fromarray(rng.integers(0, 255, (12, 20, 3), np.uint8))
        paths.append(folder / f"{i}.jpg")
        coarse.resize((like.width, like.height), Image.Resampling.BICUBIC).save(paths[-1], quality=85)
    return paths


def _write_json(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--setting", choices=SETTINGS, default="real")
    args = parser.parse_args()
    print(write(args.folder, setting=args.setting))
