"""What a model gives as its masks, brought into one form, and refused where it can only be a mistake."""

from __future__ import annotations

import ast
import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from revoskit.dataset.records import Video
from revoskit.errors import AnswerError, MaskError
from revoskit.frames import Grid
from revoskit.masks import rle
from revoskit.masks.rle import MAX_PIXELS, RLE, MaskSequence, most_counts

_FRAMES_AT_A_TIME = 16  # what is held in another form meanwhile: 7 MB of masks at 480p


def as_rles(masks: Any, video: Video, *, resize: bool = False) -> list[RLE | None] | None:
    """The masks of a video as COCO's compressed RLEs, one per frame.

    Args:
        masks: for T frames of height x width pixels, an array or a tensor (on any device) of shape (T, height, width)
            of booleans or whole numbers in which all that is not zero is object; a list of T arrays (height, width); a
            list of T RLEs, compressed or as lists of run lengths, null for a frame without object; None for no object
            in any frame, which is given back.
        video: whose masks they are.
        resize: take masks of another size, and give each pixel of the video the mask's pixel that holds its centre.

    Raises:
        AnswerError: they are of another length or size, or of floating point, or hold more than two values.
    """
    if masks is None:
        return None
    if isinstance(masks, MaskSequence):
        masks = list(masks)
    if isinstance(masks, (list, tuple)):
        _require_length(len(masks), video)
        if all(mask is None or isinstance(mask, Mapping) for mask in masks):
            return _from_rles(masks, video, resize)
        if any(mask is None or isinstance(mask, (str, bytes, Mapping)) for mask in masks):
            kinds = ", ".join(sorted({type(mask).__name__ for mask in masks}))
            raise AnswerError(f"the list of masks holds {kinds}: expected arrays, or RLEs and None")
        shapes = sorted({tuple(getattr(mask, "shape", np.shape(mask))) for mask in masks})
        if len(shapes) > 1:
            raise AnswerError(f"the masks of single frames are not of one shape: {', '.join(map(str, shapes[:3]))}")
        return _from_arrays([mask if hasattr(mask, "shape") else np.asarray(mask) for mask in masks], video, resize)
    if not hasattr(masks, "shape") or not hasattr(masks, "dtype"):
        raise AnswerError(
            "expected an array or a tensor (frames, height, width), a list of RLEs, or None, found "
            f"{type(masks).__name__}"
        )
    shape = tuple(masks.shape)
    if len(shape) != 3:
        raise AnswerError(f"the masks have the shape {shape}, expected {_expected(video)}{_hint(shape, video)}")
    _require_length(shape[0], video)
    return _from_arrays(masks, video, resize)


def _expected(video: Video) -> tuple[int, int, int]:
    return len(video.frame_names), video.height, video.width


def _hint(shape: tuple[int, ...], video: Video) -> str:
    frames = len(video.frame_names)
    if len(shape) == 4 and shape[0] == 1 and shape[1] == frames:
        return ": take masks[0]"
    if len(shape) == 4 and shape[:2] == (frames, 1):
        return ": take masks[:, 0]"
    return ""


def _require_length(found: int, video: Video) -> None:
    if found != len(video.frame_names):
        raise AnswerError(f"{found} masks, expected one for each of the video's {len(video.frame_names)} frames")


def _require_size(found: tuple[int, int], video: Video, resize: bool) -> None:
    if not resize and found != (video.height, video.width):
        raise AnswerError(
            f"the masks are {found[0]}x{found[1]} (height x width), the video is {video.height}x{video.width}: resize "
            "the scores before you threshold them, or let the masks be resized (resize=True, --resize)"
        )
    if not 0 < found[0] * found[1] <= MAX_PIXELS:
        raise AnswerError(f"masks of {found[0]}x{found[1]} pixels (height x width) are not supported")


# --- arrays and tensors -----------------------------------------------------------------------------------------------


def _from_arrays(frames: Any, video: Video, resize: bool) -> list[RLE | None]:
    first = frames[0]
    if len(first.shape) != 2:
        raise AnswerError(f"the mask of a frame has the shape {tuple(first.shape)}, expected (height, width)")
    _require_masks(first.dtype)
    size = (int(first.shape[0]), int(first.shape[1]))
    _require_size(size, video, resize)
    grid = Grid(*size, video.height, video.width) if size != (video.height, video.width) else None
    found: list[RLE | None] = []
    value = 0  # the one that stands for the object
    for begin in range(0, len(frames), _FRAMES_AT_A_TIME):
        pixels = _pixels(frames[begin : begin + _FRAMES_AT_A_TIME])
        value = _one_value(pixels, value)
        if grid is not None:
            pixels = pixels[:, grid.rows][:, :, grid.columns]
        found += MaskSequence.encode(pixels)
    return found


def _require_masks(dtype: Any) -> None:
    """See that these are booleans or whole numbers, whichever library they are of."""
    name = str(dtype).removeprefix("torch.")
    if name == "bool" or name.lstrip("u").startswith("int"):
        return
    raise AnswerError(f"the masks are {name}, not booleans: threshold the scores first, for example `logits > 0`")


def _pixels(frames: Any) -> np.ndarray:
    """Some frames as an array in this process's memory."""
    if isinstance(frames, (list, tuple)):
        return np.stack([_pixels(frame) for frame in frames])
    return np.asarray(frames.detach().cpu() if hasattr(frames, "detach") else frames)


def _one_value(pixels: np.ndarray, before: int) -> int:
    """The one value besides zero, 0 if there is none; `before` is that of the frames before these."""
    if pixels.dtype == bool:
        return 1
    value = before or int(pixels.max(initial=0))
    if pixels.min(initial=0) < 0 or np.count_nonzero(pixels) != (np.count_nonzero(pixels == value) if value else 0):
        some = ", ".join(map(str, np.unique(pixels)[:5].tolist()))
        raise AnswerError(
            f"the masks hold more than zero and one other value ({some}, …): of scores, say from where on they are the "
            "object (`scores > 127`); of numbered objects, which ones are meant (`masks > 0` for all)"
        )
    return value


# --- RLEs -------------------------------------------------------------------------------------------------------------


def _from_rles(masks: Sequence[Any], video: Video, resize: bool) -> list[RLE | None]:
    stated = [mask["size"] for mask in masks if mask is not None and _has_size(mask)]
    sizes = {(int(height), int(width)) for height, width in stated} or {(video.height, video.width)}
    size = next(iter(sizes))
    if len(sizes) > 1:
        raise AnswerError(f"the RLEs are not of one size: {', '.join(map(str, sorted(sizes)[:3]))}")
    _require_size(size, video, resize)
    try:
        found = MaskSequence.parse([compressed(mask, *size) for mask in masks], *size)
    except MaskError as error:
        raise AnswerError(f"the RLE of frame number {error.index}: {error.reason}") from None
    if size == (video.height, video.width):
        return list(found)
    grid = Grid(*size, video.height, video.width)
    return list(MaskSequence.encode(found.sample(grid.rows, grid.columns)))


def _has_size(mask: Mapping[str, Any]) -> bool:
    size = mask.get("size")
    return isinstance(size, (list, tuple)) and len(size) == 2 and all(_is_whole(side) and side > 0 for side in size)


def _is_whole(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def compressed(mask: Any, height: int, width: int) -> Any:
    """An RLE with its counts as a string, where they are bytes, or a list of run lengths that fill the mask.

    Anything else is given back as it is, for `MaskSequence.parse` to say what is wrong with it.
    """
    if not isinstance(mask, Mapping):
        return mask
    size, counts = mask.get("size"), mask.get("counts")
    if isinstance(counts, bytes):
        return {"size": size, "counts": counts.decode("latin-1")}
    if isinstance(counts, str) and counts[:2] in ("b'", 'b"'):  # what `str` makes of bytes
        with contextlib.suppress(ValueError, SyntaxError, MemoryError, RecursionError):
            return {"size": size, "counts": ast.literal_eval(counts).decode("latin-1")}
    if not isinstance(counts, (list, tuple)) or list(size or ()) != [height, width]:
        return dict(mask)
    if len(counts) > most_counts(height, width):
        return dict(mask)
    if all(map(_is_whole, counts)):
        with contextlib.suppress(MaskError):
            return rle.compressed(list(map(int, counts)), [height, width])
    return dict(mask)
