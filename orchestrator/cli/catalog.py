"""`orchestrator tools` and `orchestrator agents`: what a project holds, and what it costs now."""

import asyncio
from typing import Annotated, Any

import typer
from rich.text import Text

from orchestrator.agents.agent import Agent
from orchestrator.api import Orchestrator
from orchestrator.cli.planning.plan import facts_json
from orchestrator.core.enums import CircuitState, Effect
from orchestrator.core.text import duration, usd
from orchestrator.core.types.schema import type_name
from orchestrator.graph.spec import ToolSpec
from orchestrator.graph.tool import Tool
from orchestrator.health import HealthRegistry
from orchestrator.integrations.checks import ToolCheck, check_tool
from orchestrator.observability.recorded import recorded_agents, recorded_tools, stored_health
from orchestrator.project import Project

from . import options
from .invocation import app_given
from .screen import say, table, write_json
from .session import existing, looking, open_project, reading


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("tools")(_tools)
    app.command("agents")(_agents)


def _tools(
    check: Annotated[
        bool, typer.Option("--check", help="Say which would fail, and which copy much. Calls no tool.")
    ] = False,
    project: options.ProjectOption = None,
    policy: options.PolicyOption = options.DEFAULT_POLICY,
    store: options.StoreOption = options.DEFAULT_STORE,
    as_json: options.AsJson = False,
) -> None:
    """List the tools: what each needs and gives, its price now, its health."""
    loaded = open_project(project)
    if check:
        _check(loaded, as_json=as_json)
        return
    with looking(loaded, policy, store) as orc:
        if as_json:
            write_json({"schema": "orchestrator.tools/1", "tools": [_as_json(orc, loaded, t) for t in loaded.tools]})
            return
        rows: list[list[str | Text]] = [
            [
                tool.name,
                _keys(tool),
                _price(orc, tool),
                duration(tool.planned_latency()),
                _effect(tool),
                _health(orc.health, tool.name),
            ]
            for tool in loaded.tools
        ]
    if not rows:
        say("No tools.")
        return
    table(["tool", "needs → gives", "price", "latency", "effect", "health"], rows, right=[2, 3])


def _check(project: Project, *, as_json: bool) -> None:
    async def every() -> list[ToolCheck]:
        return await asyncio.gather(*(check_tool(tool) for tool in project.tools))

    found = asyncio.run(every())
    if as_json:
        checks = [{"name": c.name, "problems": list(c.problems), "copies": list(c.copies)} for c in found]
        write_json({"schema": "orchestrator.tools_check/1", "tools": checks})
        return
    rows: list[list[str | Text]] = [
        [c.name, "; ".join(c.problems) or "-", ", ".join(c.copies) or "-"] for c in found if c.problems or c.copies
    ]
    if rows:
        table(["tool", "would fail because", "copied before each attempt"], rows)
        say("A tool that changes none of its inputs may say so: share=True hands them over without a copy.")
    else:
        say(f"No problem was found with any of the {len(found)} tools.")


def _agents(
    project: options.ProjectOption = None,
    policy: options.PolicyOption = options.DEFAULT_POLICY,
    store: options.StoreOption = options.DEFAULT_STORE,
    as_json: options.AsJson = False,
) -> None:
    """List the agents: skills with declared competence, price now, health, where the work is done.

    Without a project, those that the recent runs of the store recorded.
    """
    loaded = open_project(project)
    recorded = _recorded_elsewhere(store, loaded) if project is None and app_given() is None else None
    if recorded is not None:
        _show_recorded(*recorded, as_json=as_json)
        return
    with looking(loaded, policy, store) as orc:
        if as_json:
            write_json({"schema": "orchestrator.agents/1", "agents": [_as_json(orc, loaded, a) for a in loaded.agents]})
            return
        rows: list[list[str | Text]] = [
            [
                agent.name,
                _keys(agent),
                _skills(agent),
                _price(orc, agent),
                _place(agent),
                _health(orc.health, agent.name),
            ]
            for agent in loaded.agents
        ]
    if not rows:
        say("No agents.")
        return
    table(["agent", "needs → gives", "skills", "price", "where", "health"], rows, right=[3])


def _recorded_elsewhere(where: str, project: Project) -> tuple[list[ToolSpec], HealthRegistry] | None:
    """The agents of the recent runs with what is known of their health, where those runs are not of this project."""
    if not existing(where):
        return None
    with reading(where) as store:
        if set(recorded_tools(store)) <= {tool.name for tool in (*project.tools, *project.agents)}:
            return None
        return list(recorded_agents(store).values()), stored_health(store)


def _show_recorded(agents: list[ToolSpec], health: HealthRegistry, *, as_json: bool) -> None:
    if as_json:
        found = [{**agent.to_json(), "health": health.status(agent.name).to_json()} for agent in agents]
        write_json({"schema": "orchestrator.agents/1", "agents": found})
        return
    rows: list[list[str | Text]] = [
        [agent.name, _keys(agent), _skills(agent), usd(agent.cost), _health(health, agent.name)] for agent in agents
    ]
    if rows:
        table(["agent", "needs → gives", "skills", "cost", "health"], rows, right=[3])
    else:
        say("No recent run of this store had an agent.")


def _keys(tool: Tool | ToolSpec) -> str:
    if isinstance(tool, ToolSpec):
        needs, may = tool.needs, tool.optional
    else:  # in the order in which they are written
        needs = tuple(dict.fromkeys(tool.needs.values()))
        may = tuple(key for key in dict.fromkeys(tool.optional.values()) if key not in needs)
    return f"{', '.join([*needs, *(f'[{key}]' for key in may)]) or 'nothing'} → {', '.join(tool.gives)}"


def _price(orc: Orchestrator, tool: Tool) -> str:
    weight = orc.price(tool.name)
    return "down" if weight is None else usd(weight)


def _effect(tool: Tool) -> Text:
    return Text(str(tool.effect), "yellow" if tool.effect is not Effect.READ else "")


def _skills(agent: Tool | ToolSpec) -> str:
    return ", ".join(f"{skill} {value:g}" for skill, value in agent.skills.items()) or "-"


def _place(agent: Tool) -> str:
    if not isinstance(agent, Agent):
        return "-"
    return agent.trust + (", data leaves" if agent.data_leaves else "")


def _health(health: HealthRegistry, name: str) -> Text:
    status = health.status(name)
    if status.circuit is CircuitState.CLOSED and not status.calls:
        return Text("never called", "dim")
    if status.circuit is CircuitState.CLOSED:
        return Text(f"works {status.success:.0%}", "" if status.success >= 0.5 else "yellow")
    return Text(f"{str(status.circuit).replace('_', ' ')}" + (f": {status.reason}" if status.reason else ""), "red")


def _as_json(orc: Orchestrator, project: Project, tool: Tool) -> dict[str, Any]:
    data: dict[str, Any] = {
        "name": tool.name,
        "description": tool.description,
        "needs": {key: type_name(orc.graph.view().key_type(key)) for key in tool.needs.values()},
        "optional": list(tool.optional.values()),
        "gives": {key: type_name(annotation) for key, annotation in tool.gives.items()},
        "effect": str(tool.effect),
        "price": orc.price(tool.name),
        "facts": facts_json(orc.price_facts(tool.name)),
        "health": orc.health.status(tool.name).to_json(),
        "file": str(project.sources[tool.name]),
    }
    if isinstance(tool, Agent):
        data |= {"skills": dict(tool.skills), "trust": tool.trust, "data_leaves": tool.data_leaves}
    return data
