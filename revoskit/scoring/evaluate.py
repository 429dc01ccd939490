"""Predictions against the dataset: the scores of every expression, and the numbers that people publish.

The two protocols are described in docs/protocol.md: `binary`, what is meant, and `official`, what the published
evaluator computes. The work goes video by video: true masks, their boundaries and dilations are made once for a video,
and a worker holds one video at a time.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from tabulate import tabulate

from revoskit import workers as engines
from revoskit.atomic import write_whole
from revoskit.dataset.annotations import Annotations, Expression, ExpressionType, Video, VideoMasks, open_annotations
from revoskit.dataset.layout import Layout
from revoskit.errors import UsageError
from revoskit.masks.packed import PackedMasks, Patch, pack
from revoskit.scoring import measures, reported
from revoskit.scoring.predictions import (
    GreyMasks,
    Prediction,
    Predictions,
    Problem,
    from_masks,
    open_predictions,
)

PROTOCOLS = ("binary", "official")
MEASURES = ("J", "F", "J&F", "A", "R")
_AGGREGATED = (ExpressionType.REFERRING, ExpressionType.REASONING)


class Measures(msgspec.Struct, frozen=True):
    """The scores of one expression: means over its frames, 0 to 1."""

    J: float = 0.0
    F: float = 0.0
    A: float = 0.0
    R: float = 0.0

    def percent(self) -> dict[str, float]:
        """All five published measures, 0 to 100."""
        return {
            "J": 100 * self.J,
            "F": 100 * self.F,
            "J&F": 100 * (self.J + self.F) / 2,
            "A": 100 * self.A,
            "R": 100 * self.R,
        }


class ExpressionScores(msgspec.Struct, frozen=True):
    """What one expression's prediction is worth in each protocol that was asked for."""

    video_id: str
    expression_id: str
    expression: str
    type: ExpressionType
    binary: Measures | None
    official: Measures | None
    empty: float | None
    """Share of frames in which nothing is predicted; null without a usable prediction."""
    area: float | None
    """Share of a frame's pixels that is predicted, mean over the frames; null without a usable prediction."""
    problem: Problem | None = None


# --- one expression ---------------------------------------------------------------------------------------------------


class _Truth:
    """The true masks of one video, made when they are needed and kept for all its expressions."""

    def __init__(self, video: Video, masks: VideoMasks, size: tuple[int, int] | None = None) -> None:
        self.video = video
        self._masks = masks
        self._size = size
        self._packed: dict[frozenset[int], PackedMasks] = {}
        self._levels: dict[tuple[int, ...], list[PackedMasks]] = {}

    def resized(self, size: tuple[int, int]) -> _Truth | None:
        """The same, with a single row or column spread over another size; null where that cannot be."""
        try:
            np.broadcast_to(np.empty((self.video.height, self.video.width)), size)
        except ValueError:
            return None
        return _Truth(self.video, self._masks, size)

    def of(self, annotation_ids: Collection[int]) -> PackedMasks:
        key = frozenset(annotation_ids)
        if key not in self._packed:
            self._packed[key] = self._pack(self._masks.union(key))
        return self._packed[key]

    def levels(self, annotation_ids: tuple[int, ...]) -> list[PackedMasks]:
        """Where at least one, at least two, … of the tracks lie; as long a list as the deepest overlap, at least one.

        A track that is named twice counts twice.
        """
        key = tuple(sorted(annotation_ids))
        if key not in self._levels:
            union = self.of(key)
            tracks = [self.of([i]) for i in key]
            overlapping = (sum((track.areas for track in tracks), np.zeros_like(union.areas)) != union.areas).any()
            self._levels[key] = [union, *union.at_least(tracks)[1:]] if overlapping else [union]
        return self._levels[key]

    def sums(self, annotation_ids: tuple[int, ...], frame: int) -> np.ndarray:
        """The tracks added up in eight bits, uint8 (h, w)."""
        total = np.zeros((self.video.height, self.video.width), np.uint8)
        for i in annotation_ids:
            total += self._masks.track(i)[frame : frame + 1].decode()[0]
        return total if self._size is None else np.broadcast_to(total, self._size)

    @cached_property
    def foreground_areas(self) -> np.ndarray:
        areas = self._masks.foreground().areas()
        return areas if self._size is None else areas * (self._size[0] * self._size[1] // self._pixels)

    @property
    def _pixels(self) -> int:
        return self.video.height * self.video.width

    def _pack(self, masks: Any) -> PackedMasks:
        if self._size is None:
            return pack(masks)
        pixels = masks.decode()
        return pack(np.ascontiguousarray(np.broadcast_to(pixels, (len(pixels), *self._size))))


def _binary(truth: _Truth, annotation_ids: tuple[int, ...], predicted: PackedMasks) -> Measures:
    true = truth.of(annotation_ids)
    both = true.overlap(predicted)
    return _means(
        _jaccard_and_boundary(true, predicted, both),
        measures.accuracy(true.areas, predicted.areas, both, true.pixels_per_frame),
        measures.robustness_of(predicted.areas - both, truth.foreground_areas),
    )


def _official(truth: _Truth, annotation_ids: tuple[int, ...], predicted: GreyMasks) -> Measures:
    """As published: the prediction's grey values and the number of overlapping tracks are compared as they are."""
    masks = predicted.masks
    levels = truth.levels(annotation_ids)
    if len(levels) > 255:
        raise UsageError(f"video {truth.video.video_id!r}: {len(levels)} tracks overlap, more than 8 bits can count")
    common = [level.overlap(masks) for level in levels]
    # Of the predicted pixels, how many lie where exactly 0, 1, 2, … tracks do.
    above = [masks.areas, *common, np.zeros_like(masks.areas)]
    exactly = [more - fewer for more, fewer in pairwise(above)]
    pixels = masks.pixels_per_frame
    agreeing = pixels - (levels[0].areas + masks.areas - common[0])  # where both are zero
    wrong = np.zeros_like(agreeing)
    for count, area in enumerate(exactly):
        agreeing += np.where((predicted.values == count) & (count > 0), area, 0)
        wrong += area * ((1 - count) % 256 * predicted.values % 256)
    for frame, patch in predicted.several.items():
        agreeing[frame], wrong[frame] = _compare_greys(truth.sums(annotation_ids, frame), patch)
    return _means(
        _jaccard_and_boundary(levels[0], masks, common[0]),
        agreeing / pixels,
        measures.robustness_of(wrong, truth.foreground_areas),
    )


def _compare_greys(true: np.ndarray, patch: Patch) -> tuple[int, int]:
    """Pixels that are equal in the whole frame, and the wrong ones, weighted as 8-bit arithmetic does."""
    height, width = patch.pixels.shape
    inside = true[patch.y : patch.y + height, patch.x : patch.x + width]
    outside = true.size - inside.size - (np.count_nonzero(true) - np.count_nonzero(inside))
    wrong = (np.uint8(1) - inside) * patch.pixels
    return outside + np.count_nonzero(inside == patch.pixels), int(wrong.sum())


def _jaccard_and_boundary(true: PackedMasks, predicted: PackedMasks, both: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return measures.jaccard(true.areas, predicted.areas, both), measures.boundary_measure(true, predicted)


def _means(
    jaccard_and_boundary: tuple[np.ndarray, np.ndarray], accuracy: np.ndarray, robustness: np.ndarray
) -> Measures:
    jaccard, boundary = jaccard_and_boundary
    return Measures(*(float(values.mean()) for values in (jaccard, boundary, accuracy, robustness)))


def _score(
    truth: _Truth, expression: Expression, prediction: Prediction, protocols: Collection[str]
) -> ExpressionScores:
    video = truth.video
    ids = expression.annotation_ids
    binary = official = empty = area = None
    masks = prediction.binary
    if masks is not None:
        empty = float((masks.areas == 0).mean())
        area = float(masks.areas.mean() / masks.pixels_per_frame)
    if "binary" in protocols:
        binary = Measures() if masks is None else _binary(truth, ids, masks)
    if "official" in protocols:
        official = _official_or_nothing(truth, ids, prediction.official)
    return ExpressionScores(
        video.video_id,
        expression.expression_id,
        expression.text,
        expression.type,
        binary,
        official,
        empty,
        area,
        prediction.problem,
    )


def _official_or_nothing(truth: _Truth, annotation_ids: tuple[int, ...], predicted: GreyMasks | None) -> Measures:
    if predicted is None:
        return Measures()
    size = (predicted.masks.height, predicted.masks.width)
    if size != (truth.video.height, truth.video.width):
        truth = truth.resized(size)
    return Measures() if truth is None else _official(truth, annotation_ids, predicted)


# --- all of them ------------------------------------------------------------------------------------------------------


class Row(msgspec.Struct, frozen=True):
    """A line of the published table: measures in percent, null where there are no such expressions."""

    measures: dict[str, float | None]
    expressions: int


@dataclass(frozen=True)
class Result:
    """The scores of all expressions of a split, in the dataset's order, and what was wrong with the predictions."""

    protocols: tuple[str, ...]
    expressions: tuple[ExpressionScores, ...]
    missing: tuple[Problem, ...]

    @cached_property
    def rows(self) -> dict[str, dict[str, Row]]:
        """By protocol: `referring`, `reasoning` and `overall`, the mean of the two."""
        return {protocol: self._rows(protocol) for protocol in self.protocols}

    def _rows(self, protocol: str) -> dict[str, Row]:
        rows = {
            kind.label: _row([getattr(e, protocol) for e in self.expressions if e.type is kind], protocol)
            for kind in _AGGREGATED
        }
        pair = list(rows.values())
        overall = {
            name: None if None in values else sum(values) / 2
            for name in MEASURES
            for values in [[row.measures[name] for row in pair]]
        }
        return {**rows, "overall": Row(overall, sum(row.expressions for row in pair))}

    @cached_property
    def nonexistent(self) -> dict[str, float | int | None]:
        """What is predicted for objects that are not there, in percent; an unusable prediction has no empty frames."""
        found = [e for e in self.expressions if e.type is ExpressionType.NONEXISTENT]
        areas = [e.area for e in found if e.area is not None]
        return {
            "empty_frames": 100 * float(np.mean([e.empty or 0.0 for e in found])) if found else None,
            "predicted_area": 100 * float(np.mean(areas)) if areas else None,
            "expressions": len(found),
        }

    def as_dict(self) -> dict[str, Any]:
        """What `measures.json` holds."""
        document: dict[str, Any] = {
            protocol: {name: {**row.measures, "expressions": row.expressions} for name, row in rows.items()}
            for protocol, rows in self.rows.items()
        }
        if "binary" in document:
            document["binary"]["nonexistent"] = self.nonexistent
        return {**document, "missing": msgspec.to_builtins(self.missing)}

    def to_json(self) -> str:
        """The numbers and the problems as a JSON document, the content of `measures.json`."""
        return msgspec.json.format(msgspec.json.encode(self.as_dict()), indent=2).decode()

    def to_pandas(self) -> Any:
        """A `pandas.DataFrame` with a row per expression, the content of `measures.csv`; measures in percent."""
        import pandas as pd

        return pd.DataFrame([self._record(e) for e in self.expressions], columns=self._columns())

    def _columns(self) -> list[str]:
        ids = ["video_id", "expression_id", "expression", "expression_type"]
        return ids + [f"{protocol}_{name}" for protocol in self.protocols for name in MEASURES]

    def _record(self, e: ExpressionScores) -> list[Any]:
        measures = [value for protocol in self.protocols for value in getattr(e, protocol).percent().values()]
        return [e.video_id, e.expression_id, e.expression, e.type.label, *measures]

    def table(self) -> str:
        """The table as people publish it, one for each protocol."""
        tables = []
        for protocol, rows in self.rows.items():
            lines = [
                [name, *(_shown(row.measures[m]) for m in MEASURES), f"{row.expressions:,}"]
                for name, row in rows.items()
            ]
            alignment = ["left"] + ["right"] * (len(MEASURES) + 1)
            text = tabulate(lines, [protocol, *MEASURES, "expressions"], colalign=alignment, disable_numparse=True)
            if protocol == "binary" and self.nonexistent["expressions"]:
                absent = self.nonexistent
                text += (
                    f"\nnonexistent: {_shown(absent['empty_frames'])} % of frames left empty, "
                    f"{_shown(absent['predicted_area'])} % of pixels predicted, {absent['expressions']:,} expressions"
                )
            tables.append(text)
        return "\n\n".join(tables)

    def summary(self, shown: int = 5) -> str:
        """What was wrong with the predictions, in a few lines; empty if nothing was."""
        if not self.missing:
            return ""
        unusable = [problem for problem in self.missing if problem.kind != "extra"]
        extra = [problem for problem in self.missing if problem.kind == "extra"]
        lines = []
        if unusable:
            kinds = ", ".join(f"{count:,} {kind}" for kind, count in Counter(p.kind for p in unusable).most_common())
            lines.append(
                f"{len(unusable):,} of {len(self.expressions):,} expressions have no usable prediction and score 0 "
                f"({kinds}):"
            )
            lines += _listed(unusable, shown)
        if extra:
            lines.append(f"{len(extra):,} predictions are for nothing in the split and were ignored:")
            lines += _listed(extra, shown)
        return "\n".join(lines)

    def against_published(self, name: str = "this prediction") -> str:
        """The J&F of these predictions among the published ones, sorted by the overall one."""
        protocol = self.protocols[-1]  # the official one where it was computed
        ours = {kind: row.measures["J&F"] for kind, row in self.rows[protocol].items()}
        return reported.table(name, ours["referring"], ours["reasoning"], ours["overall"])

    def save(self, folder: str | os.PathLike) -> None:
        """Write `measures.json` and `measures.csv`, each whole or not at all."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / "scores.json", self.to_json().encode() + b"\n")
        write_whole(folder / "scores.csv", self.to_pandas().to_csv(index=False, lineterminator="\n").encode())


def _row(found: list[Measures], protocol: str) -> Row:
    if not found:
        return Row(dict.fromkeys(MEASURES), 0)
    means = {}
    for name in ("J", "F", "A", "R"):
        percent = np.array([100 * getattr(measures, name) for measures in found])
        # NumPy's rounding, as published: it scales, and so differs from Python's where a digit is a 5.
        means[name] = float((np.round(percent, 2) if protocol == "official" else percent).mean())
    means["J&F"] = (means["J"] + means["F"]) / 2
    return Row({name: means[name] for name in MEASURES}, len(found))


def _shown(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"


def _listed(problems: list[Problem], shown: int) -> list[str]:
    lines = []
    for problem in problems[:shown]:
        place = problem.video_id + (
            f", expression {problem.expression_id}" if problem.expression_id is not None else ""
        )
        lines.append(f"  {place}: {problem.reason}")
    if len(problems) > shown:
        lines.append(f"  … and {len(problems) - shown:,} more, see `missing` in measures.json")
    return lines


# --- a set of predictions ---------------------------------------------------------------------------------------------


def evaluate(
    predictions: Any,
    data_dir: str | os.PathLike | None = None,
    *,
    split: str = "validation",
    protocol: str = "binary",
    alignment: str | os.PathLike | None = None,
    num_proc: int = 1,
    engine: str = "local",
    address: str | None = None,
    output: str | os.PathLike | None = None,
    resume: bool = False,
    progress: Callable[[int, int], object] = lambda done, videos: None,
) -> Result:
    """Score a set of predictions against a split of ReVOS.

    Args:
        predictions: a folder `<video_id>/<expression_id>/<frame>.png`, a `.json` `{video_id: {expression_id: [RLE or
            null, …]}}`, a Parquet file or `datasets` table with video_id, expression_id, masks, or such a mapping in
            memory, whose masks may also be arrays (T, height, width).
        data_dir: the folder of mask_dict.json (default: $REVOS_ROOT).
        split: `validation`, `train` or `train_sub`.
        protocol: `binary` (what is meant), `official` (what the published evaluator computes) or `both`.
        alignment: a file of accepted mappings (docs/alignment.md): predictions are then expected for the frames that
            it maps masks to. Such scores cannot be compared with published ones.
        num_proc, engine, address: how to spread the videos, see `workers.run`.
        output: a folder for `measures.json`, `measures.csv` and, under `videos/`, the results of each video.
        resume: take the videos that are done from `output`, as a killed run has left them.
        progress: called with the number of videos done and the number there are, first with what was resumed.

    Raises:
        UsageError: an argument cannot be meant, or `output` holds the results of something else.
        MissingFilesError, AnnotationError: the dataset is not there or not sound. Predictions never raise: what is
            wrong with them is in the result's `missing`.
        WorkerError: workers died again and again; the videos that are done can be resumed from.
    """
    protocols = _protocols(protocol)
    if resume and output is None:
        raise UsageError("resume needs the output folder of the run that is to go on")
    annotations = open_annotations(Layout.at(data_dir, alignment=alignment), split)
    opened = open_predictions(predictions)
    store = _Store.open(Path(output), _fingerprint(annotations, predictions, protocols), resume) if output else None

    done = {} if store is None else store.read(annotations)
    progress(len(done), len(annotations.videos))
    work = partial(_score_video, annotations, opened, protocols)
    todo = [video_id for video_id in annotations.videos if video_id not in done]
    for video_id, found in engines.run(work, todo, num_proc=num_proc, engine=engine, address=address):
        done[video_id] = found
        if store is not None:
            store.write(video_id, found)
        progress(len(done), len(annotations.videos))

    expressions = [e for video_id in annotations.videos for e in done[video_id]]
    result = _result(protocols, expressions, opened.extras(annotations))
    if output is not None:
        result.save(output)
    return result


def _protocols(protocol: str) -> tuple[str, ...]:
    if protocol == "both":
        return PROTOCOLS
    if protocol not in PROTOCOLS:
        raise UsageError(f"there is no protocol {protocol!r}: use {', '.join(PROTOCOLS)} or both")
    return (protocol,)


def _result(
    protocols: tuple[str, ...], expressions: Iterable[ExpressionScores], extras: Iterable[Problem] = ()
) -> Result:
    expressions = tuple(expressions)
    missing = [e.problem for e in expressions if e.problem is not None]
    return Result(protocols, expressions, (*missing, *extras))


def _score_video(
    annotations: Annotations, predictions: Predictions, protocols: tuple[str, ...], video_id: str
) -> list[ExpressionScores]:
    video = annotations.video(video_id)
    truth = _Truth(video, annotations.masks(video))
    return [_score(truth, e, predictions.read(video, e), protocols) for e in video.expressions]


def _fingerprint(annotations: Annotations, predictions: Any, protocols: tuple[str, ...]) -> dict[str, Any]:
    """What the results of a video depend on, as far as it can be told without reading it all."""
    if isinstance(predictions, (str, os.PathLike)):
        path = Path(os.path.realpath(os.path.expanduser(predictions)))
        status = path.stat()
        source = [str(path)] if path.is_dir() else [str(path), status.st_size, status.st_mtime_ns]
    else:
        source = ["in memory"]
    return {
        "predictions": source,
        "split": annotations.split,
        "protocols": list(protocols),
        "annotations": annotations.layout.annotation_state(),
    }


class _Store:
    """The results of single videos in a folder, for a run that is killed to go on."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._decoder = msgspec.json.Decoder(list[ExpressionScores])

    @classmethod
    def open(cls, output: Path, fingerprint: dict[str, Any], resume: bool) -> _Store:
        folder = output / "videos"
        run = folder / "run.json"
        content = msgspec.json.encode(fingerprint)
        if resume and run.is_file() and run.read_bytes() != content:
            raise UsageError(
                f"{run} is of another run (other predictions, split, protocol or annotations): "
                "name another output folder, or start anew without resume"
            )
        folder.mkdir(parents=True, exist_ok=True)
        if not resume:
            for old in folder.rglob("*.scores.json"):
                old.unlink()
        write_whole(run, content)
        return cls(folder)

    def _path(self, video_id: str) -> Path:
        return self._folder / f"{video_id}.scores.json"

    def read(self, annotations: Annotations) -> dict[str, list[ExpressionScores]]:
        paths = {video_id: self._path(video_id) for video_id in annotations.videos}
        return {video_id: self._decoder.decode(p.read_bytes()) for video_id, p in paths.items() if p.is_file()}

    def write(self, video_id: str, found: list[ExpressionScores]) -> None:
        write_whole(self._path(video_id), msgspec.json.encode(found))


class Evaluator:
    """Scores predictions as they come, in a training loop: nothing has to be written to know a score.

    >>> evaluator = Evaluator("ReVOS")
    >>> evaluator.add("OVIS/train/00e92ab4", "0", masks)  # (T, height, width), or RLEs
    >>> print(evaluator.result().table())

    With several ranks, give each an evaluator, gather them (they pickle, and hold numbers only) and `merge`.
    """

    def __init__(
        self,
        data_dir: str | os.PathLike | None = None,
        *,
        split: str = "validation",
        protocol: str = "binary",
        alignment: str | os.PathLike | None = None,
    ) -> None:
        self.protocols = _protocols(protocol)
        self._annotations = open_annotations(Layout.at(data_dir, alignment=alignment), split)
        self._found: dict[tuple[str, str], ExpressionScores] = {}
        self._truth: _Truth | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_truth": None}

    def __len__(self) -> int:
        return len(self._found)

    def add(self, video_id: str, expression_id: str, masks: Any) -> ExpressionScores:
        """Score the prediction for one expression; a later one for the same expression replaces it.

        The true masks of the video are kept until another video's turn comes: keep a video's expressions together.

        Args:
            video_id, expression_id: as the dataset has them.
            masks: all frames of the video: an array or tensor (T, height, width) of bool or whole numbers, or T RLEs
                (null is an empty mask).

        Raises:
            AnnotationError: the split has no such video.
            UsageError: it has no such expression, or the masks do not fit the video.
        """
        video = self._annotations.video(video_id)
        if self._truth is None or self._truth.video is not video:
            self._truth = _Truth(video, self._annotations.masks(video))
        expression = next((e for e in video.expressions if e.expression_id == str(expression_id)), None)
        if expression is None:
            known = ", ".join(e.expression_id for e in video.expressions)
            raise UsageError(f"video {video_id!r} has no expression {expression_id!r}; it has {known}")
        prediction = from_masks(video, expression, masks)
        if prediction.problem is not None:
            reason = prediction.problem.reason
            raise UsageError(f"video {video_id!r}, expression {expression.expression_id!r}: {reason}")
        found = _score(self._truth, expression, prediction, self.protocols)
        self._found[video_id, expression.expression_id] = found
        return found

    def merge(self, other: Evaluator) -> Evaluator:
        """Take over what another rank has scored; an expression that both have counts once. Returns this one.

        Raises:
            UsageError: the other one is for another split or protocol.
        """
        mine, theirs = ((e._annotations.split, e.protocols) for e in (self, other))
        if mine != theirs:
            raise UsageError(f"cannot merge an evaluator for {theirs} into one for {mine} (split, protocols)")
        self._found |= other._found
        return self

    def result(self, *, added_only: bool = False) -> Result:
        """The scores so far. What was not added is missing and scores 0, as the protocol wants it.

        With `added_only` it is left out instead: the score of a sample, not one to publish.
        """
        expressions = []
        for video in self._annotations:
            for expression in video.expressions:
                found = self._found.get((video.video_id, expression.expression_id))
                if found is None and not added_only:
                    found = self._missing(video, expression)
                if found is not None:
                    expressions.append(found)
        return _result(self.protocols, expressions)

    def _missing(self, video: Video, expression: Expression) -> ExpressionScores:
        problem = Problem(video.video_id, expression.expression_id, "missing", "no masks were added for it")
        nothing = [Measures() if protocol in self.protocols else None for protocol in PROTOCOLS]
        return ExpressionScores(
            video.video_id, expression.expression_id, expression.text, expression.type, *nothing, None, None, problem
        )
