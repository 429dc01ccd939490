"""Unpacking many small frames: ours beside `unzip`, and beside Python's own `zipfile`, from the same archive.

    python benchmarks/bench_unpack.py [--members 100000] [--runs 3] [--folder /a/disk]

The archive holds members of 1 to 8 kB in folders of 100, compressed as `zip` does it by default.
"""

import argparse
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

from tabulate import tabulate

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from revoskit.dataset.layout import FRAMES_ARCHIVE, FRAMES_FOLDER, Layout
from revoskit.getting import unpack


def write_archive(path: Path, members: int) -> int:
    """Members that compress about as badly as JPEGs do; returns the bytes in all of them."""
    rng = random.Random(0)
    total = 0
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for i in range(members):
            content = rng.randbytes(rng.randrange(1000, 8000))
            archive.writestr(f"LV-VIS/train/{i // 100:05d}/{i % 100:05d}.jpg", content)
            total += len(content)
    return total


def ours(root: Path) -> None:
    done = unpack.unpack(Layout.at(root))
    assert not done.damaged


def ours_on_one_core(root: Path) -> None:
    unpack.unpack(Layout.at(root), num_proc=1)


def by_unzip(root: Path) -> None:
    subprocess.run(["unzip", "-q", "-d", root / FRAMES_FOLDER, root / FRAMES_ARCHIVE], check=True)


def by_zipfile(root: Path) -> None:
    with zipfile.ZipFile(root / FRAMES_ARCHIVE) as archive:
        archive.extractall(root / FRAMES_FOLDER)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--members", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--folder", type=Path)
    args = parser.parse_args()
    ways = {"revoskit": ours, "revoskit, one process": ours_on_one_core, "zipfile.extractall": by_zipfile}
    if shutil.which("unzip"):
        ways = {"unzip": by_unzip, **ways}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    again: list[float] = []
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        root = Path(folder)
        size = write_archive(root / FRAMES_ARCHIVE, args.members)
        for _ in range(args.runs):
            for name, way in ways.items():
                shutil.rmtree(root / FRAMES_FOLDER, ignore_errors=True)
                start = time.perf_counter()
                way(root)
                seconds[name].append(time.perf_counter() - start)
                assert sum(len(files) for _, _, files in os.walk(root / FRAMES_FOLDER)) == args.members
            start = time.perf_counter()
            ours(root)
            again.append(time.perf_counter() - start)
    print(
        f"{args.members:,} members, {size:,} bytes; {platform.machine()}, {os.cpu_count()} cores, {args.runs} runs each"
    )
    first = statistics.median(next(iter(seconds.values())))
    rows = [(name, statistics.median(taken), statistics.median(taken) / first) for name, taken in seconds.items()]
    rows.append(("revoskit, all there already", statistics.median(again), statistics.median(again) / first))
    print(tabulate(rows, ["way", "seconds (median)", f"of {next(iter(seconds))}"], floatfmt=(None, ".2f", ".2f")))


if __name__ == "__main__":
    main()
