"""The frames of one video, decoded when they are asked for and kept for the video's next expression."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, overload

import numpy as np
from PIL import Image

from revoskit.dataset.annotations import Annotations
from revoskit.dataset.records import Video
from revoskit.errors import FrameError, UsageError
from revoskit.frames import Frame, FrameFile, Grid, at_hand

MEMORY = 2 * 2**30  # bytes of decoded frames that are kept: 1,300 images of 480p, 580 of 720p


class VideoFrames(Sequence[Image.Image]):
    """The frames of a video as a model takes them: `frames[i]` and iteration give RGB images, one at a time.

    What has been decoded stays until the video is done with, as long as there is room (`memory`, in bytes): the frames
    beyond are decoded each time. Whatever is given out is a copy, to be drawn on or resized at will.
    """

    def __init__(self, annotations: Annotations, video: Video, memory: int = MEMORY) -> None:
        self.video = video
        self._frames = annotations.files.frames(video)
        self._folder = annotations.files.video_folder(video.video_id)
        self._room = memory
        self._arrays: dict[tuple[int, int, int], np.ndarray] = {}  # by height, width and number of the frame
        self._images: dict[int, Image.Image] = {}
        self._unpacked: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> VideoFrames:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the files that `paths` has unpacked, if any."""
        if self._unpacked is not None:
            self._unpacked.cleanup()

    def __len__(self) -> int:
        return len(self.video.frame_names)

    @overload
    def __getitem__(self, index: int) -> Image.Image: ...

    @overload
    def __getitem__(self, index: slice) -> list[Image.Image]: ...

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        number = range(len(self))[index]  # negative ones count from the end; IndexError where there is none
        return self._image(number)

    def images(self) -> list[Image.Image]:
        """All frames, as RGB images."""
        self._fetch()
        return [self._image(number) for number in range(len(self))]

    def array(self, size: int | tuple[int, int] | None = None) -> np.ndarray:
        """All frames as uint8 (T, height, width, 3), RGB.

        Args:
            size: in pixels: a number for the shorter side of the frame, whose shape is kept; `(height, width)` for
                exactly that; None for the video's own. A JPEG is decoded to a smaller size in a fraction of the time.
        """
        self._fetch()
        grid = self._grid(size)
        frames = np.empty((len(self), grid.height, grid.width, 3), np.uint8)
        for number in range(len(self)):
            frames[number] = self._pixels(number, grid)
        return frames

    def paths(self) -> list[str]:
        """The JPEG file of every frame, `<name>.jpg`; those in an archive are unpacked into a temporary folder.

        Raises:
            FrameError: one is not there.
        """
        self._fetch()
        frames = [self._frame(number) for number in range(len(self))]
        if all(isinstance(frame, FrameFile) for frame in frames):
            return [frame.path for frame in frames if isinstance(frame, FrameFile)]
        if self._unpacked is None:
            self._unpacked = tempfile.TemporaryDirectory(prefix="revoskit-frames-")
            for name, frame in zip(self.video.frame_names, frames, strict=True):
                Path(self._unpacked.name, f"{name}.jpg").write_bytes(frame.read())
        return [os.path.join(self._unpacked.name, f"{name}.jpg") for name in self.video.frame_names]

    def _grid(self, size: int | tuple[int, int] | None) -> Grid:
        height, width = self.video.height, self.video.width
        if size is None:
            return Grid(height, width, height, width)
        sides = (size,) if isinstance(size, int) else tuple(size)
        if not 1 <= len(sides) <= 2 or not all(isinstance(side, int) and side > 0 for side in sides):
            raise UsageError(f"size is {size!r}: expected None, a number of pixels, or (height, width)")
        if len(sides) == 2:
            return Grid(height, width, *sides)
        by = sides[0] / min(height, width)
        return Grid(height, width, max(1, round(height * by)), max(1, round(width * by)))

    def _frame(self, number: int) -> Frame:
        frame = self._frames[number]
        if frame is None:
            name = self.video.frame_names[number]
            problem = f"has no frame {name!r}: expected {self._folder / name}.jpg"
            raise FrameError(f"video {self.video.video_id!r}", problem, index=number)
        return frame

    def _fetch(self) -> None:
        """Ask for all frames that lie on a server at once."""
        if not self._arrays and not self._images and None not in self._frames:
            self._frames = [*at_hand([frame for frame in self._frames if frame is not None])]

    def _image(self, number: int) -> Image.Image:
        kept = self._images.get(number)
        if kept is None:
            kept = Image.fromarray(self._pixels(number, self._grid(None), keep=False))
            if not self._has_room(4 * kept.height * kept.width):  # Pillow has four bytes a pixel
                return kept
            self._images[number] = kept
        return kept.copy()

    def _pixels(self, number: int, grid: Grid, *, keep: bool = True) -> np.ndarray:
        key = (grid.height, grid.width, number)
        if key in self._arrays:
            return self._arrays[key]
        if number in self._images and (grid.height, grid.width) == (grid.full_height, grid.full_width):
            return np.asarray(self._images[number])
        pixels = np.empty((grid.height, grid.width, 3), np.uint8)
        self._frame(number).pixels(grid, pixels)
        if keep and self._has_room(pixels.nbytes):
            self._arrays[key] = pixels
        return pixels

    def _has_room(self, size: int) -> bool:
        """Whether so many bytes may still be kept; they are then taken."""
        if size > self._room:
            return False
        self._room -= size
        return True
