"""Triage: the errors are grouped, and each group is classified, looked up and thought about; all groups side by side.

Every step is a goal of its own, so each is planned, given to an agent with the skill, and healed.
"""

import asyncio
from pathlib import Path
from typing import Any

from orchestrator import Escalated, RunContext, tool

PAST = "select day, cause, action from incidents where label = :label order by day desc limit 3"


@tool(gives="findings", latency=2)
async def triage(
    errors: list[dict[str, str]], label_examples: dict[str, list[str]], database: Path, ctx: RunContext
) -> dict[str, list[str]]:
    """A heading for each group of errors, the largest first, and what was found out about it."""
    groups = (await ctx.reach("groups", {"items": [error["message"] for error in errors]})).value
    largest_first = sorted(groups, key=lambda places: (-len(places), places))
    told = await asyncio.gather(
        *(examine([errors[place] for place in places], label_examples, database, ctx) for places in largest_first)
    )
    return dict(told)


async def examine(
    group: list[dict[str, str]], label_examples: dict[str, list[str]], database: Path, ctx: RunContext
) -> tuple[str, list[str]]:
    """Heading and points of one group."""
    message = group[0]["message"]
    seen = (
        f"{len(group)} times from {group[0]['at']} to {group[-1]['at']}" if len(group) > 1 else f"at {group[0]['at']}"
    )
    points = [f"{group[0]['source']}, {seen}"]
    try:
        label = (await ctx.reach("label", {"text": message, "label_examples": label_examples})).value
        asked: dict[str, Any] = {"database": database, "sql": PAST, "sql_parameters": {"label": label}}
        past = (await ctx.reach("rows", asked)).value
        proposal = (await ctx.reach("proposal", {"message": message, "label": label, "past": past})).value
    except Escalated:
        return message, [*points, "Nobody knows what this is: a person must look."]
    return message, [*points, f"Kind: {label}", f"Cause: {proposal['cause']}", f"Do: {proposal['action']}"]
