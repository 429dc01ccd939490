"""The sets of predictions that a page shows, one or two, and the scores that were made of them."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from revoskit.dataset.annotations import Annotations
from revoskit.errors import MissingFilesError, UsageError
from revoskit.scoring.attributes import ATTRIBUTES, FURTHER, NONE
from revoskit.scoring.compare import method_names
from revoskit.scoring.evaluate import RUN, run_identity
from revoskit.scoring.predictions import Predictions, open_predictions
from revoskit.scoring.result import IDS, SCORES_CSV
from revoskit.text import as_json

Key = tuple[str, str]  # video id and expression id


@dataclass(frozen=True)
class ReadScores:
    """What `scores.csv` says of every expression, in percent, and of the kind of its target, in words."""

    measures: tuple[str, ...]
    """Such as `binary_J&F`."""
    values: dict[Key, list[float | None]]
    attributes: tuple[str, ...]
    words: dict[Key, list[str]]

    def of(self, measures: Sequence[str], key: Key) -> list[float | None]:
        """Some of the measures of an expression; null for one that is not in the table."""
        values = self.values.get(key)
        return [None if values is None else values[self.measures.index(name)] for name in measures]


@dataclass(frozen=True)
class Methods:
    """Sets of predictions by their names, and of each its scores, where any were given."""

    names: tuple[str, ...]
    predictions: tuple[Predictions, ...]
    scores: tuple[ReadScores, ...]
    measures: tuple[str, ...]
    """Those that all scores have; none without scores."""


def open_methods(
    annotations: Annotations,
    given: Sequence[Any],
    scores: Sequence[str | os.PathLike[str]],
    names: Sequence[str] | None,
) -> Methods:
    """Open one or two sets of predictions, and see that the scores are theirs.

    Raises:
        UsageError: they cannot be told apart, the names or the scores are not one each, the
            scores are of other predictions or have no measure in common, or the split keeps its masks back.
        MissingFilesError: there is no `scores.csv`.
    """
    if annotations.hidden and given:
        raise UsageError(f"{annotations.split} keeps its masks back: there is nothing to compare predictions with")
    if given and scores and len(scores) != len(given):
        raise UsageError(
            f"there are {len(given)} sets of predictions and scores of {len(scores)}: name the scores of each, in the "
            "same order, or none"
        )
    if len(scores) > max(1, len(given)):
        raise UsageError(f"there are scores of {len(scores)} methods and no predictions: name --predictions of each")
    called = _names(given, names)
    read = tuple(read_scores(Path(one)) for one in scores)
    opened = tuple(open_predictions(one, annotations) for one in given)
    for folder, predictions in zip(scores, opened, strict=False):
        _refuse_other_scores(Path(folder), predictions, annotations)
    measures = [name for name in read[0].measures if all(name in one.measures for one in read)] if read else []
    if read and not measures:
        raise UsageError(
            f"{scores[0]} and {scores[-1]} have no measure in common: score both in one protocol, or leave --scores out"
        )
    return Methods(called, opened, read, tuple(measures))


def _names(given: Sequence[Any], names: Sequence[str] | None) -> tuple[str, ...]:
    if len(given) == 2:
        return method_names(given, names)
    if names is not None and len(names) != len(given):
        raise UsageError(f"there are {len(given)} sets of predictions and {len(names)} names for them: name each")
    return tuple(names) if names is not None else tuple(_name_of(one) for one in given)


def _name_of(predictions: Any) -> str:
    """What the predictions are called: their file or folder, or the first of several."""
    if isinstance(predictions, (list, tuple)) and predictions:
        return _name_of(predictions[0])
    if isinstance(predictions, (str, os.PathLike)):
        path = Path(os.path.realpath(predictions))
        return path.name if path.is_dir() else path.stem
    return "predictions"


def _refuse_other_scores(folder: Path, predictions: Predictions, annotations: Annotations) -> None:
    """See that scores are of these predictions, by what the evaluation noted of its run; a bare table has no note."""
    note = folder / RUN if folder.is_dir() else folder.parent / RUN
    if not note.is_file():
        return
    scored = msgspec.json.decode(note.read_bytes())
    here = msgspec.json.decode(as_json(run_identity(annotations, predictions)))
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


def read_scores(folder: Path) -> ReadScores:
    """What `revoskit evaluate` wrote, from its folder or its `scores.csv`.

    Raises:
        MissingFilesError: the folder has no `scores.csv`.
        UsageError: the file is not one that `revoskit evaluate` writes.
    """
    path = folder / SCORES_CSV if folder.is_dir() else folder
    if not path.is_file():
        raise MissingFilesError(f"{path} is not there: --scores names the folder that `revoskit evaluate` wrote")
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        columns = rows.fieldnames or []
        if missing := {"video_id", "expression_id"} - set(columns):
            raise UsageError(
                f"{path} has no column {', '.join(sorted(missing))}; it has {', '.join(columns) or 'none'}"
            )
        measures = [name for name in columns if name not in IDS and "_" in name]
        attributes = [name for name in (*ATTRIBUTES, *FURTHER) if name in columns]
        found = ReadScores(tuple(measures), {}, tuple(attributes), {})
        for row in rows:
            try:
                values = [float(row[name]) if row[name] else None for name in measures]
            except ValueError as error:
                raise UsageError(f"{path}, line {rows.line_num}: {error}") from None
            if not all(value is None or math.isfinite(value) for value in values):
                raise UsageError(f"{path}, line {rows.line_num}: expected finite numbers, found {values}")
            key = row["video_id"], row["expression_id"]
            found.values[key] = values
            found.words[key] = [row[name] or NONE for name in attributes]
    return found
