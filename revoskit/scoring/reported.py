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
    frames: int | None = None
    """How many frames of a video its language model is shown by default in its public code, null likewise."""


_VISA, _VEASON, _VIRST, _OWN = (
    "quoted from the VISA paper",
    "README of Veason-R1",
    "project page of VIRST",
    "its README",
)

RESULTS = (
    PublishedResult("MTTR", 30.0, 21.0, 25.5, _VIRST),
    PublishedResult("ReferFormer", 32.7, 23.4, 28.1, _VISA),
    PublishedResult("LISA-7B", 45.7, 36.1, 40.9, _VISA),
    PublishedResult("TrackGPT-13B", 49.5, 40.5, 45.0, _VISA),
    PublishedResult("VISA-7B", 50.9, 43.0, 46.9, _VISA, 255),
    PublishedResult("VISA-13B", 57.4, 44.3, 50.9, _VISA, 255),
    PublishedResult("InstructSeg", 57.0, 51.9, 54.5, _VIRST),
    PublishedResult("GLUS-7B", 58.3, 51.4, 54.9, _VEASON, 255),
    PublishedResult("HyperSeg", 58.5, 53.0, 55.7, _VIRST),
    PublishedResult("ViLLa-6B", None, None, 57.0, _VIRST),
    PublishedResult("RGA3-7B", 60.5, 55.4, 58.0, _VIRST, 100),
    PublishedResult("Omni-R1", 64.1, 53.7, 58.9, _VEASON),
    PublishedResult("VRS-HQ-7B", 62.1, 56.1, 59.1, _OWN, 255),
    PublishedResult("Veason-R1-3B", 63.0, 56.8, 59.9, _OWN),
    PublishedResult("VRS-HQ-13B", 63.3, 56.8, 60.0, _VEASON, 255),
    PublishedResult("Veason-R1-7B", 63.6, 59.0, 61.3, _OWN),
    PublishedResult("UniPixel-3B", None, None, 62.1, _OWN, 255, 16),
    PublishedResult("MomentSeg-3B", None, None, 62.1, _OWN),
    PublishedResult("UniPixel-7B", None, None, 63.7, _OWN, 255, 16),
    PublishedResult("MomentSeg-7B", None, None, 64.0, _OWN),
    PublishedResult("VIRST", 70.8, 66.1, 68.4, _VIRST, 255),
)


def table(name: str, referring: float | None, reasoning: float | None, overall: float | None) -> str:
    """The published J&F with one row more, marked, where its overall score puts it."""
    rows = [*RESULTS, PublishedResult(f"» {name}", referring, reasoning, -1.0 if overall is None else overall, "")]
    rows.sort(key=lambda row: row.overall)
    lines = [
        [
            row.method,
            *map(_shown, (row.referring, row.reasoning, row.overall)),
            "" if row.frames is None else str(row.frames),
            _saved_as(row),
            row.source,
        ]
        for row in rows
    ]
    headers = ["J&F on validation", "referring", "reasoning", "overall", "frames", "masks", "source"]
    return tabulate(lines, headers, colalign=["left", *["right"] * 4, "left", "left"], disable_numparse=True)


def _saved_as(row: PublishedResult) -> str:
    return "" if row.grey is None else f"0/{row.grey}"


def _shown(value: float | None) -> str:
    return "–" if value is None or value < 0 else f"{value:.1f}"
