"""The program as a process of its own: Ctrl-C, a reader that goes away, a terminal."""

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

PROGRAM = [sys.executable, "-m", "orchestrator.cli"]
SLOW = """
import asyncio
import time
from pathlib import Path

from orchestrator import tool


@tool(gives="first")
def begin(word: str) -> str:
    return word


@tool(gives="second", timeout=300)
async def dawdle(first: str) -> str:
    while not Path("go").exists():
        await asyncio.sleep(0.05)
    return first.upper()


@tool(gives="blocked", timeout=300)
def block(first: str) -> str:
    while not Path("go").exists():
        time.sleep(0.05)
    return first


@tool(gives="stored", effect="write", compensate=lambda output: None)
def store(first: str) -> str:
    Path("writing").touch()
    time.sleep(1.0)
    Path("written").touch()
    return first
"""


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder with a project in it."""
    (tmp_path / "project" / "tools").mkdir(parents=True)
    (tmp_path / "project" / "tools" / "slow.py").write_text(SLOW)
    return tmp_path


def environment() -> dict[str, str]:
    """The environment of a plain shell."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ORCHESTRATOR", "PYTEST"))}
    return {**kept, "PYTHONUNBUFFERED": "1", "COLUMNS": "100", "TERM": "xterm"}


def call(here: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run the program to its end."""
    return subprocess.run(
        [*PROGRAM, *words], cwd=here, capture_output=True, text=True, timeout=60, check=False, env=environment()
    )


@contextmanager
def started(here: Path, *words: str) -> "Generator[subprocess.Popen[str]]":
    """The program while it runs."""
    process = subprocess.Popen(
        [*PROGRAM, *words],
        cwd=here,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=30)


def wait_for(process: "subprocess.Popen[str]", text: str) -> None:
    """Read the program's lines until one holds `text`."""
    assert process.stdout is not None
    for line in process.stdout:
        if text in line:
            return
    pytest.fail(f"the program ended without saying {text!r}")


@pytest.mark.parametrize("goal", ["second", "blocked"])
def test_ctrl_c_leaves_the_record_of_what_was_done(here: Path, goal: str) -> None:
    with started(here, "run", goal, "word=ahoy", "--project", "project", "--run-id", "cut") as process:
        wait_for(process, "✓ begin")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert "orchestrator why cut" in errors
    why = call(here, "why", "cut")
    assert why.returncode == 0
    assert "begin gave first" in why.stdout
    assert "has not ended" in why.stdout
    assert call(here, "verify", "cut").returncode == 0
    (here / "go").touch()
    resumed = call(here, "resume", "cut", "--project", "project", "--json")
    assert json.loads(resumed.stdout)["status"] == "reached"
    assert [each["tool"] for each in json.loads(resumed.stdout)["tried"]].count("begin") == 1


def test_ctrl_c_lets_a_write_finish(here: Path) -> None:
    with started(here, "run", "stored", "word=ahoy", "--project", "project", "--run-id", "cut") as process:
        wait_for(process, "✓ begin")
        while not (here / "writing").exists():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert process.returncode == 130
    assert (here / "written").exists()
    assert "store gave stored" in call(here, "why", "cut").stdout


def test_ctrl_c_during_many_runs(here: Path) -> None:
    words = ("run", "second", "--each", "word", "a", "b", "c", "--project", "project", "--jobs", "2")
    with started(here, *words) as process:
        while len(call(here, "runs", "--status", "running", "--json").stdout.split("run_id")) < 3:
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "0 of 3 had ended" in errors
    assert "Traceback" not in errors


def test_a_reader_that_goes_away_does_not_stop_the_run(here: Path) -> None:
    with started(here, "run", "second", "word=ahoy", "--project", "project") as process:
        wait_for(process, "route")
        assert process.stdout is not None
        process.stdout.close()
        (here / "go").touch()
        assert process.wait(timeout=30) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""
    assert json.loads(call(here, "runs", "--json").stdout)["runs"][0]["status"] == "reached"


def _on_terminal(here: Path, *words: str, **variables: str) -> tuple[int, str]:
    """Exit status and everything that was written, with a terminal on both sides."""
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        [*PROGRAM, *words],
        cwd=here,
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env={**environment(), **variables},
    )
    os.close(terminal)
    said = b""
    try:
        while chunk := os.read(controller, 65536):
            said += chunk
    except OSError:
        pass  # how Linux says that the other side has closed
    finally:
        os.close(controller)
    return process.wait(timeout=30), said.decode()


def test_colours_on_a_terminal_and_none_when_they_are_not_wanted(here: Path) -> None:
    (here / "go").touch()
    words = ("run", "second", "word=ahoy", "--project", "project")
    status, said = _on_terminal(here, *words)
    assert status == 0
    assert "\x1b[32m" in said
    assert "\x1b[32m" not in _on_terminal(here, *words, NO_COLOR="1")[1]
    assert "\x1b[32m" not in _on_terminal(here, *words, "--no-color")[1]
    assert "\x1b" not in _on_terminal(here, *words, TERM="dumb")[1]
