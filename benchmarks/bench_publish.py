"""Writes shards beside copying the same bytes with `cp`: on the same disk, in turns, in the same run.

    python benchmarks/bench_publish.py [FOLDER] [--videos 24] [--frames 90] [--frame-bytes 500000] [--rounds 5]
    python benchmarks/bench_publish.py --full-size DATA --rounds 3    # rows without frames, at the real size

The real dataset has about 46 MB of frames a video. Frames here are JPEGs padded to the size asked for, each a file of
its own; masks are blobs with outlines as ragged as real ones. The speed of copying the frames file by file is 100 %:
the same bytes are read, and written. Copying finished shards, a few large files, is what no writer of them can reach.
"""

from __future__ import annotations

import argparse
import functools
import json
import multiprocessing
import os
import random
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
from machine import machine
from PIL import Image
from real_scale import write as write_real_scale
from tabulate import tabulate

import revos
from revoskit.dataset.annotations import open_annotations
from revoskit.dataset.layout import EXPRESSIONS, FOREGROUND, FRAMES_FOLDER, TRACKS, Layout
from revoskit.masks.rle import MaskSequence
from revoskit.publishing import publish
from revoskit.publishing.shards import Content, Shard, write_shard

HEIGHT, WIDTH = 1080, 1920
END_OF_JPEG = b"\xff\xd9"
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
            (folder / f"{name}.jpg").write_bytes(jpeg + rng.bytes(max(0, frame_bytes - len(jpeg) - 2)) + END_OF_JPEG)
        ids = [1000 * number + i for i in range(TRACKS_PER_VIDEO)]
        for i in ids:
            start = int(rng.integers(len(pool)))
            tracks[str(i)] = [pool[(start + frame) % len(pool)] for frame in range(frames)]
        expressions = _expressions(rng, ids)
        named = {i for expression in expressions.values() for i in expression["anno_id"]}
        of_tracks = [MaskSequence.parse(tracks[str(i)], HEIGHT, WIDTH) for i in sorted(named)]
        united = MaskSequence.empty(frames, HEIGHT, WIDTH).union(*of_tracks)
        ratios = (united.areas() / (HEIGHT * WIDTH)).tolist()
        foreground[video_id] = {"masks_rle": list(united), "foreground_ratio": ratios}
        entries[video_id] = {"height": HEIGHT, "width": WIDTH, "frames": names, "expressions": expressions}
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


class Way(NamedTuple):
    """What a turn starts from and what it includes."""

    name: str
    from_disk: bool
    """What is read is not in the page cache beforehand."""
    to_disk: bool
    """The time includes writing to the disk what is still in the page cache."""


WAYS = [Way("cache to cache", False, False), Way("cache to disk", False, True), Way("disk to disk", True, True)]


class Turn(NamedTuple):
    """Something to be timed: what it does with a new folder, and what it reads."""

    action: Callable[[Path], object]
    source: Path
    many_files: bool = False


def timed(turn: Turn, way: Way, scratch: Path) -> float:
    """Seconds by the clock, of the second time in a row: in a long run, memory has been used before."""
    for _ in range(2):
        target = Path(tempfile.mkdtemp(dir=scratch))
        if way.from_disk:
            forget(turn.source)
        os.sync()
        start = time.perf_counter()
        turn.action(target)
        if way.to_disk:
            os.sync()
        seconds = time.perf_counter() - start
        os.sync()
        forget(target)  # gives the memory back, so that the next turn finds as much as this one
        if not turn.many_files:  # for minutes after deleting them, ext4 is slow at making as many new ones
            shutil.rmtree(target)
    return seconds


def forget(folder: Path) -> None:
    """Take what lies in a folder out of the page cache."""
    for path in folder.rglob("*"):
        if path.is_file():
            file = os.open(path, os.O_RDONLY)
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(file)


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
    write_shard(shard, layout, layout.annotation_state(), folder, Content())
    answer.send(_peak() - before)


def _peak() -> int:
    """The most memory that this process has had, pages of mapped files included."""
    return int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024


def compare(scratch: Path, args: argparse.Namespace) -> None:
    layout = Layout.at(scratch / "ReVOS")
    frame_bytes = write_dataset(layout.root, args.videos, args.frames, args.frame_bytes)
    plan = publish.make_plan(layout)
    small = publish.make_plan(layout, shard_bytes=frame_bytes // 4, configs=["videos"])
    videos = [shard for shard in plan.shards if shard.config == "videos"]
    expressions = [shard for shard in plan.shards if shard.config == "expressions"]
    frames, shards = layout.root / FRAMES_FOLDER, scratch / "shards"

    def write(some: list[Shard], folder: Path) -> None:
        for shard in some:
            write_shard(shard, layout, layout.annotation_state(), folder, Content())

    def write_all(num_proc: int, folder: Path) -> None:
        publish.publish(layout, folder, small, revos.Revos(data_dir=None).info, num_proc=num_proc)

    def copy(source: Path, folder: Path) -> None:
        subprocess.run(["cp", "-r", source, folder], check=True)

    write(videos, shards)
    turns = {
        "cp -r of the frames": Turn(functools.partial(copy, frames), frames, many_files=True),
        "shards of videos": Turn(functools.partial(write, videos), frames),
        "cp -r of these shards": Turn(functools.partial(copy, shards), shards),
        "publish videos, 1 process": Turn(functools.partial(write_all, 1), frames),
        "publish videos, 2 processes": Turn(functools.partial(write_all, 2), frames),
        "shards of expressions": Turn(functools.partial(write, expressions), layout.root),
    }
    times: dict[tuple[str, Way], list[float]] = {(name, way): [] for name in turns for way in WAYS}
    order, rng = list(times), random.Random(0)
    for _ in range(args.rounds):
        rng.shuffle(order)  # for seconds after making thousands of files, whatever comes next is slower
        for name, way in order:
            times[name, way].append(timed(turns[name], way, scratch))
    print(f"{args.videos} videos, {frame_bytes / args.videos / 1e6:.1f} MB of frames each; {args.rounds} rounds")
    for title, middle in [("median", statistics.median), ("least, in which nothing else had a part", min)]:
        print(f"\n{title}\n{_table({key: 1000 * middle(some) / args.videos for key, some in times.items()})}")
    start = time.perf_counter()
    publish.make_plan(layout)
    print(f"\nThe plan: {1000 * (time.perf_counter() - start) / args.videos:.2f} ms a video")
    for one in (videos[0], expressions[0]):
        print(f"Memory for a shard of {one.config}: {peak_memory(one, layout, scratch / 'alone') / 1e6:.0f} MB")


def without_frames(scratch: Path, layout: Layout, rounds: int) -> None:
    """What rows without frames take, on data as long as the real ones."""
    content, rows = Content(frames="none"), []
    plan, state = publish.make_plan(layout, content=content), layout.annotation_state()
    for config in plan.configs:
        shards = [shard for shard in plan.shards if shard.config == config]
        videos = sum(len(shard.video_ids) for shard in shards)
        times = []
        for turn in range(rounds):
            start = time.perf_counter()
            for shard in shards:
                write_shard(shard, layout, state, scratch / str(turn), content)
            times.append(1000 * (time.perf_counter() - start) / videos)
        size = sum(path.stat().st_size for path in (scratch / "0" / config).iterdir()) / 1e6
        rows.append([config, f"{statistics.median(times):.1f}", f"{size / videos:.2f}", f"{size:,.0f}"])
    print(f"{videos:,} videos without frames, one process, median of {rounds} rounds")
    print(tabulate(rows, ["config", "ms a video", "MB a video", "MB in all"], disable_numparse=True))


def _table(times: dict[tuple[str, Way], float]) -> str:
    rows = []
    for name in dict.fromkeys(name for name, _ in times):
        row = [name]
        for way in WAYS:
            usual, ours = times["cp -r of the frames", way], times[name, way]
            row.append(f"{ours:.1f}")
            row.append(f"{usual / ours:.0%}" if name != "shards of expressions" else "")  # which hold no frames
        rows.append(row)
    headers = ["ms a video, and speed"] + [text for way in WAYS for text in (way.name, "")]
    return tabulate(rows, headers, colalign=("left", *["right"] * 6), disable_numparse=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", help="on the disk to measure (default: a temporary one)")
    parser.add_argument("--videos", type=int, default=24)
    parser.add_argument("--frames", type=int, default=90)
    parser.add_argument("--frame-bytes", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--full-size", type=Path, metavar="DATA", help="the same without frames, of what real_scale.py wrote"
    )
    args = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory(dir=args.folder) as scratch:
        if args.full_size:
            without_frames(Path(scratch), Layout.at(write_real_scale(args.full_size)), args.rounds)
        else:
            compare(Path(scratch), args)


if __name__ == "__main__":
    main()
