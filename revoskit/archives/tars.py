"""What is in a tar and where. It has no directory, so all headers are read, and no checksums of what it holds."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator

from revoskit.archives.zips import Pieces, objection_to_name, refusal
from revoskit.errors import ArchiveError

NOT_ALONE = "no frame of it can be read alone: unpack it by `revoskit unpack ROOT`"


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
        with tarfile.open(fileobj=archive, mode="r:") as tar:
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
