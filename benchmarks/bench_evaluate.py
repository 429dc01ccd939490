"""How long it takes to score predictions: revoskit beside the usual way, on one core, in one run, to the same numbers.

    python benchmarks/bench_evaluate.py [--frames 24] [--videos 2] [--height 480] [--width 854] [--repeats 5]
    python benchmarks/bench_evaluate.py --whole [--folder FOLDER] [--repeats 3] [--ours]

The usual way is what evaluators of video object segmentation do: for each expression, every mask of the ground truth
and of the prediction is decoded to a full frame, one at a time, and both boundaries are dilated with `cv2.dilate` and a
disk. Predictions are shifted copies of the truth, as PNGs written by Pillow and by OpenCV, and as RLEs. It also prints
what the ways to dilate cost, on which the choice in `revoskit/masks/packed.py` rests, and (on Linux) the memory
that a worker takes at most for few and for many videos of the real dataset's size.

With --whole, what a person waits for: `revoskit evaluate --num-proc 2` as a command, from its start to its end, beside
the usual way on two processes; 6,800 expression-frames at 480p, seconds by the clock and CPU seconds of all processes.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import real_scale
from PIL import Image
from pycocotools import mask as coco

from revoskit.dataset.annotations import Annotations, open_annotations
from revoskit.dataset.layout import Layout
from revoskit.dataset.records import Video
from revoskit.masks.packed import pack
from revoskit.masks.rle import MaskSequence
from revoskit.miniature import write_miniature
from revoskit.scoring import measures
from revoskit.scoring.evaluate import evaluate

SPLIT = "validation"
KINDS = {"PNG by Pillow": "pillow", "PNG by OpenCV": "opencv", "RLE": "rles.json"}
WHOLE = {"videos": 8, "expressions": 13}  # of each video; some 65 frames each


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=int, default=2, help="of the validation split")
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--height", type=int, default=480)
    parser.add_argument("--width", type=int, default=854)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--whole", action="store_true", help="whole processes, from start to end")
    parser.add_argument("--folder", type=Path, help="with --whole: keep the data here, and use what is here")
    parser.add_argument("--ours", action="store_true", help="with --whole: leave the usual way out")
    parser.add_argument("--kind", choices=KINDS, action="append", help="with --whole: of these predictions alone")
    parser.add_argument("--usual", nargs=2, metavar=("KIND", "FOLDER"), help=argparse.SUPPRESS)  # a process of --whole
    args = parser.parse_args()
    if args.usual:
        usual_process(args.usual[0], Path(args.usual[1]))
        return
    cv2.setNumThreads(1)
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, ")
    print(f"OpenCV {cv2.__version__}, NumPy {np.__version__}; CPU seconds on one core, medians of {args.repeats}")
    if args.whole:
        with tempfile.TemporaryDirectory() as temporary:
            compare_whole(args.folder or Path(temporary), args.kind or list(KINDS), args.repeats, usual=not args.ours)
        return
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "ReVOS"
        write_miniature(root, videos=2 * args.videos + 2, frames=args.frames, height=args.height, width=args.width)
        annotations = open_annotations(Layout.at(root), SPLIT)
        compare(annotations, Path(folder), args.repeats)
        compare_dilations(annotations, args.repeats)
        if Path("/proc/self/status").exists():
            compare_memory(Path(folder))


def compare(annotations: Annotations, folder: Path, repeats: int) -> None:
    sources = write_predictions(annotations, folder)
    masks = sum(len(video.frame_names) * len(video.expressions) for video in annotations)
    print(f"\n{masks} masks, {sum(len(v.expressions) for v in annotations)} expressions")
    print(f"{'predictions':<16}{'the usual way':>16}{'revoskit':>16}{'ratio':>9}   (ms per expression and frame)")
    for name, (source, read) in sources.items():
        usual, ours = [], []
        for _ in range(repeats):  # in turns, so that whatever else the machine does meets both
            seconds, want = timed(lambda read=read: score_the_usual_way(annotations, read))
            usual.append(seconds)
            seconds, result = timed(lambda source=source: evaluate(source, annotations.layout.root, split=SPLIT))
            ours.append(seconds)
        found = [[e.binary.J, e.binary.F, e.binary.A, e.binary.R] for e in result.expressions]
        np.testing.assert_allclose(found, want, rtol=0, atol=1e-9)
        ratio = statistics.median(a / b for a, b in zip(usual, ours, strict=True))
        shown = [1000 * statistics.median(times) / masks for times in (usual, ours)]
        print(f"{name:<16}{shown[0]:>16.2f}{shown[1]:>16.3f}{ratio:>8.1f}x")


def timed(work: Callable):
    begin = time.process_time()  # other processes on the machine do not count
    result = work()
    return time.process_time() - begin, result


def write_predictions(annotations: Annotations, folder: Path) -> dict[str, tuple[Path, Callable]]:
    """Where each kind lies, and the usual way to read one mask of it."""
    rng = np.random.default_rng(0)
    rles: dict[str, dict[str, list]] = {}
    for video in annotations:
        masks = annotations.masks(video)
        for expression in video.expressions:
            pixels = masks.of(expression).decode()
            pixels = np.stack([np.roll(p, rng.integers(-9, 10, 2), (0, 1)) for p in pixels])
            rles.setdefault(video.video_id, {})[expression.expression_id] = list(MaskSequence.encode(pixels))
            for kind in ("pillow", "opencv"):
                target = folder / kind / video.video_id / expression.expression_id
                target.mkdir(parents=True)
                for name, mask in zip(video.frame_names, pixels * 255, strict=True):
                    path = str(target / f"{name}.png")
                    cv2.imwrite(path, mask) if kind == "opencv" else Image.fromarray(mask).save(path)
    (folder / "rles.json").write_text(json.dumps(rles))

    return {name: (folder / where, reader(folder / where)) for name, where in KINDS.items()}


def reader(source: Path) -> Callable:
    """The usual way to read one mask from there."""
    if source.is_dir():
        return lambda video_id, expression_id, name, _: cv2.imread(
            str(source / video_id / expression_id / f"{name}.png"), cv2.IMREAD_GRAYSCALE
        )
    rles = json.loads(source.read_text())
    return lambda video_id, expression_id, _, frame: coco.decode(rles[video_id][expression_id][frame])


# --- the usual way ----------------------------------------------------------------------------------------------------


def score_the_usual_way(annotations: Annotations, read: Callable) -> list[list[float]]:
    """J, F, A and R of every expression, each mask on its full frame."""
    tracks = json.loads(annotations.files.tracks.read_text())
    foregrounds = json.loads(annotations.files.foreground.read_text())
    return [row for video in annotations for row in score_video(video, tracks, foregrounds, read)]


def score_video(video: Video, tracks: dict, foregrounds: dict, read: Callable) -> list[list[float]]:
    found = []
    for expression in video.expressions:
        frames = []
        for number, name in enumerate(video.frame_names):
            truth = np.zeros((video.height, video.width), np.uint8)
            for annotation_id in expression.annotation_ids:
                mask = tracks[str(annotation_id)][number]
                if mask:
                    truth |= coco.decode(mask)
            foreground = coco.decode(foregrounds[video.video_id]["masks_rle"][number])
            predicted = read(video.video_id, expression.expression_id, name, number)
            frames.append(frame_scores(truth > 0, predicted > 0, foreground))
        found.append(np.mean(frames, axis=0).tolist())
    return found


def frame_scores(truth: np.ndarray, predicted: np.ndarray, foreground: np.ndarray) -> tuple[float, ...]:
    either = (truth | predicted).sum()
    j = (truth & predicted).sum() / either if either else 1.0
    wrong = (predicted & ~truth).sum()
    r = max(0.0, 1 - wrong / (foreground.sum() + 1e-6))
    return j, boundary_f(truth, predicted), (truth == predicted).mean(), r


def boundary_f(truth: np.ndarray, predicted: np.ndarray) -> float:
    kernel = disk(measures.tolerance(*truth.shape))
    edge_g, edge_p = boundary(truth), boundary(predicted)
    near_g, near_p = cv2.dilate(edge_g, kernel), cv2.dilate(edge_p, kernel)
    count_g, count_p = edge_g.sum(), edge_p.sum()
    precision = (edge_p & near_g).sum() / count_p if count_p else 1.0
    recall = (edge_g & near_p).sum() / count_g if count_g else 1.0
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def disk(radius: int) -> np.ndarray:
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    return (x * x + y * y <= radius * radius).astype(np.uint8)


def boundary(mask: np.ndarray) -> np.ndarray:
    right, below, both = (np.zeros_like(mask) for _ in range(3))
    right[:, :-1], below[:-1], both[:-1, :-1] = mask[:, 1:], mask[1:], mask[1:, 1:]
    edge = mask ^ right | mask ^ below | mask ^ both
    edge[-1] = mask[-1] ^ right[-1]
    edge[:, -1] = mask[:, -1] ^ below[:, -1]
    edge[-1, -1] = False
    return edge.astype(np.uint8)


# --- the ways to dilate -----------------------------------------------------------------------------------------------


def compare_dilations(annotations: Annotations, repeats: int) -> None:
    """On the full frame, on the box around the mask, and eight frames at a time; all with the same result."""
    video = next(iter(annotations))
    track = annotations.masks(video).track(video.annotation_ids[0])[:8]
    radius = measures.tolerance(video.height, video.width)
    edges = [boundary(mask > 0) for mask in track.decode()]
    packed = pack(track)._boxes[0]
    left, top, (width, height) = packed.fill.x - radius, packed.fill.y - radius, packed.fill.bits.shape
    crops = [edge[max(0, top) : top + height + 2 * radius, max(0, left) : left + width + 2 * radius] for edge in edges]
    kernel = disk(radius)

    def by_distance(edge: np.ndarray) -> np.ndarray:
        return cv2.distanceTransform(1 - edge, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) <= radius

    def eight_at_once() -> np.ndarray:
        packed._dilated.clear()
        return packed.dilated(radius * radius).bits

    ways = {
        "cv2.dilate, full frame": lambda: [cv2.dilate(edge, kernel) for edge in edges],
        "cv2.dilate, box": lambda: [cv2.dilate(crop, kernel) for crop in crops],
        "cv2.distanceTransform, box": lambda: [by_distance(crop) for crop in crops],
        "numpy, box, eight frames a byte": eight_at_once,
    }
    try:
        from scipy import ndimage

        ways["scipy distance_transform_edt, box"] = lambda: [
            ndimage.distance_transform_edt(1 - crop) <= radius for crop in crops
        ]
    except ImportError:
        pass
    assert math.isclose(sum(int(crop.sum()) for crop in crops), sum(int(edge.sum()) for edge in edges))
    packed.boundary  # noqa: B018 - made outside of what is timed, as for the others
    print(f"\n{'dilation by a disk of radius ' + str(radius):<36}{'us per frame':>14}")
    for name, way in sorted(ways.items()):
        times = [timed(way)[0] for _ in range(3 * repeats)]
        print(f"{name:<36}{1e6 * statistics.median(times) / len(edges):>14.0f}")


# --- whole processes --------------------------------------------------------------------------------------------------


def compare_whole(folder: Path, kinds: list[str], repeats: int, usual: bool) -> None:
    """Both ways as processes of their own, in turns; the least of each, since others may use the machine."""
    annotations = write_whole_data(folder)
    masks = sum(len(video.frame_names) * len(video.expressions) for video in annotations)
    print(f"\n{masks} masks, two processes: seconds by the clock / CPU seconds")
    print(f"{'predictions':<16}{'the usual way':>18}{'revoskit evaluate':>20}{'by the clock':>15}{'CPU':>9}")
    root = annotations.layout.root
    for name, kind in ((name, KINDS[name]) for name in kinds):
        theirs, ours = [], []
        for _ in range(repeats):
            if usual:
                theirs.append(measured([sys.executable, __file__, "--usual", kind, str(folder)]))
            command = [sys.executable, "-m", "revoskit.cli", "evaluate", str(folder / kind), str(root)]
            ours.append(measured([*command, "--num-proc", "2"]))
        a, b = (np.min(times or [(math.nan, math.nan)], axis=0) for times in (theirs, ours))
        shown = [f"{clock:.2f} /{cpu:6.2f}" for clock, cpu in (a, b)]
        clock, cpu = a / b
        print(f"{name:<16}{shown[0]:>18}{shown[1]:>20}{clock:>14.1f}x{cpu:>8.1f}x", flush=True)


def write_whole_data(folder: Path) -> Annotations:
    """Videos of the real dataset's kind at 480p and predictions for them, unless they are there.

    Its masks jump over the frame from one to the next, as few objects do: here, they move by a few pixels.
    """
    root = real_scale.write(folder / "ReVOS", {SPLIT: WHOLE["videos"]}, setting="short")
    files = Layout.at(root).split(SPLIT)
    if not (folder / "rles.json").exists():
        content = json.loads(files.expressions.read_text())
        filed = json.loads(files.tracks.read_text())
        rng = np.random.default_rng(0)
        tracks, foreground = {}, {}
        for video_id, entry in content["videos"].items():
            entry["expressions"] = dict(list(entry["expressions"].items())[: WHOLE["expressions"]])
            size = (entry["height"], entry["width"])
            named = {i for expression in entry["expressions"].values() for i in expression["anno_id"]}
            moved = {i: moving(filed[str(i)], size, rng) for i in sorted(named)}
            tracks |= {str(i): list(track) for i, track in moved.items()}
            union = MaskSequence.empty(len(entry["frames"]), *size).union(*moved.values())
            foreground[video_id] = {
                "masks_rle": list(union),
                "foreground_ratio": (union.areas() / math.prod(size)).tolist(),
            }
        written = {files.expressions: content, files.tracks: tracks, files.foreground: foreground}
        for path, what in written.items():
            path.write_text(json.dumps(what))
        write_predictions(open_annotations(Layout.at(root), SPLIT), folder)
    return open_annotations(Layout.at(root), SPLIT)


def moving(track: list, size: tuple[int, int], rng: np.random.Generator) -> MaskSequence:
    """The first mask of a track, swaying; null where the track is."""
    mask = next(mask for mask in track if mask is not None)
    pixels = MaskSequence.parse([mask], *size).decode()[0]
    reach, phase = rng.uniform(-50, 50, 2), rng.uniform(0, 6)
    moved = []
    for number in range(len(track)):
        right, down = reach * np.sin(number / 12 + phase)
        moved.append(
            cv2.warpAffine(pixels, np.array([[1, 0, round(right)], [0, 1, round(down)]], np.float32), size[::-1])
        )
    encoded = MaskSequence.encode(np.stack(moved))
    return MaskSequence.parse([new if old else None for old, new in zip(track, encoded, strict=True)], *size)


def measured(command: list[str]) -> tuple[float, float]:
    """Seconds by the clock, and CPU seconds of the process and its children."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = str(Path(tempfile.gettempdir()) / "bench_evaluate_bytecode")  # as if installed
    before, begin = os.times(), time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    seconds, after = time.perf_counter() - begin, os.times()
    return seconds, after[2] + after[3] - before[2] - before[3]


def usual_process(kind: str, folder: Path) -> None:
    """The usual way on two processes, which share what was read before."""
    cv2.setNumThreads(1)
    annotations = open_annotations(Layout.at(folder / "ReVOS"), SPLIT)
    tracks = json.loads(annotations.files.tracks.read_text())
    foregrounds = json.loads(annotations.files.foreground.read_text())
    read = reader(folder / kind)

    _shared.append(lambda video_id: score_video(annotations.video(video_id), tracks, foregrounds, read))
    with multiprocessing.get_context("fork").Pool(2) as pool:
        rows = [row for found in pool.map(_scored, list(annotations.videos), chunksize=1) for row in found]
    print(np.mean(rows, axis=0))


_shared: list[Callable] = []  # what forked processes have without its being sent


def _scored(video_id: str) -> list[list[float]]:
    return _shared[0](video_id)


# --- memory -----------------------------------------------------------------------------------------------------------

PEAK = 'print([line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")][0])'
OURS = "import sys; from revoskit.scoring.evaluate import evaluate; "


def compare_memory(folder: Path, counts: tuple[int, ...] = (2, 24)) -> None:
    """What a worker takes that scores RLEs, in a process of its own.

    Masks jump over the frame here, which makes for large boxes. The files are mapped into memory: what has been read of
    them counts here, but workers share it.
    """
    print(f"\n{'peak memory of a worker (RSS), MB':<36}{'mapped files':>14}{'revoskit':>14}")
    print(f"{'libraries alone':<36}{0:>14}{peak(OURS):>14.0f}")
    for count in counts:
        root = real_scale.write(folder / f"real{count}", {"validation": count})
        annotations = open_annotations(Layout.at(root), SPLIT)
        given = {
            video.video_id: {e.expression_id: list(annotations.masks(video).of(e)) for e in video.expressions}
            for video in annotations
        }
        predictions = folder / f"real{count}.json"
        predictions.write_text(json.dumps(given))
        size = (predictions.stat().st_size + annotations.files.tracks.stat().st_size) / 1e6
        ours = peak(f"{OURS}evaluate(sys.argv[1], sys.argv[2])", predictions, root)
        print(f"{f'{count} videos of the real size':<36}{size:>14.0f}{ours:>14.0f}")


def peak(code: str, *arguments: Path) -> float:
    """The greatest resident memory of a Python process that runs this, in MB."""
    command = [sys.executable, "-c", f"{code}\n{PEAK}", *map(str, arguments)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1]) / 1024


if __name__ == "__main__":
    main()
