"""Where the official files may come from: a Hub repository, a web address, a folder."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from revoskit.archives.remote import use_token
from revoskit.dataset.layout import FRAMES_ARCHIVE
from revoskit.errors import MissingFilesError, UsageError
from revoskit.getting.hub import HUB, Hub
from revoskit.getting.resuming import BLOCK, Broken, Stream, read_on
from revoskit.getting.web import Web
from revoskit.text import shown


class Source(Protocol):
    """A place that may hold the official files."""

    def size(self, name: str) -> int | None:
        """The size of a file in bytes, null where the source does not tell."""

    continues: bool
    """Whether it goes on with the beginning of a file that came from anywhere."""

    def fetch(self, name: str, partial: Path, most: int) -> bool:
        """Bring a file to `partial`, continuing what is there already; `most` bytes where its size is not known.

        Returns:
            Whether it came in one piece.

        Raises:
            OtherFile: `partial` is not the beginning of it.
            MissingFilesError: the source does not have the file.
            DownloadError: it cannot be read.
        """

    def listing(self) -> list[str]:
        """The names of the files there, as far as the source tells them."""


def remote_archive(address: str, token: str | bool | None = None) -> str:
    """The address of the archive of frames at a source that is a server; `token` is used for it in this process.

    Raises:
        UsageError: the source is none, or a folder.
    """
    source = open_source(address, token)
    if isinstance(source, Folder):
        raise UsageError(f"{source.path} is a folder: frames on a server are those of hf://datasets/… and https://…")
    assert isinstance(source, Hub | Web)
    archive = source.address(FRAMES_ARCHIVE)
    if isinstance(source, Hub):
        use_token(archive, token)
    return archive


def open_source(address: str, token: str | bool | None = None) -> Source:
    """The source that an address names: hf://datasets/<owner>/<repo>[/folder][@revision], http(s)://, or a folder.

    Raises:
        UsageError: it names none.
    """
    if address.startswith("hf://"):
        return Hub.at(address, token)
    if address.startswith(("https://", "http://")):
        return Web.at(address)
    folder = Path(address).expanduser()
    if not folder.is_dir():
        raise UsageError(
            f"{shown(address)} is not a source: expected {HUB}<owner>/<repo>[/folder][@revision], an https:// "
            "address below which the files lie, or a folder that is there"
        )
    return Folder(folder.resolve())


@dataclass(frozen=True)
class Folder:
    """A folder on this machine or on a mounted share."""

    path: Path

    continues = True

    def size(self, name: str) -> int | None:
        return (self.path / name).stat().st_size if (self.path / name).is_file() else None

    def listing(self) -> list[str]:
        return os.listdir(self.path)

    def fetch(self, name: str, partial: Path, most: int) -> bool:
        path = self.path / name
        if not path.is_file():
            raise MissingFilesError(f"{self.path} has no {name}")
        return read_on(lambda start: self._open(path, start), partial, name, str(path), most)

    @contextlib.contextmanager
    def _open(self, path: Path, start: int) -> Iterator[Stream]:
        def blocks() -> Iterator[bytes]:
            try:
                while block := file.read(BLOCK):
                    yield block
            except OSError as error:
                raise Broken(str(error)) from error

        try:
            file = path.open("rb")
        except OSError as error:
            raise Broken(str(error)) from error
        with file:
            file.seek(start)
            yield Stream(start, os.fstat(file.fileno()).st_size, blocks())
