"""Quotas told by a server raise the price before the limit is hit, and the next runs go another way."""

import threading
import urllib.request
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from orchestrator import Orchestrator, RateLimited, RunContext, Status, Tool
from orchestrator.core.policy import Policy, Retries
from orchestrator.testing import FakeClock

LIMIT = 20


class Limited:
    """Answers so many requests, telling how many are left; then 429."""

    def __init__(self) -> None:
        self.asked = 0
        self.turned_away = 0
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked += 1
                left = LIMIT - server.asked
                server.turned_away += left < 0
                self.send_response(429 if left < 0 else 200)
                self.send_header("X-RateLimit-Limit", str(LIMIT))
                self.send_header("X-RateLimit-Remaining", str(max(0, left)))
                self.send_header("X-RateLimit-Reset", "60")
                self.end_headers()
                self.wfile.write(b"1")

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()


@pytest.fixture
def server() -> Generator[Limited]:
    limited = Limited()
    yield limited
    limited.http.shutdown()
    limited.http.server_close()


async def test_a_tool_gets_dearer_as_its_quota_is_used_up(server: Limited) -> None:
    def near(ctx: RunContext) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.http.server_port}/") as answer:
            ctx.quota_headers(dict(answer.headers))
            return "near"

    far = Tool(lambda: "far", name="far", gives="x", cost=0.03)
    clock = FakeClock()
    orc = Orchestrator([Tool(near, gives="x", cost=0.01), far], monitors=(), clock=clock)
    values = [(await orc.run("x")).value for _ in range(2 * LIMIT)]
    assert values[0] == "near"
    assert values[-1] == "far"
    assert server.turned_away == 0, "it was asked until it said no"
    assert LIMIT / 2 < server.asked < LIMIT
    await clock.sleep(61)
    assert (await orc.run("x")).value == "near"


@pytest.mark.parametrize(("asked", "waited"), [(2.0, True), (600.0, False)])
async def test_retry_after_is_waited_for_or_taken_as_a_no(asked: float, waited: bool) -> None:
    calls, clock = 0, FakeClock()

    async def near() -> str:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise RateLimited(retry_after=asked)
        return "near"

    far = Tool(lambda: "far", name="far", gives="x", cost=0.03)
    policy = Policy(retries=Retries(max_retry_after=30))
    orc = Orchestrator([Tool(near, gives="x", cost=0.01), far], monitors=(), clock=clock, policy=policy)
    outcome = await orc.run("x")
    assert (outcome.status, outcome.value) == (Status.REACHED, "near" if waited else "far")
    assert orc.health.pressure("near") > 1
    assert not waited or outcome.seconds >= asked
