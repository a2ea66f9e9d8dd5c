"""`HealthFacts`: the facts of health that prices use, and their values without tracked health."""

from collections.abc import Iterable, Mapping
from typing import Protocol, runtime_checkable

from typing_extensions import override

from orchestrator.core.price import PriceFacts


class HealthFacts(Protocol):
    """The facts of health that a price needs. They are read when a tool is re-priced."""

    def success(self, name: str) -> float:
        """Posterior mean probability of success in [0, 1]; 0 for an open circuit."""
        ...

    def latency(self, name: str, declared: float) -> float:
        """Expected seconds; `declared` until something is known."""
        ...

    def pressure(self, name: str) -> float:
        """At least 1; grows as a quota or rate limit comes near."""
        ...

    def money(self, name: str, declared: float) -> float:
        """Expected US dollars per call; `declared` until something is known."""
        ...

    def competence(self, name: str) -> float:
        """In [0, 1]; 1 for plain tools."""
        ...

    def transition_success(self, source: str, target: str) -> float:
        """As `success`, for a transition; 1 where nothing is known."""
        ...


class NoHealthFacts(HealthFacts):
    """`HealthFacts` without failures: all values are as declared."""

    @override
    def success(self, name: str) -> float:
        """1."""
        return 1.0

    @override
    def latency(self, name: str, declared: float) -> float:
        """As declared."""
        return declared

    @override
    def pressure(self, name: str) -> float:
        """1."""
        return 1.0

    @override
    def money(self, name: str, declared: float) -> float:
        """As declared."""
        return declared

    @override
    def competence(self, name: str) -> float:
        """1."""
        return 1.0

    @override
    def transition_success(self, source: str, target: str) -> float:
        """1."""
        return 1.0


@runtime_checkable
class HealthFactsByTarget(HealthFacts, Protocol):
    """`HealthFacts` that know which tools and transitions have recorded facts; all others are as declared."""

    def touched(self) -> Iterable[str]:
        """The tools that something is known about."""
        ...

    def touched_transitions(self) -> Iterable[tuple[str, str]]:
        """The transitions that something is known about."""
        ...


@runtime_checkable
class HealthFactsInOneRead(HealthFacts, Protocol):
    """`HealthFacts` that return all facts of a tool at once."""

    def reading(self, name: str, cost: float, latency: float) -> tuple[float, float, float, float, float]:
        """Money, latency, competence, pressure and success of a tool with such a declared cost and latency."""
        ...


def transition_name(source: str, target: str) -> str:
    """The name of a transition in records and explanations."""
    return f"{source} -> {target}"


class RecordedHealthFacts(NoHealthFacts):
    """`HealthFacts` from a record, for replay."""

    def __init__(self, facts: Mapping[str, PriceFacts], otherwise: float = 0.0) -> None:
        self._facts = facts
        self._otherwise = otherwise

    def success(self, name: str) -> float:
        """As recorded; `otherwise` for a tool that was not."""
        return self._facts[name].success if name in self._facts else self._otherwise

    def latency(self, name: str, declared: float) -> float:
        """As recorded."""
        return self._facts[name].latency if name in self._facts else declared

    def pressure(self, name: str) -> float:
        """As recorded."""
        return self._facts[name].pressure if name in self._facts else 1.0

    def money(self, name: str, declared: float) -> float:
        """As recorded."""
        return self._facts[name].money if name in self._facts else declared

    def competence(self, name: str) -> float:
        """As recorded."""
        return self._facts[name].competence if name in self._facts else 1.0

    def transition_success(self, source: str, target: str) -> float:
        """As recorded; 1 where nothing was."""
        name = transition_name(source, target)
        return self._facts[name].success if name in self._facts else 1.0
