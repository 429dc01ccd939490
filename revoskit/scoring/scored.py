"""Scores of one set of predictions, expression by expression: as they were just made, or as `evaluate` saved them."""

from __future__ import annotations

import csv
import math
import os
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from revoskit.errors import UsageError
from revoskit.scoring.attributes import ATTRIBUTES, FURTHER, NONE
from revoskit.scoring.identity import Identity
from revoskit.scoring.protocols import Protocol
from revoskit.scoring.result import IDS, MEASURES, SCORES_CSV, SCORES_JSON, Result

SCORE_ANEW = "Score all of them anew: `revoskit evaluate PREDICTIONS --data-dir ROOT -o DIR`."


class ScoredExpression(msgspec.Struct, frozen=True):
    """Which expression it is, for people and for grouping."""

    video_id: str
    expression_id: str
    expression: str
    expression_type: str | None
    attributes: dict[str, str] = {}
    """What kind of target it has, by attribute."""
    unusable: bool = False
    """There is something wrong with its prediction, or none."""


@dataclass(frozen=True)
class Scored:
    """One set of predictions in one protocol."""

    identity: Identity
    expressions: tuple[ScoredExpression, ...]
    values: np.ndarray
    """Percent, float64 (expressions, measures), in the order of `MEASURES`, rounded where the protocol has it so."""

    @classmethod
    def of(cls, result: Result, protocol: Protocol) -> Scored:
        """Those of a result.

        Raises:
            UsageError: it is not of this protocol.
        """
        if protocol not in result.protocols:
            raise UsageError(f"the result was made with protocol {' and '.join(result.protocols)}, not with {protocol}")
        expressions = tuple(
            ScoredExpression(
                e.video_id,
                e.expression_id,
                e.expression,
                None if e.type is None else e.type.label,
                {name: result.attribute(e, name) for name in result.attributes},
                e.problem is not None,
            )
            for e in result.expressions
        )
        values = [list(getattr(e, protocol).percent().values()) for e in result.expressions]
        return cls(result.identity, expressions, _as_averaged(values, protocol))

    @staticmethod
    def is_in(folder: str | os.PathLike[str]) -> bool:
        """Whether `evaluate` has saved scores there."""
        return all((Path(folder) / name).is_file() for name in (SCORES_JSON, SCORES_CSV))

    @classmethod
    def read(cls, folder: str | os.PathLike[str], protocol: Protocol) -> Scored:
        """Those that `evaluate` has saved in a folder.

        Raises:
            UsageError: they are not of this protocol, were written by another version, or are not whole.
        """
        folder = Path(folder)
        try:
            document = msgspec.json.decode((folder / SCORES_JSON).read_bytes(), type=_Document)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise UsageError(f"{folder / SCORES_JSON} is not what `revoskit evaluate` writes: {error}") from None
        if document.scored is None:
            raise UsageError(
                f"{folder / SCORES_JSON} is of an older version, which does not say what was scored. {SCORE_ANEW}"
            )
        expressions, values = _read_csv(folder / SCORES_CSV, protocol)
        return cls(document.scored, tuple(expressions), _as_averaged(values, protocol))


class _Document(msgspec.Struct):
    """What is needed of `scores.json`."""

    scored: Identity | None = None


def _read_csv(path: Path, protocol: Protocol) -> tuple[list[ScoredExpression], list[list[float]]]:
    columns = [f"{protocol}_{name}" for name in MEASURES]
    expressions, values = [], []
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            lacking = [name for name in (*IDS, *columns) if name not in (reader.fieldnames or ())]
            if lacking:
                raise UsageError(f"{path} lacks {', '.join(lacking)}. {SCORE_ANEW[:-2]} --protocol {protocol}`.")
            described = [name for name in (*ATTRIBUTES, *FURTHER) if name in (reader.fieldnames or ())]
            for line in reader:
                video_id, expression_id, text, kind = (line[name] for name in IDS)
                attributes = {name: line[name] or NONE for name in described}
                expressions.append(
                    ScoredExpression(video_id, expression_id, text, kind or None, attributes, bool(line.get("problem")))
                )
                values.append([_percent(line[name]) for name in columns])
    except (ValueError, TypeError, csv.Error) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"{path}, line {reader.line_num}: {error}. {SCORE_ANEW}") from None
    return expressions, values


def _percent(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"expected a number, found {text}")
    return value


def _as_averaged(values: list[list[float]], protocol: Protocol) -> np.ndarray:
    """What the means are taken of: officially, each measure rounded."""
    scores = np.array(values, float).reshape(-1, len(MEASURES))
    if protocol == "official":
        scores = np.round(scores, 2)
        scores[:, MEASURES.index("J&F")] = (scores[:, MEASURES.index("J")] + scores[:, MEASURES.index("F")]) / 2
    return scores
