"""The frames of one video, decoded when they are asked for and kept for the video's next expression."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, overload

import numpy as np
from PIL import Image

from revoskit.dataset.annotations import Annotations
from revoskit.dataset.records import Video
from revoskit.errors import FrameError, UsageError
from revoskit.frames import Frame, FrameFile, Grid

MEMORY = 2 * 2**30  # bytes of decoded frames that are kept: 1,700 frames of 480p, 780 of 720p


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
        self._kept: dict[tuple[int, int, int], np.ndarray] = {}  # by height, width and number of the frame

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
        return Image.fromarray(self._pixels(number, self._grid(None)))

    def images(self) -> list[Image.Image]:
        """All frames, as RGB images."""
        return self[:]

    def array(self, size: int | tuple[int, int] | None = None) -> np.ndarray:
        """All frames as uint8 (T, height, width, 3), RGB.

        Args:
            size: in pixels: a number for the shorter side of the frame, whose shape is kept; `(height, width)` for
                exactly that; None for the video's own. A JPEG is decoded to a smaller size in a fraction of the time.
        """
        grid = self._grid(size)
        frames = np.empty((len(self), grid.height, grid.width, 3), np.uint8)
        for number in range(len(self)):
            frames[number] = self._pixels(number, grid)
        return frames

    def paths(self) -> list[str]:
        """The JPEG file of every frame.

        Raises:
            FrameError: one is not there, or lies in an archive and is no file of its own.
        """
        return [self._path(number) for number in range(len(self))]

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

    def _path(self, number: int) -> str:
        frame = self._frame(number)
        if not isinstance(frame, FrameFile):
            advice = "Take `images` or `array`, or unpack it: `revoskit unpack ROOT`."
            raise FrameError(frame.file, "is no file of its own", advice=advice, index=number)
        return frame.path

    def _frame(self, number: int) -> Frame:
        frame = self._frames[number]
        if frame is None:
            name = self.video.frame_names[number]
            problem = f"has no frame {name!r}: expected {self._folder / name}.jpg"
            raise FrameError(f"video {self.video.video_id!r}", problem, index=number)
        return frame

    def _pixels(self, number: int, grid: Grid) -> np.ndarray:
        key = (grid.height, grid.width, number)
        if key in self._kept:
            return self._kept[key]
        pixels = np.empty((grid.height, grid.width, 3), np.uint8)
        self._frame(number).pixels(grid, pixels)
        if pixels.nbytes <= self._room:
            self._room -= pixels.nbytes
            pixels.flags.writeable = False
            self._kept[key] = pixels
        return pixels
