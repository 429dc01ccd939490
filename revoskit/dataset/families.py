"""ReVOS and the datasets that keep its kind of files: where each one's files lie, and what they leave out.

All of them have a file of expressions for each split. The masks lie in `mask_dict.json`, or else in a PNG for each
frame. They differ in names and folders, and in what an expression says. What is written here was read in public code
and on dataset pages, which docs/sisters.md names one by one; it has not been held against the datasets themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

REVOS = "revos"

_TRACKS = "mask_dict.json"
FRAMES_FOLDER = "JPEGImages"


@dataclass(frozen=True)
class SplitPaths:
    """Where the files of one split lie under the root. Of several paths the first that is there counts."""

    expressions: tuple[str, ...]
    tracks: tuple[str, ...] = (_TRACKS,)
    """Or PNGs, as a path with `{video}` and `{frame}`: where it names the `{object}` too, and perhaps its `{source}`,
    what is not zero is that object; where it does not, the pixels that have the object's number as their value."""
    frames: tuple[str, ...] = (FRAMES_FOLDER,)
    frames_within: str = ""
    """The folder in a video's folder that holds its frames."""
    hidden: bool = False
    """The masks are kept back for an evaluation server: expressions need not name objects, nor need tracks be there."""
    subset_of: str | None = None
    """A part of that other split, which few need: where it cannot be read, it is left out and blocks nobody."""
    less: str | None = None
    """A file of expressions, if it is there, whose videos are not in the split though its own file names them."""
    wrapped: tuple[str, ...] = ()
    """What an archive may be called besides that has the one of the frames in itself."""

    @property
    def archives(self) -> tuple[str, ...]:
        """What the archive of frames may be called, without its ending: as a folder of them, or as one above it."""
        folders = [PurePosixPath(folder) for folder in self.frames if folder]
        above = [str(path) for folder in folders for path in (folder, *list(folder.parents)[:-1])]
        return *dict.fromkeys(above), *self.wrapped


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
    expressions_key: str = "expressions"
    text_key: str = "exp"
    kind_key: str | None = None
    """Where an expression says what kind it is, by the dataset's own division."""
    actions_per_second: int | None = None
    """An expression means its objects from `action_start` to `action_end` alone, at so many frames a second."""
    scored_frames: Literal["all", "annotated"] | int = "all"
    """The frames that its evaluator looks at: all, those that have a PNG, or so many, evenly over the video."""


def _folder(name: str, *expressions: str, hidden: bool = False) -> SplitPaths:
    """A split with a folder of its own, which holds all its files."""
    return SplitPaths(
        tuple(f"{name}/{file}" for file in expressions),
        (f"{name}/{_TRACKS}",),
        (f"{name}/{FRAMES_FOLDER}",),
        hidden=hidden,
    )


def _as_youtube_vos(
    name: str,
    *,
    tracks: tuple[str, ...] = (),
    frames: tuple[str, ...] = (),
    hidden: bool = False,
    less: str | None = None,
) -> SplitPaths:
    """A split as Ref-YouTube-VOS has it, a PNG for all objects of a frame; `tracks` and `frames` may lie there, too."""
    return SplitPaths(
        (f"meta_expressions/{name}/meta_expressions.json",),
        (f"{name}/Annotations/{{video}}/{{frame}}.png", *tracks),
        (f"{name}/{FRAMES_FOLDER}", *frames),
        hidden=hidden,
        less=less,
    )


FAMILIES = {
    REVOS: Family(
        "ReVOS",
        "https://github.com/cilinyan/ReVOS-api",
        {
            split: SplitPaths(
                (f"meta_expressions_{name}_.json",), frames=(FRAMES_FOLDER, ""), subset_of=whole, wrapped=("revos",)
            )
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
    "reason_vos": Family(
        "ReasonVOS",
        "https://github.com/showlab/VideoLISA",
        {"validation": SplitPaths(("meta_expressions.json",), ("Annotations/{source}_{video}_{object}/{frame}.png",))},
        text_key="exp_text",
        scored_frames="annotated",
    ),
    "long_rvos": Family(
        "Long-RVOS",
        "https://github.com/iSEE-Laboratory/Long_RVOS",
        {
            split: SplitPaths(
                (f"{split}/meta_expressions.json",),
                (f"{split}/Annotations/{{video}}/{{object}}/{{frame}}.png",),
                (f"{split}/{FRAMES_FOLDER}",),
                hidden=split == "test",
            )
            for split in ("train", "valid", "test")
        },
        kind_key="type",
    ),
    "groundmore": Family(
        "GroundMoRe",
        "https://github.com/dengandong/GroundMoRe",
        {
            split: SplitPaths(
                files, ("annotations/{video}/masks/{frame}.png",), ("annotations",), frames_within="images"
            )
            for split, files in [
                ("train", ("trainval_v2.json", "trainval.json")),
                ("test", ("test_v2.json", "groundmore_test.json")),
            ]
        },
        expressions_key="questions",
        text_key="question",
        kind_key="q_type",
        actions_per_second=6,
        scored_frames=20,
    ),
    "ref_youtube_vos": Family(
        "Ref-YouTube-VOS",
        "https://youtube-vos.org/dataset/rvos/",
        {
            "train": _as_youtube_vos("train"),
            "valid": _as_youtube_vos("valid", hidden=True, less="meta_expressions/test/meta_expressions.json"),
        },
    ),
    "ref_davis17": Family(
        "Ref-DAVIS17",
        "https://github.com/wjn922/ReferFormer",
        {
            split: _as_youtube_vos(
                split,
                tracks=("DAVIS/Annotations_unsupervised/480p/{video}/{frame}.png",),
                frames=("DAVIS/JPEGImages/480p",),
            )
            for split in ("train", "valid")
        },
    ),
}
