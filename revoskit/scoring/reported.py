"""What methods have reported on the validation split of ReVOS, and where.

J&F only: the published values of R depend on whether masks were saved as 1 or as 255 (docs/results.md).
"""

from __future__ import annotations

from typing import NamedTuple

from tabulate import tabulate


class PublishedResult(NamedTuple):
    """J&F in percent, null where it is not reported."""

    method: str
    referring: float | None
    reasoning: float | None
    overall: float
    source: str
    grey: int | None = None
    """The value of object pixels in the masks that its public code writes, null where that was not seen."""


RESULTS = (
    PublishedResult("ReferFormer", 32.7, 23.4, 28.1, "quoted from the VISA paper"),
    PublishedResult("LISA-7B", 45.7, 36.1, 40.9, "quoted from the VISA paper"),
    PublishedResult("TrackGPT-13B", 49.5, 40.5, 45.0, "quoted from the VISA paper"),
    PublishedResult("VISA-7B", 50.9, 43.0, 46.9, "quoted from the VISA paper", 255),
    PublishedResult("VISA-13B", 57.4, 44.3, 50.9, "quoted from the VISA paper", 255),
    PublishedResult("GLUS-7B", 58.3, 51.4, 54.9, "README of Veason-R1", 255),
    PublishedResult("Omni-R1", 64.1, 53.7, 58.9, "README of Veason-R1"),
    PublishedResult("VRS-HQ-7B", 62.1, 56.1, 59.1, "its README", 255),
    PublishedResult("Veason-R1-7B", 63.6, 59.0, 61.3, "its README"),
    PublishedResult("UniPixel-7B", None, None, 63.7, "its README", 255),
    PublishedResult("MomentSeg-7B", None, None, 65.1, "its README"),
)


def table(name: str, referring: float | None, reasoning: float | None, overall: float | None) -> str:
    """The published J&F with one row more, marked, where its overall score puts it."""
    rows = [*RESULTS, PublishedResult(f"» {name}", referring, reasoning, -1.0 if overall is None else overall, "")]
    rows.sort(key=lambda row: row.overall)
    lines = [
        [row.method, *map(_shown, (row.referring, row.reasoning, row.overall)), _saved_as(row), row.source]
        for row in rows
    ]
    headers = ["J&F on validation", "referring", "reasoning", "overall", "masks", "source"]
    return tabulate(lines, headers, colalign=["left", *["right"] * 3, "left", "left"], disable_numparse=True)


def _saved_as(row: PublishedResult) -> str:
    return "" if row.grey is None else f"0/{row.grey}"


def _shown(value: float | None) -> str:
    return "–" if value is None or value < 0 else f"{value:.1f}"
