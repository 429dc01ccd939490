"""Reads a mask from a PNG, as grey values and as object or not."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_END = b"IEND\xaeB`\x82"


class MaskImage(NamedTuple):
    """One picture, uint8 (height, width) twice.

    `grey` is what `cv2.imread(path, cv2.IMREAD_GRAYSCALE)` gives, `object` is not zero where the picture is not black;
    they are the same array except where a colour is too dark to show in grey.
    """

    grey: np.ndarray
    object: np.ndarray


def decode(data: bytes) -> MaskImage | None:
    """The mask in a PNG of any kind (grey, palette, 1-bit, RGB, …), null where it cannot be read."""
    if data.startswith(SIGNATURE) and data.rfind(_END, -1024) < 0:
        return None  # it breaks off; OpenCV would say so too, but on the terminal
    return _by_opencv(data)


def _by_opencv(data: bytes) -> MaskImage | None:
    buffer = np.frombuffer(data, np.uint8)
    try:
        grey = cv2.imdecode(buffer, cv2.IMREAD_GRAYSCALE)
        if grey is None:
            return None
        whole = cv2.imdecode(buffer, cv2.IMREAD_ANYDEPTH | cv2.IMREAD_ANYCOLOR)
    except cv2.error:
        return None
    shown = whole.any(2) if whole.ndim == 3 else whole != 0
    return MaskImage(grey, grey if np.array_equal(grey != 0, shown) else shown.view(np.uint8))
