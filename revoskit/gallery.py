"""Pictures of the dataset: masks laid over frames."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

# Okabe and Ito's colours, which people with any colour vision can tell apart; yellow last, it is weak on white.
PALETTE = [(230, 159, 0), (86, 180, 233), (0, 158, 115), (213, 94, 0), (204, 121, 167), (0, 114, 178), (240, 228, 66)]


def overlay(
    image: Image.Image,
    masks: Sequence[np.ndarray],
    *,
    colors: Sequence[tuple[int, int, int]] = PALETTE,
    opacity: float = 0.45,
    outline: int = 2,
) -> Image.Image:
    """A frame with masks on it, each tinted in a colour of its own and outlined.

    Args:
        image: the frame, width x height pixels.
        masks: arrays (height, width); what is not zero is object. Later ones lie on top.
        colors: RGB, one a mask, starting over when they run out.
        opacity: of the tint, 0 to 1.
        outline: width of the line along the inner side of a mask's edge, in pixels; 0 for none.
    """
    pixels = np.asarray(image.convert("RGB"), np.float32).copy()
    for i, mask in enumerate(masks):
        inside = np.asarray(mask) != 0
        color = np.asarray(colors[i % len(colors)], np.float32)
        pixels[inside] += (color - pixels[inside]) * opacity
        if outline:
            pixels[inside & ~_eroded(inside, outline)] = color
    return Image.fromarray(pixels.round().astype(np.uint8))


def _eroded(mask: np.ndarray, steps: int) -> np.ndarray:
    """The mask less `steps` pixels along its edge; the picture's border counts as an edge."""
    for _ in range(steps):
        padded = np.pad(mask, 1)
        mask = mask & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask
