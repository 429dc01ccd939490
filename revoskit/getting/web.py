"""The official files below a web address."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import requests
import urllib3

from revoskit.errors import DownloadError, MissingFilesError, UsageError
from revoskit.getting.resuming import BLOCK, TIMEOUT, Broken, Stream, read_on, reason


@dataclass(frozen=True)
class Web:
    """The files below an address; a query (`?...`) is kept with every one of them."""

    base: str

    def size(self, name: str) -> int | None:
        try:
            answer = requests.head(self._url(name), headers=_PLAIN, timeout=TIMEOUT, allow_redirects=True)
        except requests.RequestException:
            return None  # fetching will tell what is the matter
        length = answer.headers.get("Content-Length", "")
        return int(length) if answer.ok and length.isdecimal() else None

    def listing(self) -> list[str]:
        return []

    def fetch(self, name: str, partial: Path) -> None:
        read_on(lambda start: self._open(name, start), partial, name, self._shown(name))

    def _url(self, name: str) -> str:
        parts = urlsplit(self.base)
        return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{quote(name)}", fragment=""))

    def _shown(self, name: str) -> str:
        """The address without what may be secret in it."""
        parts = urlsplit(self._url(name))
        return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query=""))

    @contextlib.contextmanager
    def _open(self, name: str, start: int) -> Iterator[Stream]:
        answer = self._get(name, start)
        if start and answer.status_code == 206 and _range_start(answer) != start:  # not the part that was asked for
            answer.close()
            answer = self._get(name, 0)
        elif answer.status_code == 416:  # nothing lies behind that byte: complete, or another file than before
            answer.close()
            if _content_range(answer) == f"*/{start}":
                yield Stream(start, start, iter(()))
                return
            answer = self._get(name, 0)
        with contextlib.closing(answer):
            self._check(answer, name)
            partly = answer.status_code == 206
            total = _content_range(answer).rpartition("/")[2] if partly else answer.headers.get("Content-Length", "")
            yield Stream(start if partly else 0, int(total) if total.isdecimal() else None, _blocks(answer))

    def _get(self, name: str, start: int) -> requests.Response:
        headers = _PLAIN | ({"Range": f"bytes={start}-"} if start else {})
        try:
            return requests.get(self._url(name), headers=headers, stream=True, timeout=TIMEOUT)
        except requests.exceptions.InvalidURL as error:
            raise UsageError(f"{self.base!r} is not a web address: {error}") from error
        except requests.RequestException as error:
            raise Broken(reason(error)) from error

    def _check(self, answer: requests.Response, name: str) -> None:
        status = f"{answer.status_code} {answer.reason}".strip()
        if answer.status_code in (404, 410):
            raise MissingFilesError(f"{self._shown(name)}: {status}")
        if answer.status_code in (408, 416, 425, 429) or answer.status_code >= 500:
            wait = answer.headers.get("Retry-After", "")
            raise Broken(f"the server says {status}", float(wait) if wait.isdecimal() else 0.0)
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
        while block := answer.raw.read1(BLOCK):
            yield block
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise Broken(reason(error)) from error
