"""A large JSON file, of which one knows where its members lie and reads one when its turn comes.

Members are read, not mapped: where a file is cut short, a page of it that was mapped and is gone ends the process
without a word (SIGBUS), and a read comes out short, which can be said. The system keeps its pages once for all
processes either way.
"""

from __future__ import annotations

import mmap
import os
import threading
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from revoskit.errors import ChangedError

WHOLE_BYTES = 2**26
"""A file of up to so many bytes is read to find its members, as fast as mapping it. A larger one is mapped for that
moment, since every process would have so much more memory of its own: where it is cut short just then, it ends."""

Content = bytes | memoryview | msgspec.Raw


class Stretch(NamedTuple):
    """Where in a file something lies, in bytes."""

    position: int
    length: int


class Stretches:
    """A file, kept open, of which stretches are read: it stays the one that it was when another takes its name."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("rb", buffering=0)
        self._lock = threading.Lock()  # where the position is shared
        weakref.finalize(self, self._file.close)

    def content(self) -> memoryview:
        """All of it, to be let go soon."""
        size = os.fstat(self._file.fileno()).st_size
        if size <= WHOLE_BYTES:
            return memoryview(self.read(Stretch(0, size)))
        return memoryview(mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ))

    def read(self, stretch: Stretch) -> bytes:
        """The bytes of a stretch.

        Raises:
            ChangedError: the file has become too short for it.
        """
        data = self._read(*stretch)
        while data and len(data) < stretch.length:  # the system gives some 2 GB at a time
            more = self._read(stretch.position + len(data), stretch.length - len(data))
            if not more:
                break
            data += more
        if len(data) < stretch.length:
            raise ChangedError(self.path.parent, [self.path.name])
        return data

    def _read(self, position: int, length: int) -> bytes:
        if hasattr(os, "pread"):
            return os.pread(self._file.fileno(), length, position)
        with self._lock:
            self._file.seek(position)
            return self._file.read(length)


def stretches_of(content: Content, members: Mapping[str, msgspec.Raw]) -> dict[str, Stretch]:
    """Where in the content that they were decoded from values lie, by key."""
    begin = _address(content)
    return {key: Stretch(_address(raw) - begin, len(memoryview(raw))) for key, raw in members.items()}


def _address(content: Content | msgspec.Raw) -> int:
    address: int = np.frombuffer(content, np.uint8).ctypes.data
    return address
