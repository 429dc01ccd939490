"""What is in a tar and where. It has no directory, so all headers are read, and no checksums of what it holds."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from typing import TYPE_CHECKING

from revoskit.archives.zips import Pieces, objection_to_name, refusal
from revoskit.errors import ArchiveError

if TYPE_CHECKING:
    from typing_extensions import Self

MAX_HEADER = 2**20
"""Bytes of a long name or of a pax header; a path has some hundred, and `tarfile` reads as many as a header claims."""
NOT_ALONE = "no frame of it can be read alone: unpack it by `revoskit unpack ROOT`"


class BoundedInfo(tarfile.TarInfo):
    """What `tarfile` makes of a header, refused before it reads a name or pax header without bound."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """A header of 512 bytes.

        Raises:
            tarfile.TarError: it announces a name or a pax header of more than `MAX_HEADER` bytes.
        """
        info = super().frombuf(buf, encoding, errors)
        if info.type in _NAMING and info.size > MAX_HEADER:
            raise tarfile.TarError(
                f"a header announces a name or further headers of {info.size:,} bytes, of which no more than "
                f"{MAX_HEADER:,} are read"
            )
        return info


_NAMING = (
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)


def is_tar(archive: Pieces) -> bool:
    """Whether it is a tar, by its content.

    Raises:
        ArchiveError: it is compressed as a whole, so that nothing of it can be read alone.
    """
    start = archive.read_at(0, tarfile.BLOCKSIZE)
    if start.startswith(b"\x1f\x8b"):
        raise ArchiveError(f"{archive.name} is compressed as a whole, so that {NOT_ALONE}")
    return start[257:262] == b"ustar"


def read_tar(archive: Pieces) -> Iterator[tarfile.TarInfo]:
    """The files in an uncompressed tar, in their order; `offset_data` says where each begins.

    Raises:
        ArchiveError: the archive is broken, or it has members that must not be unpacked.
    """
    archive.seek(0)
    try:
        with tarfile.open(fileobj=archive, mode="r:", tarinfo=BoundedInfo) as tar:
            while member := tar.next():
                tar.members = []  # type: ignore[attr-defined]  # it would keep them all
                if reason := objection_to_member(member):
                    raise ArchiveError(refusal(archive.name, {member.name: reason}))
                if member.issparse():
                    raise ArchiveError(f"{archive.name} holds {member.name!r} with gaps, so that {NOT_ALONE}")
                if member.isreg():
                    yield member
    except tarfile.TarError as error:
        raise ArchiveError(f"{archive.name} is not a sound tar: {error}. Get it anew.") from None


def objection_to_member(member: tarfile.TarInfo) -> str | None:
    """Why a member must not be unpacked, if so."""
    if member.issym() or member.islnk():
        return f"it is a link, to {member.linkname!r:.80}"
    if not (member.isreg() or member.isdir()):
        return "it is a device or another special file"
    return objection_to_name(member.name)
