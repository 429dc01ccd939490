"""What `predict` adds to a model, and what encoding a mask costs: beside `pycocotools` and a tree of PNGs, as is usual.

    python benchmarks/bench_predict.py [--frames 60] [--runs 3] [--model-ms 50] [--sleep]

Frames are 854x480, in three videos of seven expressions; masks have outlines like those of real objects. The model
takes no time, so that what is measured is what comes on top of one: finding and decoding frames, handing them out as
images, encoding, writing. It is CPU time, which says the same on a machine that others use. With --sleep the model
takes --model-ms a frame, and the whole is compared with a loop that does nothing else.
"""

import argparse
import multiprocessing
import os
import platform
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from pycocotools import mask as coco
from tabulate import tabulate

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from revoskit import MaskSequence, predict, write_miniature
from revoskit.inference.predict import Progress

HEIGHT, WIDTH = 480, 854


def outlines(frames: int) -> np.ndarray:
    """A blob with a wavy outline that moves to the right, bool (frames, HEIGHT, WIDTH)."""
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    masks = np.zeros((frames, HEIGHT, WIDTH), bool)
    for number in range(frames):
        down, right = y - HEIGHT / 2, x - 300 - 3 * number
        angle = np.arctan2(down, right)
        masks[number] = np.hypot(down, right) < 90 + 25 * np.sin(5 * angle) + 8 * np.sin(17 * angle)
    return masks


class Model:
    """Gives the same masks for every expression, having looked at every frame as an image."""

    def __init__(self, masks: np.ndarray, seconds: float) -> None:
        self.masks, self.seconds, self.frames = masks, seconds, 0

    def __call__(self, frames, text: str, row: dict) -> np.ndarray:
        self.frames += sum(image.size[0] > 0 for image in frames.images())
        time.sleep(self.seconds * len(frames))
        shape = (len(frames), row["height"], row["width"])
        return self.masks[: len(frames)] if self.masks.shape[1:] == shape[1:] else np.zeros(shape, bool)


def usual_rles(masks: np.ndarray) -> None:
    for mask in masks:
        coco.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()


def usual_pngs(masks: np.ndarray) -> None:
    for mask in masks:
        cv2.imencode(".png", mask.astype(np.uint8) * 255)


def median_of(runs: int, way, *arguments) -> float:
    taken = []
    for _ in range(runs):
        start = time.process_time()
        way(*arguments)
        taken.append(time.process_time() - start)
    return statistics.median(taken)


def encoding(runs: int) -> list[tuple]:
    """Milliseconds for a mask, each way."""
    masks = outlines(24)
    ways = {"revoskit": MaskSequence.encode, "pycocotools, RLE": usual_rles, "OpenCV, PNG": usual_pngs}
    return [(name, 1000 * median_of(runs, way, masks) / len(masks)) for name, way in ways.items()]


def added(root: Path, folder: Path, frames: int, run: int, seconds: float) -> tuple[float, int]:
    """Seconds that predicting the split takes, and for how many frames; of CPU where the model takes none."""
    model = Model(outlines(frames), seconds)
    seen: list[Progress] = []
    clock = time.perf_counter if seconds else time.process_time
    start = clock()
    report = predict(model, root, output=folder / f"{run}-{seconds}", progress=seen.append)
    taken = clock() - start
    assert report.mine.left == report.mine.failed == 0
    assert model.frames == report.mine.frames == seen[-1].frames_done
    return taken, report.mine.frames


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=60, help="of a video")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--model-ms", type=float, default=50, help="that a model takes for a frame")
    parser.add_argument("--sleep", action="store_true", help="let the model take that long: slow")
    args = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, {args.runs} runs each, medians")
    print(tabulate(encoding(args.runs), ["a mask of 854x480, encoded by", "ms"], floatfmt=(None, ".3f")))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        root = folder / "ReVOS"
        sizes = {"videos": 6, "frames": args.frames, "height": HEIGHT, "width": WIDTH}
        writer = multiprocessing.get_context("fork").Process(target=write_miniature, args=(root,), kwargs=sizes)
        writer.start()  # of its own, so that its memory is not counted
        writer.join()
        outlines(args.frames)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        found = [added(root, folder, args.frames, run, 0.0) for run in range(args.runs)]
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        frames = found[0][1]
        per_frame = 1000 * statistics.median(taken for taken, _ in found) / frames
        share = 100 * per_frame / args.model_ms
        print(f"\n{frames:,} frames predicted: {per_frame:.3f} ms a frame on top of the model, {share:.2f} % of")
        print(f"{args.model_ms:g} ms. Memory grew by {grown / 1024:.0f} MB; a video of frames takes ", end="")
        print(
            f"{args.frames * HEIGHT * WIDTH * 3 / 2**20:.0f} MB, and as many again while they are handed out as images."
        )
        if args.sleep:
            alone = args.model_ms / 1000 * frames
            taken, _ = added(root, folder, args.frames, -1, args.model_ms / 1000)
            print(f"With a model that takes so long: {100 * (taken / alone - 1):.2f} % more than the model alone.")


if __name__ == "__main__":
    main()
