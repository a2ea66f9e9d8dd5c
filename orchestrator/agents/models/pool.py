"""Chooses among several models by the price formula, from declared costs and observed health."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from orchestrator.agents.chat import model_name
from orchestrator.core.clock import Clock
from orchestrator.core.enums import FailureKind
from orchestrator.core.policy import Policy
from orchestrator.graph.price_table import PriceFacts, Pricing, standard
from orchestrator.health import HealthRegistry
from orchestrator.health.failures.classify import is_rate_limit, kind_of_error, retry_after_of

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

SECONDS: Final = 2.0
"""Latency of a model of which nothing is known yet."""
TOKENS: Final = (1_500, 100)
"""Input and output tokens of a consultation, until calls have reported theirs."""
STEP: Final = 0.0005
"""Difference in assumed competence between successive models, so that the given order decides until health or cost do.
It is small, because a few failures must be able to outweigh it.
"""


@dataclass(frozen=True, slots=True)
class Router:
    """What prices and heals models: that of the run, so that they are routed like everything else in it."""

    health: HealthRegistry
    pricing: Pricing

    @classmethod
    def alone(cls, clock: Clock) -> "Router":
        """For model calls outside a run."""
        policy = Policy()
        return cls(HealthRegistry(policy, clock), standard(policy))


class ModelPool:
    """The models of a rung, with the health and the price of each. After a failure the price of a model rises, and the
    next one is called first; one whose circuit is open comes last, and is tried again once its time has passed.
    """

    def __init__(
        self,
        models: "Sequence[BaseChatModel | str]",
        usd_per_million: Mapping[str, tuple[float, float]],
        router: Router,
    ) -> None:
        self.models = tuple(models)
        self.router = router
        self._usd = usd_per_million
        self._health = router.health
        self.health_names = health_names(self.models)

    def name(self, place: int) -> str:
        """What the model at a place is called."""
        return name_of_model(self.models[place])

    def order(self) -> tuple[int, ...]:
        """Places of the models, cheapest first; ties in the order given."""
        return tuple(sorted(range(len(self.models)), key=lambda place: (*self._worth(place), place)))

    def price(self, place: int) -> float:
        """The price of a request to the model now; infinite while it has no price."""
        return self._worth(place)[1]

    def usable(self, place: int) -> bool:
        """Whether its circuit is not open."""
        return not self._worth(place)[0]

    def usd(self, place: int, tokens: tuple[int, int]) -> float:
        """US dollars for so many input and output tokens; 0 where no price was given."""
        price = self._usd.get(self.name(place), (0.0, 0.0))
        return (tokens[0] * price[0] + tokens[1] * price[1]) / 1e6

    def answered(self, place: int, seconds: float, usd: float | None) -> None:
        """Record an answer; `usd` is `None` if the number of tokens is unknown."""
        self._health.record(self.health_names[place], True, seconds=seconds, cost=usd)

    def failed(self, place: int, error: Exception, now: float | None = None) -> None:
        """Record a failed request: for any reason, another model is preferred for a while.

        `now`, in seconds since the epoch, is for a server that says when to come again by date.
        """
        name, error_class = self.health_names[place], type(error).__name__
        if is_rate_limit(error):
            self._health.record(
                name,
                False,
                FailureKind.TRANSIENT,
                rate_limited=True,
                retry_after=retry_after_of(error, now),
                message=error_class,
            )
        else:
            account = kind_of_error(error) is FailureKind.ACCOUNT
            kind = FailureKind.ACCOUNT if account else FailureKind.OUTAGE
            self._health.record(name, False, kind, message=error_class)

    def _worth(self, place: int) -> tuple[bool, float]:
        """Whether its circuit is open, and its price in US dollars."""
        name, health = self.health_names[place], self._health
        success = health.success(name)
        facts = PriceFacts(
            tool=name,
            money=health.money(name, self.usd(place, TOKENS)),
            latency=health.latency(name, SECONDS),
            risk=0.0,
            competence=max(0.0, 1.0 - STEP * place),
            pressure=health.pressure(name),
            success=success or health.last_resort_success(name),
        )
        try:
            price: Any = self.router.pricing(facts)
        except Exception:  # a formula of the user's that is made for tools
            price = math.inf
        return success <= 0, price if math.isfinite(price) else math.inf


def name_of_model(model: "BaseChatModel | str") -> str:
    """What a model is called."""
    return model if isinstance(model, str) else model_name(model)


def health_names(models: "Sequence[BaseChatModel | str]") -> tuple[str, ...]:
    """The names under which health knows the models: `model:` and what they are called; a second one has `#2`."""
    names = [name_of_model(model) for model in models]
    seen = [names[: place + 1].count(name) for place, name in enumerate(names)]
    return tuple(f"model:{name}" + (f"#{n}" if n > 1 else "") for name, n in zip(names, seen, strict=True))
