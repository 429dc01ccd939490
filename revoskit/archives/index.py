"""An archive that is read at random: where each member lies is found once, kept, and mapped by whoever reads.

Zip archives (whole, split, or stored as they are within another zip) and uncompressed tars can be read so. An archive
is named by an address: its path, or `zip://<name within>::<path>` for one in another, as `datasets` and fsspec write
them. The index lies with the checksums, among the caches of the Hugging Face libraries, under a name that follows from
the address, and the size and time of change of every file of the archive.
"""

from __future__ import annotations

import bisect
import contextlib
import functools
import hashlib
import itertools
import mmap
import os
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
from huggingface_hub import constants
from zlib_ng import zlib_ng

from revoskit.archives.cache import frame_cache
from revoskit.archives.parts import parts_of
from revoskit.archives.remote import RemoteFile, is_remote, place_of, remote_file
from revoskit.archives.tars import NOT_ALONE, is_tar, read_tar
from revoskit.archives.zips import LOCAL_HEADER, Member, Pieces, Span, read_directory
from revoskit.atomic import write_whole
from revoskit.errors import ArchiveError

MAX_MEMBER_BYTES = 2**28
"""What is larger is no frame: an archive that claims so is not believed."""
_GUESS = 64  # bytes that a local header has beyond what the directory says of it, as a rule; more are read in turn
_MAGIC = b"revoskit archive index 1\n"
_COLUMNS = {
    "names": "<i8",
    "position": "<i8",
    "packed": "<i8",
    "size": "<i8",
    "crc": "<u4",
    "header": "<u2",
    "method": "u1",
}
_STORED, _DEFLATED, _BARE = range(3)  # the last without a header before it and without a CRC: a tar's

Kind = Literal["zip", "tar"]


class _Header(msgspec.Struct):
    """What an index begins with; the columns follow, each of `count` numbers (`names`: one more), then the names."""

    kind: Kind
    count: int
    spans: list[tuple[int, int, int]]
    """The stretches that make up the archive: number of its file, offset, length."""
    folders: list[str]
    """That have members, sorted."""
    name_bytes: int


class Archive:
    """The members of an archive, by name. Get one by `open_archive`."""

    def __init__(self, address: str, files: Sequence[Path | RemoteFile], content: mmap.mmap | bytes) -> None:
        self.address = address
        (length,) = struct.unpack_from("<q", content, len(_MAGIC))
        start = len(_MAGIC) + 8
        header = msgspec.json.decode(content[start : start + length], type=_Header)
        self.kind: Kind = header.kind
        self.folders = header.folders
        self._key = repr([_stamp(file) for file in files])
        self.is_remote = any(isinstance(file, RemoteFile) for file in files)
        self._source = Pieces([Span(files[file], offset, size) for file, offset, size in header.spans])
        start += length
        self._columns: dict[str, np.ndarray] = {}
        for name, kind in _COLUMNS.items():
            self._columns[name] = column = np.frombuffer(content, kind, header.count + (name == "names"), start)
            start += column.nbytes
        self._names = memoryview(content)[start : start + header.name_bytes]
        self._count = header.count
        if len(self._names) != header.name_bytes:
            raise ValueError("the index is cut short")

    def __contains__(self, name: str) -> bool:
        return self._find(name) is not None

    def __len__(self) -> int:
        return self._count

    def names(self, folder: str) -> list[str]:
        """The names of the files that lie in a folder itself, without its path, sorted."""
        prefix = f"{folder}/".encode() if folder else b""
        first = self._place(prefix)
        last = self._place(prefix[:-1] + b"0") if folder else self._count  # 0 comes after /
        found = (self._name(number)[len(prefix) :] for number in range(first, last))
        return [name.decode() for name in found if b"/" not in name]

    def size(self, name: str) -> int:
        """The bytes of a member; raises as `read` does where there is none."""
        return int(self._columns["size"][self._number(name)])

    def read(self, name: str) -> bytes:
        """The content of a member, whose length and CRC are right.

        Raises:
            ArchiveError: there is no such member, or it is broken; the message calls it `it`.
            OSError: the archive cannot be read.
        """
        cache = frame_cache() if self.is_remote else None
        key = f"{self._key}\0{name}"
        kept = cache.get(key) if cache else None
        if kept is not None:
            with contextlib.suppress(ArchiveError):
                return self._checked(self._number(name), kept)
        content = self._read(self._number(name))
        if cache:
            cache.put(key, content)
        return content

    def _read(self, number: int) -> bytes:
        position, packed, size, header, method = (
            int(self._columns[column][number]) for column in ("position", "packed", "size", "header", "method")
        )
        if max(size, packed) > MAX_MEMBER_BYTES:
            raise ArchiveError(f"it claims {max(size, packed):,} bytes, which no frame has")
        if method == _BARE:
            content = self._source.read_at(position, size)
        else:
            content = self._behind_header(position, header, packed)
            if method == _DEFLATED:
                content = _inflated(content, size)
        return self._checked(number, content)

    def _checked(self, number: int, content: bytes) -> bytes:
        if len(content) != (size := self._columns["size"][number]):
            raise ArchiveError(f"it has {len(content):,} bytes, expected {size:,}")
        crc = self._columns["crc"][number]
        if self._columns["method"][number] != _BARE and (found := zlib_ng.crc32(content)) != crc:
            raise ArchiveError(f"it has the CRC {found:08x}, expected {crc:08x}")
        return content

    def modified_ns(self) -> int:
        """When the archive was last changed, in ns: the latest of its files, 0 where they are on a server."""
        times = [os.stat(span.source).st_mtime_ns for span in self._source.spans if isinstance(span.source, Path)]
        return max(times, default=0)

    def _behind_header(self, position: int, name_length: int, packed: int) -> bytes:
        """What lies behind a member's local header, whose own length it alone tells.

        From a server both are asked for at once. Here two readings cost less than the copy of what one would bring.
        """
        block = self._source.read_at(
            position, LOCAL_HEADER.size + (name_length + _GUESS + packed if self.is_remote else 0)
        )
        if len(block) < LOCAL_HEADER.size or block[:4] != b"PK\3\4":
            raise ArchiveError("it has no header where the archive's directory says")
        start = LOCAL_HEADER.size + sum(LOCAL_HEADER.unpack_from(block)[-2:])
        if len(block) == LOCAL_HEADER.size:
            return self._source.read_at(position + start, packed)
        if start + packed > len(block):
            block += self._source.read_at(position + len(block), start + packed - len(block))
        return block[start : start + packed]

    def _number(self, name: str) -> int:
        number = self._find(name)
        if number is None:
            raise ArchiveError(f"it is not among the {self._count:,} members")
        return number

    def _find(self, name: str) -> int | None:
        encoded = _encoded(name)
        number = self._place(encoded)
        return number if number < self._count and self._name(number) == encoded else None

    def _place(self, name: bytes) -> int:
        return bisect.bisect_left(range(self._count), name, key=self._name)

    def _name(self, number: int) -> bytes:
        start, end = self._columns["names"][number : number + 2].tolist()
        return bytes(self._names[start:end])


def _inflated(content: bytes, size: int) -> bytes:
    inflate = zlib_ng.decompressobj(-zlib_ng.MAX_WBITS)
    try:
        inflated: bytes = inflate.decompress(content, size + 1)
    except zlib_ng.error as error:  # type: ignore[misc]
        raise ArchiveError(f"it is not validly compressed ({error})") from None
    if not inflate.eof:
        raise ArchiveError(f"it has {len(inflated):,} bytes or more, expected {size:,}")
    return inflated


# --- opening ----------------------------------------------------------------------------------------------------------

_Stamp = tuple[tuple[str, int, int | str], ...]
"""Path, size and time of change of each file; of one on a server its address, size and ETag."""


def open_archive(address: str) -> Archive:
    """The archive of that address, opened once a process as long as its files stay as they are.

    Raises:
        ArchiveError: it is broken, incomplete, holds what must not be unpacked, or cannot be read at random.
        OSError: it cannot be read.
    """
    _, place = place_of(address)
    if is_remote(place):
        return _opened(address, stamp_of([remote_file(place)]))
    status = os.stat(place)
    files = _parts(place, status.st_size, status.st_mtime_ns)
    try:
        stamp = stamp_of(files)
    except FileNotFoundError as error:  # which of them, the caller could not tell
        raise ArchiveError(f"{error.filename}, a part of the archive, is gone") from None
    return _opened(address, stamp)


@functools.lru_cache(maxsize=8)
def _parts(place: str, *state: int) -> list[Path]:
    """The files of an archive, looked for again when the last of them changes: each frame asks."""
    return parts_of(Path(place))


def stamp_of(files: Iterable[Path | RemoteFile]) -> _Stamp:
    """What tells the state of an archive's files: others, other content."""
    return tuple(map(_stamp, files))


def _stamp(file: Path | RemoteFile) -> tuple[str, int, int | str]:
    if isinstance(file, RemoteFile):
        return (file.address, *file.state)
    status = file.stat()
    return str(file), status.st_size, status.st_mtime_ns


@functools.lru_cache(maxsize=8)
def _opened(address: str, stamp: _Stamp) -> Archive:
    files = [remote_file(place) if is_remote(place) else Path(place) for place, _, _ in stamp]
    kept = index_file(address, stamp)
    with contextlib.suppress(OSError, ValueError, msgspec.DecodeError, struct.error):
        return Archive(address, files, _mapped(kept))
    content = _made(address, files)
    try:
        write_whole(kept, content)
    except OSError:  # the next process makes its own
        return Archive(address, files, content)
    for other in kept.parent.glob(f"{kept.name.partition('-')[0]}-*"):
        if other != kept:
            with contextlib.suppress(OSError):  # where another process has it mapped, on Windows
                other.unlink()
    return Archive(address, files, _mapped(kept))


def index_file(address: str, stamp: _Stamp) -> Path:
    """Where the index of an archive is kept."""
    of_archive, of_state = (hashlib.sha256(repr(what).encode()).hexdigest()[:16] for what in (address, stamp))
    return Path(constants.HF_HOME) / "revoskit" / f"{of_archive}-{of_state}.index"


def _mapped(path: Path) -> mmap.mmap:
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    if mapped[: len(_MAGIC)] != _MAGIC:
        raise ValueError("it is no index")
    return mapped


def _made(address: str, files: Sequence[Path | RemoteFile]) -> bytes:
    """The content of an archive's index."""
    whole = Pieces.of(files)
    inner, _ = place_of(address)
    source = _within(whole, inner.removeprefix("zip://"), address) if inner else whole
    number = {file: i for i, file in enumerate(files)}
    spans = [(number[s.source], s.offset, s.length) for s in source.spans if not isinstance(s.source, bytes)]
    kind: Kind = "tar" if is_tar(source) else "zip"
    rows = _tar_rows(source) if kind == "tar" else _zip_rows(source)
    rows.sort(key=lambda row: row[0])
    names = [row[0] for row in rows]
    twice = next((name for name, other in itertools.pairwise(names) if name == other), None)
    if twice is not None:
        raise ArchiveError(f"{address} has {twice.decode(errors='replace')!r} twice: which of the two is meant?")
    folders = sorted({name.rpartition(b"/")[0].decode(errors="replace") for name in names})
    columns: dict[str, Any] = (
        dict(zip(list(_COLUMNS)[1:], list(zip(*rows, strict=True))[1:], strict=True)) if rows else {}
    )
    columns["names"] = np.concatenate([[0], np.cumsum([len(name) for name in names], dtype=np.int64)])
    header = msgspec.json.encode(_Header(kind, len(rows), spans, folders, sum(map(len, names))))
    header += b" " * (-(len(_MAGIC) + 8 + len(header)) % 8)
    try:
        arrays = [np.asarray(columns.get(name, ()), kind).tobytes() for name, kind in _COLUMNS.items()]
    except OverflowError:  # zip64 has 64 bits for each length, and a tar more
        raise ArchiveError(f"{address} claims a member of more bytes than a file can have: get it anew") from None
    return b"".join([_MAGIC, struct.pack("<q", len(header)), header, *arrays, *names])


_Row = tuple[bytes, int, int, int, int, int, int]  # a name, and the columns but the first in their order


def _zip_rows(source: Pieces) -> list[_Row]:
    return [
        (_encoded(m.name), m.position, m.packed, m.size, m.crc, len(m.stored_name), int(m.deflated))
        for m in read_directory(source)
    ]


def _tar_rows(source: Pieces) -> list[_Row]:
    return [(_encoded(m.name), m.offset_data, m.size, m.size, 0, 0, _BARE) for m in read_tar(source)]


def _encoded(name: str) -> bytes:
    return name.removeprefix("./").encode(errors="surrogatepass")


def _within(outer: Pieces, name: str, address: str) -> Pieces:
    member = next((member for member in read_directory(outer) if member.name == name), None)
    if member is None:
        raise ArchiveError(f"{outer.name} has no {name!r}, expected by {address}")
    return window(outer, member)


def window(outer: Pieces, inner: Member) -> Pieces:
    """An archive that is stored in another, where it lies.

    Raises:
        ArchiveError: it is compressed, so that nothing of it can be read alone.
    """
    if inner.deflated:
        raise ArchiveError(f"{inner.name} is compressed within {outer.name}, so that {NOT_ALONE}")
    return Pieces(outer.cut(inner.begins(outer), inner.packed))
