"""The service, the viewer and the MCP server on one port, each behind its own token."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from orchestrator import Orchestrator, tool
from orchestrator.integrations.mcp import GoalServer
from orchestrator.service.access import Tokens
from orchestrator.service.app import Service
from orchestrator.service.front import Front
from orchestrator.ui.app import create_app

ACME, OWN = "acme-token-of-32-characters-0001", "operator-token-of-32-characters-1"
BROWSER = {"Accept": "text/html,application/xhtml+xml"}
BEARER = {"Authorization": f"Bearer {ACME}"}


@tool(gives="y")
def double(x: int) -> int:
    return 2 * x


@asynccontextmanager
async def served(tmp_path: Path) -> AsyncGenerator[httpx.AsyncClient]:
    async with Orchestrator([double], store=tmp_path / "runs.db") as orc:
        viewer = create_app(orc, token=OWN)
        mcp = GoalServer(orc).server.streamable_http_app(host="127.0.0.1")
        app = Front(Service(orc, Tokens({ACME: "acme"})).app(), viewer, mcp, OWN).app()
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as client,
        ):
            yield client


async def test_programs_get_json_and_browsers_get_pages(tmp_path: Path) -> None:
    async with served(tmp_path) as http:
        assert (await http.get("/healthz", headers=BROWSER)).text == "ok"
        assert (await http.get("/runs", headers=BEARER)).json() == {"runs": []}
        assert (await http.get("/runs")).status_code == 401
        refused = await http.get("/runs", headers=BROWSER)
        assert (refused.status_code, refused.headers["content-type"]) == (403, "text/plain; charset=utf-8")
        entered = await http.get(f"/runs?token={OWN}", headers=BROWSER)
        assert entered.status_code == 303
        page = await http.get("/runs", headers=BROWSER)
        assert (page.status_code, "<html" in page.text) == (200, True)
        assert (await http.get("/runs", headers={**BEARER, **BROWSER})).json() == {"runs": []}


async def test_a_tenant_sees_no_page_and_calls_no_tool(tmp_path: Path) -> None:
    async with served(tmp_path) as http:
        assert (await http.get(f"/runs?token={ACME}", headers=BROWSER)).status_code == 403
        assert (await http.post("/mcp", json={}, headers=BEARER)).status_code == 401
        assert (await http.post("/mcp/", json={})).status_code == 401


async def test_an_mcp_client_with_the_token_is_served(tmp_path: Path) -> None:
    async with served(tmp_path) as http:
        asked = {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "initialize",
            "params": {
                "protocolVersion": "2025-06-18",
                "capabilities": {},
                "clientInfo": {"name": "test", "version": "1"},
            },
        }
        headers = {"Authorization": f"Bearer {OWN}", "Accept": "application/json, text/event-stream"}
        answer = await http.post("/mcp", json=asked, headers=headers)
        assert answer.status_code == 200, answer.text
        assert "orchestrator" in answer.text
