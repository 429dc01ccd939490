"""Publishes the dataset as a folder in the layout of the Hugging Face Hub: Parquet shards and a card.

FOLDER/videos/<split>-00003-of-00016.parquet        a row per video, its frames embedded once
FOLDER/expressions/<split>-00000-of-00002.parquet   a row per expression, with the row of its video in `videos`
FOLDER/preview/<split>-00000-of-00001.parquet       where asked for: a row per expression, with a small picture
FOLDER/eval.yaml                                    what a benchmark of the Hub says of its tasks
FOLDER/README.md                                    the card, written last: where it is, all shards are
FOLDER/.publish.json                                the plan: what is to be written, and what that depends on

A run that was killed is continued by running it again: shards that are in place are kept.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import msgspec
import pyarrow.parquet as pq
from datasets import DatasetInfo
from tabulate import tabulate
from tqdm import tqdm

from revoskit import stats
from revoskit.atomic import remove_parts, require_room, sole_writer, write_whole
from revoskit.dataset.annotations import Annotations, open_splits, open_with_frames
from revoskit.dataset.changes import unchanged
from revoskit.dataset.families import FAMILIES, REVOS
from revoskit.dataset.layout import FRAMES_ARCHIVE, FRAMES_FOLDER, Layout, SplitFiles
from revoskit.dataset.records import Video
from revoskit.errors import FrameError, MissingFilesError, RevosError, UsageError
from revoskit.frames import Frame
from revoskit.publishing.card import card, is_edited, scaled_videos, squeezed_videos
from revoskit.publishing.eval_results import BENCHMARK, CONFIG, SPLIT, benchmark_yaml
from revoskit.publishing.preview import MOST_BYTES, PREVIEW
from revoskit.publishing.shards import (
    CONFIGS,
    EVERY_CONFIG,
    IDENTITY,
    NUM_BYTES,
    SCALED,
    SQUEEZED,
    Content,
    Shard,
    WrittenShard,
    identity,
    published_size,
    write_shard,
)
from revoskit.text import as_json
from revoskit.workers import require, run

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
    shards: tuple[Shard, ...]
    """Each with a digest of its frames."""

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
        UsageError: an option is not valid, or there is nothing to publish.
        MissingFilesError: files, or frames that are to be embedded, are not on disk.
        ChangedError: the annotation files changed meanwhile.
    """
    if layout.family != REVOS:
        sister = FAMILIES[layout.family]
        raise UsageError(
            f"only ReVOS is published: what may be passed on of {sister.title} is said at {sister.homepage}"
        )
    configs = tuple(config for config in EVERY_CONFIG if config in set(_known(configs)))
    embedding = content.frames == "embed" and "videos" in configs
    if content.max_side is not None and (not embedding or content.max_side < 1):
        raise UsageError(
            "a longest side (--max-side) is of embedded frames, and at least 1 pixel: it goes with config videos and "
            "--frames embed"
        )
    if shard_bytes < 1:
        raise UsageError(f"a shard of {shard_bytes} bytes (--shard-size) cannot hold anything")
    layout.require()
    with unchanged(layout):
        return _plan(layout, content, configs, shard_bytes, embedding)


def _plan(layout: Layout, content: Content, configs: tuple[str, ...], shard_bytes: int, embedding: bool) -> Plan:
    reading = embedding or PREVIEW in configs
    opened = open_with_frames(layout) if reading else open_splits(layout)
    frames = _FrameFiles(layout) if reading else None
    shards: list[Shard] = []
    for config in configs:
        for split, of_split in opened.items():
            sources = [_source(of_split, video, config, content, frames) for video in of_split]
            shards += _divide(config, split, list(of_split), sources, shard_bytes)
    if frames:
        frames.refuse_missing()
    if not shards:
        raise UsageError(f"{layout.root} has nothing to publish: no split lists a video with an expression")
    return Plan(configs, content, shard_bytes, layout.annotation_state(), tuple(shards))


def _known(configs: Iterable[str]) -> list[str]:
    configs = list(configs)
    unknown = sorted(set(configs) - set(EVERY_CONFIG))
    if unknown or not configs:
        raise UsageError(f"there is no config {', '.join(unknown) or '(none named)'}: expected {' or '.join(CONFIGS)}")
    return configs


class _Source(NamedTuple):
    """What the rows of a video are made from."""

    mask_bytes: int
    frame_bytes: int = 0
    """Of embedded frames; an estimate where they will be made smaller, and the most that pictures can take."""
    frames: str = ""
    """Name, size and time of each of them."""


class _FrameFiles:
    """The frames, as each video's are looked at."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._missing: dict[str, None] = {}

    def look(self, files: SplitFiles, video: Video) -> list[tuple[str, int, int]]:
        """Name, bytes, and time of the last change in nanoseconds of each frame that is there."""
        looked = []
        for name, frame in zip(video.frame_names, files.frames(video), strict=True):
            status = _status(frame)
            if status is None:
                self._missing[f"{video.video_id}/{name}.jpg"] = None
            else:
                looked.append((name, *status))
        return looked

    def refuse_missing(self) -> None:
        if self._missing:
            first = ", ".join(list(self._missing)[:3]) + (", …" if len(self._missing) > 3 else "")
            root = self._layout.root
            raise MissingFilesError(
                f"{len(self._missing):,} frames that the annotations list are not under {root}/{FRAMES_FOLDER} or "
                f"{root}: {first}\nUnpack {FRAMES_ARCHIVE} there, or publish without frames: --frames none, and "
                "without --preview."
            )


def _status(frame: Frame | None) -> tuple[int, int] | None:
    try:
        return None if frame is None else frame.status()
    except FrameError:  # a link may lead nowhere
        return None


def _source(
    annotations: Annotations, video: Video, config: str, content: Content, frames: _FrameFiles | None
) -> _Source:
    """What a video's rows take, measured on the official files."""
    if config == "expressions":
        return _Source(sum(annotations.track_bytes(i) for e in video.expressions for i in e.annotation_ids))
    looked = frames.look(annotations.files, video) if frames else []
    if config == PREVIEW:
        return _Source(0, MOST_BYTES * len(video.expressions), repr((video.video_id, looked)))
    mask_bytes = sum(annotations.track_bytes(i) for i in video.annotation_ids)
    if content.frames == "none":
        return _Source(mask_bytes)
    height, width = published_size(video, content)
    frame_bytes = sum(size for _, size, _ in looked) * height * width // (video.height * video.width)
    return _Source(mask_bytes, frame_bytes, repr((video.video_id, looked)))


def _divide(config: str, split: str, videos: list[Video], sources: list[_Source], shard_bytes: int) -> list[Shard]:
    """Consecutive videos together, as many as fit; one that is larger than a shard gets one of its own.

    A split without rows gets no shard: `datasets` does not load it.
    """
    if not (videos if config == "videos" else any(video.expressions for video in videos)):
        return []
    starts, filled = [], 0
    for index, source in enumerate(sources):
        size = source.mask_bytes + source.frame_bytes
        if index == 0 or filled + size > shard_bytes:
            starts.append(index)
            filled = 0
        filled += size
    return [
        _shard(config, split, number, len(starts), start, videos[start:end], sources[start:end])
        for number, (start, end) in enumerate(zip(starts, [*starts[1:], len(videos)], strict=True))
    ]


def _shard(
    config: str, split: str, number: int, count: int, first: int, videos: list[Video], sources: list[_Source]
) -> Shard:
    ids = tuple(video.video_id for video in videos)
    rows = len(videos) if config == "videos" else sum(len(video.expressions) for video in videos)
    frame_bytes = sum(source.frame_bytes for source in sources)
    num_bytes = frame_bytes + sum(source.mask_bytes for source in sources)
    states = "".join(source.frames for source in sources)
    frames = hashlib.sha256(states.encode()).hexdigest() if states else ""
    return Shard(config, split, number, count, first, ids, rows, num_bytes, frame_bytes, frames)


def parse_size(text: str) -> int:
    """Bytes of a size such as `500MB` or `1GiB`.

    Raises:
        UsageError: it is not one.
    """
    found = re.fullmatch(r"(\d{1,15}(?:\.\d{1,15})?)\s*([kMGT]?)(i?)B?", text.strip(), re.IGNORECASE)
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
    """Write the shards of `plan` that `folder` does not hold yet; then the card, unless it has been edited.

    Args:
        about: description, citation and license, for the card.
        repository: what the card's examples load, "OWNER/NAME".
        num_proc, engine, address: shards written at a time, and where, as `workers.run` takes them. On several machines
            the dataset and `folder` must lie under the same paths on all of them.
        progress: called with the source bytes of each shard once it is in place.

    Raises:
        UsageError: `folder` holds something else, or a publication of other data or with other options, or a card that
            was edited and would no longer be true; or its disk has no room for the frames.
        FolderInUseError: another process writes to `folder`.
        RevosError: the dataset changed meanwhile, or what `write_shard` raises.
    """
    require(num_proc, engine, address)
    _refuse_others(folder)
    with sole_writer(folder):
        _remove_parts(folder)
        _claim(folder, plan)
        written, edited = _write_missing(layout, folder, plan, num_proc, engine, address, progress)
        if not edited:
            counts = stats.count(layout, plan.splits)
            write_whole(folder / CARD, card(about, plan.content, written, counts, repository).encode())
        if any((shard.config, shard.split) == (CONFIG, SPLIT) for shard in plan.shards):
            write_whole(folder / BENCHMARK, benchmark_yaml().encode())
    return written


def _write_missing(
    layout: Layout,
    folder: Path,
    plan: Plan,
    num_proc: int,
    engine: str,
    address: str | None,
    progress: Callable[[int], object],
) -> tuple[list[WrittenShard], bool]:
    """Write the shards that are not there; returns all of them, and whether the card in place has been edited."""
    in_place = {shard: read_shard(folder, shard, plan.content) for shard in plan.shards}
    missing = [shard for shard, found in in_place.items() if found is None]
    for shard, earlier in in_place.items():
        if earlier:
            progress(shard.num_bytes)
    if plan.content.max_side is None:  # frames as they are; smaller ones take far less, and masks once compressed
        require_room(folder, sum(shard.frame_bytes for shard in missing), UsageError)
    edited = _edited_card(folder, missing)
    write = functools.partial(
        write_shard, layout=layout, state=plan.annotations, folder=folder.absolute(), content=plan.content
    )
    work = run(write, missing, num_proc=num_proc, engine=engine, address=address)
    try:
        with contextlib.closing(work):
            for shard, _ in work:
                in_place[shard] = read_shard(folder, shard, plan.content)
                progress(shard.num_bytes)
    finally:
        _remove_parts(folder)  # a worker that is stopped leaves its own behind
    if make_plan(layout, content=plan.content, configs=plan.configs, shard_bytes=plan.shard_bytes) != plan:
        raise RevosError(
            f"the files of {layout.root} changed while they were published: give the same command again. What was made "
            "from them before that is then written anew."
        )
    return [one for one in in_place.values() if one], edited


def _edited_card(folder: Path, missing: list[Shard]) -> bool:
    """Whether the card in place was edited, and so is to stay; one that was not goes as long as shards are missing."""
    path = folder / CARD
    edited = path.exists() and is_edited(path.read_text(encoding="utf-8", errors="replace"))
    if missing and edited:
        raise UsageError(
            f"{path} was edited, and {len(missing)} shards are to be written, of which it gives numbers: move it "
            "elsewhere, and put what you wrote into the new one."
        )
    if missing:
        path.unlink(missing_ok=True)
    return edited


def describe(folder: Path, written: list[WrittenShard]) -> str:
    """What was published, for reading."""
    edited = ", edited and left as it is" if is_edited((folder / CARD).read_text(encoding="utf-8")) else ""
    table = _table([(one.shard, one.file_bytes) for one in written], "size")
    squeezed = squeezed_videos(written)
    note = f"\n\nMore than a row can hold, and so with frames encoded anew: {', '.join(squeezed)}" if squeezed else ""
    if scaled := scaled_videos(written):
        note += f"\n\nWith frames of another size than the annotations say, brought to that: {', '.join(scaled)}"
    return f"{table}{note}\n\nThe card: {folder / CARD}{edited}"


def describe_plan(folder: Path, plan: Plan) -> str:
    """What would be published, for reading."""
    table = _table([(shard, shard.num_bytes) for shard in plan.shards], "size of its source")
    return f"{table}\n\nNothing was written. It would go to {folder}, with a card, {CARD}."


def _table(shards: Iterable[tuple[Shard, int]], size: str) -> str:
    """Rows, files and bytes of each split."""
    sums: dict[tuple[str, str], tuple[int, int, int]] = {}
    for shard, num_bytes in shards:
        rows, files, total = sums.get((shard.config, shard.split), (0, 0, 0))
        sums[shard.config, shard.split] = (rows + shard.rows, files + 1, total + num_bytes)
    lines = [[*key, f"{rows:,}", f"{files:,}", human_size(total)] for key, (rows, files, total) in sums.items()]
    alignment = ("left", "left", "right", "right", "right")
    return tabulate(lines, ["config", "split", "rows", "files", size], colalign=alignment, disable_numparse=True)


def human_size(num_bytes: int) -> str:
    return f"{tqdm.format_sizeof(num_bytes)}B"


def read_shard(folder: Path, shard: Shard, content: Content) -> WrittenShard | None:
    """What the footer of a shard in place says; None where there is no whole one, or it is that of another."""
    path = folder / shard.path
    try:
        with path.open("rb") as file:
            said = pq.read_metadata(file).metadata or {}
    except (OSError, ValueError):  # whatever Arrow makes of a damaged footer
        return None
    if said.get(IDENTITY) != identity(shard, content).encode():
        return None
    squeezed, scaled = (msgspec.json.decode(said.get(key, b"[]"), type=tuple[str, ...]) for key in (SQUEEZED, SCALED))
    return WrittenShard(shard, path.stat().st_size, int(said[NUM_BYTES]), squeezed, scaled)


def _remove_parts(folder: Path) -> None:
    """Only of files that are written here: other things may lie in the folder."""
    for of in (CARD, PLAN, BENCHMARK, *(f"{config}/*.parquet" for config in EVERY_CONFIG)):
        remove_parts(folder, of)


# --- whose folder it is -----------------------------------------------------------------------------------------------


def _refuse_others(folder: Path) -> None:
    """See that what is in the folder, if anything, comes from here."""
    if _earlier_plan(folder) is None and any((folder / name).exists() for name in (CARD, *EVERY_CONFIG)):
        raise UsageError(f"{folder} holds something that was not published from here: name a new folder")


def _claim(folder: Path, plan: Plan) -> None:
    """See that the folder is this plan's: a new one, or that of an earlier run with the same."""
    earlier = _earlier_plan(folder)
    if earlier is not None and earlier != plan:
        _give_way(folder, earlier, plan)
    if earlier != plan:
        write_whole(folder / PLAN, as_json(plan, indent=2))


def _give_way(folder: Path, earlier: Plan, plan: Plan) -> None:
    """Make way for another plan, where what was published is not finished and the data has changed since.

    It may have been corrected because that run stopped at it. Shards go that were made from what has changed.
    """
    written = [shard for shard in earlier.shards if read_shard(folder, shard, earlier.content)]
    then, now = _options(earlier), _options(plan)
    if written and then != now:
        other = [name for name in now if then[name] != now[name]]
        before, here = (" and ".join(options[name] for name in other) for options in (then, now))
        raise UsageError(
            f"{folder} was published with {before}, and this is with {here}. Nothing was changed there: pass {before} "
            "to go on with it, name another folder, or delete that one first."
        )
    if written and (folder / CARD).exists():
        what = "annotation files" if earlier.annotations != plan.annotations else "frames"
        raise UsageError(
            f"{folder} is whole, and was published from other {what}, or they have changed since. Nothing was changed "
            "there: name another folder, or delete that one first."
        )
    kept = set(plan.shards) if written and earlier.annotations == plan.annotations else set()
    for shard in earlier.shards:
        if shard not in kept:
            (folder / shard.path).unlink(missing_ok=True)  # damaged ones too


def _options(plan: Plan) -> dict[str, str]:
    """Each of the command's options, in its own spelling."""
    size, max_side = plan.shard_bytes, plan.content.max_side
    return {
        "configs": f"--configs {','.join(plan.configs)}",
        "frames": f"--frames {plan.content.frames}",
        "max_side": "no --max-side" if max_side is None else f"--max-side {max_side}",
        "shard_size": f"--shard-size {size}" if size % 1_000_000 else f"--shard-size {size // 1_000_000}MB",
    }


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
