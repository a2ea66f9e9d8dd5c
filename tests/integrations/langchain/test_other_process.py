"""An agent that was interrupted, or whose process was killed, goes on in another process: nothing is done twice."""

import json
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import ToolMessage
from langgraph.types import Command

from orchestrator.integrations.langchain.replies import LOST, as_data, from_data
from tests.support.forked import processes

from .agent_process import go


def process(folder: Path, kind: str, *calls: str, answer: str | None = None, reads: tuple[str, ...] = ()) -> Any:
    """What a process of its own said before it was killed; empty for one that was killed in a tool."""
    said = folder / "said"
    said.unlink(missing_ok=True)
    made = processes().Process(target=go, args=(folder, kind, calls, answer, reads))
    made.start()
    made.join(60)
    assert made.exitcode == -9
    return json.loads(said.read_text()) if said.exists() else {}


def log(folder: Path) -> list[str]:
    return (folder / "log").read_text().splitlines()


@pytest.mark.parametrize("kind", ["agent", "node"])
def test_an_interrupt_is_answered_in_another_process(tmp_path: Path, kind: str) -> None:
    assert process(tmp_path, kind, "pay", "ask")["waits"] == [{"question": 1}]
    assert process(tmp_path, kind, "pay", "ask", answer="yes")["answers"] == ["paid 0", "answered yes"]
    assert log(tmp_path) == ["pay 0", "ask 1 yes"]


@pytest.mark.parametrize("kind", ["agent", "node"])
def test_an_approval_is_given_in_another_process(tmp_path: Path, kind: str) -> None:
    (waits,) = process(tmp_path, kind, "pay", "refund")["waits"]
    assert waits["question"].startswith("refund waits for approval")
    assert process(tmp_path, kind, "pay", "refund", answer="approve")["answers"] == ["paid 0", "refunded 1"]
    assert log(tmp_path) == ["pay 0", "refund 1"]


def test_each_of_two_approvals_is_for_the_call_that_was_shown(tmp_path: Path) -> None:
    calls = ("refund", "pay", "refund")
    first = process(tmp_path, "node", *calls)["waits"][0]["run_id"]
    second = process(tmp_path, "node", *calls, answer="approve")["waits"][0]["run_id"]
    (approved,) = {"0", "2"} & {first.rpartition("@c")[2][0]}
    assert log(tmp_path) == ["pay 1", f"refund {approved}"]
    assert second.rpartition("@c")[2][0] == {"0": "2", "2": "0"}[approved]
    assert process(tmp_path, "node", *calls, answer="approve")["answers"] == ["refunded 0", "paid 1", "refunded 2"]
    assert sorted(log(tmp_path)) == ["pay 1", "refund 0", "refund 2"]


def test_a_read_in_which_the_process_was_killed_is_made_again(tmp_path: Path) -> None:
    assert process(tmp_path, "agent", "crash", reads=("crash",)) == {}
    assert process(tmp_path, "agent", "crash", answer="", reads=("crash",))["answers"] == ["survived 0"]
    assert log(tmp_path) == ["crash 0", "crash 0"]


def test_a_write_in_which_the_process_was_killed_is_asked_about(tmp_path: Path) -> None:
    assert process(tmp_path, "agent", "crash") == {}
    (waits,) = process(tmp_path, "agent", "crash", answer="")["waits"]
    assert "crash may have happened" in waits["question"]
    assert log(tmp_path) == ["crash 0"]


def test_a_process_that_is_killed_before_the_graph_has_the_replies_leaves_them_to_the_next_one(tmp_path: Path) -> None:
    assert process(tmp_path, "killed node", "pay", "pay") == {}
    assert sorted(log(tmp_path)) == ["pay 0", "pay 1"]
    assert process(tmp_path, "killed node", "pay", "pay", answer="")["answers"] == ["paid 0", "paid 1"]
    assert sorted(log(tmp_path)) == ["pay 0", "pay 1"]


ANSWER = ToolMessage("a", tool_call_id="c", artifact={"n": 1})
UPDATE: Any = Command(update={"messages": [ANSWER], "n": {1, 2}}, goto="next")


@pytest.mark.parametrize("reply", [ANSWER, UPDATE, [UPDATE, ANSWER]])
def test_a_reply_comes_back_as_it_was(reply: Any) -> None:
    assert from_data(json.loads(json.dumps(as_data({"c": reply})))) == {"c": reply}


def test_of_a_reply_that_cannot_be_written_the_message_comes_back_and_of_one_that_cannot_be_read_that_it_is_lost() -> (
    None
):
    odd = ToolMessage("a", tool_call_id="c", artifact=object())
    plain = {"c": ToolMessage("a", tool_call_id="c")}
    assert from_data(as_data({"c": odd})) == plain
    assert from_data(as_data({"c": Command(update={"messages": [odd]})})) == plain
    assert from_data({"c": ["msgpack", "???"]}) == {"c": LOST}
    assert from_data("ended") == {}
