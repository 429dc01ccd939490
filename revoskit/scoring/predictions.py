"""Sets of predictions in all the forms in which they come, opened by what is found there.

A tree of PNGs, JSON of RLEs, JSON lines, tables, masks in memory, or parts of any of these. Each gives the prediction
for one expression as both protocols read it, and says what is wrong with it. Nothing here is trusted: whatever cannot
be used becomes a `Problem`, with the reason in words.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from revoskit.dataset.annotations import Annotations, open_annotations
from revoskit.dataset.layout import EXPRESSIONS, FRAMES_FOLDER, TRACKS
from revoskit.dataset.records import Expression, Video
from revoskit.errors import AnnotationError, UsageError
from revoskit.inference.lines import RUN, SUFFIX, Data
from revoskit.scoring.png_tree import PngTree
from revoskit.scoring.prediction import Prediction, Problem, ProblemKind, extras_of, from_masks, nothing
from revoskit.scoring.rle_files import LineFiles, RleFile
from revoskit.scoring.tables import Table

_FORMS = "a folder of PNGs, JSON of RLEs, JSON lines, or a Parquet table"


class Predictions(Protocol):
    """A set of predictions; has to be picklable, small where it can be."""

    def read(self, video: Video, expression: Expression) -> Prediction:
        """The prediction for one expression, or the problem with it."""

    def extras(self, annotations: Annotations) -> Iterator[Problem]:
        """Predictions for videos or expressions that the split does not have."""

    def has_video(self, video_id: str) -> bool:
        """Whether there is anything for a video."""

    def state(self) -> list[Any]:
        """What changes when the predictions do, as far as it can be told without reading them, as JSON."""

    def state_of(self, video_id: str) -> str:
        """What else changes when those for one video do: empty where `state` says it all."""


def open_predictions(source: Any, annotations: Annotations | None = None) -> Predictions:
    """What `source` holds: a folder of PNGs, JSON of RLEs, JSON lines or a folder of these, a Parquet file or a folder
    of such or a saved `datasets` table, a `datasets.Dataset`, a mapping {video_id: {expression_id: masks}}, or a list
    of any of these, which are parts of one set.

    Args:
        source: where the predictions are.
        annotations: of the split that they should be for. What is not, though it could be meant, is then refused.

    Raises:
        UsageError: there is no such file or folder, it is none of these, or it is for another split or none.
    """
    opened = _open(source, annotations)
    if annotations is not None and annotations.videos and not _has_any(opened, annotations):
        _refuse_other_splits(opened, source, annotations)
        if isinstance(source, (str, os.PathLike)) and _data(opened) is None:
            return _on_another_level(opened, Path(os.path.realpath(os.path.expanduser(source))), annotations)
    return opened


def _open(source: Any, annotations: Annotations | None) -> Predictions:
    if isinstance(source, Mapping):
        return InMemory(
            {str(video): {str(key): masks for key, masks in found.items()} for video, found in source.items()}
        )
    if hasattr(source, "column_names"):
        return Table(source)
    if isinstance(source, (list, tuple)) and source:
        return _join([_open(part, annotations) for part in source])
    if not isinstance(source, (str, os.PathLike)):
        raise UsageError(f"cannot read predictions from {type(source).__name__}: expected a path, a mapping or a table")
    path = Path(os.path.realpath(os.path.expanduser(source)))
    if path.is_dir():
        return _open_folder(path, annotations)
    if not path.is_file():
        raise UsageError(f"no predictions at {path}: expected {_FORMS}")
    if path.suffix == ".parquet":
        return Table.load(path)
    if path.suffix == ".json":
        return RleFile(path)
    if path.suffix == SUFFIX:
        return LineFiles([path])
    raise UsageError(f"{path}: expected {_FORMS}")


def _open_folder(path: Path, annotations: Annotations | None) -> Predictions:
    refuse_a_dataset(path)
    if LineFiles.is_in(path):
        return LineFiles([path])
    if Table.is_in(path):
        return Table.load(path)
    if (path / RUN).is_file():
        return LineFiles([path])  # of a run that has not come far yet
    tree = PngTree.at(path, annotations)
    files = [file for file in sorted(path.glob("*.json")) if not file.name.startswith("failed_")]
    holds_folders = any(entry.is_dir() for entry in os.scandir(path))
    if files and not (holds_folders and (annotations is None or any(map(tree.has_video, annotations.videos)))):
        return _join([RleFile(file) for file in files])
    return tree


def refuse_a_dataset(source: Any) -> None:
    """See that predictions and dataset have not been named in the wrong order.

    Raises:
        UsageError: this is a dataset.
    """
    if isinstance(source, (str, os.PathLike)) and is_a_dataset(source):
        raise UsageError(
            f"{source} is a dataset, not predictions for it: the predictions come first, then the dataset "
            "(revoskit evaluate PREDICTIONS ROOT)"
        )


def is_a_dataset(source: str | os.PathLike[str]) -> bool:
    """Whether a folder holds the files of ReVOS's kind, or is that of its frames."""
    path = Path(os.path.realpath(os.path.expanduser(source)))
    root = path.parent if path.name == FRAMES_FOLDER else path
    return any((root / name).exists() for name in (TRACKS, *EXPRESSIONS.values()))


# --- what could be meant ----------------------------------------------------------------------------------------------


def _refuse_other_splits(opened: Predictions, source: Any, annotations: Annotations) -> None:
    """See that these are not the predictions for another split."""
    data = _data(opened)
    where = source if isinstance(source, (str, os.PathLike)) else "the set"
    if data is not None and (data.family, data.split) != (annotations.layout.family, annotations.split):
        raise UsageError(
            f"{where} is for the split {data.split} of {data.family}, not for {annotations.split} of "
            f"{annotations.layout.family}: name that one (--split {data.split}, split={data.split!r})"
        )
    for split in annotations.layout.splits():
        if split == annotations.split:
            continue
        try:
            others = open_annotations(annotations.layout, split).videos
        except AnnotationError:  # nobody asked for that split, and what is wrong with it is no matter here
            continue
        if found := sum(map(opened.has_video, others)):
            raise UsageError(
                f"{where} has nothing for the split {annotations.split}, and something for {found:,} videos of "
                f"{split}: name that one (--split {split}, split={split!r})"
            )


def remarks_on(opened: Predictions, annotations: Annotations) -> list[str]:
    """What is odd about a set as a whole, in sentences: other files beside it, another copy of the expressions."""
    found = [*_beside(opened)]
    data = _data(opened)
    if data is None or data == Data.of(annotations):
        return found
    return [
        *found,
        f"These were predicted for another {data.file} ({data.expressions:,} expressions, SHA-256 "
        f"{data.sha256[:12]}…): what an id means may have changed since.",
    ]


def _beside(opened: Predictions) -> Iterator[str]:
    """That a folder has more in it than the Parquet that was taken from it."""
    parts = opened.parts if isinstance(opened, Parts) else (opened,)
    for part in parts:
        if isinstance(part, Table) and part.path is not None and part.path.is_dir():
            names = sorted(entry.name for entry in os.scandir(part.path) if not entry.name.startswith("."))
            taken = [name for name in names if name.endswith(".parquet")]
            others = [name for name in names if name not in taken]
            if taken and others:
                yield (
                    f"Of {part.path} {_few(taken)} was read as the predictions, and not {_few(others)}: name the file "
                    "that is meant."
                )


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3:,} more" if len(names) > 3 else "")


def _data(opened: Predictions) -> Data | None:
    parts = opened.parts if isinstance(opened, Parts) else (opened,)
    return next((part.data for part in parts if isinstance(part, LineFiles) and part.data is not None), None)


def _on_another_level(opened: Predictions, root: Path, annotations: Annotations) -> Predictions:
    """What was meant by a path that has none of the split's videos: its parts, where it is a folder of trees of PNGs.

    Raises:
        UsageError: it holds no predictions for the split; the folders above or below it that do are named.
    """
    inside: list[PngTree] = []
    runs: list[Path] = []
    for folder in sorted(root.iterdir()) if root.is_dir() else ():
        if folder.is_dir() and (LineFiles.is_in(folder) or (folder / RUN).is_file() or Table.is_in(folder)):
            runs.append(folder)
        elif folder.is_dir() and _has_any(part := PngTree.at(folder, annotations), annotations):
            inside.append(part)
    if len(inside) > 1:
        return _join(inside)
    above = [PngTree.at(folder, annotations) for folder in root.parents[:3]] if isinstance(opened, PngTree) else []
    if root.is_dir() and not any(os.scandir(root)):
        return opened  # nothing is predicted yet, and nothing else can be meant
    meant = [part.root for part in inside] + runs + [part.root for part in above if _has_any(part, annotations)]
    hint = f"did you mean {' or '.join(map(str, meant[:3]))}?" if meant else f"expected {_FORMS}."
    raise UsageError(f"{root} has nothing for any video of the split {annotations.split}: {hint}")


def _has_any(part: Predictions, annotations: Annotations) -> bool:
    return any(map(part.has_video, annotations.videos))


# --- parts, and masks in memory ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Parts:
    """Several sets that together are one, as the processes of a run leave them."""

    parts: tuple[Predictions, ...]

    def state(self) -> list[Any]:
        return [part.state() for part in self.parts]

    def state_of(self, video_id: str) -> str:
        return " ".join(part.state_of(video_id) for part in self.parts).strip()

    def has_video(self, video_id: str) -> bool:
        return any(part.has_video(video_id) for part in self.parts)

    def read(self, video: Video, expression: Expression) -> Prediction:
        """That of the first part that has one; of those that have a problem instead, the first that says most."""
        found = [part.read(video, expression) for part in self.parts]
        present = [one for one in found if one.problem is None]
        if len(present) > 1 and not all(_same(one, present[0]) for one in present[1:]):
            reason = f"{len(present)} parts have it, with masks that differ: which of them are meant?"
            return nothing(video, expression, ProblemKind.MALFORMED, reason)
        order = [ProblemKind.MISSING, ProblemKind.INCOMPLETE, ProblemKind.FAILED]
        return max(found, key=lambda one: len(order) + 1 if one.problem is None else _rank(one.problem.kind, order))

    def extras(self, annotations: Annotations) -> Iterator[Problem]:
        for part in self.parts:
            yield from part.extras(annotations)


def _rank(kind: ProblemKind, order: Sequence[ProblemKind]) -> int:
    return order.index(kind) if kind in order else len(order)


def _same(one: Prediction, other: Prediction) -> bool:
    if one.binary is None or other.binary is None:
        return False
    return list(one.binary.unpack()) == list(other.binary.unpack())


def _join(parts: Sequence[Predictions]) -> Predictions:
    return parts[0] if len(parts) == 1 else Parts(tuple(parts))


@dataclass(frozen=True)
class InMemory:
    """`{video_id: {expression_id: masks}}`, the masks being RLEs or an array."""

    masks: dict[str, dict[str, Any]]

    def state(self) -> list[Any]:
        return ["in memory"]

    def state_of(self, video_id: str) -> str:
        return ""

    def has_video(self, video_id: str) -> bool:
        return video_id in self.masks

    def read(self, video: Video, expression: Expression) -> Prediction:
        of_video = self.masks.get(video.video_id, {})
        if expression.expression_id not in of_video:
            return nothing(video, expression, ProblemKind.MISSING, "no masks are given for it")
        return from_masks(video, expression, of_video[expression.expression_id])

    def extras(self, annotations: Annotations) -> Iterator[Problem]:
        for video_id, of_video in self.masks.items():
            yield from extras_of(annotations, video_id, of_video)
