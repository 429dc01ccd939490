"""Publishes the dataset as a folder in the layout of the Hugging Face Hub: Parquet shards and a card.

FOLDER/videos/<split>-00003-of-00016.parquet        a row per video, its frames embedded once
FOLDER/expressions/<split>-00000-of-00002.parquet   a row per expression, with the row of its video in `videos`
FOLDER/README.md                                    the card, written last: where it is, all shards are
FOLDER/.publish.json                                the plan: what is to be written, and what that depends on

A run that was killed is continued by running it again: shards that are in place are kept.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import DatasetInfo
from tabulate import tabulate
from tqdm import tqdm

from revoskit import stats
from revoskit.annotations import Annotations, Video, open_annotations
from revoskit.card import card
from revoskit.engine import run
from revoskit.errors import MissingFilesError, UsageError
from revoskit.files import remove_parts, require_room, write_whole
from revoskit.layout import FRAMES_ARCHIVE, FRAMES_FOLDER, Layout
from revoskit.shards import CONFIGS, NUM_BYTES, Content, Shard, WrittenShard, published_size, write_shard

PLAN = ".publish.json"
CARD = "README.md"
SHARD_BYTES = 500_000_000


class Plan(msgspec.Struct, frozen=True):
    """What is to be written, and what that depends on: runs with equal plans write the same bytes."""

    configs: tuple[str, ...]
    content: Content
    shard_bytes: int
    annotations: tuple[tuple[str, int, int], ...]
    """The annotation files: name, bytes, time of the last change in nanoseconds."""
    frames: str
    """A digest of the same of every frame; of nothing where no frames are published."""
    shards: tuple[Shard, ...]

    @property
    def num_bytes(self) -> int:
        return sum(shard.num_bytes for shard in self.shards)

    @property
    def splits(self) -> list[str]:
        return list(dict.fromkeys(shard.split for shard in self.shards))


# --- planning ---------------------------------------------------------------------------------------------------------


def make_plan(
    layout: Layout,
    *,
    content: Content = Content(),  # noqa: B008, it is immutable
    configs: Iterable[str] = CONFIGS,
    shard_bytes: int = SHARD_BYTES,
) -> Plan:
    """Divide every split into shards: videos in file order, up to `shard_bytes` of frames and masks in each.

    Sizes are those of the official files, so that the same data gives the same shards wherever they are written.

    Raises:
        UsageError: the options cannot be meant.
        MissingFilesError: files, or frames that are to be embedded, are not on disk.
    """
    configs = tuple(config for config in CONFIGS if config in set(_known(configs)))
    if content.max_side is not None and (content.frames == "none" or content.max_side < 1):
        raise UsageError("a longest side (--max-side) is of embedded frames (--frames embed), and at least 1 pixel")
    if shard_bytes < 1:
        raise UsageError(f"a shard of {shard_bytes} bytes cannot hold anything")
    layout.require()
    embedding = content.frames == "embed" and "videos" in configs
    frames = _FrameFiles(layout) if embedding else None
    shards: list[Shard] = []
    for config in configs:
        for split in layout.splits():
            annotations = open_annotations(layout, split)
            sizes = [_source_bytes(annotations, video, config, content, frames) for video in annotations]
            shards += _divide(config, split, list(annotations), sizes, shard_bytes)
    if frames:
        frames.refuse_missing()
    if not shards:
        raise UsageError(f"{layout.root} has nothing to publish: no split lists a video with an expression")
    digest = frames.digest() if frames else ""
    return Plan(configs, content, shard_bytes, layout.annotation_state(), digest, tuple(shards))


def _known(configs: Iterable[str]) -> list[str]:
    configs = list(configs)
    unknown = sorted(set(configs) - set(CONFIGS))
    if unknown or not configs:
        raise UsageError(f"there is no config {', '.join(unknown) or '(none named)'}: expected {' or '.join(CONFIGS)}")
    return configs


class _FrameFiles:
    """The frames on disk, as each video's are looked at: sizes, and a digest of everything that was seen."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._digest = hashlib.sha256()
        self._missing: list[str] = []

    def num_bytes(self, video: Video) -> int:
        folder = self._layout.video_folder(video.video_id)
        found = {}
        if folder.is_dir():
            with os.scandir(folder) as entries:
                found = {entry.name: entry.stat() for entry in entries}
        total = 0
        for name in video.frame_names:
            status = found.get(f"{name}.jpg")
            if status is None:
                self._missing.append(f"{video.video_id}/{name}.jpg")
                continue
            self._digest.update(repr((video.video_id, name, status.st_size, status.st_mtime_ns)).encode())
            total += status.st_size
        return total

    def digest(self) -> str:
        return self._digest.hexdigest()

    def refuse_missing(self) -> None:
        if self._missing:
            first = ", ".join(self._missing[:3]) + (", …" if len(self._missing) > 3 else "")
            root = self._layout.root
            raise MissingFilesError(
                f"{len(self._missing):,} frames that the annotations list are not under {root}/{FRAMES_FOLDER} or "
                f"{root}: {first}\nUnpack {FRAMES_ARCHIVE} there, or publish without frames: --frames none."
            )


def _source_bytes(
    annotations: Annotations, video: Video, config: str, content: Content, frames: _FrameFiles | None
) -> int:
    """What a video's rows take, measured on the official files; an estimate for frames that will be made smaller."""
    if config == "expressions":
        return sum(annotations.track_bytes(i) for e in video.expressions for i in e.annotation_ids)
    tracks = sum(annotations.track_bytes(i) for i in video.annotation_ids)
    if frames is None:
        return tracks
    height, width = published_size(video, content)
    return tracks + frames.num_bytes(video) * height * width // (video.height * video.width)


def _divide(config: str, split: str, videos: list[Video], sizes: list[int], shard_bytes: int) -> list[Shard]:
    """Consecutive videos together, as many as fit; one that is larger than a shard gets one of its own.

    A split without rows gets no shard: `datasets` does not load it.
    """
    if not (videos if config == "videos" else any(video.expressions for video in videos)):
        return []
    starts, filled = [], 0
    for index, size in enumerate(sizes):
        if index == 0 or filled + size > shard_bytes:
            starts.append(index)
            filled = 0
        filled += size
    shards = []
    for number, (start, end) in enumerate(zip(starts, [*starts[1:], len(videos)], strict=True)):
        some = videos[start:end]
        rows = len(some) if config == "videos" else sum(len(video.expressions) for video in some)
        ids = tuple(video.video_id for video in some)
        shards.append(Shard(config, split, number, len(starts), start, ids, rows, sum(sizes[start:end])))
    return shards


def parse_size(text: str) -> int:
    """Bytes of a size such as `500MB` or `1GiB`.

    Raises:
        UsageError: it is not one.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kMGT]?)(i?)B?", text.strip(), re.IGNORECASE)
    if not found:
        raise UsageError(f"{text!r} is not a size: expected one such as 500MB or 1GiB")
    number, prefix, binary = found.groups()
    return int(float(number) * (1024 if binary else 1000) ** " KMGT".index(prefix.upper() or " "))


# --- carrying it out --------------------------------------------------------------------------------------------------


def publish(
    layout: Layout,
    folder: Path,
    plan: Plan,
    about: DatasetInfo,
    *,
    repository: str | None = None,
    num_proc: int = 1,
    engine: str = "local",
    address: str | None = None,
    progress: Callable[[int], object] = lambda num_bytes: None,
) -> list[WrittenShard]:
    """Write what `plan` says to `folder`, or what of it is not there yet; then the card.

    Args:
        about: description, citation and license, for the card.
        repository: what the card's examples load, "OWNER/NAME".
        num_proc, engine, address: shards written at a time, and where, as `engine.run` takes them. On several machines
            the dataset and `folder` must lie under the same paths on all of them.
        progress: called with the source bytes of each shard once it is in place.

    Raises:
        UsageError: `folder` holds something else, or a publication of other data or with other options; or its disk
            has no room for the frames.
    """
    _claim(folder, plan)
    missing = []
    for shard in plan.shards:
        if read_shard(folder, shard) is None:
            missing.append(shard)
        else:
            progress(shard.num_bytes)
    if plan.content == Content("embed"):  # frames as they are; masks, once compressed, and smaller frames take far less
        require_room(folder, sum(shard.num_bytes for shard in missing if shard.config == "videos"), UsageError)
    write = functools.partial(write_shard, layout=layout, folder=folder.absolute(), content=plan.content)
    work = run(write, missing, num_proc=num_proc, engine=engine, address=address)
    try:
        with contextlib.closing(work):
            for shard, _ in work:
                progress(shard.num_bytes)
    finally:
        remove_parts(folder)  # a worker that is stopped leaves its own behind
    written = [read_shard(folder, shard) for shard in plan.shards]
    counts = stats.count(layout, plan.splits)
    write_whole(folder / CARD, card(about, plan.content, written, counts, repository).encode())
    return written


def describe(folder: Path, written: list[WrittenShard]) -> str:
    """What was published, for reading."""
    rows: dict[tuple[str, str], list[int]] = {}
    for one in written:
        sums = rows.setdefault((one.shard.config, one.shard.split), [0, 0, 0])
        for i, number in enumerate((one.shard.rows, 1, one.file_bytes)):
            sums[i] += number
    table = [[*key, f"{n:,}", f"{files:,}", human_size(size)] for key, (n, files, size) in rows.items()]
    headers = ["config", "split", "rows", "files", "size"]
    alignment = ("left", "left", "right", "right", "right")
    return f"{tabulate(table, headers, colalign=alignment, disable_numparse=True)}\n\nThe card: {folder / CARD}"


def human_size(num_bytes: int) -> str:
    return f"{tqdm.format_sizeof(num_bytes)}B"


def read_shard(folder: Path, shard: Shard) -> WrittenShard | None:
    """What the footer of a shard in place says; None where there is no whole one."""
    path = folder / shard.path
    try:
        footer = pq.read_metadata(path)
    except (FileNotFoundError, pa.ArrowInvalid):
        return None
    if footer.num_rows != shard.rows:
        return None
    return WrittenShard(shard, path.stat().st_size, int(footer.metadata[NUM_BYTES]))


def _claim(folder: Path, plan: Plan) -> None:
    """See that the folder is this plan's: a new one, or that of an earlier run with the same."""
    earlier = _earlier_plan(folder)
    if earlier is None and any((folder / name).exists() for name in (CARD, *CONFIGS)):
        raise UsageError(f"{folder} holds something that was not published from here: name a new folder")
    if earlier is not None and earlier != plan and any(read_shard(folder, shard) for shard in earlier.shards):
        raise UsageError(
            f"{folder} was published {_difference(earlier, plan)}. Nothing was changed there: name another folder, or "
            "delete that one first."
        )
    folder.mkdir(parents=True, exist_ok=True)
    remove_parts(folder)
    if earlier != plan:
        write_whole(folder / PLAN, msgspec.json.format(msgspec.json.encode(plan)))


def _earlier_plan(folder: Path) -> Plan | None:
    path = folder / PLAN
    if not path.exists():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=Plan)
    except msgspec.DecodeError as error:
        raise UsageError(
            f"{path} is not a plan that this version can continue ({error}): name another folder"
        ) from None


def _difference(earlier: Plan, plan: Plan) -> str:
    names = {
        "configs": "with other configs",
        "content": "with other content",
        "shard_bytes": "with another shard size",
        "annotations": "from other annotation files, or they have changed since",
        "frames": "from other frames, or they have changed since",
        "shards": "with shards divided in another way",
    }
    name = next(name for name in names if getattr(earlier, name) != getattr(plan, name))
    if name in ("configs", "content", "shard_bytes"):
        return f"{names[name]}: {getattr(earlier, name)}, not {getattr(plan, name)}"
    return names[name]
