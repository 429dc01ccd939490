"""A set of predictions against a split of the dataset, video by video: a worker holds one video at a time."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import msgspec

import revoskit
from revoskit import workers as engines
from revoskit.atomic import remove_parts, sole_writer, write_whole
from revoskit.dataset.annotations import Annotations, open_annotations
from revoskit.dataset.families import REVOS
from revoskit.dataset.layout import Faults, Layout
from revoskit.errors import UsageError
from revoskit.scoring.identity import Identity
from revoskit.scoring.predictions import Predictions, open_predictions, refuse_a_dataset, remarks_on
from revoskit.scoring.protocols import ExpressionScores, Protocol, protocols_of, require_scorable, score
from revoskit.scoring.result import Result
from revoskit.scoring.scored_frames import VideoTruth
from revoskit.scoring.video_lists import VideoList, read_verdicts
from revoskit.text import as_json

RUN = "videos/run.json"
"""What a run was made of, in its output folder."""


def evaluate(
    predictions: Any,
    data_dir: str | os.PathLike[str] | None = None,
    *,
    family: str = REVOS,
    split: str = "validation",
    protocol: Protocol | Literal["both"] = "binary",
    alignment: str | os.PathLike[str] | None = None,
    faults: Faults = "error",
    extra: bool = False,
    exclude: str | os.PathLike[str] | None = None,
    verdicts: str | os.PathLike[str] | None = None,
    num_proc: int = 1,
    engine: Literal["local", "ray"] = "local",
    address: str | None = None,
    output: str | os.PathLike[str] | None = None,
    resume: bool = False,
    only_predicted: bool = False,
    progress: Callable[[int, int], object] = lambda done, videos: None,
) -> Result:
    """Score a set of predictions against a split of ReVOS, or of a sister dataset that has masks (docs/sisters.md).

    Args:
        predictions: what `predict` has written, a folder `<video_id>/<expression_id>/<frame>.png`, a `.json`
            `{video_id: {expression_id: [RLE or null, …]}}`, a Parquet file or `datasets` table with video_id,
            expression_id, masks, such a mapping in memory, whose masks may also be arrays (T, height, width), or a
            list of any of these, which are parts of one set. docs/predicting.md has all forms.
        data_dir: the folder of mask_dict.json (default: $REVOS_ROOT).
        family: whose files these are, a key of `families.FAMILIES`.
        split: one of the family's own; of ReVOS `validation`, `train` or `train_sub`.
        protocol: `binary` (what is meant), `official` (what the published evaluator computes) or `both`.
        alignment: a file of accepted mappings (docs/alignment.md): predictions are then expected for the frames that
            it maps masks to. Such scores cannot be compared with published ones.
        faults: `"skip"` leaves out what is wrong with the annotations (see `Layout.at`), and so its expressions.
        extra: score in the measures of other benchmarks, too (docs/protocol.md).
        exclude: a file that names videos, as `video_lists.read_videos` takes it: the means without them are given
            beside those of the whole split.
        verdicts: what `revoskit check --alignment --json` printed: its verdict on each video is an attribute then.
        num_proc, engine, address: how to spread the videos, see `workers.run`.
        output: a folder for `scores.json`, `scores.csv` and, under `videos/`, the results of each video.
        resume: take the videos that are done from `output`, as a killed run has left them. Those whose predictions
            had a problem, or have changed since, are scored again.
        only_predicted: leave out the expressions that have no prediction, for a run that is not done: the result is
            marked as partial, and is none to publish.
        progress: called with the number of videos done and the number there are, first with what was resumed.

    Raises:
        UsageError: an argument is not valid, or `output` holds the results of something else.
        MissingFilesError, AnnotationError: the dataset is not there or not sound. Predictions never raise: what is
            wrong with them is in the result's `missing`.
        FolderInUseError: another process writes to `output`.
        ChangedError: the annotation files changed meanwhile.
        WorkerError: workers died again and again; the videos that are done can be resumed from.
    """
    protocols = protocols_of(protocol)
    if resume and output is None:
        raise UsageError("resume needs the output folder of the run that is to go on")
    excluded = None if exclude is None else VideoList.read(exclude)
    judged = None if verdicts is None else read_verdicts(verdicts)
    refuse_a_dataset(predictions)
    annotations = open_annotations(Layout.at(data_dir, family, alignment=alignment, faults=faults), split)
    require_scorable(annotations, protocols)
    opened = open_predictions(predictions, annotations)
    fingerprint = {
        **run_identity(annotations, opened),
        "protocols": list(protocols),
        "extra": extra,
        "version": revoskit.__version__,
    }
    with contextlib.nullcontext() if output is None else sole_writer(Path(output)):
        store = None if output is None else _Store.open(Path(output), fingerprint, resume)
        done = {} if store is None else store.read(annotations, opened)
        progress(len(done), len(annotations.videos))
        work = partial(_score_video, annotations, opened, protocols, extra)
        todo = [video_id for video_id in annotations.videos if video_id not in done]
        for video_id, found in engines.run(work, todo, num_proc=num_proc, engine=engine, address=address):
            done[video_id] = found.expressions
            if store is not None:
                store.write(video_id, found)
            progress(len(done), len(annotations.videos))

        expressions = [e for video_id in annotations.videos for e in done[video_id]]
        result = Result.of(Identity.of(annotations), protocols, expressions, opened.extras(annotations))
        if only_predicted:
            result = result.only_predicted()
        remarks = (*remarks_on(opened, annotations), *result.remarks)
        result = replace(result, excluded=excluded, verdicts=judged, remarks=remarks)
        if output is not None:
            result.save(output)
    return result


class _Scored(msgspec.Struct):
    """What became of a video, and the state of its predictions before they were read."""

    predictions: str
    expressions: list[ExpressionScores]


def _score_video(
    annotations: Annotations, predictions: Predictions, protocols: tuple[Protocol, ...], extra: bool, video_id: str
) -> _Scored:
    video = annotations.video(video_id)
    state = predictions.state_of(video_id)
    with annotations.unchanged():
        truth = VideoTruth(annotations, video)
        found = [
            score(truth.of(e), e, truth.prediction(e, predictions.read), protocols, further=extra)
            for e in video.expressions
        ]
        return _Scored(state, found)


def run_identity(annotations: Annotations, predictions: Predictions) -> dict[str, Any]:
    """What is scored against what, as far as it can be told without reading it all: noted in the output's `RUN`."""
    return {
        "predictions": predictions.state(),
        "split": annotations.split,
        "annotations": [*annotations.layout.annotation_state(), *annotations.layout.picture_state()],
    }


class _Store:
    """The results of single videos in a folder, for a run that is killed to go on."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._decoder = msgspec.json.Decoder(_Scored)

    @classmethod
    def open(cls, output: Path, fingerprint: dict[str, Any], resume: bool) -> _Store:
        run = output / RUN
        folder = run.parent
        content = as_json(fingerprint)
        if resume and run.is_file() and run.read_bytes() != content:
            raise UsageError(
                f"{run} is of another run (other predictions, split, protocol, measures or annotations): "
                "name another output folder, or start anew without resume"
            )
        folder.mkdir(parents=True, exist_ok=True)
        remove_parts(output, "*")
        remove_parts(folder)
        if not resume:
            for old in folder.rglob("*.scores.json"):
                old.unlink()
        write_whole(run, content)
        return cls(folder)

    def _path(self, video_id: str) -> Path:
        return self._folder / f"{video_id}.scores.json"

    def read(self, annotations: Annotations, predictions: Predictions) -> dict[str, list[ExpressionScores]]:
        """The videos that need not be scored again: their predictions are as they were, and had no problem."""
        done = {}
        for video_id in annotations.videos:
            try:
                found = self._decoder.decode(self._path(video_id).read_bytes())
            except (FileNotFoundError, msgspec.DecodeError):
                continue
            sound = all(expression.problem is None for expression in found.expressions)
            if sound and found.predictions == predictions.state_of(video_id):
                done[video_id] = found.expressions
        return done

    def write(self, video_id: str, found: _Scored) -> None:
        write_whole(self._path(video_id), as_json(found))
