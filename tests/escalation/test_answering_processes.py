"""A run waits and its process is killed; people are told by webhook, and answer at a terminal or in a browser."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from orchestrator import AskHuman
from orchestrator.cli.app import invoke
from orchestrator.escalation import RUNGS
from tests.support.webhook import Inbox, receiving

PROJECT = """
import os
from pathlib import Path

from orchestrator import AskHuman, RunContext, tool
from orchestrator.escalation import RUNGS, Webhook

RUNGS["the_boss"] = lambda: AskHuman(notify=Webhook(os.environ["HOOK"]), name="the_boss")


@tool(gives="receipt", effect="write", approval=lambda amount: amount > 100)
def refund(order: str, amount: float) -> str:
    with Path("effects.log").open("a") as log:
        log.write(f"{amount} for {order}\\n")
    return f"{amount} for {order}"


@tool(gives="report")
async def report(ctx: RunContext, topic: str) -> str:
    return f"{topic} of {await ctx.wait('Which year?', int)!r}"
"""
WAITING = """
import asyncio, sys
from orchestrator import Orchestrator

async def main():
    orc = Orchestrator.from_project(".", policy="ask", store="runs.db")
    await orc.run(sys.argv[1], {"order": "A-1", "amount": 900.0} if sys.argv[1] == "receipt" else {"topic": "sales"})
    await asyncio.sleep(600)

asyncio.run(main())
"""
PROGRAM = [sys.executable, "-m", "orchestrator.cli"]
OPTIONS = ["--store", "runs.db"]
SESSION = ["--project", ".", "--policy", "ask", *OPTIONS]


@pytest.fixture
def inbox() -> Generator[Inbox]:
    with receiving() as box:
        yield box


@pytest.fixture
def project(tmp_path: Path, inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "tools").mkdir()
    (tmp_path / "policies").mkdir()
    (tmp_path / "tools" / "shop.py").write_text(PROJECT)
    (tmp_path / "policies" / "ask.toml").write_text('escalation = ["demote", "the_boss"]\n')
    monkeypatch.setenv("HOOK", inbox.url)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    monkeypatch.setitem(RUNGS, "the_boss", AskHuman)  # as the project itself will, in any process
    monkeypatch.chdir(tmp_path)
    return tmp_path


def wait_and_die(goal: str, inbox: Inbox) -> str:
    """Begin a run in a process that is killed as soon as people were told; the id that they were sent."""
    with subprocess.Popen([sys.executable, "-c", WAITING, goal]) as process:
        try:
            deadline = time.monotonic() + 60
            while not inbox.arrived.wait(0.05):
                assert process.poll() is None and time.monotonic() < deadline
        finally:
            process.kill()
        assert process.wait(20) == -signal.SIGKILL
    (body,) = inbox.bodies
    run_id: str = body["run_id"]
    assert body["answer_with"] == f"orchestrator resume {run_id}"
    return run_id


def program(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*PROGRAM, *arguments], capture_output=True, text=True, timeout=60, check=False)


@dataclass(frozen=True)
class Here:
    """The program in this process, for what needs none of its own: it only looks at the store."""

    said: pytest.CaptureFixture[str]

    def run(self, *arguments: str) -> tuple[int, str]:
        """Exit status, and what it wrote."""
        self.said.readouterr()
        status = invoke(list(arguments))
        return status, self.said.readouterr().out

    def listed(self) -> list[str]:
        """The runs that wait."""
        _, shown = self.run("runs", "--waiting", "--json", *OPTIONS)
        return [run["run_id"] for run in json.loads(shown)["runs"]]


@pytest.fixture
def here(capsys: pytest.CaptureFixture[str]) -> Here:
    return Here(capsys)


@contextmanager
def terminal(*arguments: str) -> Generator[Any]:
    """The program on a terminal of its own: `say(expected, line)` waits for a text, then types."""
    master, slave = pty.openpty()
    seen = ""

    def say(expected: str, line: str = "") -> str:
        nonlocal seen
        while expected not in seen:
            seen += os.read(master, 4096).decode(errors="replace")
        before, _, seen = seen.partition(expected)
        if line:
            os.write(master, f"{line}\n".encode())
        return before

    with subprocess.Popen([*PROGRAM, *arguments], stdin=slave, stdout=slave, stderr=slave) as process:
        os.close(slave)
        try:
            yield say, process
        finally:
            process.kill()
            os.close(master)


def test_an_approval_is_given_at_a_terminal_after_the_process_was_killed(
    project: Path, inbox: Inbox, here: Here
) -> None:
    run_id = wait_and_die("receipt", inbox)
    assert here.listed() == [run_id]
    assert not (project / "effects.log").exists()
    with terminal("resume", run_id, "--by", "ann", *SESSION) as (say, process):
        assert "1. approve refund" in say("> ", "perhaps")
        say("That is no answer to the question. Answer with yes or no")
        say("> ", "yes")
        say("receipt reached")
        say("900.0 for A-1")
        assert process.wait(20) == 0
    assert (project / "effects.log").read_text() == "900.0 for A-1\n"
    assert here.listed() == []
    assert "Answered by ann: approve refund." in here.run("why", run_id, *OPTIONS)[1]
    for command in ("verify", "replay"):
        assert here.run(command, run_id, *OPTIONS)[0] == 0


def test_a_question_of_a_tool_is_answered_on_the_command_line(project: Path, inbox: Inbox, here: Here) -> None:
    run_id = wait_and_die("report", inbox)
    assert inbox.bodies[0]["question"] == "Which year?"
    assert here.run("resume", run_id, *SESSION)[0] == 5  # no answer, no terminal: it shows its question
    assert program("resume", run_id, "many", *SESSION).returncode == 5
    assert "the last answer is no int" in here.run("resume", run_id, *SESSION)[1]
    done = program("resume", run_id, "2026", *SESSION)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "sales of 2026")


def test_an_approval_is_given_in_the_viewer(project: Path, inbox: Inbox, here: Here) -> None:
    run_id = wait_and_die("receipt", inbox)
    with subprocess.Popen([*PROGRAM, "ui", *SESSION], stdout=subprocess.PIPE, text=True) as viewer:
        try:
            assert viewer.stdout is not None
            opened = next(line.strip() for line in viewer.stdout if "/?token=" in line)
            root = re.sub(r"/\?token=.*", "", opened)[opened.index("http") :]
            with httpx.Client(follow_redirects=True, timeout=30) as browser:
                browser.get(opened[opened.index("http") :])
                page = browser.get(f"{root}/runs/{run_id}").text
                csrf = re.search(r'name="csrf" value="([^"]+)"', page)
                assert csrf is not None and "approve refund" in page
                form = {"csrf": csrf[1], "choice": "1", "by": "ann"}
                assert browser.post(f"{root}/runs/{run_id}/answer", data=form).status_code == 200
        finally:
            viewer.send_signal(signal.SIGINT)
        viewer.wait(20)
    deadline = time.monotonic() + 30
    while here.listed() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert (project / "effects.log").read_text() == "900.0 for A-1\n"
    assert "Answered by ann: approve refund." in here.run("why", run_id, *OPTIONS)[1]
