"""Which of several models is asked: by the one price, from what each declares and how it has fared."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from orchestrator.chat_agent import model_name
from orchestrator.clock import Clock
from orchestrator.failures import is_rate_limit, retry_after_of
from orchestrator.health import HealthRegistry
from orchestrator.policy import Policy
from orchestrator.pricing import PriceFacts, standard
from orchestrator.types import FailureKind

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

SECONDS: Final = 2.0
"""Latency of a model of which nothing is known yet."""
TOKENS: Final = (1_500, 100)
"""Input and output tokens of a consultation, until calls have told."""
STEP: Final = 0.01
"""How much less competence is assumed of each next model: the order given decides, until health or cost do."""

_POLICY: Final = Policy()
_price = standard(_POLICY)


class ModelPool:
    """The models of a rung with the health of each. A model that fails becomes dearer, and the next one is asked first;
    one whose circuit is open comes last, and is tried again once its time has passed.
    """

    def __init__(
        self, models: "Sequence[BaseChatModel | str]", usd_per_million: Mapping[str, tuple[float, float]], clock: Clock
    ) -> None:
        self.models = tuple(models)
        self.clock = clock
        self._usd = usd_per_million
        self._health = HealthRegistry(_POLICY, clock)

    def name(self, place: int) -> str:
        """What the model at a place is called."""
        model = self.models[place]
        return model if isinstance(model, str) else model_name(model)

    def order(self) -> tuple[int, ...]:
        """Places of the models, cheapest first; ties in the order given."""
        return tuple(sorted(range(len(self.models)), key=lambda place: (*self._worth(place), place)))

    def usd(self, place: int, tokens: tuple[int, int]) -> float:
        """US dollars for so many input and output tokens; 0 where no price was given."""
        price = self._usd.get(self.name(place), (0.0, 0.0))
        return (tokens[0] * price[0] + tokens[1] * price[1]) / 1e6

    def answered(self, place: int, seconds: float, usd: float) -> None:
        """Take in an answer."""
        self._health.record(self._id(place), True, seconds=seconds, cost=usd)

    def failed(self, place: int, error: Exception) -> None:
        """Take in a request that failed. Whatever the reason, another model is the better choice for a while."""
        if is_rate_limit(error):
            self._health.record(
                self._id(place), False, FailureKind.TRANSIENT, rate_limited=True, retry_after=retry_after_of(error)
            )
        else:
            self._health.record(self._id(place), False, FailureKind.OUTAGE, message=type(error).__name__)

    def _worth(self, place: int) -> tuple[bool, float]:
        """Whether its circuit is open, and its price in US dollars."""
        name, health = self._id(place), self._health
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
        price: Any = _price(facts)
        return success <= 0, price if math.isfinite(price) else math.inf

    def _id(self, place: int) -> str:
        return f"{place}:{self.name(place)}"
