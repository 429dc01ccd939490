"""What came from a server, kept on disk for the next time: no more than fits, and what lay unused the longest goes.

$REVOS_FRAME_CACHE names the folder, and without it nothing is kept; $REVOS_FRAME_CACHE_GB says how much it may hold.
Any number of processes may share it.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import threading
import warnings
from pathlib import Path

from revoskit.atomic import PART, write_whole
from revoskit.errors import UsageError

FOLDER_VARIABLE, SIZE_VARIABLE = "REVOS_FRAME_CACHE", "REVOS_FRAME_CACHE_GB"
DEFAULT_GB = 20.0
_SLACK = 0.05  # of what it may hold: so much is written by a process before it looks again whether all of it fits


class ByteCache:
    """Contents by key in a folder, `most` bytes at most, give or take what each process has just written."""

    def __init__(self, folder: Path, most: int) -> None:
        self.folder, self.most = folder, most
        self._written = most  # since the last look: the first thing that is kept makes for one
        self._lock = threading.Lock()
        self._warned = False

    def get(self, key: str) -> bytes | None:
        """What was kept under a key; null where nothing is, or no longer. It may have been damaged since."""
        path = self._path(key)
        try:
            content = path.read_bytes()
            os.utime(path)  # used now
        except OSError:
            return None
        return content

    def put(self, key: str, content: bytes) -> None:
        """Keep something, where the disk has room for it; another one is said once."""
        if len(content) > self.most:
            return
        try:
            write_whole(self._path(key), content)
        except OSError as error:
            if not self._warned:
                self._warned = True
                warnings.warn(f"frames are not kept: {self.folder} cannot be written ({error})", stacklevel=2)
            return
        with self._lock:
            self._written += len(content)
            look = self._written > self.most * _SLACK
            self._written = 0 if look else self._written
        if look:
            self._make_fit()

    def _path(self, key: str) -> Path:
        digest = hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()
        return self.folder / digest[:2] / digest[2:40]

    def _make_fit(self) -> None:
        """Remove what was used the longest ago, until there is room for what each process may write before it looks."""
        found = []
        for folder in self.folder.glob("[0-9a-f][0-9a-f]"):
            with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
                for entry in entries:
                    with contextlib.suppress(FileNotFoundError):  # another process removed it
                        status = entry.stat()
                        found.append((status.st_mtime_ns, status.st_size, entry.path))
        size = sum(bytes_ for _, bytes_, _ in found)
        for _, bytes_, path in sorted(found):
            if size <= self.most * (1 - 2 * _SLACK):
                break
            if not path.endswith(PART):
                with contextlib.suppress(OSError):
                    os.unlink(path)
            size -= bytes_


def frame_cache() -> ByteCache | None:
    """The cache that the environment names; null where it names none.

    Raises:
        UsageError: it says no size.
    """
    folder = os.environ.get(FOLDER_VARIABLE)
    return _cache(folder, os.environ.get(SIZE_VARIABLE, str(DEFAULT_GB))) if folder else None


@functools.lru_cache(maxsize=2)
def _cache(folder: str, gigabytes: str) -> ByteCache:
    try:
        most = int(float(gigabytes) * 1e9)
    except (ValueError, OverflowError):
        most = 0
    if most <= 0:
        raise UsageError(f"${SIZE_VARIABLE} is {gigabytes!r}: expected how many gigabytes of frames may be kept")
    return ByteCache(Path(folder).expanduser(), most)
