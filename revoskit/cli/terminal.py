"""What is printed, on its way to the terminal: no name from a file or a server moves its cursor or breaks it off."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterator
from typing import TextIO, cast

from revoskit.text import printable

_OF_BARS = re.compile(r"(\x1b\[A|\x1b\[K|[\r\n ])+")  # how tqdm moves, in writes of their own


class _Guarded:
    """A stream that escapes what a terminal would obey and what its encoding does not have."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        if not _OF_BARS.fullmatch(text):
            encoding = getattr(self._stream, "encoding", None) or "utf-8"
            text = printable(text).encode(encoding, "backslashreplace").decode(encoding)
        return self._stream.write(text)

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    """Guard both streams within the block."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = cast(TextIO, _Guarded(sys.stdout)), cast(TextIO, _Guarded(sys.stderr))
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
