"""Metrics in Prometheus' text format (version 0.0.4): runs by status, the queue, the worker, circuits."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from orchestrator.api import Orchestrator
from orchestrator.core.errors import StoreError
from orchestrator.engine.background.worker import Worker


def exposition(orc: Orchestrator, worker: Worker | None) -> str:
    """All metrics as text."""
    lines = ["# HELP orchestrator_runs Runs in the store, children included.", "# TYPE orchestrator_runs gauge"]
    try:
        counts = orc.store.count_by_status()
        lines += [f'orchestrator_runs{{status="{status}"}} {count}' for status, count in counts.items()]
        up = 1
    except StoreError:
        up = 0
    lines += ["# TYPE orchestrator_store_up gauge", f"orchestrator_store_up {up}"]
    lines += ["# TYPE orchestrator_circuit_open gauge"]
    for name in sorted(orc.graph.view().tools):
        is_open = int(str(orc.health.status(name).circuit) == "open")
        lines.append(f'orchestrator_circuit_open{{tool="{_escaped(name)}"}} {is_open}')
    if worker is not None:
        lines += ["# TYPE orchestrator_worker_busy gauge", f"orchestrator_worker_busy {worker.busy}"]
        lines += ["# TYPE orchestrator_worker_done_total counter", f"orchestrator_worker_done_total {worker.done}"]
    return "\n".join(lines) + "\n"


def serve_metrics(orc: Orchestrator, worker: Worker, port: int, host: str = "127.0.0.1") -> ThreadingHTTPServer:
    """Serve `/metrics`, `/healthz` and `/readyz` of a worker from a thread of its own."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            match self.path:
                case "/metrics":
                    status, text = 200, exposition(orc, worker)
                case "/healthz":
                    status, text = 200, "ok\n"
                case "/readyz":
                    status, text = (200, "ok\n") if worker.ready else (503, "draining\n")
                case _:
                    status, text = 404, "not found\n"
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Do not log requests for metrics."""

    server = ThreadingHTTPServer((host, port), Handler)
    threading.Thread(target=server.serve_forever, name="orchestrator-metrics", daemon=True).start()
    return server


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


__all__ = ["exposition", "serve_metrics"]
