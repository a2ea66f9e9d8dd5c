"""Goals of a graph as tools of an MCP server: names, schemas of inputs and outputs, and annotations of effects."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import mcp_types as types

from orchestrator.core.enums import Effect
from orchestrator.core.errors import DefinitionError, InputError, nearest
from orchestrator.core.goal import Goal
from orchestrator.core.text import clean
from orchestrator.core.types.schema import adapter
from orchestrator.graph.revision import GraphRevision
from orchestrator.intent.needs import needs_of

STATUS_TOOL: Final = "orchestrator_run"
"""The tool that reports the state of a run."""


@dataclass(frozen=True, slots=True)
class Offered:
    """A goal and its MCP tool."""

    goal: Goal[Any]
    tool: types.Tool


def offered_goals(view: GraphRevision, goals: Iterable[str] | None) -> dict[str, Offered]:
    """The goals by the name of their tool; `None` offers every key that a tool gives.

    Raises `InputError` for a goal that no tool gives, `DefinitionError` for two with the same name.
    """
    every = sorted(key for key in view.keys if view.producers(key))
    found: dict[str, Offered] = {}
    for stated in every if goals is None else goals:
        goal = Goal[Any]([key.strip() for key in stated.split("+")])
        for key in goal.keys:
            if not view.producers(key):
                raise InputError(f"No tool gives {key!r}, which is to be offered.{nearest(key, every)}")
        name = _name(goal)
        if name in found or name == STATUS_TOOL:
            raise DefinitionError(f"The goals offered over MCP have the tool name {name!r} twice: leave one out.")
        found[name] = Offered(goal, _tool(name, goal, view))
    return found


def status_tool() -> types.Tool:
    """The tool that reports the state and the decisions of a run of this server."""
    return types.Tool(
        name=STATUS_TOOL,
        description="The state of a run that was started here: status, attempts, and every decision with its reason.",
        input_schema={
            "type": "object",
            "properties": {"run_id": {"type": "string", "description": "As the answer of a goal named it."}},
            "required": ["run_id"],
            "additionalProperties": False,
        },
        annotations=types.ToolAnnotations(read_only_hint=True, open_world_hint=False),
    )


def _name(goal: Goal[Any]) -> str:
    """A name that clients accept: letters, digits, `_` and `-`, at most 64 of them."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", "_and_".join(goal.keys))[:64]


def _tool(name: str, goal: Goal[Any], view: GraphRevision) -> types.Tool:
    relevant = [view.tools[tool] for tool in view.relevant(goal.keys)]
    effects = {tool.effect for tool in relevant}
    descriptions = [view.tools[tool].description for key in goal.keys for tool in view.producers(key)]
    described = "; ".join(dict.fromkeys(clean(text.split("\n\n")[0], 200) for text in descriptions if text))
    return types.Tool(
        name=name,
        description=f"Get {' and '.join(goal.keys)} by the cheapest route that works. {described}".strip(),
        input_schema=_input_schema(goal, view),
        output_schema=_output_schema(),
        annotations=types.ToolAnnotations(
            read_only_hint=effects <= {Effect.READ},
            destructive_hint=Effect.IRREVERSIBLE in effects,
            idempotent_hint=False,
        ),
    )


def _input_schema(goal: Goal[Any], view: GraphRevision) -> dict[str, Any]:
    """The input schema of the goal: required inputs, and optional ones of other routes."""
    needs = needs_of(view, goal.keys)
    others = {
        key
        for tool in view.relevant(goal.keys)
        for key in (*view.nodes[tool].needs, *view.nodes[tool].optional)
        if not view.producers(key)
    }
    definitions: dict[str, Any] = {}
    keys = (*needs.required, *sorted(others - set(needs.required)))
    properties = {key: _schema(key, view.key_type(key), definitions) for key in keys}
    schema = {"type": "object", "properties": properties, "required": list(needs.required)}
    return {**schema, "additionalProperties": False, **({"$defs": definitions} if definitions else {})}


def _schema(key: str, annotation: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    """The schema of a key's type, its definitions merged into those of the whole schema; any value if there is none."""
    try:
        schema = adapter(annotation).json_schema(ref_template=f"#/$defs/{key}.{{model}}")
    except Exception:  # a type without a JSON schema: the run validates the value
        return {}
    inner: Mapping[str, Any] = schema.pop("$defs", {})
    definitions.update({f"{key}.{name}": part for name, part in inner.items()})
    return schema


def _output_schema() -> dict[str, Any]:
    text = {"type": "string"}
    return {
        "type": "object",
        "properties": {
            "run_id": text,
            "status": {"enum": ["reached", "demoted", "escalated", "waiting", "running"]},
            "goal": {"type": "array", "items": text},
            "value": {},
            "why": {"type": ["string", "null"]},
        },
        "required": ["run_id", "status", "goal", "value"],
    }
