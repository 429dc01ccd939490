"""How often 95 % intervals hold the truth, resampling videos and resampling expressions, and what they cost.

Simulated benchmarks, in which the expressions of one video are alike as those of a real one are: the true difference
of the two methods is known, and each interval is held against it.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from simulated_benchmark import TRUE_DIFFERENCE, simulate

from revoskit.scoring.significance import RESAMPLES, VideoResampling


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--benchmarks", type=int, default=400)
    parser.add_argument("--videos", type=int, nargs="+", default=[20, 60])
    parser.add_argument("--resamples", type=int, default=500)
    args = parser.parse_args()
    print(f"{args.benchmarks} benchmarks, {args.resamples} resamples; the true difference is {TRUE_DIFFERENCE}")
    print(f"{'videos':>8}{'by video':>12}{'by expression':>16}   (share of intervals that hold it)")
    for videos in args.videos:
        held = np.zeros(2)
        for seed in range(args.benchmarks):
            scores, video, groups = simulate(seed, videos)
            for number, units in enumerate((video, np.arange(len(video)))):
                found = VideoResampling(scores, units, groups, resamples=args.resamples, seed=seed)
                difference = found.difference("overall", 0, 1, 0)
                held[number] += difference.low <= TRUE_DIFFERENCE <= difference.high
        by_video, by_expression = held / args.benchmarks
        print(f"{videos:>8}{by_video:>12.1%}{by_expression:>16.1%}", flush=True)
    print_cost()


def print_cost() -> None:
    """As many videos and measures as the validation split has."""
    scores, video, groups = simulate(0, 416)
    scores = np.repeat(scores, 5, axis=2)
    begun = time.perf_counter()
    found = VideoResampling(scores, video, groups)
    for row in found.rows:
        for measure in range(5):
            for method in (0, 1):
                found.mean(row, method, measure)
            found.difference(row, 0, 1, measure)
    seconds = time.perf_counter() - begun
    print(f"two methods, 416 videos, {len(video):,} expressions, {RESAMPLES:,} resamples: {seconds:.2f} s")


if __name__ == "__main__":
    main()
