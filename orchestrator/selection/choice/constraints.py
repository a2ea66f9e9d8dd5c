"""Hard constraints on a selection, and the dial from cheapest to best."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.agents.agent import Agent
from orchestrator.core.calls.options import checked
from orchestrator.core.errors import InputError
from orchestrator.core.policy import Policy


@dataclass(frozen=True, init=False)
class Constraints:
    """Limits on which agents may be chosen: `Constraints(trust={"eu"}, data_may_leave=False, max_cost=0.01)`."""

    trust: frozenset[str] | None
    """Allowed trust domains; `None` for any."""
    data_may_leave: bool
    """Whether inputs may leave this machine."""
    max_cost: float | None
    """US dollars per call; `None` for no limit."""
    agents: frozenset[str] | None
    """Allowed names; `None` for any."""

    @checked(InputError)
    def __init__(
        self,
        *,
        trust: str | Iterable[str] | None = None,
        data_may_leave: bool = True,
        max_cost: float | None = None,
        agents: Iterable[str] | None = None,
    ) -> None:
        if max_cost is not None and not max_cost >= 0:
            raise InputError(f"max_cost is a number of US dollars, at least 0, not {max_cost!r}.")
        domains = (trust,) if isinstance(trust, str) else trust
        object.__setattr__(self, "trust", None if domains is None else frozenset(domains))
        object.__setattr__(self, "data_may_leave", data_may_leave)
        object.__setattr__(self, "max_cost", max_cost)
        object.__setattr__(self, "agents", None if agents is None else frozenset(agents))

    def to_json(self) -> dict[str, Any]:
        """Plain data, for records; empty for no limits."""
        limits: dict[str, Any] = {}
        for name in ("trust", "agents"):
            names = getattr(self, name)
            if names is not None:
                limits[name] = sorted(names)
        if not self.data_may_leave:
            limits["data_may_leave"] = False
        if self.max_cost is not None:
            limits["max_cost"] = self.max_cost
        return limits

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Constraints":
        """The constraints that `to_json` wrote."""
        return cls(**data)

    def refuses(self, agent: Agent, cost: float) -> str:
        """Why an agent whose call costs `cost` US dollars may not be chosen; empty when it may."""
        if self.agents is not None and agent.name not in self.agents:
            return "not among the agents asked for"
        if self.trust is not None and agent.trust not in self.trust:
            return f"its trust domain {agent.trust!r} is not allowed"
        if not self.data_may_leave and agent.data_leaves:
            return "data may not leave"
        if self.max_cost is not None and cost > self.max_cost:
            return f"costs {cost:g} US dollars, more than {self.max_cost:g}"
        return ""

    def lets_see(self, model: Any) -> bool:
        """Whether a model that assists a run, such as a judge, may see the run's values.

        Its attributes `data_leaves` and `domain` say where the values go; without them it counts as local.
        """
        if not self.data_may_leave and getattr(model, "data_leaves", False):
            return False
        return self.trust is None or getattr(model, "domain", "local") in self.trust


def refused_positions(agents: Sequence[Agent], costs: Sequence[float], limits: Sequence[Constraints]) -> dict[int, str]:
    """Position -> why that agent may not be chosen, for the agents that a limit excludes."""
    found: dict[int, str] = {}
    for place, (agent, cost) in enumerate(zip(agents, costs, strict=True)):
        reason = next(filter(None, (limit.refuses(agent, cost) for limit in limits)), "")
        if reason:
            found[place] = reason
    return found


def dialled(policy: Policy, dial: float | None) -> Policy:
    """The policy with the dial set: 0 is cheapest, 0.5 is the policy unchanged, 1 is best at any cost.

    In between, `quality_value` is multiplied by `dial / (1 - dial)`. Raises `InputError` outside [0, 1].
    """
    if dial is None or dial == 0.5:
        return policy
    if not 0 <= dial <= 1:
        raise InputError(f"The dial goes from 0 (cheapest) to 1 (best), not to {dial!r}.")
    value = 1e6 if dial == 1 else min(1e6, policy.quality_value * dial / (1 - dial))
    return policy.model_copy(update={"quality_value": value})
