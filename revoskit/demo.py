"""The first look at the dataset: what was loaded, as a person likes to read it, and one picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from datasets import Dataset, DatasetDict
from tabulate import tabulate

from revoskit.atomic import storing
from revoskit.dataset.layout import TRACKS, Layout
from revoskit.looking import pictures
from revoskit.masks.rle import MaskSequence
from revoskit.miniature import write_miniature


def prepare(folder: Path) -> Layout:
    """A miniature of the dataset in `folder`, as it is where one is there already."""
    if not (folder / TRACKS).exists():
        with storing(folder):
            write_miniature(folder)
    return Layout.at(folder)


def describe(expressions: DatasetDict, videos: DatasetDict) -> str:
    """Splits, columns, and one example in words."""
    splits = [(split, len(videos[split]), len(rows)) for split, rows in expressions.items()]
    return "\n\n".join(
        [
            tabulate(splits, ["split", "videos", "expressions"]),
            "A row of the config `expressions`:\n" + _columns(expressions["validation"]),
            "For example:\n" + _example(expressions["validation"][0]),
        ]
    )


def _columns(dataset: Dataset) -> str:
    return "\n".join(f"  {name:<16} {_feature(feature)}" for name, feature in dataset.features.items())


def _feature(feature: Any) -> str:
    inner = getattr(feature, "feature", feature[0] if isinstance(feature, list) else None)
    if inner is not None:
        return f"list of {_feature(inner)}"
    if isinstance(feature, dict):
        return "{" + ", ".join(f"{key}: {_feature(value)}" for key, value in feature.items()) + "}"
    return (
        f"one of {', '.join(feature.names)}"
        if hasattr(feature, "names")
        else feature.dtype
        if hasattr(feature, "dtype") and feature.dtype.islower()
        else "image"
    )


def _example(row: dict[str, Any]) -> str:
    areas = _masks(row).areas()
    first, last = row["frame_names"][0], row["frame_names"][-1]
    lines = {
        "video": row["video_id"],
        "expression": f"“{row['expression']}” (number {row['expression_id']})",
        "frames": f"{len(row['frames'])}, {first} to {last}, {row['width']}x{row['height']} pixels",
        "objects": ", ".join(map(str, row["object_ids"])) + f" (tracks {', '.join(map(str, row['annotation_ids']))})",
        "masks": f"{len(row['masks'])}, covering {areas.mean() / (row['height'] * row['width']):.1%} of a frame",
    }
    return "\n".join(f"  {key:<16} {value}" for key, value in lines.items())


def _masks(row: dict[str, Any]) -> MaskSequence:
    return MaskSequence.parse(row["masks"], row["height"], row["width"])


def save_picture(layout: Layout, row: dict[str, Any], path: Path) -> None:
    """What `revoskit show` draws of the example."""
    pictures.save(pictures.find_scene(layout, row["video_id"], row["expression_id"]), path, frames=3)
