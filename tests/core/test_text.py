"""Foreign text made harmless; amounts and durations made short."""

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from orchestrator.core.text import counted, duration, listed, plain, plain_lines, shortened, usd


@given(st.text())
@example("\x1b[31mred\x1b[0m")
@example("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\")
@example("\x9b2J\x90q\x9c")
@example("\u202egnp.exe")
@example("\x1b")
def test_plain_text_is_one_harmless_line(text: str) -> None:
    made = plain(text)
    assert not any(unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") for char in made)
    assert not set(made) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f")
    assert plain(made) == made


@given(st.text())
def test_lines_are_kept_where_wanted(text: str) -> None:
    made = plain_lines(text)
    assert not any(unicodedata.category(char) == "Cc" and char not in "\n\t" for char in made)


def test_whole_escape_sequences_go() -> None:
    assert plain("a\x1b[1;31mb\x1b[0m\x1b]0;t\x07c\x1bPq\x1b\\d\x1b(Be") == "abcde"
    assert plain("a\tb\r\nc") == "a b c"
    assert plain(ValueError("x")) == "x"
    assert plain_lines("a\r\nb\tc\x07") == "a\nb\tc"


def test_shortened() -> None:
    assert shortened("abcdef", 4) == "abc…"
    assert shortened("abcd", 4) == "abcd"
    assert shortened("abcd", None) == "abcd"
    assert plain("abcdef", 3) == "ab…"


@pytest.mark.parametrize(
    ("amount", "told"),
    [
        (None, "-"),
        (0, "$0"),
        (1e-15, "$0"),
        (0.00133333, "$0.00133"),
        (0.0000012, "$0.0000012"),
        (0.5, "$0.50"),
        (0.123456, "$0.123"),
        (12, "$12.00"),
        (1234.567, "$1234.57"),
        (float("inf"), "∞"),
        (-0.25, "-$0.25"),
    ],
)
def test_usd(amount: float | None, told: str) -> None:
    assert usd(amount) == told


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (None, "-"),
        (0, "0 ms"),
        (0.0001, "<1 ms"),
        (0.0123, "12 ms"),
        (0.4211, "0.42 s"),
        (3.14, "3.1 s"),
        (12.4, "12 s"),
        (60, "1 min"),
        (125, "2 min 5 s"),
        (3600, "1 h"),
        (11400, "3 h 10 min"),
    ],
)
def test_duration(seconds: float | None, told: str) -> None:
    assert duration(seconds) == told


def test_counted_and_listed() -> None:
    assert counted(1, "call") == "1 call"
    assert counted(0, "call") == "0 calls"
    assert counted(2, "try", "tries") == "2 tries"
    assert [listed(()), listed(["a"]), listed(["a", "b"]), listed(["a", "b", "c"], "or")] == [
        "", "a", "a and b", "a, b or c",
    ]  # fmt: skip
