"""Secrets are found whole, in part and encoded, in time that grows with their size and memory that does not."""

import base64
import html
import random
import time
import tracemalloc
from urllib.parse import quote, quote_plus

import pytest

from orchestrator.core.privacy.redaction import MARK, redact
from orchestrator.core.privacy.secret_search import secret_strings

KEY = "Sk-Live-4f9a8B7c"


@pytest.mark.parametrize(
    "said",
    [
        KEY,
        KEY.upper(),
        KEY.lower(),
        base64.b64encode(KEY.encode()).decode(),
        base64.b64encode(b"user:" + KEY.encode()).decode(),
        "Basic " + base64.b64encode(b"me:" + KEY.encode() + b"?").decode(),
        base64.urlsafe_b64encode(b"x" + KEY.encode() + b"yy").decode(),
        KEY.encode().hex(),
        KEY.encode().hex().upper(),
        KEY.replace("-", "%2D"),
    ],
)
def test_a_secret_is_found_in_every_form(said: str) -> None:
    told = redact(f"401 for {said} at line 3", {KEY, KEY.replace("-", "%2D")})
    assert MARK in told
    for part in (KEY[4:], base64.b64encode(KEY.encode()).decode()[4:-4], KEY.encode().hex()):
        assert part.lower() not in told.lower()
    assert told.endswith("at line 3")


QUOTED = "p&ss/<w0rd> 77"


@pytest.mark.parametrize(
    "said",
    [
        quote(QUOTED),
        quote(QUOTED, safe=""),
        quote_plus(QUOTED),
        html.escape(QUOTED),
        QUOTED.encode().hex(":"),
        base64.b32encode(QUOTED.encode()).decode(),
    ],
)
def test_a_secret_with_signs_is_found_as_addresses_pages_and_keys_write_it(said: str) -> None:
    told = redact(f"401 for {said} at line 3", {QUOTED})
    assert told.startswith(f"401 for {MARK}")
    assert said.rstrip("=") not in told


class Slotted:
    __slots__ = ("password",)

    def __init__(self) -> None:
        self.password = "hunter-2222"


class Settings:
    def __init__(self) -> None:
        self.name = "production"
        self.api_token = "tok-99"


class Client:
    def __init__(self) -> None:
        self.settings = Settings()
        self.auth = Slotted()
        self.headers = {"connection": "keep-alive", "Authorization": "Bearer abc"}


def test_secrets_are_found_in_slots_and_nested_attributes() -> None:
    found = secret_strings({"client": Client()})
    assert {"hunter-2222", "tok-99", "Bearer abc"} <= found
    assert "keep-alive" not in found


def test_searching_is_linear_and_takes_no_memory() -> None:
    draw = random.Random(7)
    large = "".join(draw.choices("abcdefghijklmnopqrstuvwxyz ", k=2_000_000))
    text = f"cannot parse {large[1_234_567:1_234_600]!r} at 3"
    tracemalloc.start()
    began = time.process_time()
    told = redact(text, {large})
    seconds = time.process_time() - began
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert told == f"cannot parse '{MARK}' at 3"
    assert seconds < 5
    assert peak < 20_000_000
