"""What scores are scores of: they can be compared with others where all of this is the same."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

import msgspec

import revoskit
from revoskit.dataset.annotations import Annotations

_AT_ONCE = 1 << 20  # bytes


class Identity(msgspec.Struct, frozen=True):
    """The data that was scored against, and the code that did it; how it was predicted is not part of it."""

    family: str
    split: str
    data: dict[str, str]
    """SHA-256 of the files that the true masks come from, by what they hold; and that faults were left out, if so."""
    version: str
    """Of this package."""

    @classmethod
    def of(cls, annotations: Annotations) -> Identity:
        """That of scores which are made now."""
        layout, files = annotations.layout, annotations.files
        paths = {
            "expressions": files.expressions,
            "tracks": files.tracks,
            "foreground": files.foreground,
            "alignment": layout.alignment,
        }
        data = {what: _sha256(file) for what, file in paths.items() if file is not None and file.is_file()}
        if pictures := annotations.picture_digest():
            data["tracks"] = pictures
        if layout.faults != "error":
            data["faults"] = layout.faults
        return cls(layout.family, annotations.split, data, revoskit.__version__)

    def differences(self, other: Identity) -> list[str]:
        """In what another one is not the same, in words: "split (validation, train)"."""
        found = [
            f"{name} ({mine}, {theirs})"
            for name, mine, theirs in [
                ("dataset", self.family, other.family),
                ("split", self.split, other.split),
                ("version of revoskit", self.version, other.version),
            ]
            if mine != theirs
        ]
        files = [what for what in {**self.data, **other.data} if self.data.get(what) != other.data.get(what)]
        return found + ([f"data ({', '.join(files)})"] if files else [])


def _sha256(file: Path) -> str:
    status = file.stat()
    return _sha256_of(file, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=32)
def _sha256_of(file: Path, size: int, changed: int) -> str:
    """Read once a process as long as the file stays as it is."""
    digest = hashlib.sha256()
    with file.open("rb") as content:
        while part := content.read(_AT_ONCE):
            digest.update(part)
    return digest.hexdigest()
