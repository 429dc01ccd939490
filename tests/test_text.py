"""Text from elsewhere, before it is shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from revoskit.text import printable, shown, without_secrets


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("https://user:pass@host/data?sig=abc", "https://host/data?…"),
        ("https://user:p@ss@host/data", "https://host/data"),
        ("http://user:pass@[::1", "http://[::1"),
        ("see https://a:b@c/d?e=f and https://g/h", "see https://c/d?… and https://g/h"),
        ("is it there? no", "is it there? no"),
        ("me@example.org", "me@example.org"),
    ],
)
def test_credentials_and_queries_are_not_shown(address, expected):
    assert without_secrets(address) == expected


def test_what_a_terminal_would_obey_is_escaped():
    assert shown("\x1b[2J\x07 a\u202eb \udcff\x9b1m") == r"\x1b[2J\x07 a\u202eb \udcff\x9b1m"


def test_words_of_all_languages_and_lines_stay():
    text = "das orange Dreieck – “oben” & 🪁\n\t左边的球"
    assert printable(text) == text


@given(st.text())
def test_nothing_that_is_printable_moves_a_cursor_or_fails_to_be_encoded(text):
    safe = printable(text)
    safe.encode()
    assert not set(safe) & {chr(number) for number in [*range(9), 11, 12, *range(14, 32), *range(127, 160)]}
