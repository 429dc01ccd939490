"""Text that comes from files and servers, made fit to be shown: without secrets, and without power over a terminal."""

from __future__ import annotations

import re
import reprlib
import unicodedata
from typing import Any

import msgspec

_CREDENTIALS = re.compile(r"(?<=//)[^/\s'\"]*@")
_QUERY = re.compile(r"\?[^\s'\"<>]+")


def without_secrets(address: str) -> str:
    """An address, or a message that holds addresses, without user names, passwords and queries, however malformed."""
    return _QUERY.sub("?…", _CREDENTIALS.sub("", address))


def shown(address: str) -> str:
    """An address, or a message that holds addresses, as people may see it."""
    return printable(without_secrets(address))


def printable(text: str) -> str:
    """The same text with every character that a terminal would obey, or that no encoding has, as an escape.

    Line ends and tabs stay: messages have several lines.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(char if _is_harmless(char) else _escape(char) for char in text)


def storable(text: str) -> str:
    """The same text as a file can hold it: names that are not UTF-8 with an escape for each byte that no text has."""
    return text.encode("utf-8", "backslashreplace").decode()


def is_storable(text: str) -> bool:
    """Whether a file can hold the text as it is."""
    return storable(text) == text


def as_json(value: Any, *, indent: int | None = None) -> bytes:
    """A value as JSON, its texts as `storable` gives them."""
    try:
        content = msgspec.json.encode(value)
    except UnicodeEncodeError:
        content = msgspec.json.encode(_storable(msgspec.to_builtins(value)))
    return content if indent is None else msgspec.json.format(content, indent=indent)


def _storable(value: Any) -> Any:
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, dict):
        return {_storable(key): _storable(one) for key, one in value.items()}
    return [_storable(one) for one in value] if isinstance(value, list | tuple) else value


def _is_harmless(char: str) -> bool:
    # Cc: control characters; Cs: halves of pairs, as file names that are not UTF-8 have; bidirectional overrides
    return char in "\n\r\t" or not (unicodedata.category(char) in ("Cc", "Cs") or char in _OVERRIDES)


_OVERRIDES = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode()


def brief(value: object, most: int = 60) -> str:
    """The beginning of how a value is written; of a long list the rest is not even looked at."""
    short = reprlib.Repr()
    short.maxstring = short.maxlong = short.maxother = most
    return f"{short.repr(value):.{most}}"
