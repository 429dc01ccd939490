"""Masks for tests: as hypothesis draws them, and as run lengths write them."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st


def pixels(*shape: int) -> st.SearchStrategy[np.ndarray]:
    """Noise of 0 and 1, dense, sparse or full of holes; drawn as bytes, since a draw for each pixel takes long."""
    size = int(np.prod(shape))
    content = st.binary(min_size=-(-size // 8), max_size=-(-size // 8)).map(
        lambda content: np.unpackbits(np.frombuffer(content, np.uint8))[:size].reshape(shape)
    )
    return st.one_of(content, st.builds(np.bitwise_and, content, content), st.builds(np.bitwise_or, content, content))


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
            return draw(pixels(height, width))
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
