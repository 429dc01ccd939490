"""What every target does alike: place the frames, and count."""

from __future__ import annotations

import functools
import itertools
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from revoskit import workers
from revoskit.atomic import replacing
from revoskit.dataset.annotations import Annotations
from revoskit.dataset.records import Video
from revoskit.errors import MissingFilesError, UsageError
from revoskit.frames import Frame, FrameFile
from revoskit.regular import open_regular

FRAMES = "JPEGImages"
How = Literal["link", "copy", "symlink"]
Placed = Literal["linked", "copied", "symlinked", "kept"]


class Counts(msgspec.Struct):
    """What the export of one split came to."""

    folder: str
    """Where it lies, under the export's folder."""
    videos: int = 0
    frames: int = 0
    expressions: int = 0
    tracks: int = 0
    linked: int = 0
    copied: int = 0
    symlinked: int = 0
    kept: int = 0
    """Frames that an earlier run had put there."""
    left_out: int = 0
    """Expressions that the target cannot hold."""
    tracks_left_out: int = 0
    """Tracks of which nothing is to be seen in what is written."""
    object_pixels: int = 0
    """Pixels of all masks together, where they are drawn into one picture."""
    covered_pixels: int = 0
    """Those of them that a later object took."""
    covered_frames: int = 0
    """Frames in which any was taken."""
    shards: int = 0

    def add_frames(self, placed: dict[str, int]) -> None:
        for kind, number in placed.items():
            setattr(self, kind, getattr(self, kind) + number)

    def describe(self) -> str:
        """What there is, for reading, and what a reader of the export should know."""
        kinds = ("linked", "copied", "symlinked", "kept")
        how = [f"{number:,} {kind}" for kind in kinds if (number := getattr(self, kind))]
        frames = f"{self.frames:,} frames" + (f" ({', '.join(how)})" if how else "")
        counted = f"{self.videos:,} videos, {frames}, {self.expressions:,} expressions, {self.tracks:,} tracks"
        return "\n".join([f"{counted} in {self.folder}", *self._notes()])

    def _notes(self) -> Iterator[str]:
        if self.left_out:
            yield (
                f"  {self.left_out:,} of the expressions mean several objects, none, or one that no pixel is left of, "
                "which this layout cannot say: they are in meta_expressions_left_out.json"
            )
        if self.tracks_left_out:
            yield f"  {self.tracks_left_out:,} of the tracks have no pixel in what is written, and are left out"
        if self.covered_pixels:
            share = self.covered_pixels / self.object_pixels
            yield (
                f"  {self.covered_pixels:,} of {self.object_pixels:,} object pixels ({share:.2%}), in "
                f"{self.covered_frames:,} frames, lie under a later object and are lost: one pixel holds one object"
            )


@dataclass(frozen=True)
class Job:
    """One split on its way to one target. Other processes get it without the masks, which they map themselves."""

    annotations: Annotations
    folder: Path
    how: How
    num_proc: int

    @property
    def split(self) -> str:
        return self.annotations.split

    @property
    def family(self) -> str:
        return self.annotations.layout.family

    def counts(self, folder: str) -> Counts:
        videos = list(self.annotations)
        return Counts(
            folder,
            videos=len(videos),
            frames=sum(len(video.frame_names) for video in videos),
            expressions=sum(len(video.expressions) for video in videos),
            tracks=sum(len(video.annotation_ids) for video in videos),
        )


def own_ids(annotations: Annotations, lowest: int | None = None) -> dict[tuple[str, int], int]:
    """For each video's tracks, by video and annotation id, a number that no other has.

    It is the annotation id, or one above them all where an earlier video has the same track, since targets cannot tell
    the two apart, or where the id is below `lowest`.
    """
    tracks = [(video.video_id, annotation_id) for video in annotations for annotation_id in video.annotation_ids]
    free = itertools.count(max([0, *(annotation_id for _, annotation_id in tracks)]) + 1)
    ids: dict[tuple[str, int], int] = {}
    taken: set[int] = set()
    for track in tracks:
        own = track[1] not in taken and (lowest is None or track[1] >= lowest)
        ids[track] = track[1] if own else next(free)
        taken.add(ids[track])
    return ids


def frames_of(job: Job, video: Video) -> list[Frame]:
    """A video's frames. All are there when an export begins, and may be taken away meanwhile.

    Raises:
        MissingFilesError: one is no longer on disk.
    """
    frames = job.annotations.files.frames(video)
    there = [frame for frame in frames if frame is not None]
    if len(there) < len(frames):
        gone = video.frame_names[frames.index(None)]
        raise MissingFilesError(
            f"frame {gone!r} of video {video.video_id!r} was removed while it was exported: put it back under "
            f"{job.annotations.files.video_folder(video.video_id)}, and give the same command again"
        )
    return there


def place(frame: Frame, target: Path, how: How) -> Placed:
    """Put a frame somewhere; one that is no file of its own cannot be linked, and is copied.

    Returns:
        "linked", "copied", "symlinked", or "kept" where it is already.
    """
    return _place_file(frame.path, target, how) if isinstance(frame, FrameFile) else _place_bytes(frame, target)


def _place_bytes(frame: Frame, target: Path) -> Placed:
    num_bytes, modified = frame.status()
    if os.path.lexists(target):
        there = target.lstat()
        if stat.S_ISREG(there.st_mode) and (there.st_size, there.st_mtime_ns) == (num_bytes, modified):
            return "kept"
        target.unlink()
    with replacing(target) as part:
        part.write_bytes(frame.read())
        os.utime(part, ns=(modified, modified))  # by which the next run knows it for the same
    return "copied"


def _place_file(source: str, target: Path, how: How) -> Placed:
    source = os.path.realpath(source)  # a link to a link would lead out of the folder
    if os.path.lexists(target):
        if _is_placed(source, target, how):
            return "kept"
        target.unlink()
    if how == "symlink":
        try:
            os.symlink(source, target)
        except OSError as error:  # on Windows it takes a privilege
            raise UsageError(
                f"{target} cannot be made as a symbolic link ({error.strerror}): leave out --frames symlink, for "
                "hard links, or copies where there can be none"
            ) from error
        return "symlinked"
    if how == "link":
        try:
            os.link(source, target)
            return "linked"
        except OSError:  # another file system, or one without links
            pass
    open_regular(source).close()  # a device has no end
    with replacing(target) as part:
        shutil.copyfile(source, part)
        shutil.copystat(source, part)  # by its time, the next run knows it for the same
    return "copied"


def _is_placed(source: str, target: Path, how: How) -> bool:
    """Whether an earlier run put just this file there, in just this way."""
    if how == "symlink" or target.is_symlink():
        return how == "symlink" and target.is_symlink() and os.readlink(target) == source
    ours, theirs = target.stat(), os.stat(source)
    if os.path.samestat(ours, theirs):
        return how == "link"
    return (ours.st_size, ours.st_mtime_ns) == (theirs.st_size, theirs.st_mtime_ns)


def place_frames(job: Job, folder: Path, video_id: str) -> dict[str, int]:
    """Put a video's frames under `folder`/JPEGImages; returns how many were linked, copied, symlinked and kept."""
    video = job.annotations.video(video_id)
    target = folder / FRAMES / video_id
    target.mkdir(parents=True, exist_ok=True)
    placed: dict[str, int] = {}
    for name, frame in zip(video.frame_names, frames_of(job, video), strict=True):
        kind = place(frame, target / f"{name}.jpg", job.how)
        placed[kind] = placed.get(kind, 0) + 1
    return placed


def place_all_frames(job: Job, folder: Path, counts: Counts, progress: Callable[[int], object]) -> None:
    """`place_frames` for every video, on several processes if asked."""
    videos = list(job.annotations.videos)
    for _, placed in workers.run(functools.partial(place_frames, job, folder), videos, num_proc=job.num_proc):
        counts.add_frames(placed)
        progress(1)
