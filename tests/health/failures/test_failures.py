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

from benchmarks import failures as benchmark
from orchestrator.core.enums import FailureKind
from orchestrator.core.failure import Failure
from orchestrator.core.privacy import redaction
from orchestrator.errors import (
    CallerError,
    Escalated,
    InvalidOutput,
    RateLimited,
    Refused,
    ToolError,
    Unavailable,
)
from orchestrator.health.failures import classify as failures
from orchestrator.health.failures import inspect as failure_signs
from orchestrator.health.failures import retry_after
from orchestrator.health.failures import rules as failure_rules
from orchestrator.health.failures.classify import (
    classify,
    failure_of,
)
from tests.health.failures.errors import WRITE, Shape, Unlisted, a_tool, http_error, of_read, of_write, raised

MODULES = [failures, failure_rules, failure_signs, redaction, retry_after]
TRANSIENT, OUTAGE, INVALID = FailureKind.TRANSIENT, FailureKind.OUTAGE, FailureKind.INVALID_OUTPUT
REFUSAL, CALLER = FailureKind.REFUSAL, FailureKind.CALLER_ERROR
AMBIGUOUS, BUG, ACCOUNT = FailureKind.AMBIGUOUS, FailureKind.BUG, FailureKind.ACCOUNT


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
    (raised(lambda: json.loads("{")), INVALID),
    (raised(lambda: ElementTree.fromstring("<a>")), INVALID),
    (raised(lambda: b"\xff".decode()), INVALID),
    (raised(lambda: Shape.model_validate({"side": "x"})), INVALID),
    (raised(lambda: subprocess.run(["no-such-program"], check=True)), OUTAGE),
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
    (Unlisted("?"), BUG),
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
    assert of_read(http_error(status)) is read
    assert of_write(http_error(status)) is write


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
        Unlisted("x"),
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
    assert classify(error, a_tool("irreversible"), started=True) is AMBIGUOUS
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
    assert of_write(raised(lambda: json.loads("{"))) is AMBIGUOUS


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
            raise Unlisted("second gateway hung up")  # noqa: B904

    assert of_write(raised(second_gateway_after_the_first_refused)) is AMBIGUOUS
    assert of_write(raised(wrapped_in_its_own)) is AMBIGUOUS


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
    errors = [raised(lambda: urllib.request.urlopen(address))]
    with httpx.Client(trust_env=False) as client:
        errors.append(raised(lambda: client.post(address)))
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
    kind = classify(error, a_tool(effect), started=started)
    assert isinstance(kind, FailureKind)
    assert failure_of(error, kind, "t", id="f1").tool == "t"


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
        http_error(429, **{"retry-after": "3"}), TRANSIENT, "t", id="f1", call_id="c1", attempt=2, step="s", at=12.5
    )
    assert Failure.from_json(json.loads(json.dumps(failure.to_json()))) == failure
    assert (failure.retry_after, failure.rate_limited, failure.status) == (3, True, 429)
    assert failure.error_type == "httpx.HTTPStatusError"
    assert failure.retryable
