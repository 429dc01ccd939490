"""The masks of one video, whoever asks for them: as filed, at the frames that a mapping keeps, or kept back."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from revoskit.dataset.layout import SplitFiles
from revoskit.dataset.records import Expression, Video
from revoskit.dataset.tracks import ForegroundFile, TrackFile
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


class FiledMasks(VideoMasks):
    """The masks as the files have them, decoded when asked for and kept while this object lives.

    Expressions of a video share objects, so every union is made once for each distinct set of tracks. The foreground
    comes from its own file where that has the video.
    """

    def __init__(self, video: Video, files: SplitFiles, tracks: TrackFile, foreground: ForegroundFile | None) -> None:
        self.video = video
        self._files = files
        self._tracks = tracks
        self._foreground_file = foreground
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
            if self._foreground_file is not None and self.video.video_id in self._foreground_file:
                with self._files.advising():
                    self._foreground = self._foreground_file.read(self.video)
            else:
                self._foreground = self.union(self.video.annotation_ids)
        return self._foreground


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
