"""Reads a file from a source that breaks off: again and again, each time from where it was."""

from __future__ import annotations

import contextlib
import errno
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from revoskit.atomic import require_room
from revoskit.errors import DownloadError

TRIES = 6
"""How often a source may fail in a row, without one byte more, before it is given up."""
FIRST_PAUSE = 1.0
"""Seconds before the second try; they double up to a minute."""
BLOCK = 1 << 20
TIMEOUT = (15, 60)  # seconds to connect, and between two pieces of data


class Broken(Exception):
    """The source failed in a way that another try may not; `wait` is how many seconds it asked for."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


class Stream(NamedTuple):
    """A file from byte `start` on; `total` is the size of the whole, where it is told."""

    start: int
    total: int | None
    blocks: Iterator[bytes]


Opener = Callable[[int], "contextlib.AbstractContextManager[Stream]"]


def patiently(attempt: Callable[[], None], progressed: Callable[[], int], what: str) -> None:
    """Call `attempt` until it does not break; give up after `TRIES` in a row that brought nothing."""
    furthest, failures = progressed(), 0
    while broken := _break_in(attempt):
        failures = 1 if progressed() > furthest else failures + 1
        furthest = max(furthest, progressed())
        if failures >= TRIES:
            raise DownloadError(
                f"{what}: {broken}. Given up after {TRIES} tries; what came ({furthest:,} bytes) is kept: the same "
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


def _continue(open_at: Opener, partial: Path, bar: tqdm[Any]) -> None:
    """Read on from where `partial` ends; what a source sends again from the start is passed over."""
    have = partial.stat().st_size if partial.exists() else 0
    with open_at(have) as stream, partial.open("ab") as file:
        if stream.total is not None and stream.total < have:  # that is another file than the one that was begun
            file.truncate(0)
            have = 0
        if stream.total is not None:
            require_room(partial.parent, stream.total - have, DownloadError)
            bar.total = stream.total
        bar.n = have
        bar.refresh()
        position = stream.start
        try:
            for block in stream.blocks:
                new = block[max(0, have - position) :]
                position += len(block)
                file.write(new)
                bar.update(len(new))
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise DownloadError(f"the disk of {partial.parent} is full; what came is kept") from error
            raise DownloadError(f"cannot write {partial}: {error}") from error
    if stream.total is not None and position < stream.total:
        raise Broken(f"it broke off after {position:,} of {stream.total:,} bytes")


def bar_of(what: str) -> tqdm[Any]:
    """Shows how many bytes of a file have come, or have been read."""
    return tqdm(desc=what, unit="B", unit_scale=True, disable=None)


def read_on(open_at: Opener, partial: Path, name: str, what: str) -> None:
    with bar_of(name) as bar:
        patiently(
            lambda: _continue(open_at, partial, bar),
            lambda: partial.stat().st_size if partial.exists() else 0,
            what,
        )


def reason(error: BaseException) -> str:
    """The innermost reason of a network error, which is the one that says something."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return str(error) or type(error).__name__
