"""Takes the frames out of `JPEGImages.zip`, or out of an archive that somebody made of it: split, wrapped, or a tar.

Frames come to lie in `JPEGImages/<video_id>/`, whatever folders the archive puts around them. A file gets its name
when it is whole and its CRC is right, so that an unpacking that broke off is continued by doing it again.
"""

from __future__ import annotations

import contextlib
import functools
import gzip
import io
import os
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING

import msgspec
from tqdm import tqdm

from revoskit import workers
from revoskit.archives.parts import find_archive, is_zip
from revoskit.archives.tars import BoundedInfo, objection_to_member
from revoskit.archives.zips import Member, Pieces, read_directory, refusal
from revoskit.atomic import remove_parts, require_room, sole_writer, whole
from revoskit.dataset.expressions import read_expressions
from revoskit.dataset.frame_archive import video_of
from revoskit.dataset.layout import FRAMES_ARCHIVE, FRAMES_FOLDER, SHA256, WHERE_TO_GET_THEM, Layout
from revoskit.errors import AnnotationError, ArchiveError, MissingFilesError

if TYPE_CHECKING:
    from collections.abc import Buffer  # of Python 3.12 and later

_ANNOTATIONS = [name for name in SHA256 if name != FRAMES_ARCHIVE]
_CHUNK = 256  # members that a process takes at a time


class Unpacked(msgspec.Struct):
    """What came of an unpacking; `damaged` says which members could not be had, and why."""

    archive: str
    frames_folder: str
    unpacked: int = 0
    already_there: int = 0
    bytes: int = 0
    left_out: list[str] = []
    damaged: list[str] = []
    deleted: list[str] = []

    def require_whole(self) -> None:
        """Raises ArchiveError where members are damaged."""
        if self.damaged:
            shown = "\n".join(f"  {member}" for member in self.damaged[:5])
            raise ArchiveError(
                f"{self.archive}: {len(self.damaged):,} members are damaged; the others are unpacked:\n{shown}\n"
                "Compare the archive's SHA-256 with the official one, or get it anew."
            )


def unpack(layout: Layout, *, delete: bool = False, num_proc: int | None = None) -> Unpacked:
    """Unpack the archive of frames that lies under a root.

    Where another process unpacks there, it is waited for.

    Args:
        layout: where the archive is, and where its frames go.
        delete: remove the archive once all of it is unpacked and sound.
        num_proc: processes for a zip archive; by default one for each core.

    Raises:
        MissingFilesError: there is no archive, nor are all frames there that the annotations list.
        ArchiveError: it is broken, lacks a part, holds no frames, or has members that climb out, links or devices; of a
            zip nothing is then unpacked.
    """
    if not find_archive(layout.root) and (present := _frames_if_complete(layout)):
        return Unpacked(str(layout.root / FRAMES_ARCHIVE), str(layout.root / FRAMES_FOLDER), already_there=present)
    _archive(layout.root)  # before a folder is made for nothing
    with sole_writer(layout.root, wait=True):
        remove_parts(layout.root, "*")
        remove_parts(layout.root / FRAMES_FOLDER)
        return _unpack(layout, delete, num_proc or workers.cores())


def _frames_if_complete(layout: Layout) -> int:
    """How many frames the annotations list, if all of them are there: the archive was deleted after unpacking; or 0."""
    found: dict[str, int] = {}
    for name in layout.splits():
        split = layout.split(name)
        with contextlib.suppress(AnnotationError):
            for video in read_expressions(split).values():
                if split.missing_frames(video):
                    return 0
                found[video.video_id] = len(video.frame_names)
    return sum(found.values())


def _archive(root: Path) -> list[Path]:
    paths = find_archive(root)
    if not paths:
        raise MissingFilesError(
            f"{root} has no {FRAMES_ARCHIVE} (nor one that is split or wrapped: {FRAMES_FOLDER}.z01 …, "
            f"{FRAMES_ARCHIVE}.001 …, {FRAMES_FOLDER}.tar.gz, revos.zip). {WHERE_TO_GET_THEM}"
        )
    return paths


def _unpack(layout: Layout, delete: bool, num_proc: int) -> Unpacked:
    paths = _archive(layout.root)
    done = Unpacked(str(paths[-1]), str(layout.root / FRAMES_FOLDER))
    place = _Places(_video_ids(layout))
    archive = Pieces.of(paths)
    if is_zip(paths[-1]):
        _unpack_zip(archive, layout.root, place, done, num_proc)
    else:
        _unpack_tar(archive, layout.root, place, done)
    archive.close()
    if not (done.unpacked or done.already_there or done.damaged):
        found = ", ".join(done.left_out[:3]) or "nothing"
        raise ArchiveError(f"{paths[-1]} holds no frames: expected <video_id>/<frame>.jpg, found {found}")
    if delete and not done.damaged:
        for path in paths:
            path.unlink()
            done.deleted.append(str(path))
    return done


def describe(done: Unpacked) -> str:
    """What came of an unpacking, for reading."""
    if done.already_there and not done.unpacked and not done.deleted and not Path(done.archive).exists():
        return f"all {done.already_there:,} frames are in {done.frames_folder}, and no archive is needed"
    lines = [f"{done.unpacked:,} files ({done.bytes:,} bytes) unpacked from {done.archive} into {done.frames_folder}"]
    if done.already_there:
        lines.append(f"{done.already_there:,} were there already")
    if done.left_out:
        shown = ", ".join(done.left_out[:3]) + (", …" if len(done.left_out) > 3 else "")
        lines.append(f"{len(done.left_out):,} that are no frames were left out: {shown}")
    if done.damaged:
        lines.append(f"{len(done.damaged):,} are DAMAGED and were not unpacked; get the archive anew:")
        lines += [f"  {member}" for member in done.damaged[:5]]
        lines += [f"  … and {len(done.damaged) - 5:,} more"] if len(done.damaged) > 5 else []
    lines += [f"deleted {path}" for path in done.deleted]
    return "\n".join(lines)


def _video_ids(layout: Layout) -> set[str]:
    ids: set[str] = set()
    for split in layout.splits():
        with contextlib.suppress(AnnotationError):  # `check` reports it; the archive's own names do as well
            ids |= read_expressions(layout.split(split)).keys()
    return ids


class _Places:
    """Where a member of an archive goes, relative to the root."""

    def __init__(self, video_ids: set[str]) -> None:
        self._of_folder = functools.lru_cache(maxsize=None)(functools.partial(video_of, known=video_ids))

    def __call__(self, name: str) -> str | None:
        """A frame's place in JPEGImages/, an annotation file's in the root; null for what is neither."""
        folder, _, file = name.rpartition("/")
        if file in _ANNOTATIONS:
            return file
        if not folder or file.startswith("._") or not file.lower().endswith((".jpg", ".jpeg", ".png")):
            return None
        video_id = self._of_folder(folder)
        return f"{FRAMES_FOLDER}/{video_id}/{file}" if video_id else None


# --- writing ----------------------------------------------------------------------------------------------------------


def _write(target: str | Path, blocks: Iterable[bytes]) -> None:
    with whole(Path(target)) as file:
        for block in blocks:
            file.write(block)


def _present(root: Path, places: Iterable[str]) -> dict[str, int]:
    """The sizes of those files that are there, by place; one look into each folder."""
    found = {}
    for folder in {place.rpartition("/")[0] for place in places}:
        with contextlib.suppress(FileNotFoundError), os.scandir(root / folder) as entries:
            for entry in entries:
                found[f"{folder}/{entry.name}" if folder else entry.name] = entry.stat().st_size
    return found


# --- zip --------------------------------------------------------------------------------------------------------------


_Task = list[tuple[Member, str]]  # members of one archive, and where each goes


def _unpack_zip(archive: Pieces, root: Path, place: _Places, done: Unpacked, num_proc: int) -> None:
    members = read_directory(archive)
    inner = next((member for member in members if PurePosixPath(member.name).name == FRAMES_ARCHIVE), None)
    if inner:  # wrapped: an archive in the archive
        members.remove(inner)
    planned = [(member, where) for member in members if (where := place(member.name))]
    done.left_out += [member.name for member in members if not place(member.name)]
    _refuse_clashes(archive.name, planned)
    there = _present(root, (where for _, where in planned))
    missing = [(member, where) for member, where in planned if not _is_there(there, member, where)]
    done.already_there += len(planned) - len(missing)
    require_room(root, sum(member.size for member, _ in missing), ArchiveError)
    for folder in {os.path.dirname(where) for _, where in missing}:
        (root / folder).mkdir(parents=True, exist_ok=True)

    tasks = [missing[start : start + _CHUNK] for start in range(0, len(missing), _CHUNK)]
    write = functools.partial(_write_members, archive, root)
    with tqdm(
        total=sum(member.size for member, _ in missing), unit="B", unit_scale=True, desc="unpacking", disable=None
    ) as bar:
        for task, (size, damaged) in workers.run(write, tasks, num_proc=min(num_proc, max(1, len(tasks)))):
            bar.update(sum(member.size for member, _ in task))
            done.unpacked += len(task) - len(damaged)
            done.bytes += size
            done.damaged += damaged
    if inner:
        _unpack_inner(archive, inner, root, place, done, num_proc)


def _is_there(there: dict[str, int], member: Member | tarfile.TarInfo, where: str) -> bool:
    """Whether a file needs no unpacking. Annotation files of one's own are never written over."""
    return where in there and (there[where] == member.size or where in _ANNOTATIONS)


def _refuse_clashes(archive: str, planned: list[tuple[Member, str]]) -> None:
    first: dict[str, str] = {}
    clashes = {
        member.name: f"it and {other!r} would both become {where}"
        for member, where in planned
        if (other := first.setdefault(where, member.name)) is not member.name
    }
    if clashes:
        raise ArchiveError(refusal(archive, clashes))


def _write_members(archive: Pieces, root: Path, task: _Task) -> tuple[int, list[str]]:
    """Unpack some members; returns the bytes written, and of those that are damaged what is wrong with each."""
    opened = Pieces(archive.spans)  # this process has its own files open
    damages = [_write_member(opened, f"{root}/{where}", member) for member, where in task]
    opened.close()
    size = sum(member.size for (member, _), damage in zip(task, damages, strict=True) if damage is None)
    return size, [damage for damage in damages if damage]


def _write_member(archive: Pieces, target: str, member: Member) -> str | None:
    try:
        _write(target, member.contents(archive))
    except ArchiveError as error:
        return f"{member.name} {error}"
    return None


def _unpack_inner(archive: Pieces, inner: Member, root: Path, place: _Places, done: Unpacked, num_proc: int) -> None:
    """Unpack a zip within a zip: where it lies when it is stored as it is, or else taken out first."""
    if not inner.deflated:
        window = Pieces(archive.cut(inner.begins(archive), inner.packed))
        return _unpack_zip(window, root, place, done, num_proc)
    taken_out = root / f"{FRAMES_ARCHIVE}.inner"
    require_room(root, inner.size, ArchiveError)
    with tqdm(total=inner.size, unit="B", unit_scale=True, desc=f"taking out {inner.name}", disable=None) as bar:
        _write(taken_out, _counted(inner.contents(archive), bar.update))
    try:
        return _unpack_zip(Pieces.of([taken_out]), root, place, done, num_proc)
    finally:
        taken_out.unlink()


def _counted(blocks: Iterable[bytes], progress: Callable[[int], object]) -> Iterator[bytes]:
    for block in blocks:
        progress(len(block))
        yield block


# --- tar --------------------------------------------------------------------------------------------------------------


def _unpack_tar(archive: Pieces, root: Path, place: _Places, done: Unpacked) -> None:
    """A tar is a stream, so it is read once from start to end, and refused at the first member that must not be."""
    packed = archive.read_at(0, 2) == b"\x1f\x8b"
    with tqdm(total=archive.length, unit="B", unit_scale=True, desc="unpacking", disable=None) as bar:
        watched = io.BufferedReader(_Watched(archive, bar.update), 1 << 20)
        stream: io.BufferedIOBase = gzip.GzipFile(fileobj=watched) if packed else watched
        try:
            with tarfile.open(fileobj=stream, mode="r|", bufsize=1 << 20, tarinfo=BoundedInfo) as tar:
                _unpack_members(tar, archive.name, root, place, done)
            while packed and stream.read(1 << 20):  # to its end, where the CRC is
                pass
        except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
            raise ArchiveError(
                f"{archive.name} is broken after {done.unpacked + done.already_there:,} files: {error}. Those are "
                "unpacked, but a tar has no checksum for each of them: get the archive anew, and look at what is here "
                "with `revoskit check --frames`."
            ) from error


def _unpack_members(tar: tarfile.TarFile, archive: str, root: Path, place: _Places, done: Unpacked) -> None:
    there: dict[str, int] = {}
    folders: set[str] = set()
    for member in tar:
        if reason := objection_to_member(member):
            raise ArchiveError(refusal(archive, {member.name: reason}, "no more of it was"))
        where = place(member.name)
        if where is None or member.isdir():
            done.left_out += [] if member.isdir() else [member.name]
            continue
        if (folder := os.path.dirname(where)) not in folders:
            folders.add(folder)
            (root / folder).mkdir(parents=True, exist_ok=True)
            there |= _present(root, [where])
        if _is_there(there, member, where):
            done.already_there += 1
            continue
        content = tar.extractfile(member)
        assert content is not None  # it is a file, or there would be an objection to it
        _write(root / where, _exactly(content, member.size))
        done.unpacked += 1
        done.bytes += member.size


class _Watched(io.RawIOBase):
    """What a tar is read from; `progress` is called with the bytes of every read."""

    def __init__(self, archive: Pieces, progress: Callable[[int], object]) -> None:
        self._archive, self._progress = archive, progress

    def readable(self) -> bool:
        return True

    def readinto(self, into: Buffer) -> int:
        view = memoryview(into)
        data = self._archive.read(len(view)) or b""
        view[: len(data)] = data
        self._progress(len(data))
        return len(data)


def _exactly(content: IO[bytes], size: int) -> Iterator[bytes]:
    left = size
    while left and (block := content.read(min(left, 4 << 20))):
        left -= len(block)
        yield block
    if left:
        raise EOFError(f"a member ends {left:,} bytes early")
