"""Two agents that give a summary: one quick and not good, one sound, dear and far away."""

from typing import Any

from orchestrator import Agent, Orchestrator


def quick(text: str) -> str:
    """Not good, but cheap."""
    return f"quick {text}"


def sound(text: str) -> str:
    """Good, and dear; it works elsewhere."""
    return f"sound {text}"


def two() -> list[Agent]:
    """Both agents."""
    return [
        Agent(quick, gives="summary", skills={"summarise": 0.3}),
        Agent(sound, gives="summary", skills={"summarise": 1.0}, cost=0.004, trust="abroad", data_leaves=True),
    ]


def summarisers(store: Any = None, **options: Any) -> Orchestrator:
    """An orchestrator of both that demands the skill."""
    orc = Orchestrator(agents=two(), store=store, **options)
    orc.require_skills("summary", {"summarise": 1})
    return orc
