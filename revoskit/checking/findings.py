"""How findings are gathered and shown.

All of them are kept, by kind and place; a few of each kind are shown to people, and all are in the JSON.
"""

from __future__ import annotations

import msgspec

from revoskit.dataset.faults import Found, of_error
from revoskit.errors import AnnotationError
from revoskit.kinds import Kind, Severity

EXAMPLES = 5


class Finding(msgspec.Struct):
    """All findings of one kind, in the order of their places."""

    kind: Kind
    severity: Severity
    says: str
    count: int
    videos: int
    examples: list[Found]


class _Group(msgspec.Struct):
    count: int = 0
    videos: set[str] = msgspec.field(default_factory=set)
    examples: list[Found] = msgspec.field(default_factory=list)


class Tally:
    """Findings as they come in, from one process or from many."""

    def __init__(self) -> None:
        self._groups: dict[Kind, _Group] = {}

    def add(
        self,
        kind: Kind,
        found: str = "",
        count: int = 1,
        *,
        split: str = "",
        video: str = "",
        expression: str = "",
        track: str = "",
        frame: str = "",
        file: str = "",
    ) -> None:
        """Note something that was found `count` times, and where."""
        example = Found(split, video, expression, track, frame, found, file)
        self._merge(kind, _Group(count, {example.video} - {""}, [example]))

    def add_error(self, error: AnnotationError, split: str, kind: Kind) -> None:
        """Note what an error says, and where."""
        fault = of_error(error, split)
        example = Found(split, fault.video, fault.expression, fault.track, fault.frame, fault.found, fault.file)
        self._merge(kind, _Group(1, {fault.video} - {""}, [example]))

    def merge(self, other: Tally) -> None:
        for kind, group in other._groups.items():
            self._merge(kind, group)

    def _merge(self, kind: Kind, more: _Group) -> None:
        group = self._groups.setdefault(kind, _Group())
        group.count += more.count
        group.videos |= more.videos
        group.examples += more.examples

    def findings(self) -> list[Finding]:
        """By kind, the gravest first."""
        return [
            Finding(kind, severity, kind.says, group.count, len(group.videos), sorted(group.examples))
            for severity in Severity
            for kind in Kind
            if kind.severity is severity and (group := self._groups.get(kind))
        ]


def describe(findings: list[Finding]) -> str:
    """Findings for reading."""
    lines = []
    for finding in findings:
        videos = f" in {finding.videos:,} video{'s' * (finding.videos != 1)}" if finding.videos else ""
        lines.append(f"{finding.severity.upper()}  {finding.kind}: {finding.says}  ({finding.count:,}{videos})")
        shown = finding.examples[:EXAMPLES]
        lines += [f"    {example}" for example in shown]
        if finding.count > len(shown) > 1:
            lines.append("    …")
    return "\n".join(lines)
