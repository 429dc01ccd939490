"""One expression's prediction, as both protocols read it, or what is wrong with it."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import msgspec
import numpy as np

from revoskit.dataset.annotations import Annotations
from revoskit.dataset.records import Expression, Video
from revoskit.errors import MaskError
from revoskit.inference.answers import compressed
from revoskit.masks.packed import PackedMasks, Patch, pack_patches, pack_rles
from revoskit.masks.rle import MaskSequence
from revoskit.text import printable


class ProblemKind(str, enum.Enum):
    """What is wrong with a prediction."""

    MISSING = "missing"
    INCOMPLETE = "incomplete"
    """Some of its frames are there, as when a run broke off."""
    FAILED = "failed"
    """The model ended in an error, which whoever ran it has noted."""
    UNREADABLE = "unreadable"
    WRONG_SIZE = "wrong size"
    WRONG_LENGTH = "wrong length"
    MALFORMED = "malformed"
    UNSCORABLE = "unscorable"
    """There is nothing wrong with it, but with the true masks that it is held against."""
    EXTRA = "extra"
    """Nothing, but nobody asked for it."""

    def __str__(self) -> str:
        return self.value


ABSENT = frozenset({ProblemKind.MISSING, ProblemKind.INCOMPLETE, ProblemKind.FAILED})
"""There is no prediction. With any other problem there is one, which cannot be used."""


class Problem(msgspec.Struct, frozen=True):
    """A prediction that could not be used, or one that nobody asked for."""

    video_id: str
    expression_id: str | None
    kind: ProblemKind
    reason: str


class Note(str, enum.Enum):
    """What is odd about a prediction that can be used."""

    GREY = "saved with another grey value than 1"
    SEVERAL_GREYS = "several grey values in a frame"
    NUMBERED = "frames named by their numbers"


@dataclass
class GreyMasks:
    """Masks with the grey values that they were saved with, which the official accuracy and robustness depend on."""

    masks: PackedMasks
    """What is not zero."""
    values: np.ndarray
    """int64 (T,): the one value of all object pixels; 0 where there are none."""
    several: dict[int, Patch]
    """The frames, by number, whose object pixels have different values."""

    def some(self, begin: int, end: int) -> GreyMasks:
        """Those of some frames; `begin` is a multiple of eight."""
        several = {number - begin: patch for number, patch in self.several.items() if begin <= number < end}
        return GreyMasks(self.masks.some(begin, end), self.values[begin:end], several)

    @property
    def grey(self) -> int | None:
        """The value of all object pixels in all frames, 1 where there are none; null if there are several."""
        values = set(self.values[self.values > 0].tolist())
        return None if self.several or len(values) > 1 else next(iter(values), 1)


@dataclass
class Prediction:
    """One expression's masks, as each protocol reads them; null where that protocol gives no points for them."""

    binary: PackedMasks | None
    official: GreyMasks | None
    problem: Problem | None = None
    extra: dict[str, Any] | None = None
    """What the model says beside its masks, where that was kept."""
    rles: MaskSequence | None = None
    """The masks to the letter, where they were RLEs."""
    numbered: bool = False
    """Its files are named by the numbers of the frames instead of their names."""

    @property
    def notes(self) -> tuple[Note, ...]:
        """What is odd about it."""
        if self.official is None:
            return ()
        notes = [Note.NUMBERED] if self.numbered else []
        if self.official.several:
            notes.append(Note.SEVERAL_GREYS)
        if (self.official.values > 1).any():
            notes.append(Note.GREY)
        return tuple(notes)


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


# --- RLEs -------------------------------------------------------------------------------------------------------------


def from_rles(
    video: Video, expression: Expression, masks: Any, *, grey: int = 1, extra: dict[str, Any] | None = None
) -> Prediction:
    """A prediction from RLEs, as PNGs with the value `grey` on the object would give it; null is an empty mask.

    The counts may be COCO's string, the same as bytes, or a list of run lengths.
    """
    masks = _in_a_list(masks)
    if not isinstance(masks, (list, tuple, MaskSequence)):
        return nothing(
            video, expression, ProblemKind.MALFORMED, f"expected a list of RLEs, found {type(masks).__name__}"
        )
    if len(masks) != len(video.frame_names):
        text = f"it has {len(masks)} masks, expected one for each of the video's {len(video.frame_names)} frames"
        return nothing(video, expression, ProblemKind.WRONG_LENGTH, text)
    try:
        parsed = _parse(masks, video.height, video.width)
    except MaskError as error:
        if error.index is None:
            return nothing(video, expression, ProblemKind.MALFORMED, str(error))
        kind = ProblemKind.WRONG_SIZE if _has_other_size(masks[error.index], video) else ProblemKind.MALFORMED
        place = f"the mask of frame {video.frame_names[error.index]} (number {error.index})"
        return nothing(video, expression, kind, f"{place}: {error.reason}")
    packed = pack_rles(parsed)
    values = np.where(packed.areas > 0, grey, 0).astype(np.int64)
    return Prediction(packed, GreyMasks(packed, values, {}), extra=extra, rles=parsed)


def _parse(masks: Sequence[Any], height: int, width: int) -> MaskSequence:
    try:
        return MaskSequence.parse(masks, height, width)
    except MaskError:  # few write their counts in another way, so that only what fails is looked at mask by mask
        return MaskSequence.parse([compressed(mask, height, width) for mask in masks], height, width)


def _in_a_list(masks: Any) -> Any:
    """Masks as a list, where they came as a table's list of structs, or in a list that has no other entry."""
    turned = isinstance(masks, Mapping) and set(masks) == {"size", "counts"}
    if turned and all(isinstance(column, (list, tuple)) for column in masks.values()):
        return [
            None if counts is None else {"size": size, "counts": counts}
            for size, counts in zip(masks["size"], masks["counts"], strict=False)
        ]
    if isinstance(masks, list) and len(masks) == 1 and isinstance(masks[0], list):
        return masks[0]
    return masks


def _has_other_size(mask: Any, video: Video) -> bool:
    size = mask.get("size") if isinstance(mask, dict) else None
    return isinstance(size, (list, tuple)) and list(size) != [video.height, video.width]


# --- arrays -----------------------------------------------------------------------------------------------------------


def from_array(video: Video, expression: Expression, masks: Any) -> Prediction:
    """A prediction from an array or tensor (T, h, w) of bool, whole grey values 0 to 255, or floats 0 and 1."""
    pixels = np.asarray(masks.detach().cpu() if hasattr(masks, "detach") else masks)
    expected = (len(video.frame_names), video.height, video.width)
    if pixels.ndim != 3 or len(pixels) != expected[0]:
        return nothing(video, expression, ProblemKind.WRONG_LENGTH, f"its shape is {pixels.shape}, expected {expected}")
    if pixels.shape != expected:
        return nothing(video, expression, ProblemKind.WRONG_SIZE, f"its shape is {pixels.shape}, expected {expected}")
    if pixels.dtype.kind not in "buif":
        return nothing(
            video, expression, ProblemKind.MALFORMED, f"its values ({pixels.dtype}) are no masks: expected numbers"
        )
    if pixels.dtype == bool:
        pixels = pixels.view(np.uint8)
    elif pixels.dtype != np.uint8:
        with np.errstate(invalid="ignore"):  # what does not fit is found by comparing
            whole = pixels.astype(np.uint8)
        if not np.array_equal(whole, pixels) or (pixels.dtype.kind == "f" and whole.max(initial=0) > 1):
            text = f"its values ({pixels.dtype}) are no masks: threshold scores first, for example `logits > 0`"
            return nothing(video, expression, ProblemKind.MALFORMED, text)
        pixels = whole
    grey = grey_masks([Patch.of(frame) for frame in np.ascontiguousarray(pixels)], video.height, video.width)
    return Prediction(grey.masks, grey)


def from_masks(video: Video, expression: Expression, masks: Any) -> Prediction:
    """A prediction from what people have in memory: RLEs, an array or a tensor."""
    if isinstance(masks, (list, tuple)) and any(mask is not None and not isinstance(mask, dict) for mask in masks):
        frames = [np.asarray(mask.detach().cpu() if hasattr(mask, "detach") else mask) for mask in masks]
        if len({frame.shape for frame in frames}) > 1:
            shapes = ", ".join(map(str, sorted({frame.shape for frame in frames})))
            return nothing(video, expression, ProblemKind.WRONG_SIZE, f"its frames are not of one shape: {shapes}")
        masks = np.stack(frames)
    if isinstance(masks, (list, tuple, dict, MaskSequence)):
        return from_rles(video, expression, masks)
    return from_array(video, expression, masks)


# --- problems ---------------------------------------------------------------------------------------------------------


def problem(video: Video, expression: Expression, kind: ProblemKind, reason: str) -> Problem:
    """A problem with the prediction for one expression."""
    return Problem(video.video_id, expression.expression_id, kind, _one_line(reason))


def _one_line(text: str) -> str:
    """A reason as a terminal and a table can show it, some of which others have written."""
    return "".join(char if char.isprintable() else "?" for char in " ".join(text.split()))


def nothing(video: Video, expression: Expression, kind: ProblemKind, reason: str) -> Prediction:
    """No prediction for an expression, in either protocol, and why."""
    return Prediction(None, None, problem(video, expression, kind, reason))


def extra_of(annotations: Annotations, video_id: str, expression_id: str | None) -> Problem:
    """That there is a prediction for something that the split does not have."""
    what = "such video" if expression_id is None else "such expression of the video"
    names = printable(video_id), None if expression_id is None else printable(expression_id)  # as files may be called
    return Problem(*names, ProblemKind.EXTRA, f"the split {annotations.split} has no {what}")


def extras_of(annotations: Annotations, video_id: str, expression_ids: Iterable[str]) -> Iterator[Problem]:
    """Of the predictions for a video, those that the split does not have."""
    if video_id not in annotations.videos:
        yield extra_of(annotations, video_id, None)
        return
    known = {expression.expression_id for expression in annotations.video(video_id).expressions}
    yield from (extra_of(annotations, video_id, name) for name in expression_ids if name not in known)
