"""The agents on a chat model: there only when one is named, and working with whatever it answers."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, ToolMessage

from orchestrator import DecisionKind, Orchestrator, Policy, Status
from orchestrator.core.policy import Retries
from orchestrator.core.process.installation import catalog_root
from orchestrator.testing import ScriptedChatModel
from tests.catalog.conftest import DOCUMENTS
from tests.catalog.servers import Reply, http_server

pytest.importorskip("langchain")
Load = Callable[..., Orchestrator]
BEST = Policy(quality_value=10, retries=Retries(base_seconds=0))
"""A policy under which the better agent is worth its price."""
PAGE = (DOCUMENTS / "library.html").read_bytes()


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Load]:
    """The catalogue with a scripted model in the place of the one that is named."""
    opened: list[Orchestrator] = []

    def scripted(model: ScriptedChatModel) -> Orchestrator:
        monkeypatch.setenv("ORCHESTRATOR_MODEL", "scripted:model")
        monkeypatch.setattr("orchestrator.agents.chat.load_model", lambda _: model)
        opened.append(Orchestrator.from_project(catalog_root(), policy=BEST, deps={"pages": tmp_path}))
        return opened[-1]

    yield scripted
    for orc in opened:
        orc.close()


def test_without_a_model_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ORCHESTRATOR_MODEL", raising=False)
    names = Orchestrator.from_project(catalog_root()).graph.view().tools
    assert not [name for name in names if name.startswith("model_")]


@pytest.mark.parametrize(
    ("key", "inputs", "answer"),
    [
        ("keywords", {"text": "High water"}, ["high water"]),
        ("entities", {"text": "Ann"}, [{"kind": "person", "text": "Ann"}]),
        ("language", {"text": "ok"}, "en"),
        ("tables", {"text": "x"}, [[["a", "b"]]]),
        ("label", {"text": "x", "label_examples": {"p": ["q"], "r": ["s"]}}, "p"),
        ("groups", {"items": ["x", "y"]}, [[0, 1]]),
        ("report", {"report_title": "t", "findings": {"a": ["b"]}}, "# t"),
        ("summary", {"text": "High water"}, "It was high."),
    ],
)
def test_each_job_is_done_by_the_model_where_quality_is_worth_it(
    load: Load, key: str, inputs: dict[str, Any], answer: Any
) -> None:
    model = ScriptedChatModel(answer if isinstance(answer, str) else json.dumps(answer))
    outcome = load(model).run_sync(key, inputs)
    assert outcome.value == answer
    assert outcome.calls[0].tool.startswith("model_")
    assert (model.calls, outcome.llm_calls) == (1, 0)
    selects = [d for d in outcome.decisions if d.kind is DecisionKind.SELECT]
    assert all(len(select.candidates) >= 2 for select in selects)


def test_a_model_that_talks_nonsense_is_replaced_by_a_program(load: Load) -> None:
    model = ScriptedChatModel("I would rather not.", repeat=True)
    outcome = load(model).run_sync("groups", {"items": ["disk 1", "disk 2"]})
    assert outcome.value == [[0, 1]]
    assert {failure.kind for failure in outcome.failures} == {"invalid_output"}
    assert outcome.calls[-1].tool in ("shape_grouper", "likeness_grouper")


def call(name: str, **arguments: Any) -> AIMessage:
    """A model's wish to call a tool."""
    return AIMessage("", tool_calls=[{"name": name, "args": arguments, "id": f"{name}-1"}])


def test_the_tools_of_the_researcher_are_goals_that_heal(load: Load) -> None:
    replies = [Reply(200, PAGE, {"Content-Type": "text/html"})]

    with http_server(lambda _: replies.pop(0) if replies else Reply(503)) as url:
        first = ScriptedChatModel([call("read_page", url=url), "At eight."])
        orc = load(first)
        assert orc.run_sync("answer", {"question": "When does the library open?"}).value == "At eight."
        second = ScriptedChatModel([call("read_page", url=url), "Still at eight."])
        outcome = load(second).run_sync("answer", {"question": "When does the library open?"})
    assert (outcome.status, outcome.value) == (Status.REACHED, "Still at eight.")
    told = [message for message in second.received[-1] if isinstance(message, ToolMessage)]
    assert "Books borrowed in the summer" in str(told[0].content)  # the site is down: the kept copy was read
    assert [tool["function"]["name"] for tool in second.bound] == ["read_page", "read_tables", "keywords"]


def test_a_tool_that_cannot_be_had_is_told_to_the_model(load: Load) -> None:
    model = ScriptedChatModel([call("read_page", url="file:///etc/passwd"), call("read_file"), "I cannot tell."])
    outcome = load(model).run_sync("answer", {"question": "What is in it?"})
    told = [message for message in model.received[-1] if isinstance(message, ToolMessage)]
    assert [message.status for message in told] == ["error", "error"]
    assert outcome.value == "I cannot tell."
