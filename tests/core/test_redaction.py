"""Redaction: no value of a run survives in the text of an error or in its traceback."""

import json
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, SecretStr

from orchestrator.health.failures.classify import (
    message_of,
    redact,
    secret_strings,
    traceback_of,
)
from tests.health.failures.errors import Shape, raised


@dataclass
class Deps:
    """What a user hands to tools."""

    key: SecretStr
    url: str


class Person(BaseModel):
    """A nested input."""

    name: str
    cards: dict[str, list[str]]
    pin: int = 0


def test_secrets_are_the_leaves_of_inputs_and_deps() -> None:
    person = Person(name="Ada Lovelace", cards={"visa": ["4111 1111"]}, pin=123456)
    found = secret_strings({"person": person, "deps": Deps(SecretStr("sk-12345"), "http://x.test"), "n": (1, "abc")})
    assert {"Ada Lovelace", "4111 1111", "123456", "sk-12345", "http://x.test"} <= found
    assert not {"abc", "1", "visa"} & found
    assert secret_strings({"ada@example.org": 1, b"bytes": True}) == {"ada@example.org", "bytes"}


def test_of_other_objects_only_their_own_strings_count() -> None:
    class Client:
        def __init__(self) -> None:
            self.api_key = "sk-client-1"
            self.token = SecretStr("tok-9")
            self.headers = {"connection": "keep-alive"}

    assert secret_strings(Client()) == {"sk-client-1", "tok-9"}
    assert secret_strings([Client, len, json]) == set()


def test_secrets_of_what_refers_to_itself_end() -> None:
    loop: list[Any] = ["secret word"]
    loop.append(loop)
    assert secret_strings(loop) == {"secret word"}


@pytest.mark.parametrize(
    ("text", "secrets"),
    [
        ("invalid literal for int(): '4111 1111'", {"4111 1111"}),
        ("bad key 'sk-12345' for sk-12345", {"sk-12345"}),
        (repr("line one\nline two"), {"line one\nline two"}),
        (json.dumps({"name": "Żółć 'x'"}), {"Żółć 'x'"}),
        ("could not parse 'the quick brown fox jum...'", {"the quick brown fox jumps over the lazy dog"}),
        ("unknown user ada@example.org", {"write to ada@example.org, please, about the invoice"}),
        ("outer and inner", {"outer", "outer and inner"}),
    ],
)
def test_redacted(text: str, secrets: set[str]) -> None:
    shown = redact(text, secrets)
    for secret in secrets:
        assert secret not in shown
        assert all(secret[i : i + 12] not in shown for i in range(len(secret) - 11))
    assert "[redacted]" in shown


@given(st.text(min_size=4, max_size=40), st.text(max_size=30), st.text(max_size=30))
def test_a_secret_never_survives(secret: str, before: str, after: str) -> None:
    shown = redact(before + secret + after, {secret})
    assert secret not in shown.replace("[redacted]", "\0")


LONG = " ".join(f"paragraph {number} of a long document about nothing much" for number in range(3_000))


@given(st.integers(0, len(LONG) - 200), st.integers(15, 150))
def test_an_excerpt_of_a_long_document_never_survives(start: int, length: int) -> None:
    excerpt = LONG[start : start + length]
    shown = redact(f"could not parse '{excerpt}...'", {LONG})
    assert excerpt not in shown
    assert shown.startswith("could not parse '")


def test_common_words_survive() -> None:
    text = "could not connect to the server: no such host"
    assert redact(text, {"the server room is on the second floor, call me"}) == text


def test_messages_are_one_printable_line() -> None:
    assert message_of(ValueError("a\x1b[31m\nb\tc \u202e d")) == "a b c d"
    assert message_of(KeyError()) == "KeyError"
    assert len(message_of(ValueError("x" * 9999))) == 1000
    assert message_of(raised(lambda: Shape.model_validate({"side": "hunter2"}))).startswith("side: ")
    assert "hunter2" not in message_of(raised(lambda: Shape.model_validate({"side": "hunter2"})))


def test_tracebacks_hold_places_and_causes_but_no_values() -> None:
    def inner(card: str) -> int:
        try:
            return int(card)
        except ValueError as error:
            raise RuntimeError(f"payment with {card} failed") from error

    error = raised(lambda: inner("4111-1111-1111"))
    text = traceback_of(error, {"4111-1111-1111"})
    assert "4111" not in text
    assert "in inner" in text
    assert text.index("ValueError") < text.index("RuntimeError: payment with [redacted] failed")
