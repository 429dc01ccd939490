"""Gets the official files from wherever a copy of them lies: a Hub repository, a web address, a folder.

Trust is by checksum, so any mirror will do: what does not match is set aside as `<name>.rejected` and never used. A
file grows under the name `<name>.partial` and gets its own when it is whole and right; what broke off is continued.
"""

from __future__ import annotations

import os
import re
import shutil
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec
from tabulate import tabulate

from revoskit.atomic import require_room, sole_writer
from revoskit.dataset.layout import (
    BAIDU,
    EXPRESSIONS,
    FOREGROUND,
    FRAMES_ARCHIVE,
    FRAMES_FOLDER,
    ONEDRIVE,
    SHA256,
    SHA256_FIRST_RELEASE,
    TRACKS,
    Layout,
)
from revoskit.errors import DownloadError, MissingFilesError
from revoskit.getting.checksums import count_frames, remember, sha256, sha256_remembered
from revoskit.getting.hub import HUB, STAGING
from revoskit.getting.resuming import OtherFile, bar_of, size_of
from revoskit.getting.sources import Source, open_source
from revoskit.getting.unpack import unpack
from revoskit.text import shown

HERE, FETCHED, UNPACKED, UNOFFICIAL, REJECTED, ABSENT = (
    "here", "fetched", "unpacked", "not official", "rejected", "not at the source"
)  # fmt: skip

MOST_BYTES, MOST_BYTES_OF_ANNOTATIONS = 200 * 10**9, 2 * 10**9
"""What is taken at most from a source that does not say how large its files are; the archive has 48 GB."""


class Arrival(msgspec.Struct):
    """What became of one file: `state` is "here" (it was already), "fetched", "unpacked" (the archive's frames are here
    already), "not official" (a file of that name is here and was left alone), "rejected" or "not at the source"."""

    name: str
    state: str
    detail: str = ""


def download(
    layout: Layout, source: str, *, expected: Mapping[str, str] = SHA256, token: str | bool | None = None
) -> list[Arrival]:
    """Fetch the official files that are missing under a root; a second call continues what broke off.

    Where another process downloads to the same root, it is waited for.

    Args:
        layout: where to; the folder is made.
        source: an address as `open_source` takes it.
        expected: SHA-256 by file name: what to fetch, and what to trust.
        token: for a source on the Hub; by default the one that was saved by `hf auth login`.

    Raises:
        UsageError: the address names no source.
        DownloadError: the source cannot be read, or the disk has not enough room.
    """
    origin = open_source(source, token)
    here = {name: _already(layout, name, expected[name]) for name in expected}
    if all(here.values()):  # nothing need be written, which may not even be allowed
        return [arrival for arrival in here.values() if arrival]
    with sole_writer(layout.root, wait=True):
        small_first = sorted(expected, key=lambda name: (name == FRAMES_ARCHIVE, name == TRACKS))
        there = {name: _already(layout, name, expected[name]) for name in small_first}
        arrivals = {name: arrival for name, arrival in there.items() if arrival}
        wanted = [name for name in small_first if name not in arrivals]
        _check_room(layout.root, origin, [name for name in wanted if name in missing(layout, expected)])
        for name in wanted:
            # The annotations that came just now may show that every frame is here: then the archive is not needed.
            unpacked = name == FRAMES_ARCHIVE and _all_unpacked(layout)
            arrivals[name] = Arrival(name, UNPACKED) if unpacked else _fetch(layout, origin, name, expected[name])
        shutil.rmtree(layout.root / STAGING, ignore_errors=True)
    return [arrivals[name] for name in expected]


def obtain(layout: Layout, source: str, *, expected: Mapping[str, str] = SHA256, token: Any = None) -> None:
    """Download and verify what is needed to load the dataset, as far as it is not there already.

    Args:
        expected: SHA-256 by file name; without the archive, frames are not looked for.

    Raises:
        DownloadError: a file that is needed cannot be had, or is not official.
        ArchiveError: the frames cannot be unpacked.
    """
    arrivals = {arrival.name: arrival for arrival in download(layout, source, expected=expected, token=token)}
    wrong = [arrival for arrival in arrivals.values() if arrival.state in (REJECTED, UNOFFICIAL)]
    absent = [arrival for name, arrival in arrivals.items() if arrival.state == ABSENT and name != FOREGROUND]
    without = [arrival for arrival in absent if arrival.name not in EXPRESSIONS.values()]
    if wrong or without or len(absent) >= len(EXPRESSIONS):
        lines = [f"  {arrival.name}: {arrival.detail or arrival.state}" for arrival in wrong or absent]
        raise DownloadError("\n".join([f"{shown(source)} does not give what is needed to load ReVOS:", *lines]))
    if absent:
        names = ", ".join(arrival.name for arrival in absent)
        warnings.warn(f"{shown(source)} has no {names}: what is in there is left out", stacklevel=2)
    if FRAMES_ARCHIVE in expected and not _all_there(layout):  # in an archive that can be read as it lies they are
        unpack(layout).require_whole()


def folder_in_cache(cache: str | os.PathLike[str]) -> str:
    """Where downloaded files go in the cache of `datasets`: one folder for every source, all files being official."""
    return os.path.join(os.path.expanduser(cache), "downloads", "revos")


def complete(arrivals: list[Arrival]) -> bool:
    """Whether every file is here and official now; `train_sub` and the foreground are extras that a source may lack."""
    extras = (FOREGROUND, EXPRESSIONS["train_sub"])
    fine = (HERE, FETCHED, UNPACKED)
    return all(it.state in fine or (it.state == ABSENT and it.name in extras) for it in arrivals)


def table(arrivals: list[Arrival]) -> str:
    """What became of the files, for reading."""
    lines = [tabulate([[it.name, it.state] for it in arrivals], ["file", ""])]
    lines += [f"{it.name}: {it.detail}" for it in arrivals if it.detail]
    return "\n".join(lines)


def _already(layout: Layout, name: str, expected: str) -> Arrival | None:
    path = layout.root / name
    if not path.exists():
        return None
    with bar_of(f"verifying {name}") as bar:
        digest = sha256_remembered(path, bar.update)
    if digest == expected:
        return Arrival(name, HERE)
    return Arrival(
        name, UNOFFICIAL, f"{path} is {_identity(name, digest)}; it was left alone. Move it away to have it fetched."
    )


def _identity(name: str, digest: str) -> str:
    if SHA256_FIRST_RELEASE.get(name) == digest:
        return "the one of the first release, which was replaced on 2024-07-13"
    return f"not the official file (SHA-256 {digest[:12]}…)"


def _all_unpacked(layout: Layout) -> bool:
    return (layout.root / FRAMES_FOLDER).is_dir() and _all_there(layout)


def _all_there(layout: Layout) -> bool:
    counts = [count_frames(layout, split) for split in layout.splits()]
    return bool(counts) and all(not frames.problem and frames.listed == frames.present for frames in counts)


def _check_room(root: Path, origin: Source, names: list[str]) -> None:
    needed = 0
    for name in names:
        partial = _partial(root, name)
        size = origin.size(name) or 0
        needed += max(0, size - (partial.stat().st_size if partial.exists() else 0))
    require_room(root, needed, DownloadError)


def _partial(root: Path, name: str) -> Path:
    return root / f"{name}.partial"


def _fetch(layout: Layout, origin: Source, name: str, expected: str) -> Arrival:
    partial, anew = _partial(layout.root, name), layout.root / f"{name}.anew"
    growing = anew if anew.exists() or not origin.continues else partial
    most = MOST_BYTES if name == FRAMES_ARCHIVE else MOST_BYTES_OF_ANNOTATIONS
    for _ in range(3):  # as it was begun; then, in case its parts come from different files, anew, and once more
        try:
            in_one_piece = origin.fetch(name, growing, most)
        except MissingFilesError as error:
            return Arrival(name, ABSENT, f"{error}{_other_archives(origin) if name == FRAMES_ARCHIVE else ''}")
        except OtherFile:  # what is there stays until something better has been verified
            digest, in_one_piece = "", False
        except DownloadError:
            # A server that announces more than it has looks like one that breaks off: the checksum tells.
            if not (growing.exists() and sha256(growing) == expected):
                raise
            digest = expected
        else:
            with bar_of(f"verifying {name}") as bar:
                digest = sha256(growing, bar.update)
        if digest == expected:
            os.replace(growing, layout.root / name)
            partial.unlink(missing_ok=True)
            anew.unlink(missing_ok=True)
            remember(layout.root / name, digest)
            return Arrival(name, FETCHED)
        if in_one_piece:
            break
        if digest and growing == partial:  # it is whole, and wrong
            partial.unlink()
        growing = anew
        anew.unlink(missing_ok=True)
    if not growing.exists():
        raise DownloadError(f"{name}: the source sends another file each time that it is asked")
    rejected = layout.root / f"{name}.rejected"
    os.replace(growing, rejected)
    kept = f"; the {size_of(partial):,} bytes that came before are kept" if partial.exists() else ""
    return Arrival(name, REJECTED, f"{_describe(rejected, name, digest)}; kept as {rejected.name}, not used{kept}")


def _describe(path: Path, name: str, digest: str) -> str:
    """What came in place of a file, in words."""
    with path.open("rb") as file:
        start = file.read(200).lstrip().lower()
    what = f"{path.stat().st_size:,} bytes that are {_identity(name, digest)}"
    if start.startswith((b"<!doctype html", b"<html")):
        return f"{what} but a web page, perhaps one that asks to log in"
    if start.startswith(b"version https://git-lfs"):
        return f"{what} but a Git LFS pointer: run `git lfs pull` at the source"
    return what


def _other_archives(origin: Source) -> str:
    found = [name for name in origin.listing() if re.search(r"\.(zip|z\d\d|tar|tar\.gz|tgz)(\.\w+)?$", name, re.I)]
    if not found:
        return ""
    return (
        f". It has {', '.join(sorted(found)[:5])}{' …' if len(found) > 5 else ''}, of which there is no official "
        "checksum. If you trust it, get it by hand and run `revoskit unpack`, which takes split and wrapped ones too."
    )


def missing(layout: Layout, names: Iterable[str] = SHA256) -> list[str]:
    """The files that are not here; the archive is not missing where its frames are unpacked."""
    absent = [name for name in names if not (layout.root / name).is_file()]
    return [name for name in absent if name != FRAMES_ARCHIVE or not _all_unpacked(layout)]


def by_hand(layout: Layout, names: list[str]) -> str:
    """How to get these files without a source, step by step."""
    if not names:
        return f"No file is missing in {layout.root}; `revoskit verify` tells whether they are the official ones."
    steps = [
        f"Open {ONEDRIVE}\n   (recommended), or {BAIDU}",
        "Download\n" + "\n".join(f"     {name}" for name in names),
        f"Put them into {layout.root}",
        f"revoskit verify {layout.root}    # are they the official ones?",
        f"revoskit unpack {layout.root}    # {FRAMES_ARCHIVE} into {FRAMES_FOLDER}/",
        f"revoskit check {layout.root}     # is the copy whole and sound?",
    ]
    return "\n".join(
        [
            "The official files lie behind two share links that a program cannot read. By hand:",
            *(f"{number}. {step}" for number, step in enumerate(steps, 1)),
            "",
            "If you know of a mirror, name it: any will do, since files are trusted by their SHA-256 alone:",
            f"   revoskit download {layout.root} --from {HUB}<owner>/<repo>[/folder][@revision]",
            f"   revoskit download {layout.root} --from https://…    or    --from /a/mounted/folder",
        ]
    )
