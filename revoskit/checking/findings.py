"""How findings are gathered and shown.

There may be a finding for every mask of a copy, so they are counted where they are found; a few are kept as examples.
"""

from __future__ import annotations

import msgspec

from revoskit.dataset.faults import Kind, Severity

EXAMPLES = 5


class Example(msgspec.Struct, order=True, omit_defaults=True):
    """One finding: where, and what was found there."""

    split: str = ""
    video: str = ""
    expression: str = ""
    track: str = ""
    frame: str = ""
    found: str = ""

    def __str__(self) -> str:
        place = [self.split, self.video]
        place += [f"{what} {getattr(self, what)}" for what in ("expression", "track", "frame") if getattr(self, what)]
        return ": ".join(text for text in (" · ".join(part for part in place if part), self.found) if text)


class Finding(msgspec.Struct):
    """All findings of one kind."""

    kind: Kind
    severity: Severity
    says: str
    count: int
    videos: int
    examples: list[Example]


class _Group(msgspec.Struct):
    count: int = 0
    videos: set[str] = msgspec.field(default_factory=set)
    examples: list[Example] = msgspec.field(default_factory=list)


class Tally:
    """Findings as they come in, from one process or from many; the first examples by place are kept."""

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
    ) -> None:
        """Note something that was found `count` times, and where."""
        example = Example(split, video, expression, track, frame, found)
        self._merge(kind, _Group(count, {example.video} - {""}, [example]))

    def merge(self, other: Tally) -> None:
        for kind, group in other._groups.items():
            self._merge(kind, group)

    def _merge(self, kind: Kind, more: _Group) -> None:
        group = self._groups.setdefault(kind, _Group())
        group.count += more.count
        group.videos |= more.videos
        group.examples = sorted([*group.examples, *more.examples])[:EXAMPLES]

    def findings(self) -> list[Finding]:
        """By kind, the gravest first."""
        return [
            Finding(kind, severity, kind.says, group.count, len(group.videos), group.examples)
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
        lines += [f"    {example}" for example in finding.examples]
        if finding.count > len(finding.examples) > 1:
            lines.append("    …")
    return "\n".join(lines)
