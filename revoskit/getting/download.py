"""Gets the official files from wherever a copy of them lies: a Hub repository, a web address, a folder.

Trust is by checksum, so any mirror will do: what does not match is set aside as `<name>.rejected` and never used. A
file grows under the name `<name>.partial` and gets its own when it is whole and right; what broke off is continued.
"""

from __future__ import annotations

import contextlib
import errno
import os
import random
import re
import shutil
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import msgspec
import requests
import urllib3
from tabulate import tabulate
from tqdm import tqdm

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
from revoskit.errors import DownloadError, MissingFilesError, RevosError, UsageError
from revoskit.getting.checksums import count_frames, remember, sha256, sha256_remembered
from revoskit.getting.unpack import unpack

HUB = "hf://datasets/"
HERE, FETCHED, UNPACKED, UNOFFICIAL, REJECTED, ABSENT = (
    "here", "fetched", "unpacked", "not official", "rejected", "not at the source"
)  # fmt: skip

TRIES = 6
"""How often a source may fail in a row, without one byte more, before it is given up."""
FIRST_PAUSE = 1.0
"""Seconds before the second try; they double up to a minute."""
_BLOCK = 1 << 20
_TIMEOUT = (15, 60)  # seconds to connect, and between two pieces of data


class Arrival(msgspec.Struct):
    """What became of one file: `state` is "here" (it was already), "fetched", "unpacked" (the archive's frames are here
    already), "not official" (a file of that name is here and was left alone), "rejected" or "not at the source"."""

    name: str
    state: str
    detail: str = ""


class Source(Protocol):
    """A place that may hold the official files."""

    def size(self, name: str) -> int | None:
        """The size of a file in bytes, null where the source does not tell."""

    def fetch(self, name: str, partial: Path) -> None:
        """Bring a file to `partial`, continuing what is there already.

        Raises:
            MissingFilesError: the source does not have the file.
            DownloadError: it cannot be read.
        """

    def listing(self) -> list[str]:
        """The names of the files there, as far as the source tells them."""


def open_source(address: str, token: str | bool | None = None) -> Source:
    """The source that an address names: hf://datasets/<owner>/<repo>[/folder][@revision], http(s)://, or a folder.

    Raises:
        UsageError: it names none.
    """
    if address.startswith("hf://"):
        return Hub.at(address, token)
    if address.startswith(("https://", "http://")):
        return Web(address)
    folder = Path(address).expanduser()
    if not folder.is_dir():
        raise UsageError(
            f"{address!r} is not a source: expected {HUB}<owner>/<repo>[/folder][@revision], an https:// address below "
            "which the files lie, or a folder that is there"
        )
    return Folder(folder.resolve())


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
    with sole_writer(layout.root, wait=True):
        small_first = sorted(expected, key=lambda name: (name == FRAMES_ARCHIVE, name == TRACKS))
        arrivals = {name: _already(layout, name, expected[name]) for name in small_first}
        wanted = [name for name in small_first if arrivals[name] is None]
        _check_room(layout.root, origin, [name for name in wanted if name in missing(layout, expected)])
        for name in wanted:
            # The annotations that came just now may show that every frame is here: then the archive is not needed.
            unpacked = name == FRAMES_ARCHIVE and _all_unpacked(layout)
            arrivals[name] = Arrival(name, UNPACKED) if unpacked else _fetch(layout, origin, name, expected[name])
        shutil.rmtree(layout.root / _STAGING, ignore_errors=True)
    return [arrivals[name] for name in expected]


def obtain(layout: Layout, source: str, *, expected: Mapping[str, str] = SHA256, token: Any = None) -> None:
    """Download, verify and unpack what is needed to load the dataset, as far as it is not there already.

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
        raise DownloadError("\n".join([f"{source} does not give what is needed to load ReVOS:", *lines]))
    if absent:
        names = ", ".join(arrival.name for arrival in absent)
        warnings.warn(f"{source} has no {names}: what is in there is left out", stacklevel=2)
    if not _all_unpacked(layout):
        unpack(layout).require_whole()


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
    with _bar(f"verifying {name}") as bar:
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
    if not (layout.root / FRAMES_FOLDER).is_dir():
        return False
    counts = [count_frames(layout, split) for split in layout.splits()]
    return bool(counts) and all(not frames.problem and frames.listed == frames.present for frames in counts)


def _check_room(root: Path, origin: Source, names: list[str]) -> None:
    needed = 0
    for name in names:
        partial = _partial(root, name)
        size = origin.size(name) or 0
        needed += max(0, size - (partial.stat().st_size if partial.exists() else 0))
    require_room(root, needed, DownloadError)


def _bar(what: str) -> tqdm:
    return tqdm(desc=what, unit="B", unit_scale=True, disable=None)


def _partial(root: Path, name: str) -> Path:
    return root / f"{name}.partial"


def _fetch(layout: Layout, origin: Source, name: str, expected: str) -> Arrival:
    partial = _partial(layout.root, name)
    continued = partial.exists()
    while True:
        try:
            origin.fetch(name, partial)
        except MissingFilesError as error:
            return Arrival(name, ABSENT, f"{error}{_other_archives(origin) if name == FRAMES_ARCHIVE else ''}")
        except DownloadError:
            # A server that announces more than it has looks like one that breaks off: the checksum tells.
            if not (partial.exists() and sha256(partial) == expected):
                raise
        with _bar(f"verifying {name}") as bar:
            digest = sha256(partial, bar.update)
        if digest == expected:
            os.replace(partial, layout.root / name)
            remember(layout.root / name, digest)
            return Arrival(name, FETCHED)
        if not continued:
            break
        continued = False  # perhaps the two halves come from different files: once more, from the start
        partial.unlink()
    rejected = layout.root / f"{name}.rejected"
    os.replace(partial, rejected)
    return Arrival(name, REJECTED, f"{_describe(rejected, name, digest)}; kept as {rejected.name}, not used")


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


# --- reading with breaks ----------------------------------------------------------------------------------------------


class _Broken(Exception):
    """The source failed in a way that another try may not; `wait` is how many seconds it asked for."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


class _Stream(NamedTuple):
    """A file from byte `start` on; `total` is the size of the whole, where it is told."""

    start: int
    total: int | None
    blocks: Iterator[bytes]


_Open = Callable[[int], "contextlib.AbstractContextManager[_Stream]"]


def _patiently(attempt: Callable[[], None], progressed: Callable[[], int], what: str) -> None:
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


def _break_in(attempt: Callable[[], None]) -> _Broken | None:
    try:
        attempt()
    except _Broken as error:
        return error
    return None


def _continue(open_at: _Open, partial: Path, bar: tqdm) -> None:
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
        raise _Broken(f"it broke off after {position:,} of {stream.total:,} bytes")


def _read(open_at: _Open, partial: Path, name: str, what: str) -> None:
    with _bar(name) as bar:
        _patiently(
            lambda: _continue(open_at, partial, bar),
            lambda: partial.stat().st_size if partial.exists() else 0,
            what,
        )


# --- sources ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Folder:
    """A folder on this machine or on a mounted share."""

    path: Path

    def size(self, name: str) -> int | None:
        return (self.path / name).stat().st_size if (self.path / name).is_file() else None

    def listing(self) -> list[str]:
        return os.listdir(self.path)

    def fetch(self, name: str, partial: Path) -> None:
        path = self.path / name
        if not path.is_file():
            raise MissingFilesError(f"{self.path} has no {name}")
        _read(lambda start: self._open(path, start), partial, name, str(path))

    @contextlib.contextmanager
    def _open(self, path: Path, start: int) -> Iterator[_Stream]:
        def blocks() -> Iterator[bytes]:
            try:
                while block := file.read(_BLOCK):
                    yield block
            except OSError as error:
                raise _Broken(str(error)) from error

        try:
            file = path.open("rb")
        except OSError as error:
            raise _Broken(str(error)) from error
        with file:
            file.seek(start)
            yield _Stream(start, os.fstat(file.fileno()).st_size, blocks())


@dataclass(frozen=True)
class Web:
    """The files below an address; a query (`?...`) is kept with every one of them."""

    base: str

    def size(self, name: str) -> int | None:
        try:
            answer = requests.head(self._url(name), headers=_PLAIN, timeout=_TIMEOUT, allow_redirects=True)
        except requests.RequestException:
            return None  # fetching will tell what is the matter
        length = answer.headers.get("Content-Length", "")
        return int(length) if answer.ok and length.isdecimal() else None

    def listing(self) -> list[str]:
        return []

    def fetch(self, name: str, partial: Path) -> None:
        _read(lambda start: self._open(name, start), partial, name, self._shown(name))

    def _url(self, name: str) -> str:
        parts = urlsplit(self.base)
        return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{quote(name)}", fragment=""))

    def _shown(self, name: str) -> str:
        """The address without what may be secret in it."""
        parts = urlsplit(self._url(name))
        return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query=""))

    @contextlib.contextmanager
    def _open(self, name: str, start: int) -> Iterator[_Stream]:
        answer = self._get(name, start)
        if start and answer.status_code == 206 and _range_start(answer) != start:  # not the part that was asked for
            answer.close()
            answer = self._get(name, 0)
        elif answer.status_code == 416:  # nothing lies behind that byte: complete, or another file than before
            answer.close()
            if _content_range(answer) == f"*/{start}":
                yield _Stream(start, start, iter(()))
                return
            answer = self._get(name, 0)
        with contextlib.closing(answer):
            self._check(answer, name)
            partly = answer.status_code == 206
            total = _content_range(answer).rpartition("/")[2] if partly else answer.headers.get("Content-Length", "")
            yield _Stream(start if partly else 0, int(total) if total.isdecimal() else None, _blocks(answer))

    def _get(self, name: str, start: int) -> requests.Response:
        headers = _PLAIN | ({"Range": f"bytes={start}-"} if start else {})
        try:
            return requests.get(self._url(name), headers=headers, stream=True, timeout=_TIMEOUT)
        except requests.exceptions.InvalidURL as error:
            raise UsageError(f"{self.base!r} is not a web address: {error}") from error
        except requests.RequestException as error:
            raise _Broken(_reason(error)) from error

    def _check(self, answer: requests.Response, name: str) -> None:
        status = f"{answer.status_code} {answer.reason}".strip()
        if answer.status_code in (404, 410):
            raise MissingFilesError(f"{self._shown(name)}: {status}")
        if answer.status_code in (408, 416, 425, 429) or answer.status_code >= 500:
            wait = answer.headers.get("Retry-After", "")
            raise _Broken(f"the server says {status}", float(wait) if wait.isdecimal() else 0.0)
        if answer.status_code not in (200, 206):
            raise DownloadError(f"{self._shown(name)}: the server says {status}")
        if answer.headers.get("Content-Encoding", "identity") != "identity":
            raise DownloadError(f"{self._shown(name)}: the server compresses what it sends, although asked not to")


_PLAIN = {"Accept-Encoding": "identity"}  # so that positions and lengths are those of the file


def _content_range(answer: requests.Response) -> str:
    return answer.headers.get("Content-Range", "").removeprefix("bytes").strip()


def _range_start(answer: requests.Response) -> int | None:
    start = _content_range(answer).partition("-")[0]
    return int(start) if start.isdecimal() else None


def _blocks(answer: requests.Response) -> Iterator[bytes]:
    """What comes, as it comes: to wait for full blocks would lose the last one whenever the connection breaks."""
    try:
        while block := answer.raw.read1(_BLOCK):
            yield block
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise _Broken(_reason(error)) from error


def _reason(error: Exception) -> str:
    """The innermost reason of a network error, which is the one that says something."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return str(error) or type(error).__name__


_STAGING = ".hub-download"


@dataclass(frozen=True)
class Hub:
    """A dataset repository on the Hugging Face Hub, read by its own client: with its token, its resuming, its cache."""

    repo_id: str
    folder: str
    revision: str | None
    token: str | bool | None = None

    @classmethod
    def at(cls, address: str, token: str | bool | None = None) -> Hub:
        match = re.fullmatch(
            HUB + r"(?P<repo>[\w.-]+/[\w.-]+)(@(?P<early>refs/(pr|convert)/\w+|[^/@]+))?(?P<folder>(/[^/@]+)*)/?"
            r"(@(?P<late>[^@]+))?",
            address,
        )
        if not match or (match["early"] and match["late"]) or ".." in match["folder"].split("/"):
            raise UsageError(f"{address!r} is not of the form {HUB}<owner>/<repo>[/folder][@revision]")
        revision = match["early"] or match["late"]
        return cls(match["repo"], match["folder"].strip("/"), revision and unquote(revision), token)

    def size(self, name: str) -> int | None:
        from huggingface_hub import get_hf_file_metadata, hf_hub_url

        try:
            url = hf_hub_url(self.repo_id, self._path(name), repo_type="dataset", revision=self.revision)
            return get_hf_file_metadata(url, token=self.token).size
        except Exception:  # whatever it is (the client's HTTP library differs by version), fetching will tell
            return None

    def listing(self) -> list[str]:
        from huggingface_hub import HfApi

        api = HfApi(token=self.token)
        try:
            files = api.list_repo_files(self.repo_id, repo_type="dataset", revision=self.revision)
        except Exception:  # as in `size`; the list only says what else there is
            return []
        return [file for file in files if file.startswith(self._path(""))]

    def fetch(self, name: str, partial: Path) -> None:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import (
            EntryNotFoundError,
            HFValidationError,
            LocalEntryNotFoundError,
            OfflineModeIsEnabled,
            RepositoryNotFoundError,
            RevisionNotFoundError,
        )

        staging = partial.parent / _STAGING

        def attempt() -> None:
            try:
                got = hf_hub_download(
                    self.repo_id, self._path(name), repo_type="dataset", revision=self.revision, local_dir=staging,
                    token=self.token,
                )  # fmt: skip
            except LocalEntryNotFoundError as error:  # that is what "no connection" looks like
                raise _Broken(_reason(error)) from error
            except EntryNotFoundError as error:
                raise MissingFilesError(f"{self.repo_id} has no {self._path(name)}") from error
            except (RepositoryNotFoundError, RevisionNotFoundError, HFValidationError, OfflineModeIsEnabled) as error:
                raise DownloadError(f"{self}: {error}") from error
            except RevosError:
                raise
            except Exception as error:  # the client's HTTP library, and so its errors, differ by version
                if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
                    raise DownloadError(f"the disk of {partial.parent} is full; what came is kept") from error
                raise _Broken(_reason(error)) from error
            os.replace(got, partial)

        _patiently(attempt, lambda: _size_below(staging), f"{self}: {name}")

    def _path(self, name: str) -> str:
        return f"{self.folder}/{name}" if self.folder else name

    def __str__(self) -> str:
        folder = f"/{self.folder}" if self.folder else ""
        return f"{HUB}{self.repo_id}{folder}{f'@{self.revision}' if self.revision else ''}"


def _size_below(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
