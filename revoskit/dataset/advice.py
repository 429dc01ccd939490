"""Where a copy or its frames may be, when they are not where they were looked for: the end of an error message."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterable
from pathlib import Path

_MOST = 1000  # entries of a folder that are looked at
_WINDOWS = re.compile(r"[A-Za-z]:[\\/]|.*\\")


def about_root(root: Path, expected: Iterable[str]) -> str:
    """What may have been meant by a root that lacks its files; empty where nothing near looks like one.

    Args:
        root: the absolute path that was taken.
        expected: paths relative to the root, of which a copy has at least one.
    """
    if root.is_dir() and any(any(folder.glob("*.parquet")) for folder in _folders_in(root)):
        return (
            " It holds Parquet files, as `revoskit publish` writes them: those load without this builder and without "
            f"data_dir, load_dataset({str(root)!r}, 'expressions')."
        )
    expected = list(expected)
    near = [*_folders_in(root), *root.parents[:2]] if root.is_dir() else _like(root)
    found = [folder for folder in near if any((folder / name).is_file() for name in expected)]
    if found:
        return f" Did you mean {' or '.join(map(str, found[:3]))}?"
    if os.sep == "/" and _WINDOWS.match(root.name):
        return (
            f" {root.name!r} is a path as Windows writes it; here folders are divided by '/', and a Windows drive C is "
            "/mnt/c under WSL."
        )
    return ""


def _folders_in(root: Path) -> list[Path]:
    with os.scandir(root) as entries:
        return sorted(Path(entry.path) for entry in itertools.islice(entries, _MOST) if entry.is_dir())


def _like(root: Path) -> list[Path]:
    """Folders beside a missing one that differ from it in upper and lower case alone."""
    if not root.parent.is_dir():
        return []
    return [folder for folder in _folders_in(root.parent) if folder.name.lower() == root.name.lower()]


def about_frames(folder: Path, names: Iterable[str]) -> str:
    """What a video's folder has instead of the frames of these names; empty where it has nothing like them."""
    if not folder.is_dir():
        return ""
    with os.scandir(folder) as entries:
        here = {Path(entry.name).stem: entry.name for entry in itertools.islice(entries, _MOST)}
    found = next((here[name] for name in names if name in here), None)
    if found is None:
        return ""
    suffix = Path(found).suffix
    said = f" {folder} has {found} where {Path(found).stem}.jpg is expected"
    if suffix.lower() in (".jpg", ".jpeg"):
        return f"{said}: rename such files, their names end in .jpg."
    return f"{said}: frames are JPEG files."
