"""A page to decide on what the alignment audit found: masks as filed and as proposed, accepted or not by a person.

FOLDER/data/index.js                every video to decide on, with its verdict and evidence
FOLDER/data/videos/<video_id>.js    one video's masks, and the frames that they are filed with and proposed for

`folder` says what else is there. What is accepted leaves the page as the mapping file that `remapping` reads.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import msgspec
import numpy as np

from revoskit.atomic import remove_parts, sole_writer
from revoskit.checking.alignment import ACCUSED, Alignment, Verdict
from revoskit.checking.report import Fact, advice, evidence, headline, mapping_in_words, read_report
from revoskit.dataset.annotations import Annotations, open_annotations
from revoskit.dataset.layout import Layout
from revoskit.dataset.records import Video
from revoskit.dataset.remapping import apply_mapping
from revoskit.errors import AnnotationError, ChangedError, UsageError
from revoskit.looking.folder import (
    Kind,
    claim,
    link_or_copy,
    refuse_what_is_no_page,
    remove_others,
    write_page,
    write_script,
)
from revoskit.looking.page_data import Track
from revoskit.masks.rle import MaskSequence
from revoskit.text import as_json

ORDER = (*ACCUSED, Verdict.OUTLINE)
"""The verdicts that are on the page, in this order."""


class _Item(msgspec.Struct):
    """A video to decide on."""

    id: str
    verdict: str
    headline: str
    advice: str
    facts: list[Fact]
    note: str
    problem: str | None = None
    """Why it cannot be shown with this copy; the fields below are empty then."""
    mapping: str | None = None
    """What a mapping file has for it, as JSON; null where nothing can be accepted."""
    words: str | None = None
    """The mapping in plain words."""
    width: int = 0
    height: int = 0


class _Index(msgspec.Struct):
    """`data/index.js`; `key` is what a browser keeps the decisions under."""

    key: str
    data: str
    report: str
    videos: list[_Item]


class _VideoData(msgspec.Struct):
    """`data/videos/<video_id>.js`: `moved` are the masks where the check says that they belong, for each track."""

    id: str
    folder: str
    frames: tuple[str, ...]
    absent: list[int]
    tracks: list[Track]
    proposed: list[str | None] | None
    moved: list[list[str | None]] | None


@dataclass(frozen=True)
class WrittenReview:
    """What `write_review` wrote."""

    page: Path
    videos: int
    acceptable: int
    """Those with a mapping that can be accepted."""
    missing_frames: int
    not_shown: int
    """Videos that this copy has not as the report says."""


def write_review(
    layout: Layout,
    report: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    max_side: int | None = None,
    progress: Callable[[int], object] = lambda videos: None,
) -> WrittenReview:
    """Write the page for all videos that a report accuses, or finds drawn too large or small.

    Args:
        report: what `revoskit check ROOT --alignment --json` printed.
        max_side: copy the frames, with so many pixels at most on their longer side; linked where they lie by default.
        progress: called with 1 after each video.

    Raises:
        MissingFilesError: there is no report, or no dataset.
        UsageError: it is no report, names nothing to decide on, or is of another copy; or the folder is no review's.
        FolderInUseError: another process writes to the folder.
        ChangedError: the annotation files changed meanwhile.
    """
    if max_side is not None and max_side < 16:
        raise UsageError(f"max_side is {max_side} pixels: expected 16 or more")
    folder = Path(os.path.realpath(folder))
    refuse_what_is_no_page(folder, Kind.REVIEW)
    layout.require()
    found = sorted(
        (one for one in read_report(report) if one.verdict in ORDER),
        key=lambda one: (ORDER.index(one.verdict), -(one.confidence or 0)),
    )
    if not found:
        raise UsageError(f"{report} accuses no video: there is nothing to decide on")
    opened = {split: open_annotations(layout, split) for split in {one.split for one in found} & set(layout.splits())}
    if not any(one.split in opened and one.video_id in opened[one.split].videos for one in found):
        raise UsageError(f"{report} is of another dataset: {layout.root} has none of the videos that it accuses")
    writer = _Writer(opened, folder, max_side)
    with sole_writer(folder):
        remove_parts(folder)
        claim(folder, Kind.REVIEW)
        try:
            for one in found:
                writer.add(one)
                progress(1)
            for annotations in opened.values():
                with annotations.unchanged():
                    pass
        except ChangedError:
            shutil.rmtree(folder / "data", ignore_errors=True)
            raise
        items = writer.items
        key = sha256(as_json([str(layout.root), found])).hexdigest()[:16]
        index = _Index(f"revos-review-{key}", layout.root.name, Path(report).name, items)
        write_script(folder / "data" / "index.js", "revosIndex", index)
        page = write_page(folder, Kind.REVIEW)
        remove_others(folder, {"data/index.js", *page, *writer.files})
    acceptable = sum(item.mapping is not None for item in items)
    lost = sum(item.problem is not None for item in items)
    return WrittenReview(folder / "index.html", len(items), acceptable, writer.missing, lost)


class _Writer:
    """Writes the files of one video after the other, and gathers what the index says of them."""

    def __init__(self, opened: dict[str, Annotations], folder: Path, max_side: int | None) -> None:
        self.opened, self.folder, self.max_side = opened, folder, max_side
        self.items: list[_Item] = []
        self.files: list[str] = []
        self.missing = 0

    def add(self, found: Alignment) -> None:
        item = _Item(found.video_id, found.verdict.value, headline(found), advice(found), evidence(found), found.note)
        self.items.append(item)
        annotations = self.opened.get(found.split)
        if annotations is None or found.video_id not in annotations.videos:
            item.problem = "This copy of the dataset has no such video."
            return
        try:
            self._write(item, found, annotations, annotations.video(found.video_id))
        except AnnotationError as error:
            item.problem = str(error)

    def _write(self, item: _Item, found: Alignment, annotations: Annotations, video: Video) -> None:
        folder = annotations.files.folder_frames(video.video_id)
        if len(folder) != found.folder_frames:
            item.problem = (
                f"Its folder held {found.folder_frames:,} frames when it was examined and holds {len(folder):,} now: "
                "run the check again."
            )
            return
        proposed = None if found.mapping is None else apply_mapping(found.mapping, video, folder)
        masks = annotations.masks(video)
        tracks = [masks.track(i) for i in video.annotation_ids]
        objects = video.objects()
        names = list(dict.fromkeys([*video.frame_names, *(name for name in proposed or () if name is not None)]))
        placed = link_or_copy(video.video_id, names, annotations.files, self.folder, self.max_side)
        there = annotations.files.frames_named(video.video_id, names)
        self.missing += there.count(None)
        absent = {name for name, frame in zip(names, there, strict=True) if frame is None}
        data = _VideoData(
            video.video_id,
            placed.address,
            video.frame_names,
            [i for i, name in enumerate(video.frame_names) if name in absent],
            [Track(str(i), objects[i], _counts(of)) for i, of in zip(video.annotation_ids, tracks, strict=True)],
            proposed,
            None if found.shift is None else [_moved(of, found.shift, found.grows) for of in tracks],
        )
        script = f"data/videos/{video.video_id}.js"
        write_script(self.folder / script, "revosVideo", data)
        self.files += [script, *placed.copies]
        item.width, item.height = video.width, video.height
        if proposed is not None:
            item.mapping = msgspec.json.encode(found.mapping).decode()
            item.words = mapping_in_words(video.frame_names, proposed, folder)


def _counts(masks: MaskSequence) -> list[str | None]:
    return [None if mask is None else mask["counts"] for mask in masks]


def _moved(masks: MaskSequence, way: Sequence[float], grows: bool) -> list[str | None]:
    """Counts of the masks, each moved to the right and downwards by its share of the way, in pixels."""
    last = max(1, len(masks) - 1)
    found: list[str | None] = []
    for i, mask in enumerate(masks):
        share = i / last if grows else 1.0
        pixels = masks[i : i + 1].decode()
        moved = _shifted(pixels, round(share * way[1]), round(share * way[0]))
        found.append(None if mask is None else _counts(MaskSequence.encode(moved))[0])
    return found


def _shifted(pixels: np.ndarray, down: int, right: int) -> np.ndarray:
    """The same masks (frames, height, width), moved; what leaves the frame is gone."""
    _, height, width = pixels.shape
    moved = np.zeros_like(pixels)
    if abs(down) < height and abs(right) < width:
        rows, columns = slice(max(0, down), height + min(0, down)), slice(max(0, right), width + min(0, right))
        from_rows = slice(max(0, -down), height + min(0, -down))
        from_columns = slice(max(0, -right), width + min(0, -right))
        moved[:, rows, columns] = pixels[:, from_rows, from_columns]
    return moved
