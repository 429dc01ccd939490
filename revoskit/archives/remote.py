"""A file on a web server or the Hugging Face Hub, read by position: a request for each stretch of bytes.

Every answer is checked: it must be the stretch that was asked for, of a file of the size and the ETag that it had at
first. What breaks is asked for again; what changed at the server is an error, so that two states are never mixed.
"""

from __future__ import annotations

import functools
import os
import random
import re
import time
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote, urlsplit

from revoskit.archives import answers
from revoskit.errors import ArchiveError, DownloadError
from revoskit.text import shown

if TYPE_CHECKING:  # a fifth of the time that a command takes to start, and most commands ask no server
    import requests

TRIES = 6
"""How often a server may fail in a row before it is given up."""
FIRST_PAUSE = 0.5
"""Seconds before the second try; they double up to half a minute."""
CONNECTIONS = 8
"""Requests at once, and connections that a process keeps open."""
MAX_REQUEST_BYTES = 2**28
_TAIL = 2**17  # bytes at the end of a file that are asked for at once
_TIMEOUT = (15, 60)  # seconds to connect, and between two pieces of data
_HUB = re.compile(r"hf://datasets/(?P<repo>[\w.-]+/[\w.-]+)(@(?P<revision>refs/(pr|convert)/\w+|[^/@]+))?/(?P<path>.+)")
_ON_A_SERVER = re.compile(r"((?P<inner>.*)::)?(?P<place>(https?|hf)://.*)", re.DOTALL)  # a host may be `[::1]`

_IF_PRIVATE = (
    ". If it is private: `hf auth login`, or set $HF_TOKEN. A token that was passed counts in that process alone, not "
    "in workers that it starts anew"
)
_tokens: dict[str, str | bool | None] = {}  # by the address of a file on the Hub, where another than the saved one


class State(NamedTuple):
    """What tells a file from another that takes its place: its size in bytes, and the server's name for its content."""

    size: int
    etag: str


class _Broken(NamedTuple):
    """The server failed in a way that another try may not; `wait` is how many seconds it asked for."""

    reason: str
    wait: float = 0.0


class RemoteFile:
    """The file at an `https://`, `http://` or `hf://datasets/<owner>/<repo>[@revision]/<path>` address.

    Pickles as its address. Any number of threads may read; a forked process makes connections of its own.

    Raises, wherever it is read:
        DownloadError: the server does not have it, cannot be reached, or fails again and again.
        ArchiveError: it ignores which part is asked for, or the file is another than at first.
    """

    def __init__(self, address: str) -> None:
        self.address = address

    def __reduce__(self) -> tuple[Any, ...]:
        return remote_file, (self.address,)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RemoteFile) and other.address == self.address

    def __hash__(self) -> int:
        return hash(self.address)

    @property
    def name(self) -> str:
        return shown(self.address)

    @functools.cached_property
    def state(self) -> State:
        """As it was when this object first asked."""
        answer, _ = self._ask(0, 1, None)
        return answer

    def read_at(self, position: int, size: int) -> bytes:
        """`size` bytes from `position` on; fewer where the end comes first."""
        size = min(size, self.state.size - position)
        if size <= 0:
            return b""
        if position >= self._tail_start:  # looked at piece by piece, for the directory of a zip
            return self._tail[position - self._tail_start :][:size]
        if size > MAX_REQUEST_BYTES:
            raise ArchiveError(f"{self.name} would have {size:,} bytes read at once, which no archive of frames needs")
        return self._ask(position, size, self.state)[1]

    @property
    def _tail_start(self) -> int:
        return max(0, self.state.size - _TAIL)

    @functools.cached_property
    def _tail(self) -> bytes:
        return self._ask(self._tail_start, self.state.size - self._tail_start, self.state)[1]

    def _ask(self, position: int, size: int, expected: State | None) -> tuple[State, bytes]:
        failures = 0
        while isinstance(answer := self._try(position, size, expected), _Broken):
            failures += 1
            if failures >= TRIES:
                raise DownloadError(f"{self.name}: {answer.reason}. Given up after {TRIES} tries.")
            pause = min(30.0, FIRST_PAUSE * 2 ** (failures - 1)) * random.uniform(0.8, 1.2)
            time.sleep(max(pause, min(answer.wait, 120.0)))
        return answer

    def _try(self, position: int, size: int, expected: State | None) -> tuple[State, bytes] | _Broken:
        import requests
        import urllib3

        url, known = _where(self.address)
        try:
            with self._get(url, known | {"Range": f"bytes={position}-{position + size - 1}"}) as answer:
                if broken := self._check(answer, url):
                    return broken
                state = self._stretch(answer, position, size, expected)
                data: bytes = b"" if isinstance(state, _Broken) else answer.raw.read(size + 1)
        except (requests.RequestException, urllib3.exceptions.HTTPError, ConnectionError) as error:
            return _Broken(answers.reason(error))
        if isinstance(state, _Broken):
            return state
        return (state, data) if len(data) == size else _Broken(f"it sent {len(data):,} bytes of {size:,}")

    def _get(self, url: str, headers: dict[str, str]) -> requests.Response:
        import requests

        try:
            return _session().get(url, headers=answers.PLAIN | headers, stream=True, timeout=_TIMEOUT)
        except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema) as error:
            raise DownloadError(f"{self.name} is not a web address: {answers.reason(error)}") from None
        except requests.RequestException:
            raise
        except ValueError:  # what `requests` lets through of a redirect to what is no address, or no text
            raise DownloadError(f"{self.name}: the server leads to an address that is none") from None

    def _check(self, answer: requests.Response, url: str) -> _Broken | None:
        """See that the server answered; learn where it led to, so that the next request goes there at once."""
        status = answers.status_of(answer)
        if answer.status_code in (401, 403, 404, 410) and url != _origin(self.address):
            _led_to.pop(self.address, None)  # the address that it led to was good for a while alone
            return _Broken(f"the server says {status}")
        if answers.asks_for_patience(answer):
            return _Broken(f"the server says {status}", answers.wait_of(answer))
        if answer.status_code not in (200, 206, 416):
            private = self.address.startswith("hf://") and answer.status_code in (401, 403, 404)
            raise DownloadError(f"{self.name}: the server says {status}" + (_IF_PRIVATE if private else ""))
        if answers.is_compressed(answer):
            raise DownloadError(f"{self.name}: the server compresses what it sends, although asked not to")
        if answer.history and answer.url:
            _led_to[self.address] = answer.url
        return None

    def _stretch(self, answer: requests.Response, position: int, size: int, expected: State | None) -> State | _Broken:
        """What the answer says that it is a part of, and that it is the part that was asked for."""
        if answer.status_code == 200:
            length = answers.length_of(answer)
            every = "all of it" if length is None else f"all {length:,} bytes"
            raise ArchiveError(
                f"{self.name}: the server ignores which part is asked for and would send {every} for every frame. "
                "Download the archive: `revoskit download ROOT --from SOURCE`"
            )
        part = answers.part_of(answer)
        if part.total is None:
            return _Broken(f"it does not say which part it sends ({answer.headers.get('Content-Range')!r:.60})")
        state = State(part.total, _etag(answer))
        if expected is not None and state != expected:
            raise ArchiveError(
                f"{self.name} has changed at the server since its directory was read (it had {expected.size:,} bytes "
                f"and ETag {expected.etag or 'none'}, now {state.size:,} and {state.etag or 'none'}): load it anew"
            )
        if answer.status_code == 416 or (part.first, part.last) != (position, position + size - 1):
            return _Broken(f"it sends another part than was asked for ({answer.headers.get('Content-Range')})")
        return state


@functools.lru_cache(maxsize=8)
def remote_file(address: str) -> RemoteFile:
    """The one of this process, which knows what state the file was in at first."""
    return RemoteFile(address)


def use_token(address: str, token: str | bool | None) -> None:
    """Read a file on the Hub with this token in this process, rather than with the one that `hf auth login` saved."""
    _tokens[address] = token


def is_remote(address: str) -> bool:
    """Whether a file, or the file that an archive lies in, is on a server."""
    return place_of(address)[1].startswith(("https://", "http://", "hf://"))


def place_of(address: str) -> tuple[str, str]:
    """The archive within an archive that an address `inner::outer` names, or nothing, and the file that it lies in."""
    match = _ON_A_SERVER.fullmatch(address)
    if match is not None:
        return match["inner"] or "", match["place"]
    inner, _, place = address.rpartition("::")
    return inner, place


def _etag(answer: requests.Response) -> str:
    """What the server calls this content, or when it says that it was made."""
    return (answer.headers.get("ETag") or answer.headers.get("Last-Modified") or "").removeprefix("W/").strip('"')


# --- where to ask, and the connections of this process ----------------------------------------------------------------

_led_to: dict[str, str] = {}  # where the address of a file was led to: the Hub leads to a store, for an hour or so


def _origin(address: str) -> str:
    if not address.startswith("hf://"):
        return address
    from huggingface_hub import hf_hub_url

    match = _HUB.fullmatch(address)
    if match is None:
        raise DownloadError(f"{address!r} is not of the form hf://datasets/<owner>/<repo>[@revision]/<path>")
    revision = match["revision"] and unquote(match["revision"])
    return hf_hub_url(match["repo"], match["path"], repo_type="dataset", revision=revision)


def _where(address: str) -> tuple[str, dict[str, str]]:
    """The web address to ask, and the headers that are meant for it: a token goes to the Hub alone."""
    origin = _origin(address)
    url = _led_to.get(address, origin)
    if not address.startswith("hf://") or urlsplit(url)[:2] != urlsplit(origin)[:2]:
        return url, {}
    from huggingface_hub.utils import build_hf_headers

    headers = build_hf_headers(token=_tokens.get(address))
    return url, {name: value for name, value in headers.items() if name.lower() in ("authorization", "user-agent")}


_sessions: dict[int, requests.Session] = {}  # by process: a connection must not be shared over a fork


def _session() -> requests.Session:
    import requests

    session = _sessions.get(os.getpid())
    if session is None:
        session = requests.Session()
        adapter = requests.adapters.HTTPAdapter(pool_connections=CONNECTIONS, pool_maxsize=CONNECTIONS)
        session.mount("https://", adapter)
        session.mount("http://", adapter)
        session = _sessions.setdefault(os.getpid(), session)
    return session
