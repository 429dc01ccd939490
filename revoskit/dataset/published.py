"""How many videos and expressions ReVOS is said to have: the paper's totals, and what was counted on the real files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from revoskit.dataset.annotations import Annotations
from revoskit.dataset.families import REVOS
from revoskit.dataset.records import ExpressionType

SOURCE = "VISA: Reasoning Video Object Segmentation via Large Language Models, arXiv 2407.11325"
VIDEOS = {"train": 626, "validation": 416}
EXPRESSIONS = {
    "train": {"referring": 16_941, "reasoning": 12_203, "nonexistent": 108},
    "validation": {"referring": 3_130, "reasoning": 2_475, "nonexistent": 217},
}
"""By split and type: counted on the real files by a public repository; they add up to the paper's totals."""

_WHOLE = 0.9  # of the published videos: a copy with fewer is a part of ReVOS, or a made one, and no note is due


def totals() -> dict[str, int]:
    """Expressions of all splits by type, and of all types."""
    found = Counter[str]()
    for of_split in EXPRESSIONS.values():
        found.update(of_split)
    return {**found, "total": sum(found.values())}


def differences(splits: Iterable[Annotations]) -> list[str]:
    """A line for each split of a whole copy of ReVOS that has not as many videos or expressions as was published."""
    lines = []
    for of_split in splits:
        expected = VIDEOS.get(of_split.split)
        if of_split.layout.family != REVOS or expected is None or len(of_split.videos) < _WHOLE * expected:
            continue
        found = Counter(expression.type for video in of_split for expression in video.expressions)
        counts = {kind.label: found[kind] for kind in ExpressionType}
        differing = [
            f"{here:,} {what} ({said:,})"
            for what, here, said in [
                ("videos", len(of_split.videos), expected),
                *((f"{kind} expressions", counts[kind], EXPRESSIONS[of_split.split][kind]) for kind in counts),
            ]
            if here != said
        ]
        if differing:
            lines.append(
                f"{of_split.split} has {', '.join(differing)}: in brackets what was published. It may be of another "
                "release, whose scores cannot be compared: `revoskit verify` compares the files' SHA-256"
            )
    return lines
