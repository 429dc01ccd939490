"""What lmms-eval calls, by name, from the YAML files beside this one: it loads this file anew for each function.

A model is shown some frames and the expression, and answers with text. The text becomes a line of predictions, as
`revoskit predict` writes it; all lines are scored as `revoskit evaluate` scores them.
"""

from __future__ import annotations

import argparse
from typing import Any

from datasets import Dataset
from PIL import Image

import revos  # noqa: F401, makes the name of the dataset known
from revoskit.frames import open_frame
from revoskit.lmms_eval.answers import as_line, shown_frames
from revoskit.lmms_eval.scores import score

Doc = dict[str, Any]
METRICS = ("J&F", "J&F referring", "J&F reasoning")


def without_masks(dataset: Dataset) -> Dataset:
    """The rows less what answers the question, and what lmms-eval would write into its logs with every row."""
    return dataset.remove_columns(["masks", "object_ids", "annotation_ids"])


def doc_to_visual(doc: Doc) -> list[Image.Image]:
    """The frames that a model is shown, in order."""
    return [open_frame(doc["frames"][i]) for i in shown_frames(len(doc["frames"]))]


def doc_to_text(doc: Doc) -> str:
    """What it is asked."""
    count = len(shown_frames(len(doc["frame_names"])))
    return (
        f"These are {count} frames of a video, in order. Find in each of them: {doc['expression']}\n"
        f"Answer with a JSON list of {count} entries and nothing else. The entry of a frame is null where nothing of "
        "it is seen, or else the list of the bounding boxes of all that is meant, each as [x1, y1, x2, y2] in "
        "thousandths of the frame's width and height."
    )


def process_results(doc: Doc, results: list[str]) -> dict[str, str]:
    """The line of predictions that the answer becomes, for every metric."""
    return dict.fromkeys(METRICS, as_line(doc, results[0]))


def revos_overall(lines: list[str], args: argparse.Namespace | None) -> float | None:
    """The J&F of both types."""
    return score("revos", "validation", lines, args)["overall"]


def revos_referring(lines: list[str], args: argparse.Namespace | None) -> float | None:
    """The J&F of the expressions that name an object."""
    return score("revos", "validation", lines, args)["referring"]


def revos_reasoning(lines: list[str], args: argparse.Namespace | None) -> float | None:
    """The J&F of those that must be reasoned out."""
    return score("revos", "validation", lines, args)["reasoning"]


def mevis_overall(lines: list[str], args: argparse.Namespace | None) -> float | None:
    """The J&F of all expressions."""
    return score("mevis", "valid_u", lines, args)["overall"]
