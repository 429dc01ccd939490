"""A number and a list that copies of an object have in common, whichever process each copy is in.

A data loader copies its dataset into every worker, by fork or by pickling, and may keep the workers for the whole
training. What is said to the object afterwards, such as the epoch, would not reach them, and what they count would
not come back. So both lie in files: a mapped one for the number, one that is appended to for the list.
"""

from __future__ import annotations

import mmap
import os
import shutil
import struct
import tempfile
import weakref
from collections.abc import Callable
from pathlib import Path

_NUMBER = struct.Struct("<q")
_BINARY = getattr(os, "O_BINARY", 0)  # Windows would write "\r\n" without it


class Shared:
    """`number` and `names`, the same in this process and in the workers that are started from it.

    The files are removed with the object that made them. A copy that is unpickled after that, or on another machine,
    begins its own from the number it was pickled with.
    """

    def __init__(self, number: int = 0) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="revos-"))
        (self._folder / "number").write_bytes(_NUMBER.pack(number))
        self._map()
        weakref.finalize(self, _remove, self._folder, self._mapped, os.getpid())

    def _map(self) -> None:
        with (self._folder / "number").open("r+b") as file:
            self._mapped = mmap.mmap(file.fileno(), _NUMBER.size)

    @property
    def number(self) -> int:
        return int(_NUMBER.unpack(self._mapped[:])[0])

    @number.setter
    def number(self, value: int) -> None:
        self._mapped[:] = _NUMBER.pack(value)

    def append(self, name: str) -> None:
        """Add a name to the list."""
        line = os.fsencode(name).replace(b"\n", b" ") + b"\n"
        file = os.open(self._folder / "names", os.O_WRONLY | os.O_CREAT | os.O_APPEND | _BINARY, 0o600)
        try:
            os.write(file, line)  # in one piece, so that processes do not write into each other's lines
        finally:
            os.close(file)

    @property
    def names(self) -> list[str]:
        """Everything that was appended, by whichever process, in that order."""
        path = self._folder / "names"
        return [os.fsdecode(line) for line in path.read_bytes().splitlines()] if path.exists() else []

    def __reduce__(self) -> tuple[Callable[[Path, int], Shared], tuple[Path, int]]:
        return _open, (self._folder, self.number)

    def __deepcopy__(self, memo: dict[int, object]) -> Shared:
        return self


def _open(folder: Path, number: int) -> Shared:
    if not (folder / "number").exists():
        return Shared(number)
    shared = object.__new__(Shared)
    shared._folder = folder
    shared._map()
    return shared


def _remove(folder: Path, mapped: mmap.mmap, owner: int) -> None:
    if os.getpid() == owner:  # a forked copy must not take the files from the others
        mapped.close()  # Windows keeps what is mapped
        shutil.rmtree(folder, ignore_errors=True)
