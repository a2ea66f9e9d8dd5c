"""`orchestrator analyse` and `orchestrator rehearse`."""

from tests.cli.conftest import Cli


def test_single_points_of_failure_and_sets(cli: Cli) -> None:
    said = cli("analyse", "title", "--json")
    assert said.exit == 0
    assert said.json["given"] == ["document"]
    assert said.json["single_points"] == ["headline"]
    assert said.json["cuts"] == [["headline"], ["quick", "thorough"]]
    assert 0 < said.json["route_chance"] < said.json["chance"] <= 1
    text = cli("analyse", "title").out
    assert "single points of failure  headline" in text
    assert "quick + thorough" in text
    assert "the goal is lost" in text


def test_what_is_tripped_counts_as_lost(cli: Cli) -> None:
    assert cli("run", "title", "document=quick.txt").exit == 0
    assert cli("health", "--trip", "quick").exit == 0
    said = cli("analyse", "title", "document", "--json")
    assert said.json["route"] == ["thorough", "headline"]
    assert sorted(said.json["single_points"]) == ["headline", "thorough"]


def test_no_way_at_all_is_an_impasse(cli: Cli) -> None:
    assert cli("analyse", "title", "point").exit == 4
    said = cli("analyse", "titel")
    assert said.exit == 2
    assert "title" in said.err


def test_a_rehearsal_prints_a_row_per_fault_and_a_matrix_of_pairs(cli: Cli) -> None:
    said = cli("rehearse", "letter", "--demote", "title", "--json")
    assert said.exit == 0
    outcome = {tuple(f["tool"] for f in each["faults"]): each["status"] for each in said.json["scenarios"]}
    assert outcome[()] == "reached"
    assert outcome["quick",] == "reached"
    assert outcome["headline",] == "escalated"
    assert outcome["quick", "thorough"] == "escalated"
    lost = next(e for e in said.json["scenarios"] if [f["kind"] for f in e["faults"]] == ["lost answer"])
    assert lost["uncompensated"] == ["post"]
    text = cli("rehearse", "letter", "--demote", "title").out
    assert "post (lost answer)" in text and "Pairs" in text
    assert cli("rehearse", "letter", "--strict").exit == 4
