"""Files that appear under their name only when they are whole, the room for them, and folders with one writer."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import msgspec

from revoskit.errors import FolderInUseError, RevosError, StorageError, UsageError

PART = ".part"
LOCK = ".revoskit.lock"
_OWNER = ".revoskit.owner"
PATIENCE = 5.0
"""Seconds that the workers of a killed run may take to be gone."""
_FULL = (errno.ENOSPC, errno.EDQUOT)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)


def make_folder(folder: Path) -> None:
    """See that there is a folder to write to, a new one perhaps.

    Raises:
        UsageError: there is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file: name a folder, which may be a new one")
    folder.mkdir(parents=True, exist_ok=True)


def storage_error(error: BaseException | None, folder: str | os.PathLike[str]) -> StorageError | None:
    """What is to be said where an error, or one that it comes of, is that `folder` cannot be written to.

    Others wrap such an error, and the system does not always say in it which file was written.
    """
    while error is not None:
        if isinstance(error, StorageError):
            return StorageError(error.folder, str(error))  # a new one: its context would else lead back to it
        if isinstance(error, OSError) and not isinstance(error, RevosError):
            here, where = _place(error, folder)
            if error.errno in _FULL:
                return StorageError(where, f"the disk of {where} is full: make room there, and try again")
            if error.errno == errno.EROFS or (error.errno in _FORBIDDEN and here):
                reason = os.strerror(error.errno or 0)
                return StorageError(where, f"{where} may not be written to ({reason}): name a folder that may be")
        error = error.__cause__ or error.__context__
    return None


def _place(error: OSError, folder: str | os.PathLike[str]) -> tuple[bool, str]:
    """Whether an error names a file below a folder, and that folder, or else the one of the file that it names."""
    file = error.filename
    if not isinstance(file, (str, os.PathLike)):
        return False, os.fspath(folder)
    below = Path(os.path.abspath(file)).is_relative_to(os.path.abspath(folder))
    return below, os.fspath(folder) if below else os.path.dirname(os.path.abspath(file))


@contextlib.contextmanager
def storing(folder: str | os.PathLike[str], *wrappers: type[Exception]) -> Iterator[None]:
    """Let the block write to a folder, and say in one sentence that it cannot be written to where that is so.

    Args:
        folder: which it is.
        wrappers: errors that others may have put around that of the system.

    Raises:
        StorageError: its disk is full, or it may not be written to.
    """
    kinds: tuple[type[Exception], ...] = (OSError, *wrappers)
    try:
        yield
    except kinds as error:
        told = storage_error(error, folder)
        if told is None:
            raise
        raise told from None


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A name beside `path` to write to, which takes its place when the block ends well, and is removed otherwise.

    The name is a new one each time: a process that outlives its run may still write to its own.
    """
    part = Path(f"{path}.{os.urandom(4).hex()}{PART}")
    try:
        with storing(path.parent):
            yield part
            os.replace(part, path)
    except BaseException:
        with contextlib.suppress(OSError):  # which would hide what went wrong, such as a disk that is read-only
            part.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def whole(path: Path) -> Iterator[IO[bytes]]:
    """The same as a file that is open for writing; makes the folder that it lies in."""
    with replacing(path) as part:
        try:
            file = part.open("xb")
        except FileNotFoundError:
            part.parent.mkdir(parents=True, exist_ok=True)
            file = part.open("xb")
        with file:
            yield file


def write_whole(path: Path, content: bytes) -> None:
    """Write a file in one go; who reads it meanwhile finds the old one."""
    with whole(path) as file:
        file.write(content)


def remove_parts(folder: Path, of: str = "**/*") -> None:
    """Remove what killed runs left half written of the files that a pattern names: anywhere below a folder of ours."""
    for part in folder.glob(f"{of}.{'[0-9a-f]' * 8}{PART}"):
        part.unlink(missing_ok=True)


def require_room(folder: Path, needed: int, error: type[RevosError]) -> None:
    """See, before anything is written, that the disk of `folder` has so many bytes free; raise `error` where not."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise error(
            f"{needed:,} bytes are still to be written, and the disk of {folder} has {free:,} bytes free: make room, "
            "or name a folder on another disk"
        )


# --- one writer at a time ---------------------------------------------------------------------------------------------


class _Owner(msgspec.Struct):
    process: int
    host: str
    since: str

    def __str__(self) -> str:
        return f"process {self.process} of host {self.host} has been writing there since {self.since}"


@contextlib.contextmanager
def sole_writer(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Have a folder to oneself while the block runs; it is made where it does not exist.

    The system lets go of the lock of a process that has died, and its forked workers with it: there are no stale ones.

    Args:
        wait: for as long as another process writes there, instead of giving up.

    Raises:
        UsageError: there is a file of that name.
        FolderInUseError: another process writes there.
    """
    from filelock import FileLock, Timeout  # here, as few commands lock a folder and all of them start

    lock = FileLock(folder / LOCK)
    try:
        make_folder(folder)
        lock.acquire(timeout=PATIENCE)
    except NotImplementedError:  # a file system without locks: to work there is worth more than to be safe
        logging.getLogger(__name__).warning("%s cannot be locked: let only one process write there", folder)
    except Timeout:
        owner = _owner_of(folder)
        if not wait:
            raise FolderInUseError(
                f"{folder} is in use: {owner}. Wait for it to end, or name another folder", folder
            ) from None
        logging.getLogger(__name__).warning("waiting for %s: %s", folder, owner)
        lock.acquire()
    except OSError as error:
        raise (storage_error(error, folder) or error) from None
    try:
        with storing(folder):
            _sign(folder)
            yield
    finally:
        with contextlib.suppress(OSError):
            (folder / _OWNER).unlink()
        lock.release()


def is_of_lock(name: str) -> bool:
    """Whether a file's name is one of those that a lock or a killed writer leaves in a folder."""
    return name in (LOCK, _OWNER) or name.endswith(PART)


def _sign(folder: Path) -> None:
    me = _Owner(os.getpid(), socket.gethostname(), time.strftime("%Y-%m-%d %H:%M:%S"))
    write_whole(folder / _OWNER, msgspec.json.encode(me))


def _owner_of(folder: Path) -> _Owner | str:
    try:
        return msgspec.json.decode((folder / _OWNER).read_bytes(), type=_Owner)
    except (OSError, msgspec.DecodeError):  # it is just coming, or going
        return "another process is writing there"
