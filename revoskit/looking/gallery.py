"""A page to look through a split: every expression with its masks, a method's predictions and where they fail.

FOLDER/index.html                   opens from disk, without a server or the network
FOLDER/page/                        style and scripts, as in revoskit/looking/page/
FOLDER/data/index.js                every video and expression with its scores: what the list needs
FOLDER/data/videos/<video_id>.js    one video's masks as run-length counts: read when it is opened, then let go
FOLDER/frames/<video_id>/           small copies of the frames, where they were asked for; otherwise they are linked

A page from disk may not read files other than scripts, so the data files are scripts that call one function. What they
hold is data alone, and the page sets it as text: nothing that a dataset says can become markup.
"""

from __future__ import annotations

import csv
import math
import os
import shutil
from collections.abc import Callable, Container
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import numpy as np
from PIL import Image

from revoskit.atomic import remove_parts, replacing, sole_writer, write_whole
from revoskit.dataset.annotations import Annotations, open_annotations
from revoskit.dataset.families import FAMILIES
from revoskit.dataset.layout import Layout
from revoskit.dataset.records import Video
from revoskit.dataset.video_masks import VideoMasks
from revoskit.errors import FrameError, MissingFilesError, UsageError
from revoskit.frames import FrameFile
from revoskit.masks.packed import PackedMasks, pack
from revoskit.masks.rle import MaskSequence
from revoskit.scoring.measures import boundary_measure, region_similarity
from revoskit.scoring.predictions import Predictions, open_predictions
from revoskit.workers import run

MARK = 'content="revoskit gallery"'  # tells our own index.html from one that must not be written over
SCORES = "scores.csv"
JPEG_QUALITY = 82

Scores = dict[tuple[str, str], list[float | None]]  # by video id and expression id, in percent, one a measure


# --- what the page reads ----------------------------------------------------------------------------------------------


class _ListedExpression(msgspec.Struct):
    id: str
    text: str
    type: int | None
    objects: int
    scores: list[float | None]


class _ListedVideo(msgspec.Struct):
    id: str
    source: str
    height: int
    width: int
    frames: int
    thumbnail: str
    expressions: list[_ListedExpression]


class _Index(msgspec.Struct):
    """`data/index.js`; every expression's `scores` are in the order of `measures`."""

    title: str
    split: str
    hidden: bool
    """The split keeps its masks back."""
    measures: list[str]
    videos: list[_ListedVideo]


class _Track(msgspec.Struct):
    """A track's counts per frame; null where it is not annotated. Ids are text: a script's numbers have 53 bits."""

    annotation: str
    object: int | None
    masks: list[str | None]


class _Compared(msgspec.Struct):
    """An expression: its tracks by position, and a method's masks and scores per frame where there are any."""

    id: str
    tracks: list[int]
    prediction: list[str | None] | None = None
    J: list[float] | None = None
    F: list[float] | None = None
    problem: str | None = None


class _VideoData(msgspec.Struct):
    """`data/videos/<video_id>.js`; `folder` is where the frames are, as an address relative to the page."""

    id: str
    folder: str
    frames: tuple[str, ...]
    tracks: list[_Track]
    expressions: list[_Compared]


# --- writing ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Written:
    """What `write_gallery` wrote: the page, and how much is on it."""

    page: Path
    videos: int
    expressions: int
    missing_frames: int
    unsized: int
    """Videos that are left out, since nothing tells their size."""
    hidden: bool
    """The split keeps its masks back."""


def write_gallery(
    layout: Layout,
    split: str,
    folder: str | os.PathLike[str],
    *,
    predictions: Any = None,
    scores: str | os.PathLike[str] | None = None,
    max_side: int | None = None,
    num_proc: int = 1,
    progress: Callable[[int], object] = lambda count: None,
) -> Written:
    """Write the page of a split into `folder`; what is there of an earlier one is replaced.

    Args:
        predictions: a method's masks, as `predictions.open_predictions` takes them.
        scores: the folder of the evaluation's `scores.csv`. Without it, J and F of the predictions are shown.
        max_side: write copies of the frames whose longer side has at most so many pixels, so that the folder can be
            moved or sent. By default frames are linked where they are.
        num_proc: processes to write with.
        progress: called with 1 after each video.

    Raises:
        UsageError: the folder holds somebody else's `index.html`, an option is not valid, or predictions are to be
            compared with masks that are kept back.
        FolderInUseError: another process writes to the folder.
        MissingFilesError: there is no `scores.csv`.
    """
    if max_side is not None and max_side < 16:
        raise UsageError(f"max_side is {max_side} pixels: expected 16 or more")
    folder = Path(os.path.realpath(folder))
    _refuse_other_page(folder)
    annotations = open_annotations(layout, split)
    if annotations.hidden and predictions is not None:
        raise UsageError(f"{split} keeps its masks back: there is nothing to compare predictions with")
    given = None if scores is None else read_scores(Path(scores))
    opened = None if predictions is None else open_predictions(predictions, annotations)
    writer = _VideoWriter(annotations, folder, opened, max_side)
    with sole_writer(folder):
        remove_parts(folder)
        return _write_all(writer, given, num_proc, progress)


def _write_all(
    writer: _VideoWriter,
    given: tuple[list[str], Scores] | None,
    num_proc: int,
    progress: Callable[[int], object],
) -> Written:
    annotations, folder = writer.annotations, writer.folder
    measures, known = given or ([], {})
    made: dict[str, _Made] = {}
    for video_id, one in run(writer, list(annotations.videos), num_proc=num_proc):
        made[video_id] = one
        progress(1)
    if given is None and writer.predictions is not None:
        measures, known = ["binary_J&F", "binary_J", "binary_F"], {}
        for video_id, one in made.items():
            known |= {(video_id, expression_id): means for expression_id, means in one.means.items()}

    listed = [_listed(video, made[video.video_id].folder, len(measures), known) for video in annotations]
    title = FAMILIES[annotations.layout.family].title
    index = _Index(title, annotations.split, annotations.hidden, measures, listed)
    _write_script(folder / "data" / "index.js", "revosIndex", index)
    _remove_others(folder / "data" / "videos", annotations.videos.keys())
    _write_page(folder)
    return Written(
        folder / "index.html",
        len(listed),
        sum(len(video.expressions) for video in listed),
        sum(one.missing_frames for one in made.values()),
        len(annotations.unsized),
        annotations.hidden,
    )


def read_scores(folder: Path) -> tuple[list[str], Scores]:
    """The measures of `scores.csv`, such as `binary_J&F`, and each expression's values in that order.

    Raises:
        MissingFilesError: the folder has no `scores.csv`.
        UsageError: the file is not one that `revoskit evaluate` writes.
    """
    path = folder / SCORES if folder.is_dir() else folder
    if not path.is_file():
        raise MissingFilesError(f"{path} is not there: --scores names the folder that `revoskit evaluate` wrote")
    described = {"video_id", "expression_id", "expression", "expression_type"}
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        columns = rows.fieldnames or []
        if missing := {"video_id", "expression_id"} - set(columns):
            raise UsageError(
                f"{path} has no column {', '.join(sorted(missing))}; it has {', '.join(columns) or 'none'}"
            )
        measures = [name for name in columns if name not in described and "_" in name]
        scores: Scores = {}
        for row in rows:
            try:
                values = [float(row[name]) if row[name] else None for name in measures]
            except ValueError as error:
                raise UsageError(f"{path}, line {rows.line_num}: {error}") from None
            if not all(value is None or math.isfinite(value) for value in values):
                raise UsageError(f"{path}, line {rows.line_num}: expected finite numbers, found {values}")
            scores[row["video_id"], row["expression_id"]] = values
    return measures, scores


@dataclass(frozen=True)
class _Made:
    """What came of one video: the address of its frames, and the mean J&F, J and F of its expressions in percent."""

    folder: str
    missing_frames: int
    means: dict[str, list[float | None]]


@dataclass(frozen=True)
class _VideoWriter:
    """Writes the file of one video, named by its id; runs in any process."""

    annotations: Annotations
    folder: Path
    predictions: Predictions | None
    max_side: int | None

    def __call__(self, video_id: str) -> _Made:
        annotations = self.annotations
        video = annotations.video(video_id)
        masks = annotations.masks(video)
        paths = annotations.files.frames(video)
        if self.max_side is None:
            address = _address_of(annotations.files.video_folder(video_id), self.folder)
        else:
            address = quote(f"frames/{video_id}")
            _write_small_frames(paths, self.folder / "frames" / video_id, self.max_side)
        ids = video.annotation_ids
        tracks = [_Track(str(i), video.object_id(i), _counts(masks.track(i))) for i in ids]
        compared = self._compare(video, masks)
        data = _VideoData(video_id, address, video.frame_names, tracks, compared)
        _write_script(self.folder / "data" / "videos" / f"{video_id}.js", "revosVideo", data)
        return _Made(address, paths.count(None), {one.id: _means(one) for one in compared})

    def _compare(self, video: Video, masks: VideoMasks) -> list[_Compared]:
        position = {annotation_id: i for i, annotation_id in enumerate(video.annotation_ids)}
        compared = [
            _Compared(e.expression_id, sorted({position[i] for i in e.annotation_ids})) for e in video.expressions
        ]
        if self.predictions is None:
            return compared
        packed: dict[tuple[int, ...], PackedMasks] = {}  # what a true mask costs, it costs once a set of tracks
        for one, expression in zip(compared, video.expressions, strict=True):
            prediction = self.predictions.read(video, expression)
            if prediction.binary is None:
                assert prediction.problem is not None  # without masks there is a reason
                one.problem = f"No usable prediction ({prediction.problem.kind.value}): {prediction.problem.reason}."
                continue
            key = tuple(one.tracks)
            if key not in packed:
                packed[key] = pack(masks.of(expression))
            one.prediction = _counts(prediction.binary.unpack())
            one.J = _rounded(region_similarity(packed[key], prediction.binary))
            one.F = _rounded(boundary_measure(packed[key], prediction.binary))
        return compared


def _rounded(values: np.ndarray) -> list[float]:
    rounded: list[float] = np.round(values, 4).tolist()
    return rounded


def _means(compared: _Compared) -> list[float | None]:
    if compared.J is None or compared.F is None:
        return [None, None, None] if compared.problem is None else [0.0, 0.0, 0.0]
    j, f = (round(100 * sum(values) / len(values), 2) for values in (compared.J, compared.F))
    return [round((j + f) / 2, 2), j, f]


def _listed(video: Video, folder: str, measures: int, scores: Scores) -> _ListedVideo:
    nothing: list[float | None] = [None] * measures
    return _ListedVideo(
        video.video_id,
        video.source,
        video.height,
        video.width,
        len(video.frame_names),
        f"{folder}/{quote(video.frame_names[len(video.frame_names) // 2])}.jpg",
        [
            _ListedExpression(
                expression.expression_id,
                expression.text,
                None if expression.type is None else int(expression.type),
                len(set(expression.annotation_ids)),
                scores.get((video.video_id, expression.expression_id), nothing),
            )
            for expression in video.expressions
        ],
    )


def _counts(masks: MaskSequence) -> list[str | None]:
    return [None if mask is None else mask["counts"] for mask in masks]


# --- files ------------------------------------------------------------------------------------------------------------


def _write_script(path: Path, function: str, data: msgspec.Struct) -> None:
    """A script that calls `function` with the data, written so that no reader of HTML or of old JavaScript trips."""
    content = msgspec.json.encode(data).replace(b"</", b"<\\/").replace(b"<!", b"\\u003c!")
    content = content.replace("\u2028".encode(), b"\\u2028").replace("\u2029".encode(), b"\\u2029")
    write_whole(path, function.encode() + b"(" + content + b");\n")


def _write_page(folder: Path) -> None:
    page = files("revoskit.looking") / "page"
    for file in page.iterdir():
        if file.name.endswith((".js", ".css")):
            write_whole(folder / "page" / file.name, file.read_bytes())
    write_whole(folder / "index.html", (page / "index.html").read_bytes())  # last: a page stands where all else does


def _refuse_other_page(folder: Path) -> None:
    page = folder / "index.html"
    if page.exists() and MARK not in page.read_text(encoding="utf-8", errors="replace"):
        raise UsageError(f"{page} is not a gallery's: name another folder, so that it is not written over")


def _remove_others(folder: Path, video_ids: Container[str]) -> None:
    """Data of videos that an earlier page had and this one has not."""
    for path in folder.rglob("*.js"):
        if path.relative_to(folder).as_posix().removesuffix(".js") not in video_ids:
            path.unlink()


def _address_of(target: Path, folder: Path) -> str:
    """The address of a folder as a page in `folder` links it."""
    try:
        return quote(Path(os.path.relpath(target, folder)).as_posix())
    except ValueError:  # on Windows, another drive
        return target.as_uri()


def _write_small_frames(paths: list[str | None], folder: Path, max_side: int) -> None:
    """Copies of frames whose longer side is at most `max_side`; those that an earlier run finished are kept.

    A copy has its frame's modification time, by which it is known again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for source in filter(None, paths):
        target = folder / os.path.basename(source)
        status = os.stat(source)
        frame = FrameFile(source)
        size = _bounded(frame.size(), max_side)
        if _is_copy(target, size, status.st_mtime_ns):
            continue
        with replacing(target) as part:
            if size == frame.size():
                shutil.copyfile(source, part)
            else:
                small = frame.image(size[::-1]).resize(size[::-1], Image.Resampling.BILINEAR, reducing_gap=2)
                small.save(part, "JPEG", quality=JPEG_QUALITY)
            os.utime(part, ns=(status.st_atime_ns, status.st_mtime_ns))


def _bounded(size: tuple[int, int], max_side: int) -> tuple[int, int]:
    scale = min(1, max_side / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _is_copy(target: Path, size: tuple[int, int], modified: int) -> bool:
    if not target.is_file() or target.stat().st_mtime_ns != modified:
        return False
    try:
        return FrameFile(str(target)).size() == size
    except FrameError:
        return False
