"""ReVOS and the datasets that keep its kind of files: where each one's files lie, and what they leave out.

All of them have `meta_expressions*.json` and `mask_dict.json`; they differ in names and folders, and in what an
expression says. What is written here was read in public code and on dataset pages, which docs/sisters.md names one by
one; it has not been held against the datasets themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

REVOS = "revos"

_TRACKS = "mask_dict.json"
FRAMES_FOLDER = "JPEGImages"


@dataclass(frozen=True)
class SplitPaths:
    """Where the files of one split lie under the root. Of several paths the first that is there counts."""

    expressions: tuple[str, ...]
    tracks: tuple[str, ...] = (_TRACKS,)
    frames: tuple[str, ...] = (FRAMES_FOLDER,)
    hidden: bool = False
    """The masks are kept back for an evaluation server: expressions need not name objects, nor need tracks be there."""
    subset_of: str | None = None
    """A part of that other split, which few need: where it cannot be read, it is left out and blocks nobody."""


@dataclass(frozen=True)
class Family:
    """One dataset: its splits by the name under which they load, and what its files leave out."""

    title: str
    homepage: str
    splits: dict[str, SplitPaths]
    typed: bool = False
    """`type_id` is there, and means what it means in ReVOS."""
    sized: bool = False
    """`height` and `width` are always there; otherwise they may have to be read from a frame or a mask."""
    spaces_as_underscores: bool = False
    """An expression is a category's name, with `_` in place of spaces."""


def _folder(name: str, *expressions: str, hidden: bool = False) -> SplitPaths:
    """A split with a folder of its own, which holds all its files."""
    return SplitPaths(
        tuple(f"{name}/{file}" for file in expressions), (f"{name}/{_TRACKS}",), (f"{name}/{FRAMES_FOLDER}",), hidden
    )


FAMILIES = {
    REVOS: Family(
        "ReVOS",
        "https://github.com/cilinyan/ReVOS-api",
        {
            split: SplitPaths((f"meta_expressions_{name}_.json",), frames=(FRAMES_FOLDER, ""), subset_of=whole)
            for split, name, whole in [
                ("train", "train", None),
                ("validation", "valid", None),
                ("train_sub", "train_sub", "train"),
            ]
        },
        typed=True,
        sized=True,
    ),
    "mevis": Family(
        "MeViS",
        "https://github.com/henghuiding/MeViS",
        {
            "train": _folder("train", "meta_expressions.json"),
            "valid_u": _folder("valid_u", "meta_expressions.json"),
            "valid": _folder("valid", "meta_expressions.json", hidden=True),
            "test": _folder("test", "meta_expressions_release.json", "meta_expressions.json", hidden=True),
        },
    ),
    "mevis_v2": Family(
        "MeViSv2",
        "https://huggingface.co/datasets/FudanCVL/MeViSv2",
        {
            "train": _folder("train", "meta_expressions_v2.json"),
            "valid_u": _folder("valid_u", "meta_expressions_v2.json"),
            "valid": _folder("valid", "meta_expressions_v2_release.json", "meta_expressions_v2.json", hidden=True),
        },
    ),
    "lv_vis": Family(
        "LV-VIS",
        "https://github.com/haochenheheda/LVVIS",
        {
            "train": SplitPaths(
                ("train/meta_expressions.json", "meta_expressions.json"),
                ("train/mask_dict.json", "mask_dict.json"),
                ("train/JPEGImages", "JPEGImages/train"),
            )
        },
        spaces_as_underscores=True,
    ),
    "fevos": Family(
        "FeVOS",
        "https://huggingface.co/datasets/FudanCVL/FeVOS",
        {
            "train": SplitPaths(("meta_expressions_train.json",)),
            "validation": SplitPaths(("meta_expressions_val.json",)),
        },
    ),
    "ref_sav": Family(
        "Ref-SAV",
        "https://github.com/bytedance/Sa2VA",
        {"validation": SplitPaths(("meta_expressions_valid.json",), frames=("videos",))},
    ),
}
