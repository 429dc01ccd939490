"""How long the gallery's page takes to write at the validation split's real size, and how much memory.

    python benchmarks/bench_gallery.py [--videos 416] [--frames 60] [--runs 3]

Writes annotations of 416 videos x 13 expressions (outlines as ragged as annotated ones, 854x480, no frames) and
predictions for all of them, then the page: without predictions, and with them, where J and F are measured too. Beside
it the usual way: a PNG of each mask, as a page without a decoder needs, on some of the videos and scaled up.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from revoskit.dataset.annotations import open_annotations
from revoskit.dataset.layout import EXPRESSIONS, TRACKS, Layout
from revoskit.looking.gallery import write_gallery
from revoskit.masks.rle import MaskSequence

HEIGHT, WIDTH = 480, 854
TRACKS_A_VIDEO, EXPRESSIONS_A_VIDEO = 4, 13
SAMPLE = 3  # videos on which the usual way is tried


def ragged(rng: np.random.Generator, frames: int) -> list[dict]:
    """The masks of a blob with an outline of many waves, which moves and breathes."""
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    centre = rng.uniform(0.25, 0.75, 2) * (HEIGHT, WIDTH)
    step = rng.uniform(-2, 2, 2)
    size = rng.uniform(40, 110)
    turns = np.linspace(-np.pi, np.pi, 2000)
    waves = [(n, rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.5) / n) for n in range(2, 40)]
    masks = []
    for t in range(frames):
        dy, dx = y - centre[0] - t * step[0], x - centre[1] - t * step[1]
        radius = size * (1 + sum(high * np.sin(n * turns + phase + t / 9) for n, phase, high in waves))
        place = ((np.arctan2(dy, dx) + np.pi) * (len(turns) - 1) / (2 * np.pi)).astype(int)
        masks += MaskSequence.encode((np.hypot(dy, dx) <= radius[place])[None])
    return masks


def write_dataset(root: Path, videos: int, frames: int, expressions_a_video: int = EXPRESSIONS_A_VIDEO) -> Path:
    """Annotations under `root`, and predictions in the file that is returned: the tracks, some frames late."""
    rng = np.random.default_rng(0)
    pool = [ragged(rng, frames) for _ in range(12)]
    tracks, entries, predictions = {}, {}, {}
    for number in range(videos):
        video_id = f"{('LV-VIS', 'OVIS', 'MOSE', 'TAO', 'UVO', 'MeViS')[number % 6]}/train/{number:05d}"
        ids = [1000 * number + i for i in range(TRACKS_A_VIDEO)]
        chosen = [pool[rng.integers(len(pool))] for _ in ids]
        tracks |= {str(i): masks for i, masks in zip(ids, chosen, strict=True)}
        expressions, predicted = {}, {}
        for e in range(expressions_a_video):
            named = sorted({int(i) for i in rng.integers(0, TRACKS_A_VIDEO, 1 + e % 2)})
            expressions[str(e)] = {
                "exp": f"expression {e} of a video that is made for measuring",
                "obj_id": named,
                "anno_id": [ids[i] for i in named],
                "type_id": e % 2,
            }
            late = e % 5
            predicted[str(e)] = (
                chosen[named[0]][-late:] + chosen[named[0]][: frames - late] if late else chosen[named[0]]
            )
        entries[video_id] = {
            "vid_id": number,
            "height": HEIGHT,
            "width": WIDTH,
            "frames": [f"{t:05d}" for t in range(frames)],
            "expressions": expressions,
        }
        predictions[video_id] = predicted
    (root / TRACKS).write_text(json.dumps(tracks))
    (root / EXPRESSIONS["validation"]).write_text(json.dumps({"videos": entries}))
    path = root / "predictions.json"
    path.write_text(json.dumps(predictions))
    return path


def png_of_each_mask(layout: Layout, folder: Path) -> int:
    """The usual way: each expression's masks as pictures. Returns how many videos were done."""
    annotations = open_annotations(layout, "validation")
    done = list(annotations)[:SAMPLE]
    for video in done:
        masks = annotations.masks(video)
        for expression in video.expressions:
            place = folder / video.video_id / expression.expression_id
            place.mkdir(parents=True, exist_ok=True)
            for name, mask in zip(video.frame_names, masks.of(expression).decode(), strict=True):
                Image.fromarray(mask * np.uint8(255)).save(place / f"{name}.png")
    return len(done)


def timed(runs: int, work: Callable[[], object]) -> float:
    """Seconds, the median of several runs."""
    taken = []
    for _ in range(runs):
        begin = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begin)
    return statistics.median(taken)


def cpu() -> float:
    """Seconds that processors have worked for this process and its children: on a busy machine, the truer figure."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def peak(who: int) -> float:
    """MB of memory at most, of this process or of the largest of its children."""
    return resource.getrusage(who).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=416)
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--num-proc", type=int, default=2)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        predictions = write_dataset(root, args.videos, args.frames)
        layout = Layout.at(root)
        print(f"{platform.machine()}, {args.num_proc} processes, Python {platform.python_version()}")
        print(f"{args.videos} videos x {EXPRESSIONS_A_VIDEO} expressions x {args.frames} frames of {WIDTH}x{HEIGHT}; ")
        for path in (layout.split("validation").tracks, predictions):
            print(f"  {path.name}: {path.stat().st_size / 1e6:.0f} MB")
        sample = timed(1, lambda: png_of_each_mask(layout, root / "png"))
        usual = sample * args.videos / min(SAMPLE, args.videos) / args.num_proc
        print(f"a PNG of each true mask, {SAMPLE} videos scaled to all, on all cores: {usual:6.1f} s")
        for title, given in [("the page", None), ("the page with predictions, J and F", predictions)]:
            page = root / ("with" if given else "without")

            def write(page: Path = page, given: Path | None = given) -> None:
                write_gallery(layout, "validation", page, predictions=given, num_proc=args.num_proc)

            before = cpu()
            seconds = timed(args.runs, write)
            worked = (cpu() - before) / args.runs
            size = sum(path.stat().st_size for path in page.rglob("*") if path.is_file()) / 1e6
            largest = max(path.stat().st_size for path in (page / "data" / "videos").rglob("*.js")) / 1e6
            print(
                f"{title}: {seconds:6.1f} s ({worked:.1f} s of processor time), {seconds / usual:.3f} of the usual way"
            )
            print(f"  {size:.0f} MB in all, {largest:.2f} MB for the largest video")
            print(f"  peak memory so far: largest worker {peak(resource.RUSAGE_CHILDREN):.0f} MB")


if __name__ == "__main__":
    main()
