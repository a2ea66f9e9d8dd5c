"""Who proposes what to do: two who know one field each, and one who knows a little of everything.

`setup` says which skills a proposal demands: those of the label that the error was given.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from orchestrator import Agent, Orchestrator

Proposal = dict[str, str]


def has_an_action(proposal: Proposal) -> bool:
    """Whether a proposal says what to do; one that does not is none."""
    return bool(proposal["action"])


def expert(advice: tuple[tuple[str, str, str], ...]) -> Callable[..., Proposal]:
    """An expert for the errors that match a pattern: their cause and what to do."""

    def propose(message: str, label: str, past: list[dict[str, Any]]) -> Proposal:
        for pattern, cause, action in advice:
            found = re.search(pattern, message)
            if found:
                before = f"; it happened before, on {past[0]['day']}" if past else ""
                return {"cause": cause.format(*found.groups()) + before, "action": action.format(*found.groups())}
        return {"cause": "unknown", "action": ""}

    return propose


def from_the_past(message: str, label: str, past: list[dict[str, Any]]) -> Proposal:
    """What was done about the last incident of the kind."""
    if not past:
        return {"cause": "unknown", "action": ""}
    return {"cause": f"perhaps {past[0]['cause']}", "action": f"{past[0]['action']}, as the last time"}


database_expert = Agent(
    expert(
        (
            ("too many connections", "a client that does not give connections back", "put a pool in front of it"),
            (r"deadlock detected on table (\w+)", "two writers of {0} in opposite order", "lock {0} in one order"),
        )
    ),
    name="database_expert",
    gives="proposal",
    skills={"diagnose.database": 0.95, "diagnose.network": 0.2, "diagnose.disk": 0.1, "diagnose.code": 0.2},
    cost=0.01,
    latency=0.2,
    ensure=has_an_action,
    description="Knows databases.",
)
network_expert = Agent(
    expert(
        ((r"connection to host (\S+) timed out", "{0} or the way to it is down", "ping {0}, then look at the switch"),)
    ),
    name="network_expert",
    gives="proposal",
    skills={"diagnose.network": 0.95, "diagnose.database": 0.2, "diagnose.disk": 0.1, "diagnose.code": 0.1},
    cost=0.01,
    latency=0.2,
    ensure=has_an_action,
    description="Knows networks.",
)
generalist = Agent(
    from_the_past,
    name="generalist",
    gives="proposal",
    skills={"diagnose.database": 0.5, "diagnose.network": 0.5, "diagnose.disk": 0.6, "diagnose.code": 0.5},
    cost=0.002,
    latency=0.05,
    ensure=has_an_action,
    description="Knows what helped the last time.",
)


def skills_of(values: Mapping[str, Any]) -> dict[str, float]:
    """What a proposal demands: knowledge of the kind of error; neutral while the kind is not known."""
    return {f"diagnose.{values['label']}": 1} if "label" in values else {}


def setup(orc: Orchestrator) -> None:
    """The demands of this project."""
    orc.require_skills("proposal", skills_of)
