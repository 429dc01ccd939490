"""What a server answers, read as what a stranger says: numbers of a sane length, text fit to be shown."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from revoskit.text import printable, shown

if TYPE_CHECKING:  # most commands ask no server
    import requests

PLAIN = {"Accept-Encoding": "identity"}
"""The header that asks for bytes as they are, so that positions and lengths are those of the file."""
_NUMBER = "[0-9]{1,18}"  # more digits are no number of bytes, and Python refuses thousands of them
_PART = re.compile(rf"(?:bytes\s*)?(?:({_NUMBER})-({_NUMBER})|\*)/({_NUMBER}|\*)")


class Part(NamedTuple):
    """Which bytes of a file an answer says that it holds: `first` to `last` of `total`, null where it does not say."""

    first: int | None = None
    last: int | None = None
    total: int | None = None


def number(text: str) -> int | None:
    """A count that a server names; null where it is none."""
    return int(text) if re.fullmatch(_NUMBER, text) else None


def part_of(answer: requests.Response) -> Part:
    """What its Content-Range says."""
    match = _PART.fullmatch(answer.headers.get("Content-Range", "").strip())
    return Part(*(number(text or "") for text in match.groups())) if match else Part()


def length_of(answer: requests.Response) -> int | None:
    """How many bytes it says that it has."""
    return number(answer.headers.get("Content-Length", ""))


def status_of(answer: requests.Response) -> str:
    """Its status in a number and words."""
    return printable(f"{answer.status_code} {answer.reason}".strip())


def asks_for_patience(answer: requests.Response) -> bool:
    """Whether the same request may do better later."""
    return answer.status_code in (408, 425, 429) or answer.status_code >= 500


def wait_of(answer: requests.Response) -> float:
    """How many seconds it asks to wait before the next request."""
    return float(number(answer.headers.get("Retry-After", "")) or 0)


def is_compressed(answer: requests.Response) -> bool:
    """Whether its bytes are not those of the file."""
    return answer.headers.get("Content-Encoding", "").strip().lower() not in ("", "identity")


def reason(error: BaseException) -> str:
    """The innermost reason of a network error, which is the one that says something, fit to be shown."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return shown(str(error)) or type(error).__name__
