"""`Risk`: effects that a person should approve first."""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from orchestrator.core.calls.options import checked
from orchestrator.core.enums import Effect, SignalAction
from orchestrator.core.events import Event
from orchestrator.core.policy import Policy
from orchestrator.graph.tool import Tool

from .facts import MonitorFacts, RunFacts
from .signal import Signal


class Risk:
    """Demands approval of a write whose price or amount is above `limit`, or whose risk is at least `risk`.

    `limit` is in US dollars and defaults to the policy's `approve_above`; `amounts` are the keys that contain an
    amount. A tool with `approval=True` needs approval anyway and is ignored. Its `gate` is called before each write, so
    no write starts before the signal.
    """

    interval = 60.0

    woken_by: ClassVar[tuple[type[Event], ...]] = ()

    @checked()
    def __init__(
        self,
        limit: float | None = None,
        *,
        amounts: Iterable[str] = ("amount", "total", "usd"),
        risk: float = 0.8,
        name: str = "risk",
    ) -> None:
        self.name = name
        self._limit = limit
        self._amounts = tuple(amounts)
        self._risk = risk

    async def watch(self, facts: MonitorFacts) -> Iterable[Signal]:
        """Reports the tools that will need approval for any inputs."""
        signals: list[Signal] = []
        for name in sorted(facts.tools):
            reason = self._of_tool(facts.tools[name], facts.policy)
            if reason:
                signals.append(Signal(name, "risk", 0.85, SignalAction.APPROVE, reason=reason, ttl=2 * self.interval))
        return signals

    def gate(self, tool: Tool, values: Mapping[str, Any], run: RunFacts, policy: Policy) -> Signal | None:
        """A demand for approval of this write with these values (by parameter), or `None`."""
        del run
        reason = self._of_tool(tool, policy) or self._of_values(tool, values, policy)
        if not reason:
            return None
        return Signal(tool.name, "risk", 0.95, SignalAction.APPROVE, reason=reason)

    def _of_tool(self, tool: Tool, policy: Policy) -> str:
        if tool.effect is Effect.READ or tool.approval is True:
            return ""
        limit = policy.approve_above if self._limit is None else self._limit
        cost = tool.planned_cost()
        if limit is not None and cost > limit:
            return f"it costs {cost:g} US dollars, above {limit:g}"
        return f"its risk is {tool.risk:g}" if tool.risk >= self._risk else ""

    def _of_values(self, tool: Tool, values: Mapping[str, Any], policy: Policy) -> str:
        limit = policy.approve_above if self._limit is None else self._limit
        if limit is None or tool.effect is Effect.READ or tool.approval is True:
            return ""
        for parameter, key in sorted({**tool.needs, **tool.optional}.items()):
            amount = self._amount((parameter, key), values.get(parameter))
            if amount is not None and amount > limit:
                return f"{key} is above {limit:g}"
        return ""

    def _amount(self, names: tuple[str, str], value: Any) -> float | None:
        """The amount in an input: a number, or an object or mapping with one under such a name."""
        if set(names) & set(self._amounts) and isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        held: list[Any] = [
            value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)  # pyright: ignore[reportUnknownMemberType]
            for name in self._amounts
        ]
        numbers = [float(each) for each in held if isinstance(each, int | float) and not isinstance(each, bool)]
        return max(numbers, default=None)
