"""Writes shards beside copying the same bytes with `cp`: on the same disk, in turns, in the same run.

    python benchmarks/bench_publish.py [FOLDER] [--videos 24] [--frames 90] [--frame-bytes 500000] [--rounds 5]

The real dataset has about 46 MB of frames a video. Frames here are JPEGs padded to the size asked for, each a file of
its own; masks are blobs with outlines as ragged as real ones. All speeds are bytes of frames per second, so that equal
work has equal speed. Everything lies in the page cache, and what is not on disk yet is written before each turn.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import re
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from tabulate import tabulate

import revos
from revoskit import publish
from revoskit.annotations import open_annotations
from revoskit.layout import EXPRESSIONS, FOREGROUND, FRAMES_FOLDER, TRACKS, Layout
from revoskit.rle import MaskSequence
from revoskit.shards import Content, Shard, write_shard

HEIGHT, WIDTH = 1080, 1920
TRACKS_PER_VIDEO, EXPRESSIONS_PER_VIDEO = 8, 34  # as in the real dataset, on average


def write_dataset(root: Path, videos: int, frames: int, frame_bytes: int) -> int:
    """A dataset of one split; returns the bytes of its frames."""
    rng = np.random.default_rng(0)
    jpeg = _jpeg(rng, root)
    pool = _masks(rng)
    names = [f"{i:05d}" for i in range(frames)]
    entries, tracks, foreground = {}, {}, {}
    for number in range(videos):
        video_id = f"TAO/train/{number:08x}"
        folder = root / FRAMES_FOLDER / video_id
        folder.mkdir(parents=True)
        for name in names:
            (folder / f"{name}.jpg").write_bytes(jpeg + rng.bytes(max(0, frame_bytes - len(jpeg))))
        ids = [1000 * number + i for i in range(TRACKS_PER_VIDEO)]
        for i in ids:
            start = int(rng.integers(len(pool)))
            tracks[str(i)] = [pool[(start + frame) % len(pool)] for frame in range(frames)]
        foreground[video_id] = {"masks_rle": pool[:frames], "foreground_ratio": [0.1] * frames}
        entries[video_id] = {"height": HEIGHT, "width": WIDTH, "frames": names, "expressions": _expressions(rng, ids)}
    (root / EXPRESSIONS["train"]).write_text(json.dumps({"videos": entries}))
    (root / FOREGROUND).write_text(json.dumps(foreground))
    (root / TRACKS).write_text(json.dumps(tracks))
    return sum(path.stat().st_size for path in root.rglob("*.jpg"))


def _jpeg(rng: np.random.Generator, root: Path) -> bytes:
    root.mkdir(parents=True)
    path = root / "one.jpeg"
    Image.fromarray(rng.integers(0, 255, (12, 20, 3), np.uint8)).resize((WIDTH, HEIGHT)).save(path, quality=80)
    return path.read_bytes()


def _masks(rng: np.random.Generator, count: int = 400) -> list[dict]:
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    pool = []
    for _ in range(count):
        cy, cx = rng.uniform(200, HEIGHT - 200), rng.uniform(300, WIDTH - 300)
        outline = rng.uniform(60, 200) * (1 + 0.1 * np.sin(np.arctan2(y - cy, x - cx) * rng.integers(3, 9)))
        pool += MaskSequence.encode((np.hypot(y - cy, x - cx) < outline)[None])
    return pool


def _expressions(rng: np.random.Generator, ids: list[int]) -> dict[str, dict]:
    found = {}
    for i in range(EXPRESSIONS_PER_VIDEO):
        objects = sorted(rng.choice(len(ids), rng.choice([1, 2, 3], p=[0.8, 0.12, 0.08]), replace=False).tolist())
        text = f"the object that somebody would reach for first, in the {i}th way of saying so"
        found[str(i)] = {"exp": text, "obj_id": objects, "anno_id": [ids[j] for j in objects], "type_id": i % 2}
    return found


class Cost(NamedTuple):
    """Seconds by the clock, and of work by all processes: a machine that others use stretches the first."""

    clock: float
    work: float


def timed(action: Callable[[], object]) -> Cost:
    os.sync()
    start, before = time.perf_counter(), os.times()
    action()
    after = os.times()
    return Cost(time.perf_counter() - start, sum(after[:4]) - sum(before[:4]))


def peak_memory(shard: Shard, layout: Layout, folder: Path) -> int:
    """Bytes that a new process needs to write a shard, beyond what it has when the annotations are open."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_write_alone, args=(shard, layout, folder, theirs))
    process.start()
    process.join()
    return ours.recv()


def _write_alone(shard: Shard, layout: Layout, folder: Path, answer: Connection) -> None:
    annotations = open_annotations(layout, shard.split)
    annotations.masks(annotations.video(shard.video_ids[0])).foreground()
    before = _peak()
    write_shard(shard, layout, folder, Content())
    answer.send(_peak() - before)


def _peak() -> int:
    """The most memory that this process has had, pages of mapped files included."""
    return int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024


def compare(scratch: Path, args: argparse.Namespace) -> None:
    layout = Layout.at(scratch / "ReVOS")
    frame_bytes = write_dataset(layout.root, args.videos, args.frames, args.frame_bytes)
    plan = publish.make_plan(layout)
    small = publish.make_plan(layout, shard_bytes=frame_bytes // 8, configs=["videos"])
    videos = [shard for shard in plan.shards if shard.config == "videos"]
    expressions = [shard for shard in plan.shards if shard.config == "expressions"]
    shards, copied = scratch / "shards", scratch / "copied"

    def write(some: list[Shard]) -> Cost:
        shutil.rmtree(shards, ignore_errors=True)
        return timed(lambda: [write_shard(shard, layout, shards, Content()) for shard in some])

    def write_all(num_proc: int) -> Cost:
        shutil.rmtree(shards, ignore_errors=True)
        about = revos.Revos(data_dir=None).info
        return timed(lambda: publish.publish(layout, shards, small, about, num_proc=num_proc))

    def copy(source: Path) -> Cost:
        shutil.rmtree(copied, ignore_errors=True)
        return timed(lambda: subprocess.run(["cp", "-r", source, copied], check=True))

    turns = {
        "cp -r of the frames": lambda: copy(layout.root / FRAMES_FOLDER),
        "shards of videos": lambda: write(videos),
        "cp -r of these shards": lambda: copy(shards),
        "shards of expressions": lambda: write(expressions),
        "publish videos, 1 process": lambda: write_all(1),
        "publish videos, 2 processes": lambda: write_all(2),
    }
    for turn in turns.values():
        turn()  # once without counting: everything is then in the page cache, and every module loaded
    times: dict[str, list[Cost]] = {name: [] for name in turns}
    for _ in range(args.rounds):
        for name, turn in turns.items():
            times[name].append(turn())
    print(f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}")
    print(f"{args.videos} videos, {frame_bytes / args.videos / 1e6:.1f} MB of frames each; medians of {args.rounds}")
    usual = median(times["cp -r of the frames"])
    rows = []
    for name, costs in times.items():
        cost = median(costs)
        row = [name, 1000 * cost.clock / args.videos, 1000 * cost.work / args.videos]
        if name != "shards of expressions":  # which hold no frames
            row += [
                f"{frame_bytes / cost.clock / 1e6:,.0f}",
                f"{usual.clock / cost.clock:.0%}",
                f"{usual.work / cost.work:.0%}",
            ]
        rows.append(row)
    headers = ["", "ms a video", "of work", "MB/s", "speed, cp -r = 100 %", "by work"]
    print(tabulate(rows, headers, floatfmt=".1f", colalign=("left", *["right"] * 5)))
    print(f"The plan: {1000 * timed(lambda: publish.make_plan(layout)).clock / args.videos:.2f} ms a video")
    for one in (videos[0], expressions[0]):
        print(f"Memory for a shard of {one.config}: {peak_memory(one, layout, scratch / 'alone') / 1e6:.0f} MB")


def median(costs: list[Cost]) -> Cost:
    return Cost(*(statistics.median(numbers) for numbers in zip(*costs, strict=True)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", help="on the disk to measure (default: a temporary one)")
    parser.add_argument("--videos", type=int, default=24)
    parser.add_argument("--frames", type=int, default=90)
    parser.add_argument("--frame-bytes", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as scratch:
        compare(Path(scratch), args)


if __name__ == "__main__":
    main()
