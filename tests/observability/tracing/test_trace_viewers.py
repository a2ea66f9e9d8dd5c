"""The how-to of trace viewers: its program is run against a receiver, and (campaign) against Arize Phoenix itself."""

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core import conventions as names
from orchestrator.core.process.catalog_path import catalog_root
from tests.support.telemetry import receiving

HOW_TO = catalog_root() / "docs" / "how-to" / "trace-viewers.md"
PHOENIX = Path(tempfile.gettempdir()) / "orchestrator-tests-phoenix"
"""A virtual environment of Phoenix's own; made once, for it takes minutes."""

pytestmark = pytest.mark.skipif(not HOW_TO.is_file(), reason="the documentation is not installed with the package")


def program() -> str:
    """The program of the how-to."""
    found = re.findall(r"```python\n(.*?)```", HOW_TO.read_text(), re.DOTALL)
    assert len(found) == 1
    return str(found[0])


def run(endpoint: str) -> str:
    """Run the how-to's program in a process of its own; returns the id of its trace."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    environment = {**clean, "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_METRICS_EXPORTER": "none"}
    done = subprocess.run(
        [sys.executable, "-c", program()], env=environment, capture_output=True, text=True, timeout=100, check=True
    )
    value, trace_id = done.stdout.split()
    assert value == "5.2"
    assert done.stderr == ""
    return trace_id


def test_the_program_of_the_how_to_sends_a_healed_run() -> None:
    with receiving() as receiver:
        trace_id = run(receiver.endpoint)
    assert {span.trace_id.hex() for span in receiver.spans} == {trace_id}
    assert sorted(span.name for span in receiver.spans) == [
        "attempt",
        "attempt",
        "execute_tool carrier_api",
        "execute_tool rate_table",
        "invoke_workflow quote",
        "plan",
        "plan",
    ]


# -- Phoenix itself --------------------------------------------------------------------------------------------------


def installed() -> Path:
    """Phoenix's program; skips where it cannot be installed."""
    found = PHOENIX / "bin" / "phoenix"
    if not found.exists():
        subprocess.run([sys.executable, "-m", "venv", str(PHOENIX)], check=True, timeout=300)
        done = subprocess.run(
            [str(PHOENIX / "bin" / "pip"), "install", "--quiet", "arize-phoenix"],
            capture_output=True,
            text=True,
            timeout=1800,
            check=False,
        )
        if done.returncode:
            pytest.skip(f"arize-phoenix cannot be installed here: {done.stderr.strip()[-200:]}")
    return found


def free_port() -> int:
    """A port that nobody uses."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


def get(url: str) -> Any:
    """JSON from a local server."""
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.loads(answer.read() or b"null")


@contextmanager
def phoenix(folder: Path) -> Generator[str]:
    """Phoenix on loopback, with its data in a folder of its own and no wish to call home."""
    port, endpoint = free_port(), ""
    environment = {
        **os.environ,
        "PHOENIX_WORKING_DIR": str(folder),
        "PHOENIX_HOST": "127.0.0.1",
        "PHOENIX_PORT": str(port),
        "PHOENIX_GRPC_PORT": str(free_port()),
        "PHOENIX_TELEMETRY_ENABLED": "false",
        "PHOENIX_ALLOW_EXTERNAL_RESOURCES": "false",
    }
    endpoint = f"http://127.0.0.1:{port}"
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen([str(installed()), "serve"], env=environment, stdout=log, stderr=log)
        try:
            until(lambda: is_up(endpoint), 400)
            yield endpoint
        finally:
            server.terminate()
            server.wait(30)


def is_up(endpoint: str) -> bool:
    """Whether a server answers."""
    try:
        with urllib.request.urlopen(f"{endpoint}/healthz", timeout=2):
            return True
    except OSError:
        return False


def until(condition: Any, seconds: float) -> None:
    """Wait for something that another process does."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.2)


@pytest.mark.campaign
@pytest.mark.timeout(900)
def test_phoenix_shows_a_healed_run(tmp_path: Path) -> None:
    with phoenix(tmp_path) as endpoint:
        trace_id = run(endpoint)

        def spans() -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = get(f"{endpoint}/v1/projects/default/spans?limit=100")["data"]
            return [span for span in found if span["context"]["trace_id"] == trace_id]

        until(lambda: len(spans()) == 7, 60)
        told = {span["context"]["span_id"]: span for span in spans()}
    above = {None: "", **{span_id: span["name"] for span_id, span in told.items()}}
    tree = [(s["name"], s["span_kind"], s["status_code"], above[s["parent_id"]]) for s in told.values()]
    tree_kind = next(kind for name, kind, *_ in tree if name == "plan")
    assert tree_kind in ("DECISION", "UNKNOWN")  # a Phoenix that does not know the kind yet says so
    assert sorted(tree) == [
        ("attempt", "CHAIN", "ERROR", "execute_tool carrier_api"),
        ("attempt", "CHAIN", "UNSET", "execute_tool rate_table"),
        ("execute_tool carrier_api", "TOOL", "ERROR", "invoke_workflow quote"),
        ("execute_tool rate_table", "TOOL", "UNSET", "invoke_workflow quote"),
        ("invoke_workflow quote", "CHAIN", "UNSET", ""),
        ("plan", tree_kind, "UNSET", "invoke_workflow quote"),
        ("plan", tree_kind, "UNSET", "invoke_workflow quote"),
    ]
    reroute = next(s for s in told.values() if s["attributes"].get(names.DECISION_KIND) == "reroute")
    assert reroute["attributes"][names.DECISION_CHOSEN] == "rate_table"
    assert reroute["attributes"][names.DECISION_ANSWERS] == ["f1"]
    failed = next(s for s in told.values() if s["name"] == "execute_tool carrier_api")
    assert reroute["start_time"] >= failed["start_time"]
    assert failed["attributes"][names.ERROR_TYPE] == "outage"
    attempt = next(s for s in told.values() if s["name"] == "attempt" and s["status_code"] == "ERROR")
    assert [event["name"] for event in attempt["events"]] == ["exception"]
