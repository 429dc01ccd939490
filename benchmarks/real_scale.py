"""Writes annotations of the size of the real dataset, for the benchmarks: same counts, made-up content.

    python benchmarks/real_scale.py FOLDER

1,042 videos, 35,074 expressions, about 9,000 tracks and 72,000 frames, a mask_dict.json of 200 MB. The frames are hard
links to a few JPEGs, so that they are there to be found and can be opened, but take no room.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import numpy as np
from PIL import Image

from revoskit.dataset.layout import EXPRESSIONS, FOREGROUND, FRAMES_FOLDER, TRACKS
from revoskit.masks.rle import MaskSequence

VIDEOS = {"train": 626, "validation": 416}
EXPRESSION_COUNT = 35_074
SOURCES = ["LV-VIS/train", "MOSE/train", "OVIS/train", "TAO/train/YFCC100M", "UVO/all", "MeViS/train"]
HEIGHT, WIDTH = 480, 854


def write(root: Path, videos: dict[str, int] = VIDEOS, seed: int = 0) -> Path:
    """Write the dataset under `root` unless it is there; returns `root`."""
    if (root / TRACKS).exists():
        return root
    rng = np.random.default_rng(seed)
    masks = _mask_pool(rng)
    pictures = _pictures(root, rng)
    total = sum(videos.values())
    expressions = round(EXPRESSION_COUNT * total / sum(VIDEOS.values()))
    share = rng.multinomial(expressions - total, np.full(total, 1 / total)) + 1
    tracks, foreground, next_id, number = {}, {}, 3_000_000, 0
    for split, count in videos.items():
        entries = {}
        for _ in range(count):
            video_id = f"{SOURCES[number % len(SOURCES)]}/{number:08x}"
            names = [f"{i:05d}" for i in range(int(rng.integers(30, 109)))]
            ids = list(range(next_id, next_id + int(rng.integers(4, 14))))
            next_id += len(ids)
            for i in ids:
                tracks[str(i)] = _track(rng, masks, len(names))
            entries[video_id] = {
                "vid_id": number,
                "height": HEIGHT,
                "width": WIDTH,
                "frames": names,
                "expressions": _expressions(rng, ids, int(share[number])),
            }
            foreground[video_id] = {
                "masks_rle": _track(rng, masks, len(names), 0),
                "foreground_ratio": [0.1] * len(names),
            }
            folder = root / FRAMES_FOLDER / video_id
            folder.mkdir(parents=True)
            for i, name in enumerate(names):
                os.link(pictures[(number + i) % len(pictures)], folder / f"{name}.jpg")
            number += 1
        _write_json(root / EXPRESSIONS[split], {"videos": entries})
    _write_json(root / FOREGROUND, foreground)
    _write_json(root / TRACKS, tracks)
    return root


def _mask_pool(rng: np.random.Generator, size: int = 2000) -> list[dict]:
    """Blobs with ragged outlines, whose counts are about as long as those of real objects."""
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    pool = []
    for _ in range(size):
        cy, cx = rng.uniform(80, HEIGHT - 80), rng.uniform(120, WIDTH - 120)
        angle = np.arctan2(y - cy, x - cx)
        outline = rng.uniform(30, 120) * (1 + 0.12 * np.sin(angle * rng.integers(3, 9) + rng.uniform(0, 6)))
        pool += MaskSequence.encode((np.hypot(y - cy, x - cx) < outline)[None])
    return pool


def _track(rng: np.random.Generator, pool: list[dict], frames: int, nulls: float = 0.1) -> list[dict | None]:
    start = int(rng.integers(len(pool)))
    gone = rng.random(frames) < nulls
    return [None if gone[i] else pool[(start + i) % len(pool)] for i in range(frames)]


def _expressions(rng: np.random.Generator, ids: list[int], count: int) -> dict[str, dict]:
    found = {}
    for i in range(count):
        kind = int(rng.choice(3, p=[0.572, 0.419, 0.009]))
        many = int(rng.choice([1, 2, 3], p=[0.8, 0.12, 0.08])) if kind != 2 else 0
        objects = sorted(rng.choice(len(ids), min(many, len(ids)), replace=False).tolist())
        text = f"the object that somebody would reach for first, in the {i}th way of saying so"
        found[str(i)] = {"exp": text, "obj_id": objects, "anno_id": [ids[j] for j in objects], "type_id": kind}
    return found


def _pictures(root: Path, rng: np.random.Generator, count: int = 8) -> list[Path]:
    folder = root / "pictures"  # outside JPEGImages; several, since a file system limits the links to one file
    folder.mkdir(parents=True)
    paths = []
    for i in range(count):
        coarse = Image.fromarray(rng.integers(0, 255, (12, 20, 3), np.uint8))
        paths.append(folder / f"{i}.jpg")
        coarse.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC).save(paths[-1], quality=85)
    return paths


def _write_json(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    print(write(parser.parse_args().folder))
