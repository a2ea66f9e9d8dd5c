"""`AskModel` against a real server that speaks the OpenAI protocol, and against fake chat models."""

from typing import Any

import pytest
from langchain_core.language_models import FakeListChatModel, GenericFakeChatModel
from langchain_core.messages import AIMessage

from orchestrator.core.route import Impasse
from orchestrator.errors import DefinitionError
from orchestrator.escalation import AskModel, Climb, Resolution, RungContext, climb
from tests.escalation.impasses import ambiguous, approval, asked_by_tool, no_route, typed
from tests.escalation.openai_server import Fails, OpenAIServer, Says, chooses, serving

# the options of no_route() for a model: 1 demote to quote, 2 provide cost_center, 3 and 4 wait, 5 stop
STOP = 5
BUSY = Fails(429, (("Retry-After", "0.05"),))


async def ask(server: OpenAIServer, impasse: Impasse | None = None, **options: Any) -> Climb:
    model_options = options.pop("model_options", {})
    rung = AskModel(server.model(**model_options), **options)
    return await climb([rung], impasse or no_route(), validate=typed)


async def test_one_call_by_tool_and_everything_is_counted() -> None:
    with serving(chooses(1)) as server:
        done = await ask(server, usd_per_million={"scripted": (2.0, 10.0)})
    assert done.resolution == Resolution.demote("quote", "because")
    (asked,) = done.asked
    assert (asked.rung, asked.model) == ("ask_model", "scripted")
    assert (asked.calls, asked.repairs, asked.attempts) == (1, 0, 1)
    assert (asked.input_tokens, asked.output_tokens) == (200, 20)
    assert asked.usd == pytest.approx(200 * 2e-6 + 20 * 10e-6)
    (request,) = server.requests
    assert request["tools"][0]["function"]["name"] == "answer"
    assert request["tool_choice"]["function"]["name"] == "answer"


@pytest.mark.parametrize(
    ("says", "resolution"),
    [
        (chooses(1), Resolution.demote("quote", "because")),
        (chooses(2, value="12"), Resolution.provide("cost_center", 12, "because")),
        (chooses(3, value=30), Resolution.wait("buy_label", 30.0, "because")),
        (chooses(STOP), Resolution.stop("because")),
        (chooses("5"), Resolution.stop("because")),
        (Says(text='{"choice": 5}'), Resolution.stop()),
        (Says(text='Sure! ```json\n{"choice": 5, "message": "no way"}\n``` as asked'), Resolution.stop("no way")),
        (Says(text='<think>{"choice": 1}? No.</think>{"choice": 5}'), Resolution.stop()),
        (Says(calls=({"choice": 5}, {"choice": 5})), Resolution.stop()),
        (Says(calls=({"choice": 5, "refund": True, "kind": "approve"},)), Resolution.stop()),
    ],
    ids=str,
)
@pytest.mark.parametrize("streaming", [False, True], ids=["whole", "streamed"])
async def test_answers_that_are_understood(says: Says, resolution: Resolution, streaming: bool) -> None:
    options = {"streaming": streaming, "stream_usage": True} if streaming else {}
    with serving(says) as server:
        done = await ask(server, model_options=options)
        assert server.requests[0].get("stream", False) == streaming
    assert done.resolution == resolution
    assert done.asked[0].output_tokens == 20


BAD = [
    Says(text=""),
    Says(text="I would rather stop."),
    Says(text="{choice: 5"),
    Says(text='{"choice": 0}'),
    Says(text='{"choice": 6}'),
    Says(text='{"choice": 5.5}'),
    Says(text='{"choice": true}'),
    Says(text='{"choice": [5]}'),
    Says(text='{"choice": "stop"}'),
    Says(text='{"choice": 1} or rather {"choice": 5}'),
    Says(text='{"choice": 1, "choice": 5}'),
    Says(text='{"choice": 3, "value": NaN}'),
    Says(text='{"choice": 3}'),
    Says(text='{"choice": 3, "value": -5}'),
    Says(text='{"choice": 3, "value": 1e6}'),
    Says(text='{"choice": 3, "value": "30"}'),
    Says(text='{"choice": 2}'),
    Says(text='{"choice": 2, "value": "a dozen"}'),
    Says(text="{" * 100_000),
    Says(text='{"choice": ' + "9" * 5000 + "}"),
    Says(text='{"choice": 5, "message": "' + "x" * 50_000 + '"}'),
    Says(calls=("no json at all",)),
    Says(calls=({"choice": 1}, {"choice": 5})),
    Says(calls=({"choice": 1},), tool="approve_refund"),
]


@pytest.mark.parametrize("says", BAD, ids=lambda says: str(says)[:60])
async def test_an_answer_that_cannot_be_used_is_repaired_once(says: Says) -> None:
    with serving(says, chooses(STOP)) as server:
        done = await ask(server)
    assert done.resolution == Resolution.stop("because")
    assert (done.calls, done.repairs, done.asked[0].attempts) == (1, 1, 2)
    assert len(done.refused) == 1
    assert "Your previous answer could not be used" in server.prompts[1]


@pytest.mark.parametrize("says", BAD, ids=lambda says: str(says)[:60])
async def test_an_answer_that_stays_unusable_leaves_it_to_the_next_rung(says: Says) -> None:
    with serving(says) as server:
        done = await ask(server)
        assert len(server.requests) == 2
    assert done.resolution is None
    assert (done.calls, done.repairs, len(done.refused)) == (1, 1, 2)


@pytest.mark.parametrize("make", [ambiguous, approval, asked_by_tool])
async def test_a_model_is_not_even_asked_what_only_a_person_may_settle(make: Any) -> None:
    with serving(chooses(1)) as server:
        done = await ask(server, make())
        assert server.requests == []
    assert (done.resolution, done.calls) == (None, 0)


async def test_too_many_requests_are_waited_for_as_the_server_asks() -> None:
    with serving(BUSY, chooses(STOP)) as server:
        done = await ask(server)
    assert done.resolution == Resolution.stop("because")
    assert (done.calls, done.asked[0].attempts) == (1, 2)
    assert "RateLimitError" in done.asked[0].problems[0]


async def test_a_wait_that_does_not_fit_is_not_begun() -> None:
    with serving(Fails(429, (("Retry-After", "3600"),))) as server:
        done = await ask(server)
        assert len(server.requests) == 1
    assert done.resolution is None


@pytest.mark.parametrize("status", [500, 503])
async def test_a_server_that_fails_is_asked_once_more_and_then_given_up(status: int) -> None:
    with serving(Fails(status)) as server:
        done = await ask(server)
        assert len(server.requests) == 2
    assert done.resolution is None
    assert len(done.asked[0].problems) == 2


@pytest.mark.parametrize("status", [401, 403])
async def test_a_server_that_refuses_is_not_asked_again(status: int) -> None:
    with serving(Fails(status)) as server:
        done = await ask(server)
        assert len(server.requests) == 1
    assert done.resolution is None


@pytest.mark.parametrize(
    "body", [b"", b"<html>busy</html>", b"\xff\xfe\x00", b'{"choices": []}', b'{"choices": [{"message": 3}]}', b"[]"]
)
async def test_garbage_instead_of_an_answer_is_a_problem_on_record(body: bytes) -> None:
    with serving(Fails(200, (("Content-Type", "application/json"),), body)) as server:
        done = await ask(server)
    assert done.resolution is None
    assert done.asked[0].problems or done.refused


async def test_a_slow_answer_is_not_waited_for() -> None:
    with serving(Says(text='{"choice": 5}', after=5.0)) as server:
        done = await ask(server, timeout=0.2)
    assert done.resolution is None
    assert done.asked[0].problems == ("scripted: the answer took too long",)
    assert done.asked[0].attempts == 1


async def test_the_runs_own_deadline_is_kept_and_what_was_asked_stays_counted() -> None:
    with serving(Says(text='{"choice": 5}', after=5.0)) as server:
        done = await ask(server, no_route(budget_left={"seconds": 0.2}))
    assert (done.resolution, done.asked[0].calls, done.asked[0].attempts) == (None, 1, 1)


async def test_a_server_without_tools_is_asked_for_plain_json_then_and_from_then_on() -> None:
    no_tools = Fails(400, (), b'{"error": {"message": "this model does not support tools"}}')
    with serving(no_tools, Says(text='{"choice": 5}')) as server:
        rung = AskModel(server.model())
        first = await climb([rung], no_route())
        second = await climb([rung], no_route())
    assert first.resolution == second.resolution == Resolution.stop()
    assert (first.calls, first.asked[0].attempts) == (1, 2)
    assert (second.calls, second.asked[0].attempts) == (1, 1)
    assert ["tools" in request for request in server.requests] == [True, False, False]


async def test_a_model_that_knows_schemas_but_no_tools_is_given_a_schema() -> None:
    profile: Any = {"tool_calling": False, "structured_output": True}
    with serving(Says(text='{"choice": 5, "message": "no"}')) as server:
        done = await ask(server, model_options={"profile": profile})
    assert done.resolution == Resolution.stop("no")
    assert server.requests[0]["response_format"]["type"] == "json_schema"
    assert "tools" not in server.requests[0]


@pytest.mark.parametrize("first", [Fails(500), Fails(401), BUSY, Says(after=1.0)], ids=str)
async def test_the_next_model_is_asked_when_one_fails(first: Says | Fails) -> None:
    with serving(first) as broken, serving(chooses(STOP)) as works:
        impatient = broken.model(timeout=0.3)
        done = await climb([AskModel([impatient, works.model(model="second")])], no_route())
        assert (len(broken.requests), len(works.requests)) == (1, 1)
    assert done.resolution == Resolution.stop("because")
    (asked,) = done.asked
    assert (asked.calls, asked.repairs, asked.attempts, asked.model) == (1, 0, 2, "second")
    assert asked.problems[0].startswith("scripted: ")


async def test_a_model_that_answers_badly_is_no_reason_to_ask_another() -> None:
    with serving(Says(text="hm")) as vague, serving(chooses(STOP)) as works:
        done = await climb([AskModel([vague.model(), works.model()])], no_route())
        assert (len(vague.requests), len(works.requests)) == (2, 0)
    assert done.resolution is None


async def test_any_langchain_chat_model_will_do() -> None:
    model = FakeListChatModel(responses=['{"choice": 1}'])
    assert (await AskModel(model)(no_route())) == Resolution.demote("quote")
    generic = GenericFakeChatModel(messages=iter([AIMessage("5?"), AIMessage('{"choice": 5}')]))
    done = await climb([AskModel(generic)], no_route())
    assert done.resolution == Resolution.stop()
    assert (done.repairs, done.asked[0].input_tokens) == (1, 0)


async def test_a_model_by_its_string(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(chooses(STOP)) as server:
        monkeypatch.setenv("OPENAI_API_KEY", "none")
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        done = await climb([AskModel("openai:scripted-by-string")], no_route())
        assert server.requests[0]["model"] == "scripted-by-string"
    assert done.resolution == Resolution.stop("because")


async def test_a_model_that_cannot_be_set_up_is_a_problem_on_record() -> None:
    done = await climb([AskModel("nosuchprovider:x")], no_route())
    assert done.resolution is None
    assert "cannot be set up" in done.asked[0].problems[0]
    assert done.asked[0].attempts == 0


@pytest.mark.parametrize("model", [[], "", "  ", 3, [None]], ids=repr)
def test_what_is_no_model_is_told_at_once(model: Any) -> None:
    with pytest.raises(DefinitionError):
        AskModel(model)


async def test_values_are_shown_only_when_both_sides_allow_it() -> None:
    means = RungContext(contents={"parcel": "12 kg", "address": "Main Street"})
    with serving(chooses(STOP)) as server:
        for contents in (False, ("parcel",), True):
            await climb([AskModel(server.model(), contents=contents)], no_route(), means=means)
        await climb([AskModel(server.model(), contents=True)], no_route())
    shown = [("12 kg" in prompt, "Main Street" in prompt) for prompt in server.prompts]
    assert shown == [(False, False), (True, False), (True, True), (False, False)]


async def test_the_operators_guidance_is_in_the_prompt() -> None:
    with serving(chooses(STOP)) as server:
        await ask(server, instructions="Prefer a quote over nothing.")
    assert "Prefer a quote over nothing." in server.prompts[0]


async def test_a_model_that_costs_money_is_not_asked_when_none_is_left() -> None:
    broke = no_route(budget_left={"usd": 0.0})
    with serving(chooses(STOP)) as server:
        done = await ask(server, broke, usd_per_million={"scripted": (2.0, 10.0)})
        assert (done.resolution, done.calls, server.requests) == (None, 0, [])
        assert done.asked[0].problems == ("no money is left to ask a model with",)
        assert (await ask(server, broke)).resolution == Resolution.stop("because")  # a model of one's own


async def test_no_wait_is_longer_than_what_was_told() -> None:
    with serving(chooses(3, value=20.5)) as server:
        done = await ask(server, no_route(budget_left={}), max_wait=20)
    assert done.resolution is None
    assert [refusal.reason for refusal in done.refused] == [
        "malformed: that option needs a number of seconds above 0 and of at most 20"
    ] * 2


async def test_the_longest_wait_is_told() -> None:
    with serving(chooses(3, value=20)) as server:
        done = await ask(server, max_wait=20)
        assert "wait for buy_label, then try again (at most 20 seconds)" in server.prompts[0]
        assert done.resolution == Resolution.wait("buy_label", 20.0, "because")
