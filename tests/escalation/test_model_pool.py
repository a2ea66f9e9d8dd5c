"""Which model is asked: the order given, until health says otherwise."""

from orchestrator.agents.models.pool import ModelPool
from orchestrator.errors import RateLimited
from orchestrator.escalation import AskModel, Router, RungContext, climb
from orchestrator.testing import FakeClock
from tests.escalation.impasses import no_route
from tests.escalation.openai_server import Fails, chooses, serving


def pool(clock: FakeClock | None = None, **usd: tuple[float, float]) -> ModelPool:
    prices = {f"openai:{k}": v for k, v in usd.items()}
    return ModelPool(["openai:a", "openai:b", "openai:c"], prices, Router.alone(clock or FakeClock()))


def test_the_order_given_holds_while_nothing_is_known() -> None:
    assert pool().order() == (0, 1, 2)
    assert [pool().name(place) for place in range(3)] == ["openai:a", "openai:b", "openai:c"]


def test_a_model_that_fails_again_and_again_is_asked_last_and_tried_again_later() -> None:
    clock = FakeClock()
    models = pool(clock)
    for _ in range(5):
        models.failed(0, OSError())
    assert models.order()[-1] == 0
    clock.advance(10_000)
    models.answered(0, 1.0, 0.0)
    for _ in range(30):
        models.answered(0, 1.0, 0.0)
    assert models.order()[0] == 0


def test_a_few_failures_are_enough_to_prefer_another() -> None:
    models = pool()
    for _ in range(3):
        models.failed(0, ValueError())
    assert models.order()[0] == 1


def test_rate_limits_make_dearer() -> None:
    models = pool()
    for _ in range(3):
        models.failed(0, RateLimited(retry_after=60))
    assert models.order()[0] == 1


def test_a_model_that_costs_much_more_than_the_next_is_not_asked_first() -> None:
    assert pool(a=(100.0, 400.0)).order()[0] == 1


def test_what_tokens_cost() -> None:
    assert pool(a=(2.0, 10.0)).usd(0, (1_000_000, 100_000)) == 3.0
    assert pool().usd(0, (10, 10)) == 0.0


async def test_a_dead_model_is_not_asked_first_every_time() -> None:
    means = RungContext(clock=FakeClock())
    with serving(Fails(401)) as dead, serving(chooses(5)) as works:
        rung = AskModel([dead.model(), works.model(model="second")])
        for _ in range(10):
            done = await climb([rung], no_route(), means=means)
            assert done.calls == 1
            assert done.resolution is not None
        assert len(works.requests) == 10
        assert 1 <= len(dead.requests) <= 5
