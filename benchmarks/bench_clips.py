"""Clips beside the usual way of loading them: time for a clip, and memory of a data loader's worker.

    python benchmarks/bench_clips.py                     # both
    python benchmarks/bench_clips.py --part speed
    python benchmarks/bench_clips.py --part memory       # needs torch and 2 GB of disk: a dataset of full size

The usual way is that of the public loaders: `mask_dict.json` parsed into Python objects; `cv2.imread`, `cv2.cvtColor`,
`cv2.resize` (bilinear, faster than what most of them take); every track's mask decoded whole, united, and resized. All
get the same frames, textured as photographs are (1/f) and warm in the page cache, turn by turn in one process.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")

import numpy as np
from datasets import Dataset, load_dataset
from machine import machine
from PIL import Image
from pycocotools import mask as coco
from real_scale import write as write_real_scale
from tabulate import tabulate

import revos
from revoskit import Clips, collate, frames
from revoskit.masks.rle import MaskSequence

SIZES = {"480p": (480, 854), "720p": (720, 1280), "1080p": (1080, 1920)}
NUM_FRAMES, SHORT_SIDE = 8, 448


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=["speed", "memory", "both"], default="both")
    parser.add_argument("--rounds", type=int, default=15, help="times that every loader gets every clip")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--full-size", type=Path, metavar="FOLDER", help="what real_scale.py wrote before")
    args = parser.parse_args()
    print(f"{machine()}\n{frames.decoder()}\n")
    with tempfile.TemporaryDirectory() as folder:
        if args.part != "memory":
            speed(Path(folder), args.rounds)
        if args.part != "speed":
            memory(Path(folder), args.full_size, args.workers)


# --- data -------------------------------------------------------------------------------------------------------------


def write_photographs(root: Path, size: tuple[int, int]) -> Path:
    """Three videos of frames that take as long to decode as real ones do; returns a picture."""
    height, width = size
    rng = np.random.default_rng(0)
    entries, tracks = {}, {}
    for number in range(3):
        video_id, names = f"LV-VIS/train/{number:05d}", [f"{i:05d}" for i in range(16)]
        folder = root / "JPEGImages" / video_id
        folder.mkdir(parents=True)
        for name in names:
            _photograph(rng, height, width).save(folder / f"{name}.jpg", quality=90)
        ids = [3000000 + 10 * number + i for i in range(3)]
        tracks |= {str(i): _blob(rng, len(names), height, width) for i in ids}
        meant = [[0], [1], [2], [0, 2]]
        expressions = {
            str(i): {"exp": "an object", "obj_id": objects, "anno_id": [ids[j] for j in objects], "type_id": 0}
            for i, objects in enumerate(meant)
        }
        entries[video_id] = {"height": height, "width": width, "frames": names, "expressions": expressions}
    (root / "meta_expressions_train_.json").write_text(json.dumps({"videos": entries}))
    (root / "mask_dict.json").write_text(json.dumps(tracks))
    return folder / "00000.jpg"


def _photograph(rng: np.random.Generator, height: int, width: int) -> Image.Image:
    """Noise with the 1/f spectrum of natural images, mostly the same in all three channels."""
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    frequency[0, 0] = 1
    channels = []
    for _ in range(4):
        spectrum = np.fft.rfft2(rng.normal(size=(height, width))) / frequency**1.6
        plane = np.fft.irfft2(spectrum, (height, width))
        channels.append((plane - plane.mean()) / plane.std())
    luma, *chroma = channels
    pixels = np.stack([128 + 45 * luma + 12 * plane for plane in chroma], axis=-1)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def _blob(rng: np.random.Generator, frames: int, height: int, width: int) -> list[dict]:
    """The track of an object with a wavy outline that wanders."""
    y, x = np.mgrid[:height, :width]
    centre, radius = rng.uniform(0.3, 0.7, 2) * (height, width), rng.uniform(0.12, 0.3) * height
    phases = rng.uniform(0, 6, 3)
    pixels = np.empty((frames, height, width), np.uint8)
    for i in range(frames):
        dy, dx = y - centre[0] - 2 * i * np.sin(phases[0]), x - centre[1] - 2 * i * np.cos(phases[0])
        angle = np.arctan2(dy, dx)
        outline = radius * (1 + 0.2 * np.sin(5 * angle + phases[1]) + 0.06 * np.sin(41 * angle + phases[2] + i))
        pixels[i] = dy * dy + dx * dx <= outline**2
    return list(MaskSequence.encode(pixels))


def load(root: Path, cache: Path) -> Dataset:
    return load_dataset(revos.NAME, data_dir=str(root), split="train", cache_dir=str(cache))


# --- loaders ----------------------------------------------------------------------------------------------------------


class Usual:
    """A clip as the public loaders make it; `read` gives a frame in the size wanted."""

    def __init__(self, root: Path, read: Callable[[str, tuple[int, int]], np.ndarray]) -> None:
        self.root, self.read = root, read
        with (root / "mask_dict.json").open() as file:
            self.masks = json.load(file)
        with (root / "meta_expressions_train_.json").open() as file:
            videos = json.load(file)["videos"]
        self.items = [
            (video_id, video, expression)
            for video_id, video in videos.items()
            for expression in video["expressions"].values()
        ]

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> dict:
        frames = self.items[index][1]["frames"]
        return self.clip(index, np.arange(NUM_FRAMES) * len(frames) // NUM_FRAMES)

    def clip(self, index: int, frames: np.ndarray) -> dict:
        import cv2

        video_id, video, expression = self.items[index]
        height, width = video["height"], video["width"]
        size = (round(width * SHORT_SIDE / min(height, width)), round(height * SHORT_SIDE / min(height, width)))
        pictures, masks = [], []
        for i in frames:
            path = os.path.join(self.root, "JPEGImages", video_id, video["frames"][i] + ".jpg")
            pictures.append(self.read(path, size))
            mask = np.zeros((height, width), np.uint8)
            for annotation_id in expression["anno_id"]:
                rle = self.masks[str(annotation_id)][i]
                if rle is not None:
                    mask |= coco.decode(rle)
            masks.append(cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST))
        return {"frames": np.stack(pictures), "masks": np.stack(masks)}


def read_opencv(path: str, size: tuple[int, int]) -> np.ndarray:
    import cv2

    return cv2.resize(cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2RGB), size, interpolation=cv2.INTER_LINEAR)


def read_pillow(path: str, size: tuple[int, int]) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB").resize(size, Image.Resampling.BILINEAR))


# --- speed ------------------------------------------------------------------------------------------------------------


def speed(folder: Path, rounds: int) -> None:
    lines = []
    for name, size in SIZES.items():
        root = folder / name
        picture = write_photographs(root, size)
        rows = load(root, folder / "cache")
        clips = rows.with_transform(Clips(NUM_FRAMES, size=SHORT_SIDE, training=False))
        drawn = [clips[i]["frame_indices"] for i in range(len(clips))]
        usual, pillow = Usual(root, read_opencv), Usual(root, read_pillow)
        bits = 8 * picture.stat().st_size / (size[0] * size[1])
        grid = _grid(size)
        times = _times(
            rounds,
            len(clips),
            {
                "ours": lambda i, clips=clips: clips[i],
                "usual": lambda i, usual=usual, drawn=drawn: usual.clip(i, drawn[i]),
                "Pillow": lambda i, pillow=pillow, drawn=drawn: pillow.clip(i, drawn[i]),
                "bound": lambda i, rows=rows, drawn=drawn, grid=grid: _only_decode(rows[i], drawn[i], grid),
                "row": lambda i, rows=rows: rows[i],
            },
        )
        lines.append(
            [
                f"{name}, {bits:.1f} bit/px",
                *(times[kind] for kind in ("ours", "usual", "Pillow", "bound", "row")),
                *(times[kind] / times["ours"] for kind in ("usual", "Pillow")),
                times["ours"] / times["bound"],
            ]
        )
    print(f"{NUM_FRAMES} frames to {SHORT_SIDE} on the short side, milliseconds a clip:")
    heads = [
        "",
        "ours",
        "usual",
        "Pillow",
        "decoding only",
        "reading the row only",
        "usual/ours",
        "Pillow/ours",
        "ours/decoding",
    ]
    print(tabulate(lines, heads, floatfmt=(*[".1f"] * 6, *[".2f"] * 3)), "\n")


def _grid(size: tuple[int, int]) -> frames.Grid:
    scale = SHORT_SIDE / min(size)
    return frames.Grid(*size, *(round(side * scale) for side in size))


def _only_decode(row: dict, indices: np.ndarray, grid: frames.Grid) -> None:
    """What no loader can do without: to read and decode the frames, at the fraction of their size that suffices."""
    for i in indices:
        frames.frame_of(row["frames"][i])._reduced(grid)


def _times(rounds: int, clips: int, loaders: dict[str, Callable[[int], object]]) -> dict[str, float]:
    """Median milliseconds a clip, by loader; loaders take turns."""
    times: dict[str, list[float]] = {name: [] for name in loaders}
    for turn in range(rounds + 1):
        for i in range(clips):
            for name, loader in loaders.items():
                start = time.perf_counter()
                loader(i)
                if turn:  # the first round warms up
                    times[name].append(1e3 * (time.perf_counter() - start))
    return {name: statistics.median(values) for name, values in times.items()}


# --- memory -----------------------------------------------------------------------------------------------------------


def memory(folder: Path, full_size: Path | None, workers: int) -> None:
    try:
        import torch  # noqa: F401
    except ImportError:
        print("memory of workers: torch is not installed")
        return
    root = write_real_scale(full_size or folder / "full")
    megabytes = (root / "mask_dict.json").stat().st_size / 1e6
    rows = load(root, folder / "cache")
    os.sync()  # pages of a file that is not on disk yet count as written by whoever maps them
    print(f"{len(rows):,} expressions, {megabytes:.0f} MB of masks, {workers} workers after 60 clips each:")
    ours = rows.with_transform(Clips(NUM_FRAMES, size=SHORT_SIDE, output="torch"))
    methods = ("fork", "forkserver", "spawn")
    lines = [[f"ours, {method}", *_workers(ours, collate, workers, method)] for method in methods]
    before = _own_memory(os.getpid())
    start = time.perf_counter()
    usual = Usual(root, read_opencv)
    loading, loaded = time.perf_counter() - start, _own_memory(os.getpid()) - before
    lines.append(["usual, fork", *_workers(usual, _stack, workers, "fork")])
    heads = ["", "own memory of a worker, MB", "of it batches on their way, MB", "first batch of one worker, s"]
    print(tabulate(lines, heads, floatfmt=".1f"))
    print(
        f"Parsing the masks takes the usual loader {loading:.1f} s and {loaded:.0f} MB, in each process where spawned."
    )


def _stack(clips: list[dict]) -> dict:
    import torch

    return {name: torch.from_numpy(np.stack([clip[name] for clip in clips])) for name in clips[0]}


def _workers(dataset, collate_fn: Callable, workers: int, method: str) -> tuple[float, float, float]:
    """Megabytes that a worker has to itself, those of them in batches, and seconds to the first batch of one worker."""
    from torch.utils.data import DataLoader

    options = {"collate_fn": collate_fn, "multiprocessing_context": method, "shuffle": True}
    start = time.perf_counter()
    first = iter(DataLoader(dataset, num_workers=1, **options))
    next(first)
    seconds = time.perf_counter() - start
    del first
    loader = iter(DataLoader(dataset, num_workers=workers, **options))
    for _ in range(60 * workers):
        next(loader)
    time.sleep(1)
    pids = [worker.pid for worker in loader._workers]
    own = statistics.median(_own_memory(pid) for pid in pids)
    batches = statistics.median(_own_memory(pid, "torch_") for pid in pids)
    del loader
    return own, batches, seconds


def _own_memory(pid: int, mapping: str = "") -> float:
    """Megabytes that a process has written and no other shares, of all mappings or of those named like `mapping`.

    Pages of a mapped file that it only read are left out: they are the page cache's, whoever maps them.
    """
    total, counts = 0, False
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        if not line.split()[0].endswith(":"):
            counts = mapping in line
        elif counts and line.startswith("Private_Dirty"):
            total += int(line.split()[1])
    return total / 1024


if __name__ == "__main__":
    main()
