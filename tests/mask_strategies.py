"""Masks for tests: as hypothesis draws them, and as run lengths write them."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp


def rectangle(shape: tuple[int, int], top: int, left: int, bottom: int, right: int) -> np.ndarray:
    mask = np.zeros(shape, np.uint8)
    mask[top:bottom, left:right] = 1
    return mask


@st.composite
def sequences(draw, count: int = 2):
    """`count` mask sequences of one shape: noise, rectangles (often at the border), empty, full, single pixels."""
    height, width = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    frames = draw(st.integers(1, 11))

    def mask():
        kind = draw(st.sampled_from(["noise", "rectangle", "empty", "full", "pixel"]))
        if kind == "noise":
            return draw(hnp.arrays(np.uint8, (height, width), elements=st.integers(0, 1)))
        if kind == "rectangle":
            ys = sorted(draw(st.tuples(st.integers(0, height), st.integers(0, height))))
            xs = sorted(draw(st.tuples(st.integers(0, width), st.integers(0, width))))
            return rectangle((height, width), ys[0], xs[0], ys[1], xs[1])
        found = np.full((height, width), kind == "full", np.uint8)
        if kind == "pixel":
            found[draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))] = 1
        return found

    return [np.stack([mask() for _ in range(frames)]) for _ in range(count)]


def counts_from(runs: list[int]) -> str:
    """COCO's compressed string of these run lengths, written from its definition."""
    text = ""
    for i, run in enumerate(runs):
        number = run - runs[i - 2] if i > 2 else run
        while True:
            digit = number & 31
            number >>= 5
            done = number == (-1 if digit & 16 else 0)
            text += chr(48 + (digit if done else digit | 32))
            if done:
                break
    return text


def rle(runs: list[int], height: int, width: int) -> dict:
    return {"size": [height, width], "counts": counts_from(runs)}
