"""The triage example: every group gets a finding, by whoever has the skill for the price; and it heals."""

from collections.abc import Sequence
from typing import Any

import pytest

from examples.incident_triage import run as example
from orchestrator import Decision, FailureKind, Outcome, Status


def chosen(decisions: Sequence[Decision], key: str) -> set[tuple[str, str]]:
    """Who was chosen for a key, and under which demand."""
    return {(d.reason.rpartition("demand ")[2].split()[0], d.chosen) for d in decisions if d.subject == key}


def sections(outcome: Outcome[Any]) -> dict[str, str]:
    """Heading and body of each finding of the report."""
    parts = outcome.value.split("\n## ")[1:]
    return {part.partition("\n")[0]: part.partition("\n")[2] for part in parts}


async def test_each_kind_goes_to_whoever_is_best_for_the_price() -> None:
    outcome, decisions = await example.triage("balanced")
    assert outcome.status is Status.REACHED
    assert chosen(decisions, "proposal") == {
        ("diagnose.database", "database_expert"),
        ("diagnose.network", "network_expert"),
        ("diagnose.disk", "generalist"),
        ("diagnose.code", "generalist"),
    }
    assert chosen(decisions, "groups") == {("group.noisy", "likeness_grouper")}
    assert ("classify.few", "nearest_classifier") in chosen(decisions, "label")


async def test_where_quality_is_worth_little_the_cheapest_does_it_all() -> None:
    outcome, decisions = await example.triage("cheapest")
    assert {name for _, name in chosen(decisions, "proposal")} == {"generalist"}
    assert outcome.cost < (await example.triage("balanced"))[0].cost


async def test_the_report_tells_causes_and_what_to_do() -> None:
    found = sections((await example.triage())[0])
    assert len(found) == 7
    assert list(found)[:3] == [
        "too many connections: 100 of 100 in use",
        "connection to host 10.0.0.17 timed out after 30 s",
        "no space left on device /var, 99% used",
    ]
    assert "ping 10.0.0.17" in found["connection to host 10.0.0.17 timed out after 30 s"]
    assert "3 times from 2024-03-04T01:13:02 to 2024-03-04T01:14:02" in found[list(found)[1]]
    assert "delete snapshots older than a week" in found["no space left on device /var, 99% used"]


async def test_what_nobody_knows_is_left_to_a_person_and_says_so() -> None:
    found = sections((await example.triage())[0])
    assert "a person must look" in found["flux capacitor misaligned on unit 7"]


async def test_an_expert_that_is_down_is_replaced_by_the_generalist() -> None:
    outcome, decisions = await example.triage("balanced", "database_expert")
    assert outcome.status is Status.REACHED
    assert ("diagnose.database", "generalist") in chosen(decisions, "proposal")
    assert "end the report, as the last time" in sections(outcome)["too many connections: 100 of 100 in use"]


async def test_an_answer_without_an_action_is_none() -> None:
    async with example.build("balanced") as orc:
        inputs = {
            "message": "no such thing was ever seen",
            "label": "database",
            "past": [{"cause": "c", "action": "a"}],
        }
        outcome = await orc.run("proposal", inputs)
    assert [call.tool for call in outcome.calls][-1] == "generalist"
    assert {(failure.tool, failure.kind) for failure in outcome.failures} == {
        ("database_expert", FailureKind.INVALID_OUTPUT)
    }


async def test_a_quiet_night(tmp_path: Any) -> None:
    (tmp_path / "web.log").write_text("2024-03-04T01:12:03 INFO  web: GET /tides 200 in 31 ms\n")
    async with example.build("balanced") as orc:
        quiet = await orc.run("errors", {"log_folder": tmp_path})
        empty = await orc.run("errors", {"log_folder": tmp_path / "none"})
    assert quiet.failures[0].kind is FailureKind.REFUSAL
    assert empty.failures[0].kind is FailureKind.CALLER_ERROR


async def test_it_shows_who_was_chosen_and_why(capsys: pytest.CaptureFixture[str]) -> None:
    await example.main()
    shown = capsys.readouterr().out
    assert "proposal: database_expert (demand diagnose.database 1.00)" in shown
    assert "competence 0.76" in shown
    assert "database_expert      not to be had  outage" in shown
