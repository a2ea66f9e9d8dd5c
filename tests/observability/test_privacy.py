"""Planted secrets: no argument, output or dependency reaches a span, a record, a log line or the store's files."""

import asyncio
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from pydantic import BaseModel

from orchestrator import Agent, CallerError, Event, Goal, Orchestrator, Outcome, Policy, Progressed, Refused, Tool
from orchestrator.core.event_records import to_body
from orchestrator.core.failure import Failure
from orchestrator.core.privacy.redaction import message_of
from orchestrator.observability.tracing import TracingSink
from tests.support.telemetry import Recorder

ARGUMENT = "tok-4f9a31c07be2"
NESTED = "iban DE02 1203 0000 0000 2020 51"
OUTPUT = "pin=7713-0042-9981"
DEPENDENCY = "postgres-password-55512"
SECRETS = (ARGUMENT, NESTED, OUTPUT, DEPENDENCY)


class Customer(BaseModel):
    """An argument with a secret inside."""

    name: str
    account: str


@dataclass
class Clients:
    """What tools get through `deps`."""

    password: str = DEPENDENCY


def _quote(key: str, customer: Customer) -> str:
    raise ValueError(f"cannot use {key!r} for {customer!r} with {DEPENDENCY}")


def _refuse(key: str, customer: Customer) -> str:
    raise Refused(f"no account {customer.account} for key {key}")


def _bad_arguments(key: str) -> str:
    raise CallerError(json.dumps({"got": key, "escaped\n": key}))


def _chain(key: str) -> str:
    try:
        int(key)
    except ValueError as error:
        raise RuntimeError("parsing failed") from error
    return key


def _group(key: str, customer: Customer) -> str:
    raise ExceptionGroup("many", [ValueError(key), TypeError(customer.account)])


def _wrong_type(key: str) -> str:
    wrong: Any = {OUTPUT: key}
    return wrong


BREAKING: tuple[Callable[..., Any], ...] = (_quote, _refuse, _bad_arguments, _chain, _group, _wrong_type)


def _never(output: Any) -> bool:
    raise AssertionError(f"{output!r} is not what was wanted")


def _told(output: str) -> str:
    return output


class Listener:
    """Keeps every event."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def on_event(self, event: Event) -> None:
        """Take one event."""
        self.events.append(event)


async def private_run(store: Path | None, recorder: Recorder, listener: Listener) -> Outcome[Any]:
    """A run in which everything that can quote a secret does."""
    broken = [Tool(call, name=f"t{i}", gives="word", cost=i / 100) for i, call in enumerate(BREAKING)]
    last = Tool(lambda key: OUTPUT, name="works", needs={"key": "key"}, gives="word", cost=1.0)
    rejected = Tool(_told, name="rejected", needs={"output": "word"}, gives="text", ensure=_never)
    written = Tool(_told, name="written", needs={"output": "word"}, gives="text", cost=1.0, effect="write")
    agent = Agent(_told, name="agent", needs={"output": "text"}, gives="essay", skills={"write": 1}, ensure=_never)
    reader = InMemoryMetricReader()
    async with Orchestrator(
        [*broken, last, rejected, written],
        [agent],
        policy=Policy.model_validate({"retries": {"attempts": 1, "base_seconds": 0}}),
        store=store,
        deps=Clients(),
        tracer_provider=recorder.provider,
    ) as orchestrator:
        orchestrator.add_sink(listener)
        orchestrator.add_sink(TracingSink(meters=MeterProvider([reader], shutdown_on_exit=False)))
        outcome = await orchestrator.run(
            Goal("essay", demotions=["text"]), {"key": ARGUMENT, "customer": Customer(name="Ann", account=NESTED)}
        )
        data = reader.get_metrics_data()
        assert data is not None
        assert not found_in(data.to_json())
        assert not found_in(json.dumps(orchestrator.health.snapshot()))
        if store is not None:
            orchestrator.store.flush()
            assert orchestrator.store.values(outcome.run_id) == {}
    return outcome


def found_in(text: str) -> list[str]:
    """The secrets, or telling pieces of them, that a text holds."""
    pieces = [*SECRETS, "4f9a31c07be2", "1203 0000", "7713-0042", "password-55512"]
    return [piece for piece in pieces if piece in text]


def bytes_of(folder: Path) -> bytes:
    """Everything in the files of a folder."""
    return b"".join(file.read_bytes() for file in sorted(folder.iterdir()))


@pytest.mark.parametrize("durable", [False, True])
async def test_planted_secrets_stay_where_they_are(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, durable: bool
) -> None:
    caplog.set_level(logging.DEBUG)
    recorder, listener = Recorder(), Listener()
    outcome = await private_run(tmp_path / "runs.db" if durable else None, recorder, listener)
    assert len(outcome.failures) >= len(BREAKING) + 2
    assert {str(failure.kind) for failure in outcome.failures} >= {"bug", "refusal", "caller_error", "invalid_output"}
    for failure in outcome.failures:
        assert not found_in(failure.message + failure.traceback), failure
    assert not found_in("\n".join(str(span.to_json()) for span in recorder.spans))
    assert not found_in(caplog.text)
    for event in listener.events:
        if not isinstance(event, Progressed):
            assert not found_in(json.dumps(to_body(event), default=str)), event
    assert not found_in(bytes_of(tmp_path).decode("utf-8", "replace"))


async def test_deleted_values_are_gone_from_the_files_of_an_open_store(tmp_path: Path) -> None:
    big = [f"{ARGUMENT}-{number:06}" for number in range(20_000)]
    async with Orchestrator(
        [Tool(lambda key: big, name="many", needs={"key": "key"}, gives="words")], store=tmp_path / "r.db"
    ) as orchestrator:
        for number in range(3):
            await orchestrator.run("words", {"key": f"{ARGUMENT} {number}"})
        orchestrator.store.flush()
        left = -1
        for _ in range(200):
            left = bytes_of(tmp_path).count(ARGUMENT.encode())
            if not left:
                break
            await asyncio.sleep(0.05)
        assert left == 0


def broken(key: str) -> str:
    raise ValueError(f"bad key: {key} / {key!r} / {json.dumps(key)}")


async def told_of(secret: str) -> tuple[Failure, str]:
    """The failure of a run over a secret, and all that its spans and records say."""
    recorder = Recorder()
    async with Orchestrator([Tool(broken, gives="word")], tracer_provider=recorder.provider) as orchestrator:
        outcome = await orchestrator.run("word", {"key": secret})
        records = json.dumps([r.body for r in orchestrator.store.records(outcome.run_id)], ensure_ascii=False)
    return outcome.failures[0], records + "".join(str(span.to_json(None)) for span in recorder.spans)


@given(secret=st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=8, max_size=40))
@settings(max_examples=60)
def test_whatever_the_secret_is_it_is_not_told(secret: str) -> None:
    failure, told = asyncio.run(told_of(secret))
    _, said_anyway = asyncio.run(told_of("0" * 8))
    word = secret.strip()
    if len(word) >= 8 and word not in said_anyway:
        assert word not in failure.message
        assert word not in told


# -- terminals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("\x1b[31mred\x1b[0m and \x1b[1;4mbold\x1b[m", "red and bold"),
        ("a\x1b]0;title\x07b\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "ablink"),
        ("\x9b31mred \x1b(B \x1bPq#0\x1b\\sixel", "red sixel"),
        ("one\r\ntwo\x00\x08\u202ethree", "one two three"),
    ],
)
def test_whole_escape_sequences_are_left_out_of_messages(said: str, told: str) -> None:
    assert message_of(ValueError(said)) == told


def test_a_secret_that_an_escape_sequence_parts_is_not_told_either() -> None:
    message = message_of(ValueError(f"key {ARGUMENT[:5]}\x1b[1m{ARGUMENT[5:]}\x1b[0m is wrong"), [ARGUMENT])
    assert message == "key [redacted] is wrong"
