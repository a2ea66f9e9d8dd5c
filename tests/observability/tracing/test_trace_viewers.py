"""The how-to of trace viewers: its program is run against a receiver, and (campaign) against Arize Phoenix itself."""

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core import conventions as names
from orchestrator.core.process.installation import catalog_root
from tests.support.telemetry import receiving

HOW_TO = catalog_root() / "docs" / "how-to" / "trace-viewers.md"
PHOENIX = Path(tempfile.gettempdir()) / "orchestrator-tests-phoenix"
MLFLOW = Path(tempfile.gettempdir()) / "orchestrator-tests-mlflow"
"""Virtual environments of their own; made once, for it takes minutes."""

pytestmark = pytest.mark.skipif(not HOW_TO.is_file(), reason="the documentation is not installed with the package")


def program() -> str:
    """The program of the how-to: the example that runs something."""
    found = re.findall(r"```python\n(.*?)```", HOW_TO.read_text(), re.DOTALL)
    [only] = [str(example) for example in found if "run_sync(" in example]
    return only


def run(endpoint: str, headers: str = "", code: str = "") -> str:
    """Run the how-to's program in a process of its own; returns the id of its trace."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    environment = {**clean, "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_METRICS_EXPORTER": "none"}
    if headers:
        environment["OTEL_EXPORTER_OTLP_HEADERS"] = headers
    done = subprocess.run(
        [sys.executable, "-c", code or program()],
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
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


def test_a_path_and_a_key_reach_a_backend_such_as_langfuse() -> None:
    asked: list[tuple[str, str | None]] = []

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            """Nothing."""

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("content-length") or 0))
            asked.append((self.path, self.headers.get("authorization")))
            self.send_response(200)
            self.end_headers()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        run(f"http://127.0.0.1:{server.server_port}/api/public/otel", "Authorization=Basic%20cGs6c2s=")
    finally:
        server.shutdown()
        server.server_close()
    assert set(asked) == {("/api/public/otel/v1/traces", "Basic cGs6c2s=")}


# -- Phoenix itself --------------------------------------------------------------------------------------------------


def installed(venv: Path, package: str, program: str) -> Path:
    """A program of a package in a virtual environment of its own; skips where it cannot be installed."""
    found = venv / "bin" / program
    if not found.exists():
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True, timeout=300)
        done = subprocess.run(
            [str(venv / "bin" / "pip"), "install", "--quiet", package],
            capture_output=True,
            text=True,
            timeout=1800,
            check=False,
        )
        if done.returncode:
            pytest.skip(f"{package} cannot be installed here: {done.stderr.strip()[-200:]}")
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
        server = subprocess.Popen(
            [str(installed(PHOENIX, "arize-phoenix", "phoenix")), "serve"], env=environment, stdout=log, stderr=log
        )
        try:
            until(lambda: is_up(f"{endpoint}/healthz"), 400)
            yield endpoint
        finally:
            server.terminate()
            server.wait(30)


def is_up(address: str) -> bool:
    """Whether a server answers."""
    try:
        with urllib.request.urlopen(address, timeout=2):
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


# -- MLflow itself ---------------------------------------------------------------------------------------------------

ASK_MLFLOW = """
import json, sys, mlflow
mlflow.set_tracking_uri(sys.argv[1])
traces = mlflow.search_traces(locations=["0"], return_type="list")
print(json.dumps([
    {
        "metadata": trace.info.trace_metadata,
        "spans": [
            {
                "name": span.name,
                "id": span.span_id,
                "parent": span.parent_id,
                "kind": span.span_type,
                "status": str(span.status.status_code),
                "attributes": {key: str(value) for key, value in span.attributes.items()},
            }
            for span in trace.data.spans
        ],
    }
    for trace in traces
]))
"""
TALK = """
from orchestrator import Agent, Orchestrator
from orchestrator.observability.tracing import setup
from orchestrator.testing import ScriptedChatModel

setup(service_name="desk")
clerk = Agent(ScriptedChatModel(["certainly"]), name="clerk", needs=["question"], gives="5.2")
outcome = Orchestrator(agents=[clerk]).run_sync("5.2", {"question": "?"}, labels={"session": "monday"})
print("5.2", outcome.trace_id)
"""


@contextmanager
def mlflow(folder: Path) -> Generator[str]:
    """MLflow's tracking server on loopback, over a database of its own."""
    port = free_port()
    program = installed(MLFLOW, "mlflow", "mlflow")
    command = [str(program), "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "PATH": f"{program.parent}:{os.environ['PATH']}"}
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [*command, "--backend-store-uri", f"sqlite:///{folder}/mlflow.db"],
            env=environment,
            stdout=log,
            stderr=log,
            cwd=folder,
        )
        try:
            until(lambda: is_up(f"http://127.0.0.1:{port}/health"), 400)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(30)


@pytest.mark.campaign
@pytest.mark.timeout(1500)
def test_mlflow_shows_tree_session_tokens_and_decisions(tmp_path: Path) -> None:
    with mlflow(tmp_path) as endpoint:
        run(endpoint, "x-mlflow-experiment-id=0")
        run(endpoint, "x-mlflow-experiment-id=0", TALK)
        python = str(MLFLOW / "bin" / "python")
        told: list[dict[str, Any]] = []

        def arrived() -> bool:
            asked = subprocess.run(
                [python, "-c", ASK_MLFLOW, endpoint], capture_output=True, text=True, timeout=300, check=True
            )
            told[:] = json.loads(asked.stdout.strip().splitlines()[-1])
            return len(told) == 2 and all(trace["spans"] for trace in told)

        until(arrived, 300)
    healed, talk = sorted(told, key=lambda trace: len(trace["spans"]), reverse=True)
    above = {span["id"]: span["name"] for span in healed["spans"]}
    assert sorted((span["name"], above.get(span["parent"], "")) for span in healed["spans"]) == [
        ("attempt", "execute_tool carrier_api"),
        ("attempt", "execute_tool rate_table"),
        ("execute_tool carrier_api", "invoke_workflow quote"),
        ("execute_tool rate_table", "invoke_workflow quote"),
        ("invoke_workflow quote", ""),
        ("plan", "invoke_workflow quote"),
        ("plan", "invoke_workflow quote"),
    ]
    reroute = next(s for s in healed["spans"] if "reroute" in s["attributes"].get(names.DECISION_KIND, ""))
    assert "rate_table" in reroute["attributes"][names.DECISION_CHOSEN]
    chat = next(span for span in talk["spans"] if span["name"].startswith("chat"))
    assert "10" in chat["attributes"]["gen_ai.usage.input_tokens"]
    assert "monday" in str(talk["metadata"]) or "monday" in chat["attributes"]["session.id"]
