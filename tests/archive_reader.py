"""What tests let another process read of an archive; a process that is started anew imports this and no test."""

from __future__ import annotations

from revoskit.archives.index import open_archive


def fetched(address: str, name: str) -> bytes:
    return open_archive(address).read(name)
