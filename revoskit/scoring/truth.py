"""The true masks of a video in the form that scoring needs, made once for all its expressions where they have room."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import cached_property

import numpy as np

from revoskit.dataset.records import Video
from revoskit.dataset.video_masks import VideoMasks
from revoskit.masks.packed import PackedMasks, pack
from revoskit.masks.rle import MaskSequence

MOST_LEVELS = 256
FRAMES_AT_ONCE = 128  # a multiple of eight
TRUTH_BYTES = 200_000_000  # of true masks, and of what is made of them, to keep for other expressions


class _Room:
    """How many bytes of true masks there is still room for."""

    def __init__(self, num_bytes: int) -> None:
        self._left = num_bytes

    def take(self, masks: PackedMasks) -> bool:
        """Whether there is room for these masks, with what is made of them when they are compared; if so, take it."""
        needed = 3 * masks.num_bytes
        if needed > self._left:
            return False
        self._left -= needed
        return True


class Truth:
    """The true masks of one video, made when they are needed and kept for all its expressions."""

    def __init__(self, video: Video, masks: VideoMasks) -> None:
        self.video = video
        self._masks = masks
        self._size: tuple[int, int] | None = None
        self._part = slice(0, len(video.frame_names))
        self._parts: dict[int, Truth] = {}
        self._room = _Room(TRUTH_BYTES)
        self._packed: dict[frozenset[int], PackedMasks] = {}
        self._levels: dict[tuple[int, ...], list[PackedMasks]] = {}
        self._counted: dict[frozenset[int], tuple[np.ndarray, np.ndarray]] = {}

    def parts(self) -> Iterator[tuple[int, int, Truth]]:
        """The truth of `FRAMES_AT_ONCE` frames after the other, with the number of the first, and of that after."""
        for begin in range(0, self._part.stop, FRAMES_AT_ONCE):
            end = min(begin + FRAMES_AT_ONCE, self._part.stop)
            if begin not in self._parts:
                part = self._parts[begin] = Truth(self.video, self._masks)
                part._part, part._room = slice(begin, end), self._room
            yield begin, end, self._parts[begin]

    def resized(self, size: tuple[int, int]) -> Truth | None:
        """The same, with a single row or column spread over another size; null where that cannot be."""
        try:
            np.broadcast_to(np.empty((self.video.height, self.video.width)), size)
        except ValueError:
            return None
        resized = Truth(self.video, self._masks)
        resized._size, resized._part = size, self._part
        return resized

    def of_size(self, size: tuple[int, int]) -> Truth:
        """The same masks for a video that states another size, height and width; see `VideoMasks.of_size`."""
        masks = self._masks.of_size(*size)
        return Truth(masks.video, masks)

    def of(self, annotation_ids: Collection[int]) -> PackedMasks:
        """What any of these tracks covers."""
        key = frozenset(annotation_ids)
        if key in self._packed:
            return self._packed[key]
        packed = self._pack(self._masks.union(key)[self._part])
        if self._room.take(packed):
            self._packed[key] = packed
        return packed

    def areas_and_overlaps(self, annotation_ids: Collection[int]) -> tuple[np.ndarray, np.ndarray]:
        """Pixels that the tracks cover in each frame, int64 (T,), and those that they cover in the next one, too."""
        key = frozenset(annotation_ids)
        if key not in self._counted:
            masks = self._masks.union(key)
            areas, overlaps = [], []
            for begin, _, part in self.parts():
                here = part.of(key)
                areas.append(here.areas)
                if begin:  # from the last frame of the part before
                    overlaps.append(pack(masks.take([begin - 1, begin])).overlap_with_next())
                overlaps.append(here.overlap_with_next())
            self._counted[key] = np.concatenate(areas), np.concatenate(overlaps)
        return self._counted[key]

    def levels(self, annotation_ids: tuple[int, ...]) -> list[PackedMasks]:
        """Where at least one, at least two, … of the tracks lie; as long a list as the deepest overlap, at least one.

        It ends at `MOST_LEVELS`, more than the official protocol can count. A track that is named twice counts twice.
        """
        key = tuple(sorted(annotation_ids))
        if key in self._levels:
            return self._levels[key]
        union = self.of(key)
        tracks = [self.of([i]) for i in key]
        overlapping = (sum((track.areas for track in tracks), np.zeros_like(union.areas)) != union.areas).any()
        levels = [union, *union.at_least(tracks, MOST_LEVELS)[1:]] if overlapping else [union]
        if all(map(self._room.take, levels)):
            self._levels[key] = levels
        return levels

    def sums(self, annotation_ids: tuple[int, ...], frame: int) -> np.ndarray:
        """The tracks added up in eight bits, uint8 (h, w)."""
        total = np.zeros((self.video.height, self.video.width), np.uint8)
        for i in annotation_ids:
            total += self._masks.track(i).take([self._part.start + frame]).decode()[0]
        return total if self._size is None else np.broadcast_to(total, self._size)

    @cached_property
    def foreground_areas(self) -> np.ndarray:
        areas = self._masks.foreground()[self._part].areas()
        return areas if self._size is None else areas * (self._size[0] * self._size[1] // self.pixels_per_frame)

    @cached_property
    def filed_foreground_areas(self) -> np.ndarray:
        """Those of the foreground as its file has it, which the published evaluator reads."""
        areas = self._masks.filed_foreground()[self._part].areas()
        return areas if self._size is None else areas * (self._size[0] * self._size[1] // self.pixels_per_frame)

    @property
    def pixels_per_frame(self) -> int:
        """Of the video's own size."""
        return self.video.height * self.video.width

    def _pack(self, masks: MaskSequence) -> PackedMasks:
        if self._size is None:
            return pack(masks)
        pixels = masks.decode()
        return pack(np.ascontiguousarray(np.broadcast_to(pixels, (len(pixels), *self._size))))
