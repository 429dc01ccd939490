"""Reads a file from a source that breaks off: again and again, each time from where it was."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

from tqdm import tqdm

from revoskit.atomic import require_room
from revoskit.errors import DownloadError

TRIES = 6
"""How often a source may fail in a row, without one byte more, before it is given up."""
FIRST_PAUSE = 1.0
"""Seconds before the second try; they double up to a minute."""
PATIENCE = 120.0
"""Seconds that the tries may take together, without one byte more; pauses between them do not count."""
MIN_RATE = float(os.environ.get("REVOSKIT_MIN_RATE", 1000))
"""Bytes a second that a source has to bring, over a minute."""
BLOCK = 1 << 20
TIMEOUT = (15, 30)  # seconds to connect, and between two pieces of data
_WINDOW = 60.0  # seconds over which the rate is measured


class Broken(Exception):
    """The source failed in a way that another try may not; `wait` is how many seconds it asked for."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


class OtherFile(Exception):
    """What the source sends is not the file that was begun."""


class Stream(NamedTuple):
    """A file from byte `start` on; `total` is the size of the whole, where it is told."""

    start: int
    total: int | None
    blocks: Iterator[bytes]


Opener = Callable[[int], "contextlib.AbstractContextManager[Stream]"]


def patiently(attempt: Callable[[], None], progressed: Callable[[], int], what: str) -> int:
    """Call `attempt` until it does not break; give up after `TRIES` in a row that brought nothing.

    Returns:
        How often it broke.
    """
    furthest, failures, spent, breaks = progressed(), 0, 0.0, 0
    while True:
        began = time.monotonic()
        if (broken := _break_in(attempt)) is None:
            return breaks
        breaks += 1
        if progressed() > furthest:
            furthest, failures, spent = progressed(), 1, 0.0
        else:
            failures, spent = failures + 1, spent + time.monotonic() - began
        if failures >= TRIES or spent >= PATIENCE:
            raise DownloadError(
                f"{what}: {broken}. Given up after {failures} tries; what came ({furthest:,} bytes) is kept: the same "
                "command continues there."
            ) from broken
        pause = min(60.0, FIRST_PAUSE * 2 ** (failures - 1)) * random.uniform(0.8, 1.2)
        time.sleep(max(pause, min(broken.wait, 120.0)))


def _break_in(attempt: Callable[[], None]) -> Broken | None:
    try:
        attempt()
    except Broken as error:
        return error
    return None


def read_on(open_at: Opener, partial: Path, name: str, what: str, most: int) -> bool:
    """Read a file to `partial`, on from where that ends.

    Args:
        open_at: opens the source at a byte, or at an earlier one.
        name: for the bar.
        what: the source's file, for messages.
        most: bytes that are taken from a source that does not say how many there are.

    Returns:
        Whether it came in one piece, so that it cannot consist of parts of several files.

    Raises:
        OtherFile: the source has another file than the one that `partial` is the beginning of, which stays as it is.
        DownloadError: the source was given up, sends too slowly or too much, or the disk is full.
    """
    began = size_of(partial)
    with bar_of(name) as bar:
        breaks = patiently(lambda: _continue(open_at, partial, bar, what, most), lambda: size_of(partial), what)
    return began == 0 and breaks == 0


def size_of(path: Path) -> int:
    """The size of a file in bytes, 0 where there is none."""
    return path.stat().st_size if path.exists() else 0


def _continue(open_at: Opener, partial: Path, bar: tqdm[Any], what: str, most: int) -> None:
    """Read on from where `partial` ends; what a source sends again from the start has to be what is there."""
    have = size_of(partial)
    with open_at(have) as stream:
        if stream.total is not None:
            if stream.total < have:
                raise OtherFile
            require_room(partial.parent, stream.total - have, DownloadError)
            bar.total = stream.total
        bar.n = have
        bar.refresh()
        position = stream.start
        rate = _Rate(what)
        try:
            with partial.open("r+b" if have else "wb") as file:
                for block in stream.blocks:
                    again = block[: max(0, have - position)]
                    if again and _at(file, position, len(again)) != again:
                        raise OtherFile
                    position += len(block)
                    if stream.total is None and position > most:
                        raise DownloadError(
                            f"{what}: the source sends more than {most:,} bytes, and does not say how many there are; "
                            "no official file is as large"
                        )
                    if new := block[len(again) :]:
                        file.seek(0, os.SEEK_END)
                        file.write(new)
                        bar.update(len(new))
                    rate.add(len(block))
        except OSError as error:
            if isinstance(error, DownloadError):
                raise
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise DownloadError(f"the disk of {partial.parent} is full; what came is kept") from error
            raise DownloadError(f"cannot write {partial}: {error}") from error
    if stream.total is not None and position < stream.total:
        raise Broken(f"it broke off after {position:,} of {stream.total:,} bytes")
    if position < have:
        raise OtherFile


def _at(file: IO[bytes], position: int, size: int) -> bytes:
    file.seek(position)
    return file.read(size)


class _Rate:
    """Notices a source that brings so little that it would never end."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._since, self._bytes = time.monotonic(), 0

    def add(self, size: int) -> None:
        self._bytes += size
        seconds = time.monotonic() - self._since
        if seconds < _WINDOW:
            return
        if self._bytes < MIN_RATE * seconds:
            raise DownloadError(
                f"{self._what}: the source brings {self._bytes / seconds:,.0f} bytes a second, which would take for "
                f"ever; what came is kept. $REVOSKIT_MIN_RATE sets the least, which is {MIN_RATE:,.0f}."
            )
        self._since, self._bytes = time.monotonic(), 0


def bar_of(what: str) -> tqdm[Any]:
    """Shows how many bytes of a file have come, or have been read."""
    return tqdm(desc=what, unit="B", unit_scale=True, disable=None)


def refuse_offline() -> None:
    """See that the user has not asked to stay offline.

    Raises:
        DownloadError: an environment variable says so.
    """
    for variable in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        if os.environ.get(variable, "").lower() in ("1", "true", "yes", "on"):
            raise DownloadError(f"${variable} is set, so that nothing is fetched: unset it, or name a folder")
