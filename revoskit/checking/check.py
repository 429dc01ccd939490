"""Everything that is wrong with a copy of the dataset, found in one pass.

The records of all splits are compared first; then each video's masks and JPEGs are examined in a process of its own
turn, so that memory holds a video or two a core. Nothing stops at the first thing that is wrong.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

import msgspec
import numpy as np
from tqdm import tqdm

from revoskit import workers
from revoskit.checking import findings
from revoskit.checking.findings import Finding, Tally
from revoskit.dataset.advice import about_root
from revoskit.dataset.annotations import open_splits
from revoskit.dataset.expressions import scan_expressions
from revoskit.dataset.families import FAMILIES, REVOS
from revoskit.dataset.faults import OF_FRAMES, said
from revoskit.dataset.frame_archive import unusable_archive
from revoskit.dataset.layout import (
    EXPRESSIONS,
    FRAMES_ARCHIVE,
    FRAMES_FOLDER,
    WHERE_TO_GET_THEM,
    Layout,
    SplitFiles,
)
from revoskit.dataset.records import Expression, ExpressionType, Video
from revoskit.dataset.remapping import apply_mapping, read_mapping
from revoskit.dataset.tracks import ForegroundFile, TrackFile, open_once
from revoskit.errors import AnnotationError, FrameError, MissingFilesError, UsageError
from revoskit.frames import Frame, FrameMember
from revoskit.kinds import Kind, Severity
from revoskit.masks.rle import RLE, MaskSequence, faults

EXIT_STATUS = {None: 0, Severity.NOTE: 0, Severity.WARNING: 3, Severity.ERROR: 1}
"""By the worst that was found; 2 and 130 are taken."""
_RATIO_TOLERANCE = 1e-3
_CHUNK = 200  # unnamed tracks that a process takes at a time


class Place(TypedDict, total=False):
    """Where something was found."""

    split: str
    video: str
    expression: str
    track: str
    file: str


class FramePlace(Place, total=False):
    """The same, in one frame."""

    frame: str


class SkippedCount(msgspec.Struct):
    """How much `faults="skip"` would leave out of all that was examined."""

    expressions: int = 0
    tracks: int = 0
    videos: int = 0

    def __str__(self) -> str:
        numbers = [(getattr(self, name), name) for name in self.__struct_fields__]
        return ", ".join(f"{n:,} {name[: len(name) - (n == 1)]}" for n, name in numbers if n) or "nothing"


class ArchiveHere(msgspec.Struct):
    """The archive of frames that lies beside the annotation files."""

    file: str
    frames_read_from_it: int = 0
    """The listed frames that are not unpacked and read from it where it lies."""
    unusable: str | None = None
    """Why none can be."""

    def __str__(self) -> str:
        if self.unusable:
            return f"{self.file} cannot be read where it lies: {self.unusable}"
        if self.frames_read_from_it:
            return f"{self.frames_read_from_it:,} frames are not unpacked and read from {self.file}"
        return f"{self.file} lies there, too: no listed frame is read from it"


class Report(msgspec.Struct):
    """What was examined, and what was found."""

    root: str
    splits: list[str]
    videos: int
    frames: int
    masks: int
    findings: list[Finding]
    left_out: SkippedCount | None = None
    """What `faults="skip"` would leave out; null where nothing can be loaded even so."""
    archive: ArchiveHere | None = None
    """The archive of frames, where one lies there."""

    @property
    def worst(self) -> Severity | None:
        return next((severity for severity in Severity if any(f.severity is severity for f in self.findings)), None)

    @property
    def exit_status(self) -> int:
        return EXIT_STATUS[self.worst]


def check(
    layout: Layout, *, splits: Sequence[str] | None = None, decode: bool = False, num_proc: int | None = None
) -> Report:
    """Examine the copy under a root.

    Args:
        layout: the copy.
        splits: by default all that are there.
        decode: decode every JPEG; otherwise its header and its end are looked at. With `simplejpeg` installed this
            finds data that is damaged in the middle; Pillow alone takes it, since libjpeg paints over it.
        num_proc: processes; by default one for each core.

    Raises:
        UsageError: the copy is of another dataset than ReVOS.
        MissingFilesError: the root is not a folder, or a split that was asked for is not there.
    """
    if layout.family != REVOS:
        raise UsageError(f"check knows the files of ReVOS, not those of {FAMILIES[layout.family].title}")
    if not layout.root.is_dir():
        raise MissingFilesError(f"{layout.root} is not a folder. {WHERE_TO_GET_THEM}")
    for split in splits or ():
        if not layout.split(split).expressions.is_file():
            raise MissingFilesError(f"{layout.split(split).expressions} is not there. {WHERE_TO_GET_THEM}")
    num_proc = num_proc or os.cpu_count() or 1
    tally = Tally()
    records = _Records.read(layout, splits, tally)
    _check_records(layout, records, tally)
    files = _open_files(layout, tally)
    if not splits:
        _check_strangers(layout, records, files, tally)
    if layout.alignment is not None:
        _check_alignment(layout, layout.alignment, records, tally)

    report = Report(str(layout.root), list(records.videos), 0, 0, 0, [], archive=_archive_of(layout))
    jobs = records.jobs()
    work = functools.partial(_check_video, layout, files, decode)
    with tqdm(total=len(jobs), unit="video", desc="checking", disable=None) as bar:
        for job, (found, masks, archived) in workers.run(work, jobs, num_proc=min(num_proc, max(1, len(jobs)))):
            tally.merge(found)
            report.videos += 1
            report.frames += len(job.video.frame_names)
            report.masks += masks
            if report.archive is not None:
                report.archive.frames_read_from_it += archived
            bar.update(1)
    unnamed = records.unnamed(layout, files) if not splits else []
    chunks = [unnamed[start : start + _CHUNK] for start in range(0, len(unnamed), _CHUNK)]
    for _, (found, masks) in workers.run(
        functools.partial(_check_unnamed, layout), chunks, num_proc=min(num_proc, max(1, len(chunks)))
    ):
        tally.merge(found)
        report.masks += masks
    report.findings = tally.findings()
    report.left_out = SkippedCount() if report.worst is not Severity.ERROR else _left_out(layout, splits)
    return report


def _left_out(layout: Layout, splits: Sequence[str] | None) -> SkippedCount | None:
    """What `faults="skip"` leaves out of these splits, found by doing so; null where it cannot load them."""
    skipping = dataclasses.replace(layout, faults="skip")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what would be warned of is among the findings
            opened = open_splits(skipping, splits, silent=True)
            every = [split.with_sound_frames().left_out for split in opened.values()]
    except (AnnotationError, MissingFilesError):
        return None
    return SkippedCount(*(sum(getattr(one, name) for one in every) for name in SkippedCount.__struct_fields__))


def _archive_of(layout: Layout) -> ArchiveHere | None:
    shared = _shared(layout)
    if archive := shared.archive:
        return ArchiveHere(archive.address)
    found = unusable_archive(layout.root, shared.archive_names)
    return None if found is None else ArchiveHere(str(layout.root / FRAMES_ARCHIVE), unusable=found)


def describe(report: Report) -> str:
    """A report for reading."""
    counts = {severity: sum(f.count for f in report.findings if f.severity is severity) for severity in Severity}
    summary = ", ".join(f"{count:,} {severity}{'s' * (count != 1)}" for severity, count in counts.items())
    examined = (
        f"{report.root}: examined {report.videos:,} videos ({', '.join(report.splits) or 'no split'}), "
        f"{report.frames:,} frames, {report.masks:,} masks: {summary if report.findings else 'nothing is wrong'}"
    )
    skipped = ""
    if report.worst is Severity.ERROR:
        skipped = (
            "no split can be loaded until that is mended, with faults='skip' neither"
            if report.left_out is None
            else f"faults='skip' (--faults skip) would leave out {report.left_out}"
        )
    lines = "\n".join(filter(None, [examined, skipped, str(report.archive or "")]))
    return "\n\n".join(filter(None, [findings.describe(report.findings), lines]))


# --- the records: meta_expressions_*.json -----------------------------------------------------------------------------


class _Job(NamedTuple):
    """A video to examine; its foreground can be judged only where all its expressions are known."""

    split: str
    video: Video
    judge_foreground: bool


class _Records(NamedTuple):
    """The videos of each split, as far as they can be read, and the splits of which some entries cannot."""

    videos: dict[str, dict[str, Video]]
    faulty: set[str]

    @classmethod
    def read(cls, layout: Layout, splits: Sequence[str] | None, tally: Tally) -> _Records:
        records = cls({}, set())
        here = layout.splits()
        if not here:
            tally.add(
                Kind.FILE_MISSING,
                f"none of {', '.join(EXPRESSIONS.values())} is here.{about_root(layout.root, EXPRESSIONS.values())}",
                file=str(layout.root),
            )
        for split in [] if splits or not here else EXPRESSIONS:
            if split not in here:
                tally.add(Kind.FILE_ABSENT, EXPRESSIONS[split], file=str(layout.split(split).expressions), split=split)
        for split in splits or here:
            try:
                records.videos[split], wrong = scan_expressions(layout.split(split))
            except AnnotationError as error:
                tally.add(Kind.FILE_UNREADABLE, str(error), split=split, file=str(layout.split(split).expressions))
                records.faulty.add(split)
                continue
            for one in wrong:
                records.faulty.add(split)
                tally.add_error(one, split, Kind.ENTRY_MALFORMED)
        return records

    def jobs(self) -> list[_Job]:
        """Every video once: those of train_sub that are the same in train are examined there."""
        train = self.videos.get("train", {})
        return [
            _Job(split, video, split != "train_sub" and split not in self.faulty)
            for split, videos in self.videos.items()
            for video in videos.values()
            if split != "train_sub" or not _is_subset(video, train.get(video.video_id))
        ]

    def named(self) -> set[str]:
        return {str(i) for videos in self.videos.values() for video in videos.values() for i in video.annotation_ids}

    def unnamed(self, layout: Layout, files: _Files) -> list[str]:
        """The tracks that nobody names, as far as that can be told: it takes both splits, wholly read."""
        if not files.tracks or self.faulty or not {"train", "validation"} <= set(self.videos):
            return []
        return sorted(set(open_once(TrackFile, _shared(layout).tracks).keys()) - self.named())


def _is_subset(video: Video, of: Video | None) -> bool:
    if of is None or (video.height, video.width, video.frame_names) != (of.height, of.width, of.frame_names):
        return False
    return set(video.expressions) <= set(of.expressions)


def _check_records(layout: Layout, records: _Records, tally: Tally) -> None:
    files = {split: str(layout.split(split).expressions) for split in records.videos}
    train, validation = (records.videos.get(split, {}) for split in ("train", "validation"))
    for video_id in train.keys() & validation.keys():
        tally.add(Kind.VIDEO_TWICE, split="validation", video=video_id, file=files["validation"])
    for video_id, video in records.videos.get("train_sub", {}).items():
        if "train" in records.videos and "train" not in records.faulty and not _is_subset(video, train.get(video_id)):
            found = "its size, frames or expressions differ" if video_id in train else "it is not in train"
            tally.add(Kind.SUBSET_DIFFERS, found, split="train_sub", video=video_id, file=files["train_sub"])
    owners: dict[int, str] = {}
    for split, videos in records.videos.items():
        for video in videos.values():
            _check_record(video, tally, {"split": split, "video": video.video_id, "file": files[split]})
            for annotation_id in video.annotation_ids:
                owner = owners.setdefault(annotation_id, video.video_id)
                if owner != video.video_id:
                    tally.add(
                        Kind.TRACK_SHARED,
                        f"named in {owner} too",
                        split=split,
                        video=video.video_id,
                        track=str(annotation_id),
                        file=files[split],
                    )


def _check_record(video: Video, tally: Tally, place: Place) -> None:
    names = video.frame_names
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        tally.add(Kind.FRAMES_DUPLICATE, f"{len(twice)} of {len(names)}", frame=twice[0], **place)
    if list(names) != sorted(names):
        i = next(i for i in range(1, len(names)) if names[i] < names[i - 1])
        tally.add(Kind.FRAMES_UNSORTED, f"after {names[i - 1]!r}", frame=names[i], **place)
    if not video.expressions:
        tally.add(Kind.VIDEO_WITHOUT_EXPRESSIONS, **place)
    objects: dict[int, int] = {}
    for expression in video.expressions:
        _check_expression(expression, tally, place | {"expression": expression.expression_id})
        for obj, track in zip(expression.object_ids, expression.annotation_ids, strict=False):
            if objects.setdefault(track, obj) != obj:
                found = f"object {obj} here, {objects[track]} in an earlier expression"
                here: Place = {"expression": expression.expression_id, "track": str(track)}
                tally.add(Kind.OBJECT_DIFFERS, found, **(place | here))


def _check_expression(expression: Expression, tally: Tally, place: Place) -> None:
    tracks = expression.annotation_ids
    if not expression.text.strip():
        tally.add(Kind.EXPRESSION_BLANK, repr(expression.text), **place)
    if len(expression.object_ids) != len(tracks):
        tally.add(Kind.OBJECTS_UNEVEN, f"{len(expression.object_ids)} objects, {len(tracks)} tracks", **place)
    if len(set(tracks)) < len(tracks):
        tally.add(Kind.TRACK_REPEATED, f"anno_id {list(tracks)!s:.60}", **place)
    if expression.type is ExpressionType.NONEXISTENT and tracks:
        tally.add(Kind.NONEXISTENT_WITH_TRACKS, f"anno_id {list(tracks)!s:.60}", **place)
    if expression.type is not None and expression.type is not ExpressionType.NONEXISTENT and not tracks:
        tally.add(Kind.EXPRESSION_WITHOUT_TRACKS, f"{expression.type.label}: {expression.text!r:.60}", **place)


# --- the masks: mask_dict.json and mask_dict_foreground.json ----------------------------------------------------------


class _Files(NamedTuple):
    """Which of the two mask files can be read."""

    tracks: bool
    foreground: bool


def _shared(layout: Layout) -> SplitFiles:
    """The files of any split, for what all splits of ReVOS have in common: tracks, foreground and frames."""
    return layout.split("train")


def _open_files(layout: Layout, tally: Tally) -> _Files:
    shared = _shared(layout)
    if not shared.tracks.is_file():
        tally.add(Kind.FILE_MISSING, shared.tracks.name, file=str(shared.tracks))
    if not shared.foreground.is_file():
        tally.add(Kind.FILE_ABSENT, shared.foreground.name, file=str(shared.foreground))
    return _Files(_opens(TrackFile, shared.tracks, tally), _opens(ForegroundFile, shared.foreground, tally))


def _opens(kind: type, path: Path, tally: Tally) -> bool:
    if not path.is_file():
        return False
    try:
        open_once(kind, path)
    except AnnotationError as error:
        tally.add(Kind.FILE_UNREADABLE, str(error), file=str(path))
        return False
    return True


def _check_video(layout: Layout, files: _Files, decode: bool, job: _Job) -> tuple[Tally, int, int]:
    """What is wrong with a video's masks and JPEGs, and how many masks were examined, and frames of the archive."""
    tally = Tally()
    place: Place = {"split": job.split, "video": job.video.video_id}
    split = layout.split(job.split)
    of_tracks: Place = {**place, "file": str(split.tracks)}
    tracks, masks = _check_tracks(split, job.video, tally, of_tracks) if files.tracks else ({}, 0)
    if files.foreground:
        whole = job.judge_foreground and len(tracks) == len(job.video.annotation_ids)
        of_foreground: Place = {**place, "file": str(split.foreground)}
        masks += _check_foreground(split, job.video, tracks if whole else None, tally, of_foreground)
    archived = _check_frames(split, job.video, decode, tally, place)
    return tally, masks, archived


def _check_tracks(split: SplitFiles, video: Video, tally: Tally, place: Place) -> tuple[dict[int, MaskSequence], int]:
    """The tracks that are sound, and the number of masks that were examined."""
    file: TrackFile = open_once(TrackFile, split.tracks)
    sound: dict[int, MaskSequence] = {}
    examined = 0
    for annotation_id in video.annotation_ids:
        key = str(annotation_id)
        here = place | {"track": key}
        if key not in file:
            named_by = next(e.expression_id for e in video.expressions if annotation_id in e.annotation_ids)
            tally.add(Kind.TRACK_MISSING, **(here | {"expression": named_by}))
            continue
        try:
            masks = file.unchecked(key)
        except AnnotationError as error:
            tally.add(Kind.TRACK_MALFORMED, said(error), **here)
            continue
        examined += len(masks)
        if len(masks) != (frames := len(video.frame_names)):
            kind = Kind.TRACK_LONG if len(masks) > frames else Kind.TRACK_LENGTH
            tally.add(kind, f"{len(masks)} entries, {frames} frames", **here)
        masks = masks[:frames]
        if not any(masks):
            tally.add(Kind.TRACK_EMPTY, **here)
        if _check_masks(masks, video, tally, here) and len(masks) == len(video.frame_names):
            sound[annotation_id] = MaskSequence.parse(masks, video.height, video.width)
            _note_blank(sound[annotation_id], video, tally, here)
    return sound, examined


def _check_masks(masks: list[RLE | None], video: Video, tally: Tally, place: Place, kind: Kind | None = None) -> bool:
    """Report each mask that is not one of the video's size; whether all are."""
    wrong = faults(masks, video.height, video.width)
    for fault in wrong:
        misfit = _size(masks[fault.index]) != [video.height, video.width]
        tally.add(
            kind or (Kind.MASK_SIZE if misfit else Kind.MASK_RUNS),
            fault.reason,
            frame=_frame(video, fault.index),
            **place,
        )
    return not wrong


def _size(mask: RLE | None) -> list[int] | None:
    return mask and mask["size"]


def _frame(video: Video, index: int) -> str:
    return video.frame_names[index] if index < len(video.frame_names) else f"number {index}"


def _note_blank(track: MaskSequence, video: Video, tally: Tally, place: Place) -> None:
    areas = track.areas()
    for index, mask in enumerate(track):
        if mask is not None and not areas[index]:
            tally.add(Kind.MASK_BLANK, frame=video.frame_names[index], **place)


def _check_foreground(
    split: SplitFiles, video: Video, tracks: dict[int, MaskSequence] | None, tally: Tally, place: Place
) -> int:
    """Compare the foreground with the union of `tracks`, where those are all known; returns the masks examined."""
    file: ForegroundFile = open_once(ForegroundFile, split.foreground)
    if video.video_id not in file:
        tally.add(Kind.FOREGROUND_ABSENT, **place)
        return 0
    try:
        entry = file.unchecked(video.video_id)
    except AnnotationError as error:
        tally.add(Kind.FOREGROUND_MALFORMED, said(error), **place)
        return 0
    masks, frames = entry.masks_rle, len(video.frame_names)
    for index, mask in enumerate(masks):
        if mask is None:
            tally.add(Kind.FOREGROUND_NULL, frame=_frame(video, index), **place)
    if len(masks) != frames:
        tally.add(Kind.FOREGROUND_LENGTH, f"{len(masks)} masks, {frames} frames", **place)
    if _check_masks(masks, video, tally, place, Kind.FOREGROUND_MASK) and len(masks) == frames:
        foreground = MaskSequence.parse(masks, video.height, video.width).filled()
        _check_ratios(entry.foreground_ratio, foreground, video, tally, place)
        if tracks is not None:
            _compare(foreground, tracks, video, tally, place)
    return len(masks)


def _check_ratios(ratios: Any, foreground: MaskSequence, video: Video, tally: Tally, place: Place) -> None:
    if not isinstance(ratios, list) or not all(isinstance(ratio, (int, float)) for ratio in ratios):
        tally.add(Kind.FOREGROUND_MALFORMED, f"foreground_ratio is {ratios!r:.40}, expected a list of numbers", **place)
    elif len(ratios) != len(foreground):
        tally.add(Kind.FOREGROUND_RATIO, f"{len(ratios)} ratios, {len(foreground)} frames", **place)
    else:
        covered = foreground.areas() / (video.height * video.width)
        right = abs(np.asarray(ratios, float) - covered) <= _RATIO_TOLERANCE  # which NaN is not
        for index in np.flatnonzero(~right).tolist():
            found = f"{ratios[index]:.4f}, and the mask covers {covered[index]:.4f}"
            tally.add(Kind.FOREGROUND_RATIO, found, frame=video.frame_names[index], **place)


def _compare(
    foreground: MaskSequence, tracks: dict[int, MaskSequence], video: Video, tally: Tally, place: Place
) -> None:
    sequences = list(tracks.values()) or [MaskSequence.empty(len(foreground), video.height, video.width)]
    union = sequences[0].union(*sequences[1:])
    suspects = [i for i, (one, other) in enumerate(zip(foreground, union, strict=True)) if one != other]
    pairs = ((i, foreground.take([i]).decode() != union.take([i]).decode()) for i in suspects)
    differing = [(i, int(pixels.sum())) for i, pixels in pairs if pixels.any()]  # the same mask may be written two ways
    for index, pixels in differing:
        found = f"{pixels:,} of {video.height * video.width:,} pixels differ"
        tally.add(Kind.FOREGROUND_DIFFERS, found, frame=video.frame_names[index], **place)


def _check_unnamed(layout: Layout, keys: list[str]) -> tuple[Tally, int]:
    """What is wrong with tracks of which the video is not known, besides that."""
    tally = Tally()
    examined = 0
    file: TrackFile = open_once(TrackFile, _shared(layout).tracks)
    for key in keys:
        here: Place = {"file": str(file.path), "track": key}
        tally.add(Kind.TRACK_UNNAMED, "" if key.isdecimal() else "and it is not named by a number", **here)
        try:
            masks = file.unchecked(key)
        except AnnotationError as error:
            tally.add(Kind.TRACK_MALFORMED, said(error), **here)
            continue
        examined += len(masks)
        size = next((mask["size"] for mask in masks if mask), None)
        if size is None:
            continue
        if len(size) != 2:
            tally.add(Kind.MASK_SIZE, f"its size is {size}", **here)
            continue
        for fault in faults(masks, *size):
            kind = Kind.MASK_SIZE if _size(masks[fault.index]) != size else Kind.MASK_RUNS
            tally.add(kind, fault.reason, frame=f"number {fault.index}", **here)
    return tally, examined


# --- the frames -------------------------------------------------------------------------------------------------------


def _check_frames(split: SplitFiles, video: Video, decode: bool, tally: Tally, place: Place) -> int:
    """Look at a video's frames; returns how many of them are read from the archive."""
    frames = split.frames(video)
    folder = split.video_folder(video.video_id)
    found = f"{frames.count(None)} of the video's {len(frames)}"
    for name, frame in zip(video.frame_names, frames, strict=True):
        if frame is None:
            tally.add(Kind.FRAME_MISSING, found, frame=name, **(place | {"file": str(folder / f"{name}.jpg")}))
        else:
            _check_frame(frame, video, decode, tally, {**place, "frame": name, "file": frame.file or ""})
    listed = {f"{name}.jpg" for name in video.frame_names}
    if extra := set(filter(_is_jpeg, split.frame_files(video.video_id))) - listed:
        found = f"{len(extra)} more than listed, such as {min(extra)}"
        tally.add(Kind.FRAMES_UNLISTED, found, len(extra), **(place | {"file": str(folder)}))
    return sum(isinstance(frame, FrameMember) for frame in frames)


def _check_frame(frame: Frame, video: Video, decode: bool, tally: Tally, place: FramePlace) -> None:
    try:
        header = frame.examine(video.height, video.width, decode=decode)
    except FrameError as error:
        tally.add(OF_FRAMES[error.fault], error.problem, **place)
        return
    if (header.height, header.width) != (video.height, video.width):
        found = f"{header.height}x{header.width} pixels, the annotations say {video.height}x{video.width}"
        tally.add(Kind.FRAME_SCALED, found, **place)
    if header.turned:
        tally.add(Kind.FRAME_TURNED, **place)


def _is_jpeg(name: str) -> bool:
    return name.lower().endswith((".jpg", ".jpeg"))


# --- the file of an accepted alignment --------------------------------------------------------------------------------


def _check_alignment(layout: Layout, path: Path, records: _Records, tally: Tally) -> None:
    """See that each mapping is of a video that is here, and leads to frames that are."""
    try:
        mappings = read_mapping(path)
    except MissingFilesError as error:
        tally.add(Kind.FILE_MISSING, str(error), file=str(path))
        return
    except AnnotationError as error:
        tally.add(Kind.FILE_UNREADABLE, said(error), file=str(path), video=error.video or "", frame=error.frame or "")
        return
    for video_id, mapping in mappings.items():
        splits = {split: videos[video_id] for split, videos in records.videos.items() if video_id in videos}
        if not splits:
            tally.add(Kind.ALIGNMENT_UNKNOWN, file=str(path), video=video_id)
        for split, video in splits.items():
            place: Place = {"file": str(path), "split": split, "video": video_id}
            folder = layout.split(split).folder_frames(video_id)
            try:
                names = apply_mapping(mapping, video, folder)
            except AnnotationError as error:
                tally.add(Kind.ALIGNMENT_MISFIT, said(error), **place)
                continue
            for name in sorted({name for name in names if name is not None} - set(folder)):
                tally.add(Kind.FRAME_MISSING, "a mask is mapped to it", frame=name, **place)


# --- what is here and belongs to no video -----------------------------------------------------------------------------


def _check_strangers(layout: Layout, records: _Records, files: _Files, tally: Tally) -> None:
    known = set(itertools.chain.from_iterable(records.videos.values()))
    if records.faulty or not records.videos:
        return  # then the stranger may be the one that could not be read
    if files.foreground:
        for video_id in sorted(set(open_once(ForegroundFile, _shared(layout).foreground).keys()) - known):
            tally.add(Kind.FOREGROUND_EXTRA, video=video_id, file=str(_shared(layout).foreground))
    on_disk = dict(_folders_of_jpegs(layout, known))
    found = dict(on_disk)
    if archive := _shared(layout).archive:
        found |= {video_id: sum(map(_is_jpeg, archive.names(video_id))) for video_id in archive.videos()}
    for folder, count in found.items():
        if folder not in known and count:
            where = str(_shared(layout).video_folder(folder)) if folder in on_disk else str(archive and archive.address)
            tally.add(Kind.FOLDER_UNLISTED, f"{count:,} JPEGs", video=folder, file=where)


def _folders_of_jpegs(layout: Layout, known: set[str]) -> Iterator[tuple[str, int]]:
    """Folders that could be videos, relative to where those lie: all of JPEGImages/, or what a known id begins with."""
    base = layout.root / FRAMES_FOLDER
    tops = [base] if base.is_dir() else [layout.root / top for top in sorted({i.split("/")[0] for i in known})]
    base = base if base.is_dir() else layout.root
    for top in tops:
        for folder, _, names in os.walk(top):
            if count := sum(map(_is_jpeg, names)):
                yield Path(folder).relative_to(base).as_posix(), count
