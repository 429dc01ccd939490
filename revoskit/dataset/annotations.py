"""A split, opened: the records of its videos and the masks of each, read once a process."""

from __future__ import annotations

import contextlib
import functools
import warnings
from collections.abc import Collection, Iterator, Sequence
from multiprocessing import parent_process
from pathlib import Path
from typing import Any

import msgspec
from huggingface_hub import constants

from revoskit.dataset.changes import refuse_changes, unchanged
from revoskit.dataset.expressions import read_expressions, scan_expressions
from revoskit.dataset.faults import of_error
from revoskit.dataset.layout import FileState, Layout, SplitFiles
from revoskit.dataset.leaving_out import LeftOut, frame_faults, sound_part, tell
from revoskit.dataset.picture_tracks import PictureTracks
from revoskit.dataset.records import UnsizedError, Video
from revoskit.dataset.remapping import apply_mapping, read_mapping
from revoskit.dataset.subset import read_subset
from revoskit.dataset.tracks import ForegroundFile, TrackFile, Tracks, open_once
from revoskit.dataset.video_masks import FiledMasks, HiddenMasks, KeptMasks, VideoMasks
from revoskit.errors import AnnotationError, MissingFilesError, UsageError


class Annotations:
    """One split: its videos by id, in file order, and the masks of each.

    Where the layout names an alignment, a video that it maps has the frames that its masks belong to as its
    `frame_names`, in the order of the masks. All other videos are as filed, and so are those that have no frames on
    disk: there is nothing to count among.
    """

    def __init__(self, layout: Layout, split: str) -> None:
        self.layout = layout
        self.split = split
        self.state = layout.annotation_state()
        """That of the files when they were read."""
        self.files = layout.split(split)
        self.unsized: dict[str, UnsizedError] = {}
        """The videos that are not among `videos`, since nothing tells their size: they lack all their frames."""
        self.left_out = LeftOut()
        """What is not here because of a fault, where the layout says to go on without."""
        self.told = False
        with self.files.advising():
            self.videos, faults = _read(self.files)
            for fault in faults:
                if isinstance(fault, UnsizedError):
                    self.unsized[fault.record.video_id] = fault
                elif layout.faults == "error":
                    raise fault
                else:
                    of_expression = fault.expression is not None
                    self.left_out.add(LeftOut(of_expression, 0, not of_expression, [of_error(fault, split)]))
            self.hidden = self.files.hidden and not (
                self.files.has_tracks and any(video.annotation_ids for video in self.videos.values())
            )
            if self.hidden:
                self.videos = {video_id: _without_tracks(video) for video_id, video in self.videos.items()}
            else:
                self._tracks = _open_tracks(self.files)
                if layout.faults == "skip":
                    self._leave_out()
        self._excluded: frozenset[str] = frozenset()
        self._filed: dict[str, Video] = {}
        self._kept: dict[str, list[int]] = {}
        if layout.alignment is not None:
            self._align(layout.alignment)
        refuse_changes(layout, self.state, layout.annotation_state())

    def _leave_out(self) -> None:
        """Go on without what is wrong with the masks."""
        parts = {video.video_id: sound_part(video, self._tracks, self.files) for video in self}
        for _, left_out in parts.values():
            self.left_out.add(left_out)
        self.videos = {video_id: video for video_id, (video, _) in parts.items() if video is not None}

    def without(self, video_ids: Collection[str]) -> Annotations:
        """The same split without some videos; in another process, too."""
        kept = object.__new__(Annotations)  # not copy.copy(), which would open this very one again
        kept.__dict__.update(self.__dict__)
        kept._excluded = self._excluded | frozenset(video_ids)
        kept.videos = {video_id: video for video_id, video in self.videos.items() if video_id not in kept._excluded}
        kept.unsized = {video_id: error for video_id, error in self.unsized.items() if video_id not in kept._excluded}
        return kept

    def with_sound_frames(self, *, missing: bool = True) -> Annotations:
        """The same split without the videos whose frames are not as they ought to be; what goes is in `left_out`.

        Args:
            missing: a frame that is not on disk is such, too.
        """
        unsized = [error.record for error in self.unsized.values()] if missing else []
        faults = frame_faults([*self, *unsized], self.files, missing=missing)
        kept = self.without([*faults, *self.unsized])
        kept.left_out = LeftOut()
        kept.left_out.add(self.left_out)
        kept.left_out.add(LeftOut(videos=len(faults), faults=[fault for of in faults.values() for fault in of]))
        return kept

    def tell(self) -> None:
        """Warn of what is left out, and write all of it to a file in the cache."""
        if self.left_out:
            folder = Path(constants.HF_HOME) / "revoskit" / "left-out"
            tell(self.left_out, f"{self.split} of {self.layout.root}", folder)

    def _align(self, path: Path) -> None:
        """Apply a file of accepted mappings."""
        mappings = read_mapping(path)
        mapped = [video_id for video_id in self.videos if video_id in mappings]
        if self.hidden and mapped:
            raise UsageError(
                f"{self.split} keeps its masks back, so that there is none to find a frame for: take video "
                f"{min(mapped)!r} out of the mapping file {path}"
            )
        for video_id in mapped:
            folder = self.files.folder_frames(video_id)
            if not folder:
                continue
            filed = self._filed[video_id] = self.videos[video_id]
            names = apply_mapping(mappings[video_id], filed, folder)
            self._kept[video_id] = [i for i, name in enumerate(names) if name is not None]
            kept = tuple(name for name in names if name is not None)
            self.videos[video_id] = msgspec.structs.replace(filed, frame_names=kept)

    def __reduce__(self) -> tuple[Any, ...]:  # another process maps the files itself and so shares their pages
        return _open_again, (self.layout, self.split, self.state, self._excluded)

    def unchanged(self) -> contextlib.AbstractContextManager[None]:
        """See that the files are and stay as they were when they were read; raises as `changes.unchanged` does."""
        return unchanged(self.layout, self.state)

    def __iter__(self) -> Iterator[Video]:
        return iter(self.videos.values())

    def video(self, video_id: str) -> Video:
        """The record of a video.

        Raises:
            AnnotationError: the split has no such video.
        """
        if video_id not in self.videos:
            raise AnnotationError(
                f"{self.files.expressions} has no video {video_id!r}; its {len(self.videos)} ids "
                f"look like {next(iter(self.videos), '-')!r}",
                file=self.files.expressions,
                video=video_id,
            )
        return self.videos[video_id]

    def track_bytes(self, annotation_id: int) -> int:
        """What a track takes in its file, 0 where there is none: known without decoding, to divide work by size."""
        return self._tracks.num_bytes(str(annotation_id))

    def picture_digest(self) -> str | None:
        """SHA-256 over the PNGs that the masks lie in, which takes reading them all; null where they are in a file."""
        return self._tracks.digest(self) if isinstance(self._tracks, PictureTracks) else None

    def masks(self, video: Video) -> VideoMasks:
        """The masks of a video; where the split keeps them back (`hidden`), sequences without a single mask."""
        if self.hidden:
            return HiddenMasks(video)
        filed = self._filed.get(video.video_id, video)
        masks = FiledMasks(filed, self.files, self._tracks, lambda: self._foreground)
        return masks if filed is video else KeptMasks(video, masks, self._kept[video.video_id])

    @functools.cached_property
    def _foreground(self) -> ForegroundFile | None:
        found = _open_foreground(self.files.foreground)
        refuse_changes(self.layout, self.state, self.layout.annotation_state())
        return found

    def missing_frames(self) -> dict[str, list[str]]:
        """The names of the frames that are not on disk, by id of the videos that lack any."""
        missing = {video_id: list(error.record.frame_names) for video_id, error in self.unsized.items()}
        for video in self:
            if names := self.files.missing_frames(video):
                missing[video.video_id] = names
        return missing


def _read(files: SplitFiles) -> tuple[dict[str, Video], list[AnnotationError]]:
    """A split's records and what is wrong with them; a part of another split also where it only names what it holds.

    Raises:
        AnnotationError: the file as a whole cannot be read.
    """
    try:
        videos, faults = scan_expressions(files)
        refusal = faults[0] if faults else None
    except AnnotationError as error:
        videos, faults, refusal = {}, [], error
    if refusal is None or files.whole is None or not files.whole.expressions.is_file():
        if refusal is not None and not faults:
            raise refusal
        return videos, faults
    named = read_subset(files.expressions, read_expressions(files.whole))
    if named is not None:
        return named, []
    raise refusal


def _open_tracks(files: SplitFiles) -> Tracks:
    return open_once(TrackFile, files.tracks) if files.picture_path is None else PictureTracks(files.tracks)


def _open_foreground(path: Path) -> ForegroundFile | None:
    """The file of foregrounds, null where there is none that can be read."""
    if not path.is_file():
        return None
    status = path.stat()
    return _foreground(path, (status.st_size, status.st_mtime_ns))


@functools.lru_cache(maxsize=4)  # so that it is warned of once
def _foreground(path: Path, state: tuple[int, int]) -> ForegroundFile | None:
    try:
        return open_once(ForegroundFile, path)
    except AnnotationError as error:
        warnings.warn(f"{error}\nForegrounds are made from the tracks instead.", stacklevel=2)
        return None


def _without_tracks(video: Video) -> Video:
    """A video whose expressions name no objects: where the masks are kept back, a name leads nowhere."""
    nameless = [msgspec.structs.replace(e, object_ids=(), annotation_ids=()) for e in video.expressions]
    return msgspec.structs.replace(video, expressions=tuple(nameless))


def open_annotations(layout: Layout, split: str, *, silent: bool = False) -> Annotations:
    """The annotations of a split, read once a process as long as the files stay as they are.

    What `faults="skip"` leaves out is warned of once, unless `silent`. Frames are not looked at.

    Raises:
        MissingFilesError: files are missing.
        AnnotationError: a file is not in the official format; the message says where and what was expected.
    """
    layout.require()
    files = layout.split(split)
    if not files.expressions.exists():
        raise MissingFilesError(f"{files.expressions} is not there. The splits that are: {', '.join(layout.splits())}")
    found = _annotations(layout, split, layout.annotation_state())
    lacking = (error.record for error in found.unsized.values())
    if any(any(files.frames(video)) for video in lacking):  # they came since
        found = Annotations(layout, split)
    if found.left_out and not (silent or found.told or parent_process()):
        found.told = True
        found.tell()
    return found


def _open_again(layout: Layout, split: str, state: FileState, excluded: frozenset[str]) -> Annotations:
    """In another process, the annotations that this one has."""
    found = open_annotations(layout, split)
    refuse_changes(layout, state, found.state)
    return found.without(excluded) if excluded else found


def open_with_frames(layout: Layout, splits: Sequence[str] | None = None) -> dict[str, Annotations]:
    """Like `open_splits`, for those who need every frame: `faults="skip"` leaves out videos that lack any, too."""
    if layout.faults == "error":
        return open_splits(layout, splits)
    found = {name: split.with_sound_frames() for name, split in open_splits(layout, splits, silent=True).items()}
    for split in found.values():
        split.tell()
    return found


def open_splits(layout: Layout, splits: Sequence[str] | None = None, *, silent: bool = False) -> dict[str, Annotations]:
    """The annotations of several splits, by default of all that are here.

    A part of another split (train_sub) that cannot be read is then left out, with a warning: few need it.

    Raises:
        MissingFilesError, AnnotationError: as `open_annotations` does.
    """
    layout.require()
    if splits is not None:
        return {split: open_annotations(layout, split, silent=silent) for split in splits}
    found = {split: _open_or_leave_out(layout, split, silent) for split in layout.splits()}
    return {split: annotations for split, annotations in found.items() if annotations is not None}


def _open_or_leave_out(layout: Layout, split: str, silent: bool) -> Annotations | None:
    try:
        return open_annotations(layout, split, silent=silent)
    except AnnotationError as error:
        if layout.split(split).whole is None:
            raise
        warnings.warn(f"{split} is left out, since it cannot be read: {error}", stacklevel=3)
        return None


def _reopened(layout: Layout, split: str, excluded: frozenset[str]) -> Annotations:
    return open_annotations(layout, split).without(excluded)


def forget_annotations() -> None:
    """Read anew what is opened next.

    Sizes that were read from frames, and what a mapping counts among frames, do not follow when the frames change.
    """
    _annotations.cache_clear()


@functools.lru_cache(maxsize=3)
def _annotations(layout: Layout, split: str, state: FileState) -> Annotations:
    return Annotations(layout, split)
