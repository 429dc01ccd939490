"""Files of others are opened here: only what is a file, and no larger than such a file may be.

A FIFO in place of a picture would be waited for without end, and a device or a sparse file would fill the memory.
"""

from __future__ import annotations

import errno
import io
import os
import stat

MAX_BYTES = 256 * 10**6
"""Of a picture; a frame of 64 megapixels takes a tenth of it."""
MAX_PIXELS = int(os.environ.get("REVOSKIT_MAX_PIXELS", 2**26))
"""Of a frame or a mask: 64 megapixels, eight times 4K. What claims to be larger is refused before it is decoded."""

_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


def open_regular(path: str | os.PathLike[str], most: int = MAX_BYTES) -> io.FileIO:
    """Open a file to be read.

    Raises:
        OSError: it cannot be opened, is something else than a file, or has more than `most` bytes.
    """
    file = io.FileIO(os.open(path, _FLAGS))
    status = os.fstat(file.fileno())
    if stat.S_ISREG(status.st_mode) and status.st_size <= most:
        return file
    file.close()
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "it is a device, a pipe or a socket, not a file", os.fspath(path))
    raise OSError(
        errno.EFBIG, f"it has {status.st_size:,} bytes, and none may have more than {most:,}", os.fspath(path)
    )
