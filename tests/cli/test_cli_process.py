"""The program as a process of its own: Ctrl-C, a reader that goes away, a terminal."""

import io
import os
import pty
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from orchestrator.cli.app import invoke
from orchestrator.cli.screen import complain
from orchestrator.core.enums import Status
from orchestrator.observability.explain.story import read_story
from orchestrator.store import Store, open_store

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
    Path(f"dawdling-{first}").touch()
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


def interruptible() -> None:
    """Take Ctrl-C, in a new process, also where these tests run in the background of a shell, which ignores it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


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
        preexec_fn=interruptible,
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


@contextmanager
def record(here: Path) -> Generator[Store]:
    """What the program left behind, as a later process finds it."""
    store = open_store(here / ".orchestrator" / "runs.db")
    try:
        yield store
    finally:
        store.close()


@pytest.mark.parametrize("goal", ["second", "blocked"])
def test_ctrl_c_cancels_the_run(
    here: Path, goal: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with started(here, "run", goal, "word=ahoy", "--project", "project", "--run-id", "cut") as process:
        wait_for(process, "✓ begin")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert "orchestrator why cut" in errors
    monkeypatch.chdir(here)
    with record(here) as store:
        row = store.run("cut")
        assert row is not None
        assert row.status == "escalated"
    assert invoke(["verify", "cut"]) == 0


def test_ctrl_c_cancels_every_run_of_a_batch(here: Path) -> None:
    words = ("run", "stored", "--project", "project", "--jobs", "2", "--each", "word", "a", "b", "c")
    with started(here, *words) as process:
        while not (here / "writing").exists():
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Nothing was lost. 0 of 3 had ended." in errors
    with record(here) as store:
        assert {row.status for row in store.runs()} == {Status.ESCALATED}


def test_ctrl_c_cancels_every_run_that_is_recovered(here: Path) -> None:
    words = [f"w{n}" for n in range(17)]  # one more than are driven at a time
    calls = [here / f"dawdling-{word}" for word in words]
    batch = ("run", "second", "--project", "project", "--jobs", "17", "--each", "word", *words)
    with started(here, *batch) as process:
        while not all(call.exists() for call in calls):
            assert process.poll() is None
            time.sleep(0.01)
        time.sleep(0.3)  # until their records are durable
        process.kill()
        process.wait()
    for call in calls:
        call.unlink()
    with started(here, "recover", "--project", "project") as process:
        while sum(call.exists() for call in calls) < 16:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    with record(here) as store:
        assert sorted(row.status for row in store.runs()) == [Status.ESCALATED] * 16 + [Status.RUNNING]


def test_a_second_ctrl_c_leaves_the_record_of_what_was_done(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with started(here, "run", "stored", "word=ahoy", "--project", "project", "--run-id", "cut") as process:
        wait_for(process, "✓ begin")
        while not (here / "writing").exists():
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert "orchestrator why cut" in errors
    monkeypatch.chdir(here)
    assert invoke(["why", "cut"]) == 0
    why = capsys.readouterr().out
    assert "begin gave first" in why
    assert "has not ended" in why
    assert invoke(["verify", "cut"]) == 0
    with record(here) as store:
        row = store.run("cut")
        assert row is not None
        assert row.status == "running"


def test_ctrl_c_lets_a_write_finish(here: Path) -> None:
    with started(here, "run", "stored", "word=ahoy", "--project", "project", "--run-id", "cut") as process:
        wait_for(process, "✓ begin")
        while not (here / "writing").exists():
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 130
    assert (here / "written").exists()
    with record(here) as store:
        assert "store gave stored" in " ".join(entry.text for entry in read_story(store, "cut").entries)


def test_ctrl_c_during_many_runs(here: Path) -> None:
    words = ("run", "second", "--each", "word", "a", "b", "c", "--project", "project", "--jobs", "2")
    with started(here, *words) as process:
        while not (here / ".orchestrator" / "runs.db").exists():
            assert process.poll() is None
            time.sleep(0.05)
        with record(here) as store:
            while store.count_runs() < 2:
                assert process.poll() is None
                time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
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
    with record(here) as store:
        assert [row.status for row in store.runs()] == [Status.REACHED]


def test_an_output_that_the_shell_closed_takes_nothing(here: Path) -> None:
    command = f"exec {shlex.join(PROGRAM)} tools --project project >&-"
    done = subprocess.run(
        ["sh", "-c", command], cwd=here, env=environment(), capture_output=True, timeout=30, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")


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
    assert "\x1b[32m" not in _on_terminal(here, *words, "--no-color")[1]


class _Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("variables", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)])
def test_colours_follow_the_environment(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], coloured: bool
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"TERM": "xterm", **variables}.items():
        monkeypatch.setenv(name, value)
    terminal = _Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    complain("wrong")
    assert ("\x1b[1;31m" in terminal.getvalue()) is coloured
    assert "wrong" in terminal.getvalue()


@pytest.mark.parametrize("seconds", [0.05, 0.25, 0.5])
def test_ctrl_c_during_import_shows_no_traceback(seconds: float, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import builtins, time\n"
        "real = builtins.__import__\n"
        "def slow(name, *rest, **more):\n"
        "    if name.startswith(('orchestrator.cli', 'orchestrator.store', 'orchestrator.graph')):\n"
        "        print('importing', flush=True)\n"
        "        time.sleep(0.2)\n"
        "    return real(name, *rest, **more)\n"
        "builtins.__import__ = slow\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(tmp_path), str(Path(__file__).parents[2])))}
    with subprocess.Popen(
        [*PROGRAM, "runs"], env=environment, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline() == "importing\n"
        time.sleep(seconds)
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
        assert process.wait(30) == 130
    assert "Traceback" not in said
