"""`orchestrator store`, `submit`, `worker`, `recover` and `serve`."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from orchestrator import Status
from orchestrator.store import SqlStore
from orchestrator.store.rows import RunRow
from tests.cli.conftest import Cli

STORE = ".orchestrator/runs.db"


@pytest.mark.parametrize("words", [("submit", "title", "document=quick.txt"), ("worker", "--until-idle")])
def test_a_queue_in_memory_is_refused(cli: Cli, words: tuple[str, ...]) -> None:
    said = cli(*words, "--store", ":memory:")
    assert said.exit == 2
    assert "A queue in memory ends with its command" in said.err


def test_a_run_is_submitted_and_a_worker_drives_it(cli: Cli) -> None:
    said = cli("submit", "title", "document=quick.txt", "--label", "customer=7", "--run-id", "one")
    assert (said.exit, said.out.strip()) == (0, "one")
    assert cli("runs", "--json").json["runs"][0]["status"] == "queued"
    assert cli("worker", "--until-idle").exit == 0
    found = cli("runs", "--label", "customer=7", "--json").json["runs"]
    assert [(run["run_id"], run["status"]) for run in found] == [("one", "reached")]
    assert cli("submit", "titel", "document=quick.txt").exit == 2


def test_a_queued_run_is_cancelled_and_one_that_ended_stays(cli: Cli) -> None:
    cli("submit", "title", "document=quick.txt", "--run-id", "one", "--delay", "1000")
    said = cli("cancel", "one")
    assert said.exit == 0
    assert "cancelled" in said.out
    assert cli("runs", "--json").json["runs"][0]["status"] == "escalated"
    cli("run", "title", "document=quick.txt", "--run-id", "whole")
    assert json.loads(cli("cancel", "whole", "--json").out)["status"] == "reached"
    assert cli("cancel", "nothing").exit == 2


def test_the_list_says_what_was_left_and_what_was_set_aside(cli: Cli) -> None:
    for name in ("left", "aside"):
        cli("submit", "title", "document=quick.txt", "--run-id", name)
    store = SqlStore(STORE)
    taken = {run.run_id: run for run in store.queue.take("another-machine|1|1|x", 0.0, 5)}
    assert store.queue.requeue("left", taken["left"].token, note="no tool here gives title")
    assert store.queue.sweep(1).set_aside == ("aside",)
    store.close()
    said = cli("runs").out
    assert "left it to others: no tool here gives title" in said
    assert "set aside: it lost 1 worker;" in said


def test_recover_picks_up_all_that_dead_processes_left(cli: Cli) -> None:
    assert cli("recover").exit == 2
    cli("run", "title", "document=quick.txt", "--run-id", "whole")
    said = cli("recover")
    assert (said.exit, said.out.strip()) == (0, "no run was left behind")
    for name in ("a", "b"):
        cli("submit", "title", "document=quick.txt", "--run-id", name)
    store = SqlStore(STORE)
    taken = store.queue.take("another-machine|1|1|x", 0.0, 5)
    assert len(taken) == 2
    store.append("a", "note", {}, 1.0, taken[0].token)
    store.close()
    assert cli("store", "check").exit == 0


def test_maintenance_of_a_store(cli: Cli) -> None:
    assert cli("store", "check").exit == 2
    assert "made the tables" in cli("store", "migrate").out
    assert "already" in cli("store", "migrate").out
    cli("run", "title", "document=quick.txt", "--run-id", "whole")
    checked = cli("store", "check", "--json").json
    assert (checked["schema"], checked["runs"], checked["problems"]) == (2, {"reached": 1}, [])
    assert "copied 1 run" in cli("store", "copy", "copy.db").out
    assert cli("store", "copy", "copy.db").exit == 2
    assert cli("store", "prune", "--older-than", "soon").exit == 2
    assert "deleted 0 runs" in cli("store", "prune", "--older-than", "1d").out
    assert "deleted 1 run" in cli("store", "prune", "--older-than", "0s").out
    assert cli("verify", "--all").exit == 0
    assert cli("verify", "--all", "--store", "copy.db").exit == 0


def test_kept_runs_stay_and_values_are_erased_by_label(cli: Cli) -> None:
    for number, customer in enumerate(("17", "17", "18")):
        cli("run", "title", "document=quick.txt", "--run-id", f"r{number}", "--label", f"customer={customer}")
    waiting = cli("run", "letter", "document=quick.txt", "--run-id", "asks", "--label", "customer=17")
    assert waiting.exit == 5
    said = cli("store", "erase", "--label", "customer=17")
    assert said.exit == 1 and "erased the values of 2 runs" in said.out and "not erased: asks" in said.out
    store = SqlStore(STORE)
    assert [bool(store.values(run)) for run in ("r0", "r1", "r2", "asks")] == [False, False, True, True]
    store.close()
    assert b"quick brown fox" not in b"".join(path.read_bytes() for path in Path(".orchestrator").glob("runs.db-wal"))
    assert cli("verify", "--all").exit == 0
    assert cli("store", "erase", "--label", "customer").exit == 2
    assert "r1 is kept" in cli("store", "keep", "r1").out
    assert "deleted 2 runs; 1 run is kept" in cli("store", "prune", "--older-than", "0s").out
    assert {run["run_id"] for run in cli("runs", "--json").json["runs"]} == {"r1", "asks"}
    assert cli("store", "check", "--json").json["bytes"] > 10_000
    assert "no longer kept" in cli("store", "keep", "r1", "--off").out
    assert "deleted 1 run" in cli("store", "prune", "--older-than", "0s").out
    assert cli("store", "keep", "nobody").exit == 2


def test_an_old_store_says_which_command_moves_it(cli: Cli) -> None:
    store = SqlStore(STORE)
    store.begin(RunRow("r", None, "g", Status.RUNNING, "p", 1.0, None, "", 0, "", {}))
    with store.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE orchestrator_meta SET value = 1 WHERE name = 'schema'")
    store.close()
    said = cli("runs")
    assert said.exit == 2
    assert "orchestrator store migrate --store" in said.err


def test_the_service_answers_and_stops_at_a_signal(cli: Cli) -> None:
    token = "a-token-of-at-least-sixteen-characters"
    command = [sys.executable, "-m", "orchestrator.cli", "serve", "--port", "0", "--work"]
    environment = {**os.environ, "ORCHESTRATOR_TOKENS": json.dumps({token: "acme"})}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        address = next(line.split()[-1] for line in process.stderr if line.startswith("listening"))
        asked = json.dumps({"goal": "title", "inputs": {"document": str(Path("quick.txt").absolute())}}).encode()
        request = urllib.request.Request(f"{address}/runs", asked, {"Authorization": f"Bearer {token}"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            run_id = json.load(answer)["run_id"]
        events = urllib.request.Request(f"{address}/runs/{run_id}/events", headers={"Authorization": f"Bearer {token}"})
        with urllib.request.urlopen(events, timeout=30) as stream:
            assert "event: closed" in stream.read().decode()
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert cli("verify", run_id).exit == 0


def test_the_service_of_a_program_works_on_its_store(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ORCHESTRATOR_PROJECT")
    Path("shop_served.py").write_text(
        "from orchestrator import Orchestrator, tool\n\n@tool(gives='doubled')\ndef double(n: int) -> int:\n"
        "    return 2 * n\n\norc = Orchestrator([double], store='served.db')\n"
    )
    command = [sys.executable, "-m", "orchestrator.cli", "serve", "--port", "0", "--work", "--no-ui"]
    token = "a-token-of-at-least-sixteen-characters"
    environment = {**os.environ, "ORCHESTRATOR_TOKENS": json.dumps({token: "acme"})}
    with subprocess.Popen(
        [*command, "--app", "shop_served:orc"], stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stderr is not None
        address = next(line.split()[-1] for line in process.stderr if line.startswith("listening"))
        asked = json.dumps({"goal": "doubled", "inputs": {"n": 4}}).encode()
        request = urllib.request.Request(f"{address}/runs", asked, {"Authorization": f"Bearer {token}"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            run_id = json.load(answer)["run_id"]
        events = urllib.request.Request(f"{address}/runs/{run_id}/events", headers={"Authorization": f"Bearer {token}"})
        with urllib.request.urlopen(events, timeout=30) as stream:
            assert "event: closed" in stream.read().decode()
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert cli("why", run_id, "--store", "served.db").exit == 0
    assert not Path(STORE).exists()
