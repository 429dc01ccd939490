"""The layout of Ref-YouTube-VOS: a palette PNG a frame, in which every object has a number of its own.

    FOLDER/<split>/JPEGImages/<video_id>/<frame>.jpg
    FOLDER/<split>/Annotations/<video_id>/<frame>.png          8-bit palette: 0 background, 1 the first track, ...
    FOLDER/<split>/meta.json                                   the objects of every video, and their tracks in ReVOS
    FOLDER/meta_expressions/<split>/meta_expressions.json      expressions of one object: obj_id is its number
    FOLDER/meta_expressions/<split>/meta_expressions_left_out.json

Two things do not fit. A pixel holds one number: where tracks overlap, the later one (by annotation id) is on top, and
what it covers is lost and counted; an object that shows nowhere is not in meta.json. And an expression there means one
object: those that mean several, none, or one that shows nowhere are left out, in a file of their own that gives
`obj_id` as a list. `category` is "others", since ReVOS has none.
Read in public code: `datasets/ytvos.py` of wjn922/ReferFormer.
"""

from __future__ import annotations

import functools
import io
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec
import numpy as np
from PIL import Image

from revoskit import workers
from revoskit.atomic import whole
from revoskit.dataset.annotations import Annotations
from revoskit.dataset.records import Expression, Video
from revoskit.dataset.video_masks import VideoMasks
from revoskit.errors import UsageError
from revoskit.export.job import Counts, Job, place_frames

PASSES = 1
NAMES = {"validation": "valid"}
HOW_TO_READ = "Loaders of Ref-YouTube-VOS take {folder} for their ref-youtube-vos folder."
MOST_OBJECTS = 255
_FRAMES_AT_ONCE = 32  # so that memory does not grow with the length of a video


class _Object(msgspec.Struct):
    """An object of `meta.json`; its number in the pictures is its key there."""

    frames: list[str]
    annotation_id: int
    object_id: int | None
    category: str = "others"


class _Entry(msgspec.Struct):
    """A video of `meta_expressions.json`."""

    frames: tuple[str, ...]
    expressions: dict[str, dict[str, object]]


class _Drawn(msgspec.Struct):
    """What became of one video."""

    frames: dict[str, int]
    """How many frames were linked, copied, symlinked and kept."""
    seen: list[list[str]]
    """For each object, the frames in whose pictures there are pixels of it."""
    object_pixels: int = 0
    covered_pixels: int = 0
    covered_frames: int = 0


def require_numbers(splits: Iterable[Annotations]) -> None:
    """See, before anything is written, that the palette has a number for every track of a video."""
    for of_split in splits:
        for video in of_split:
            if len(video.annotation_ids) > MOST_OBJECTS:
                raise UsageError(
                    f"video {video.video_id!r} of {of_split.split} has {len(video.annotation_ids)} tracks: an 8-bit "
                    f"palette has room for {MOST_OBJECTS}. Export to mevis or coco instead."
                )


def write(job: Job, progress: Callable[[int], object]) -> Counts:
    name = NAMES.get(job.split, job.split)
    counts = job.counts(name)
    objects: dict[str, dict[str, _Object]] = {}
    draw = functools.partial(_draw, job, job.folder / name)
    for video_id, drawn in workers.run(draw, list(job.annotations.videos), num_proc=job.num_proc):
        objects[video_id] = _objects(job.annotations.video(video_id), drawn)
        counts.add_frames(drawn.frames)
        counts.object_pixels += drawn.object_pixels
        counts.covered_pixels += drawn.covered_pixels
        counts.covered_frames += drawn.covered_frames
        progress(1)
    _write_meta(job, name, objects)
    counts.tracks_left_out = counts.tracks - sum(map(len, objects.values()))
    counts.left_out = _write_expressions(job, job.folder / "meta_expressions" / name, objects)
    return counts


def _draw(job: Job, folder: Path, video_id: str) -> _Drawn:
    """Write a video's pictures, save those that are there already; all are counted."""
    video = job.annotations.video(video_id)
    masks = job.annotations.masks(video)
    drawn = _Drawn(place_frames(job, folder, video_id), [[] for _ in video.annotation_ids])
    target = folder / "Annotations" / video_id
    target.mkdir(parents=True, exist_ok=True)
    there = set(os.listdir(target))
    for start in range(0, len(video.frame_names), _FRAMES_AT_ONCE):
        names = video.frame_names[start : start + _FRAMES_AT_ONCE]
        for name, picture in zip(names, _numbers(masks, slice(start, start + len(names)), names, drawn), strict=True):
            if f"{name}.png" not in there:
                with whole(target / f"{name}.png") as file, job.annotations.unchanged():
                    file.write(palette_png(picture))
    return drawn


def _numbers(masks: VideoMasks, part: slice, names: tuple[str, ...], drawn: _Drawn) -> np.ndarray:
    """Some frames of a video, uint8 (T, height, width): at each pixel the number of the last object that covers it."""
    video = masks.video
    numbers = np.zeros((len(names), video.height, video.width), np.uint8)
    taken = np.zeros(len(names), bool)
    for i, annotation_id in enumerate(video.annotation_ids):
        inside = masks.track(annotation_id)[part].decode() != 0
        covered = (inside & (numbers != 0)).sum((1, 2))
        drawn.object_pixels += int(inside.sum())
        drawn.covered_pixels += int(covered.sum())
        taken |= covered > 0
        numbers[inside] = i + 1
    drawn.covered_frames += int(taken.sum())
    for i, seen in enumerate(drawn.seen):
        shows = (numbers == i + 1).any((1, 2))
        seen += [names[t] for t in np.flatnonzero(shows)]
    return numbers


def palette_png(numbers: np.ndarray) -> bytes:
    """An 8-bit palette PNG of an array (height, width) of object numbers, in the colours usual for them."""
    height, width = numbers.shape
    image = Image.frombytes("P", (width, height), np.ascontiguousarray(numbers, np.uint8).tobytes())
    image.putpalette(_palette())
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


@functools.cache
def _palette() -> bytes:
    """PASCAL VOC's colours: the bits of a number, from the lowest, go to red, green and blue, from the highest."""
    numbers = np.arange(256)
    channels = [
        sum(((numbers >> (3 * place + channel)) & 1) << (7 - place) for place in range(3)) for channel in range(3)
    ]
    return np.stack(channels, 1).astype(np.uint8).tobytes()


def _objects(video: Video, drawn: _Drawn) -> dict[str, _Object]:
    """The objects that show anywhere, by their number in the pictures."""
    return {
        str(number): _Object(names, *track)
        for number, (track, names) in enumerate(zip(video.objects().items(), drawn.seen, strict=True), 1)
        if names
    }


def _write_meta(job: Job, name: str, objects: dict[str, dict[str, _Object]]) -> None:
    videos = {video_id: {"objects": objects[video_id]} for video_id in job.annotations.videos}
    with whole(job.folder / name / "meta.json") as file, job.annotations.unchanged():
        file.write(msgspec.json.encode({"videos": videos}))


def _write_expressions(job: Job, folder: Path, objects: dict[str, dict[str, _Object]]) -> int:
    """Write the expressions of one object that shows, and apart from them the others; returns how many those are."""
    one: dict[str, _Entry] = {}
    other: dict[str, _Entry] = {}
    for video in job.annotations:
        numbers = {annotation_id: str(number) for number, annotation_id in enumerate(video.annotation_ids, 1)}
        one[video.video_id] = _Entry(video.frame_names, {})
        other[video.video_id] = _Entry(video.frame_names, {})
        for expression in video.expressions:
            named = [numbers[i] for i in expression.annotation_ids]
            kept = len(set(named)) == 1 and named[0] in objects[video.video_id]
            target = one if kept else other
            said = _expression(expression, named[0] if kept else named)
            target[video.video_id].expressions[expression.expression_id] = said
    for file_name, videos in [("meta_expressions.json", one), ("meta_expressions_left_out.json", other)]:
        with whole(folder / file_name) as file, job.annotations.unchanged():
            holding = {video_id: entry for video_id, entry in videos.items() if entry.expressions}
            file.write(msgspec.json.encode({"videos": holding}))
    return sum(len(entry.expressions) for entry in other.values())


def _expression(expression: Expression, named: str | list[str]) -> dict[str, object]:
    said: dict[str, object] = {"exp": expression.text, "obj_id": named}
    return said if expression.type is None else said | {"type_id": int(expression.type)}
