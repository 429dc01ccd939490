"""A frame, wherever it lies: its bytes, its size, its pixels. The only module that opens a JPEG.

simplejpeg (the extra `jpeg`) decodes pixels for a grid, and small ones, where it can be imported, Pillow otherwise and
whatever else is asked for; OpenCV resizes. libjpeg-turbo can leave out the finer half, three quarters or seven eighths
of a JPEG while decoding it, which costs a fraction of the time; what is left is resized by less than half.

Masks follow the rows and columns of the file. EXIF data may say that a picture is to be turned before it is shown, as
browsers and the decoding of `datasets` do: nothing here turns a frame. One that is of another size than its video, but
of the same shape, is sampled on a grid of its own, as the masks are on theirs, so that both stay aligned.
"""

from __future__ import annotations

import abc
import contextlib
import io
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError, features

from revoskit.archives.index import open_archive
from revoskit.archives.remote import CONNECTIONS, is_remote
from revoskit.errors import ArchiveError, DownloadError, FrameError, FrameFault
from revoskit.regular import MAX_PIXELS, open_regular
from revoskit.text import shown

try:
    import simplejpeg
except ImportError:
    simplejpeg = None

File = io.FileIO | io.BytesIO
EncodedFrame = dict[str, Any]
"""`{"path": str, "bytes": None}`, or with the bytes: an image in the form in which `datasets` stores it."""

_SHAPE_TOLERANCE = 0.01
_ORIENTATION = 0x0112  # of EXIF: 1 is upright, and 0 is written by some that do not know
_LEAST_BYTES = 100  # of a JPEG: its tables alone take more
_START, _END = b"\xff\xd8", b"\xff\xd9"  # of every whole JPEG, unless something was added to it

# All that can go wrong with bytes that ought to be a picture, in Pillow, simplejpeg (ValueError) and OpenCV; a file
# that claims to have more pixels than Pillow takes for a picture is a decompression bomb.
_FAULTS = (
    OSError,
    SyntaxError,
    ValueError,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,  # where warnings are errors
    cv2.error,
)


def decoder() -> str:
    """What decodes and resizes frames here, such as `"simplejpeg 1.9.0, resized by OpenCV 5.0.0"`."""
    turbo = features.version("libjpeg_turbo")
    pillow = f"Pillow {Image.__version__} ({f'libjpeg-turbo {turbo}' if turbo else 'libjpeg'})"
    decodes = f"simplejpeg {simplejpeg.__version__}" if simplejpeg else pillow
    return f"{decodes}, resized by OpenCV {cv2.__version__}"


def same_shape(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether two sizes (height, width) are in the same proportion, to one in a hundred."""
    a, b = one[0] * other[1], one[1] * other[0]
    return abs(a - b) <= _SHAPE_TOLERANCE * max(a, b)


def nearest(full: int, count: int) -> np.ndarray:
    """Of `full` rows (or columns), those that hold the centres of `count` that cover the same: int64 (count,).

    Centre i lies (i + 1/2) / count of the way.
    """
    return (2 * np.arange(count, dtype=np.int64) + 1) * full // (2 * count)


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
        return nearest(self.full_height, self.height)

    @cached_property
    def columns(self) -> np.ndarray:
        """The full-size column that holds the centre of every column: int64 (width,), ascending."""
        return nearest(self.full_width, self.width)

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


class Header(NamedTuple):
    """What the header of a frame says: its size in pixels, and whether it is to be turned before it is shown."""

    height: int
    width: int
    turned: bool


def _is_turned(image: Image.Image) -> bool:
    return image.getexif().get(_ORIENTATION, 1) not in (0, 1)


class Frame(abc.ABC):
    """One frame. Every way to read it raises FrameError, which names it, where it is gone or no sound JPEG."""

    advice = ""
    """What to do about one that is broken: a sentence that follows what is wrong."""

    @property
    @abc.abstractmethod
    def file(self) -> str | None:
        """The file that it is, or what else messages call its place; None where that is not known."""

    @abc.abstractmethod
    def _open(self) -> File:
        """Its bytes, to be read from the start; raises OSError."""

    @abc.abstractmethod
    def _status(self) -> tuple[int, int]:
        """The number of its bytes, and when it was last changed, in ns; raises OSError."""

    @abc.abstractmethod
    def row(self) -> EncodedFrame:
        """It as a row of the dataset has it: plain `datasets` reads it from there."""

    def read(self) -> bytes:
        """Its bytes, whatever they are."""
        with self._faults_named(), self._open() as file:
            return file.read()

    def status(self) -> tuple[int, int]:
        """How many bytes `read` gives, and when it (or its archive) was last changed, in ns: others, other content."""
        with self._faults_named():
            return self._status()

    def read_into(self, buffer: memoryview) -> None:
        """Read its bytes into a buffer of just their number."""
        with self._faults_named(), self._open() as file:
            if file.readinto(buffer) != len(buffer) or file.read(1):
                raise self._error("changed while it was read", FrameFault.UNREADABLE, "Try again once it is settled.")

    def size(self) -> tuple[int, int]:
        """Height and width, as its header has them."""
        with self._opened() as (image, _):
            return image.height, image.width

    def is_turned(self) -> bool:
        """Whether its EXIF data say that it is to be turned or mirrored before it is shown."""
        with self._opened() as (image, _):
            return _is_turned(image)

    def unturned(self) -> bytes:
        """Its bytes, less EXIF data that would have it turned by whoever shows it."""
        return _without_exif(self.read()) if self.is_turned() else self.read()

    def unturned_row(self) -> EncodedFrame:
        """It as a row of which decoders that turn frames, as that of `datasets`, leave rows and columns as they are."""
        return {"path": None, "bytes": self.unturned()} if self.is_turned() else self.row()

    def image(self, least: tuple[int, int] | None = None, *, grey: bool = False) -> Image.Image:
        """Its pixels as an image of mode RGB, or of mode L where it has no colour and `grey` allows it.

        Args:
            least: width and height in pixels. The image may be reduced by 2, 4 or 8 while it is decoded, to no less
                than that.
        """
        with self._opened() as (image, _):
            if least:
                image.draft(None, least)
            return image.convert("L" if grey and image.mode == "L" else "RGB")

    def small(self, least: int) -> np.ndarray:
        """Its pixels, uint8 (height, width, 3), RGB, reduced while it is decoded.

        Args:
            least: by 2, 4 or 8, as long as its longer side keeps this many pixels.
        """
        data = self.read()
        if simplejpeg is not None:
            with contextlib.suppress(ValueError):  # Pillow takes some damage, and says what is wrong with the rest
                height, width, *_ = simplejpeg.decode_jpeg_header(data)
                if height * width <= MAX_PIXELS:  # else Pillow, which knows what a decompression bomb is
                    return _decode(data, height, width, _reduction(height, width, least))
        with self._faults_named(), Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
            by = _reduction(image.height, image.width, least)
            image.draft(None, (image.width // by, image.height // by))
            return np.asarray(image.convert("RGB"))

    def pixels(self, grid: Grid, out: np.ndarray) -> tuple[int, int]:
        """Decode it and write it to `out`, uint8 (height, width, 3), RGB, resized as `grid` says.

        Returns:
            Its own height and width: the grid's full size, or another of the same shape.

        Raises:
            FrameError: also where it is not of the shape of the grid's full size.
        """
        with self._faults_named():
            pixels, own, by = self._reduced(grid)
            _resize(pixels, own.full_height / by, own.full_width / by, out)
            return own.full_height, own.full_width

    def _reduced(self, grid: Grid) -> tuple[np.ndarray, Grid, int]:
        """All pixels, uint8 (height, width, 3), the grid on its own full size, and by how much it was reduced."""
        data = self.read()
        if simplejpeg is None:
            image = Image.open(io.BytesIO(data), formats=["JPEG"])
            own = self._own_grid(grid, image.height, image.width)
            if (by := own.reduction) > 1:
                image.draft("RGB", (image.width // by, image.height // by))
            return np.asarray(image.convert("RGB")), own, by
        height, width, *_ = simplejpeg.decode_jpeg_header(data)
        own = self._own_grid(grid, height, width)
        return _decode(data, height, width, own.reduction), own, own.reduction

    def _own_grid(self, grid: Grid, height: int, width: int) -> Grid:
        """The same grid on a frame of this size, which has to be of the shape that is expected."""
        if (height, width) == (grid.full_height, grid.full_width):
            return grid
        if not same_shape((height, width), (grid.full_height, grid.full_width)):
            self.require_size(height, width, grid.full_height, grid.full_width)
        return Grid(height, width, grid.height, grid.width)

    def require_size(self, height: int, width: int, expected_height: int, expected_width: int) -> None:
        """See that its size, as found, is that of its video."""
        if (height, width) != (expected_height, expected_width):
            raise self._error(
                f"is {height}x{width} pixels (height x width), the annotations say "
                f"{expected_height}x{expected_width}: its masks would not lie on its objects",
                FrameFault.SIZE,
                advice="",
            )

    def require_whole(self, content: bytes | memoryview) -> None:
        """See that its bytes, as read, are those of a whole JPEG: by its start and end, or else by decoding it."""
        if content[:2] != _START or content[-2:] != _END:
            with self._opened() as (image, file):
                _decode_all(image, file)

    def fits(self, content: bytes | memoryview, height: int, width: int) -> bool:
        """Whether its bytes, as read, are of just this size; raises where they are not even of the same shape."""
        with self._faults_named():
            if simplejpeg is None:
                with Image.open(io.BytesIO(content), formats=["JPEG"]) as image:
                    own = image.height, image.width
            else:
                own = simplejpeg.decode_jpeg_header(content)[:2]
            if not same_shape(own, (height, width)):
                self.require_size(*own, height, width)
        return own == (height, width)

    def examine(self, height: int, width: int, *, decode: bool = False) -> Header:
        """See that it is a whole JPEG of the shape of this size: by its header and its end.

        Args:
            decode: by decoding it, too. With `simplejpeg` installed this finds data that is damaged in the middle;
                Pillow alone takes it, since libjpeg paints over it.
        """
        with self._opened() as (image, file):
            header = Header(image.height, image.width, _is_turned(image))
            if not same_shape((image.height, image.width), (height, width)):
                self.require_size(image.height, image.width, height, width)
            if decode or _ends(file)[1] != _END:
                _decode_all(image, file)
        return header

    @contextlib.contextmanager
    def _opened(self) -> Iterator[tuple[Image.Image, File]]:
        """It as Pillow opens it, the header read and the pixels not, and the file that Pillow reads."""
        with self._faults_named(), self._open() as file, Image.open(file, formats=["JPEG"]) as image:
            yield image, file

    @contextlib.contextmanager
    def _faults_named(self) -> Iterator[None]:
        """Whatever is wrong with it, said in one way."""
        try:
            yield
        except FrameError:
            raise
        except ArchiveError as error:
            raise self._error(f"cannot be read: {error}", FrameFault.DAMAGED) from None
        except DownloadError as error:
            raise self._error(f"cannot be read: {error}", FrameFault.UNREADABLE, advice="") from None
        except OSError as error:
            if error.errno:
                raise self._error(f"cannot be read: {os.strerror(error.errno)}", FrameFault.UNREADABLE) from None
            raise self._unsound(error) from None
        except _FAULTS as error:
            raise self._unsound(error) from None

    def _unsound(self, error: Exception) -> FrameError:
        with contextlib.suppress(OSError, ArchiveError):
            with self._open() as file:
                start, end, num_bytes = _ends(file)
            if not num_bytes:
                reason, fault = "it is empty", FrameFault.UNREADABLE
            elif start != _START:
                reason, fault = f"it does not begin as one ({num_bytes:,} bytes)", FrameFault.UNREADABLE
            elif end != _END:
                reason, fault = f"it is truncated, its end is missing ({num_bytes:,} bytes)", FrameFault.TRUNCATED
            elif not self._has_header():
                reason, fault = f"it has no header that can be read ({num_bytes:,} bytes)", FrameFault.UNREADABLE
            else:
                reason, fault = f"{error} ({num_bytes:,} bytes)", FrameFault.DAMAGED
            return self._error(f"is not a sound JPEG: {reason}", fault)
        return self._error(f"is not a sound JPEG: {error}", FrameFault.UNREADABLE)  # it has gone in the meantime

    def _has_header(self) -> bool:
        try:
            with self._open() as file, Image.open(file, formats=["JPEG"]):
                return True
        except _FAULTS as error:
            return not isinstance(error, UnidentifiedImageError)

    def _error(self, problem: str, fault: FrameFault, advice: str | None = None) -> FrameError:
        return FrameError(self.file, problem, fault, self.advice if advice is None else advice)


@dataclass(frozen=True)
class FrameFile(Frame):
    """A frame that is a file of its own."""

    path: str

    advice = "Unpack it anew (of ReVOS, `revoskit check` lists every such frame)."

    @property
    def file(self) -> str:
        return self.path

    def _open(self) -> File:
        return open_regular(self.path)

    def _status(self) -> tuple[int, int]:
        status = os.stat(self.path)
        return status.st_size, status.st_mtime_ns

    def row(self) -> EncodedFrame:
        return {"path": self.path, "bytes": None}


@dataclass(frozen=True)
class FrameMember(Frame):
    """A frame in an archive, read where it lies: at `name` in the archive of that `address`."""

    address: str
    name: str

    advice = "Get the archive anew (of ReVOS, `revoskit verify` compares its SHA-256 with the official one)."

    @property
    def file(self) -> str:
        return f"{self.name} in {shown(self.address)}"

    @property
    def is_remote(self) -> bool:
        """The archive is on a server."""
        return is_remote(self.address)

    def require_plausible(self) -> None:
        """See that it has as many bytes as a JPEG has at least, by the archive's directory alone."""
        with self._faults_named():
            num_bytes, _ = self._status()
        if num_bytes < _LEAST_BYTES:
            problem = f"is not a sound JPEG: it has {num_bytes:,} bytes"
            raise self._error(problem, FrameFault.TRUNCATED if num_bytes else FrameFault.UNREADABLE)

    def unturned_row(self) -> EncodedFrame:
        return self.row() if self.is_remote else super().unturned_row()  # a look at every frame would fetch them all

    def _open(self) -> io.BytesIO:
        return io.BytesIO(open_archive(self.address).read(self.name))

    def _status(self) -> tuple[int, int]:
        archive = open_archive(self.address)
        return archive.size(self.name), archive.modified_ns()

    def row(self) -> EncodedFrame:
        return {"path": f"{open_archive(self.address).kind}://{self.name}::{self.address}", "bytes": None}


@dataclass(frozen=True)
class FrameBytes(Frame):
    """A frame whose bytes are at hand, as a row has them in which frames are embedded."""

    content: bytes
    path: str | None = None
    """What the row calls it; there need not be such a file."""

    @property
    def file(self) -> str | None:
        return self.path

    def _open(self) -> File:
        return io.BytesIO(self.content)

    def _status(self) -> tuple[int, int]:
        return len(self.content), 0

    def row(self) -> EncodedFrame:
        return {"path": self.path, "bytes": self.content}


@dataclass(frozen=True)
class FrameImage(Frame):
    """A frame that `datasets` has decoded already (`decode_frames=True`), and turned where its EXIF data say so."""

    decoded: Image.Image

    @property
    def file(self) -> str | None:
        return getattr(self.decoded, "filename", None) or None

    def _open(self) -> File:
        raise self._error("is decoded already: its bytes are not in the row", FrameFault.UNREADABLE)

    def _status(self) -> tuple[int, int]:
        raise self._error("is decoded already: its bytes are not in the row", FrameFault.UNREADABLE)

    def row(self) -> EncodedFrame:
        raise self._error("is decoded already: its bytes are not in the row", FrameFault.UNREADABLE)

    def size(self) -> tuple[int, int]:
        return self.decoded.height, self.decoded.width

    def image(self, least: tuple[int, int] | None = None, *, grey: bool = False) -> Image.Image:
        with self._faults_named():
            return self.decoded.convert("L" if grey and self.decoded.mode == "L" else "RGB")

    def _reduced(self, grid: Grid) -> tuple[np.ndarray, Grid, int]:
        own = self._own_grid(grid, self.decoded.height, self.decoded.width)
        return np.asarray(self.decoded.convert("RGB")), own, 1


def open_frame(frame: Any) -> Image.Image:
    """The image of a row's frame, of mode RGB: `open_frame(row["frames"][0])`.

    Args:
        frame: as a row has it: `{"path": str, "bytes": None}` for a file, here or in an archive that nobody unpacked;
            `{..., "bytes": bytes}` where it is embedded; or an image.

    Raises:
        FrameError: it is null, gone, or no sound JPEG.
    """
    return frame_of(frame).image()


def frame_of(value: Any) -> Frame:
    """The frame that a row of the dataset has: `{"path": str, "bytes": None}`, `{..., "bytes": bytes}`, or an image.

    A path may lead into an archive: `zip://<name>::<archive>`.

    Raises:
        FrameError: it is null, or none of these.
    """
    if isinstance(value, Image.Image):
        return FrameImage(value)
    if isinstance(value, dict) and value.get("bytes") is not None:
        return FrameBytes(value["bytes"], value.get("path"))
    if isinstance(value, dict) and value.get("path"):
        return frame_at(value["path"])
    if value is None:
        raise FrameError(None, "is null in the dataset: its file was not there when the dataset was loaded")
    raise FrameError(None, f"is {value!r:.80}: expected {{'path', 'bytes'}} or a PIL image")


def at_hand(frames: Sequence[Frame]) -> list[Frame]:
    """The same frames, those on a server with their bytes, which are asked for at once.

    One that cannot be had stays as it is, and says so when it is read.
    """
    far = [frame for frame in frames if isinstance(frame, FrameMember) and frame.is_remote]
    if not far:
        return list(frames)
    with ThreadPoolExecutor(min(len(far), CONNECTIONS)) as threads:
        come = dict(zip(far, threads.map(_fetched, far), strict=True))
    return [come[frame] if isinstance(frame, FrameMember) and frame in come else frame for frame in frames]


def _fetched(frame: FrameMember) -> Frame:
    try:
        return FrameBytes(frame.read(), frame.file)
    except FrameError:
        return frame


def frame_at(path: str) -> FrameFile | FrameMember:
    """The frame of that path, which may lead into an archive."""
    protocol, is_within, rest = path.partition("://")
    if is_within and protocol in ("zip", "tar") and "::" in rest:
        name, _, address = rest.partition("::")
        return FrameMember(address, name)
    return FrameFile(path)


def _ends(file: File) -> tuple[bytes, bytes, int]:
    """The first two bytes of a file, its last two, and their number."""
    file.seek(0)
    start = file.read(2)
    num_bytes = file.seek(0, os.SEEK_END)
    file.seek(max(0, num_bytes - 2))
    return start, file.read(2), num_bytes


def _reduction(height: int, width: int, least: int) -> int:
    """By which of 1, 2, 4 and 8 a frame may be reduced so that its longer side keeps `least` pixels.

    By less for some sizes that are no multiple of it, as `draft` of Pillow has it.
    """
    by = max(1, max(height, width) // least)
    whole = min(height // -(-height // by), width // -(-width // by))
    return next(by for by in (8, 4, 2, 1) if by <= whole)


def _decode(data: bytes, height: int, width: int, by: int) -> np.ndarray:
    """The pixels of a JPEG of this size, reduced by 1, 2, 4 or 8, as simplejpeg decodes them: uint8, RGB."""
    if by == 1:
        pixels: np.ndarray = simplejpeg.decode_jpeg(data)
    else:
        pixels = simplejpeg.decode_jpeg(data, min_height=-(-height // by), min_width=-(-width // by), min_factor=by)
    return pixels


def _decode_all(image: Image.Image, file: File) -> None:
    """All of the data is read, and an eighth of the pixels made. Pillow keeps libjpeg's warnings to itself."""
    if simplejpeg:
        file.seek(0)
        simplejpeg.decode_jpeg(file.read(), "GRAY", fastdct=True, fastupsample=True, min_height=1, min_width=1)
    else:
        image.draft("L", (1, 1))
        image.load()


def _without_exif(jpeg: bytes) -> bytes:
    """A JPEG less its EXIF data: the segments of that kind before its pixels."""
    kept, position = [jpeg[:2]], 2
    while jpeg[position : position + 1] == b"\xff" and jpeg[position + 1 : position + 2] != b"\xda":
        end = position + 2 + max(2, int.from_bytes(jpeg[position + 2 : position + 4], "big"))
        if jpeg[position + 1 : position + 2] != b"\xe1" or jpeg[position + 4 : position + 8] != b"Exif":
            kept.append(jpeg[position:end])
        position = end
    return b"".join([*kept, jpeg[position:]])


def _resize(pixels: np.ndarray, height: float, width: float, out: np.ndarray) -> None:
    """Write `pixels` to `out`; `height` and `width` say how much of them the frame covers.

    A JPEG whose size is not a multiple of the reduction leaves a last row or column that is covered in part only.
    """
    whole = pixels.shape[:2] == (height, width)
    if whole and pixels.shape == out.shape:
        out[:] = pixels
    elif whole:
        halves = out.shape[0] * 2 >= height and out.shape[1] * 2 >= width  # two pixels to interpolate between will do
        cv2.resize(pixels, out.shape[1::-1], out, interpolation=cv2.INTER_LINEAR if halves else cv2.INTER_AREA)
    else:
        image = Image.fromarray(pixels)
        out[:] = image.resize(out.shape[1::-1], Image.Resampling.BILINEAR, box=(0, 0, width, height))
