"""Methods against each other, on the same expressions: how much better one is, and whether that means anything."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from tabulate import tabulate

from revoskit.atomic import write_whole
from revoskit.dataset.annotations import open_annotations
from revoskit.dataset.families import FAMILIES, REVOS
from revoskit.dataset.layout import Faults, Layout
from revoskit.errors import UsageError
from revoskit.scoring.attributes import order
from revoskit.scoring.evaluate import evaluate
from revoskit.scoring.identity import Identity
from revoskit.scoring.protocols import Protocol
from revoskit.scoring.result import AGGREGATED, IDS, MEASURES, OVERALL, Result
from revoskit.scoring.scored import SCORE_ANEW, Scored, ScoredExpression
from revoskit.scoring.significance import CONFIDENCE, RESAMPLES, Difference, Interval, VideoResampling
from revoskit.text import as_json, printable, storable

_IN_JSON = ("J&F", "J", "F", "A", "R")
_SHOWN = ("J", "F", "J&F")
_FEW = 20  # videos
_COLUMNS = 100  # of a terminal, that tables keep within unless names are long
_SHORTEST = 20  # characters of an expression that are shown at least


class Method(msgspec.Struct, frozen=True):
    """One method's means with their intervals, in percent, by row (referring, reasoning, overall) and measure."""

    name: str
    rows: dict[str, dict[str, Interval]]


class Pair(msgspec.Struct, frozen=True):
    """How much better method `b` is than `a`, in percent, by row and measure."""

    a: str
    b: str
    rows: dict[str, dict[str, Difference]]


class Contrast(msgspec.Struct, frozen=True):
    """One expression, and the J&F of two methods for it, in percent."""

    expression: ScoredExpression
    a: float
    b: float

    @property
    def difference(self) -> float:
        """What `b` has more."""
        return self.b - self.a


@dataclass(frozen=True)
class Comparison:
    """Several methods on the same expressions."""

    names: tuple[str, ...]
    scored: tuple[Scored, ...]
    protocol: Protocol
    resamples: int = RESAMPLES
    seed: int = 0
    is_slice: bool = False
    """Of expressions that were chosen by what they are: where they are all of one type, overall is its mean."""

    @cached_property
    def _resampling(self) -> VideoResampling:
        first = self.scored[0]
        videos = np.unique([e.video_id for e in first.expressions], return_inverse=True)[1]
        scores = np.stack([one.values for one in self.scored])
        return VideoResampling(scores, videos, self._groups, resamples=self.resamples, seed=self.seed)

    @property
    def _groups(self) -> dict[str, np.ndarray]:
        kinds = np.array([e.expression_type or "" for e in self.scored[0].expressions])
        if not FAMILIES[self.scored[0].identity.family].typed:
            return {OVERALL: np.ones(len(kinds), bool)}
        found = {kind.label: kinds == kind.label for kind in AGGREGATED}
        return {name: members for name, members in found.items() if members.any() or not self.is_slice}

    @cached_property
    def methods(self) -> list[Method]:
        """Each method by itself."""
        found = self._resampling
        return [
            Method(
                name,
                {row: {m: found.mean(row, number, MEASURES.index(m)) for m in _IN_JSON} for row in found.rows},
            )
            for number, name in enumerate(self.names)
        ]

    @cached_property
    def pairs(self) -> list[Pair]:
        """Every two of them, in the order in which they were given."""
        found = self._resampling
        return [
            Pair(
                self.names[a],
                self.names[b],
                {row: {m: found.difference(row, a, b, MEASURES.index(m)) for m in _IN_JSON} for row in found.rows},
            )
            for a, b in combinations(range(len(self.names)), 2)
        ]

    def contrasts(self, a: int, b: int) -> list[Contrast]:
        """The expressions that count, first those where method `b` is furthest ahead of `a`; both by place in `names`.

        Those of absent objects, which no mean of ReVOS takes in, are not among them.
        """
        column = MEASURES.index("J&F")
        counted = np.flatnonzero(np.any(list(self._groups.values()), axis=0)).tolist()
        one, other = (self.scored[number].values[:, column].tolist() for number in (a, b))
        found = [Contrast(self.scored[a].expressions[i], one[i], other[i]) for i in counted]
        return sorted(found, key=lambda contrast: -contrast.difference)

    @cached_property
    def slices(self) -> dict[str, dict[str, Comparison]]:
        """By attribute and its value, the comparison on those expressions; those of absent objects are in none."""
        counted = np.any(list(self._groups.values()), axis=0)
        found: dict[str, dict[str, Comparison]] = {}
        for name in self.scored[0].expressions[0].attributes if self.scored[0].expressions else ():
            words = np.array([e.attributes[name] for e in self.scored[0].expressions])
            found[name] = {
                value: self._part(counted & (words == value)) for value in sorted(set(words[counted]), key=order)
            }
        return found

    def _part(self, members: np.ndarray) -> Comparison:
        places = np.flatnonzero(members)
        scored = tuple(
            replace(one, expressions=tuple(one.expressions[i] for i in places), values=one.values[places])
            for one in self.scored
        )
        return replace(self, scored=scored, is_slice=True)

    def as_dict(self) -> dict[str, Any]:
        """What `--json` prints and `comparison.json` holds."""
        return {
            "methods": [{"name": one.name, **msgspec.to_builtins(one.rows)} for one in self.methods],
            "pairs": [{"a": one.a, "b": one.b, **msgspec.to_builtins(one.rows)} for one in self.pairs],
        }

    def to_json(self, *, slices: bool = False) -> str:
        """The same as text; with `slices`, each of them too, under that name."""
        document = self.as_dict()
        if slices:
            document["slices"] = {
                name: {value: part.as_dict() for value, part in values.items()} for name, values in self.slices.items()
            }
        return as_json(document, indent=2).decode()

    def to_csv(self) -> str:
        """A line for each expression with J, F and J&F of every method, the content of `comparison.csv`; percent."""
        text = io.StringIO()
        lines = csv.writer(text, lineterminator="\n")
        ids = IDS
        lines.writerow([*ids, *(f"{name}_{measure}" for name in self.names for measure in _SHOWN)])
        columns = [MEASURES.index(measure) for measure in _SHOWN]
        scores = np.concatenate([one.values[:, columns] for one in self.scored], axis=1).tolist()
        for expression, values in zip(self.scored[0].expressions, scores, strict=True):
            lines.writerow([*(getattr(expression, name) for name in ids), *values])
        return text.getvalue()

    def differences_to_csv(self) -> str:
        """A line for each pair and expression that counts, the content of `differences.csv`; J&F in percent.

        First those where `b` is furthest ahead of `a`, last those where it is furthest behind.
        """
        text = io.StringIO()
        lines = csv.writer(text, lineterminator="\n")
        lines.writerow(["a", "b", *IDS, "a_J&F", "b_J&F", "difference"])
        for a, b in combinations(range(len(self.names)), 2):
            for one in self.contrasts(a, b):
                ids = [getattr(one.expression, name) for name in IDS]
                lines.writerow([self.names[a], self.names[b], *ids, one.a, one.b, one.difference])
        return text.getvalue()

    def describe(self) -> str:
        """Which methods lack predictions, a line each; empty where none does. What they lack scores 0."""
        lines = []
        for name, one in zip(self.names, self.scored, strict=True):
            if unusable := sum(e.unusable for e in one.expressions):
                lines.append(
                    f"{name}: {unusable:,} of {len(one.expressions):,} predictions cannot be used and score 0: "
                    "`revoskit evaluate` lists them"
                )
        return "\n".join(lines)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write `comparison.json`, `comparison.csv` and `differences.csv`, each whole or not at all."""
        folder = Path(folder)
        write_whole(folder / "differences.csv", storable(self.differences_to_csv()).encode())
        write_whole(folder / "comparison.json", self.to_json().encode() + b"\n")
        write_whole(folder / "comparison.csv", storable(self.to_csv()).encode())

    def table(self, shown: int = 5) -> str:
        """The means with their intervals, the differences with p, and for each pair the `shown` furthest apart."""
        identity = self.scored[0].identity
        videos = self.videos
        title = f"{FAMILIES[identity.family].title}, {identity.split}, {self.protocol}"
        parts = [
            self._table_of_methods(title),
            *map(self._table_of_pair, self.pairs),
            f"In brackets: the interval of {CONFIDENCE} %, by paired bootstrap over {videos:,} "
            f"video{'s' * (videos != 1)}, {self.resamples:,} resamples.\np: paired sign-flip by video."
            + ("\nSo few videos hardly tell one method from another." if videos < _FEW else ""),
        ]
        for a, b in combinations(range(len(self.names)), 2) if shown else ():
            parts.append(self._list_of_contrasts(a, b, shown))
        return "\n\n".join(parts)

    def table_of_slices(self) -> str:
        """For each pair and every value of every attribute, J&F overall of both and the difference."""
        parts = []
        for number, (a, b) in enumerate(combinations(range(len(self.names)), 2)):
            lines = []
            for name, values in self.slices.items():
                for position, (value, part) in enumerate(values.items()):
                    means = [part.methods[i].rows[OVERALL]["J&F"].value for i in (a, b)]
                    difference = _shown_difference(part.pairs[number].rows[OVERALL]["J&F"])
                    counts = [f"{len(part.scored[0].expressions):,}", f"{part.videos:,}"]
                    shown = ["–" if mean is None else f"{mean:.1f}" for mean in means]
                    lines.append(["" if position else name, value, *shown, *difference, *counts])
            headers = ["J&F overall", "", self.names[a], self.names[b], "difference", "p", "expressions", "videos"]
            alignment = ["left"] * 2 + ["right"] * 2 + ["left"] * 2 + ["right"] * 2
            parts.append(tabulate(lines, headers, colalign=alignment, disable_numparse=True))
        return "\n\n".join(parts)

    @property
    def videos(self) -> int:
        """How many videos the expressions are of."""
        return len({e.video_id for e in self.scored[0].expressions})

    def _table_of_methods(self, title: str) -> str:
        lines = [
            [method.name if not number else "", row, *(_shown(values[m]) for m in _SHOWN)]
            for method in self.methods
            for number, (row, values) in enumerate(method.rows.items())
        ]
        table = tabulate(lines, ["method", "", *_SHOWN], colalign=["left"] * 5, disable_numparse=True)
        return f"{title}\n\n{table}"

    @staticmethod
    def _table_of_pair(pair: Pair) -> str:
        lines = [
            [row, *(text for m in _SHOWN for text in _shown_difference(values[m]))] for row, values in pair.rows.items()
        ]
        headers = ["", *(header for m in _SHOWN for header in (m, "p"))]
        table = tabulate(lines, headers, colalign=["left"] * len(headers), disable_numparse=True)
        return f"{pair.b} − {pair.a}\n{table}"

    def _list_of_contrasts(self, a: int, b: int, shown: int) -> str:
        found = self.contrasts(a, b)
        ahead = [one for one in found[:shown] if one.difference > 0]
        behind = [one for one in reversed(found[-shown:]) if one.difference < 0]
        first, second = self.names[a], self.names[b]
        if not ahead and not behind:
            return f"{first} and {second} have the same J&F for every expression."
        headers = [f"J&F: {first}", second, "", "video", "expression"]
        places = max(len(_place(one)) for one in (*ahead, *behind))
        taken = sum(len(header) + 2 for header in headers[:2]) + len("-100.0") + places + 4 * len("  ")
        room = max(_SHORTEST, _COLUMNS - taken)
        lines = [_contrast_line(one, room) for one in ahead] + ([[""] * 5] if ahead and behind else [])
        lines += [_contrast_line(one, room) for one in behind]
        return tabulate(lines, headers, colalign=["right"] * 3 + ["left"] * 2, disable_numparse=True)


def _place(one: Contrast) -> str:
    return f"{one.expression.video_id} {one.expression.expression_id}"


def _contrast_line(one: Contrast, room: int) -> list[str]:
    text = " ".join(one.expression.expression.split())
    text = text if len(text) <= room else f"{text[: room - 1]}…"
    return [f"{one.a:.1f}", f"{one.b:.1f}", f"{one.difference:+.1f}", _place(one), text]


def _shown(interval: Interval) -> str:
    if interval.value is None:
        return "–"
    ends = "–" if interval.low is None else f"{interval.low:.1f}, {interval.high:.1f}"
    return f"{interval.value:.1f} [{ends}]"


def _shown_difference(found: Difference) -> tuple[str, str]:
    if found.difference is None or found.p is None:
        return "–", "–"
    p = "<0.001" if found.p < 0.001 else f"{found.p:.3f}"
    ends = "–" if found.low is None or found.high is None else f"{_signed(found.low)}, {_signed(found.high)}"
    return f"{_signed(found.difference)} [{ends}]", p


def _signed(points: float) -> str:
    """With a decimal less where there is a digit more."""
    return f"{points:+.2f}" if abs(points) < 9.995 else f"{points:+.1f}"


def compare(
    methods: Sequence[Any],
    data_dir: str | os.PathLike[str] | None = None,
    *,
    names: Sequence[str] | None = None,
    family: str = REVOS,
    split: str = "validation",
    protocol: Protocol = "binary",
    alignment: str | os.PathLike[str] | None = None,
    faults: Faults = "error",
    num_proc: int = 1,
    output: str | os.PathLike[str] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
    progress: Callable[[int, int], object] = lambda done, videos: None,
) -> Comparison:
    """Compare two or more methods: means with intervals, differences with p values (docs/comparing.md).

    Args:
        methods: of each its predictions, as `evaluate` takes them, the folder that an earlier `evaluate` wrote
            `scores.json` and `scores.csv` to, or its `Result`.
        data_dir: the dataset's folder (default: $REVOS_ROOT); not needed where all methods have been scored.
        names: what to call the methods (default: the last parts of their paths).
        family, split, alignment, faults: what predictions are scored against, as `evaluate` takes them.
        protocol: `binary` or `official`.
        num_proc: how many videos are scored at a time.
        output: a folder for `comparison.json`, `comparison.csv`, and the scores of what had to be scored.
        resamples, seed: of the bootstrap and the sign-flip test.
        progress: called while predictions are scored, as `evaluate` does.

    Raises:
        UsageError: there are not two methods, or they were scored on other data, another split, in another protocol or
            by another version of the code.
        MissingFilesError, AnnotationError, WorkerError: as `evaluate`.
    """
    called = method_names(methods, names)
    if protocol not in ("binary", "official"):
        raise UsageError(f"methods are compared in one protocol: binary or official, not {protocol!r}")
    earlier = {number: found for number, one in enumerate(methods) if (found := _scored_earlier(one, protocol))}
    known = [(called[number], found.identity) for number, found in earlier.items()]
    if len(earlier) < len(methods) or data_dir is not None:
        annotations = open_annotations(Layout.at(data_dir, family, alignment=alignment, faults=faults), split)
        known.append((f"the data in {annotations.layout.root}", Identity.of(annotations)))
    _require_same(known)

    scored = []
    for number, one in enumerate(methods):
        if number in earlier:
            scored.append(earlier[number])
            continue
        folder = None if output is None else Path(output) / _file_name(called[number])
        result = evaluate(
            one,
            data_dir,
            family=family,
            split=split,
            protocol=protocol,
            alignment=alignment,
            faults=faults,
            num_proc=num_proc,
            output=folder,
            resume=folder is not None and not Scored.is_in(folder) and isinstance(one, (str, os.PathLike)),
            progress=progress,
        )
        scored.append(Scored.of(result, protocol))
    _require_same_expressions(called, scored)
    comparison = Comparison(called, tuple(scored), protocol, resamples, seed)
    if output is not None:
        comparison.save(output)
    return comparison


def _scored_earlier(method: Any, protocol: Protocol) -> Scored | None:
    if isinstance(method, Result):
        return Scored.of(method, protocol)
    if isinstance(method, (str, os.PathLike)) and Scored.is_in(os.path.expanduser(method)):
        return Scored.read(os.path.expanduser(method), protocol)
    return None


def _require_same(known: list[tuple[str, Identity]]) -> None:
    (first, identity), *others = known
    for name, other in others:
        if different := identity.differences(other):
            raise UsageError(
                f"{first} and {name} cannot be compared, they differ in {', '.join(different)}. {SCORE_ANEW}"
            )


def _require_same_expressions(names: Sequence[str], scored: list[Scored]) -> None:
    keys = [[(e.video_id, e.expression_id) for e in one.expressions] for one in scored]
    for name, other in zip(names[1:], keys[1:], strict=True):
        if other != keys[0]:
            raise UsageError(
                f"{names[0]} has scores for {len(keys[0]):,} expressions and {name} for {len(other):,}, not for the "
                f"same ones: scores of a part can be compared with those of the same part alone. {SCORE_ANEW}"
            )


def method_names(methods: Sequence[Any], names: Sequence[str] | None) -> tuple[str, ...]:
    """What to call two or more methods: as they are named, or the last parts of their paths.

    Raises:
        UsageError: there are not two methods, not a name for each, or two have the same.
    """
    if isinstance(methods, (str, os.PathLike, Mapping)) or len(methods) < 2:
        raise UsageError("there is nothing to compare: name two sets of predictions, or folders of `evaluate -o`")
    if names is None:
        return _names_of_paths(methods)
    if len(names) != len(methods):
        raise UsageError(f"there are {len(methods)} methods and {len(names)} names for them: name each")
    called = tuple(printable(" ".join(name.split())) for name in names)  # each is the head of a column
    if "" in called:
        raise UsageError("the name of a method is not empty")
    if len(set(called)) < len(called):
        raise UsageError(f"two methods cannot have one name: {', '.join(called)}")
    return called


def _names_of_paths(methods: Sequence[Any]) -> tuple[str, ...]:
    """The last part of each path, or as many as tell them apart."""
    paths = [
        Path(os.path.realpath(os.path.expanduser(one))) if isinstance(one, (str, os.PathLike)) else None
        for one in methods
    ]
    parts = [path and (path.with_suffix("") if path.suffix in (".json", ".parquet") else path).parts for path in paths]
    for length in range(1, max(2, *(len(path or ()) + 1 for path in parts))):
        found = ["/".join(path[-length:]) if path else f"method {number}" for number, path in enumerate(parts, 1)]
        if len(set(found)) == len(found):
            return tuple(found)
    raise UsageError("two methods are given by one path, or by paths that cannot be told apart: say names (--names)")


def _file_name(name: str) -> str:
    return re.sub(r"[^\w.-]+", "_", name).strip(".") or "method"
