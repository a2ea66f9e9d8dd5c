"""`orchestrator replay --all`: a whole store again, under its own policies and under another."""

from pathlib import Path

import pytest

from tests.cli.conftest import Cli


@pytest.fixture
def store(cli: Cli, project: Path) -> None:
    """Three runs; `thorough` costs more money and takes less time than `quick`."""
    text = (project / "tools" / "all.py").read_text()
    text = text.replace("cost=0.001)\ndef quick", "cost=0.001, latency=60)\ndef quick")
    (project / "tools" / "all.py").write_text(text)
    (project / "policies" / "patient.toml").write_text("time_value = 0.0\n")
    (project / "policies" / "hasty.toml").write_text("time_value = 1.0\n")
    for name in ("one", "two"):
        cli("run", "title", "document=quick.txt", "--policy", "patient", "--run-id", name)
    cli("run", "title", "document=slow.txt", "--policy", "patient", "--run-id", "healed")


def test_every_run_comes_out_again(cli: Cli, store: None) -> None:
    said = cli("replay", "--all")
    assert said.exit == 0
    assert "3 runs" in said.out and "all come out again" in said.out


def test_another_policy_changes_decisions_and_says_what_they_would_have_cost(cli: Cli, store: None) -> None:
    said = cli("replay", "--all", "--policy", "hasty", "--json")
    assert said.exit == 0
    found = said.json
    assert (found["runs"], found["first_routes"]) == (3, 3)
    assert found["by_kind"]["route"] == 3
    assert {each["run_id"] for each in found["changes"]} == {"one", "two", "healed"}
    assert found["saved_usd"] == pytest.approx(-0.003)
    assert found["saved_seconds"] > 100
    text = cli("replay", "--all", "--policy", "hasty").out
    assert "would be decided otherwise under hasty" in text
    assert "quick > headline" in text and "thorough > headline" in text


def test_one_run_or_all(cli: Cli, store: None) -> None:
    assert cli("replay").exit == 2
    assert cli("replay", "one", "--all").exit == 2
    assert cli("replay", "--all", "--limit", "1", "--json").json["runs"] == 1
