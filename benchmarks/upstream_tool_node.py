"""LangGraph's own tests of `ToolNode`, and LangChain's of agents with middleware, against the healed ones.

`python -m benchmarks.upstream_tool_node langgraph DIR` and `... langchain DIR`: DIR is the unpacked source distribution
of langgraph-prebuilt or langchain, of the installed version, whose `tests/` are run. No file of theirs is part of this
project. `ToolNode` is replaced by `HealingToolNode`, and every `create_agent` gets a `HealingMiddleware` as its
first. `DIFFERENCES` lists the tests that fail then and pass with the originals, each with its reason; the exit
status is 1 when another one fails, or a listed one passes. Tests that fail with the originals, too, are not counted.
"""

import functools
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pytest

FILES: Final[Mapping[str, tuple[str, ...]]] = {
    "langgraph": (
        "tests/test_tool_node.py",
        "tests/test_tool_node_interceptor_unregistered.py",
        "tests/test_tool_node_validation_error_filtering.py",
        "tests/test_injected_state_not_required.py",
        "tests/test_on_tool_call.py",
        "tests/test_tool_call_transformer.py",
    ),
    "langchain": (
        "tests/unit_tests/agents/middleware/core",
        "tests/unit_tests/agents/middleware/implementations",
        "tests/unit_tests/agents/test_injected_runtime_create_agent.py",
        "tests/unit_tests/agents/test_kwargs_tool_runtime_injection.py",
        "tests/unit_tests/agents/test_invalid_tool_calls.py",
        "tests/unit_tests/agents/test_state_schema.py",
        "tests/unit_tests/agents/test_agent_streaming.py",
        "tests/unit_tests/agents/test_react_agent.py",
    ),
}
_TOLD: Final = "a failure of a tool is a message for the model, unless `handle_tool_errors` says otherwise"
_WRAPPED: Final = (
    "with a wrapper, `ToolNode` itself hands errors of every type to the handler, whatever types it is for"
)
_INSIDE: Final = "what other middleware inside of the healing raises counts as a failure of the tool"
_NAMES: Final = "LangChain checks the names of tools only where no middleware wraps tool calls"
_NODES: Final = (
    "middleware that wraps tool calls has a node for tools, with edges from `after_model`, and hooks are nodes"
)
_WAITS: Final = (
    "sometimes: a sync agent called in an event loop waits there for the thread that has its root run, which their "
    "tests allow no code to do"
)
DIFFERENCES: Final[Mapping[str, Mapping[str, str]]] = {
    "langgraph": {
        "test_tool_node.py::test_tool_node_error_handling_default_exception": _TOLD,
        "test_tool_node.py::test_tool_node_error_handling_callable": _WRAPPED,
        "test_tool_node.py::test_tool_node_command[": _TOLD,
        "test_tool_node.py::test_tool_node_command_list_input": _TOLD,
        "test_tool_node.py::test_tool_node_inject_state[_InjectStateSchema]": _TOLD,
        "test_tool_node.py::test_tool_node_inject_store": _TOLD,
        "TestToolCallTransformerEndToEnd::test_tool_error_populates_error_field": _TOLD,
    },
    "langchain": {
        "test_tool_error.py::test_tool_error_none_propagates": _TOLD,
        "test_tool_retry.py::test_tool_retry_failing_tool_raises": _TOLD,
        "test_tool_retry.py::test_tool_retry_non_retryable_exception_reraises": _TOLD,
        "test_tool_retry.py::test_tool_retry_custom_exception_filter": _TOLD,
        "test_tool_retry.py::test_tool_retry_deprecated_raise_behavior": _TOLD,
        "TestAgentStreamV3Sync::test_tool_error_sets_error_field": _TOLD,
        "test_auto_mode.py::test_classifier_failure_terminates_agent_run": _INSIDE,
        "test_human_in_the_loop.py::test_per_call_needs_a_tool_call_id": _INSIDE,
        "::test_sync_only_middleware_raises_on_async_path": _INSIDE,
        "::test_async_only_middleware_raises_on_sync_path": _INSIDE,
        "::test_mixed_middleware_composition_async_path_fails_with_sync_only": _INSIDE,
        "::test_mixed_middleware_composition_sync_path_with_async_only_fails": _INSIDE,
        "::test_decorator_sync_only_raises_on_async_path": _INSIDE,
        "::test_decorator_async_only_raises_on_sync_path": _INSIDE,
        "test_dynamic_tools.py::test_dynamic_tool_without_handler_raises_error": _NAMES,
        "test_tools.py::test_unknown_tool_raises_error": _NAMES,
        "test_framework.py::test_jump_to_is_ephemeral": _NODES,
        "test_decorators.py::test_async_middleware_with_can_jump_to_graph_snapshot": _NODES,
        "test_diagram.py::test_create_agent_diagram": _NODES,
        "test_framework.py::TestAgentMiddlewareHooks": _WAITS,
        "test_framework.py::TestAgentHooksCombined": _WAITS,
        "test_model_refusal.py": _WAITS,
    },
}
"""Part of a test's id -> why it fails with the healed node or middleware."""


class Results:
    """A pytest plugin: notes which tests failed."""

    def __init__(self) -> None:
        self.passed: set[str] = set()
        self.failed: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take in one phase of one test."""
        if report.failed:
            self.failed[report.nodeid] = str(report.longrepr).strip().splitlines()[-1][:160]
        elif report.when == "call" and report.passed:
            self.passed.add(report.nodeid)


def heal_nodes() -> None:
    """Put `HealingToolNode` in place of `ToolNode`."""
    from langgraph import prebuilt
    from langgraph.prebuilt import tool_node

    from orchestrator import HealingToolNode

    original = tool_node.ToolNode

    class Healed(original):  # type: ignore[misc,valid-type]
        """Makes a healing node wherever a test makes a node."""

        def __new__(cls, tools: Sequence[Any], **options: Any) -> Any:  # pyright: ignore[reportInconsistentConstructor]
            return HealingToolNode(tools, **options)

    for module in (prebuilt, tool_node):
        module.ToolNode = Healed  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]


def heal_agents() -> None:
    """Give each agent a `HealingMiddleware`."""
    from orchestrator import HealingMiddleware

    agents: Any = importlib.import_module("langchain.agents")
    factory: Any = importlib.import_module("langchain.agents.factory")
    original = factory.create_agent
    # Their tests allow no reading of files in an event loop, and some make an agent in one. An orchestrator reads the
    # machine's and the process's identity from /etc and /proc when it is made, which is before any run.
    heartbeat: Any = importlib.import_module("orchestrator.engine.background.heartbeat")
    heartbeat.owner_name = functools.cache(heartbeat.owner_name)
    heartbeat.owner_name()

    def create_agent(*args: Any, middleware: Sequence[Any] = (), **options: Any) -> Any:
        return original(*args, middleware=[HealingMiddleware(), *middleware], **options)

    agents.create_agent = factory.create_agent = create_agent


def one_pass(which: str, folder: Path, *, healed: bool) -> dict[str, dict[str, str]]:
    """The results of the tests in a process of their own: {"passed": ..., "failed": ...}, each id -> message."""
    found = folder / f".{which}-{'healed' if healed else 'original'}.json"
    command = [sys.executable, "-m", "benchmarks.upstream_tool_node", which, str(folder), str(found), str(int(healed))]
    paths = [str(Path.cwd()), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    subprocess.run(command, env=environment, check=False, stdout=subprocess.DEVNULL)
    read: dict[str, dict[str, str]] = json.loads(found.read_text())
    return read


def inside(which: str, folder: Path, found: Path, *, healed: bool) -> None:
    """Run the tests here, and leave the results in a file."""
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    if healed:
        (heal_nodes if which == "langgraph" else heal_agents)()
    results = Results()
    pytest.main(["-q", "-p", "no:cacheprovider", "--tb=line", "-n0", *FILES[which]], plugins=[results])
    found.write_text(json.dumps({"passed": dict.fromkeys(sorted(results.passed), ""), "failed": results.failed}))


def main(which: str, folder: Path) -> int:
    """Run both passes and print what differs; how many differences are not listed, or are listed and gone."""
    original, healed = one_pass(which, folder, healed=False), one_pass(which, folder, healed=True)
    differs = {test: said for test, said in healed["failed"].items() if test in original["passed"]}
    unknown = {test: said for test, said in differs.items() if not any(part in test for part in DIFFERENCES[which])}
    certain = [part for part, reason in DIFFERENCES[which].items() if not reason.startswith("sometimes")]
    gone = [part for part in certain if _any(part, healed["passed"]) and not _any(part, differs)]
    print(f"{which}: {len(original['passed'])} tests pass with the originals, {len(differs)} of these fail when healed")
    for test, said in unknown.items():
        print(f"  not listed: {test}: {said}")
    for part in gone:
        print(f"  listed, but the same: {part}")
    return len(unknown) + len(gone)


def _any(part: str, tests: Mapping[str, str]) -> bool:
    return any(part in test for test in tests)


if __name__ == "__main__":
    if len(sys.argv) > 3:
        inside(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), healed=sys.argv[4] == "1")
    else:
        sys.exit(bool(main(sys.argv[1], Path(sys.argv[2]))))
