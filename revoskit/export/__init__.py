"""ReVOS in the layouts that other code bases read: MeViS, Ref-YouTube-VOS, WebDataset, and YouTube-VIS's COCO.

A dataset with files of the same kind (`revoskit.dataset.families`) goes the same way, under its own name.

    FOLDER/export.json          what is exported here, and what it came to: an interrupted run goes on from it
    FOLDER/...                  the target's own files; see the module of each

A frame is a hard link to the dataset's own file where the file system has it so, a copy otherwise. Either way the
export stays whole when the dataset is moved or removed; a linked frame that is edited in place changes in both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import get_args

import msgspec

from revoskit import workers
from revoskit.atomic import is_of_lock, remove_parts, sole_writer, whole
from revoskit.dataset.annotations import Annotations, open_with_frames
from revoskit.dataset.layout import Layout
from revoskit.errors import AnnotationError, MissingFilesError, UsageError
from revoskit.export import coco, mevis, webdataset, ytvos
from revoskit.export.job import Counts, How, Job
from revoskit.text import as_json

TARGETS: dict[str, ModuleType] = {"mevis": mevis, "ytvos": ytvos, "webdataset": webdataset, "coco": coco}
JOURNAL = "export.json"


class Report(msgspec.Struct):
    """What an export is of, and what it came to, by split. Kept in the folder as `export.json`."""

    to: str
    source: list[tuple[str, int, int]]
    """The annotation files it was made from: path under the root, size in bytes, time of change in nanoseconds."""
    splits: dict[str, Counts] = {}


def export(
    layout: Layout,
    to: str,
    folder: Path,
    splits: Sequence[str] | None = None,
    *,
    frames: How = "link",
    num_proc: int = 1,
    progress: Callable[[int], object] = lambda steps: None,
) -> Report:
    """Write splits of the dataset to `folder` in the layout of `to`; run again, it goes on where it was.

    Args:
        layout: the dataset.
        to: a key of `TARGETS`.
        folder: made where it does not exist; it may hold an earlier export of the same files to the same target.
        splits: all that are here, by default.
        frames: `"link"` makes hard links, and copies where there can be none; `"copy"` always copies; `"symlink"` makes
            symbolic links, so that the export needs the dataset to stay where it is. WebDataset always copies.
        num_proc: processes for frames and pictures.
        progress: called with 1 as each video passes each of the target's `PASSES`.

    Raises:
        UsageError: an argument that is not valid, or a folder that holds something else.
        FolderInUseError: another process writes to the folder.
        MissingFilesError: files or frames are missing; nothing has been written then.
        AnnotationError: an annotation file is not in the official format.
    """
    if to not in TARGETS:
        raise UsageError(f"there is no target {to!r}: expected one of {', '.join(TARGETS)}")
    if frames not in get_args(How):
        raise UsageError(f"frames is {frames!r}: expected one of {', '.join(get_args(How))}")
    workers.require(num_proc)
    opened = open_with_frames(layout, splits)
    _require_masks(opened)
    _require_frames(opened)
    if to == "ytvos":
        ytvos.require_numbers(opened.values())
    _refuse_others(folder)
    with sole_writer(folder):
        remove_parts(folder)
        return _export(folder, layout, to, opened, frames, num_proc, progress)


def _export(
    folder: Path,
    layout: Layout,
    to: str,
    opened: dict[str, Annotations],
    frames: How,
    num_proc: int,
    progress: Callable[[int], object],
) -> Report:
    report = _begin(folder, Report(to, list(layout.annotation_state())))
    for split, of_split in opened.items():
        with of_split.unchanged():
            report.splits[split] = TARGETS[to].write(Job(of_split, folder, frames, num_proc), progress)
        _save(folder, report)
    return report


def _refuse_others(folder: Path) -> None:
    """See that what is in the folder, if anything, comes from here."""
    if folder.is_dir() and not (folder / JOURNAL).exists():
        others = [entry.name for entry in folder.iterdir() if not is_of_lock(entry.name)]
        if others:
            raise UsageError(f"{folder} already holds {others[0]!r}: name a folder that does not exist or is empty")


def _begin(folder: Path, report: Report) -> Report:
    """The journal of an earlier run of the same export, or this one's own, put down before anything else is."""
    path = folder / JOURNAL
    if not path.exists():
        _save(folder, report)
        return report
    try:
        earlier = msgspec.json.decode(path.read_bytes(), type=Report)
    except msgspec.DecodeError as error:
        raise UsageError(f"{path} is not the journal of an export ({error}): name another folder") from None
    if earlier.to != report.to:
        raise UsageError(f"{folder} holds an export to {earlier.to}: name another folder for {report.to}")
    if earlier.source != report.source:
        raise UsageError(
            f"{folder} was exported from other annotation files than those that are here now: remove it, or name "
            "another folder"
        )
    return earlier


def _save(folder: Path, report: Report) -> None:
    with whole(folder / JOURNAL) as file:
        file.write(as_json(report, indent=2) + b"\n")


def _require_masks(splits: dict[str, Annotations]) -> None:
    hidden = [split for split, of_split in splits.items() if of_split.hidden]
    if hidden:
        keep, it = ("keeps its masks", "it") if len(hidden) == 1 else ("keep their masks", "them")
        raise UsageError(f"{', '.join(hidden)} {keep} back, so that there is nothing to export: leave {it} out")


def _require_frames(splits: dict[str, Annotations]) -> None:
    """See that every frame is on disk, and a file of its own: two masks of one frame cannot both be exported."""
    lines = []
    for split, of_split in splits.items():
        for video in of_split:
            if twice := next((name for name, times in Counter(video.frame_names).items() if times > 1), None):
                raise AnnotationError(
                    f"{of_split.files.expressions}: video {video.video_id!r} lists frame {twice!r} more than "
                    "once, and the targets have one mask for it: correct the file"
                )
        lacking = of_split.missing_frames()
        missing = [f"{video_id}/{name}.jpg" for video_id, names in lacking.items() for name in names]
        if missing:
            listed = ", ".join(missing[:3]) + (", …" if len(missing) > 3 else "")
            lines.append(f"  {split}: {len(missing):,} frames are not under {of_split.files.frame_places}: {listed}")
    if lines:
        advice = "Unpack the frames there, or name a split that has them all."
        raise MissingFilesError("\n".join(["frames that the annotations list are not on disk:", *lines, advice]))


def describe(report: Report, folder: Path) -> str:
    """The report for reading."""
    lines = []
    for split, counts in report.splits.items():
        lines.append(f"{split}: {counts.describe()}")
    first = next(iter(report.splits.values())).folder
    return "\n".join([*lines, TARGETS[report.to].HOW_TO_READ.format(folder=folder, first=first)])
