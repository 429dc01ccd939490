"""How building `expressions` grows with the dataset: ours beside the plain builder, at parts and multiples of its size.

    python benchmarks/bench_growth.py [--sizes 0.25 0.5 1 2] [--plot FILE]

At each size there are so many times the videos, expressions, tracks and masks of the real dataset, as `real_scale.py`
makes them. Every build runs in a fresh process with an empty cache; seconds are of the processor, and the memory is
what the process has of its own. `--plot` needs matplotlib.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

import bench_load
from machine import machine
from real_scale import EXPRESSION_COUNT, VIDEOS, write
from tabulate import tabulate

from revoskit.dataset.layout import TRACKS


class Built(NamedTuple):
    """What a build took."""

    size: float
    mask_mb: float
    builder: str
    seconds: float
    memory_mb: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=float, nargs="+", default=[0.25, 0.5, 1, 2])
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw it, as .svg or .png")
    args = parser.parse_args()
    built = [one for size in args.sizes for one in measured(size)]
    print(machine())
    headers = ["times the real size", "expressions", "MB of masks", "builder", "CPU seconds", "MB of its own"]
    rows = [
        [f"{b.size:g}", f"{b.size * EXPRESSION_COUNT:,.0f}", f"{b.mask_mb:.0f}", b.builder]
        + [f"{b.seconds:.0f}", f"{b.memory_mb:,.0f}"]
        for b in built
    ]
    print(tabulate(rows, headers, disable_numparse=True))
    if args.plot:
        draw(built, args.plot)


def measured(size: float) -> list[Built]:
    """Both builders at so many times the real size."""
    videos = {split: round(count * size) for split, count in VIDEOS.items()}
    found = []
    with tempfile.TemporaryDirectory() as folder:
        root = write(Path(folder) / "ReVOS", videos)
        mask_mb = (root / TRACKS).stat().st_size / 1e6
        for builder in ("plain", "ours"):
            before, cache = _seconds_of_children(), Path(folder) / builder
            _, memory, _ = bench_load.measure("build", builder, "expressions", str(root), str(cache), "1")
            found.append(Built(size, mask_mb, builder, _seconds_of_children() - before, memory))
            shutil.rmtree(cache)
    return found


def _seconds_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def draw(built: list[Built], path: Path) -> None:
    """Seconds and memory over the size, a line for each builder."""
    from matplotlib.figure import Figure  # not among the extras: only this picture needs it

    figure = Figure(figsize=(8, 3), layout="constrained")
    axes = figure.subplots(1, 2)
    for builder, colour in (("plain", "#d55e00"), ("ours", "#0072b2")):
        some = [b for b in built if b.builder == builder]
        sizes = [b.size for b in some]
        axes[0].plot(sizes, [b.seconds for b in some], "o-", color=colour, label=builder)
        axes[1].plot(sizes, [b.memory_mb for b in some], "o-", color=colour, label=builder)
    for ax, title in zip(axes, ("CPU seconds to build expressions", "MB of the process's own"), strict=True):
        ax.set(title=title, xlabel="times the real size", xlim=(0, None), ylim=(0, None))
        ax.grid(alpha=0.3)
        ax.legend()
    figure.savefig(path)


if __name__ == "__main__":
    main()
