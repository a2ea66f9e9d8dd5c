"""What a chat model adds: it may say, it does not decide."""

from typing import Any, cast

import pytest

from orchestrator import Orchestrator
from orchestrator.errors import DefinitionError
from orchestrator.selection import Demand, Handbook, Skill
from orchestrator.selection.learning.llm_judge import DemandModel, ModelJudge, split_by_model
from orchestrator.testing import ScriptedChatModel
from tests.selection.test_structure import outcomes

BOOK = Handbook.of([Skill(id="paint", indicators=("paint",)), Skill(id="sums", indicators=("add up",))])
PARTS = {
    "parts": [
        {"name": "painting", "description": "paint and varnish", "indicators": ["paint", "fence", "coat", "varnish"]},
        {"name": "sums", "description": "add and multiply", "indicators": ["invoice", "percent", "budget", "price"]},
    ]
}


async def test_a_model_says_what_a_text_demands() -> None:
    model = ScriptedChatModel(['{"sums": 3, "paint": 1, "juggling": 9}'])
    demand = (await DemandModel(model)("Whatever it is", BOOK)).demand
    assert demand.weights == {"paint": 0.25, "sums": 0.75}
    assert demand.source == "model"
    assert "- paint" in model.received[0][0].text


@pytest.mark.parametrize(
    "model", [1, "", [], lambda text: text, object()], ids=["number", "empty", "list", "function", "object"]
)
def test_what_is_no_chat_model_is_refused_where_it_is_written(model: Any) -> None:
    for make in (
        lambda: DemandModel(model),
        lambda: ModelJudge(model, "Is it faithful?"),
        lambda: Orchestrator(demand_model=model),
    ):
        with pytest.raises(DefinitionError, match=r"BaseChatModel or a text|A chat model is LangChain's, or a string"):
            make()


def test_options_of_models_are_checked() -> None:
    model: Any = ScriptedChatModel([])
    for options, said in (({"trst": 1}, "Did you mean 'trust'"), ({"trust": "much"}, "trust is a number, not 'much'")):
        with pytest.raises(DefinitionError, match=said):
            ModelJudge(model, "Is it faithful?", **cast("Any", options))
    with pytest.raises(DefinitionError, match="timeout is a number, not '5'"):
        DemandModel(model, timeout=cast("Any", "5"))


@pytest.mark.parametrize("answer", ["I do not know", '{"paint": -1}', '{"juggling": 1}', "[1]", '{"paint": "much"}'])
async def test_an_answer_that_makes_no_sense_is_neutral(answer: str) -> None:
    said = await DemandModel(ScriptedChatModel([answer]))("paint the fence", BOOK)
    assert said.demand == Demand()


async def test_a_judge_weighs_less_than_a_person() -> None:
    model = ScriptedChatModel(
        ['{"good": false, "sure": 0.9, "reason": "made up"}', '{"good": true, "sure": 0.2}', "yes"]
    )
    judge = ModelJudge(model, "Is it faithful?")
    first = await judge({"text": "x"}, "y")
    second = await judge({"text": "x"}, "y")
    assert (first.good, first.sure, first.reason) == (False, 0.5, "made up")
    assert (second.good, second.sure) == (True, 0.2)
    third = await judge({"text": "x"}, "y")
    assert (third.good, third.tokens) == (None, 15)


async def test_a_model_proposes_and_the_outcomes_decide() -> None:
    seen = outcomes({"painter": (0.95, 0.1), "clerk": (0.1, 0.95)})
    book = Handbook.of(["work"])
    found = await split_by_model(ScriptedChatModel([PARTS]), book, "work", seen)
    assert set(found.skills) == {"work", "work/1", "work/2"}
    assert "split by a model: log Bayes factor" in found.insights["split work"].text
    assert [found.skills[f"work/{n}"].name for n in (1, 2)] == ["painting", "sums"]
    assert found.skills["work/1"].provenance == "proposed"
    painter = found.profile("painter")
    assert painter.evidence("work/1").successes > painter.evidence("work/1").failures
    assert painter.evidence("work/2").successes < painter.evidence("work/2").failures
    alike = outcomes({"painter": (0.6, 0.6), "clerk": (0.3, 0.3)})
    assert await split_by_model(ScriptedChatModel([PARTS]), book, "work", alike) is book


async def test_a_proposal_that_is_none_leaves_the_statistics() -> None:
    seen = outcomes({"painter": (0.95, 0.1), "clerk": (0.1, 0.95)})
    found = await split_by_model(ScriptedChatModel(["no idea"]), Handbook.of(["work"]), "work", seen)
    assert found.skills["work/1"].provenance == "split"
    nothing = Handbook.of(["work"])
    assert await split_by_model(ScriptedChatModel([]), nothing, "work", []) is nothing
