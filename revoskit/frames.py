"""Frames to pixels: which JPEG decoder is in use, decoding at a fraction of the size, and the grid of the result.

simplejpeg (the extra `jpeg`) and OpenCV do the work where they can be imported, Pillow otherwise.
libjpeg-turbo can leave out the finer half, three quarters or seven eighths of a JPEG while decoding it, which costs a
fraction of the time; what is left is resized by less than half.
"""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from PIL import Image, features

from revoskit.errors import FrameError

try:
    import simplejpeg
except ImportError:
    simplejpeg = None
try:
    import cv2
except ImportError:
    cv2 = None


def decoder() -> str:
    """What decodes and resizes frames here, such as `"simplejpeg 1.9.0, resized by OpenCV 5.0.0"`."""
    pillow = f"Pillow {Image.__version__}"
    turbo = features.version("libjpeg_turbo")
    decodes = (
        f"simplejpeg {simplejpeg.__version__}"
        if simplejpeg
        else f"{pillow} (libjpeg-turbo {turbo})"
        if turbo
        else f"{pillow} (libjpeg)"
    )
    return f"{decodes}, resized by {f'OpenCV {cv2.__version__}' if cv2 else pillow}"


@dataclass(frozen=True)
class Grid:
    """Where the pixels of a resized frame lie: `height` x `width` on a frame of `full_height` x `full_width`.

    Both cover the same area, so pixel i of n is centred on (i + 1/2) / n of the way. Frames are interpolated at these
    centres and masks take the pixel that holds the centre, so the two stay aligned whatever the sizes.
    """

    full_height: int
    full_width: int
    height: int
    width: int

    @cached_property
    def rows(self) -> np.ndarray:
        """The full-size row that holds the centre of every row: int64 (height,), ascending."""
        return (2 * np.arange(self.height, dtype=np.int64) + 1) * self.full_height // (2 * self.height)

    @cached_property
    def columns(self) -> np.ndarray:
        """The full-size column that holds the centre of every column: int64 (width,), ascending."""
        return (2 * np.arange(self.width, dtype=np.int64) + 1) * self.full_width // (2 * self.width)

    @cached_property
    def reduction(self) -> int:
        """By how much a JPEG may be reduced while it is decoded and still not be smaller than the result.

        Only 2, 4 and 8: libjpeg-turbo knows all eighths, but 5/8 takes it longer than the full size.
        """
        return next(
            (
                by
                for by in (8, 4, 2)
                if -(-self.full_height // by) >= self.height and -(-self.full_width // by) >= self.width
            ),
            1,
        )


def read_frame(frame: Any, grid: Grid, out: np.ndarray) -> None:
    """Decode a frame and write it to `out`, uint8 (height, width, 3), RGB, resized as `grid` says.

    Args:
        frame: as a row has it: `{"path": str, "bytes": None}`, `{"path": ..., "bytes": bytes}`, or a PIL image.

    Raises:
        FrameError: it is missing, no sound JPEG, or not of the grid's full size.
    """
    if isinstance(frame, Image.Image):
        _check_size(frame.height, frame.width, grid, frame)
        pixels, reduced = np.asarray(frame.convert("RGB")), 1
    else:
        data = _read(frame)
        try:
            pixels, reduced = (_decode_turbo if simplejpeg else _decode_pillow)(data, grid, frame)
        except (ValueError, OSError, SyntaxError, Image.DecompressionBombError) as error:
            if isinstance(error, FrameError):
                raise
            raise FrameError(
                f"{frame_file(frame) or 'it'} is not a sound JPEG: {error} ({len(data):,} bytes)"
            ) from None
    _resize(pixels, grid.full_height / reduced, grid.full_width / reduced, out)


def frame_file(frame: Any) -> str | None:
    """The file that a frame comes from, where it says so."""
    path = frame.get("path") if isinstance(frame, dict) else getattr(frame, "filename", None)
    return str(path) if path else None


def _read(frame: dict | None) -> bytes:
    if isinstance(frame, dict) and frame.get("bytes") is not None:
        return frame["bytes"]
    if frame is None:
        raise FrameError("it is null in the dataset: its file was not there when the dataset was loaded")
    if not isinstance(frame, dict) or not frame.get("path"):
        raise FrameError(f"expected {{'path', 'bytes'}} or a PIL image, found {frame!r:.80}")
    try:
        with open(frame["path"], "rb", buffering=0) as file:
            return file.read()
    except OSError as error:
        raise FrameError(f"{frame['path']} cannot be read: {os.strerror(error.errno or 0)}") from None


def _check_size(height: int, width: int, grid: Grid, frame: Any) -> None:
    if (height, width) != (grid.full_height, grid.full_width):
        raise FrameError(
            f"{frame_file(frame) or 'it'} is {height}x{width} pixels (height x width), the annotations say "
            f"{grid.full_height}x{grid.full_width}: its masks would not lie on its objects"
        )


def _decode_turbo(data: bytes, grid: Grid, frame: dict) -> tuple[np.ndarray, int]:
    height, width, *_ = simplejpeg.decode_jpeg_header(data)
    _check_size(height, width, grid, frame)
    by = grid.reduction
    if by == 1:
        return simplejpeg.decode_jpeg(data), 1
    return simplejpeg.decode_jpeg(data, min_height=-(-height // by), min_width=-(-width // by), min_factor=by), by


def _decode_pillow(data: bytes, grid: Grid, frame: dict) -> tuple[np.ndarray, int]:
    image = Image.open(io.BytesIO(data), formats=["JPEG"])
    _check_size(image.height, image.width, grid, frame)
    by = grid.reduction
    if by > 1:
        image.draft("RGB", (image.width // by, image.height // by))
    return np.asarray(image.convert("RGB")), by


def _resize(pixels: np.ndarray, height: float, width: float, out: np.ndarray) -> None:
    """Write `pixels` to `out`; `height` and `width` say how much of them the frame covers.

    A JPEG whose size is not a multiple of the reduction leaves a last row or column that is covered in part only.
    """
    whole = pixels.shape[:2] == (height, width)
    if whole and pixels.shape == out.shape:
        out[:] = pixels
    elif whole and cv2 is not None:
        halves = out.shape[0] * 2 >= height and out.shape[1] * 2 >= width  # two pixels to interpolate between will do
        cv2.resize(pixels, out.shape[1::-1], out, interpolation=cv2.INTER_LINEAR if halves else cv2.INTER_AREA)
    else:
        image = Image.fromarray(pixels)
        out[:] = image.resize(out.shape[1::-1], Image.Resampling.BILINEAR, box=(0, 0, width, height))
