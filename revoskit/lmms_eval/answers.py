"""From what a model says to a line of predictions."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from revoskit.errors import AnswerError
from revoskit.inference.lines import Predicted, encode, failed
from revoskit.masks.rle import RLE, MaskSequence
from revoskit.training.sampling import Draw

SHOWN = 8  # frames, or all of a shorter video
FULL = 1000  # what a side of a frame measures in the boxes of an answer


def shown_frames(count: int) -> list[int]:
    """Which of a video's frames a model is shown: the middle ones of equal stretches, as `Clips` takes them."""
    return [int(i) for i in Draw(None).one_per_bin(count, min(SHOWN, count))]


def as_line(doc: dict[str, Any], text: str) -> str:
    """The line of predictions: masks, or what is wrong with the answer, which then scores 0.

    An answer is a JSON list, with any words around it. It has an entry for each frame that was shown, null or a box or
    a list of boxes, which are filled and stand for the frames around it, too; or an RLE or null for each frame of the
    video. `null` alone says that nothing is there.
    """
    ids = doc["video_id"], doc["expression_id"]
    try:
        masks = _masks(_parsed(text), len(doc["frame_names"]), doc["height"], doc["width"])
        line = encode(Predicted(*ids, masks, extra={"text": text}))
    except AnswerError as error:
        line = encode(failed(*ids, f"{error}, in {text[:200]!r}"))
    return line.decode()


def _parsed(text: str) -> Any:
    """The JSON in a text: what lies between its outermost brackets, or a lone null."""
    start, end = text.find("["), text.rfind("]")  # a pattern would try each of a thousand opening brackets anew
    inner = text[start : end + 1] if 0 <= start < end else ""
    if not inner and re.search(r"\b(null|none)\b", text, re.IGNORECASE):
        return None
    try:
        return json.loads(inner or text)
    except (ValueError, RecursionError):
        raise AnswerError("there is no JSON list of boxes or masks") from None


def _masks(answer: Any, count: int, height: int, width: int) -> list[RLE | None] | None:
    """The masks of all frames."""
    if answer is None:
        return None
    if not isinstance(answer, list):
        raise AnswerError(f"expected a list, found {type(answer).__name__}")
    if all(entry is None for entry in answer):
        return None
    if all(entry is None or isinstance(entry, dict) for entry in answer):
        if len(answer) != count:
            raise AnswerError(f"there are {len(answer)} masks, and {count} frames")
        return answer
    shown = shown_frames(count)
    if len(shown) == 1 and _is_box(answer):
        answer = [answer]  # of the only frame
    if len(answer) != len(shown):
        raise AnswerError(f"there are {len(answer)} entries, and {len(shown)} frames were shown")
    filled = [_filled(entry, height, width) for entry in answer]
    nearest = np.abs(np.arange(count)[:, None] - shown).argmin(1)
    return [filled[i] for i in nearest]


def _filled(entry: Any, height: int, width: int) -> RLE | None:
    """What the boxes of a frame cover."""
    boxes = [] if entry is None else [entry] if _is_box(entry) else entry
    if not isinstance(boxes, list) or not all(map(_is_box, boxes)):
        raise AnswerError(f"expected boxes [x1, y1, x2, y2] or null, found {str(entry)[:80]}")
    pixels = np.zeros((height, width), np.uint8)
    for box in boxes:
        left, top, right, bottom = np.clip(box, 0, FULL) / FULL * [width, height, width, height]
        pixels[round(top) : round(bottom), round(left) : round(right)] = 1
    return MaskSequence.encode(pixels[None])[0] if pixels.any() else None


def _is_box(value: Any) -> bool:
    return (
        isinstance(value, Sequence)
        and len(value) == 4
        and all(isinstance(one, (int, float)) and np.isfinite(one) for one in value)
    )
