"""Files that appear under their name only when they are whole, and the room for them."""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from revoskit.errors import RevosError, UsageError

PART = ".part"


def make_folder(folder: Path) -> None:
    """See that there is a folder to write to, a new one perhaps.

    Raises:
        UsageError: there is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file: name a folder, which may be a new one")
    folder.mkdir(parents=True, exist_ok=True)


def part_of(path: Path) -> Path:
    """The temporary name of a file, a new one each time: a process that outlives its run may still write to its own."""
    return path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}{PART}")


def remove_parts(folder: Path, of: str = "**/*") -> None:
    """Remove what killed runs left half written of the files that a pattern names: anywhere below a folder of ours."""
    for part in folder.glob(f"{of}.{'[0-9a-f]' * 8}{PART}"):
        part.unlink(missing_ok=True)


@contextlib.contextmanager
def whole(path: Path) -> Iterator[IO[bytes]]:
    """A file to write to that takes its name when the block ends well; what is left of a failed one is removed."""
    part = part_of(path)
    part.parent.mkdir(parents=True, exist_ok=True)
    try:
        with part.open("wb") as file:
            yield file
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def write_whole(path: Path, content: bytes) -> None:
    """Write a file in one go; who reads it meanwhile finds the old one."""
    with whole(path) as file:
        file.write(content)


def require_room(folder: Path, needed: int, error: type[RevosError]) -> None:
    """See, before anything is written, that the disk of `folder` has so many bytes free; raise `error` where not."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise error(
            f"{needed:,} bytes are still to be written, and the disk of {folder} has {free:,} bytes free: make room, "
            "or name a folder on another disk"
        )
