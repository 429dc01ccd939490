"""Which of the six official files a copy holds, and whether each is what was released: told by SHA-256.

The archive is 48 GB, so a checksum is remembered for as long as the file's size and time of change stay the same. The
memory is kept with the caches of the Hugging Face libraries, not in the copy, which may be shared or read-only.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
from huggingface_hub import constants
from tabulate import tabulate

from revoskit.atomic import write_whole
from revoskit.dataset.advice import about_root
from revoskit.dataset.expressions import read_expressions
from revoskit.dataset.layout import FRAMES_ARCHIVE, SHA256, SHA256_FIRST_RELEASE, WHERE_TO_GET_THEM, Layout
from revoskit.errors import AnnotationError, MissingFilesError
from revoskit.frames import FrameMember
from revoskit.text import as_json, storable

OFFICIAL, FIRST_RELEASE, UNKNOWN, MISSING = "official", "first release", "unknown", "missing"

_BLOCK = 1 << 20


class FileReport(msgspec.Struct):
    """One of the six files; `state` is "official", "first release" (since replaced), "unknown" or "missing"."""

    name: str
    state: str
    expected: str
    """The official SHA-256."""
    size: int | None = None
    """In bytes."""
    sha256: str | None = None


class FramesReport(msgspec.Struct):
    """How many of the frames that a split lists are here; `problem` says why that cannot be told."""

    split: str
    listed: int = 0
    present: int = 0
    archived: int = 0
    """Of those present, the ones that lie in the archive alone."""
    videos: int = 0
    complete_videos: int = 0
    problem: str | None = None


class Verification(msgspec.Struct):
    """What `verify` found under `root`."""

    root: str
    files: list[FileReport]
    frames: list[FramesReport]

    @property
    def all_official(self) -> bool:
        """Whether files are here, and every one of them is the official one."""
        present = [file for file in self.files if file.state != MISSING]
        return bool(present) and all(file.state == OFFICIAL for file in present)


def verify(
    layout: Layout,
    *,
    expected: Mapping[str, str] = SHA256,
    first_release: Mapping[str, str] = SHA256_FIRST_RELEASE,
    progress: Callable[[int], object] = lambda size: None,
) -> Verification:
    """Compare the files under a root with the official checksums, and count the frames that are there.

    `progress` is called with the number of bytes that were read since its last call.

    Raises:
        MissingFilesError: the root is not a folder.
    """
    if not layout.root.is_dir():
        raise MissingFilesError(f"{layout.root} is not a folder. {WHERE_TO_GET_THEM}")
    files = []
    for name, official in expected.items():
        path = layout.root / name
        if not path.is_file():
            files.append(FileReport(name, MISSING, official))
            continue
        digest = sha256_remembered(path, progress)
        is_first = first_release.get(name) == digest
        state = OFFICIAL if digest == official else FIRST_RELEASE if is_first else UNKNOWN
        files.append(FileReport(name, state, official, path.stat().st_size, digest))
    return Verification(str(layout.root), files, [count_frames(layout, split) for split in layout.splits()])


def bytes_to_read(layout: Layout, names: Mapping[str, str] = SHA256) -> int:
    """How much `verify` will read: the files whose checksum is not remembered."""
    known = _read_memory()
    paths = [layout.root / name for name in names if (layout.root / name).is_file()]
    return sum(path.stat().st_size for path in paths if known.get(_key(path)) != _stamp(path, known))


def count_frames(layout: Layout, split: str) -> FramesReport:
    """How many of the frames that a split lists are here, on disk or in the archive."""
    try:
        videos = read_expressions(layout.split(split))
    except AnnotationError as error:
        return FramesReport(split, problem=str(error))
    report = FramesReport(split, videos=len(videos))
    for video in videos.values():
        frames = layout.split(split).frames(video)
        report.listed += len(frames)
        report.present += len(frames) - frames.count(None)
        report.archived += sum(isinstance(frame, FrameMember) for frame in frames)
        report.complete_videos += None not in frames
    return report


def table(found: Verification) -> str:
    """A verification for reading."""
    rows = [
        [file.name, "" if file.size is None else f"{file.size:,}", file.state, _remark(file)] for file in found.files
    ]
    lines = [tabulate(rows, ["file", "bytes", "SHA-256", ""], colalign=("left", "right", "left", "left"))]
    for frames in found.frames:
        if frames.problem:
            lines.append(f"frames of {frames.split}: {frames.problem}")
            continue
        archived = f", {frames.archived:,} of them in the archive" if frames.archived else ""
        lines.append(
            f"frames of {frames.split}: {frames.present:,} of {frames.listed:,} listed are here{archived}; "
            f"{frames.complete_videos:,} of {frames.videos:,} videos are complete"
        )
    if all(file.state == MISSING for file in found.files):
        lines.append(f"None of them is in {found.root}.{about_root(Path(found.root), SHA256)}")
    return "\n".join([lines[0], "", *lines[1:]]) if len(lines) > 1 else lines[0]


def _remark(file: FileReport) -> str:
    if file.state == FIRST_RELEASE:
        return "replaced on 2024-07-13: get it anew"
    if file.state == UNKNOWN and file.sha256 is not None:
        return f"{file.sha256[:12]}…, expected {file.expected[:12]}…: get it anew"
    if file.state == MISSING and file.name == FRAMES_ARCHIVE:
        return "not needed where its frames are unpacked"
    return ""


# --- checksums, and the memory of them --------------------------------------------------------------------------------


class _Known(msgspec.Struct, frozen=True):
    size: int
    mtime_ns: int
    sha256: str


def sha256(path: Path, progress: Callable[[int], object] = lambda size: None) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    buffer = bytearray(_BLOCK)
    view = memoryview(buffer)
    with path.open("rb", buffering=0) as file:
        while size := file.readinto(buffer):
            digest.update(view[:size])
            progress(size)
    return digest.hexdigest()


def sha256_remembered(path: Path, progress: Callable[[int], object] = lambda size: None) -> str:
    """The SHA-256 of a file, read only where its size or time of change differs from what is remembered."""
    before = _stamp(path, known := _read_memory())
    if known.get(_key(path)) == before:
        return before.sha256
    digest = sha256(path, progress)
    after = path.stat()
    if (after.st_size, after.st_mtime_ns) == (before.size, before.mtime_ns):  # else it is being written to
        remember(path, digest)
    return digest


def remember(path: Path, digest: str) -> None:
    """Keep a checksum for the next time; where that cannot be written, it is computed again."""
    status = path.stat()
    known = _read_memory() | {_key(path): _Known(status.st_size, status.st_mtime_ns, digest)}
    with contextlib.suppress(OSError):
        write_whole(_memory(), as_json(known))


def _key(path: Path) -> str:
    return storable(os.path.realpath(path))


def _memory() -> Path:
    return Path(constants.HF_HOME) / "revoskit" / "sha256.json"


def _read_memory() -> dict[str, _Known]:
    try:
        return msgspec.json.decode(_memory().read_bytes(), type=dict[str, _Known])
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return {}


def _stamp(path: Path, known: Mapping[str, _Known]) -> _Known:
    """The file as it is now, with the checksum that is remembered for it."""
    status = path.stat()
    earlier = known.get(_key(path))
    return _Known(status.st_size, status.st_mtime_ns, earlier.sha256 if earlier else "")
