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

import contextlib
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

from revoskit.atomic import is_of_lock, remove_parts, replacing, sole_writer, write_whole
from revoskit.dataset.annotations import Annotations, open_annotations
from revoskit.dataset.families import FAMILIES
from revoskit.dataset.layout import Layout
from revoskit.dataset.records import Expression, Video
from revoskit.dataset.video_masks import VideoMasks
from revoskit.errors import ChangedError, FrameError, MissingFilesError, UsageError
from revoskit.frames import Frame, FrameFile, nearest
from revoskit.masks.packed import PackedMasks
from revoskit.masks.rle import MaskSequence
from revoskit.scoring.evaluate import RUN, run_identity
from revoskit.scoring.measures import boundary_measure, region_similarity
from revoskit.scoring.predictions import Predictions, open_predictions
from revoskit.scoring.truth import Truth
from revoskit.workers import run

MARK = 'content="revoskit gallery"'  # tells our own index.html from one that must not be written over
SCORES = "scores.csv"
JPEG_QUALITY = 82
THUMBNAIL_SIDE = 64  # pixels of the longer side of the masks on a picture in the list

Scores = dict[tuple[str, str], list[float | None]]  # by video id and expression id, in percent, one a measure


# --- what the page reads ----------------------------------------------------------------------------------------------


class _Thumbnail(msgspec.Struct):
    """The picture of an expression in the list: a frame, and on it small masks as counts, columns by columns."""

    frame: str
    height: int
    width: int
    truth: str | None = None
    prediction: str | None = None


class _ListedExpression(msgspec.Struct):
    id: str
    text: str
    type: int | None
    objects: int
    scores: list[float | None]
    problem: str | None
    """Why it has no usable prediction, in a word; null where it has one, or there are none at all."""
    thumbnail: _Thumbnail


class _ListedVideo(msgspec.Struct):
    id: str
    source: str
    height: int
    width: int
    folder: str
    """Where the frames are, as an address relative to the page."""
    frames: int
    expressions: list[_ListedExpression]


class _Index(msgspec.Struct):
    """`data/index.js`; every expression's `scores` are in the order of `measures`."""

    title: str
    split: str
    data: str
    """The name of the dataset's folder."""
    method: str | None
    """The name of the predictions; null without any."""
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
    absent: list[int]
    """The positions of frames that are not on disk."""
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
    """Write the page of a split into `folder`; what is there of an earlier page is replaced, or removed.

    Args:
        predictions: a method's masks, as `predictions.open_predictions` takes them.
        scores: the folder of the evaluation's `scores.csv`. Without it, J and F of the predictions are shown.
        max_side: write copies of the frames whose longer side has at most so many pixels, so that the folder can be
            moved or sent. By default frames are linked where they are.
        num_proc: processes to write with.
        progress: called with 1 after each video.

    Raises:
        UsageError: the folder holds something that is no page, an option is not valid, the scores are of other
            predictions, or predictions are to be compared with masks that are kept back.
        FolderInUseError: another process writes to the folder.
        ChangedError: the annotation files changed meanwhile.
        MissingFilesError: there is no `scores.csv`.
    """
    if max_side is not None and max_side < 16:
        raise UsageError(f"max_side is {max_side} pixels: expected 16 or more")
    folder = Path(os.path.realpath(folder))
    _refuse_what_is_no_page(folder)
    annotations = open_annotations(layout, split)
    if annotations.hidden and predictions is not None:
        raise UsageError(f"{split} keeps its masks back: there is nothing to compare predictions with")
    given = None if scores is None else read_scores(Path(scores))
    opened = None if predictions is None else open_predictions(predictions, annotations)
    if scores is not None and opened is not None:
        _refuse_other_scores(Path(scores), opened, annotations)
    writer = _VideoWriter(annotations, folder, opened, max_side)
    with sole_writer(folder):
        remove_parts(folder)
        _claim(folder)
        try:
            with annotations.unchanged():
                return _write_all(writer, given, _method_of(predictions), num_proc, progress)
        except ChangedError:
            shutil.rmtree(folder / "data")  # of what changed, and of what an earlier page had
            raise


def _write_all(
    writer: _VideoWriter,
    given: tuple[list[str], Scores] | None,
    method: str | None,
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

    listed = [_listed(video, made[video.video_id], len(measures), known) for video in annotations]
    index = _Index(
        FAMILIES[annotations.layout.family].title,
        annotations.split,
        annotations.layout.root.name,
        method,
        annotations.hidden,
        measures,
        listed,
    )
    _write_script(folder / "data" / "index.js", "revosIndex", index)
    page = _write_page(folder)
    _remove_others(folder, {"data/index.js", *page, *(name for one in made.values() for name in one.files)})
    return Written(
        folder / "index.html",
        len(listed),
        sum(len(video.expressions) for video in listed),
        sum(one.missing_frames for one in made.values()),
        len(annotations.unsized),
        annotations.hidden,
    )


def _refuse_other_scores(folder: Path, predictions: Predictions, annotations: Annotations) -> None:
    """See that scores are of these predictions, by what the evaluation noted of its run; a bare table has no note."""
    note = folder / RUN if folder.is_dir() else folder.parent / RUN
    if not note.is_file():
        return
    scored = msgspec.json.decode(note.read_bytes())
    here = msgspec.json.decode(msgspec.json.encode(run_identity(annotations, predictions)))
    differ = [what for what in ("predictions", "split", "annotations") if scored.get(what) != here[what]]
    if differ:
        raise UsageError(
            f"the scores in {folder} are of other {' and '.join(differ)}: found {_briefly(scored.get(differ[0]))}, "
            f"expected {_briefly(here[differ[0]])}. Score these predictions: `revoskit evaluate PREDICTIONS --data-dir "
            f"{annotations.layout.root} --split {annotations.split} -o DIR`, or leave --scores out"
        )


def _briefly(noted: Any) -> str:
    """What an evaluation noted of its run, on a line: paths and sizes, a split, digests."""
    return " ".join(map(_briefly, noted)) if isinstance(noted, list) else str(noted)


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
    problems: dict[str, str]
    """By expression, why it has no usable prediction, in a word."""
    thumbnails: dict[str, _Thumbnail]
    files: tuple[str, ...]
    """What it has under the page's folder, with slashes."""


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
        frames = annotations.files.frames(video)
        script = f"data/videos/{video_id}.js"
        files = [script]
        if self.max_side is None and _can_be_linked(frames):
            address = _address_of(annotations.files.video_folder(video_id), self.folder)
        else:
            address = quote(f"frames/{video_id}")
            names = _write_frames(video, frames, self.folder / "frames" / video_id, self.max_side)
            files += [f"frames/{video_id}/{name}" for name in names]
        ids = video.annotation_ids
        tracks = [_Track(str(i), video.object_id(i), _counts(masks.track(i))) for i in ids]
        absent = [number for number, frame in enumerate(frames) if frame is None]
        compared, problems, thumbnails = self._compare(video, masks)
        data = _VideoData(video_id, address, video.frame_names, absent, tracks, compared)
        _write_script(self.folder / script, "revosVideo", data)
        means = {one.id: _means(one) for one in compared}
        return _Made(address, frames.count(None), means, problems, thumbnails, tuple(files))

    def _compare(
        self, video: Video, masks: VideoMasks
    ) -> tuple[list[_Compared], dict[str, str], dict[str, _Thumbnail]]:
        """Every expression beside its prediction, in a word what is wrong with those not usable, and thumbnails."""
        position = {annotation_id: i for i, annotation_id in enumerate(video.annotation_ids)}
        compared = [
            _Compared(e.expression_id, sorted({position[i] for i in e.annotation_ids})) for e in video.expressions
        ]
        problems: dict[str, str] = {}
        thumbnails: dict[str, _Thumbnail] = {}
        true = Truth(video, masks)  # what a true mask costs, it costs once a set of tracks
        for one, expression in zip(compared, video.expressions, strict=True):
            truth = masks.of(expression)
            # Where the split keeps its masks back, there is none to look for: the frame in the middle then.
            largest = int(truth.areas().argmax()) if len(truth) else len(video.frame_names) // 2
            thumbnails[one.id] = _thumbnail(video, truth, largest)
            if self.predictions is None:
                continue
            prediction = self.predictions.read(video, expression)
            if prediction.binary is None:
                assert prediction.problem is not None  # without masks there is a reason
                problems[one.id] = prediction.problem.kind.value
                one.problem = f"No usable prediction ({prediction.problem.kind.value}): {prediction.problem.reason}."
                continue
            predicted = prediction.binary.unpack()
            one.prediction = _counts(predicted)
            one.J, one.F = _of_frames(true, expression, prediction.binary)
            thumbnails[one.id] = _thumbnail(video, truth, int(np.add(one.J, one.F).argmin()), predicted)
        return compared, problems, thumbnails


def _of_frames(true: Truth, expression: Expression, prediction: PackedMasks) -> tuple[list[float], list[float]]:
    """J and F of every frame, a part of a long video after the other, so that memory does not follow its length."""
    j, f = [], []
    for begin, end, part in true.parts():
        truth, predicted = part.of(expression.annotation_ids), prediction.some(begin, end)
        j.append(region_similarity(truth, predicted))
        f.append(boundary_measure(truth, predicted))
    return _rounded(np.concatenate(j)), _rounded(np.concatenate(f))


def _thumbnail(video: Video, truth: MaskSequence, frame: int, prediction: MaskSequence | None = None) -> _Thumbnail:
    """Of one frame: the worst of a prediction, or else the one in which the object is largest."""
    height, width = _bounded((video.height, video.width), THUMBNAIL_SIDE)
    rows, columns = nearest(video.height, height), nearest(video.width, width)

    def small(masks: MaskSequence) -> str | None:
        if not len(masks):
            return None
        pixels = masks.take([frame]).sample(rows, columns)
        return _counts(MaskSequence.encode(pixels))[0] if pixels.any() else None

    predicted = None if prediction is None else small(prediction)
    return _Thumbnail(video.frame_names[frame], height, width, small(truth), predicted)


def _rounded(values: np.ndarray) -> list[float]:
    rounded: list[float] = np.round(values, 4).tolist()
    return rounded


def _means(compared: _Compared) -> list[float | None]:
    if compared.J is None or compared.F is None:
        return [None, None, None] if compared.problem is None else [0.0, 0.0, 0.0]
    j, f = (round(100 * sum(values) / len(values), 2) for values in (compared.J, compared.F))
    return [round((j + f) / 2, 2), j, f]


def _method_of(predictions: Any) -> str | None:
    """What the predictions are called: their file or folder, or the first of several."""
    if isinstance(predictions, (list, tuple)) and predictions:
        return _method_of(predictions[0])
    if isinstance(predictions, (str, os.PathLike)):
        path = Path(os.path.realpath(predictions))
        return path.name if path.is_dir() else path.stem
    return None if predictions is None else "predictions"


def _listed(video: Video, made: _Made, measures: int, scores: Scores) -> _ListedVideo:
    nothing: list[float | None] = [None] * measures
    return _ListedVideo(
        video.video_id,
        video.source,
        video.height,
        video.width,
        made.folder,
        len(video.frame_names),
        [
            _ListedExpression(
                expression.expression_id,
                expression.text,
                None if expression.type is None else int(expression.type),
                len(set(expression.annotation_ids)),
                scores.get((video.video_id, expression.expression_id), nothing),
                made.problems.get(expression.expression_id),
                made.thumbnails[expression.expression_id],
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


def _write_page(folder: Path) -> list[str]:
    """The page itself; returns the files that it has under its folder."""
    page = files("revoskit.looking") / "page"
    parts = [file for file in page.iterdir() if file.name.endswith((".js", ".css"))]
    for file in parts:
        write_whole(folder / "page" / file.name, file.read_bytes())
    write_whole(folder / "index.html", (page / "index.html").read_bytes())  # last: a page stands where all else does
    return [f"page/{file.name}" for file in parts]


def _refuse_what_is_no_page(folder: Path) -> None:
    """See that a folder is new, empty, or a page of ours: it is emptied of what a new page does not have."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file: expected a folder for the page, one that is new or empty")
    page = folder / "index.html"
    if not page.exists():
        names = os.listdir(folder) if folder.is_dir() else []
        found = min((name for name in names if not is_of_lock(name)), default=None)
        if found is not None:
            raise UsageError(
                f"{folder} is neither empty nor a gallery (it holds {found!r}): name another folder, so that nothing "
                "of it is written over"
            )
    elif MARK not in page.read_text(encoding="utf-8", errors="replace"):
        raise UsageError(f"{page} is not a gallery's: name another folder, so that it is not written over")


def _claim(folder: Path) -> None:
    """Leave a first page that says it is being written, by which the folder of a run that is stopped is known again."""
    page = folder / "index.html"
    if not page.exists():
        words = "This page is being written, or its writing was stopped: the same command goes on with it."
        write_whole(
            page, f'<!doctype html>\n<meta charset="utf-8"><meta name="generator" {MARK}>\n<p>{words}\n'.encode()
        )


def _remove_others(folder: Path, kept: Container[str]) -> None:
    """What an earlier page had in its own folders and this one has not."""
    for own in ("data", "frames", "page"):
        if (folder / own).is_symlink():  # what lies behind it was not written here
            continue
        for parent, _, names in os.walk(folder / own, topdown=False):
            for name in names:
                path = Path(parent, name)
                if path.relative_to(folder).as_posix() not in kept:
                    path.unlink()
            with contextlib.suppress(OSError):  # not empty
                os.rmdir(parent)


def _address_of(target: Path, folder: Path) -> str:
    """The address of a folder as a page in `folder` links it."""
    try:
        return quote(Path(os.path.relpath(target, folder)).as_posix())
    except ValueError:  # on Windows, another drive
        return target.as_uri()


def _can_be_linked(frames: list[Frame | None]) -> bool:
    """Whether a page from disk shows them where they lie: no member of an archive, and no frame that browsers turn.

    Those of one video are all turned or none, as a camera was held.
    """
    there = [frame for frame in frames if frame is not None]
    try:
        return all(isinstance(frame, FrameFile) for frame in there) and not (there and there[0].is_turned())
    except FrameError:  # one that is broken shows as such, wherever it lies
        return True


def _write_frames(video: Video, frames: list[Frame | None], folder: Path, max_side: int | None) -> list[str]:
    """Copies of frames whose longer side is at most `max_side`; those that an earlier run finished are kept.

    A copy has its frame's modification time, by which it is known again. Returns the names of the copies.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = []
    for name, frame in zip(video.frame_names, frames, strict=True):
        if frame is None:
            continue
        names.append(f"{name}.jpg")
        target, (_, modified) = folder / names[-1], frame.status()
        size = frame.size()
        bounded = size if max_side is None else _bounded(size, max_side)
        if _is_copy(target, bounded, modified):
            continue
        with replacing(target) as part:
            if bounded == size:
                part.write_bytes(frame.unturned())
            else:
                small = frame.image(bounded[::-1]).resize(bounded[::-1], Image.Resampling.BILINEAR, reducing_gap=2)
                small.save(part, "JPEG", quality=JPEG_QUALITY)
            os.utime(part, ns=(modified, modified))
    return names


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
