"""The official files below a web address."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import requests
import urllib3

from revoskit.archives import answers
from revoskit.errors import DownloadError, MissingFilesError, UsageError
from revoskit.getting.resuming import BLOCK, TIMEOUT, Broken, Stream, read_on, refuse_offline
from revoskit.text import shown


@dataclass(frozen=True)
class Web:
    """The files below an address; a query (`?...`) is kept with every one of them."""

    base: str

    continues = True

    @classmethod
    def at(cls, address: str) -> Web:
        """The files below this address.

        Raises:
            UsageError: it is malformed.
        """
        try:
            parts = urlsplit(address)
            host, _ = parts.hostname, parts.port
        except ValueError as error:
            raise UsageError(f"{shown(address)} is not a web address: {error}") from None
        if not host or any(not 0 < len(label) <= 63 for label in host.rstrip(".").split(".")):
            raise UsageError(f"{shown(address)} is not a web address: it names no host that there could be")
        return cls(address)

    def size(self, name: str) -> int | None:
        refuse_offline()
        try:
            answer = requests.head(self._url(name), headers=answers.PLAIN, timeout=TIMEOUT, allow_redirects=True)
        except (requests.RequestException, ValueError):
            return None  # fetching will tell what is the matter
        return answers.length_of(answer) if answer.ok else None

    def address(self, name: str) -> str:
        """Where a file is."""
        return self._url(name)

    def listing(self) -> list[str]:
        return []

    def fetch(self, name: str, partial: Path, most: int) -> bool:
        refuse_offline()
        return read_on(lambda start: self._open(name, start), partial, name, shown(self._url(name)), most)

    def _url(self, name: str) -> str:
        parts = urlsplit(self.base)
        return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{quote(name)}", fragment=""))

    @contextlib.contextmanager
    def _open(self, name: str, start: int) -> Iterator[Stream]:
        answer = self._get(name, start)
        part = answers.part_of(answer)
        if start and answer.status_code == 206 and part.first != start:  # not the part that was asked for
            answer.close()
            answer = self._get(name, 0)
        elif answer.status_code == 416:  # nothing lies behind that byte: complete, or another file than before
            answer.close()
            if (part.first, part.total) == (None, start):
                yield Stream(start, start, iter(()))
                return
            answer = self._get(name, 0)
        with contextlib.closing(answer):
            self._check(answer, name)
            partly = answer.status_code == 206
            total = answers.part_of(answer).total if partly else answers.length_of(answer)
            yield Stream(start if partly else 0, total, _blocks(answer))

    def _get(self, name: str, start: int) -> requests.Response:
        headers = answers.PLAIN | ({"Range": f"bytes={start}-"} if start else {})
        try:
            return requests.get(self._url(name), headers=headers, stream=True, timeout=TIMEOUT)
        except _PERMANENT as error:
            raise DownloadError(f"{shown(self._url(name))}: {answers.reason(error)}") from None
        except requests.RequestException as error:
            raise Broken(answers.reason(error)) from None
        except ValueError as error:  # what a server sends back may be no address, or no text at all
            raise DownloadError(
                f"{shown(self._url(name))}: the server's answer is malformed: {answers.reason(error)}"
            ) from None

    def _check(self, answer: requests.Response, name: str) -> None:
        status = answers.status_of(answer)
        address = shown(self._url(name))
        if answer.status_code in (404, 410):
            raise MissingFilesError(f"{address}: {status}")
        if answer.status_code == 416 or answers.asks_for_patience(answer):
            raise Broken(f"the server says {status}", answers.wait_of(answer))
        if answer.status_code not in (200, 206):
            raise DownloadError(f"{address}: the server says {status}")
        if answers.is_compressed(answer):
            raise DownloadError(f"{address}: the server compresses what it sends, although asked not to")


_PERMANENT = (
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema,
    requests.exceptions.MissingSchema,
    requests.exceptions.TooManyRedirects,
)


def _blocks(answer: requests.Response) -> Iterator[bytes]:
    """What comes, as it comes: to wait for full blocks would lose the last one whenever the connection breaks."""
    try:
        while block := answer.raw.read1(BLOCK):
            yield block
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise Broken(answers.reason(error)) from error
