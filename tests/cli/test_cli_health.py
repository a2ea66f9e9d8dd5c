"""`orchestrator health`: what earlier processes found out, and circuits opened and closed by hand."""

from pathlib import Path

from tests.cli.conftest import Cli


def test_health_of_tools_that_never_ran(cli: Cli) -> None:
    said = cli("health")
    assert said.exit == 0
    assert "quick" in said.out
    assert "unknown" in said.out
    assert not Path(".orchestrator").exists()


def test_what_one_process_found_out_the_next_one_knows(cli: Cli) -> None:
    cli("run", "title", "document=slow.txt")
    told = {tool["name"]: tool for tool in cli("health", "--json").json["tools"]}
    assert told["quick"]["failures"] == 1
    assert told["quick"]["success"] < told["thorough"]["success"]
    assert told["thorough"]["p50"] is not None


def test_trip_and_restore(cli: Cli) -> None:
    said = cli("health", "--trip", "quick", "--reason", "maintenance", "--by", "night shift")
    assert "maintenance (by night shift)" in said.out
    assert "open (by hand)" in said.out
    assert "maintenance" in said.out
    assert cli("run", "title", "document=quick.txt", "--json").json["route"] == ["thorough", "headline"]
    cli("health", "--restore", "quick")
    assert cli("run", "title", "document=quick.txt", "--json").json["route"] == ["quick", "headline"]


def test_one_tool(cli: Cli) -> None:
    assert [tool["name"] for tool in cli("health", "quick", "--json").json["tools"]] == ["quick"]


def test_an_unknown_tool_is_refused_before_anything_is_written(cli: Cli) -> None:
    for words in (
        ("health", "quik"),
        ("health", "--trip", "quik"),
        ("health", "--restore", "quik"),
        ("health", "--trip", ":"),
    ):
        said = cli(*words)
        assert said.exit == 2
        assert said.err.startswith("error: ")
    assert not Path(".orchestrator").exists()


def test_a_transition(cli: Cli) -> None:
    told = cli("health", "--trip", "quick:headline", "--json").json["tools"]
    assert any("quick" in tool["name"] and "headline" in tool["name"] and tool["circuit"] == "open" for tool in told)
