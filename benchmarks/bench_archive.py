"""Clips from the archive beside clips from unpacked frames, and what else reads a zip; frames from a server.

    python benchmarks/bench_archive.py                          # everything
    python benchmarks/bench_archive.py --part clips --rounds 15
    python benchmarks/bench_archive.py --members 100000         # as many members as the official archive has

Frames are textured as photographs are (1/f). Warm: in the page cache; cold: told to be dropped from it before each clip
(`posix_fadvise`), which a virtual machine's own disk cache may undo. The archive is stored, as JPEGs are in a zip that
was made with care, and has `--members` more members, small ones: readers that go through the directory of the archive
for each frame take longer the more there are.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")

from bench_clips import NUM_FRAMES, SHORT_SIDE, SIZES, _own_memory, load, write_photographs
from datasets import Dataset
from datasets import Image as DatasetsImage
from huggingface_hub import constants
from machine import machine
from tabulate import tabulate

from revoskit import Clips, collate, frames, open_frame
from revoskit.archives.index import open_archive
from revoskit.dataset.frame_archive import frame_archive

ARCHIVE = "JPEGImages.zip"
LATENCY = 0.020


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=["clips", "readers", "memory", "first", "remote", "all"], default="all")
    parser.add_argument("--rounds", type=int, default=9, help="times that every loader gets every clip")
    parser.add_argument("--members", type=int, default=100_000, help="small members of the archive beside the frames")
    args = parser.parse_args()
    print(f"{machine()}\n{frames.decoder()}\n")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HF_HOME"] = constants.HF_HOME = f"{folder}/hf"  # of processes to come, and of this one
        for part in (clips, readers, memory, first, remote):
            if args.part in (part.__name__, "all"):
                part(Path(folder) / part.__name__, args.rounds, args.members)


def write(folder: Path, size: tuple[int, int], members: int) -> tuple[Path, Path]:
    """The same frames unpacked, and in an archive: two roots."""
    unpacked, packed = folder / "unpacked", folder / "packed"
    write_photographs(unpacked, size)
    packed.mkdir()
    for path in unpacked.glob("*.json"):
        shutil.copy(path, packed)
    with zipfile.ZipFile(packed / ARCHIVE, "w") as archive:
        for path in sorted((unpacked / "JPEGImages").rglob("*.jpg")):
            archive.write(path, path.relative_to(unpacked).as_posix())
        for i in range(members):
            archive.writestr(f"JPEGImages/MOSE/train/{i // 100:05d}/{i % 100:05d}.jpg", b"small")
    return unpacked, packed


# --- clips ------------------------------------------------------------------------------------------------------------


def clips(folder: Path, rounds: int, members: int) -> None:
    lines = []
    for name in ("480p", "1080p"):
        roots = dict(zip(("folder", "archive"), write(folder / name, SIZES[name], members), strict=True))
        drawn = {
            kind: load(root, folder / name / kind).with_transform(Clips(NUM_FRAMES, size=SHORT_SIDE, training=False))
            for kind, root in roots.items()
        }
        for state in ("warm", "cold"):
            times = _by_turns(rounds, drawn, roots if state == "cold" else None)
            lines.append([name, state, "1 process", *_compared(times)])
        lines.append([name, "warm", "2 workers", *_compared(_with_workers(rounds, drawn))])
    print(f"{NUM_FRAMES} frames to {SHORT_SIDE} on the short side, milliseconds a clip, medians:")
    print(tabulate(lines, ["", "", "", "folder", "archive", "archive/folder"], floatfmt=".3f"), "\n")


def _compared(times: dict[str, list[float]]) -> list[float]:
    folder, archive = (1000 * statistics.median(times[kind]) for kind in ("folder", "archive"))
    return [folder, archive, archive / folder]


def _by_turns(rounds: int, drawn: dict[str, Dataset], cold: dict[str, Path] | None) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {kind: [] for kind in drawn}
    for turn in range(rounds + 1):
        for i in range(len(next(iter(drawn.values())))):
            for kind in list(drawn)[:: 1 if (turn + i) % 2 else -1]:
                if cold:
                    _drop(cold[kind])
                start = time.perf_counter()
                drawn[kind][i]
                if turn:  # the first is for warming up
                    times[kind].append(time.perf_counter() - start)
    return times


def _drop(root: Path) -> None:
    for path in root.rglob("*"):
        if path.suffix in (".jpg", ".zip"):
            with path.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _with_workers(rounds: int, drawn: dict[str, Dataset]) -> dict[str, list[float]]:
    from torch.utils.data import DataLoader

    times: dict[str, list[float]] = {kind: [] for kind in drawn}
    loaders = {
        kind: DataLoader(dataset, 1, num_workers=2, collate_fn=collate, persistent_workers=True)
        for kind, dataset in drawn.items()
    }
    for turn in range(rounds + 1):
        for kind, loader in loaders.items():
            start = time.perf_counter()
            count = sum(1 for _ in loader)
            if turn:
                times[kind].append((time.perf_counter() - start) / count)
    return times


# --- what else reads a zip --------------------------------------------------------------------------------------------


def readers(folder: Path, rounds: int, members: int) -> None:
    unpacked, packed = write(folder, SIZES["480p"], members)
    address = str(packed / ARCHIVE)
    names = [path.relative_to(unpacked).as_posix() for path in sorted((unpacked / "JPEGImages").rglob("*.jpg"))]
    row = {name: {"path": f"zip://{name}::{address}", "bytes": None} for name in names}
    start = time.perf_counter()
    archive = open_archive(address)
    made = time.perf_counter() - start
    kept = zipfile.ZipFile(address)
    few = names[:2]  # of those that take long
    plain = DatasetsImage()

    def opened_anew(name: str) -> None:
        with zipfile.ZipFile(address) as opened:
            opened.read(name)

    lines = [
        ["bytes of a file", 1e3 * _each(names * rounds, lambda name: (unpacked / name).read_bytes())],
        ["bytes, by the index", 1e3 * _each(names * rounds, archive.read)],
        ["bytes, zipfile kept open", 1e3 * _each(names * rounds, kept.read)],
        ["bytes, zipfile opened for each", 1e3 * _each(few, opened_anew)],
        ["image, open_frame", 1e3 * _each(names, lambda name: open_frame(row[name]))],
        ["image, datasets' zip://", 1e3 * _each(few, lambda name: plain.decode_example(row[name]).load())],
    ]
    print(f"A frame of 480p in an archive of {len(archive):,} members, milliseconds (index made in {made:.2f} s):")
    print(tabulate(lines, floatfmt=".3f"), "\n")


def _each(names: Iterable[str], read: Callable[[str], object]) -> float:
    """Seconds a call, the median."""
    times = []
    for name in names:
        start = time.perf_counter()
        read(name)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


# --- what a worker has of its own for the index -----------------------------------------------------------------------


def memory(folder: Path, rounds: int, members: int) -> None:
    """In new processes, which have the index from its file: what each writes to memory to open it, and to read."""
    _, few = write(folder / "few", SIZES["480p"], 0)
    unpacked, many = write(folder / "many", SIZES["480p"], members)
    names = [path.relative_to(unpacked).as_posix() for path in sorted((unpacked / "JPEGImages").rglob("*.jpg"))]
    made = len(open_archive(str(many / ARCHIVE)))
    lines = []
    for method in ("fork", "spawn"):
        with multiprocessing.get_context(method).Pool(2) as pool:
            jobs = [(str(few / ARCHIVE), str(many), names)] * 6
            lines.append([method, statistics.median(pool.starmap(_own_for_index, jobs, chunksize=1)[:2])])
    print(f"Own memory of a worker for the index of {made:,} members, and the folders of its videos, MB:")
    print(tabulate(lines, floatfmt=".2f"), "\n")


def _own_for_index(small: str, root: str, names: list[str]) -> float:
    """Megabytes that this process has written, beyond those with a small archive open, for another archive."""
    open_archive(small).read(names[0])
    gc.collect()
    gc.freeze()  # as Clips does in a worker
    before = _own_memory(os.getpid())
    archive = frame_archive(Path(root), ("JPEGImages",))
    assert archive is not None
    for name in names:
        open_archive(archive.address).read(name)
    return _own_memory(os.getpid()) - before


# --- the first clip on a new machine ----------------------------------------------------------------------------------


_FIRST = """
import sys, time
from pathlib import Path
from datasets import load_dataset
import revos
from revoskit import Clips, Layout
start = time.perf_counter()
root = Path(sys.argv[1])
if sys.argv[2] == "unpack":
    from revoskit.getting.unpack import unpack
    unpack(Layout.at(root))
ds = load_dataset("revos", data_dir=str(root), split="train", cache_dir=sys.argv[3])
ds.with_transform(Clips(8, size=448))[0]
print(time.perf_counter() - start)
"""


def first(folder: Path, rounds: int, members: int) -> None:
    _, packed = write(folder, SIZES["480p"], members)
    lines = []
    for how in ("as it lies", "unpack"):
        environment = os.environ | {"HF_HOME": str(folder / f"hf-{how}")}
        command = [sys.executable, "-c", _FIRST, str(packed), how.split()[0], str(folder / f"cache-{how}")]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        lines.append([how, float(done.stdout.split()[-1])])
    print(f"Seconds until the first clip, nothing known before, {members:,} more members of the archive:")
    print(tabulate(lines, floatfmt=".2f"), "\n")


# --- from a server ----------------------------------------------------------------------------------------------------


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    content = b""

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        time.sleep(LATENCY)
        start, end = map(int, re.findall(r"\d+", self.headers["Range"]))
        part = self.content[start : end + 1]
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {start}-{start + len(part) - 1}/{len(self.content)}")
        self.send_header("Content-Length", str(len(part)))
        self.send_header("ETag", '"made"')
        self.end_headers()
        self.wfile.write(part)


def remote(folder: Path, rounds: int, members: int) -> None:
    unpacked, packed = write(folder, SIZES["480p"], 0)
    names = [path.relative_to(unpacked).as_posix() for path in sorted((unpacked / "JPEGImages").rglob("*.jpg"))]
    _Handler.content = (packed / ARCHIVE).read_bytes()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    archive = open_archive(f"http://127.0.0.1:{server.server_address[1]}/{ARCHIVE}")
    lines = []
    for at_once in (1, 8):
        with ThreadPoolExecutor(at_once) as threads:
            list(threads.map(archive.read, names[:at_once]))  # connections are made
            start = time.perf_counter()
            list(threads.map(archive.read, names * 2))
            lines.append([at_once, 2 * len(names) / (time.perf_counter() - start)])
    server.shutdown()
    print(f"Frames of 480p a second from a server on loopback that answers after {1000 * LATENCY:.0f} ms:")
    print(tabulate(lines, ["requests at once", "frames/s"], floatfmt=".0f"))


if __name__ == "__main__":
    main()
