"""What is in a zip archive and where, so that many processes can take members out of it without reading it all.

The directory is read by `zipfile`, which knows no archives in several parts; so the parts are presented to it as one
file, and where they are true splits (`.z01`, `.z02`, …, `.zip`) the end of the directory is mended to say one part.
Members are then read by position: every byte that comes out has passed its length and its CRC.
"""

from __future__ import annotations

import io
import os
import stat
import struct
import threading
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from revoskit.archives.remote import RemoteFile
from revoskit.errors import ArchiveError

_BLOCK = 4 << 20
_METHODS = {zipfile.ZIP_STORED: "stored", zipfile.ZIP_DEFLATED: "deflated"}


class Span(NamedTuple):
    """A stretch of bytes: of a file here or on a server, or (`source` is bytes) in memory."""

    source: Path | RemoteFile | bytes
    offset: int
    length: int


class Pieces(io.RawIOBase):
    """Stretches of bytes, read as if they were one file, by any number of threads. Pickles as a re-open.

    `read_at` may go on in a forked process: where the system can, it reads by position, so that no two share one.
    """

    def __init__(self, spans: Sequence[Span]) -> None:
        super().__init__()
        self.spans = list(spans)
        self.starts = [sum(span.length for span in self.spans[:i]) for i in range(len(self.spans))]
        self.length = sum(span.length for span in self.spans)
        self._files: dict[Path, io.FileIO] = {}
        self._lock = threading.Lock()
        self._position = 0

    @classmethod
    def of(cls, files: Sequence[Path | RemoteFile]) -> Pieces:
        return cls(
            [Span(file, 0, file.stat().st_size if isinstance(file, Path) else file.state.size) for file in files]
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return Pieces, (self.spans,)

    @property
    def name(self) -> str:
        return next(
            (span.source.name for span in reversed(self.spans) if not isinstance(span.source, bytes)), "archive"
        )

    def read_at(self, position: int, size: int) -> bytes:
        """`size` bytes from `position` on; fewer where the end comes first."""
        parts = []
        for start, span in zip(self.starts, self.spans, strict=True):
            begin, end = max(position, start), min(position + size, start + span.length)
            if begin < end:
                parts.append(self._of_span(span, begin - start, end - begin))
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def cut(self, position: int, length: int) -> list[Span]:
        """The stretches that make up a part of this one."""
        cut = []
        for start, span in zip(self.starts, self.spans, strict=True):
            begin, end = max(position, start), min(position + length, start + span.length)
            if begin < end:
                cut.append(Span(span.source, span.offset + begin - start, end - begin))
        return cut

    def _of_span(self, span: Span, begin: int, size: int) -> bytes:
        if isinstance(span.source, bytes):
            return span.source[span.offset + begin :][:size]
        if isinstance(span.source, RemoteFile):
            return span.source.read_at(span.offset + begin, size)
        file = self._file(span.source)
        data = self._read(file, span.offset + begin, size)
        while (
            data and len(data) < size and (more := self._read(file, span.offset + begin + len(data), size - len(data)))
        ):
            data += more
        return data

    def _file(self, path: Path) -> io.FileIO:
        file = self._files.get(path)
        if file is None:
            with self._lock:
                file = self._files.setdefault(path, io.FileIO(path))
        return file

    def _read(self, file: io.FileIO, position: int, size: int) -> bytes:
        if hasattr(os, "pread"):
            return os.pread(file.fileno(), size, position)
        with self._lock:
            file.seek(position)
            return file.read(size)

    def close(self) -> None:
        for file in self._files.values():
            file.close()
        self._files.clear()
        super().close()

    # What zipfile and tarfile ask of a file.

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.length}[whence]
        if base + offset < 0:
            raise OSError(f"cannot seek to {base + offset}")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        data = self.read_at(self._position, len(buffer))
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)


class Member(NamedTuple):
    """A file in an archive: its name as stored, where its header lies, and what its content must turn out to be."""

    name: str
    stored_name: bytes
    position: int
    packed: int
    size: int
    crc: int
    deflated: bool

    def contents(self, archive: Pieces) -> Iterator[bytes]:
        """The content, block by block; complete and right once this has ended.

        Raises:
            ArchiveError: the content has not the length or the CRC that the directory says.
        """
        start = self.begins(archive)
        inflate = zlib.decompressobj(-zlib.MAX_WBITS) if self.deflated else None
        size = crc = 0
        for begin in range(0, self.packed, _BLOCK):
            block = archive.read_at(start + begin, min(_BLOCK, self.packed - begin))
            for piece in _inflated(inflate, block) if inflate else [block]:
                size += len(piece)
                crc = zlib.crc32(piece, crc)
                if size > self.size:
                    break
                yield piece
        if size != self.size or (inflate and not inflate.eof):
            raise ArchiveError(f"has {size:,} bytes, expected {self.size:,}")
        if crc != self.crc:
            raise ArchiveError(f"has the CRC {crc:08x}, expected {self.crc:08x}")

    def begins(self, archive: Pieces) -> int:
        """Where the content begins: behind a header that has its own lengths."""
        header = archive.read_at(self.position, LOCAL_HEADER.size + len(self.stored_name))
        if len(header) < LOCAL_HEADER.size or header[:4] != b"PK\3\4":
            raise ArchiveError("has no header where the archive's directory says")
        name_length, extra_length = LOCAL_HEADER.unpack_from(header)[-2:]
        if header[LOCAL_HEADER.size :] != self.stored_name or name_length != len(self.stored_name):
            raise ArchiveError("has another name in its header than in the archive's directory")
        return int(self.position + LOCAL_HEADER.size + name_length + extra_length)


LOCAL_HEADER = struct.Struct("<4s5H3I2H")


def _inflated(inflate: Any, block: bytes) -> Iterator[bytes]:
    try:
        while block:
            yield inflate.decompress(block, _BLOCK)
            block = inflate.unconsumed_tail
    except zlib.error as error:
        raise ArchiveError(f"is not validly compressed ({error})") from None


def read_directory(archive: Pieces) -> list[Member]:
    """The files in a zip archive, in the order of their positions.

    Raises:
        ArchiveError: the archive is broken or incomplete, or it has members that must not or cannot be unpacked.
    """
    end = _find_end(archive)
    try:
        with zipfile.ZipFile(end.mended if end.mended else archive) as opened:
            infos = opened.infolist()
    except (zipfile.BadZipFile, NotImplementedError, struct.error, OSError, ValueError, EOFError) as error:
        raise ArchiveError(f"{archive.name} is not a sound zip archive: {error}. {_GET_ANEW}") from None
    if len(infos) != end.members:
        raise ArchiveError(
            f"{archive.name} lists {len(infos):,} members, but says that they are {end.members:,}. {_GET_ANEW}"
        )
    refused = {info.orig_filename: reason for info in infos if (reason := _objection(info, end))}
    if refused:
        raise ArchiveError(refusal(archive.name, refused))
    members = [_member(info, end) for info in infos if not info.is_dir()]
    return sorted(members, key=lambda member: member.position)


_GET_ANEW = "A download may have broken off: compare its SHA-256 with the official one, or get it anew."


def refusal(archive: str, refused: dict[str, str], consequence: str = "none of it was") -> str:
    """The message about members that must not be unpacked: name and reason of each."""
    shown = [f"  {name!r:.120}: {reason}" for name, reason in list(refused.items())[:5]]
    more = [f"  … and {len(refused) - 5:,} more"] if len(refused) > 5 else []
    return "\n".join(
        [f"{archive} holds what must not be unpacked, so {consequence}:", *shown, *more]
        + ["No official archive is like that: get it anew, from another place."]
    )


def objection_to_name(name: str) -> str | None:
    """Why a member must not be unpacked under its name, if so."""
    parts = name.replace("\\", "/").rstrip("/").split("/")
    if parts[0] == "" or ":" in parts[0]:
        return "its path is absolute"
    if os.name == "nt" and ":" in name:
        return "its path holds a colon, behind which Windows reads the name of a stream"
    if ".." in parts:
        return "its path climbs out of the folder"
    if "\0" in name:
        return "its path holds a null"
    return None


def _objection(info: zipfile.ZipInfo, end: _End) -> str | None:
    reason = objection_to_name(info.orig_filename)
    kind = stat.S_IFMT(info.external_attr >> 16)
    if reason:
        return reason
    if kind == stat.S_IFLNK:
        return "it is a symbolic link"
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "it is a device or another special file"
    if info.flag_bits & 1:
        return "it is encrypted"
    if info.compress_type not in _METHODS:
        return f"it is compressed by method {info.compress_type}; known are {', '.join(_METHODS.values())}"
    if info.volume >= len(end.disks):
        return f"it lies in part {info.volume + 1}, and {len(end.disks)} are here"
    return None


def _member(info: zipfile.ZipInfo, end: _End) -> Member:
    return Member(
        name=info.filename.replace("\\", "/"),
        stored_name=info.orig_filename.encode("utf-8" if info.flag_bits & 0x800 else "cp437"),
        position=end.disks[info.volume] + info.header_offset,
        packed=info.compress_size,
        size=info.file_size,
        crc=info.CRC,
        deflated=info.compress_type == zipfile.ZIP_DEFLATED,
    )


# --- the end of the directory -----------------------------------------------------------------------------------------

_END = struct.Struct("<4s4H2IH")
_END64 = struct.Struct("<4sQ2H2I4Q")
_LOCATOR64 = struct.Struct("<4sIQI")


class _End(NamedTuple):
    """What the last record of an archive says: the number of members, and at which position each part begins."""

    members: int
    disks: list[int]
    mended: Pieces | None
    """A split archive as one whole, for zipfile."""


def _find_end(archive: Pieces) -> _End:
    tail_start = max(0, archive.length - _END.size - 0xFFFF)
    tail = archive.read_at(tail_start, archive.length - tail_start)
    at = tail.rfind(b"PK\5\6")
    while at >= 0 and len(tail) - at < _END.size:  # a chance match in the comment, too near the end
        at = tail.rfind(b"PK\5\6", 0, at)
    if at < 0:
        raise ArchiveError(f"{archive.name} is not a zip archive, or its end is missing. {_GET_ANEW}")
    _, disk, directory_disk, _, members, size, offset, _ = _END.unpack_from(tail, at)
    locator = archive.read_at(tail_start + at - _LOCATOR64.size, _LOCATOR64.size) if tail_start + at >= 20 else b""
    parts = disk + 1
    if locator.startswith(b"PK\6\7"):
        _, end64_disk, end64_offset, parts = _LOCATOR64.unpack(locator)
        if 1 < parts != len(archive.spans):
            raise ArchiveError(_parts_missing(archive, parts))
        if end64_disk >= parts > 1:
            raise ArchiveError(f"{archive.name} says that its end lies in part {end64_disk + 1} of {parts}")
        base = archive.starts[end64_disk] if parts > 1 else 0
        record = archive.read_at(base + end64_offset, _END64.size)
        if len(record) == _END64.size and record.startswith(b"PK\6\6"):
            *_, directory_disk, _, members, size, offset = _END64.unpack(record)
    if parts <= 1:
        return _End(members, [0], None)
    if parts != len(archive.spans):
        raise ArchiveError(_parts_missing(archive, parts))
    if directory_disk >= parts:
        raise ArchiveError(f"{archive.name} says that its directory lies in part {directory_disk + 1} of {parts}")
    start = archive.starts[directory_disk] + offset
    end = _whole_end(members, size, start)
    mended = Pieces([*archive.cut(0, start + size), Span(end, 0, len(end))])
    return _End(members, archive.starts, mended)


def _parts_missing(archive: Pieces, parts: int) -> str:
    return (
        f"{archive.name} is the last of {parts} parts, and {len(archive.spans)} are here: put all of "
        f"{Path(archive.name).stem}.z01 to .z{parts - 1:02d} beside it"
    )


def _whole_end(members: int, size: int, start: int) -> bytes:
    """The end of an archive in one part, whose directory of `size` bytes lies at `start` and ends where this begins."""
    return (
        _END64.pack(b"PK\6\6", _END64.size - 12, 45, 45, 0, 0, members, members, size, start)
        + _LOCATOR64.pack(b"PK\6\7", 0, start + size, 1)
        + _END.pack(b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    )
