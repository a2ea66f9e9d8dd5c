"""Real processes that start quickly: a server that has imported everything forks them."""

import multiprocessing
from multiprocessing.context import ForkServerContext

PRELOADED = (
    "orchestrator",
    "orchestrator.store.sql.store",
    "langgraph.graph.state",
    "psycopg",
    "tests.engine.crashing",
    "tests.health.crowd",
    "tests.integrations.langchain.agent_process",
    "tests.store.processes",
)
"""What such a process would else import anew, for more than a second of the processor."""


def processes() -> ForkServerContext:
    """Where tests get processes from. One server forks them all, and what it preloads is settled when it starts."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOADED))
    return context
