"""What exceptions mean: total, by type name, and never too sure about a write that had begun."""

import ast
import asyncio
import gzip
import json
import re
import socket
import sqlite3
import ssl
import subprocess
import sys
import urllib.request
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import anthropic
import httpx
import openai
import psycopg.errors
import pytest
import sqlalchemy.exc
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.exceptions import OutputParserException
from langchain_core.tools import ToolException
from pydantic import BaseModel, SecretStr

from benchmarks import failures as benchmark
from orchestrator.core.enums import FailureKind
from orchestrator.core.failure import Failure
from orchestrator.core.privacy import redaction
from orchestrator.errors import (
    CallerError,
    DefinitionError,
    Escalated,
    InvalidOutput,
    RateLimited,
    Refused,
    ToolError,
    Unavailable,
)
from orchestrator.graph.tool import Tool
from orchestrator.health.failures import classify as failures
from orchestrator.health.failures import inspect as failure_signs
from orchestrator.health.failures import retry_after
from orchestrator.health.failures import rules as failure_rules
from orchestrator.health.failures.classify import (
    FailureTable,
    classify,
    counts_for_health,
    failure_of,
    is_rate_limit,
    message_of,
    no_error_text,
    redact,
    retry_after_of,
    retryable,
    secret_strings,
    traceback_of,
)

MODULES = [failures, failure_rules, failure_signs, redaction, retry_after]
TRANSIENT, OUTAGE, INVALID = FailureKind.TRANSIENT, FailureKind.OUTAGE, FailureKind.INVALID_OUTPUT
REFUSAL, CALLER = FailureKind.REFUSAL, FailureKind.CALLER_ERROR
AMBIGUOUS, BUG, ACCOUNT = FailureKind.AMBIGUOUS, FailureKind.BUG, FailureKind.ACCOUNT


def _tool(effect: str = "read", classify_: Callable[[BaseException], Any] | None = None) -> Tool:
    def call(a: int) -> int:
        return a

    if classify_ is None:
        return Tool(call, name="t", gives="b", effect=effect)
    return Tool(call, name="t", gives="b", effect=effect, classify=classify_)


READ, WRITE = _tool(), _tool("write")


def of_read(error: BaseException) -> FailureKind:
    """The kind of an error out of a read."""
    return classify(error, READ, started=True)


def of_write(error: BaseException) -> FailureKind:
    """The kind of an error out of a write that had begun."""
    return classify(error, WRITE, started=True)


def _http(status: int, **headers: str) -> httpx.HTTPStatusError:
    request = httpx.Request("POST", "http://example.test")
    return httpx.HTTPStatusError(
        f"status {status}", request=request, response=httpx.Response(status, request=request, headers=headers)
    )


def _raised(action: Callable[[], Any]) -> BaseException:
    try:
        action()
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


class Shape(BaseModel):
    """Something with a schema."""

    side: int


def _openai(status: int, code: str | None = None) -> openai.APIStatusError:
    response: Any = httpx.Response(status, request=httpx.Request("POST", "http://example.test"))
    return openai.APIStatusError("no", response=response, body={"code": code})


def _anthropic(status: int, message: str) -> anthropic.APIStatusError:
    response: Any = httpx.Response(status, request=httpx.Request("POST", "http://example.test"))
    return anthropic.APIStatusError(message, response=response, body={})


def _litellm(name: str, message: str, base: type[Any] = Exception) -> BaseException:
    """An error of the name that litellm gives it; litellm itself is no dependency."""
    kind: Any = type(name, (base,), {"__module__": "litellm.exceptions"})
    if base is Exception:
        return cast("BaseException", kind(message))
    response = httpx.Response(401, request=httpx.Request("POST", "http://example.test"))
    return cast("BaseException", kind(message, response=response, body=None))


class _Ours(Exception):
    """An exception that nobody knows."""


KINDS: list[tuple[BaseException, FailureKind]] = [
    (Unavailable("down"), OUTAGE),
    (RateLimited(), TRANSIENT),
    (Refused("no seats"), REFUSAL),
    (CallerError("bad"), CALLER),
    (InvalidOutput("b is no int"), INVALID),
    (Escalated("the child gave up"), REFUSAL),
    (ToolError("something"), BUG),
    (TimeoutError(), TRANSIENT),
    (asyncio.CancelledError(), TRANSIENT),
    (asyncio.IncompleteReadError(b"", 3), TRANSIENT),
    (ConnectionResetError(), TRANSIENT),
    (ConnectionRefusedError(), TRANSIENT),
    (BrokenPipeError(), TRANSIENT),
    (OSError(28, "No space left on device"), OUTAGE),
    (OSError(22, "Invalid argument"), CALLER),
    (FileNotFoundError("report.pdf"), REFUSAL),
    (PermissionError("report.pdf"), CALLER),
    (ModuleNotFoundError("pypdf"), OUTAGE),
    (ssl.SSLCertVerificationError("expired"), OUTAGE),
    (_raised(lambda: json.loads("{")), INVALID),
    (_raised(lambda: ElementTree.fromstring("<a>")), INVALID),
    (_raised(lambda: b"\xff".decode()), INVALID),
    (_raised(lambda: Shape.model_validate({"side": "x"})), INVALID),
    (_raised(lambda: subprocess.run(["no-such-program"], check=True)), OUTAGE),
    (subprocess.TimeoutExpired("ocr", 5), TRANSIENT),
    (subprocess.CalledProcessError(127, "ocr"), OUTAGE),
    (subprocess.CalledProcessError(-9, "ocr"), TRANSIENT),
    (subprocess.CalledProcessError(64, "ocr"), CALLER),
    (subprocess.CalledProcessError(1, "ocr"), BUG),
    (httpx.ReadTimeout("slow"), TRANSIENT),
    (httpx.RemoteProtocolError("cut off"), TRANSIENT),
    (httpx.UnsupportedProtocol("ftp"), CALLER),
    (httpx.DecodingError("gzip"), INVALID),
    (_openai(500), TRANSIENT),
    (_openai(401), ACCOUNT),
    (_openai(429, "insufficient_quota"), ACCOUNT),
    (_openai(429), TRANSIENT),
    (_openai(402), ACCOUNT),
    (_openai(403), ACCOUNT),
    (_openai(404, "model_not_found"), ACCOUNT),
    (_openai(400), CALLER),
    (
        _anthropic(400, "You have reached your specified API usage limits."),
        ACCOUNT,
    ),
    (_anthropic(400, "Your credit balance is too low to access the Anthropic API."), ACCOUNT),
    (_anthropic(400, "max_tokens: must be at most 4096"), CALLER),
    (_litellm("BudgetExceededError", "Budget has been exceeded! Current cost: 3"), ACCOUNT),
    (_litellm("AuthenticationError", "litellm.AuthenticationError: no", openai.AuthenticationError), ACCOUNT),
    (ToolException("HTTP 401: Unauthorized"), ACCOUNT),
    (ToolException("402 Payment Required"), ACCOUNT),
    (ToolException("invalid_api_key"), ACCOUNT),
    (ToolException("insufficient funds on the customer's card"), REFUSAL),
    (ToolException("no such customer"), REFUSAL),
    (ToolException("Error: request timed out"), TRANSIENT),
    (ToolException("1 validation error for Args"), CALLER),
    (OutputParserException("not JSON"), INVALID),
    (sqlite3.OperationalError("database is locked"), TRANSIENT),
    (sqlite3.OperationalError("no such table: x"), CALLER),
    (sqlite3.OperationalError("unable to open database file"), OUTAGE),
    (sqlite3.IntegrityError("UNIQUE constraint failed"), REFUSAL),
    (psycopg.errors.DeadlockDetected(), TRANSIENT),
    (psycopg.errors.UniqueViolation(), REFUSAL),
    (psycopg.errors.SyntaxError(), CALLER),
    (psycopg.errors.RaiseException(), REFUSAL),
    (psycopg.OperationalError("server closed the connection"), TRANSIENT),
    (sqlalchemy.exc.OperationalError("SELECT 1", {}, sqlite3.OperationalError("database is locked")), TRANSIENT),
    (sqlalchemy.exc.IntegrityError("INSERT", {}, sqlite3.IntegrityError("UNIQUE")), REFUSAL),
    (ExceptionGroup("both", [TimeoutError(), ConnectionResetError()]), TRANSIENT),
    (ExceptionGroup("mixed", [TimeoutError(), KeyError("x")]), BUG),
    (KeyError("x"), BUG),
    (RecursionError(), BUG),
    (_Ours("?"), BUG),
]


@pytest.mark.parametrize(("error", "kind"), KINDS, ids=lambda value: type(value).__name__)
def test_kinds_of_errors_out_of_a_read(error: BaseException, kind: FailureKind) -> None:
    assert of_read(error) is kind


@pytest.mark.parametrize(
    ("status", "read", "write"),
    [
        (400, CALLER, CALLER),
        (401, ACCOUNT, ACCOUNT),
        (402, ACCOUNT, ACCOUNT),
        (403, CALLER, CALLER),
        (404, REFUSAL, REFUSAL),
        (408, TRANSIENT, AMBIGUOUS),
        (409, REFUSAL, AMBIGUOUS),
        (422, CALLER, CALLER),
        (429, TRANSIENT, TRANSIENT),
        (500, TRANSIENT, AMBIGUOUS),
        (502, TRANSIENT, AMBIGUOUS),
        (503, TRANSIENT, AMBIGUOUS),
        (504, TRANSIENT, AMBIGUOUS),
        (507, OUTAGE, AMBIGUOUS),
    ],
)
def test_kinds_of_http_answers(status: int, read: FailureKind, write: FailureKind) -> None:
    assert of_read(_http(status)) is read
    assert of_write(_http(status)) is write


@pytest.mark.parametrize(
    "error",
    [
        TimeoutError(),
        asyncio.CancelledError(),
        ConnectionResetError(),
        BrokenPipeError(),
        httpx.ReadTimeout("x"),
        httpx.ConnectTimeout("x"),
        httpx.RemoteProtocolError("x"),
        KeyError("x"),
        _Ours("x"),
        ToolError("x"),
        ToolException("no seats"),
        sqlite3.IntegrityError("UNIQUE"),
        Escalated("x"),
        ExceptionGroup("x", [ConnectionRefusedError(), TimeoutError()]),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_write_that_had_begun_may_have_happened(error: BaseException) -> None:
    assert of_write(error) is AMBIGUOUS
    assert classify(error, _tool("irreversible"), started=True) is AMBIGUOUS
    assert classify(error, WRITE, started=False) is of_read(error)


@pytest.mark.parametrize(
    "error",
    [
        Unavailable("x"),
        Refused("x"),
        RateLimited(),
        CallerError("x"),
        ConnectionRefusedError(),
        ExceptionGroup("x", [ConnectionRefusedError(), Unavailable("x")]),
        psycopg.OperationalError('connection to server at "127.0.0.1", port 9 failed: Connection refused'),
    ],
    ids=lambda error: type(error).__name__,
)
def test_proof_that_nothing_happened(error: BaseException) -> None:
    assert of_write(error) is of_read(error)
    assert of_write(error) is not AMBIGUOUS


def test_a_write_with_an_invalid_output_did_happen() -> None:
    assert of_write(InvalidOutput("receipt is no Receipt")) is INVALID
    assert of_write(_raised(lambda: json.loads("{"))) is AMBIGUOUS


def test_a_handled_error_before_is_no_proof() -> None:
    def second_gateway_after_the_first_refused() -> None:
        try:
            raise ConnectionRefusedError
        except ConnectionRefusedError:
            raise TimeoutError("the second gateway") from None

    def wrapped_in_its_own() -> None:
        try:
            raise ConnectionRefusedError
        except ConnectionRefusedError:
            raise _Ours("second gateway hung up")  # noqa: B904

    assert of_write(_raised(second_gateway_after_the_first_refused)) is AMBIGUOUS
    assert of_write(_raised(wrapped_in_its_own)) is AMBIGUOUS


async def test_a_port_nobody_listens_on_is_a_refused_connection() -> None:
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    errors: list[BaseException] = []
    async with httpx.AsyncClient(trust_env=False) as client:
        for host in ("127.0.0.1", "localhost"):
            with pytest.raises(httpx.ConnectError) as caught:
                await client.post(f"http://{host}:{port}/")
            errors.append(caught.value)
    assert [of_write(error) for error in errors] == [TRANSIENT] * 2


def test_blocking_clients_say_so_too() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}/"
    errors = [_raised(lambda: urllib.request.urlopen(address))]
    with httpx.Client(trust_env=False) as client:
        errors.append(_raised(lambda: client.post(address)))
    assert [of_write(error) for error in errors] == [TRANSIENT] * 2


async def test_a_name_that_does_not_resolve_is_an_outage() -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        with pytest.raises(httpx.ConnectError) as caught:
            await client.get("http://no-such-name.invalid/")
    assert of_read(caught.value) in (OUTAGE, TRANSIENT)  # transient where the resolver itself cannot be reached
    assert of_write(caught.value) is AMBIGUOUS


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_kinds_do_not_import_the_libraries_they_know(module: ModuleType) -> None:
    nodes = list(ast.walk(ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [str(node.module) for node in nodes if isinstance(node, ast.ImportFrom) and node.level == 0]
    assert {name.split(".")[0] for name in names} - set(sys.stdlib_module_names) <= {"pydantic", "orchestrator"}


@given(
    st.sampled_from(["TimeoutException", "HTTPStatusError", "Error", "ConnectError", "MCPError", "RpcError", "X"]),
    st.sampled_from(["httpx", "requests.x", "openai", "mcp.shared", "grpc", "sqlite3", "psycopg", "nobody"]),
    st.dictionaries(
        st.sampled_from(["response", "status", "code", "reason", "orig", "error", "smtp_code", "errno", "returncode"]),
        st.one_of(st.none(), st.integers(-1, 700), st.text(max_size=5), st.lists(st.integers())),
    ),
    st.booleans(),
    st.sampled_from(["read", "write", "irreversible"]),
)
def test_classification_is_total(
    name: str, module: str, attributes: dict[str, Any], started: bool, effect: str
) -> None:
    error: BaseException = type(name, (Exception,), {"__module__": module, **attributes})("boom")
    kind = classify(error, _tool(effect), started=started)
    assert isinstance(kind, FailureKind)
    assert failure_of(error, kind, "t", id="f1").tool == "t"


# ------------------------------------------------------------------ tables of projects and tools


class CardDeclined(Exception):
    """A payment library's no."""


def test_a_project_adds_rows_by_type_name_and_predicate() -> None:
    table = FailureTable(
        [
            (lambda error: "maintenance" in str(error), OUTAGE),
            (f"{__name__.split('.')[0]}._Ours", TRANSIENT),
            (CardDeclined, "refusal"),
        ]
    )
    assert classify(CardDeclined(), READ, started=True, table=table) is REFUSAL
    assert classify(_Ours("x"), READ, started=True, table=table) is TRANSIENT
    assert classify(KeyError("maintenance"), READ, started=True, table=table) is OUTAGE
    assert classify(KeyError("else"), READ, started=True, table=table) is BUG


def test_rows_are_asked_in_order_and_may_pass() -> None:
    table = FailureTable([(KeyError, lambda error: None), (KeyError, "refusal"), (KeyError, "outage")])
    assert classify(KeyError(), READ, started=True, table=table) is REFUSAL


def test_a_row_that_breaks_says_nothing() -> None:
    def broken(error: BaseException) -> bool:
        raise RuntimeError("my own bug")

    assert classify(KeyError(), READ, started=True, table=FailureTable([(broken, "refusal")])) is BUG
    assert classify(KeyError(), _tool(classify_=lambda error: "nonsense"), started=True) is BUG


def test_the_tools_own_row_comes_first() -> None:
    declined = _tool("write", lambda error: "refusal" if isinstance(error, CardDeclined) else None)
    table = FailureTable([(CardDeclined, "bug")])
    assert classify(CardDeclined(), declined, started=True, table=table) is REFUSAL
    assert classify(KeyError(), declined, started=True, table=table) is AMBIGUOUS


def test_what_rows_may_say_of_a_write() -> None:
    def by_table(kind: str) -> FailureKind:
        return classify(CardDeclined(), WRITE, started=True, table=FailureTable([(CardDeclined, kind)]))

    assert [by_table(kind) for kind in ("refusal", "caller_error")] == [REFUSAL, CALLER]
    assert [by_table(kind) for kind in ("transient", "outage", "bug", "invalid_output")] == [AMBIGUOUS] * 4
    assert classify(CardDeclined(), _tool("write", lambda error: "outage"), started=True) is OUTAGE
    assert classify(CardDeclined(), _tool("write", lambda error: "transient"), started=True) is AMBIGUOUS
    assert classify(Refused("x"), _tool("write", lambda error: "ambiguous"), started=True) is AMBIGUOUS


@pytest.mark.parametrize(
    ("match", "kind", "words"),
    [(CardDeclined, "fatal", "fatal"), ("CardDeclined", "refusal", "package.Class"), (7, "refusal", "7")],
)
def test_rows_that_make_no_sense(match: Any, kind: Any, words: str) -> None:
    with pytest.raises(DefinitionError, match=words):
        FailureTable([(match, kind)])


def test_what_kinds_mean() -> None:
    assert [kind for kind in FailureKind if retryable(kind)] == [TRANSIENT]
    assert [kind for kind in FailureKind if not counts_for_health(kind)] == [REFUSAL, CALLER]


# ------------------------------------------------------------------ waiting


def test_retry_after_in_seconds_dates_and_milliseconds() -> None:
    date = "Wed, 21 Oct 2026 07:28:30 GMT"
    assert retry_after_of(RateLimited(retry_after=2.5)) == 2.5
    assert retry_after_of(RateLimited()) is None
    assert retry_after_of(_http(503, **{"retry-after": "7"})) == 7
    assert retry_after_of(_http(429, **{"retry-after": date, "date": "Wed, 21 Oct 2026 07:28:00 GMT"})) == 30
    assert retry_after_of(_http(429, **{"retry-after-ms": "250"})) == 0.25
    now = datetime(2026, 10, 21, 7, 28, tzinfo=UTC)
    later = format_datetime(datetime(2026, 10, 21, 7, 29, tzinfo=UTC), usegmt=True)
    assert retry_after_of(_http(429, **{"retry-after": later}), now.timestamp()) == 60
    assert retry_after_of(_http(429, **{"retry-after": later})) is None
    earlier = format_datetime(datetime(2020, 1, 1, tzinfo=UTC), usegmt=True)
    assert retry_after_of(_http(429, **{"retry-after": earlier}), now.timestamp()) == 0


@pytest.mark.parametrize("value", ["", "soon", "-3", "inf", "nan"])
def test_a_retry_after_that_makes_no_sense_is_none(value: str) -> None:
    assert retry_after_of(_http(429, **{"retry-after": value}), 0.0) is None


def test_rate_limits_are_told_apart() -> None:
    assert [is_rate_limit(error) for error in (RateLimited(), _http(429), _http(503), KeyError("429"))] == [
        True,
        True,
        False,
        False,
    ]


# ------------------------------------------------------------------ tools that answer errors in words


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("Error: not enough seats on flight HAT229", Refused),
        ("Error: flight HAT030 not available on date 2024-05-13", Refused),
        ("Error: payment method not found", Refused),
        ("Error: rate limit exceeded", RateLimited),
        ("error: 503 service unavailable", Unavailable),
        ("Error: the request timed out", TimeoutError),
        ("Error: missing required argument 'user_id'", CallerError),
        ("Exception: permission denied", CallerError),
    ],
)
def test_errors_in_words(text: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        no_error_text(text)


@pytest.mark.parametrize("output", ["Errors were made", "[]", "255.0", {"error": 1}, 7, None])
def test_other_outputs_are_no_errors(output: Any) -> None:
    assert no_error_text(output) is True


# ------------------------------------------------------------------ privacy


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
    assert message_of(_raised(lambda: Shape.model_validate({"side": "hunter2"}))).startswith("side: ")
    assert "hunter2" not in message_of(_raised(lambda: Shape.model_validate({"side": "hunter2"})))


def test_tracebacks_hold_places_and_causes_but_no_values() -> None:
    def inner(card: str) -> int:
        try:
            return int(card)
        except ValueError as error:
            raise RuntimeError(f"payment with {card} failed") from error

    error = _raised(lambda: inner("4111-1111-1111"))
    text = traceback_of(error, {"4111-1111-1111"})
    assert "4111" not in text
    assert "in inner" in text
    assert text.index("ValueError") < text.index("RuntimeError: payment with [redacted] failed")


# ------------------------------------------------------------------ the benchmark


def test_the_benchmark_tells_refusals_from_outages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts = ["[]", "Error: no seats", "Error: no seats", "Error: 503 service unavailable"]
    run = {
        "traj": [{"role": "user", "content": "hi"}, *({"role": "tool", "name": "book", "content": t} for t in texts)]
    }
    (tmp_path / "tau_airline").mkdir()
    (tmp_path / "paladin").mkdir()
    with gzip.open(tmp_path / "tau_airline" / "gpt-4o-airline.json.gz", "wt") as stream:
        json.dump([run] * 3, stream)
    listed: dict[str, Any] = {"_legend": {}, "503": {}, "KeyError": {}, "Gremlins": {}}
    (tmp_path / "paladin" / "recovery_dictionary.json").write_text(json.dumps(listed))
    assert benchmark.main([str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "12 tool messages of 1 tools, 9 of them errors" in shown
    assert re.search(r"refusal\s+6\n", shown)
    assert re.search(r"outage\s+3\n", shown)
    assert "bug 1, no counterpart 1, transient 1; out of a write that had begun, ambiguous 2" in shown


def test_the_benchmark_says_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert benchmark.main([str(tmp_path)]) == 2
    assert "tau-bench" in capsys.readouterr().err


def test_a_failure_survives_its_record() -> None:
    failure = failure_of(
        _http(429, **{"retry-after": "3"}), TRANSIENT, "t", id="f1", call_id="c1", attempt=2, step="s", at=12.5
    )
    assert Failure.from_json(json.loads(json.dumps(failure.to_json()))) == failure
    assert (failure.retry_after, failure.rate_limited, failure.status) == (3, True, 429)
    assert failure.error_type == "httpx.HTTPStatusError"
    assert failure.retryable
