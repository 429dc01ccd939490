"""revoskit.scoring.mask_png: every mask reads as OpenCV reads it."""

from __future__ import annotations

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from revoskit.masks.packed import Patch
from revoskit.scoring import mask_png


def by_pillow(pixels: np.ndarray, mode: str | None = None, palette: list[int] | None = None) -> bytes:
    image = Image.fromarray(pixels)
    if palette:
        image.putpalette(palette)
    if mode:
        image = image.convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def by_hand(pixels: np.ndarray, filters: list[int]) -> bytes:
    """A grey PNG whose rows have these filters, undone as the PNG specification does it."""
    height, width = pixels.shape
    body = bytearray()
    for y in range(height):
        body.append(filters[y])
        for x in range(width):
            a = int(pixels[y, x - 1]) if x else 0
            b = int(pixels[y - 1, x]) if y else 0
            c = int(pixels[y - 1, x - 1]) if x and y else 0
            paeth = min((a, b, c), key=lambda v: (abs(a + b - c - v), [a, b, c].index(v)))
            body.append((int(pixels[y, x]) - [0, a, b, (a + b) // 2, paeth][filters[y]]) % 256)

    return of_chunks([(b"IHDR", header(width, height)), (b"IDAT", zlib.compress(bytes(body))), (b"IEND", b"")])


Chunks = list[tuple[bytes, bytes]]


def header(width: int, height: int, color: int = 0, *methods: int) -> bytes:
    return struct.pack(">IIBBBBB", width, height, 8, color, *(methods or (0, 0, 0)))


def of_chunks(chunks: Chunks) -> bytes:
    return mask_png.SIGNATURE + b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )


def chunks_of(data: bytes) -> Chunks:
    found, at = [], len(mask_png.SIGNATURE)
    while at < len(data):
        end = at + 8 + int.from_bytes(data[at : at + 4], "big")
        found.append((data[at + 4 : at + 8], data[at + 8 : end]))
        at = end + 4
    return found


def blob(height: int = 60, width: int = 83) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return ((y - 25) ** 2 + (x - 40 + 6 * np.sin(y / 3)) ** 2 < 400).astype(np.uint8)


def whole(image: mask_png.MaskImage, patch: Patch) -> np.ndarray:
    pixels = np.zeros(image.size, np.uint8)
    pixels[patch.y : patch.y + patch.pixels.shape[0], patch.x : patch.x + patch.pixels.shape[1]] = patch.pixels
    return pixels


def grey_of(data: bytes) -> np.ndarray:
    image = mask_png.decode(data)
    return whole(image, image.grey)


PALETTE = [0, 0, 0, 128, 0, 0, 0, 128, 0, 200, 30, 90] + [9] * 60
FILES = {
    "grey 0/1": by_pillow(blob()),
    "grey 0/255": by_pillow(blob() * 255),
    "grey 0/100": by_pillow(blob() * 100),
    "1-bit": by_pillow(blob() * 255, "1"),
    "palette": by_pillow(blob(), palette=PALETTE),
    "palette of two": by_pillow(blob(), palette=PALETTE[:6]),
    "RGB": by_pillow(np.stack([blob() * 200, blob() * 3, blob() * 90], -1)),
    "16-bit": by_pillow(blob().astype(np.uint16) * 1000),
    "soft": by_pillow(cv2.GaussianBlur(blob() * 255, (9, 9), 0)),
    "by OpenCV": cv2.imencode(".png", blob() * 255)[1].tobytes(),
    "empty": by_pillow(blob() * 0),
    "full": by_pillow(blob() * 0 + 7),
    "one pixel": by_pillow(np.ones((1, 1), np.uint8)),
}


@pytest.mark.parametrize("name", FILES)
def test_every_kind_of_file_reads_as_opencv_reads_it(name):
    found = mask_png.decode(FILES[name])
    expected = cv2.imdecode(np.frombuffer(FILES[name], np.uint8), cv2.IMREAD_GRAYSCALE)
    np.testing.assert_array_equal(whole(found, found.grey), expected)
    np.testing.assert_array_equal(whole(found, found.object) != 0, expected != 0)


@pytest.mark.parametrize("name", ["grey 0/1", "grey 0/255", "grey 0/100", "palette", "by OpenCV", "empty", "full"])
def test_plain_masks_take_the_quick_way(name):
    assert mask_png._plain_mask(FILES[name]) is not None


@settings(max_examples=150)
@given(st.data(), st.integers(1, 12), st.integers(1, 20), st.sampled_from([1, 2, 100, 128, 255]))
def test_all_filters_are_undone(data, height, width, value):
    pixels = data.draw(hnp.arrays(np.uint8, (height, width), elements=st.sampled_from([0, value])))
    filters = data.draw(st.lists(st.integers(0, 4), min_size=height, max_size=height))
    np.testing.assert_array_equal(grey_of(by_hand(pixels, filters)), pixels)


@settings(max_examples=60)
@given(st.data(), st.integers(1, 6), st.integers(1, 9))
def test_pictures_of_several_values_are_read_as_well(data, height, width):
    pixels = data.draw(hnp.arrays(np.uint8, (height, width), elements=st.sampled_from([0, 1, 2, 254, 255])))
    filters = data.draw(st.lists(st.integers(0, 4), min_size=height, max_size=height))
    np.testing.assert_array_equal(grey_of(by_hand(pixels, filters)), pixels)


def test_a_colour_too_dark_for_grey_is_an_object_all_the_same():
    found = mask_png.decode(by_pillow(blob(), palette=[0, 0, 0, 0, 0, 1]))
    assert not found.grey.pixels.any()
    np.testing.assert_array_equal(whole(found, found.object) != 0, blob() != 0)


@pytest.mark.parametrize("kept", [0, 5, 20, 60, 0.5, -1, -4, -12])
def test_what_breaks_off_cannot_be_read(kept):
    data = FILES["grey 0/255"]
    assert mask_png.decode(data[: int(kept * len(data)) if isinstance(kept, float) else kept]) is None


def test_damage_is_noticed_where_opencv_notices_it(capfd):
    data = bytearray(FILES["grey 0/255"])
    data[len(data) // 2] ^= 0x55
    assert mask_png.decode(bytes(data)) is None
    assert mask_png.decode(b"no image at all") is None


# --- what a PNG must not be -------------------------------------------------------------------------------------------


def as_opencv(data: bytes) -> np.ndarray | None:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)


def assert_as_opencv(data: bytes) -> None:
    found, expected = mask_png.decode(data), as_opencv(data)
    assert (found is None) == (expected is None)
    if found is not None:
        np.testing.assert_array_equal(whole(found, found.grey), expected)


IHDR, IDAT, IEND = chunks_of(FILES["grey 0/255"])
_, PLTE, INDICES, _ = chunks_of(FILES["palette"])
OF_PALETTE = (b"IHDR", header(83, 60, 3))
REFUSED = {
    "two PLTE": [OF_PALETTE, PLTE, PLTE, INDICES, IEND],
    "PLTE after IDAT": [OF_PALETTE, INDICES, PLTE, IEND],
    "PLTE before IHDR": [PLTE, OF_PALETTE, INDICES, IEND],
    "PLTE of 7 bytes": [OF_PALETTE, (b"PLTE", PLTE[1][:7]), INDICES, IEND],
    "PLTE of 257 entries": [OF_PALETTE, (b"PLTE", bytes(3 * 257)), INDICES, IEND],
    "two IHDR": [IHDR, IHDR, IDAT, IEND],
    "IHDR not first": [IDAT, IHDR, IEND],
    "another compression": [(b"IHDR", header(83, 60, 0, 1, 0, 0)), IDAT, IEND],
    "filter method 1": [(b"IHDR", header(83, 60, 0, 0, 1, 0)), IDAT, IEND],
    "filter method 64": [(b"IHDR", header(83, 60, 0, 0, 64, 0)), IDAT, IEND],
    "a filter 5 in a row of nothing": [
        (b"IHDR", header(3, 2)),
        (b"IDAT", zlib.compress(bytes([0, 1, 1, 1, 5, 0, 0, 0]))),
        IEND,
    ],
    "a side over 1,000,000": [(b"IHDR", header(1_000_001, 1)), (b"IDAT", zlib.compress(bytes(1_000_002))), IEND],
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_opencv_refuses_is_no_mask(name):
    data = of_chunks(REFUSED[name])
    assert mask_png._plain_mask(data) is None
    assert_as_opencv(data)


@pytest.mark.parametrize("tail", [b"\0", bytes(3000), of_chunks([IDAT])[8:], of_chunks([(b"IEND", b"x")])[8:]])
def test_what_follows_the_end_of_a_file_makes_it_no_other(tail):
    assert mask_png.decode(FILES["grey 0/255"] + tail) is not None
    assert_as_opencv(FILES["grey 0/255"] + tail)


@st.composite
def damaged(draw) -> bytes:
    """A mask whose chunks are in disorder, doubled, lost, changed or foreign, with sound checksums."""
    chunks = chunks_of(FILES[draw(st.sampled_from(["grey 0/255", "palette", "1-bit", "empty", "one pixel"]))])
    for _ in range(draw(st.integers(1, 2))):
        at = draw(st.integers(0, len(chunks) - 1))
        kind, content = chunks[at]
        damage = draw(st.sampled_from(["double", "lose", "swap", "rename", "cut", "lengthen", "change", "insert"]))
        if damage in ("double", "insert"):
            foreign = st.sampled_from([b"PLTE", b"IDAT", b"tRNS", b"gAMA", b"JUNK", b"junk", b"IEND"])
            new = chunks[at] if damage == "double" else (draw(foreign), draw(st.binary(max_size=9)))
            chunks.insert(draw(st.integers(0, len(chunks))), new)
        elif damage == "lose" and len(chunks) > 1:
            del chunks[at]
        elif damage == "swap":
            chunks = draw(st.permutations(chunks))
        elif damage == "rename":
            chunks[at] = (draw(st.sampled_from([b"IHDR", b"PLTE", b"IDAT", b"IEND", b"iDAT"])), content)
        elif damage == "cut":
            chunks[at] = (kind, content[: draw(st.integers(0, len(content)))])
        elif damage == "lengthen":
            chunks[at] = (kind, content + draw(st.binary(min_size=1, max_size=5)))
        elif damage == "change" and content:
            byte = draw(st.integers(0, len(content) - 1))
            new_byte = draw(st.sampled_from([0, 1, 2, 3, 64, 255])) if kind == b"IHDR" else draw(st.integers(0, 255))
            if kind != b"IHDR" or byte > 7:  # sides of gigabytes are refused before anything is decoded
                chunks[at] = (kind, content[:byte] + bytes([new_byte]) + content[byte + 1 :])
    return of_chunks(chunks)


@settings(max_examples=400)
@given(damaged())
def test_damaged_files_read_as_opencv_reads_them(data):
    assert_as_opencv(data)
