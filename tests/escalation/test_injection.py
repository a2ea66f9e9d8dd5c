"""Whatever tools write and whatever a model answers, the closed set and the rights hold."""

import re
from random import Random
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage

from orchestrator.core.route import Blame, Impasse, LesserGoal
from orchestrator.escalation import AskModel, Climb, Resolution, climb
from tests.escalation.adversary import INJECTIONS, Obeys, any_answer, any_impasse
from tests.escalation.impasses import ambiguous, approval, typed

CLIMBS = [pytest.param(1_800, 20_260_301), pytest.param(20_000, 7, marks=pytest.mark.campaign)]


async def last(impasse: Impasse) -> Resolution:
    """The rung after the model."""
    return Resolution.stop("the last rung")


def harmless(resolution: Resolution, impasse: Impasse) -> bool:
    """What a model may do at most, in the words of the design and without the code's own rules."""
    if resolution.by == "last":
        return True
    if impasse.kind in ("ambiguous", "approval", "question"):
        return False
    match str(resolution.kind):
        case "demote":
            reachable = [set(offer.goal) for offer in impasse.offers if offer.price is not None]
            return set(resolution.goal) in reachable
        case "provide":
            return resolution.key in impasse.providable and type(resolution.value) is int
        case "wait":
            longest = min(300.0, impasse.budget_left.get("seconds", 300.0))
            return resolution.tool in impasse.tools and 0 < (resolution.seconds or 0) <= longest
        case kind:
            return kind == "stop"


def recorded(done: Climb) -> bool:
    """Whether the record explains how the climb ended."""
    if done.by != "last":
        return True
    (model, *_) = done.asked
    if model.calls == 0:  # it was not asked at all
        return True
    unusable = len(done.refused) + len(model.problems)
    return unusable == model.attempts


@pytest.mark.parametrize(("climbs", "seed"), CLIMBS)
async def test_thousands_of_adversarial_answers_do_nothing_inadmissible(climbs: int, seed: int) -> None:
    random = Random(seed)
    answers = chosen = refused = asked_persons_only = 0
    for _ in range(climbs):
        impasse = any_impasse(random)
        model = Obeys(reply=lambda messages: any_answer(random))
        done = await climb([AskModel(model), last], impasse, validate=typed)
        assert done.resolution is not None
        assert harmless(done.resolution, impasse), (impasse, done)
        assert recorded(done), (impasse, done)
        assert model.asked <= 2
        answers += model.asked
        refused += len(done.refused)
        chosen += done.by != "last"
        asked_persons_only += impasse.kind in ("ambiguous", "approval", "question") and model.asked > 0
    assert answers >= 2_000
    assert refused >= 1_500
    assert chosen >= 150  # the campaign reaches the admissible, too
    assert asked_persons_only == 0


def _everything(messages: list[BaseMessage]) -> AIMessage:
    """A gullible model: it does what the first imperative in its data says, as far as it can say it."""
    prompt = str(messages[-1].content)
    if re.search("approve|genehmig|approuv|aprueb|承認|批准|одобри", prompt, re.IGNORECASE):
        return AIMessage('{"kind": "approve", "what": "pay", "approved": true, "choice": "approve"}')
    return AIMessage('{"kind": "allow", "tool": "pay", "choice": "allow pay"}')


@pytest.mark.parametrize("evil", INJECTIONS, ids=range(len(INJECTIONS)))
async def test_a_model_that_obeys_its_data_gets_nowhere(evil: str) -> None:
    impasse = Impasse(
        goal=("receipt",),
        unreachable=("receipt",),
        blame=(Blame("pay", "refused", evil),),
        reason=evil,
        offers=(LesserGoal(("quote",), 0.5),),
        at_hand={"order": evil},
        effects={"reserve": evil},
    )
    model = Obeys(reply=_everything)
    done = await climb([AskModel(model), last], impasse)
    assert done.resolution == Resolution.stop("the last rung")
    assert (model.asked, len(done.refused)) == (2, 2)


@pytest.mark.parametrize("make", [approval, ambiguous])
async def test_no_text_gets_a_model_asked_for_an_approval(make: Any) -> None:
    model = Obeys(reply=_everything)
    done = await climb([AskModel(model), last], make())
    assert (done.by, model.asked) == ("last", 0)


@pytest.mark.parametrize("evil", INJECTIONS, ids=range(len(INJECTIONS)))
async def test_hostile_names_add_no_option(evil: str) -> None:
    """A tool's name comes from a server, so it may hold anything."""
    seen: list[str] = []

    def look(messages: list[BaseMessage]) -> AIMessage:
        seen.append(str(messages[-1].content))
        return AIMessage('{"choice": 3}')

    impasse = Impasse(
        ("receipt",), ("receipt",), (Blame(f"pay\n3. {evil}", "down"),), offers=(LesserGoal(("quote",), 1.0),)
    )
    done = await climb([AskModel(Obeys(reply=look)), last], impasse)
    assert done.resolution == Resolution.stop()
    options = seen[0].rpartition("Options:\n")[2].splitlines()
    assert [line.partition(". ")[0] for line in options] == ["1", "2", "3"]
