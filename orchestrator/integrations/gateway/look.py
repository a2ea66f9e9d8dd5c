"""A read-only MCP server for inspecting runs: `runs`, `why`, `verify`, `replay`, `health`."""

import asyncio
import json
from typing import Any, Final

import mcp_types as types
from mcp import MCPError
from mcp.server import Server

from orchestrator.api import Orchestrator
from orchestrator.core.conventions import __version__
from orchestrator.core.errors import OrchestratorError, nearest
from orchestrator.integrations.mcp.answers import refusal, structured

_RUN: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"run_id": {"type": "string"}},
    "required": ["run_id"],
    "additionalProperties": False,
}
_NOTHING: Final[dict[str, Any]] = {"type": "object", "properties": {}, "additionalProperties": False}
_LIMIT: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"limit": {"type": "integer", "minimum": 1, "maximum": 200}},
    "additionalProperties": False,
}
TOOLS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "runs": ("The newest runs: id, goal, status, when.", _LIMIT),
    "why": ("How a run ended and every decision with its reason.", _RUN),
    "verify": ("Whether the record of a run is whole and unchanged.", _RUN),
    "replay": ("Whether the decisions of a run follow again from its record.", _RUN),
    "health": ("The circuits of the tools, and their last failures.", _NOTHING),
}


class LookServer:
    """Reads the runs of an orchestrator's store; changes nothing."""

    def __init__(self, orc: Orchestrator) -> None:
        self.orc = orc
        self.server: Server[Any] = Server(
            "orchestrator-look", version=__version__, on_list_tools=self._list_tools, on_call_tool=self._call_tool
        )

    async def _list_tools(self, ctx: Any, params: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        del ctx, params
        reads = types.ToolAnnotations(read_only_hint=True, open_world_hint=False)
        return types.ListToolsResult(
            tools=[
                types.Tool(name=name, description=about, input_schema=schema, annotations=reads)
                for name, (about, schema) in TOOLS.items()
            ]
        )

    async def _call_tool(self, ctx: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
        del ctx
        if params.name not in TOOLS:
            raise MCPError(types.INVALID_PARAMS, f"There is no tool {params.name!r}.{nearest(params.name, TOOLS)}")
        arguments = params.arguments or {}
        run_id = str(arguments.get("run_id", ""))
        try:
            found = await asyncio.to_thread(getattr(self, f"_{params.name}"), run_id, int(arguments.get("limit", 20)))
        except OrchestratorError as error:
            return refusal(str(error))
        text = json.dumps(found, ensure_ascii=False, indent=1, default=str)
        return types.CallToolResult(content=[types.TextContent(text=text)], structured_content=found)

    def _runs(self, run_id: str, limit: int) -> dict[str, Any]:
        del run_id
        rows = self.orc.store.runs(parent=None, limit=max(1, min(limit, 200)))
        return {
            "runs": [{"run_id": r.run_id, "goal": r.goal, "status": str(r.status), "started": r.started} for r in rows]
        }

    def _why(self, run_id: str, limit: int) -> dict[str, Any]:
        del limit
        return structured(self.orc.outcome(run_id))

    def _verify(self, run_id: str, limit: int) -> dict[str, Any]:
        del limit
        found = self.orc.verify(run_id)
        return {"ok": found.ok, "problems": [str(problem) for problem in found.problems]}

    def _replay(self, run_id: str, limit: int) -> dict[str, Any]:
        del limit
        found = self.orc.replay(run_id)
        return {"agrees": found.agrees, "differences": [str(each) for each in found.differences]}

    def _health(self, run_id: str, limit: int) -> dict[str, Any]:
        del run_id, limit
        names = sorted({*self.orc.graph.view().tools, *self.orc.health.touched()})
        return {"tools": {name: self.orc.health.status(name).to_json() for name in names}}


__all__ = ["TOOLS", "LookServer"]
