"""The masks of one video, whoever asks for them: as filed, at the frames that a mapping keeps, or kept back."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection
from typing import Protocol

import msgspec

from revoskit.dataset.layout import SplitFiles
from revoskit.dataset.records import Expression, Video
from revoskit.dataset.tracks import ForegroundFile, Sparse, Tracks
from revoskit.errors import AnnotationError
from revoskit.masks.rle import MaskSequence


class VideoMasks(Protocol):
    """The masks of one video: one per frame of `video`, or none at all where the split keeps them back."""

    video: Video

    def track(self, annotation_id: int) -> MaskSequence:
        """One track: null where the object is not annotated.

        Raises:
            AnnotationError: there is no such track, or it does not fit the video.
        """
        ...

    def union(self, annotation_ids: Collection[int]) -> MaskSequence:
        """Frame by frame, what any of these tracks covers; never null."""
        ...

    def of(self, expression: Expression) -> MaskSequence:
        """The masks that an expression means: the union of its tracks."""
        return self.union(expression.annotation_ids)

    def foreground(self) -> MaskSequence:
        """The union of every track that the video's expressions name."""
        ...

    def filed_foreground(self) -> MaskSequence:
        """What the file of foregrounds says, stale or not; where there is no such file, the same as `foreground`.

        Raises:
            AnnotationError: the file does not have the video, or what it has does not fit the video.
        """
        ...

    def of_size(self, height: int, width: int) -> VideoMasks:
        """The same masks for a video that states another size: those that have another than this are faulty."""
        ...


class FiledMasks(VideoMasks):
    """The masks as the files have them, decoded when asked for and kept while this object lives.

    Expressions of a video share objects, so every union is made once for each distinct set of tracks. The foreground
    comes from its own file where that has the video as it is.
    """

    def __init__(
        self, video: Video, files: SplitFiles, tracks: Tracks, foreground: Callable[[], ForegroundFile | None]
    ) -> None:
        self.video = video
        self._files = files
        self._tracks = tracks
        self._foreground_file = foreground  # called when one is asked for, as rows of expressions never do
        self._by_id: dict[int, MaskSequence] = {}
        self._unions: dict[frozenset[int], MaskSequence] = {}
        self._foreground: MaskSequence | None = None

    def track(self, annotation_id: int) -> MaskSequence:
        if annotation_id not in self._by_id:
            with self._files.advising():
                self._by_id[annotation_id] = self._tracks.read(annotation_id, self.video)
        return self._by_id[annotation_id]

    def union(self, annotation_ids: Collection[int]) -> MaskSequence:
        key = frozenset(annotation_ids)
        if key not in self._unions:
            tracks = [self.track(i) for i in sorted(key)]
            self._unions[key] = (
                tracks[0].union(*tracks[1:])
                if tracks
                else MaskSequence.empty(len(self.video.frame_names), self.video.height, self.video.width)
            )
        return self._unions[key]

    def foreground(self) -> MaskSequence:
        if self._foreground is None:
            filed = self._filed_foreground()
            self._foreground = self.union(self.video.annotation_ids) if filed is None else filed
        return self._foreground

    def filed_foreground(self) -> MaskSequence:
        file = self._foreground_file()
        if file is None:
            return self.union(self.video.annotation_ids)
        with self._files.advising():
            filed = file.read(self.video)
        assert filed is not None  # nothing was asked of it
        return filed

    def of_size(self, height: int, width: int) -> VideoMasks:
        video = msgspec.structs.replace(self.video, height=height, width=width)
        return FiledMasks(video, self._files, self._tracks, self._foreground_file)

    def _filed_foreground(self) -> MaskSequence | None:
        """What the file of foregrounds says, null where it does not know the video as it is.

        It may be older than the expressions, and so be of other objects. That shows in a few frames: the union of all
        masks of all frames would cost more than reading the file saves.
        """
        file = self._foreground_file()
        if file is None or self.video.video_id not in file:
            return None
        frames = self._telling_frames()
        tracks = [self.track(i).take(frames) for i in self.video.annotation_ids]
        union = MaskSequence.empty(len(frames), self.video.height, self.video.width).union(*tracks)

        def is_the_union(some: Sparse) -> bool:
            said = some(frames)
            return union == said or union.runs() == said.runs()  # the same mask may be written two ways

        try:
            filed = file.read(self.video, is_the_union)
        except AnnotationError as error:
            file.distrust(str(error))
            return None
        if filed is None:
            file.distrust(f"{file.path}: video {self.video.video_id!r} is not the union of its tracks")
        return filed

    def _telling_frames(self) -> list[int]:
        """Up to four frames evenly over the video, and up to four in which one track each has a mask."""
        last = len(self.video.frame_names) - 1
        frames = {round(i * last / 3) for i in range(4)}
        for annotation_id in self.video.annotation_ids[:4]:
            track = self.track(annotation_id)
            frames.update(itertools.islice((i for i, mask in enumerate(track) if mask is not None), 1))
        return sorted(frames)


class KeptMasks(VideoMasks):
    """The masks of a video at some of its frames, as a mapping keeps them; `video` has only those frames."""

    def __init__(self, video: Video, filed: VideoMasks, kept: list[int]) -> None:
        self.video, self._filed, self._kept = video, filed, kept

    def track(self, annotation_id: int) -> MaskSequence:
        return self._filed.track(annotation_id).take(self._kept)

    def union(self, annotation_ids: Collection[int]) -> MaskSequence:
        return self._filed.union(annotation_ids).take(self._kept)

    def foreground(self) -> MaskSequence:
        return self._filed.foreground().take(self._kept)

    def filed_foreground(self) -> MaskSequence:
        return self._filed.filed_foreground().take(self._kept)

    def of_size(self, height: int, width: int) -> VideoMasks:
        video = msgspec.structs.replace(self.video, height=height, width=width)
        return KeptMasks(video, self._filed.of_size(height, width), self._kept)


class HiddenMasks(VideoMasks):
    """The masks of a video whose split keeps them back: none at all, which is something else than empty masks."""

    def __init__(self, video: Video) -> None:
        self.video = video

    def track(self, annotation_id: int) -> MaskSequence:
        return MaskSequence.empty(0, self.video.height, self.video.width)

    def union(self, annotation_ids: Collection[int]) -> MaskSequence:
        return MaskSequence.empty(0, self.video.height, self.video.width)

    def foreground(self) -> MaskSequence:
        return MaskSequence.empty(0, self.video.height, self.video.width)

    def filed_foreground(self) -> MaskSequence:
        return self.foreground()

    def of_size(self, height: int, width: int) -> VideoMasks:
        return HiddenMasks(msgspec.structs.replace(self.video, height=height, width=width))
