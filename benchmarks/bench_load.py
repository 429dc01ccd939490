"""Building the dataset at its real size: ours beside the plain way to write such a builder, in the same run.

    python benchmarks/bench_load.py [--folder FOLDER] [--rounds 3]

The plain way parses mask_dict.json with `json`, unites masks with pycocotools, and yields dicts; every case runs in a
fresh process with an empty cache, and the memory is what each process has of its own (pages of mapped files aside).
Below the table is what no builder can be quicker than: `pyarrow` alone, which writes the batches of our finished files
once more.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import datasets
import psutil
import pyarrow as pa
from machine import machine
from pycocotools import mask as coco
from real_scale import write
from tabulate import tabulate

import revos
from revoskit.dataset.columns import expressions_features, videos_features


class Plain(datasets.GeneratorBasedBuilder):
    """What most people write: everything in memory, nothing checked."""

    BUILDER_CONFIGS = [datasets.BuilderConfig(name="expressions"), datasets.BuilderConfig(name="videos")]

    def _info(self):
        features = expressions_features() if self.config.name == "expressions" else videos_features()
        return datasets.DatasetInfo(features=features)

    def _split_generators(self, dl_manager):
        return [
            datasets.SplitGenerator(name=split, gen_kwargs={"file": f"meta_expressions_{short}_.json"})
            for split, short in (("train", "train"), ("validation", "valid"))
        ]

    def _generate_examples(self, file):
        root = Path(self.config.data_dir)
        videos = json.loads((root / file).read_text())["videos"]
        tracks = json.loads((root / "mask_dict.json").read_text())
        foreground = json.loads((root / "mask_dict_foreground.json").read_text())
        for video_id, video in videos.items():
            row = {
                "video_id": video_id,
                "height": video["height"],
                "width": video["width"],
                "frame_names": video["frames"],
                "frames": [str(root / "JPEGImages" / video_id / f"{name}.jpg") for name in video["frames"]],
            }
            if self.config.name == "videos":
                yield video_id, row | self._video(video, tracks, foreground[video_id]["masks_rle"])
                continue
            for expression_id, expression in video["expressions"].items():
                masks = [
                    self._union([tracks[str(a)][i] for a in expression["anno_id"]], video)
                    for i in range(len(video["frames"]))
                ]
                yield (
                    f"{video_id}/{expression_id}",
                    row | self._expression(expression_id, expression) | {"masks": masks},
                )

    def _video(self, video, tracks, foreground):
        pairs = {a: o for e in video["expressions"].values() for o, a in zip(e["obj_id"], e["anno_id"], strict=True)}
        return {
            "tracks": [{"annotation_id": a, "object_id": pairs[a], "masks": tracks[str(a)]} for a in sorted(pairs)],
            "expressions": [self._expression(i, e) for i, e in video["expressions"].items()],
            "foreground": foreground,
        }

    def _expression(self, expression_id, expression):
        return {
            "expression_id": expression_id,
            "expression": expression["exp"],
            "expression_type": expression["type_id"],
            "object_ids": expression["obj_id"],
            "annotation_ids": expression["anno_id"],
        }

    def _union(self, masks, video):
        size = [video["height"], video["width"]]
        merged = coco.merge(
            [m for m in masks if m] or coco.frPyObjects([{"size": size, "counts": [size[0] * size[1]]}], *size)
        )
        return {"size": size, "counts": merged["counts"].decode()}


BUILDERS = {"plain": Plain, "ours": revos.Revos}


def build(kind: str, config: str, root: str, cache: str, num_proc: int) -> None:
    builder = BUILDERS[kind](config_name=config, data_dir=root, cache_dir=cache)
    builder.download_and_prepare(num_proc=num_proc)


def write_again(cache: Path, folder: Path) -> float:
    """Seconds that `pyarrow` takes to write the batches of finished files once more."""
    folder.mkdir()
    started = time.perf_counter()
    for number, file in enumerate(cache.rglob("*.arrow")):
        with pa.memory_map(str(file)) as mapped, pa.ipc.open_stream(mapped) as batches:
            target = str(folder / f"{number}.arrow")
            with pa.OSFile(target, "wb") as sink, pa.ipc.new_stream(sink, batches.schema) as writer:
                for batch in batches:
                    writer.write_batch(batch)
    seconds = time.perf_counter() - started
    shutil.rmtree(folder)
    return seconds


def first_row(root: str, cache: str) -> None:
    started = time.perf_counter()
    row = datasets.load_dataset("revos", data_dir=root, cache_dir=cache, split="validation")[0]
    print(f"{time.perf_counter() - started:.3f} {len(row['masks'])}")


def stream(kind: str, root: str, cache: str) -> None:
    """Prints the seconds to the first row of a stream, and to its last."""
    if importlib.util.find_spec("torch"):
        importlib.import_module("torch")  # as `datasets` would for a stream: one of the imports
    started = time.perf_counter()
    builder = BUILDERS[kind](config_name="expressions", data_dir=root, cache_dir=cache)
    rows = iter(builder.as_streaming_dataset(split="validation"))
    next(rows)
    first = time.perf_counter() - started
    for _ in rows:
        pass
    print(f"{first} {time.perf_counter() - started}")


def measure(*arguments: str) -> tuple[float, float, str]:
    """Seconds, the largest private memory of a single process in MB, and what a run in a fresh process printed."""
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, __file__, *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    peak = [0.0]
    watcher = threading.Thread(target=_watch, args=(process.pid, peak))
    watcher.start()
    output = process.communicate()[0]
    watcher.join()
    if process.returncode:
        raise SystemExit(f"{arguments} failed")
    return time.perf_counter() - started, peak[0], output


def _watch(pid: int, peak: list[float]) -> None:
    try:
        parent = psutil.Process(pid)
        while parent.is_running() and parent.status() != psutil.STATUS_ZOMBIE:
            for process in [parent, *parent.children(recursive=True)]:
                memory = process.memory_info()
                peak[0] = max(peak[0], (memory.rss - getattr(memory, "shared", 0)) / 1e6)
            time.sleep(0.05)
    except psutil.NoSuchProcess:
        pass


def _streamed(kind: str, root: Path, cache: Path) -> list[float]:
    return [float(seconds) for seconds in measure("stream", kind, str(root), str(cache))[2].split()]


CASES = [
    ("plain", "expressions", 1),
    ("ours", "expressions", 1),
    ("ours", "expressions", 2),
    ("plain", "videos", 1),
    ("ours", "videos", 1),
    ("ours", "videos", 2),
]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path(tempfile.gettempdir()) / "revos-real-scale",
        help="the annotations at their real size, which are written where they are not",
    )
    parser.add_argument("--rounds", type=int, default=1, help="times that everything is built, in turns")
    args = parser.parse_args()
    root = write(args.folder)
    print(f"{machine()}, datasets {datasets.__version__}; {args.rounds} rounds, medians")
    rows, base = [], {}
    work = Path(tempfile.mkdtemp(dir=root))
    try:
        measured = {case: [] for case in CASES}
        for turn, case in itertools.product(range(args.rounds), CASES):
            kind, config, num_proc = case
            cache = work / f"{kind}-{config}-{num_proc}"
            if turn:
                shutil.rmtree(cache)
            measured[case].append(measure("build", kind, config, str(root), str(cache), str(num_proc))[:2])
        for case, found in measured.items():
            kind, config, num_proc = case
            seconds, memory = map(statistics.median, zip(*found, strict=True))
            cache = work / f"{kind}-{config}-{num_proc}"
            size = sum(file.stat().st_size for file in cache.rglob("*.arrow")) / 1e6
            plain = base.setdefault(config, base.get(config) or seconds)
            to_expressions = seconds / base["expressions"]
            rows.append(
                [
                    config,
                    kind,
                    num_proc,
                    f"{seconds:.1f}",
                    f"{seconds / plain:.2f}",
                    f"{to_expressions:.2f}",
                    f"{memory:.0f}",
                    f"{size:,.0f}",
                ]
            )
        headers = [
            "config",
            "builder",
            "processes",
            "seconds",
            "of plain",
            "of plain\nexpressions",
            "MB a process",
            "MB of cache",
        ]
        print(tabulate(rows, headers, disable_numparse=True))
        for config in ("expressions", "videos"):
            limits = [write_again(work / f"ours-{config}-1", work / "again") for _ in range(args.rounds)]
            seconds = statistics.median(limits)
            print(
                f"pyarrow alone writes the rows of {config} in {seconds:.1f} s, {seconds / base[config]:.2f} of plain"
            )
        cached = [
            float(measure("first_row", str(root), str(work / "ours-expressions-1"))[2].split()[0])
            for _ in range(args.rounds)
        ]
        streamed = {kind: [_streamed(kind, root, work) for _ in range(args.rounds)] for kind in BUILDERS}
        (plain_first, plain_all), (first, whole) = (
            map(statistics.median, zip(*turns, strict=True)) for turns in streamed.values()
        )
        print(
            f"streaming expressions of validation, after imports: a row in {first:.2f} s (plain {plain_first:.1f} s), "
            f"all of them in {whole / plain_all:.2f} of plain"
        )
        print(f"load_dataset from the cache to its first row, after imports: {statistics.median(cached):.3f} s")
    finally:
        shutil.rmtree(work)


if __name__ == "__main__":
    if sys.argv[1:2] == ["build"]:
        build(*sys.argv[2:6], int(sys.argv[6]))
    elif sys.argv[1:2] == ["stream"]:
        stream(*sys.argv[2:5])
    elif sys.argv[1:2] == ["first_row"]:
        first_row(*sys.argv[2:4])
    else:
        main()
