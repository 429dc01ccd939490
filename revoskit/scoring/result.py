"""The scores of a split: the numbers that people publish, as a table, as JSON and as CSV."""

from __future__ import annotations

import csv
import io
import os
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from tabulate import tabulate

from revoskit.atomic import write_whole
from revoskit.dataset import published
from revoskit.dataset.families import FAMILIES, REVOS
from revoskit.dataset.records import ExpressionType
from revoskit.errors import UsageError
from revoskit.scoring import extra, reported
from revoskit.scoring.attributes import ALIGNMENT, ATTRIBUTES, KIND, NONE, order
from revoskit.scoring.identity import Identity
from revoskit.scoring.prediction import ABSENT, Problem, ProblemKind
from revoskit.scoring.protocols import ExpressionScores, Measures, Protocol
from revoskit.scoring.remarks import remarks
from revoskit.scoring.video_lists import VideoList
from revoskit.text import as_json, storable

MEASURES = ("J", "F", "J&F", "A", "R")
_OF_SISTERS = ("J", "F", "J&F")  # A and R are measures of ReVOS
AGGREGATED = (ExpressionType.REFERRING, ExpressionType.REASONING)
OVERALL = "overall"
SCORES_JSON, SCORES_CSV = "scores.json", "scores.csv"
IDS = ("video_id", "expression_id", "expression", "expression_type")
"""The first columns of `scores.csv`."""


class Row(msgspec.Struct, frozen=True):
    """A line of the published table: measures in percent, null where there are no such expressions."""

    measures: dict[str, float | None]
    expressions: int


@dataclass(frozen=True)
class Result:
    """The scores of all expressions of a split, in the dataset's order, and what was wrong with the predictions."""

    protocols: tuple[Protocol, ...]
    expressions: tuple[ExpressionScores, ...]
    missing: tuple[Problem, ...]
    identity: Identity
    """What was scored against."""
    remarks: tuple[str, ...] = ()
    """What is odd about the predictions, in sentences."""
    partial: bool = False
    """Expressions without a prediction are left out of all means."""
    excluded: VideoList | None = None
    """Videos without which the means are given as well, beside those of all."""
    verdicts: dict[str, str] | None = None
    """What was found about each video's alignment, where it was looked for."""
    is_slice: bool = False
    """Of expressions that were chosen by what they are: where they are all of one type, overall is its mean."""

    @classmethod
    def of(
        cls,
        identity: Identity,
        protocols: tuple[Protocol, ...],
        expressions: Iterable[ExpressionScores],
        extras: Iterable[Problem] = (),
    ) -> Result:
        """The result of these expressions; `extras` are predictions for nothing in the split."""
        expressions = tuple(expressions)
        missing = [e.problem for e in expressions if e.problem is not None]
        return cls(protocols, expressions, (*missing, *extras), identity, tuple(remarks(expressions, protocols)))

    def only_predicted(self) -> Result:
        """The same without the expressions that have no prediction: no result to publish, and marked as partial."""
        return replace(self, expressions=tuple(e for e in self.expressions if not _is_absent(e)), partial=True)

    @cached_property
    def rows(self) -> dict[Protocol, dict[str, Row]]:
        """By protocol: `referring`, `reasoning` and `overall`, the mean of the two.

        Of a dataset without types there is `overall` alone, the mean over all expressions.
        """
        return {protocol: self._rows(protocol) for protocol in self.protocols}

    def _rows(self, protocol: Protocol) -> dict[str, Row]:
        if not self._typed:
            return {OVERALL: _row([getattr(e, protocol) for e in self.expressions], protocol)}
        rows = {
            kind.label: _row([getattr(e, protocol) for e in self.expressions if e.type is kind], protocol)
            for kind in AGGREGATED
        }
        pair = [row for row in rows.values() if row.expressions or not self.is_slice]
        overall = {name: _mean(*(row.measures[name] for row in pair)) for name in MEASURES}
        return {**rows, OVERALL: Row(overall, sum(row.expressions for row in pair))}

    @property
    def _typed(self) -> bool:
        return FAMILIES[self.identity.family].typed

    def without(self, video_ids: Collection[str]) -> Result:
        """The result of all other videos: not one to compare with others'."""
        left = tuple(e for e in self.expressions if e.video_id not in video_ids)
        return replace(self, expressions=left, missing=(), excluded=None)

    @property
    def attributes(self) -> tuple[str, ...]:
        """The attributes by which `slices` divides."""
        kinds = (KIND,) if any(e.kind for e in self.expressions) else ()
        return (*kinds, *ATTRIBUTES, *((ALIGNMENT,) if self.verdicts is not None else ()))

    def attribute(self, e: ExpressionScores, name: str) -> str:
        """Which slice of an attribute an expression belongs to."""
        if name == ALIGNMENT:
            return (self.verdicts or {}).get(e.video_id, NONE)
        if name == KIND:
            return e.kind or NONE
        return str(getattr(e.attributes, name))

    @cached_property
    def slices(self) -> dict[str, dict[str, Result]]:
        """By attribute and its value, the result of the expressions that have it; those of absent objects in none."""
        counted = [e for e in self.expressions if not self._typed or e.type in AGGREGATED]
        found: dict[str, dict[str, Result]] = {}
        if self._typed:
            found["type"] = {kind.label: self._of([e for e in counted if e.type is kind]) for kind in AGGREGATED}
        for name in self.attributes:
            by_value: dict[str, list[ExpressionScores]] = {}
            for e in counted:
                by_value.setdefault(self.attribute(e, name), []).append(e)
            found[name] = {value: self._of(by_value[value]) for value in sorted(by_value, key=order)}
        return found

    def _of(self, expressions: Iterable[ExpressionScores]) -> Result:
        return replace(self, expressions=tuple(expressions), missing=(), excluded=None, is_slice=True)

    @cached_property
    def extra(self) -> dict[str, Any] | None:
        """Means of the measures of other benchmarks, in percent, over all expressions that they say something about.

        By type as well, under its name; null where they were not asked for.
        """
        if any(e.extra is None for e in self.expressions):
            return None
        found: dict[str, Any] = _extra_means(self.expressions)
        if self._typed:
            found |= {kind.label: _extra_means([e for e in self.expressions if e.type is kind]) for kind in AGGREGATED}
        return found

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
        """What `scores.json` holds."""
        document = self._rows_as_dict()
        if "binary" in document and self._typed:
            document["binary"]["nonexistent"] = self.nonexistent
        document["missing"] = msgspec.to_builtins(self.missing)
        document["scored"] = msgspec.to_builtins(self.identity)
        if self.remarks:
            document["remarks"] = list(self.remarks)
        if self.partial:
            document["partial"] = {"predicted": len(self.expressions), "expressions": self._split_size}
        document["slices"] = {
            name: {value: part._slice() for value, part in values.items()} for name, values in self.slices.items()
        }
        if self.extra is not None:
            document["extra"] = self.extra
        if self.excluded is not None:
            left = self.without(self.excluded.video_ids)
            document["without"] = {"file": self.excluded.name, "videos": left.videos, **left._rows_as_dict()}
        return document

    @property
    def found_wanting(self) -> bool:
        """Whether there is a problem that was not to be expected: of partial scores, one that costs points."""
        return any(not (self.partial and problem.kind in ABSENT) for problem in self.missing)

    @property
    def _absent(self) -> int:
        """How many expressions of the split have no prediction."""
        return sum(problem.kind in ABSENT for problem in self.missing)

    @property
    def _split_size(self) -> int:
        return len(self.expressions) + (self._absent if self.partial else 0)

    @property
    def videos(self) -> int:
        """How many videos the expressions are of."""
        return len({e.video_id for e in self.expressions})

    def _rows_as_dict(self) -> dict[str, Any]:
        return {
            protocol: {name: {**row.measures, "expressions": row.expressions} for name, row in rows.items()}
            for protocol, rows in self.rows.items()
        }

    def _slice(self) -> dict[str, Any]:
        return {"videos": self.videos, "expressions": len(self.expressions), **self._rows_as_dict()}

    def to_json(self) -> str:
        """The numbers and the problems as a JSON document, the content of `scores.json`."""
        return as_json(self.as_dict(), indent=2).decode()

    def to_pandas(self) -> Any:
        """A `pandas.DataFrame` with a row per expression, the content of `scores.csv`; measures in percent."""
        import pandas as pd  # type: ignore[import-untyped]

        return pd.DataFrame([self._record(e) for e in self.expressions], columns=self._columns())

    def to_csv(self) -> str:
        """The same rows as text, the content of `scores.csv`."""
        text = io.StringIO()
        lines = csv.writer(text, lineterminator="\n")
        lines.writerow(self._columns())
        lines.writerows(self._record(e) for e in self.expressions)
        return text.getvalue()

    def _columns(self) -> list[str]:
        measures = [f"{protocol}_{name}" for protocol in self.protocols for name in MEASURES]
        further = [] if self.extra is None else [f"extra_{name}" for name in extra.NAMES]
        return [*IDS, "problem", *measures, *further, *self.attributes]

    def _record(self, e: ExpressionScores) -> list[Any]:
        measures = [value for protocol in self.protocols for value in getattr(e, protocol).percent().values()]
        further = [] if self.extra is None or e.extra is None else list(e.extra.percent().values())
        words = [self.attribute(e, name) for name in self.attributes]
        label = None if e.type is None else e.type.label
        problem = None if e.problem is None else f"{e.problem.kind}: {e.problem.reason}"
        return [e.video_id, e.expression_id, e.expression, label, problem, *measures, *further, *words]

    def table(self) -> str:
        """The table as people publish it, one for each protocol, and what else was asked for."""
        tables = self._tables()
        if self.excluded is not None:
            tables.append(self._table_without(self.excluded))
        if self.extra is not None:
            tables.append(self._table_of_extra(self.extra))
        return "\n\n".join(tables)

    def _tables(self) -> list[str]:
        tables = []
        for protocol, rows in self.rows.items():
            measures = MEASURES if self._typed else _OF_SISTERS
            lines = [
                [name, *(_shown(row.measures[m]) for m in measures), f"{row.expressions:,}"]
                for name, row in rows.items()
            ]
            alignment = ["left"] + ["right"] * (len(measures) + 1)
            title = f"{protocol} ({self._part()})" if self.partial else protocol
            text = tabulate(lines, [title, *measures, "expressions"], colalign=alignment, disable_numparse=True)
            if protocol == "binary" and self.nonexistent["expressions"]:
                absent = self.nonexistent
                text += (
                    f"\nnonexistent: {_shown(absent['empty_frames'])} % of frames left empty, "
                    f"{_shown(absent['predicted_area'])} % of pixels predicted, {absent['expressions']:,} expressions"
                )
            tables.append(text)
        return tables

    def _table_without(self, excluded: VideoList) -> str:
        left = self.without(excluded.video_ids)
        taken = self.videos - left.videos
        title = f"without {taken:,} videos that {excluded.name} names: not to be compared with scores of the split"
        if absent := len(excluded.video_ids) - taken:
            title += f"\n({absent:,} others that it names are not in the split)"
        return "\n\n".join([title, *left._tables()])

    def _table_of_extra(self, means: dict[str, Any]) -> str:
        kinds = ["all", *(kind.label for kind in AGGREGATED if self._typed)]
        columns = [means, *(means[kind] for kind in kinds[1:])]
        lines = [[shown, *(_shown(column[name]) for column in columns)] for name, shown in extra.NAMES.items()]
        headers = ["not the benchmark's", *kinds]
        return tabulate(lines, headers, colalign=["left"] + ["right"] * len(kinds), disable_numparse=True)

    def table_of_slices(self) -> str:
        """J, F and J&F overall, and J&F of both types, for every value of every attribute; a table a protocol."""
        tables = []
        for protocol in self.protocols:
            lines = []
            for name, values in self.slices.items():
                for number, (value, part) in enumerate(values.items()):
                    rows = part.rows[protocol]
                    shown = [rows[kind.label].measures["J&F"] for kind in AGGREGATED] if self._typed else []
                    overall = [rows[OVERALL].measures[m] for m in ("J", "F", "J&F")]
                    counts = [f"{len(part.expressions):,}", f"{part.videos:,}"]
                    lines.append(["" if number else name, value, *map(_shown, [*shown, *overall]), *counts])
            kinds = [f"J&F {kind.label}" for kind in AGGREGATED] if self._typed else []
            headers = [protocol, "", *kinds, "J", "F", "J&F", "expressions", "videos"]
            alignment = ["left"] * 2 + ["right"] * (len(headers) - 2)
            tables.append(tabulate(lines, headers, colalign=alignment, disable_numparse=True))
        return "\n\n".join(tables)

    def _part(self) -> str:
        return f"partial: {len(self.expressions):,} of {self._split_size:,}"

    def describe(self, shown: int = 5) -> str:
        """What was wrong with the predictions and what is odd about them, in a few lines; empty if nothing is."""
        unusable = [problem for problem in self.missing if problem.kind is not ProblemKind.EXTRA]
        extra = [problem for problem in self.missing if problem.kind is ProblemKind.EXTRA]
        lines = []
        if unusable:
            counted = Counter(problem.kind for problem in unusable).most_common()
            kinds = ", ".join(f"{count:,} {kind.value}" for kind, count in counted)
            those = f"{len(unusable):,} of {self._split_size:,} expressions have no usable prediction"
            if not self.partial:
                lines.append(f"{those} and score 0 ({kinds}):")
            elif self._absent == len(unusable):
                lines.append(f"{those} and are left out ({kinds}):")
            else:
                lines.append(f"{those} ({kinds}); those that are unusable score 0, the others are left out:")
            lines += _listed(unusable, shown)
            lines += self._both_ways()
        if extra:
            lines.append(f"{len(extra):,} predictions are for nothing in the split and were ignored:")
            lines += _listed(extra, shown)
        return "\n".join([*lines, *self.remarks])

    def _both_ways(self) -> list[str]:
        """The overall J&F with and without the expressions that have no prediction."""
        if self.partial:
            return [f"The scores are {self._part()} expressions. Do not compare them with those of the whole split."]
        if not self._absent:
            return []
        there = self.only_predicted()
        protocol = self.protocols[0]
        alone, whole = (_shown(result.rows[protocol][OVERALL].measures["J&F"]) for result in (there, self))
        return [
            f"J&F of the {len(there.expressions):,} that are there: {alone}; with the {self._absent:,} missing as 0: "
            f"{whole}. --only-predicted (only_predicted=True) scores the former alone."
        ]

    def against_published(self, name: str = "this prediction") -> str:
        """The J&F of these predictions among the published ones, sorted by the overall one."""
        if self.partial:
            raise UsageError("partial scores do not stand among the published ones: leave only_predicted out")
        if "alignment" in self.identity.data:
            raise UsageError("published scores are of the frames as filed: leave the alignment out to stand among them")
        if (self.identity.family, self.identity.split) != (REVOS, "validation"):
            raise UsageError("the published results are of the validation split of ReVOS")
        protocol = self.protocols[-1]  # the official one where it was computed
        rows = self.rows[protocol]
        table = reported.table(name, *(rows[kind].measures["J&F"] for kind in ("referring", "reasoning", OVERALL)))
        whole = sum(published.EXPRESSIONS["validation"].values())
        if len(self.expressions) == whole:
            return table
        here = f"{len(self.expressions):,}"
        return f"{table}\nThis is of {here} expressions, and the published ones of {whole:,}: not comparable."

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write `scores.json` and `scores.csv`, each whole or not at all."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / SCORES_JSON, self.to_json().encode() + b"\n")
        write_whole(folder / SCORES_CSV, storable(self.to_csv()).encode())


def _is_absent(expression: ExpressionScores) -> bool:
    return expression.problem is not None and expression.problem.kind in ABSENT


def _extra_means(expressions: Sequence[ExpressionScores]) -> dict[str, float | None]:
    found = [e.extra.percent() for e in expressions if e.extra is not None]
    values = {name: [one[name] for one in found if one[name] is not None] for name in extra.NAMES}
    return {name: float(np.mean(np.array(known, float))) if known else None for name, known in values.items()}


def _row(found: list[Measures], protocol: Protocol) -> Row:
    if not found:
        return Row(dict.fromkeys(MEASURES), 0)
    means = {}
    for name in ("J", "F", "A", "R"):
        percent = np.array([100 * getattr(measures, name) for measures in found])
        # NumPy's rounding, as published: it scales, and so differs from Python's where a digit is a 5.
        means[name] = float((np.round(percent, 2) if protocol == "official" else percent).mean())
    means["J&F"] = (means["J"] + means["F"]) / 2
    return Row({name: means[name] for name in MEASURES}, len(found))


def _mean(*values: float | None) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None


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
        lines.append(
            f"  … and {len(problems) - shown:,} more: `missing` in scores.json, which -o (output=) writes, has them all"
        )
    return lines
