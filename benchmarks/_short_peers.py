"""The same chain of no-op steps in other systems, for `short_runs.py`. Those that are not installed are left out.

pip install langgraph-checkpoint-sqlite pydantic-graph dbos
"""

import asyncio
import itertools
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any, TypedDict

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph

Work = Callable[[], Awaitable[Any]]
_THREADS = itertools.count()


class Value(TypedDict, total=False):
    """State of a LangGraph."""

    x: int


def config() -> dict[str, Any]:
    """A thread of its own for each run of a LangGraph."""
    return {"configurable": {"thread_id": str(next(_THREADS))}, "recursion_limit": 1000}


def langgraph(steps: int, saver: Any = None, *, sync: bool = False) -> Any:
    """A chain as a compiled LangGraph."""
    graph: Any = StateGraph(Value)

    async def node(state: Value) -> Value:
        return {"x": 1}

    def node_sync(state: Value) -> Value:
        return {"x": 1}

    for n in range(steps):
        graph.add_node(f"t{n}", node_sync if sync else node)
    graph.add_edge(START, "t0")
    for a, b in pairwise(range(steps)):
        graph.add_edge(f"t{a}", f"t{b}")
    graph.add_edge(f"t{steps - 1}", END)
    return graph.compile(checkpointer=saver)


def installed(module: str) -> Any:
    """A module of a library that only this page needs; `None` where it is not installed."""
    try:
        return import_module(module)
    except ImportError:
        return None


def plain(steps: int) -> Work:
    """A chain as coroutines that await each other, each in a task of its own."""

    async def step(x: int) -> int:
        return 1

    async def chain() -> int:
        x = 0
        for _ in range(steps):
            x = await asyncio.create_task(step(x))
        return x

    return chain


def pydantic_graph(steps: int) -> Work | None:
    """A chain as a pydantic-graph."""
    library = installed("pydantic_graph")
    if library is None:
        return None
    builder = library.GraphBuilder(input_type=int, output_type=int)

    async def step(ctx: Any) -> int:
        return 1

    nodes = [builder.step(step, node_id=f"t{n}") for n in range(steps)]
    chain = [builder.start_node, *nodes, builder.end_node]
    builder.add(*(builder.edge_from(a).to(b) for a, b in pairwise(chain)))
    graph = builder.build()
    return lambda: graph.run(inputs=1)


@asynccontextmanager
async def langgraph_sqlite(steps: int, folder: Path) -> AsyncGenerator[Work | None]:
    """A chain as a LangGraph with a saver in a SQLite file."""
    library = installed("langgraph.checkpoint.sqlite.aio")
    if library is None:
        yield None
        return
    async with library.AsyncSqliteSaver.from_conn_string(str(folder / f"saver{steps}.sqlite")) as saver:
        app = langgraph(steps, saver)
        yield lambda: app.ainvoke({"x": 0}, config())


@asynccontextmanager
async def dbos(steps: int, folder: Path) -> AsyncGenerator[Work | None]:
    """A chain as a DBOS workflow on SQLite."""
    library = installed("dbos")
    if library is None:
        yield None
        return
    DBOS = library.DBOS  # noqa: N806
    DBOS(
        config={
            "name": "bench",
            "system_database_url": f"sqlite:///{folder}/dbos.sqlite",
            "run_admin_server": False,
            "log_level": "ERROR",
        }
    )

    async def step(x: int) -> int:
        return 1

    recorded: Any = DBOS.step()(step)

    async def chain() -> int:
        x = 0
        for _ in range(steps):
            x = await recorded(x)
        return x

    workflow: Any = DBOS.workflow()(chain)
    DBOS.launch()
    try:
        yield workflow
    finally:
        DBOS.destroy()


@asynccontextmanager
async def peers(steps: int, folder: Path) -> AsyncGenerator[dict[str, Work]]:
    """Every other system that is installed, by name."""
    bare, saved = langgraph(steps), langgraph(steps, InMemorySaver())
    async with AsyncExitStack() as stack:
        found: dict[str, Work | None] = {
            "plain asyncio": plain(steps),
            "pydantic-graph": pydantic_graph(steps),
            "LangGraph": lambda: bare.ainvoke({"x": 0}, config()),
            "LangGraph, InMemorySaver": lambda: saved.ainvoke({"x": 0}, config()),
            "LangGraph, SqliteSaver": await stack.enter_async_context(langgraph_sqlite(steps, folder)),
            "DBOS, SQLite": await stack.enter_async_context(dbos(steps, folder)),
        }
        yield {name: work for name, work in found.items() if work is not None}
