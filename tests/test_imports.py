"""What importing the library costs: what takes long to import is imported where it is used."""

import subprocess
import sys

import pytest

HEAVY = ("langchain_core", "langgraph", "langsmith", "networkx", "opentelemetry.sdk", "sqlalchemy")
"""Each takes longer to import than most commands take."""


@pytest.mark.parametrize("module", ["orchestrator", "orchestrator.cli.app"])
def test_nothing_heavy_is_imported_before_it_is_used(module: str) -> None:
    program = f"import sys, {module}; print(*[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == []


def test_reading_a_record_imports_no_engine_of_runs(tmp_path: str) -> None:
    program = f"""
import sys
from orchestrator.cli.app import invoke
from orchestrator.store import SqlStore
SqlStore({str(tmp_path)!r} + "/runs.db").close()
for command in (["runs"], ["verify", "--all"]):
    assert invoke([*command, "--store", {str(tmp_path)!r} + "/runs.db"]) == 0
print(*[name for name in {HEAVY!r} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "sqlalchemy"


def test_a_run_with_a_child_imports_nothing_heavy() -> None:
    program = f"""
import sys
from orchestrator import Orchestrator, RunContext, tool

@tool(gives="inner")
def inner(x: int) -> int:
    return x

@tool(gives="outer")
async def outer(x: int, ctx: RunContext) -> int:
    return (await ctx.reach("inner", {{"x": x}})).value

orc = Orchestrator([inner, outer])
assert orc.run_sync("outer", {{"x": 1}}).value == 1
orc.close()
print(*[name for name in {HEAVY!r} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == []


def test_a_store_in_a_database_is_there_by_name_and_nothing_else_is() -> None:
    from orchestrator import store
    from orchestrator.store.sql.store import SqlStore

    assert store.SqlStore is SqlStore
    with pytest.raises(AttributeError, match="MySqlStore"):
        _ = store.MySqlStore
