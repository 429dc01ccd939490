"""The frames of a video as the column `frames` of its row in a Parquet file: the JPEGs as on disk, or smaller ones."""

from __future__ import annotations

import functools
import io
import itertools
import threading
import weakref
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from revoskit.dataset.layout import SplitFiles
from revoskit.dataset.records import Video
from revoskit.errors import MissingFilesError, RevosError
from revoskit.frames import Frame

JPEG_QUALITY = 90
LOWER_QUALITIES = (90, 85, 80, 75, 70, 60, 50, 40, 30)  # tried in turn where a row cannot hold the frames as they are
# Arrow counts the bytes of a binary array, and Parquet those of a page, in 31 bits.
MAX_COLUMN_BYTES = 2**31 - 2**24
# Files read at a time: a disk, and a network more so, takes long to answer and then answers many at once.
READERS = 8


class Frames:
    """Reads the frames of one video after the other. To be used in a `with` block: it keeps threads."""

    def __init__(self, files: SplitFiles) -> None:
        self._files = files
        self._threads = ThreadPoolExecutor(READERS)
        self.squeezed: list[str] = []
        """The videos whose frames were encoded anew, since a row cannot hold them as they are."""
        self.scaled: list[str] = []
        """Those with frames of another size than the annotations say, which were brought to that."""

    def __enter__(self) -> Frames:
        return self

    def __exit__(self, *error: object) -> None:
        self._threads.shutdown()

    def column(self, video: Video, size: tuple[int, int]) -> pa.Array[Any]:
        """The column `frames` of one row, as `datasets` stores images: bytes, and the file's name for a path.

        All are brought to `size`, height and width; those that have it stay as they are. Where they take more than a
        row can hold, those that take most are encoded anew, at the same size in pixels and the highest quality that
        leaves room for all.

        Raises:
            MissingFilesError: a frame is not on disk.
            FrameError: a frame cannot be read, is not a whole JPEG, or not of the shape of the video.
            RevosError: there are too many for a row, whatever their quality.
        """
        found = self._files.frames(video)
        frames = [frame for frame in found if frame is not None]
        if len(frames) < len(found):
            name = video.frame_names[found.index(None)]
            raise MissingFilesError(f"{self._files.video_folder(video.video_id)} has no {name}.jpg")
        as_filed = size == (video.height, video.width)
        jpegs = self._verbatim(frames, video) if as_filed else self._resized(frames, video, size)
        names = pa.array([f"{name}.jpg" for name in video.frame_names], pa.string())
        images = pa.StructArray.from_arrays([jpegs, names], ["bytes", "path"])
        return pa.ListArray.from_arrays(pa.array([0, len(frames)], pa.int32()), images)

    def _verbatim(self, frames: Sequence[Frame], video: Video) -> pa.Array[Any]:
        """The files' bytes, read straight into the buffer that Arrow keeps: copying them costs as much as reading."""
        sizes = np.array([frame.status()[0] for frame in frames], np.int64)
        offsets = np.concatenate([[0], np.cumsum(sizes)])
        if offsets[-1] > MAX_COLUMN_BYTES:
            self.squeezed.append(video.video_id)
            limit = _common_limit(sizes, MAX_COLUMN_BYTES)
            return _binary(self._threads.map(functools.partial(_squeezed, limit=limit, video=video), frames), video)
        content = _MEMORY.take(int(offsets[-1]))
        into = memoryview(content)
        places = [into[start:end] for start, end in itertools.pairwise(offsets)]
        if not all(list(self._threads.map(functools.partial(_read, video), frames, places))):
            self.scaled.append(video.video_id)
            return self._resized(frames, video, (video.height, video.width))
        buffers = [None, pa.py_buffer(offsets.astype(np.int32)), pa.py_buffer(content)]
        return pa.BinaryArray.from_buffers(pa.binary(), len(frames), buffers, null_count=0)

    def _resized(self, frames: Sequence[Frame], video: Video, size: tuple[int, int]) -> pa.Array[Any]:
        return _binary(self._threads.map(functools.partial(_of_size, video, size), frames), video)


def _binary(contents: Iterable[bytes], video: Video) -> pa.Array[Any]:
    found = list(contents)
    total = sum(map(len, found))
    if total > MAX_COLUMN_BYTES:  # of more, Arrow would make an array in pieces, which a list cannot hold
        raise RevosError(
            f"the frames of video {video.video_id!r} take {total:,} bytes, encoded anew, and a row can hold "
            f"{MAX_COLUMN_BYTES:,}: publish smaller ones with --max-side"
        )
    return pa.array(found, pa.binary())


class _Memory:
    """Memory for the frames of a video, given again once nothing refers to what lay in it.

    Memory that the process has not had before costs more than reading the frames into it, and what Arrow gets back it
    soon returns to the system. It holds as much as was in use at once: two row groups, of shard after shard.
    """

    def __init__(self) -> None:
        self._free: list[np.ndarray] = []
        self._lock = threading.Lock()

    def take(self, num_bytes: int) -> np.ndarray:
        """Uninitialised, uint8 (num_bytes,)."""
        with self._lock:
            fitting = next((i for i, block in enumerate(self._free) if len(block) >= num_bytes), None)
            if fitting is None:
                self._free.clear()  # too small for this video: let them go
                block = np.empty(num_bytes, np.uint8)
            else:
                block = self._free.pop(fitting)
        taken = block[:num_bytes]
        weakref.finalize(taken, self._free.append, block).atexit = False  # by any thread, at any time
        return taken


_MEMORY = _Memory()  # of this process


def _read(video: Video, frame: Frame, into: memoryview) -> bool:
    """Read a frame, and say whether it has the size of the video."""
    frame.read_into(into)
    frame.require_whole(into)
    return frame.fits(into, video.height, video.width)


def _common_limit(sizes: np.ndarray, room: int) -> int:
    """The most bytes that a frame may take for all to have room, those that take less being left as they are."""
    ascending = np.sort(sizes)
    taken = np.concatenate([[0], np.cumsum(ascending)[:-1]])  # by those that are smaller
    shares = (room - taken) // np.arange(len(sizes), 0, -1)
    return int(shares[np.flatnonzero(ascending > shares)[0]])


def _squeezed(frame: Frame, limit: int, video: Video) -> bytes:
    """A frame as it is where it takes no more than `limit` bytes, or else encoded anew at a quality that does.

    At the lowest quality it may still take more.
    """
    content = frame.read()
    frame.require_whole(content)
    fits = frame.fits(content, video.height, video.width)
    if len(content) <= limit and fits:
        return content
    pixels = frame.image(grey=True) if fits else _scaled(frame, (video.height, video.width))
    for quality in LOWER_QUALITIES:
        made = io.BytesIO()
        pixels.save(made, "JPEG", quality=quality)
        if made.tell() <= limit:
            break
    return made.getvalue()


def _of_size(video: Video, size: tuple[int, int], frame: Frame) -> bytes:
    """A frame encoded anew at this size (height, width), or as it is where it has that size already."""
    content = frame.read()
    frame.require_whole(content)
    if frame.fits(content, video.height, video.width) and size == (video.height, video.width):
        return content
    made = io.BytesIO()
    _scaled(frame, size).save(made, "JPEG", quality=JPEG_QUALITY)
    return made.getvalue()


def _scaled(frame: Frame, size: tuple[int, int]) -> Image.Image:
    """Its pixels at this size (height, width)."""
    height, width = size
    return frame.image((width, height), grey=True).resize((width, height), Image.Resampling.LANCZOS)
