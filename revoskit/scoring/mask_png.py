"""Reads a mask from a PNG, as grey values and as object or not.

Decoding is most of the work of scoring PNGs, and most masks are as plain as a PNG can be: 8-bit grey or palette, one
value besides zero. Such a file is inflated with zlib-ng (some twenty times quicker on masks than zlib) and its filters
are undone for whole blocks of rows at a time, which two-valued pictures allow: a value can only stay or change. Each
change is then compared with what the file says, so the result is right or it is not used; OpenCV reads all else.
"""

from __future__ import annotations

import io
import struct
import warnings
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image
from zlib_ng import zlib_ng

from revoskit.masks.packed import Patch

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _PALETTE = 0, 3  # colour types
_MAX_SIDE = 1_000_000  # of what libpng reads
_NONE, _SUB, _UP, _AVERAGE, _PAETH = range(5)  # filters, one for each row


class MaskImage(NamedTuple):
    """One picture of `size` (height, width), as grey values and as object or not.

    `grey` is what `cv2.imread(path, cv2.IMREAD_GRAYSCALE)` gives, `object` is not zero where the picture is not black;
    they are the same patch except where a colour is too dark to show in grey.
    """

    size: tuple[int, int]
    grey: Patch
    object: Patch


def decode(data: bytes) -> MaskImage | None:
    """The mask in a PNG of any kind (grey, palette, 1-bit, RGB, …), null where it cannot be read."""
    if data.startswith(SIGNATURE):
        image = _plain_mask(data)
        if image is not None:
            return image
        if b"IEND" not in data:
            return None  # it breaks off; OpenCV would say so too, but on the terminal
    return _by_opencv(data)


def claimed_size(data: bytes) -> tuple[int, int] | None:
    """Height and width that the header of an image file claims, whatever its kind; null where it has none."""
    if data.startswith(SIGNATURE):
        return (int.from_bytes(data[20:24], "big"), int.from_bytes(data[16:20], "big")) if len(data) >= 24 else None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the caller knows what is too large
            with Image.open(io.BytesIO(data)) as image:
                return image.height, image.width
    except Image.DecompressionBombError:
        return 1 << 20, 1 << 20
    except (OSError, SyntaxError, ValueError):
        return None


def _by_opencv(data: bytes) -> MaskImage | None:
    buffer = np.frombuffer(data, np.uint8)
    try:
        grey = cv2.imdecode(buffer, cv2.IMREAD_GRAYSCALE)
        if grey is None:
            return None
        patch = Patch.of(grey)
        if data.startswith(SIGNATURE) and _shows_in_grey(data):
            return MaskImage(grey.shape, patch, patch)
        whole = cv2.imdecode(buffer, cv2.IMREAD_ANYDEPTH | cv2.IMREAD_ANYCOLOR)
    except cv2.error:
        return None
    if whole is None:
        return None
    shown = np.any(whole, axis=tuple(range(2, whole.ndim)))
    same = np.array_equal(grey != 0, shown)
    return MaskImage(grey.shape, patch, patch if same else Patch.of(np.asarray(shown, np.uint8)))


def _shows_in_grey(data: bytes) -> bool:
    """Whether grey values tell what is black: in a grey PNG of 8 bits at most, or with a palette that does."""
    depth, color = data[24], data[25]
    if color == _GREY:
        return depth <= 8
    chunks = _chunks(data) if color == _PALETTE else None
    return chunks is not None and _palette_shows_in_grey(chunks.get("PLTE", b""))


@lru_cache(maxsize=64)
def _palette_shows_in_grey(palette: bytes) -> bool:
    colors = {palette[i : i + 3] for i in range(0, len(palette) - 2, 3)}
    return all(_grey_of(color) for color in colors if any(color))


# --- plain masks ------------------------------------------------------------------------------------------------------


def _plain_mask(data: bytes) -> MaskImage | None:
    """An 8-bit PNG with one value besides zero; null if it is not that, or not what every reader takes."""
    chunks = _chunks(data)
    if chunks is None:
        return None
    width, height, depth, color, *methods = struct.unpack(">IIBBBBB", chunks["IHDR"])
    if depth != 8 or color not in (_GREY, _PALETTE) or any(methods) or ("PLTE" in chunks) != (color == _PALETTE):
        return None
    if not 0 < width * height <= 2**28 or max(width, height) > _MAX_SIDE:
        return None
    expected = height * (1 + width)
    inflater = zlib_ng.decompressobj()
    try:
        inflated = inflater.decompress(chunks["IDAT"], expected + 1)
    except zlib_ng.error:  # type: ignore[misc]  # its stub gives the class the wrong type
        return None
    if len(inflated) != expected or not inflater.eof or inflater.unused_data:
        return None
    rows = np.frombuffer(inflated, np.uint8).reshape(height, 1 + width)
    if rows[:, 0].max() > _PAETH:
        return None
    found = _unfilter(rows[:, 0], rows[:, 1:])
    if found is None:
        return None
    patch, value = found
    if color == _PALETTE:
        palette = chunks.get("PLTE", b"")
        if any(palette[:3]) or 3 * value + 3 > len(palette):
            return None
        value = _grey_of(palette[3 * value : 3 * value + 3]) if value else 0
        if not value and patch.pixels.size:
            return None
    if value > 1:
        patch = patch._replace(pixels=patch.pixels * np.uint8(value))
    return MaskImage((height, width), patch, patch)


def _chunks(data: bytes) -> dict[str, bytes] | None:
    """The chunks of a sound PNG that has only those that every mask has; the parts of IDAT put together.

    They have to be where and as long as the PNG specification has them: what readers do about others differs.
    """
    chunks: dict[str, bytes] = {}
    at = len(SIGNATURE)
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        checksum = data[at + 8 + length : at + 12 + length]
        if len(checksum) < 4 or zlib_ng.crc32(body, zlib_ng.crc32(kind)) != int.from_bytes(checksum, "big"):
            return None
        at += 12 + length
        if kind == b"IEND":
            return chunks if "IDAT" in chunks and not length else None
        if kind == b"IDAT" and chunks:
            chunks["IDAT"] = chunks.get("IDAT", b"") + body
        elif kind == b"IHDR" and not chunks and length == 13:
            chunks["IHDR"] = body
        elif kind == b"PLTE" and list(chunks) == ["IHDR"] and length in range(3, 769, 3):
            chunks["PLTE"] = body
        else:
            return None  # it may change what the values mean
    return None


@lru_cache(maxsize=1024)
def _grey_of(color: bytes) -> int:
    """The grey that OpenCV reads a colour (RGB) as."""
    pixel = np.frombuffer(color, np.uint8)[None, None, ::-1]
    grey = cv2.imdecode(cv2.imencode(".png", pixel)[1], cv2.IMREAD_GRAYSCALE)
    assert grey is not None
    return int(grey[0, 0])


def _unfilter(filters: np.ndarray, stored: np.ndarray) -> tuple[Patch, int] | None:
    """The picture as 0 and 1, and the value that 1 stands for; null if there are several.

    Work is on the rows and columns in which something is stored. Where the picture goes on beyond them without a
    change, to the right or downwards, it is on all that are there.
    """
    height, width = stored.shape
    columns = np.flatnonzero(np.bitwise_or.reduce(stored, axis=0))  # first, as it is quick: few columns are left then
    if not len(columns):
        return Patch(0, 0, stored[:0, :0]), 0
    left, right = int(columns[0]), int(columns[-1]) + 1
    _, top, _, rows = cv2.boundingRect(stored[:, left:right])
    bottom = top + rows
    first = stored[top]
    value = int(first[np.flatnonzero(first)[0]])
    for _ in range(3):
        part = stored[top:bottom, left:right]
        kinds = filters[top:bottom]
        changed = (part != 0).view(np.uint8)
        found = _undo(kinds, changed)
        if found is None or not np.array_equal(changed * (found * np.uint8(2 * value & 255) - np.uint8(value)), part):
            return None  # what changed is not from 0 to the value, or back
        goes_right = right < width and found[(kinds == _SUB) | (kinds == _PAETH), -1].any()
        goes_down = bottom < height and filters[bottom] in (_UP, _AVERAGE, _PAETH) and found[-1].any()
        if not (goes_right or goes_down):
            return Patch(left, top, found), value
        right, bottom = (width if goes_right else right), (height if goes_down else bottom)
    return None


def _undo(filters: np.ndarray, changed: np.ndarray) -> np.ndarray | None:
    """0 and 1 from where a pixel is not what its filter predicts, both uint8 (h, w)."""
    if (filters == _AVERAGE).any():
        return None
    height, width = changed.shape
    words = np.zeros((height, -(-width // 8)), "<u8")  # eight pixels each
    rows = words.view(np.uint8)
    rows[:, :width] = changed
    sub = np.flatnonzero(filters == _SUB)
    if len(sub) == height:
        _undo_sub(words)
    elif len(sub):
        some = words[sub]
        _undo_sub(some)
        words[sub] = some
    kinds = filters.tolist()
    borders = [0, *(np.flatnonzero(filters[1:] != filters[:-1]) + 1).tolist(), height]
    for begin, end in pairwise(borders):  # rows of one kind
        if kinds[begin] == _UP:
            block = words[max(0, begin - 1) : end]
            np.bitwise_xor.accumulate(block, axis=0, out=block)
        elif kinds[begin] == _PAETH:
            for number in range(begin, end):
                above = rows[number - 1, :width] if number else np.zeros(width, np.uint8)
                _undo_paeth(above, rows[number, :width])
    return rows[:, :width]


def _undo_sub(words: np.ndarray) -> None:
    """`np.bitwise_xor.accumulate(rows, axis=1)` in place, the rows being uint64 (h, w / 8): eight pixels at a time."""
    for bits in (8, 16, 32):
        words ^= words << np.uint64(bits)
    carried = np.bitwise_xor.accumulate(words >> np.uint64(56), axis=1)
    words[:, 1:] ^= carried[:, :-1] * np.uint64(0x0101010101010101)


def _undo_paeth(above: np.ndarray, row: np.ndarray) -> None:
    """In place. Of two values, the filter predicts the one above where that is new, else the one to the left."""
    new = ((above[1:] != above[:-1]).nonzero()[0] + 1).tolist()
    if above[0]:
        new.insert(0, 0)
    predicted = {at: 1 - number % 2 for number, at in enumerate(new)}  # above, 0 and 1 take turns
    changed = set(row.nonzero()[0].tolist())
    row[:] = 0
    value = begin = 0
    for at in sorted(changed.union(new)):
        if value:
            row[begin:at] = 1
        value, begin = predicted.get(at, value) ^ (at in changed), at
    if value:
        row[begin:] = 1
