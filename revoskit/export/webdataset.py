"""WebDataset shards: plain tar files with a sample for each video.

    FOLDER/<family>-<split>-000000.tar              the family is `revos`, or another dataset's
        <number of the video in the split>.json         what is known of it, as below
        <number of the video in the split>.00000.jpg    its frames, numbered in the order of `frame_names`

The JSON has `video_id`, `height`, `width`, `frame_names`, `tracks` (`annotation_id`, `object_id`, `masks`: an RLE or
null for each frame) and `expressions` (`expression_id`, `expression`, `type`, `object_ids`, `annotation_ids`). What an
expression means is the union of its tracks.

Keys are numbers because WebDataset ends a key at the first dot of a name, and ids may hold dots. The same data gives
the same bytes, whoever writes them.
"""

from __future__ import annotations

import functools
import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

import msgspec

from revoskit import workers
from revoskit.atomic import whole
from revoskit.dataset.records import Expression, Video
from revoskit.dataset.video_masks import VideoMasks
from revoskit.export.job import Counts, Job, frames_of

PASSES = 1
HOW_TO_READ = "Read them with webdataset.WebDataset('{folder}/{first}', shardshuffle=False).decode('pil')."
SHARD_BYTES = 500_000_000


class _Shard(msgspec.Struct, frozen=True):
    path: Path
    videos: list[tuple[int, str]]
    """Number in the split, and id."""

    def __hash__(self) -> int:  # the pool keeps its items in a dict
        return hash(self.path)


def write(job: Job, progress: Callable[[int], object]) -> Counts:
    shards = _plan(job)
    counts = job.counts(f"{job.family}-{job.split}-{{000000..{len(shards) - 1:06d}}}.tar" if shards else "no shard")
    counts.shards = len(shards)
    for shard, written in workers.run(functools.partial(_write_shard, job), shards, num_proc=job.num_proc):
        counts.add_frames({"copied" if written else "kept": _frames(job, shard)})
        progress(len(shard.videos))
    return counts


def _plan(job: Job) -> list[_Shard]:
    """Whole videos, in their order, to a shard until it is full."""
    shards: list[list[tuple[int, str]]] = []
    size = SHARD_BYTES
    for number, video in enumerate(job.annotations):
        if size >= SHARD_BYTES:
            shards.append([])
            size = 0
        shards[-1].append((number, video.video_id))
        size += sum(frame.status()[0] for frame in frames_of(job, video))
    return [_Shard(job.folder / f"{job.family}-{job.split}-{i:06d}.tar", videos) for i, videos in enumerate(shards)]


def _frames(job: Job, shard: _Shard) -> int:
    return sum(len(job.annotations.video(video_id).frame_names) for _, video_id in shard.videos)


def _write_shard(job: Job, shard: _Shard) -> bool:
    """Write one shard, unless it is there as it would be written now; returns whether it did."""
    if _frames_in(shard.path) == _frames_of(job, shard):
        return False
    with (
        whole(shard.path) as file,
        job.annotations.unchanged(),
        tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for number, video_id in shard.videos:
            video = job.annotations.video(video_id)
            known = msgspec.json.encode(_known(video, job.annotations.masks(video)))
            _add(tar, f"{number:06d}.json", len(known), io.BytesIO(known))
            for i, frame in enumerate(frames_of(job, video)):
                content = frame.read()
                _add(tar, _frame_name(number, i), len(content), io.BytesIO(content))
    return True


def _frames_in(path: Path) -> list[tuple[str, int]] | None:
    """Names and sizes of the frames in a shard; None where there is no sound one."""
    try:
        with tarfile.open(path, "r:") as tar:
            return [(member.name, member.size) for member in tar if member.name.endswith(".jpg")]
    except (FileNotFoundError, tarfile.TarError):
        return None


def _frames_of(job: Job, shard: _Shard) -> list[tuple[str, int]]:
    """The same, as the dataset has them now: which videos a shard holds follows from the sizes of all frames."""
    found = []
    for number, video_id in shard.videos:
        frames = frames_of(job, job.annotations.video(video_id))
        found += [(_frame_name(number, i), frame.status()[0]) for i, frame in enumerate(frames)]
    return found


def _frame_name(number: int, index: int) -> str:
    return f"{number:06d}.{index:05d}.jpg"


def _add(tar: tarfile.TarFile, name: str, size: int, content: IO[bytes]) -> None:
    member = tarfile.TarInfo(name)  # its owner, mode and time are fixed, so the bytes are too
    member.size = size
    tar.addfile(member, content)


def _known(video: Video, masks: VideoMasks) -> dict[str, object]:
    return {
        "video_id": video.video_id,
        "height": video.height,
        "width": video.width,
        "frame_names": video.frame_names,
        "tracks": [
            {"annotation_id": i, "object_id": object_id, "masks": list(masks.track(i))}
            for i, object_id in video.objects().items()
        ],
        "expressions": [_expression(expression) for expression in video.expressions],
    }


def _expression(expression: Expression) -> dict[str, object]:
    return {
        "expression_id": expression.expression_id,
        "expression": expression.text,
        "type": None if expression.type is None else expression.type.label,
        "object_ids": expression.object_ids,
        "annotation_ids": expression.annotation_ids,
    }
