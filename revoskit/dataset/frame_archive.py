"""The archive of frames, where it was not unpacked: which of its members are the frames of which video.

`JPEGImages.zip` lies beside the annotation files, or what somebody made of it: split, wrapped in another zip, a tar.
Of a dataset with other folders of frames it is called as these are (`families.SplitPaths.archives`).
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Sequence
from pathlib import Path

from revoskit.archives.index import Archive, open_archive, stamp_of
from revoskit.archives.parts import find_archive
from revoskit.dataset.families import FRAMES_FOLDER
from revoskit.errors import ArchiveError
from revoskit.frames import FrameMember

SOURCES = ("LV-VIS", "MOSE", "OVIS", "TAO", "UVO", "MeViS")
"""The datasets that the videos come from; a video's id begins with one of them."""

_WRAPPED = f"{FRAMES_FOLDER}.zip"
_FOLDED_SOURCES = {source.casefold() for source in SOURCES}


def video_of(folder: str, known: Collection[str] = ()) -> str | None:
    """The video id that the path of a folder ends with: one that is known, or else one that looks like it."""
    parts = [part for part in folder.split("/") if part not in ("", ".")]
    if parts[:1] == ["__MACOSX"]:
        return None
    for start in range(len(parts)):
        if (candidate := "/".join(parts[start:])) in known:
            return candidate
    if FRAMES_FOLDER in parts:
        parts = parts[parts.index(FRAMES_FOLDER) + 1 :]
    sources = [place for place, part in enumerate(parts) if part.casefold() in _FOLDED_SOURCES]
    return "/".join(parts[sources[0] if sources else 0 :]) or None


class FrameArchive:
    """The frames in an archive, by video. Get one by `frame_archive`."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._folders: dict[str, list[str]] = {}
        for folder in archive.folders:
            video_id = None if "::" in folder else video_of(folder)  # such a name could not be told from an address
            if video_id is not None:
                self._folders.setdefault(video_id, []).append(folder)

    @property
    def address(self) -> str:
        """Its path, or `zip://<name within>::<path>` for one in another."""
        return self._archive.address

    def videos(self) -> list[str]:
        """The ids of the videos that it has a folder for, and what else looks like one."""
        return list(self._folders)

    def names(self, video_id: str) -> list[str]:
        """The names of all files in a video's folder."""
        folder = self._folder(video_id)
        return [] if folder is None else self._archive.names(folder)

    def frames(self, video_id: str) -> dict[str, FrameMember]:
        """A video's frames, by file name; none where the archive does not have the video."""
        folder = self._folder(video_id)
        return {name: FrameMember(self.address, f"{folder}/{name}") for name in self.names(video_id)}

    def _folder(self, video_id: str) -> str | None:
        found = self._folders.get(video_id)
        if found is None:  # its path says neither where the frames begin nor of which source they are
            found = [
                folder for name, folders in self._folders.items() for folder in folders if name.endswith(f"/{video_id}")
            ]
        if len(found) > 1:
            raise ArchiveError(
                f"{self.address} has several folders for video {video_id!r}: {', '.join(map(repr, found[:3]))}. "
                f"Which is meant? Take out the others, or unpack the right one under {FRAMES_FOLDER}/."
            )
        return found[0] if found else None


def frame_archive(root: Path, called: Sequence[str]) -> FrameArchive | None:
    """The archive of frames under a root that can be read where it lies; null where there is none.

    Opened once a process as long as its files stay as they are.

    Args:
        called: as `archives.parts.find_archive` takes it.
    """
    found = _of(root, called)
    return found if isinstance(found, FrameArchive) else None


def far_archive(address: str) -> FrameArchive:
    """The archive of frames at a web address, or `hf://datasets/<owner>/<repo>[@revision]/<path>`.

    Raises:
        DownloadError: it cannot be had.
        ArchiveError: it cannot be read as it lies, there or at all.
    """
    return _far(open_archive(address))


@functools.lru_cache(maxsize=2)
def _far(archive: Archive) -> FrameArchive:
    return FrameArchive(archive)


def unusable_archive(root: Path, called: Sequence[str]) -> str | None:
    """What is wrong with the archive of frames under a root, where it cannot be read as it lies."""
    found = _of(root, called)
    return found if isinstance(found, str) else None


def archive_state(root: Path, called: Sequence[str]) -> object:
    """What tells one archive of frames under a root from another, and from none."""
    try:
        return stamp_of(find_archive(root, called))
    except (ArchiveError, OSError) as error:
        return str(error)


def _of(root: Path, called: Sequence[str]) -> FrameArchive | str | None:
    try:
        files = find_archive(root, called)
        return _opened(str(files[-1]), stamp_of(files)) if files else None
    except (ArchiveError, OSError) as error:
        return str(error)


@functools.lru_cache(maxsize=4)
def _opened(path: str, stamp: tuple[tuple[str, int, int], ...]) -> FrameArchive | str:
    try:
        archive = open_archive(path)
        inner = (f"{folder}/{_WRAPPED}" if folder else _WRAPPED for folder in archive.folders)
        within = next((name for name in inner if name in archive), None)
        return FrameArchive(archive if within is None else open_archive(f"zip://{within}::{path}"))
    except ArchiveError as error:
        return str(error)
