"""Sets of predictions: a tree of PNGs, a JSON of RLEs, a table, or masks in memory.

Each gives the prediction for one expression as both protocols read it, and says what is wrong with it. Nothing here is
trusted: whatever cannot be used becomes a `Problem`, with the reason in words.
"""

from __future__ import annotations

import enum
import mmap
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import cv2
import msgspec
import numpy as np

from revoskit.dataset.annotations import Annotations, Expression, Video, refuse_duplicates
from revoskit.errors import AnnotationError, MaskError, UsageError
from revoskit.masks.packed import FRAMES_PER_BYTE, PackedMasks, Patch, join, pack_patches, pack_rles
from revoskit.masks.rle import MaskSequence
from revoskit.scoring import mask_png


class ProblemKind(str, enum.Enum):
    """What is wrong with a prediction."""

    MISSING = "missing"
    UNREADABLE = "unreadable"
    WRONG_SIZE = "wrong size"
    WRONG_LENGTH = "wrong length"
    MALFORMED = "malformed"
    EXTRA = "extra"
    """Nothing, but nobody asked for it."""


class Problem(msgspec.Struct, frozen=True):
    """A prediction that could not be used, or one that nobody asked for."""

    video_id: str
    expression_id: str | None
    kind: ProblemKind
    reason: str


@dataclass
class GreyMasks:
    """Masks with the grey values that they were saved with, which the official accuracy and robustness depend on."""

    masks: PackedMasks
    """What is not zero."""
    values: np.ndarray
    """int64 (T,): the one value of all object pixels; 0 where there are none."""
    several: dict[int, Patch]
    """The frames, by number, whose object pixels have different values."""


@dataclass
class Prediction:
    """One expression's masks, as each protocol reads them; null where that protocol gives no points for them."""

    binary: PackedMasks | None
    official: GreyMasks | None
    problem: Problem | None = None


class Predictions(Protocol):
    """A set of predictions; has to be picklable, small where it can be."""

    def read(self, video: Video, expression: Expression) -> Prediction:
        """The prediction for one expression, or the problem with it."""

    def extras(self, annotations: Annotations) -> Iterator[Problem]:
        """Predictions for videos or expressions that the split does not have."""


def open_predictions(source: Any) -> Predictions:
    """What `source` holds: a folder of PNGs, a .json of RLEs, a .parquet file or a folder of such or a saved
    `datasets` table, a `datasets.Dataset`, or a mapping {video_id: {expression_id: masks}}.

    Raises:
        UsageError: there is no such file or folder, or it is none of these.
    """
    if isinstance(source, Mapping):
        return InMemory(
            {str(video): {str(key): masks for key, masks in found.items()} for video, found in source.items()}
        )
    if hasattr(source, "column_names"):
        return Table(source)
    if not isinstance(source, (str, os.PathLike)):
        raise UsageError(f"cannot read predictions from {type(source).__name__}: expected a path, a mapping or a table")
    path = Path(os.path.realpath(os.path.expanduser(source)))
    if path.is_dir():
        return Table.load(path) if Table.is_in(path) else PngTree(path)
    if not path.is_file():
        raise UsageError(f"no predictions at {path}: expected a folder of PNGs, a .json of RLEs or a .parquet table")
    if path.suffix == ".parquet":
        return Table.load(path)
    if path.suffix == ".json":
        return RleFile(path)
    raise UsageError(f"{path}: expected a folder of PNGs, a .json of RLEs or a .parquet table")


# --- a tree of PNGs ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PngTree:
    """`<root>/<video_id>/<expression_id>/<frame>.png`, one for every frame."""

    root: Path

    def read(self, video: Video, expression: Expression) -> Prediction:
        folder = self.root / video.video_id / expression.expression_id
        if not folder.is_dir():
            return _nothing(video, expression, ProblemKind.MISSING, f"there is no folder {folder}")
        return _from_images(video, expression, (self._image(folder, name) for name in video.frame_names))

    @staticmethod
    def _image(folder: Path, frame_name: str) -> mask_png.MaskImage | _NoImage:
        try:
            with open(os.path.join(folder, f"{frame_name}.png"), "rb") as file:
                data = file.read()
        except FileNotFoundError:
            return _NoImage(ProblemKind.MISSING, "missing")
        except OSError as error:
            return _NoImage(ProblemKind.UNREADABLE, f"unreadable ({error.strerror})")
        broken = _NoImage(ProblemKind.UNREADABLE, f"unreadable ({len(data):,} bytes that are no whole image)")
        return mask_png.decode(data) or broken

    def extras(self, annotations: Annotations) -> Iterator[Problem]:
        """Folders on no path to an expression of the split."""
        expected = {
            f"{video.video_id}/{expression.expression_id}" for video in annotations for expression in video.expressions
        }
        prefixes = {path.rsplit("/", n)[0] for path in expected for n in range(1, path.count("/") + 1)}
        yield from self._extras(self.root, "", prefixes, expected, annotations)

    def _extras(
        self, folder: Path, at: str, prefixes: set[str], expected: set[str], annotations: Annotations
    ) -> Iterator[Problem]:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if entry.is_dir())
        for name in names:
            path = f"{at}/{name}" if at else name
            if path in prefixes:
                yield from self._extras(folder / name, path, prefixes, expected, annotations)
            elif path not in expected:
                if at in annotations.videos:
                    yield _extra(annotations, at, name)
                else:
                    yield _extra(annotations, path, None)


class _NoImage(NamedTuple):
    """Why there is no mask of a frame: "frame 00003.png is …"."""

    kind: ProblemKind
    reason: str


def _from_images(video: Video, expression: Expression, images: Iterable[mask_png.MaskImage | _NoImage]) -> Prediction:
    """A prediction from its frames, one of which may not be there.

    The official protocol takes its size from the first image and spreads one row or column over it, as NumPy's
    assignment does; in the other every image has to have the dataset's size.
    """
    problem: Problem | None = None
    binary: list[PackedMasks] = []
    official: list[GreyMasks] | None = []
    official_size: tuple[int, int] | None = None
    taken = iter(images)
    for begin in range(0, len(video.frame_names), FRAMES_PER_BYTE):
        names = video.frame_names[begin : begin + FRAMES_PER_BYTE]
        found: list[mask_png.MaskImage] = []
        for name in names:
            image = next(taken)
            problem = problem or _image_problem(video, expression, name, image)
            if isinstance(image, _NoImage):
                return Prediction(None, None, problem)
            found.append(image)
        size = official_size = official_size or found[0].size
        part = None
        if official is not None:
            greys = [grey for grey in (_spread(image, size) for image in found) if grey is not None]
            part = grey_masks(greys, *size) if len(greys) == len(found) else None
        official = None if official is None or part is None else [*official, part]
        if problem and official is None:
            return Prediction(None, None, problem)
        if not problem:
            same = part is not None and all(image.object is image.grey for image in found)
            binary.append(
                part.masks if part is not None and same else pack_patches([i.object for i in found], *found[0].size)
            )
    return Prediction(None if problem else join(binary), None if official is None else _join(official), problem)


def _image_problem(
    video: Video, expression: Expression, name: str, image: mask_png.MaskImage | _NoImage
) -> Problem | None:
    if isinstance(image, _NoImage):
        return _problem(video, expression, image.kind, f"frame {name}.png is {image.reason}")
    found, expected = image.size, (video.height, video.width)
    if found == expected:
        return None
    text = f"frame {name}.png is {found[0]}x{found[1]} (height x width), expected {expected[0]}x{expected[1]}"
    return _problem(video, expression, ProblemKind.WRONG_SIZE, text)


def _spread(image: mask_png.MaskImage, size: tuple[int, int]) -> Patch | None:
    """The grey values on a frame of another size, which only a single row or column can take."""
    if image.size == size:
        return image.grey
    x, y, pixels = image.grey
    whole = np.zeros(image.size, np.uint8)
    whole[y : y + pixels.shape[0], x : x + pixels.shape[1]] = pixels
    try:
        return Patch.of(np.ascontiguousarray(np.broadcast_to(whole, size)))
    except ValueError:
        return None


def grey_masks(patches: Sequence[Patch], height: int, width: int) -> GreyMasks:
    """Masks of `height` x `width` pixels from grey values."""
    masks = pack_patches(patches, height, width)
    values = np.zeros(len(patches), np.int64)
    several: dict[int, Patch] = {}
    for number, (patch, area) in enumerate(zip(patches, masks.areas.tolist(), strict=True)):
        if not area:
            continue
        value = int(patch.pixels.max())
        if cv2.sumElems(patch.pixels)[0] != value * area:  # no value is above the greatest, so all of them are that
            several[number] = patch._replace(pixels=patch.pixels.copy())
        values[number] = value
    return GreyMasks(masks, values, several)


def _join(parts: Sequence[GreyMasks]) -> GreyMasks:
    several: dict[int, Patch] = {}
    begin = 0
    for part in parts:
        several |= {begin + number: patch for number, patch in part.several.items()}
        begin += part.masks.frames
    return GreyMasks(join([part.masks for part in parts]), np.concatenate([part.values for part in parts]), several)


# --- RLEs and arrays --------------------------------------------------------------------------------------------------


def from_rles(video: Video, expression: Expression, masks: Any) -> Prediction:
    """A prediction from RLEs, as a PNG with 1 on the object would give it; null is an empty mask."""
    turned = isinstance(masks, Mapping) and set(masks) == {"size", "counts"}  # a table's list of structs
    if turned and all(isinstance(column, (list, tuple)) for column in masks.values()):
        masks = [
            None if counts is None else {"size": size, "counts": counts}
            for size, counts in zip(masks["size"], masks["counts"], strict=False)
        ]
    if not isinstance(masks, (list, tuple, MaskSequence)):
        return _nothing(
            video, expression, ProblemKind.MALFORMED, f"expected a list of RLEs, found {type(masks).__name__}"
        )
    if len(masks) != len(video.frame_names):
        return _wrong_length(video, expression, len(masks))
    try:
        parsed = MaskSequence.parse([_as_text(mask) for mask in masks], video.height, video.width)
    except MaskError as error:
        if error.index is None:
            return _nothing(video, expression, ProblemKind.MALFORMED, str(error))
        kind = ProblemKind.WRONG_SIZE if _has_other_size(masks[error.index], video) else ProblemKind.MALFORMED
        place = f"the mask of frame {video.frame_names[error.index]} (number {error.index})"
        return _nothing(video, expression, kind, f"{place}: {error.reason}")
    packed = pack_rles(parsed)
    return Prediction(packed, GreyMasks(packed, (packed.areas > 0).astype(np.int64), {}))


def _has_other_size(mask: Any, video: Video) -> bool:
    size = mask.get("size") if isinstance(mask, dict) else None
    return isinstance(size, (list, tuple)) and list(size) != [video.height, video.width]


def _as_text(mask: Any) -> Any:
    """`pycocotools` gives counts as bytes."""
    if isinstance(mask, dict) and isinstance(mask.get("counts"), bytes):
        return {"size": mask.get("size"), "counts": mask["counts"].decode("latin-1")}
    return mask


def from_array(video: Video, expression: Expression, masks: Any) -> Prediction:
    """A prediction from an array or tensor (T, h, w) of bool, whole grey values 0 to 255, or floats 0 and 1."""
    pixels = np.asarray(masks.detach().cpu() if hasattr(masks, "detach") else masks)
    expected = (len(video.frame_names), video.height, video.width)
    if pixels.ndim != 3 or len(pixels) != expected[0]:
        return _nothing(
            video, expression, ProblemKind.WRONG_LENGTH, f"its shape is {pixels.shape}, expected {expected}"
        )
    if pixels.shape != expected:
        return _nothing(video, expression, ProblemKind.WRONG_SIZE, f"its shape is {pixels.shape}, expected {expected}")
    if pixels.dtype.kind not in "buif":
        return _nothing(
            video, expression, ProblemKind.MALFORMED, f"its values ({pixels.dtype}) are no masks: expected numbers"
        )
    if pixels.dtype == bool:
        pixels = pixels.view(np.uint8)
    elif pixels.dtype != np.uint8:
        with np.errstate(invalid="ignore"):  # what does not fit is found by comparing
            whole = pixels.astype(np.uint8)
        if not np.array_equal(whole, pixels) or (pixels.dtype.kind == "f" and whole.max(initial=0) > 1):
            text = f"its values ({pixels.dtype}) are no masks: threshold scores first, for example `logits > 0`"
            return _nothing(video, expression, ProblemKind.MALFORMED, text)
        pixels = whole
    grey = grey_masks([Patch.of(frame) for frame in np.ascontiguousarray(pixels)], video.height, video.width)
    return Prediction(grey.masks, grey)


def from_masks(video: Video, expression: Expression, masks: Any) -> Prediction:
    """A prediction from what people have in memory: RLEs, an array or a tensor."""
    if isinstance(masks, (list, tuple)) and any(mask is not None and not isinstance(mask, dict) for mask in masks):
        frames = [np.asarray(mask.detach().cpu() if hasattr(mask, "detach") else mask) for mask in masks]
        if len({frame.shape for frame in frames}) > 1:
            shapes = ", ".join(map(str, sorted({frame.shape for frame in frames})))
            return _nothing(video, expression, ProblemKind.WRONG_SIZE, f"its frames are not of one shape: {shapes}")
        masks = np.stack(frames)
    if isinstance(masks, (list, tuple, dict, MaskSequence)):
        return from_rles(video, expression, masks)
    return from_array(video, expression, masks)


@dataclass(frozen=True)
class InMemory:
    """`{video_id: {expression_id: masks}}`, the masks being RLEs or an array."""

    masks: dict[str, dict[str, Any]]

    def read(self, video: Video, expression: Expression) -> Prediction:
        of_video = self.masks.get(video.video_id, {})
        if expression.expression_id not in of_video:
            return _nothing(video, expression, ProblemKind.MISSING, "no masks are given for it")
        return from_masks(video, expression, of_video[expression.expression_id])

    def extras(self, annotations: Annotations) -> Iterator[Problem]:
        for video_id, of_video in self.masks.items():
            yield from _extras_of(annotations, video_id, of_video)


class RleFile:
    """A JSON `{video_id: {expression_id: [RLE or null, …]}}`: mapped into memory, decoded a video at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.stat().st_size:
            raise UsageError(f"{path} is empty")
        with path.open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        try:
            self._videos = msgspec.json.decode(mapped, type=dict[str, msgspec.Raw])
            refuse_duplicates(path, mapped, self._videos)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, AnnotationError) as error:
            raise UsageError(f"{path}: expected {{video_id: {{expression_id: [RLE, …]}}}}: {error}") from None
        self._last: tuple[str, dict[str, Any] | str] = ("", {})

    def __reduce__(self) -> tuple[type[RleFile], tuple[Path]]:  # another process maps the file itself
        return RleFile, (self.path,)

    def _video(self, video_id: str) -> dict[str, Any] | str:
        """The entry of a video, or what is wrong with it; the last one is kept."""
        if self._last[0] != video_id:
            entry: dict[str, Any] | str
            try:
                members = msgspec.json.decode(self._videos[video_id], type=dict[str, msgspec.Raw])
                refuse_duplicates(self.path, self._videos[video_id], members)
                entry = {key: msgspec.json.decode(value) for key, value in members.items()}
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, AnnotationError) as error:
                entry = f"the entry of the video is no {{expression_id: [RLE, …]}}: {error}"
            self._last = (video_id, entry)
        return self._last[1]

    def read(self, video: Video, expression: Expression) -> Prediction:
        if video.video_id not in self._videos:
            return _nothing(video, expression, ProblemKind.MISSING, f"{self.path.name} does not have the video")
        entry = self._video(video.video_id)
        if isinstance(entry, str):
            return _nothing(video, expression, ProblemKind.MALFORMED, entry)
        if expression.expression_id not in entry:
            return _nothing(video, expression, ProblemKind.MISSING, f"{self.path.name} does not have the expression")
        return from_rles(video, expression, entry[expression.expression_id])

    def extras(self, annotations: Annotations) -> Iterator[Problem]:
        for video_id in self._videos:
            entry = self._video(video_id) if video_id in annotations.videos else ()
            yield from _extras_of(annotations, video_id, () if isinstance(entry, str) else entry)


class Table:
    """A `datasets` table with the columns video_id, expression_id and masks ([RLE or null])."""

    COLUMNS = ("video_id", "expression_id", "masks")

    def __init__(self, table: Any) -> None:
        lacking = [name for name in self.COLUMNS if name not in table.column_names]
        if lacking:
            raise UsageError(f"the table lacks {', '.join(lacking)}: expected the columns {', '.join(self.COLUMNS)}")
        self._table = table.select_columns(list(self.COLUMNS)).with_format(None)
        ids = self._table.select_columns(["video_id", "expression_id"])[:]
        self._keys = [(str(v), str(e)) for v, e in zip(ids["video_id"], ids["expression_id"], strict=True)]
        self._rows = {key: row for row, key in enumerate(self._keys)}

    @staticmethod
    def is_in(folder: Path) -> bool:
        return (folder / "state.json").is_file() or any(folder.glob("*.parquet"))

    @classmethod
    def load(cls, path: Path) -> Table:
        """From Parquet, by way of the cache of `datasets`, or from a table saved to disk; mapped, not read."""
        from datasets import Dataset, load_from_disk

        try:
            if (path / "state.json").is_file():
                return cls(load_from_disk(str(path)))
            files = sorted(map(str, path.glob("*.parquet"))) if path.is_dir() else str(path)
            return cls(Dataset.from_parquet(files))
        except UsageError:
            raise
        except Exception as error:  # whatever the reader has to say
            raise UsageError(f"{path} is no table that `datasets` can read: {error}") from error

    def read(self, video: Video, expression: Expression) -> Prediction:
        row = self._rows.get((video.video_id, expression.expression_id))
        if row is None:
            return _nothing(video, expression, ProblemKind.MISSING, "the table has no row for it")
        return from_rles(video, expression, self._table[row]["masks"])

    def extras(self, annotations: Annotations) -> Iterator[Problem]:
        for row, (video_id, expression_id) in enumerate(self._keys):
            if self._rows[video_id, expression_id] != row:
                yield Problem(
                    video_id, expression_id, ProblemKind.EXTRA, f"row {row}: a later row has the same ids and counts"
                )
            else:
                yield from _extras_of(annotations, video_id, [expression_id])


# --- problems ---------------------------------------------------------------------------------------------------------


def _problem(video: Video, expression: Expression, kind: ProblemKind, reason: str) -> Problem:
    return Problem(video.video_id, expression.expression_id, kind, reason)


def _nothing(video: Video, expression: Expression, kind: ProblemKind, reason: str) -> Prediction:
    return Prediction(None, None, _problem(video, expression, kind, reason))


def _wrong_length(video: Video, expression: Expression, found: int) -> Prediction:
    text = f"it has {found} masks, expected one for each of the video's {len(video.frame_names)} frames"
    return _nothing(video, expression, ProblemKind.WRONG_LENGTH, text)


def _extra(annotations: Annotations, video_id: str, expression_id: str | None) -> Problem:
    what = "such video" if expression_id is None else "such expression of the video"
    return Problem(video_id, expression_id, ProblemKind.EXTRA, f"the split {annotations.split} has no {what}")


def _extras_of(annotations: Annotations, video_id: str, expression_ids: Iterable[str]) -> Iterator[Problem]:
    if video_id not in annotations.videos:
        yield _extra(annotations, video_id, None)
        return
    known = {expression.expression_id for expression in annotations.video(video_id).expressions}
    yield from (_extra(annotations, video_id, name) for name in expression_ids if name not in known)
