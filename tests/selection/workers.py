"""What the tests of selection share: agents that do nothing, and a context outside a run."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from typing_extensions import Unpack

from orchestrator.agents.agent import Agent
from orchestrator.agents.options import AgentOptions
from orchestrator.core.context import RunContext
from orchestrator.core.goal import Goal


def worker(name: str, /, **options: Unpack[AgentOptions]) -> Agent:
    """An agent that answers with its name."""

    def work(question: str) -> str:
        return f"{name}: {question}"

    options.setdefault("name", name)
    options.setdefault("gives", "answer")
    return Agent(work, **options)


class Alone(RunContext[Any]):
    """A context of no run: it counts what is charged, and answers every question with itself."""

    def __init__(self) -> None:
        self.deps = None
        self.run_id = "alone"
        self.tool = "tool"
        self.attempt = 1
        self.idempotency_key = "key"
        self.usage: Counter[str] = Counter()
        self.charged = 0.0
        self.reached: list[tuple[str, Mapping[str, Any]]] = []

    async def reach(
        self,
        goal: str | Goal[Any],
        inputs: Mapping[str, Any] | None = None,
        key: str | None = None,
        *,
        check: bool = True,
    ) -> Any:
        """Remember what was asked for; the value is the goal's name."""
        self.reached.append((Goal.of(goal).name, dict(inputs or {})))

        class Reached:
            value = f"value of {Goal.of(goal).name}"

        return Reached()

    async def wait(self, question: str, type: Any = Any) -> Any:
        """The question itself."""
        return question

    def report(self, progress: Any) -> None:
        """Nothing."""

    def quota(self, remaining: float, limit: float, reset_seconds: float) -> None:
        """Nothing."""

    def charge(self, usd: float) -> None:
        """Count."""
        self.charged += usd
