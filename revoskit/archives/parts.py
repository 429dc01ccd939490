"""Which files make up an archive: one, or several where it is split, and how they are called."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from revoskit.errors import ArchiveError

_NAME = re.compile(r"(?P<stem>.+)\.(?P<kind>zip|tar\.gz|tar|tgz)(?P<piece>\.(\d{2,3}|[a-z]{2}))?", re.IGNORECASE)
OF_REVOS = ("JPEGImages", "revos")
"""What the archive of frames of ReVOS is called without its ending, or one that has it in itself."""


def find_archive(root: Path, called: Sequence[str] = OF_REVOS) -> list[Path]:
    """The parts of the archive of frames under a root, in their order; none where there is no archive.

    Args:
        called: its path under the root, without an ending and in any case; of several, the first that is there counts.

    Raises:
        ArchiveError: one of its pieces is not there.
    """
    for name in called:
        if found := _called(root / name):
            return parts_of(found[min(found)])  # a whole before pieces
    return []


def _called(archive: Path) -> dict[tuple[bool, str], Path]:
    """The files of that path with the ending of an archive."""
    found: dict[tuple[bool, str], Path] = {}
    for path in sorted(archive.parent.iterdir()) if archive.parent.is_dir() else []:
        match = _NAME.fullmatch(path.name)
        if match and match["stem"].casefold() == archive.name.casefold() and path.is_file():
            found[bool(match["piece"]), path.name.removesuffix(match["piece"] or "")] = path
    return found


def parts_of(path: Path) -> list[Path]:
    """The files that an archive is split into, in their order; `path` is the last of them, or the only one.

    Raises:
        ArchiveError: one of its pieces is not there.
    """
    match = _NAME.fullmatch(path.name)
    if match and match["piece"]:
        whole = path.name.removesuffix(match["piece"])
        pieces = sorted(other for other in path.parent.iterdir() if _is_piece(other, whole))
        _require_every_piece(pieces)
        return pieces
    if path.suffix.lower() == ".zip":
        splits = [other for other in path.parent.glob("*") if other.stem == path.stem]
        splits = [other for other in splits if re.fullmatch(r"\.z\d{2,}", other.suffix, re.IGNORECASE)]
        return [*sorted(splits, key=lambda part: int(part.suffix[2:])), path]
    return [path]


def is_zip(path: Path) -> bool:
    """By its name."""
    match = _NAME.fullmatch(path.name)
    return match is not None and match["kind"].lower() == "zip"


def _is_piece(path: Path, whole: str) -> bool:
    match = _NAME.fullmatch(path.name)
    return match is not None and bool(match["piece"]) and path.name == whole + match["piece"] and path.is_file()


def _require_every_piece(paths: list[Path]) -> None:
    """Pieces are counted from 0, 1 or aa on; that the last is there, the archive's own end tells."""
    places = [_place_of_piece(path.suffix[1:]) for path in paths]
    first = 0 if paths[0].suffix[1:].isalpha() else 1
    if places[0] > first or places != list(range(places[0], places[0] + len(places))):
        raise ArchiveError(
            f"a piece is missing: only {', '.join(path.name for path in paths)} lie in {paths[0].parent}"
        )


def _place_of_piece(suffix: str) -> int:
    if suffix.isdecimal():
        return int(suffix)
    first, second = (ord(letter) - ord("a") for letter in suffix.lower())
    return 26 * first + second
