"""`orchestrator runs`, `why`, `verify`, `replay`: reading the record, and finding a run in it."""

import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from orchestrator.store.sql.tables import RECORDS, RUNS
from tests.cli.conftest import Cli


@pytest.fixture
def ran(cli: Cli) -> Cli:
    """The command line after three runs: reached, healed, escalated."""
    cli("run", "title", "document=quick.txt", "--run-id", "aaa1")
    cli("run", "title", "document=slow.txt", "--run-id", "aab2")
    cli("run", "never", "document=quick.txt", "--run-id", "ccc3")
    return cli


def test_runs_are_listed_newest_first(ran: Cli) -> None:
    said = ran("runs")
    assert said.exit == 0
    assert [line.split()[0] for line in said.out.splitlines()] == ["run", "ccc3", "aab2", "aaa1"]
    assert "thorough → headline" in said.out


def test_runs_are_filtered(ran: Cli) -> None:
    def ids(*words: str) -> list[str]:
        return [run["run_id"] for run in ran("runs", "--json", *words).json["runs"]]

    assert ids("--status", "escalated") == ["ccc3"]
    assert ids("--search", "aa") == ["aab2", "aaa1"]
    assert ids("--limit", "1") == ["ccc3"]
    assert ids("--waiting") == []
    assert ran("runs", "--status", "reachd").exit == 2
    assert "1 of 3" in ran("runs", "--limit", "1").out


def test_why_tells_the_story(ran: Cli) -> None:
    said = ran("why", "aab2")
    assert said.exit == 0
    assert "wanted     title" in said.out
    assert "from       document" in said.out
    assert "route      quick → headline" in said.out
    assert "next best  thorough → headline" in said.out
    assert "quick failed (outage" in said.out
    assert "Rerouted to thorough → headline" in said.out
    assert "0 model calls to decide" in said.out


def test_why_full_shows_the_candidates(ran: Cli) -> None:
    full, short = ran("why", "aab2", "--full").out, ran("why", "aab2").out
    rivals = [line for line in full.splitlines() if "thorough > headline" in line and "$0.00" in line]
    assert rivals, full
    assert all(line not in short.split("What happened")[1].splitlines() for line in rivals)


def test_why_json(ran: Cli) -> None:
    told = ran("why", "aab2", "--json").json
    assert told["schema"] == "orchestrator.story/1"
    assert told["status"] == "reached"
    assert told["route"]["tools"] == ["quick", "headline"]
    assert told["route"]["runner_up"]["tools"] == ["thorough", "headline"]
    assert told["failures"][0]["kind"] == "outage"
    assert told["failures"][0]["answer"]["kind"] == "reroute"
    assert [entry["record"] for entry in told["entries"]] == sorted(entry["record"] for entry in told["entries"])


def test_why_tells_an_escalation(ran: Cli) -> None:
    said = ran("why", "ccc3")
    assert "Escalation" in said.out
    assert "we never do that" in said.out
    assert ran("why", "ccc3", "--json").json["escalations"][0]["resolution"] == "stop"


def test_a_run_is_found_by_last_and_by_a_unique_beginning(ran: Cli) -> None:
    assert ran("why", "last", "--json").json["run_id"] == "ccc3"
    assert ran("why", "aab", "--json").json["run_id"] == "aab2"
    ambiguous = ran("why", "aa")
    assert ambiguous.exit == 2
    assert "aab2, aaa1" in ambiguous.err
    assert ran("why", "ab2").exit == 2
    assert ran("why", "").exit == 2
    assert ran("why", "%").exit == 2


def test_reading_makes_no_store(cli: Cli) -> None:
    for words in (("runs",), ("why", "last"), ("verify", "--all"), ("replay", "last"), ("resume", "last")):
        said = cli(*words)
        assert said.exit == 2
        assert "nothing has been run here" in said.err
    assert not Path(".orchestrator").exists()


def test_verify_finds_what_was_changed(ran: Cli) -> None:
    assert ran("verify", "aab2").exit == 0
    everything = ran("verify", "--all", "--json")
    assert everything.json["ok"]
    assert everything.json["runs"] == 3
    with closing(sqlite3.connect(".orchestrator/runs.db")) as database, database:
        of_run = "run_id = 'aab2' AND kind = 'CallEnded'"
        row = database.execute(f"SELECT seq, body FROM {RECORDS.name} WHERE {of_run}").fetchone()
        changed = (row[1].replace("quick", "quack"), row[0])
        database.execute(f"UPDATE {RECORDS.name} SET body = ? WHERE run_id = 'aab2' AND seq = ?", changed)
    said = ran("verify", "aab2")
    assert said.exit == 1
    assert f"record {row[0]} was changed" in said.err
    assert ran("verify", "aaa1").exit == 0
    assert not ran("verify", "--all", "--json").json["ok"]


def test_verify_needs_one_run_or_all(ran: Cli) -> None:
    assert ran("verify").exit == 2
    assert ran("verify", "aaa1", "--all").exit == 2
    assert ran("verify", "--all", "--export", "all.jsonl").exit == 2


def test_the_ledger_is_exported_once(ran: Cli) -> None:
    assert ran("verify", "aab2", "--export", "run.jsonl").exit == 0
    lines = [json.loads(line) for line in Path("run.jsonl").read_text().splitlines()]
    assert lines[0]["run"]["run_id"] == "aab2"
    again = ran("verify", "aab2", "--export", "run.jsonl")
    assert again.exit == 2
    assert "nothing is overwritten" in again.err


def test_replay_agrees(ran: Cli) -> None:
    said = ran("replay", "aab2")
    assert said.exit == 0
    assert "decisions come out again" in said.out
    told = ran("replay", "aab2", "--json").json
    assert told["agrees"]
    assert told["differences"] == []


def test_replay_under_another_policy(ran: Cli, project: Path) -> None:
    (project / "policies" / "dear.toml").write_text("step_cost = 0.5\n")
    said = ran("replay", "aab2", "--policy", "dear", "--json")
    assert said.exit == 0
    assert said.json["policy"] == "dear"
    assert ran("replay", "aab2", "--policy", "broken").exit == 2


def test_why_of_a_run_that_goes_on_says_so(ran: Cli) -> None:
    with closing(sqlite3.connect(".orchestrator/runs.db")) as database, database:
        database.execute(f"DELETE FROM {RECORDS.name} WHERE run_id = 'aab2' AND kind IN ('RunEnded', 'closed')")
        database.execute(f"UPDATE {RUNS.name} SET status = 'running', ended = NULL WHERE run_id = 'aab2'")
    said = ran("why", "aab2")
    assert "has not ended" in said.out
    assert "orchestrator resume aab2" in said.out


# -- heads to be noted elsewhere -------------------------------------------------------------------------------------

HEAD = re.compile(r"  ledger: (\d+) (?:records|runs? sealed), head ([0-9a-f]{64})\n")


def test_the_end_of_a_run_tells_the_head_that_verify_tells_later(cli: Cli) -> None:
    noted = HEAD.search(cli("run", "title", "document=slow.txt", "--run-id", "r1").out)
    assert noted
    verified = cli("verify", "r1", "--json").json
    assert (verified["count"], verified["head"]) == (int(noted[1]), noted[2])
    assert f"{noted[1]} records, whole and unchanged  head {noted[2]}" in cli("verify", "r1").out
    assert cli("run", "title", "document=slow.txt", "--run-id", "r1", "--json").json["ledger"] == {
        "count": int(noted[1]),
        "head": noted[2],
    }


def test_a_waiting_run_tells_its_head_too_and_its_end_another(cli: Cli) -> None:
    waiting = HEAD.search(cli("run", "letter", "document=quick.txt", "--policy", "human", "--run-id", "w").out)
    ended = HEAD.search(cli("resume", "w", "yes", "--policy", "human").out)
    assert waiting and ended
    assert int(waiting[1]) < int(ended[1])
    for noted in (waiting[2], ended[2]):
        assert cli("verify", "w", "--head", noted).exit == 0


def test_many_runs_tell_the_head_of_the_chain_over_runs(cli: Cli) -> None:
    noted = HEAD.search(cli("run", "title", "--each", "document", "quick.txt", "slow.txt").out)
    assert noted and noted[1] == "2"
    verified = cli("verify", "--all", "--json").json
    assert (verified["count"], verified["head"], verified["runs"]) == (2, noted[2], 2)
    assert "2 runs and the chain over the 2 that ended, whole and unchanged" in cli("verify", "--all").out
    told = cli("run", "title", "--each", "document", "quick.txt", "slow.txt", "--json").objects
    for each in told:
        assert cli("verify", each["run_id"], "--head", each["ledger"]["head"]).exit == 0
    assert cli("verify", "--all", "--head", noted[2]).exit == 0


def test_a_head_that_the_record_does_not_lead_to_is_told(ran: Cli) -> None:
    head = ran("verify", "aaa1", "--json").json["head"]
    for words in (("aab2",), ("--all",)):
        said = ran("verify", *words, "--head", head)
        assert said.exit == 1
        assert f"has the head '{head}': it was rewritten, or cut" in said.err
        assert "whole and unchanged" not in said.out


def test_an_export_is_verified_without_the_store(ran: Cli) -> None:
    assert ran("verify", "aab2", "--export", "run.jsonl").exit == 0
    here = ran("verify", "aab2", "--json").json
    there = ran("verify", "run.jsonl", "--store", "gone.db", "--json")
    assert (there.exit, there.json) == (0, here)
    assert ran("verify", "run.jsonl", "--head", here["head"]).exit == 0
    assert ran("verify", "run.jsonl", "--head", "0" * 64).exit == 1
    text = Path("run.jsonl").read_text()
    Path("run.jsonl").write_text(text.replace('"quick"', '"quack"', 1))
    said = ran("verify", "run.jsonl")
    assert said.exit == 1
    assert "was changed" in said.err
    assert ran("verify", "nowhere.jsonl").exit == 2
    assert ran("verify", "run.jsonl", "--export", "again.jsonl").exit == 2


BUG = """
from orchestrator import tool


@tool(gives="price")
def shop(article: str) -> float:
    prices: dict[str, float] = {}
    return prices['missing']
"""


def test_a_bug_is_shown_with_type_file_and_line(cli: Cli, project: Path) -> None:
    (project / "tools" / "shop.py").write_text(BUG)
    text = "KeyError: 'missing' (shop.py:8)"
    said = cli("run", "price", "article=pen", "--run-id", "buggy")
    assert said.exit == 4
    assert f"bug: {text}" in said.out
    assert "Traceback" not in said.out + said.err
    why = cli("why", "buggy").out
    assert text in why and "Traceback" not in why
    assert "return prices['missing']" in cli("why", "buggy", "--full").out
    assert "return prices['missing']" in cli("run", "price", "article=pen", "--debug").out
    assert "Traceback" not in cli("run", "price", "article=pen").out


def test_runs_by_label_tool_failure_class_and_time(cli: Cli) -> None:
    cli("run", "title", "document=quick.txt", "--run-id", "a", "--label", "customer=17", "--label", "tier=gold")
    cli("run", "title", "document=slow.txt", "--run-id", "b", "--label", "customer=17")
    cli("run", "never", "document=quick.txt", "--run-id", "c", "--label", "customer=18")

    def found(*words: str) -> list[str]:
        said = cli("runs", *words, "--json").json
        assert said["total"] == len(said["runs"])
        return sorted(row["run_id"] for row in said["runs"])

    assert found("--label", "customer=17") == ["a", "b"]
    assert found("--label", "customer=17", "--label", "tier=gold") == ["a"]
    assert found("--tool", "thorough") == ["b"]
    assert found("--failure", "outage") == ["b"]
    assert found("--failure", "refusal") == ["c"]
    assert found("--healed") == ["b"]
    assert found("--since", "1h") == ["a", "b", "c"]
    assert found("--until", "1h") == found("--since", "2999-01-01") == []
    row = cli("runs", "--label", "tier=gold", "--json").json["runs"][0]
    assert row["labels"] == {"customer": "17", "tier": "gold"} and row["lost"] is False
    assert cli("runs", "--label", "customer").exit == 2
    assert "outage" in cli("runs", "--failure", "outrage").err
    assert cli("runs", "--since", "yesterdayish").exit == 2


def test_a_run_whose_process_is_gone_is_told_apart(cli: Cli) -> None:
    cli("run", "title", "document=quick.txt", "--run-id", "a")
    with closing(sqlite3.connect(".orchestrator/runs.db")) as database, database:
        database.execute("UPDATE orchestrator_runs SET status = 'running', owner = '', ended = NULL")
    assert cli("runs", "--json").json["runs"][0]["lost"] is True
    assert "process lost" in cli("runs").out
    assert "its process is gone" in cli("why", "last").out
