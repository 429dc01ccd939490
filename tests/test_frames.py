"""Frames: every way to read one gives the same pixels, and says in one way what is wrong with it."""

from __future__ import annotations

import contextlib
import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from datasets import Features
from datasets import Image as DatasetsImage
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from revoskit import cli, frames, open_frame
from revoskit.errors import FrameError, FrameFault
from revoskit.frames import FrameBytes, FrameFile, FrameMember, Grid, frame_of, nearest
from revoskit.miniature import write_miniature

HEIGHT, WIDTH = 48, 64
VIDEO = "LV-VIS/train/01020"


def picture(height: int = HEIGHT, width: int = WIDTH) -> Image.Image:
    """Darker to the left and redder to the bottom, so that a turned one is told from one that is not."""
    y, x = np.mgrid[:height, :width]
    pixels = np.stack([y * 255 // height, x * 255 // width, np.full_like(x, 40)], -1)
    return Image.fromarray(pixels.astype(np.uint8))


def jpeg(image: Image.Image | None = None, **options) -> bytes:
    file = io.BytesIO()
    (image or picture()).save(file, "JPEG", quality=90, **options)
    return file.getvalue()


SOUND = jpeg()
DAMAGE = {
    "empty": (b"", FrameFault.UNREADABLE, "it is empty"),
    "text": (b"<html>not found", FrameFault.UNREADABLE, r"it does not begin as one \(15 bytes\)"),
    "a PNG": (b"\x89PNG\r\n\x1a\n" + SOUND, FrameFault.UNREADABLE, "it does not begin as one"),
    "no header": (b"\xff\xd8" + bytes(40) + b"\xff\xd9", FrameFault.UNREADABLE, "no header that can be read"),
    "cut short": (SOUND[: len(SOUND) // 2], FrameFault.TRUNCATED, "it is truncated"),
    "zeros at the end": (SOUND[: len(SOUND) // 2] + bytes(400), FrameFault.TRUNCATED, "it is truncated"),
    "start and end alone": (b"\xff\xd8\xff\xd9", FrameFault.UNREADABLE, "no header that can be read"),
}


def every_reader(frame: frames.Frame) -> dict[str, callable]:
    out = np.empty((HEIGHT // 2, WIDTH // 2, 3), np.uint8)
    return {
        "image": lambda: frame.image(),
        "reduced": lambda: frame.image((8, 8)),
        "small": lambda: frame.small(8),
        "pixels": lambda: frame.pixels(Grid(HEIGHT, WIDTH, HEIGHT // 2, WIDTH // 2), out),
        "examine": lambda: frame.examine(HEIGHT, WIDTH),
        "decode": lambda: frame.examine(HEIGHT, WIDTH, decode=True),
    }


@pytest.fixture(params=["simplejpeg", "Pillow"])
def backend(request, monkeypatch):
    if request.param == "simplejpeg":
        pytest.importorskip("simplejpeg")
    else:
        monkeypatch.setattr(frames, "simplejpeg", None)


@pytest.mark.parametrize("damage", DAMAGE)
def test_every_reader_says_what_is_wrong_and_with_which_file(tmp_path, backend, damage):
    content, fault, reason = DAMAGE[damage]
    path = tmp_path / "00004.jpg"
    path.write_bytes(content)
    for name, read in every_reader(FrameFile(str(path))).items():
        with pytest.raises(FrameError, match=rf"00004\.jpg is not a sound JPEG: .*{reason}.*Unpack it anew") as caught:
            read()
        assert (caught.value.file, caught.value.fault) == (str(path), fault), name


def test_what_cannot_be_opened_is_named(tmp_path):
    for path, reason in [(tmp_path / "gone.jpg", "No such file"), (tmp_path, "Is a directory|Permission denied")]:
        frame = FrameFile(str(path))
        readers = every_reader(frame) | {"read": frame.read, "size": frame.size, "status": frame.status}
        if path.is_dir():
            del readers["status"]
        for read in readers.values():
            with pytest.raises(FrameError, match=f"{path.name} cannot be read: ({reason})"):
                read()


def test_a_decompression_bomb_is_refused_before_it_is_decoded(tmp_path, backend):
    content = bytearray(SOUND)
    at = content.index(b"\xff\xc0") + 5  # where the header has height and width
    content[at : at + 4] = b"\xea\x60\xea\x60"
    path = tmp_path / "bomb.jpg"
    path.write_bytes(content)
    frame = FrameFile(str(path))
    for read in every_reader(frame).values():
        with pytest.raises(FrameError, match=r"bomb\.jpg is (not a sound JPEG: .*decompression bomb|60000x60000)"):
            read()
    with pytest.raises(FrameError, match="decompression bomb"):
        frame.size()


@given(st.data())
def test_whatever_a_file_holds_the_only_error_is_ours(data):
    content = bytearray(SOUND)
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(2, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = bytes(content[: data.draw(st.integers(len(content) // 3, len(content)))])
    frame = FrameBytes(content)
    for read in [*every_reader(frame).values(), frame.size, lambda: frame.require_whole(content)]:
        with contextlib.suppress(FrameError):
            read()


def test_a_whole_jpeg_may_have_something_behind_its_end(backend):
    for content in (SOUND, SOUND + b"padding", SOUND + bytes(5000)):
        FrameBytes(content).require_whole(content)
        FrameBytes(content).examine(HEIGHT, WIDTH)
    with pytest.raises(FrameError, match="truncated"):
        FrameBytes(SOUND[:-2]).require_whole(SOUND[:-2])


def test_no_reader_turns_a_frame_whatever_its_exif_data_say(backend):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    turned, plain = FrameBytes(jpeg(exif=exif)), FrameBytes(SOUND)
    assert turned.size() == plain.size() == (HEIGHT, WIDTH)
    assert (np.asarray(turned.image()) == np.asarray(plain.image())).all()
    grid = Grid(HEIGHT, WIDTH, 20, 30)
    found = np.empty((2, 20, 30, 3), np.uint8)
    for frame, out in zip((turned, plain), found, strict=True):
        frame.pixels(grid, out)
        frame.examine(HEIGHT, WIDTH, decode=True)
    assert (found[0] == found[1]).all()


@pytest.mark.parametrize("scale", [0.5, 1.5, 2])
def test_a_frame_of_the_same_shape_is_sampled_on_its_own_grid(backend, scale):
    size = (round(HEIGHT * scale), round(WIDTH * scale))
    frame, out, expected = FrameBytes(jpeg(picture(*size))), *np.empty((2, HEIGHT // 4, WIDTH // 4, 3), np.uint8)
    assert frame.pixels(Grid(HEIGHT, WIDTH, *out.shape[:2]), out) == size
    FrameBytes(SOUND).pixels(Grid(HEIGHT, WIDTH, *out.shape[:2]), expected)
    assert np.abs(out.astype(int) - expected).max() <= 12


def test_a_frame_of_another_shape_is_refused(backend):
    out = np.empty((8, 8, 3), np.uint8)
    with pytest.raises(FrameError, match="48x66 pixels") as caught:
        FrameBytes(jpeg(picture(HEIGHT, WIDTH + 2))).pixels(Grid(HEIGHT, WIDTH, 8, 8), out)
    assert caught.value.fault is FrameFault.SIZE


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_what_decodes_a_row_for_datasets_turns_no_frame(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "00000.jpg"
    path.write_bytes(jpeg(exif=exif, comment=b"kept"))
    frame = FrameFile(str(path))
    assert frame.is_turned() == (orientation != 1)
    row = frame.unturned_row()
    assert (row["bytes"] is None) == (orientation == 1)
    decoded = DatasetsImage().decode_example(row)
    assert (decoded.height, decoded.width) == (HEIGHT, WIDTH)
    np.testing.assert_array_equal(np.asarray(decoded.convert("RGB")), np.asarray(frame.image()))


def test_size_is_height_and_width_and_pixels_are_rgb(backend):
    frame = FrameBytes(SOUND)
    assert frame.size() == (HEIGHT, WIDTH)
    out = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    frame.pixels(Grid(HEIGHT, WIDTH, HEIGHT, WIDTH), out)
    assert abs(out.astype(int) - np.asarray(picture())).mean() < 3
    assert abs(np.asarray(frame.image()).astype(int) - np.asarray(picture())).mean() < 3


def test_an_image_is_reduced_while_it_is_decoded_to_no_less_than_was_asked_for():
    frame = FrameBytes(jpeg(picture(480, 640)))
    assert frame.image().size == (640, 480)
    assert frame.image((160, 120)).size == (160, 120)
    assert frame.image((161, 120)).size == (320, 240)


def test_small_pixels_are_reduced_as_long_as_the_longer_side_keeps_what_was_asked_for(backend):
    frame = FrameBytes(jpeg(picture(480, 640)))
    for least, shape in [(1000, (480, 640)), (640, (480, 640)), (320, (240, 320)), (200, (240, 320)), (80, (60, 80))]:
        assert frame.small(least).shape == (*shape, 3)
    whole = np.asarray(frame.image()).astype(int)
    assert abs(frame.small(640) - whole).mean() < 2
    assert abs(frame.small(320) - whole.reshape(240, 2, 320, 2, 3).mean((1, 3))).mean() < 3


@pytest.mark.parametrize("size", [(1, 1), (1, 700), (700, 3), (359, 641)])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_decoders_agree_on_small_pixels_of_any_shape_and_colour(monkeypatch, size, mode):
    pytest.importorskip("simplejpeg")
    frame = FrameBytes(jpeg(picture(*size).convert(mode)))
    small = frame.small(100)
    monkeypatch.setattr(frames, "simplejpeg", None)
    assert abs(frame.small(100) - small.astype(int)).mean() < 2


def test_what_only_pillow_takes_has_small_pixels_all_the_same():
    pytest.importorskip("simplejpeg")
    content = jpeg(picture(480, 640))
    damaged = FrameBytes(content[: len(content) // 2] + bytes(100) + content[len(content) // 2 + 100 :])
    with pytest.raises(FrameError):
        damaged.examine(480, 640, decode=True)
    assert damaged.small(320).shape == (240, 320, 3)


def test_an_image_without_colour_stays_so_only_where_that_is_allowed():
    frame = FrameBytes(jpeg(picture().convert("L")))
    assert (frame.image().mode, frame.image(grey=True).mode) == ("RGB", "L")


def test_a_row_s_frame_may_be_a_path_bytes_or_an_image(tmp_path):
    path = tmp_path / "00000.jpg"
    path.write_bytes(SOUND)
    found = [
        frame_of(value)
        for value in (
            {"path": str(path), "bytes": None},
            {"path": "a name of its own", "bytes": SOUND},
            {"path": None, "bytes": SOUND},
            Image.open(path),
        )
    ]
    assert [frame.file for frame in found] == [str(path), "a name of its own", None, str(path)]
    out = np.empty((len(found), 20, 30, 3), np.uint8)
    for frame, pixels in zip(found, out, strict=True):
        assert frame.size() == (HEIGHT, WIDTH)
        assert frame.image() == found[0].image()
        frame.pixels(Grid(HEIGHT, WIDTH, 20, 30), pixels)
    assert open_frame({"path": str(path), "bytes": None}) == found[0].image()
    assert abs(out.astype(int) - out[0]).mean() < 3
    with pytest.raises(FrameError, match="decoded already"):
        found[-1].read()
    for value, reason in ((None, "null in the dataset"), ({"path": None, "bytes": None}, "expected"), (3, "expected")):
        with pytest.raises(FrameError, match=reason):
            frame_of(value)


def test_an_error_comes_whole_out_of_another_process():
    error = FrameError("a.jpg", "is empty", FrameFault.TRUNCATED, "Get it anew.", where="video 'x'", index=3)
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error) == "video 'x': a.jpg is empty. Get it anew."
    assert vars(again) == vars(error)


@given(st.integers(1, 500), st.integers(1, 500))
def test_a_centre_lies_in_the_row_that_is_nearest_to_it(full, count):
    centres = (np.arange(count) + 0.5) * full / count
    assert (abs(nearest(full, count) + 0.5 - centres) <= 0.5 + 1e-9).all()


# --- whoever shows frames ---------------------------------------------------------------------------------------------


@pytest.fixture
def truncated(tmp_path) -> Path:
    """A miniature of one video; its frame 00004 breaks off."""
    write_miniature(tmp_path / "ReVOS", videos=1)
    frame = tmp_path / "ReVOS/JPEGImages" / VIDEO / "00004.jpg"
    frame.write_bytes(frame.read_bytes()[:900])
    return frame


@pytest.mark.parametrize(
    "command",
    [
        ["show", VIDEO, "-o", "{out}/a.png", "--frames", "12"],
        ["show", VIDEO, "-o", "{out}/a.gif"],
        ["gallery", "--split", "train", "-o", "{out}", "--max-side", "32", "--num-proc", "1"],
        ["publish", "-o", "{out}", "--max-side", "32"],
        ["publish", "-o", "{out}"],
    ],
    ids=["sheet", "animation", "gallery", "publish smaller", "publish"],
)
def test_a_command_names_the_frame_that_is_truncated(truncated, tmp_path, capsys, command):
    filled = [word.format(out=tmp_path / "out") for word in command]
    assert cli.main([*filled, "--data-dir", str(tmp_path / "ReVOS")]) == 2
    said = capsys.readouterr().err
    assert f"{truncated} is not a sound JPEG: it is truncated, its end is missing (900 bytes)" in said
    assert "revoskit check" in said


# --- frames in archives -----------------------------------------------------------------------------------------------


@pytest.fixture
def archived(tmp_path) -> Path:
    with zipfile.ZipFile(tmp_path / "JPEGImages.zip", "w") as archive:
        archive.writestr(f"{VIDEO}/00000.jpg", SOUND)
        archive.writestr(f"{VIDEO}/00001.jpg", SOUND[:300])
    return tmp_path / "JPEGImages.zip"


def test_a_frame_in_an_archive_is_read_as_one_that_is_a_file(archived, tmp_path):
    frame = FrameMember(str(archived), f"{VIDEO}/00000.jpg")
    row = frame.row()
    assert row == {"path": f"zip://{VIDEO}/00000.jpg::{archived}", "bytes": None}
    assert frame_of(row) == frame
    assert frame.read() == SOUND
    assert frame.status() == (len(SOUND), archived.stat().st_mtime_ns)
    for read in every_reader(frame).values():
        read()
    assert open_frame(row) == FrameBytes(SOUND).image()
    plain = Features({"frame": DatasetsImage()}).decode_example({"frame": row})["frame"]
    assert plain.convert("RGB") == open_frame(row)


def test_what_is_wrong_in_an_archive_names_the_member_and_the_archive(archived):
    short = FrameMember(str(archived), f"{VIDEO}/00001.jpg")
    for read in every_reader(short).values():
        with pytest.raises(FrameError, match=r"00001\.jpg in .*JPEGImages\.zip is not a sound JPEG: it is truncated"):
            read()
    with pytest.raises(FrameError, match=r"00009\.jpg in .*JPEGImages\.zip cannot be read: it is not among the 2 mem"):
        FrameMember(str(archived), f"{VIDEO}/00009.jpg").read()
    content = bytearray(archived.read_bytes())
    content[200] ^= 1
    archived.write_bytes(content)
    with pytest.raises(FrameError, match=r"00000\.jpg in .*JPEGImages\.zip cannot be read: it has the CRC .* verify"):
        FrameMember(str(archived), f"{VIDEO}/00000.jpg").image()
    archived.write_bytes(b"no archive")
    with pytest.raises(FrameError, match=r"00000\.jpg in .* cannot be read: JPEGImages\.zip is not a zip archive"):
        FrameMember(str(archived), f"{VIDEO}/00000.jpg").image()
    archived.unlink()
    with pytest.raises(FrameError, match=r"00000\.jpg in .*JPEGImages\.zip cannot be read: No such file"):
        FrameMember(str(archived), f"{VIDEO}/00000.jpg").image()
