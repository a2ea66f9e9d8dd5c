"""What a user's part raises as `SystemExit` or a `CancelledError` of its own is reported, and the run goes on."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from orchestrator import Demote, FailureKind, Goal, Orchestrator, Refused, Resolution, Status, Tool
from orchestrator.core.errors import DefinitionError
from orchestrator.core.privacy.redaction import redacted_values
from orchestrator.health.failures.classify import FailureTable
from orchestrator.health.monitors.facts import MonitorFacts

RAISED = (SystemExit, asyncio.CancelledError, KeyboardInterrupt, GeneratorExit)


def one() -> int:
    return 1


def refuses() -> int:
    raise Refused("no")


class Sink:
    def __init__(self, error: type[BaseException]) -> None:
        self.error = error

    def on_event(self, event: Any) -> None:
        raise self.error


class Watch:
    name = "watch"
    interval = 0.001

    def __init__(self, error: type[BaseException]) -> None:
        self.error = error
        self.looked = asyncio.Event()

    async def watch(self, facts: MonitorFacts) -> None:
        self.looked.set()
        raise self.error


class PlainWatch(Watch):
    def watch(self, facts: MonitorFacts) -> None:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        facts.tools  # noqa: B018
        self.looked.set()
        raise self.error


@pytest.mark.parametrize("error", RAISED)
async def test_a_sink(error: type[BaseException]) -> None:
    async with Orchestrator([Tool(one, gives="x")]) as orc:
        orc.add_sink(Sink(error))
        assert (await orc.run("x")).value == 1


@pytest.mark.parametrize("error", RAISED)
@pytest.mark.parametrize("is_async", [False, True])
async def test_a_rung_of_the_ladder(error: type[BaseException], is_async: bool) -> None:
    def plain(impasse: Any) -> Resolution:
        raise error

    async def awaited(impasse: Any) -> Resolution:
        raise error

    rung: Callable[[Any], Any] = awaited if is_async else plain
    async with Orchestrator([Tool(refuses, gives="x"), Tool(one, gives="y")], escalation=[rung, Demote()]) as orc:
        outcome = await orc.run(Goal("x", demotions=["y"]))
        assert outcome.status is Status.DEMOTED
        assert orc.verify(outcome.run_id).ok


@pytest.mark.parametrize("error", RAISED)
@pytest.mark.parametrize("kind", [Watch, PlainWatch])
async def test_a_monitor(error: type[BaseException], kind: type[Watch]) -> None:
    monitor = kind(error)
    async with Orchestrator([Tool(one, gives="x")], monitors=[monitor]) as orc:
        assert (await orc.run("x")).value == 1
        await asyncio.wait_for(_seen(monitor), 5)
        assert (await orc.run("x")).value == 1


@pytest.mark.parametrize("error", [SystemExit, asyncio.CancelledError])
async def test_a_pricing_a_row_of_the_failure_table_and_a_redaction_hook(error: type[BaseException]) -> None:
    def broken(*args: Any) -> Any:
        raise error

    with pytest.raises(DefinitionError, match=f"The pricing raised {error.__name__} for 'one'"):
        await Orchestrator([Tool(one, gives="x")], pricing=broken).run("x")
    table = FailureTable([(KeyError, broken), (broken, "refusal"), (KeyError, "outage")])
    assert table.stated(KeyError()) is FailureKind.OUTAGE
    assert redacted_values({"iban": "DE1"}, broken) == {"iban": "[redaction failed]"}


async def _seen(monitor: Watch) -> None:
    while not monitor.looked.is_set():  # noqa: ASYNC110
        await asyncio.sleep(0.01)
