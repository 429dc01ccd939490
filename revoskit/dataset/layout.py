"""The official files of ReVOS: their names, their checksums, and where they lie under a root folder.

ROOT/JPEGImages/<video_id>/<frame>.jpg      or ROOT/<video_id>/<frame>.jpg, or unpacked nowhere:
ROOT/JPEGImages.zip                         as released, or what somebody made of it (`revoskit.dataset.frame_archive`)
ROOT/mask_dict.json                         every track, for all splits
ROOT/mask_dict_foreground.json              optional: it follows from the others
ROOT/meta_expressions_<split>_.json         one per split; those that are absent are left out

The datasets of `revoskit.dataset.families` are laid out otherwise and read through the same `Layout`.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Literal, get_args

from revoskit.dataset.advice import about_root
from revoskit.dataset.families import FAMILIES, REVOS, SplitPaths
from revoskit.dataset.families import FRAMES_FOLDER as FRAMES_FOLDER
from revoskit.dataset.frame_archive import FrameArchive, archive_state, far_archive, frame_archive, unusable_archive
from revoskit.dataset.records import Video
from revoskit.errors import AnnotationError, JsonError, MissingFilesError, Place, UsageError
from revoskit.frames import Frame, FrameFile
from revoskit.text import shown

if TYPE_CHECKING:
    from typing_extensions import Unpack

FileState = tuple[tuple[str, int, int], ...]
"""Of each file its name, size in bytes and time of change in ns."""

_NO_FOLDER = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)  # also where a link leads nowhere

ROOT_VARIABLE = "REVOS_ROOT"
FRAMES_ARCHIVE = "JPEGImages.zip"
TRACKS = "mask_dict.json"
FOREGROUND = "mask_dict_foreground.json"
EXPRESSIONS = {split: files.expressions[0] for split, files in FAMILIES[REVOS].splits.items()}
ONEDRIVE = (
    "https://mailsjlueducn-my.sharepoint.com/:f:/g/personal/yancl9918_mails_jlu_edu_cn/"
    "Ek3rFeIbNZtAv8kxVxr5n6sB6g3kbIThTscrq8cNt0zvgA?e=ZeuVzH"
)
BAIDU = "https://pan.baidu.com/s/1StuFnJdLnc5wl3MjndSQ_g?pwd=visa"

# From the dataset's README. The expression files were replaced on 2024-07-13; the others are as first released.
SHA256 = {
    FRAMES_ARCHIVE: "1844db76c3075deb95034935a8208ba459272784242ec39de9287c66a4c22f07",
    TRACKS: "e9b4310661495ddd47dedcac1e289621cf8f5dff89c0bb8b65f7699f748d5cff",
    FOREGROUND: "05d9be5d7bbed03b216a457274022ad1c9e683b4ffdc32b19c60c5e797fd8f01",
    EXPRESSIONS["train"]: "3917dfba8725d080c8658dc43ad4a84cf41ce51438acfaee70bef5aa0310417a",
    EXPRESSIONS["train_sub"]: "e171028757d8ec75bea33a661c38c288ecdafdb6c7bc64bb9e14edb97e2e5ade",
    EXPRESSIONS["validation"]: "127b975e78effef6033846e68989dcf79c692d644dd07c835b723cea700d4c2d",
}
SHA256_FIRST_RELEASE = {
    **SHA256,
    EXPRESSIONS["train"]: "3fbc3d82c36f109ce6d01d8750ad0a4f803ab7357a8f7a2d94d6a312a8baaf36",
    EXPRESSIONS["train_sub"]: "81f6fc809c3a024fc0356bf5f2d77374b763e19802a44b90213e4641b37fbbb9",
    EXPRESSIONS["validation"]: "291d1854eb860ebac5dd3870451bfc9a2bf002765efabf39bf5496bcb8e1f4b6",
}

WHERE_TO_GET_THEM = f"The official files are at {ONEDRIVE} (or {BAIDU})."


Faults = Literal["error", "skip"]


@dataclass(frozen=True)
class Layout:
    """The files of one copy of ReVOS, or of a dataset of its `family`, under an absolute `root`."""

    root: Path
    family: str = REVOS
    alignment: Path | None = None
    """A mapping file (`revoskit.dataset.remapping`), applied wherever annotations of this copy are opened."""
    faults: Faults = "error"
    """What is done about faults there: `"error"` stops, `"skip"` leaves the smallest unit out that is wrong."""
    far_archive: str | None = field(default=None, repr=False)  # may hold credentials
    """The address of the archive of frames on a server, for those that are not here."""

    @classmethod
    def at(
        cls,
        root: str | os.PathLike[str] | None = None,
        family: str = REVOS,
        *,
        alignment: str | os.PathLike[str] | None = None,
        faults: Faults = "error",
        far_archive: str | None = None,
    ) -> Layout:
        """The copy in the folder `root`, however it is spelled, or in the one that $REVOS_ROOT names.

        That of a sister dataset is in $MEVIS_ROOT, $LV_VIS_ROOT and so on.

        Args:
            family: whose files these are, a key of `FAMILIES`.
            alignment: a file of accepted mappings: which frame each mask belongs to, where that is not as filed.
            faults: `"error"` stops at the first thing that is wrong; `"skip"` leaves out the expressions that are
                faulty or name a faulty track, such tracks, and the videos whose entries cannot be read, with a warning.
            far_archive: the address of the archive of frames on a server (https://…, hf://datasets/…), from which those
                are read that are not here.

        Raises:
            UsageError: no folder is named, or there is no such family or way to treat faults.
        """
        if faults not in get_args(Faults):
            raise UsageError(f"faults is {faults!r}: expected {' or '.join(map(repr, get_args(Faults)))}")
        if family not in FAMILIES:
            raise UsageError(f"there is no family {family!r}: expected one of {', '.join(FAMILIES)}")
        variable = f"{family.upper()}_ROOT"
        root = root or os.environ.get(variable)
        if not root and family != REVOS:
            raise UsageError(
                f"Where is {FAMILIES[family].title}? Say data_dir='path/to/it' (--data-dir for commands), or set "
                f"${variable}."
            )
        if not root:
            raise UsageError(
                "Where is ReVOS? Say data_dir='path/to/ReVOS' (ROOT or --data-dir for commands) or set "
                f"$REVOS_ROOT to the folder that holds {TRACKS} and {FRAMES_FOLDER}/. {WHERE_TO_GET_THEM}"
            )
        accepted = None if alignment is None else Path(os.path.realpath(os.path.expanduser(alignment)))
        return cls(Path(os.path.realpath(os.path.expanduser(root))), family, accepted, faults, far_archive)

    def split(self, name: str) -> SplitFiles:
        """The files of one split.

        Raises:
            UsageError: the family has no such split.
        """
        family = FAMILIES[self.family]
        if name not in family.splits:
            raise UsageError(f"there is no split {name!r}: {family.title} has {', '.join(family.splits)}")
        return SplitFiles(self, name)

    def splits(self) -> list[str]:
        """The splits whose expressions are here, in the official order; what is no file is told of when it is read."""
        return [split.name for split in self._every_split() if split.expressions.exists()]

    def _every_split(self) -> list[SplitFiles]:
        return [SplitFiles(self, name) for name in FAMILIES[self.family].splits]

    def require(self) -> None:
        """See that there is something to load.

        Raises:
            MissingFilesError: the folder, the tracks or every split is missing; the message lists all that is.
        """
        family, here = FAMILIES[self.family], self.splits()
        where = WHERE_TO_GET_THEM if self.family == REVOS else f"See {family.homepage}."
        expected = [
            path for paths in family.splits.values() for path in (*paths.expressions, *map(_fixed, paths.tracks))
        ]
        if not self.root.is_dir():
            raise MissingFilesError(f"{self.root} is not a folder.{about_root(self.root, expected)} {where}")
        needed = [split for split in self._every_split() if not split.hidden and (split.name in here or not here)]
        lacking = dict.fromkeys(split.tracks for split in needed if not split.has_tracks)
        missing = [str(path.relative_to(self.root)) for path in lacking]
        expressions = [paths.expressions[0] for paths in family.splits.values()]
        if not here:
            missing += expressions
        if missing:
            tracks = dict.fromkeys(_fixed(paths.tracks[0]) for paths in family.splits.values() if not paths.hidden)
            frames = dict.fromkeys(paths.frames[0] for paths in family.splits.values())
            within = next(f"{paths.frames_within}/" * bool(paths.frames_within) for paths in family.splits.values())
            raise MissingFilesError(
                f"{self.root} lacks {', '.join(missing)}.{about_root(self.root, expected)} Expected "
                f"{', '.join(tracks)}, at least one of {', '.join(expressions)}, and "
                f"{' or '.join(frames)}/<video_id>/{within}<frame>.jpg. {where}"
            )

    def status(self) -> dict[str, os.stat_result]:
        """What the system says now of each annotation file that is here, and of that of the alignment, by `name_of`.

        Whatever is built from this copy depends on them. Of PNGs it is the folder that they lie in: they are too many
        to be looked at each time. `picture_state` does. It is asked for around every video, so paths are text here.
        """
        found: dict[str, os.stat_result] = {}
        for paths in _annotation_paths(self.family):
            for path in paths:
                name = _fixed(path)
                with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                    status = os.stat(os.path.join(self.root, name))
                    if stat.S_ISDIR(status.st_mode) == ("{" in path):
                        found[name] = status
                        break
        if self.alignment and self.alignment.is_file():
            found[self.name_of(self.alignment)] = self.alignment.stat()
        return found

    def annotation_state(self) -> FileState:
        """Name, size in bytes and time of change in ns of each of these: others, other content.

        That faults are left out is an entry of its own.
        """
        found = tuple((name, status.st_size, status.st_mtime_ns) for name, status in self.status().items())
        return found if self.faults == "error" else (*found, (f"faults={self.faults}", 0, 0))

    def frame_state(self) -> tuple[object, ...]:
        """Whether each folder of frames is there, and the state of the archive: rows say where their frames lie."""
        folders = dict.fromkeys(folder for split in self._every_split() for folder in split.frame_folders)
        called = dict.fromkeys(split.archive_names for split in self._every_split())
        return *(folder.is_dir() for folder in folders), *(archive_state(self.root, names) for names in called)

    def picture_state(self) -> tuple[object, ...]:
        """How many mask PNGs each split has, in how many folders, and when the last of these changed."""
        folders = dict.fromkeys(s.tracks for s in self._every_split() if s.picture_path is not None and s.has_tracks)
        found: list[object] = []
        for folder in folders:
            files, times = 0, []
            for place, _, names in os.walk(folder):
                files += len(names)
                times.append(os.stat(place).st_mtime_ns)
            found.append((self.name_of(folder), files, len(times), max(times)))
        return tuple(found)

    def name_of(self, file: Path) -> str:
        """A file's path, relative to the root where it lies under it."""
        return (file.relative_to(self.root) if file.is_relative_to(self.root) else file).as_posix()


@dataclass(frozen=True)
class SplitFiles:
    """The files of one split of a copy, wherever its family has them."""

    layout: Layout
    name: str

    @property
    def _paths(self) -> SplitPaths:
        return FAMILIES[self.layout.family].splits[self.name]

    @property
    def hidden(self) -> bool:
        """The masks are kept back: expressions need not name objects, nor need there be tracks."""
        return self._paths.hidden

    @property
    def whole(self) -> SplitFiles | None:
        """The split that this one is a part of, where it is one that few need."""
        return None if self._paths.subset_of is None else SplitFiles(self.layout, self._paths.subset_of)

    @property
    def expressions(self) -> Path:
        return self._first(self._paths.expressions)

    @property
    def less(self) -> Path | None:
        """The expressions whose videos are not in this split, though its own file names them."""
        return None if self._paths.less is None else self.layout.root / self._paths.less

    @property
    def tracks(self) -> Path:
        """The file of the tracks, or the folder of their PNGs."""
        return self.layout.root / _fixed(self._tracks_path)

    @property
    def has_tracks(self) -> bool:
        return _are_there(self.layout.root, self._tracks_path)

    @property
    def picture_path(self) -> str | None:
        """Where the PNGs lie under `tracks`, as `SplitPaths.tracks` has it; null where the tracks are in a file."""
        path = self._tracks_path
        return path[len(_fixed(path)) + 1 :] if "{" in path else None

    @property
    def _tracks_path(self) -> str:
        """The first of the family's paths that is there; where none is, the first."""
        paths = self._paths.tracks
        return next((path for path in paths if _are_there(self.layout.root, path)), paths[0])

    @property
    def foreground(self) -> Path:
        return self.layout.root / FOREGROUND

    def _first(self, paths: Sequence[str]) -> Path:
        """The first of these that is there; where none is, the first."""
        found = [self.layout.root / path for path in paths]
        return next((path for path in found if path.is_file()), found[0])

    @property
    def frame_folders(self) -> list[Path]:
        """Where the folders of the videos may lie: the first that has a video's counts."""
        return [self.layout.root / folder for folder in self._paths.frames]

    def video_folder(self, video_id: str) -> Path:
        """Where a video's frames lie: for ReVOS under JPEGImages/, or directly under the root where that has none."""
        return Path(self._folder_of(video_id))

    def _folder_of(self, video_id: str) -> str:
        """The same as text, with a slash at its end: it is asked for around every video."""
        within = os.path.join(video_id, self._paths.frames_within, "")
        candidates = [os.path.join(self.layout.root, folder, within) for folder in self._paths.frames]
        return next(filter(os.path.isdir, candidates), candidates[0]).replace("/", os.sep)

    def _in_archive(self, video_id: str) -> str:
        """The folder of a video's frames as an archive has it, less what may come before."""
        return (PurePosixPath(video_id) / self._paths.frames_within).as_posix()

    @property
    def archive_names(self) -> tuple[str, ...]:
        """What the archive of frames may be called under the root, without its ending."""
        return self._paths.archives

    @property
    def archive(self) -> FrameArchive | None:
        """The archive of frames, where one is here that can be read as it lies, or else the one on a server."""
        here = frame_archive(self.layout.root, self.archive_names)
        return far_archive(self.layout.far_archive) if here is None and self.layout.far_archive else here

    @property
    def frame_places(self) -> str:
        """Where frames are looked for, in words; and why not in an archive that is here."""
        places = " or ".join(map(str, self.frame_folders))
        archive = self.archive
        unusable = unusable_archive(self.layout.root, self.archive_names)
        places += f", nor in {shown(archive.address)}" if archive else ""
        return places + (f" ({unusable})" if unusable else "")

    def frame_files(self, video_id: str) -> list[str]:
        """The names of all files that lie in a video's folder, on disk or in the archive of frames."""
        folder, archive = self.video_folder(video_id), self.archive
        on_disk = os.listdir(folder) if folder.is_dir() else []
        return list(dict.fromkeys([*on_disk, *(archive.names(self._in_archive(video_id)) if archive else ())]))

    def folder_frames(self, video_id: str) -> list[str]:
        """The names of all JPEGs in a video's folder, sorted: numbers by value, so that 9 comes before 10."""
        return sorted((name[:-4] for name in self.frame_files(video_id) if name.endswith(".jpg")), key=_natural)

    def frames(self, video: Video) -> list[Frame | None]:
        """A video's frames, each a file in its folder, or else a member of the archive; null where it is in neither."""
        return self.frames_named(video.video_id, video.frame_names)

    def frames_named(self, video_id: str, names: Sequence[str]) -> list[Frame | None]:
        """Those frames of a video; costs one look into its folder."""
        files = [f"{name}.jpg" for name in names]
        present, archived = self._places(video_id, files)
        folder = self._folder_of(video_id)
        return [FrameFile(folder + file) if file in present else archived.get(file) for file in files]

    def missing_frames(self, video: Video) -> list[str]:
        """The names of a video's frames that are neither on disk nor in an archive."""
        files = [f"{name}.jpg" for name in video.frame_names]
        present, archived = self._places(video.video_id, files)
        if present.issuperset(files):
            return []
        return [
            name
            for name, file in zip(video.frame_names, files, strict=True)
            if file not in present and file not in archived
        ]

    def _places(self, video_id: str, files: Sequence[str]) -> tuple[set[str], Mapping[str, Frame]]:
        """The names of the files in a video's folder, and where one of `files` is not there, those in the archive."""
        try:
            present = set(os.listdir(self._folder_of(video_id)))
        except OSError as error:
            if error.errno not in _NO_FOLDER:
                raise
            present = set()
        archive = None if present.issuperset(files) else self.archive
        return present, archive.frames(self._in_archive(video_id)) if archive else {}

    @contextlib.contextmanager
    def advising(self) -> Iterator[None]:
        """What to do, after what is wrong: for those who load and cannot go on, not for `check`, which lists it all."""
        try:
            yield
        except AnnotationError as error:
            advice = "`revoskit check` lists all that is wrong with a copy of ReVOS."
            if self.layout.family != REVOS:
                advice = f"See {FAMILIES[self.layout.family].homepage}."
            skip = "" if isinstance(error, JsonError) else " Or leave out what is wrong: faults='skip' (--faults skip)."
            raise error.advising(f"Correct the file or get it anew. {advice}{skip}") from None


@lru_cache
def _annotation_paths(family: str) -> list[tuple[str, ...]]:
    """Where a family's annotation files may be under the root: of each tuple, the first that is there is meant."""
    splits = FAMILIES[family].splits.values()
    less = [(split.expressions, *([(split.less,)] if split.less is not None else [])) for split in splits]
    paths = [*(split.tracks for split in splits), (FOREGROUND,), *itertools.chain.from_iterable(less)]
    return list(dict.fromkeys(map(tuple, paths)))


def _are_there(root: Path, path: str) -> bool:
    """Whether the tracks are at this one of the paths of `SplitPaths`."""
    return (root / _fixed(path)).is_dir() if "{" in path else (root / path).is_file()


def _fixed(path: str) -> str:
    """The part of a path that is the same for all videos."""
    return path.partition("{")[0].rpartition("/")[0] if "{" in path else path


def _natural(name: str) -> tuple[list[str | int], str]:
    parts: list[str | int] = re.split(r"(\d+)", name)
    parts[1::2] = map(int, parts[1::2])
    return parts, name


def check_relative(name: str, what: str, **place: Unpack[Place]) -> None:
    """See that a name from a data file is a plain relative path with forward slashes.

    Args:
        what: what kind of name it is, for the message.
        place: where it is read, for the error.

    Raises:
        AnnotationError: it is empty, absolute, climbs with `..`, or holds what some system reads as a separator.
    """
    parts = name.split("/")
    if any(part in ("", ".", "..") for part in parts) or any(char in name for char in "\\:\0"):
        raise AnnotationError(
            f"{what} {name!r} is not a plain relative path: it could lead out of the dataset's folder", **place
        )


def check_file_stem(name: str, what: str, **place: Unpack[Place]) -> None:
    """See that a name from a data file names a file within one folder; raises as `check_relative` does."""
    check_relative(name, what, **place)
    if "/" in name:
        raise AnnotationError(f"{what} {name!r} holds a slash: expected a file name without its extension", **place)
