"""What tests let another process read of an archive; a process that is started anew imports this and no test."""

from __future__ import annotations

import random

from revoskit.archives.index import open_archive


def fetched(address: str, name: str) -> bytes:
    return open_archive(address).read(name)


def read_some(address: str, contents: dict[str, bytes], seed: int) -> int:
    """Read members again and again, in an order that follows from `seed`, and see that they are what they should be."""
    archive = open_archive(address)
    names = list(contents)
    for _ in range(300):
        name = random.Random(seed).choice(names)
        seed += 1
        assert archive.read(name) == contents[name]
    return seed
