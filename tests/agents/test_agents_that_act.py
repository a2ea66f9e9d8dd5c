"""Agents whose own tools write: conversations go on after failures and questions, and nothing is done twice."""

import asyncio
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import tool as langchain_tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import interrupt
from pydantic import Field
from typing_extensions import TypedDict

from orchestrator import Agent, Orchestrator, Progressed, RunContext, Status, tool
from orchestrator.testing import ScriptedChatModel


class Caller(BaseChatModel):
    """Calls its tools in order, one for each answer that it is shown, and then answers; fails where it is told to."""

    calls: list[list[dict[str, Any]]]
    failures: dict[int, type[Exception]] = Field(default_factory=dict)
    asked: list[int] = Field(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "caller"

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self

    def _generate(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        self.asked.append(len(messages))
        if error := self.failures.pop(len(self.asked), None):
            raise error("reset by peer")
        done = sum(isinstance(m, AIMessage) for m in messages)
        turn = self.calls[done] if done < len(self.calls) else []
        said = AIMessage("" if turn else "done", tool_calls=turn)
        return ChatResult(generations=[ChatGeneration(message=said)])


def call(name: str, id: str, **args: Any) -> dict[str, Any]:
    return {"name": name, "args": args, "id": id}


@pytest.mark.parametrize("kind", ["chat", "graph", "graph with a checkpointer"])
async def test_a_failure_of_the_model_does_not_repeat_a_tool_call(kind: str) -> None:
    made: list[str] = []

    def refund(order: str) -> str:
        """Refund an order."""
        made.append(order)
        return "ok"

    model = Caller(calls=[[call("refund", "1", order="A1")]], failures={2: ConnectionError})
    if kind == "chat":
        agent = Agent(model, name="support", needs=["question"], gives="answer", tools=[refund])
    else:
        saver = InMemorySaver() if "checkpointer" in kind else None
        graph = create_agent(model, [refund], checkpointer=saver)
        agent = Agent(graph, name="support", needs=["question"], gives="answer")
    async with Orchestrator(agents=[agent]) as orc:
        outcome = await orc.run("answer", {"question": "refund A1"})
    assert (outcome.status, outcome.value, made) == (Status.REACHED, "done", ["A1"])
    assert [d.kind for d in outcome.decisions if d.answers] == ["retry"]


async def test_a_tool_that_fails_inside_a_graph_is_tried_again_and_the_one_before_it_is_not() -> None:
    made: list[str] = []
    flaky = [True]

    @langchain_tool
    def refund(order: str) -> str:
        """Refund an order."""
        made.append(order)
        return "ok"

    @langchain_tool
    def mail_text(order: str) -> str:
        """Text of the mail."""
        if flaky:
            flaky.pop()
            raise ConnectionError("reset by peer")
        return "Dear customer"

    model = Caller(calls=[[call("refund", "1", order="A1")], [call("mail_text", "2", order="A1")]])
    agent = Agent(create_agent(model, [refund, mail_text]), name="support", needs=["question"], gives="answer")
    async with Orchestrator(agents=[agent]) as orc:
        outcome = await orc.run("answer", {"question": "refund A1"})
    assert (outcome.status, made, len(model.asked)) == (Status.REACHED, ["A1"], 3)


@pytest.mark.parametrize("kind", ["chat", "graph"])
async def test_a_model_that_repeats_an_answered_call_after_a_failure_does_not_write_twice(kind: str) -> None:
    made: list[str] = []

    def refund(order: str) -> str:
        """Refund an order."""
        made.append(order)
        return "ok"

    again = AIMessage("", tool_calls=[call("refund", "1", order="A1")])
    model = ScriptedChatModel([again, ConnectionError("reset"), again, "refunded"])
    worker: Any = model if kind == "chat" else create_agent(model, [refund])
    tools: dict[str, Any] = {"tools": [refund]} if kind == "chat" else {}
    agent = Agent(worker, name="support", needs=["question"], gives="answer", **tools)
    async with Orchestrator(agents=[agent]) as orc:
        await orc.run("answer", {"question": "refund A1"})
    assert made == ["A1"]


async def test_calls_of_one_turn_run_side_by_side() -> None:
    together = asyncio.Barrier(4)

    async def look(q: str) -> str:
        """Look."""
        async with asyncio.timeout(5):
            await together.wait()
        return q

    model = Caller(calls=[[call("look", str(n), q=str(n)) for n in range(4)]])
    agent = Agent(model, name="a", needs=["q"], gives="x", tools=[look])
    async with Orchestrator(agents=[agent]) as orc:
        assert (await orc.run("x", {"q": "?"})).status is Status.REACHED


async def test_a_question_in_one_of_two_parallel_calls_keeps_the_conversation() -> None:
    log: list[str] = []

    def send_mail(to: str) -> str:
        """Send a mail."""
        log.append(f"mail {to}")
        return "mailed"

    @tool(gives="receipt", effect="irreversible", approval=True)
    def pay(usd: float) -> str:
        """Pay."""
        log.append(f"pay {usd}")
        return "paid"

    model = Caller(calls=[[call("send_mail", "1", to="ann"), call("pay", "2", usd=5)]])
    clerk = Agent(model, name="clerk", needs=["bill"], gives="answer", tools=[send_mail, pay])
    async with Orchestrator(agents=[clerk]) as orc:
        outcome = await orc.run("answer", {"bill": "17"})
        assert outcome.status is Status.WAITING
        outcome = await orc.resume(outcome.run_id, True, by="ann")
    assert (outcome.status, sorted(log), len(model.asked)) == (Status.REACHED, ["mail ann", "pay 5.0"], 2)


async def test_every_run_has_a_thread_of_its_own() -> None:
    model = ScriptedChatModel(["for ann", "for bob"])
    graph = create_agent(model, [], checkpointer=InMemorySaver())
    agent = Agent(graph.with_config({"configurable": {"thread_id": "fixed"}}), name="a", needs=["q"], gives="x")
    async with Orchestrator(agents=[agent]) as orc:
        await orc.run("x", {"q": "my IBAN is DE00 1234"})
        await orc.run("x", {"q": "what do you know?"})
    assert [str(m.content) for m in model.received[1]] == ["q:\nwhat do you know?"]


class Booking(TypedDict, total=False):
    trip: str
    booked: str


@pytest.mark.parametrize("own", [True, False])
async def test_an_interrupt_inside_a_graph_is_a_question_of_the_run(own: bool) -> None:
    seen: list[Any] = []

    def ask(state: Booking) -> Booking:
        seen.append(interrupt({"text": "Which seat?"}))
        seen.append(interrupt("Pay now?"))
        return {"booked": f"{state.get('trip')} {seen[-2]} {seen[-1]}"}

    builder = StateGraph(Booking)
    builder.add_node("ask", ask)
    builder.add_edge(START, "ask")
    builder.add_edge("ask", END)
    graph = builder.compile(checkpointer=InMemorySaver() if own else None)
    agent = Agent(graph, name="booker", gives={"booked": str}, needs=["trip"])
    async with Orchestrator(agents=[agent]) as orc:
        outcome = await orc.run("booked", {"trip": "rome"})
        assert outcome.status is Status.WAITING
        assert "Which seat?" in outcome.questions[0].text
        outcome = await orc.resume(outcome.run_id, "4A")
        assert outcome.status is Status.WAITING
        assert "Pay now?" in outcome.questions[0].text
        outcome = await orc.resume(outcome.run_id, "yes")
    assert outcome.value == "rome 4A yes"


@pytest.mark.parametrize("kind", ["chat", "graph"])
async def test_tokens_reach_the_stream(kind: str) -> None:
    model = GenericFakeChatModel(messages=iter([AIMessage("one two three")]))
    worker: Any = model if kind == "chat" else create_agent(model, [])
    agent = Agent(worker, name="a", needs=["text"], gives="summary")
    async with Orchestrator(agents=[agent]) as orc:
        events = [event async for event in orc.stream("summary", {"text": "x"})]
    tokens = [event.progress for event in events if isinstance(event, Progressed)]
    assert "".join(tokens) == "one two three"


async def test_an_agent_that_was_cut_off_in_a_tool_call_is_ambiguous_and_not_begun_anew() -> None:
    made: list[int] = []

    async def pay() -> str:
        """Pay."""
        made.append(1)
        await asyncio.sleep(30)
        return "paid"

    model = Caller(calls=[[call("pay", "1")]])
    agent = Agent(model, name="clerk", needs=["bill"], gives="answer", tools=[pay], timeout=0.2)
    async with Orchestrator(agents=[agent]) as orc:
        outcome = await orc.run("answer", {"bill": "17"})
    assert made == [1]
    assert outcome.status is Status.ESCALATED
    assert [f.kind for f in outcome.failures][-1] == "ambiguous"


async def test_an_agent_declared_to_read_only_may_be_begun_anew() -> None:
    looked: list[int] = []

    async def look() -> str:
        """Look."""
        looked.append(1)
        await asyncio.sleep(30 if len(looked) == 1 else 0)
        return "seen"

    model = Caller(calls=[[call("look", "1")]])
    agent = Agent(model, name="reader", needs=["q"], gives="answer", tools=[look], timeout=0.2, effect="read")
    async with Orchestrator(agents=[agent]) as orc:
        outcome = await orc.run("answer", {"q": "?"})
    assert (outcome.status, len(looked)) == (Status.REACHED, 2)


async def test_a_conversation_survives_a_second_attempt_with_a_rejected_answer() -> None:
    made: list[str] = []

    def refund(order: str) -> str:
        """Refund an order."""
        made.append(order)
        return "ok"

    model = ScriptedChatModel([AIMessage("", tool_calls=[call("refund", "1", order="A1")]), "no", "yes: refunded"])
    agent = Agent(model, name="a", needs=["q"], gives="x", tools=[refund], ensure=lambda text: text.startswith("yes"))
    async with Orchestrator(agents=[agent]) as orc:
        outcome = await orc.run("x", {"q": "refund A1"})
    assert (outcome.value, made) == ("yes: refunded", ["A1"])
    kinds = [type(m).__name__ for m in model.received[2]]
    assert kinds == ["HumanMessage", "AIMessage", "ToolMessage", "AIMessage", "HumanMessage"]
    assert isinstance(model.received[2][2], ToolMessage)


def test_the_context_outside_a_run_keeps_nothing() -> None:
    assert RunContext.kept.__doc__
