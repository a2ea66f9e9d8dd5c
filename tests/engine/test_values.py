"""Values of runs: stored only if they come back as they were; each call its own; a changed type locks no run."""

import datetime
import gc
import math
import re
import tracemalloc
from collections import defaultdict, deque
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage
from pydantic import BaseModel, Field, Secret, SecretStr

from orchestrator import InputError, Orchestrator, Status, Tool, tool
from orchestrator.core.values.content import same_content
from orchestrator.engine.values import Unserialisable, digest, dump, load_value, same_digest


class Priced(BaseModel):
    usd: float = Field(alias="priceUSD")


class Animal(BaseModel):
    name: str


class Dog(Animal):
    breed: str


STORED: list[tuple[Any, Any]] = [
    (Priced, Priced(priceUSD=3)),
    (float, math.inf),
    (list[float], [1.0, math.nan]),
    (bytes, b"\xff\x00"),
    (dict[int, str], {1: "a"}),
    (set[int], {1, 2}),
    (Any, {"a": [1, None]}),
    (Any, {"a": [math.nan, None]}),
    (dict[str, Any], {"a": math.nan}),
    (re.Pattern[str], re.compile("a+")),
    (list[BaseMessage], [AIMessage("", tool_calls=[{"name": "f", "args": {}, "id": "1"}])]),
]
NOT_STORED: list[tuple[Any, Any]] = [
    (SecretStr, SecretStr("abc")),
    (list[Animal], [Dog(name="r", breed="x")]),
    (dict, {2: (3,)}),
    (Any, (1, 2)),
    (dict[str, Any], {"d": Dog(name="r", breed="x")}),
    (Any, object()),
    (str, "a\ud800b"),
    (re.Pattern[str], re.compile("a+", re.IGNORECASE)),
    (deque[int], deque([1, 2], maxlen=3)),
    (Secret[int], Secret(5)),
    (datetime.datetime, datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone(datetime.timedelta(hours=1), "CET"))),
    (defaultdict[str, list[int]], defaultdict(lambda: [0])),
]


@pytest.mark.parametrize(("annotation", "value"), STORED, ids=range(len(STORED)))
def test_what_is_stored_comes_back_as_it_was(annotation: Any, value: Any) -> None:
    assert same_content(load_value(annotation, dump(annotation, value)), value)


@pytest.mark.parametrize(("annotation", "value"), NOT_STORED, ids=range(len(NOT_STORED)))
def test_what_would_come_back_changed_is_not_stored(annotation: Any, value: Any) -> None:
    with pytest.raises(Unserialisable):
        dump(annotation, value)


@pytest.mark.parametrize(("annotation", "value"), [*STORED, *NOT_STORED[:5]], ids=range(len(STORED) + 5))
async def test_a_value_is_the_same_after_a_wait_in_another_process(annotation: Any, value: Any, tmp_path: Path) -> None:
    got: list[Any] = []

    def make() -> Any:
        return value

    def use(v: Any) -> str:
        got.append(v)
        return "used"

    make.__annotations__["return"] = use.__annotations__["v"] = annotation

    def tools() -> list[Tool]:
        return [Tool(make, gives="v"), Tool(use, gives="used", effect="write", approval=True)]

    async with Orchestrator(tools(), store=tmp_path / "runs.db") as orc:
        waiting = await orc.run("used")
    async with Orchestrator(tools(), store=tmp_path / "runs.db") as orc:
        assert (await orc.resume(waiting.run_id, True, by="ann")).status is Status.REACHED
    assert same_content(got[0], value)


class First(BaseModel):
    usd: float


class Second(BaseModel):
    eur: float


def shop(kind: type[BaseModel], given: dict[str, float], voided: list[str]) -> list[Tool]:
    @tool(gives="quote")
    def quoter(parcel: str) -> Any:
        del parcel
        return kind(**given)

    @tool(gives="hold", effect="write", compensate=voided.append)
    def reserve(quote: Any) -> str:
        del quote
        return "hold-1"

    @tool(gives="label", effect="write", approval=True)
    def buy(hold: str, quote: Any) -> str:
        return f"{hold} {quote}"

    quoter.gives["quote"] = kind
    return [quoter, reserve, buy]


def no(orc: Orchestrator) -> Any:
    return orc.resume("r", "no")


def cancelled(orc: Orchestrator) -> Any:
    return orc.cancel("r")


@pytest.mark.parametrize("end", [no, cancelled])
async def test_a_changed_type_locks_no_run(end: Callable[[Orchestrator], Any], tmp_path: Path) -> None:
    voided: list[str] = []
    async with Orchestrator(shop(First, {"usd": 4.2}, voided), store=tmp_path / "runs.db") as orc:
        assert (await orc.run("label", {"parcel": "p"}, run_id="r")).status is Status.WAITING
    async with Orchestrator(shop(Second, {"eur": 4.0}, voided), store=tmp_path / "runs.db") as orc:
        assert orc.outcome("r").status is Status.WAITING
        assert (await end(orc)).status is Status.ESCALATED
        assert orc.outcome("r").status is Status.ESCALATED
    assert voided == ["hold-1"]


class Connection:
    pass


async def test_a_run_that_only_its_process_can_go_on_with_says_so(tmp_path: Path) -> None:
    @tool(gives="x", effect="write", approval=True)
    def use(conn: Connection) -> int:
        del conn
        return 1

    async with Orchestrator([use], store=tmp_path / "runs.db") as orc:
        assert orc.plan("x", {"conn": Connection()}).not_storable == ("conn",)
        waiting = await orc.run("x", {"conn": Connection()}, run_id="r")
        assert "Only this process can continue: conn cannot be stored" in waiting.questions[0].text
    async with Orchestrator([use], store=tmp_path / "runs.db") as orc:
        with pytest.raises(InputError, match="'r' cannot continue in this process: conn could not be stored"):
            await orc.resume("r", True)
        assert (await orc.resume("r", "no")).status is Status.ESCALATED
    async with Orchestrator([use]) as orc:
        assert orc.plan("x", {"conn": Connection()}).not_storable == ()


async def test_no_call_sees_what_another_did_to_a_value() -> None:
    tries: list[int] = []

    @tool(gives="doc")
    def read(path: str) -> dict[str, list[str]]:
        return {"tags": [path][:0]}

    @tool(gives="tagged")
    def tag(doc: dict[str, list[str]]) -> int:
        doc["tags"].append("x")
        return len(doc["tags"])

    @tool(gives="count")
    def count(doc: dict[str, list[str]], tagged: int) -> int:
        return len(doc["tags"]) + 10 * tagged

    @tool(gives="batch", retries=2)
    def drain(items: list[int]) -> list[int]:
        done = [items.pop() for _ in range(2)]
        tries.append(len(items))
        if len(tries) < 2:
            raise TimeoutError("again")
        return done

    items = [1, 2, 3]
    async with Orchestrator([read, tag, count, drain]) as orc:
        assert (await orc.run("count", {"path": "p"})).value == 10
        assert (await orc.run("batch", {"items": items})).value == [3, 2]
    assert (items, tries) == ([1, 2, 3], [1, 1])


async def test_a_tool_that_shares_gets_the_value_itself() -> None:
    @tool(gives="n", share=True)
    def grow(items: list[int]) -> int:
        items.append(4)
        return len(items)

    items = [1, 2, 3]
    async with Orchestrator([grow]) as orc:
        await orc.run("n", {"items": items})
    assert len(items) in (3, 4)  # validating the input may have copied it; the call did not


async def test_a_value_is_validated_at_the_call_where_types_only_may_fit() -> None:
    @tool(gives="name")
    def find(id: int) -> str | None:
        return None if id == 0 else "ann"

    @tool(gives="greeting")
    def greet(name: str) -> str:
        return f"hello {name}"

    async with Orchestrator([find, greet]) as orc:
        assert (await orc.run("greeting", {"id": 1})).value == "hello ann"
        assert (await orc.run("name", {"id": 0})).value is None
        failed = (await orc.run("greeting", {"id": 0})).failures[0]
    assert (failed.tool, failed.kind) == ("greet", "caller_error")
    assert "'find' gives str | None, 'greet' takes str" in failed.message


def test_the_identity_of_inputs() -> None:
    view = Orchestrator().graph.view()

    def of(**values: Any) -> str:
        return digest(values, view, b"key")

    assert same_digest(of(a=1, b=[2.0]), of(b=[2.0], a=1))
    assert not same_digest(of(a=Dog(name="r", breed="x")), of(a=Animal(name="r")))
    assert not same_digest(of(a=1), of(a=True))


async def test_an_ended_run_in_memory_keeps_no_inputs() -> None:
    async with Orchestrator([Tool(len, name="size", needs={"obj": "text"}, gives="n")]) as orc:
        await orc.run("n", {"text": "z" * 1_000_000})
        gc.collect()
        tracemalloc.start()
        for number in range(20):
            await orc.run("n", {"text": "z" * 1_000_000 + str(number)})
        gc.collect()
        kept, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert kept < 3_000_000


async def test_a_value_outside_of_its_limits_is_told_by_its_type_and_limit() -> None:
    async def double(n: Annotated[int, Field(gt=3)]) -> Annotated[int, Field(lt=10)]:
        return 2 * n

    async with Orchestrator([Tool(double, gives="doubled")]) as orc:
        with pytest.raises(InputError, match="n is no int: Input should be greater than 3"):
            await orc.run("doubled", {"n": 1})
        outcome = await orc.run("doubled", {"n": 6})
        assert outcome.failures[0].message == "doubled is no int: Input should be less than 10"
