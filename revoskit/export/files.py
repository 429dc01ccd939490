"""Files of an export: each appears under its name only when it is whole."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO

PART = ".part"
HOW = ("link", "copy", "symlink")


@contextlib.contextmanager
def whole(path: Path) -> Iterator[IO[bytes]]:
    """A file to write to that takes its name when the block ends well; what is left of a failed one is removed."""
    part = path.with_name(path.name + PART)
    part.parent.mkdir(parents=True, exist_ok=True)
    try:
        with part.open("wb") as file:
            yield file
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def place(source: str, target: Path, how: str) -> str:
    """Put a file of the dataset where nothing is yet; returns "linked", "copied" or "symlinked"."""
    source = os.path.realpath(source)  # a link to a link would lead out of the folder
    if how == "symlink":
        os.symlink(source, target)
        return "symlinked"
    if how == "link":
        try:
            os.link(source, target)
            return "linked"
        except OSError:  # another file system, or one without links
            pass
    part = target.with_name(target.name + PART)
    shutil.copyfile(source, part)
    os.replace(part, target)
    return "copied"
