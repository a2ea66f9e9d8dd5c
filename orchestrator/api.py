"""`Orchestrator`: what users hold in their hands. It wires the parts together and decides nothing itself."""

import asyncio
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, overload

from opentelemetry.trace import TracerProvider
from typing_extensions import Unpack

from .agent import Agent
from .answering import Answering
from .clock import Clock, SystemClock
from .errors import DefinitionError, InputError
from .escalation import Announcer, check_ladder, ladder_from
from .events import Event, Sink
from .execution import casting, launch, machine, resuming
from .execution.background import Background
from .execution.jury import Jury
from .execution.preferences import Preferences, RunOptions
from .execution.requested import check_goal
from .execution.run import Run
from .execution.services import DemandSource, Services
from .execution.values import checked_inputs
from .failures import FailureTable
from .goal import Goal
from .graph import ToolGraph
from .health import HealthRegistry
from .health.budget import HealingBudget
from .intent import Interpreter, Request, examples_of
from .loops import in_a_loop
from .outcome import Outcome
from .policy import Policy
from .pricing import PriceFacts, PriceTable, Pricing
from .route import Route
from .routing import Planner
from .selection import Demand, Selector
from .selection.judgement import Judge
from .sinks.queue import QueueSink
from .store import Store, open_store, owner_name
from .tooling import Tool, ToolOptions
from .tooling import tool as make_tool
from .tracing import TracingSink
from .types import START

T = TypeVar("T")
V = TypeVar("V")
JUDGED_WITHIN = 30.0
"""Seconds that closing waits for judges."""


class Orchestrator(Answering):
    """Tools, agents and what is known about them; plans, runs, and answers for what it decided.

    `policy` is a `Policy` or the name of one; `pricing` replaces the price formula; `escalation` is the ladder of an
    impasse; `judge` judges the work of agents when a run has ended; `demand_model` is asked what a step demands
    where its text leaves that unsure; `store` is `None` (memory), a path (SQLite) or a database URL; `deps` is handed
    to tools and never stored.
    Raises `DefinitionError` for what is wrong as written and `StoreError` for a store that cannot be opened.
    """

    def __init__(
        self,
        tools: Iterable[Tool] = (),
        agents: Iterable[Tool] = (),
        *,
        policy: Policy | str | None = None,
        pricing: Pricing | None = None,
        monitors: Iterable[Any] | None = None,
        escalation: Iterable[Any] | None = None,
        selector: Selector | None = None,
        judge: Judge | None = None,
        demand_model: Any = None,
        store: Store | str | Path | None = None,
        deps: Any = None,
        tracer_provider: TracerProvider | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.policy = Policy.load(policy) if isinstance(policy, str) else policy or Policy()
        self.graph = ToolGraph()
        self.store = open_store(store)
        clock = clock or SystemClock()
        owner = owner_name()
        self.health = HealthRegistry(self.policy, clock, lease=self._lease, unlease=self.store.release_lease)
        prices = PriceTable(self.graph, self.policy, pricing, self.health)
        self.health.subscribe(lambda targets: self._services.repriced(targets))
        self.graph.use_weights(prices)
        self.selector = selector or Selector(policy=self.policy)
        ladder = ladder_from(self.policy.escalation) if escalation is None else check_ladder(escalation)
        models = [name for rung in ladder for name in getattr(rung, "health_names", ())]
        self.health.known = lambda: (*self.graph.view().nodes, *models, *self._members())
        live: dict[str, Run] = {}
        tracing = TracingSink(tracer_provider, live=live, circuits=self.health)
        self._services = Services(
            graph=self.graph,
            prices=prices,
            planner=Planner(self.graph, prices, self.policy),
            health=self.health,
            healing=HealingBudget(self.policy.retries, clock),
            policy=self.policy,
            selector=self.selector,
            store=self.store,
            clock=clock,
            ladder=ladder,
            tracing=tracing,
            live=live,
            own_pricing=pricing is not None,
            owner=owner,
            deps=deps,
        )
        self._services.sinks.append(tracing)
        self._announcer = Announcer(ladder, clock=clock)
        self._services.sinks.append(self._announcer)
        self._services.announce = self._announcer.on_record
        self._background = Background(self._services, monitors)
        self._jury = Jury(self._services, lambda: self._background.hub.today.usd)
        self._services.hear = self._jury.hear
        self.judge = judge
        self.demand_model = demand_model
        self._closed = False
        for item in (*tools, *agents):
            self.add(item)

    # -- the graph ---------------------------------------------------------------------------------------------------

    def add(self, item: Tool | Callable[..., Any]) -> Tool:
        """Register a tool or an agent, and the agent's own tools; a plain callable becomes a tool.

        Raises `DefinitionError`.
        """
        made = item if isinstance(item, Tool) else Tool(item)
        for own in made.own_tools if isinstance(made, Agent) else ():
            known = self.graph.view().tools
            if known.get(own.name) is not own:  # what it calls as goals goes through the router like everything else
                self.add(own)
        added = self.graph.add(made)
        if isinstance(added, Agent):
            self.selector.add(added)
        return added

    def remove(self, name: str | Tool) -> Tool:
        """Take a tool or an agent out; runs that are going on plan without it. Raises `DefinitionError`."""
        removed = self.graph.remove(name)
        if removed.is_agent:
            self.selector.remove(removed.name)
        return removed

    @overload
    def tool(self, call: Callable[..., Any], /) -> Tool: ...
    @overload
    def tool(self, /, **options: Unpack[ToolOptions]) -> Callable[[Callable[..., Any]], Tool]: ...
    def tool(
        self, call: Callable[..., Any] | None = None, /, **options: Unpack[ToolOptions]
    ) -> Tool | Callable[[Callable[..., Any]], Tool]:
        """Make a tool of a function and register it: `@orc.tool` or `@orc.tool(cost=0.01)`."""
        if call is not None:
            return self.add(make_tool(call))

        def register(function: Callable[..., Any]) -> Tool:
            return self.add(Tool(function, **options))

        return register

    @contextmanager
    def override(self, tool: Tool) -> Generator[Tool]:
        """Put `tool` in the place of the one with its name, for the length of a `with`: made for tests."""
        with self.graph.override(tool) as overriding:
            yield overriding

    def connect(self, a: str | Tool, b: str | Tool, cost: float = 0.0) -> None:
        """Add a transition: `b` may start once any tool connected into it is done and all its needs are there.

        `cost`, in US dollars, is paid for the transition that is taken; `connect(START, b)` is an entry.
        Raises `DefinitionError` for unknown tools, self-loops, duplicates and impossible costs.
        """
        self.graph.connect(a, b, cost)

    def classify(self, table: FailureTable) -> None:
        """Put the project's own rows of the failure table before the shipped ones."""
        self._services.failures = table

    def require_skills(self, key: str, weights: DemandSource) -> None:
        """Say which skills a step that gives `key` demands: a mapping, or a function of the values at hand."""
        if not callable(weights):
            Demand(weights)  # a wrong weight is an error here, not in a run
        self._services.demands.sources[key] = weights

    def price_facts(self, tool: str) -> PriceFacts:
        """What the price of a tool or an agent is made of now. Raises `DefinitionError` for an unknown name."""
        return casting.facts_now(self._services, self.graph[tool])

    def price(self, tool: str, source: str | None = None) -> float | None:
        """The price of a tool or an agent now, in US dollars; `None` for one that is down.

        By the transition from `source` where there is one. Raises `DefinitionError` for an unknown name.
        """
        return casting.price_now(self._services, self.graph[tool], source)

    # -- planning and running ----------------------------------------------------------------------------------------

    def plan(
        self,
        goal: str | Goal[Any],
        inputs: Mapping[str, Any] | None = None,
        **preferences: Unpack[Preferences],
    ) -> Route:
        """The route that a run would begin with; runs nothing. Raises `NoRoute` and `InputError`.

        It is without exploration, which is drawn anew for each run.
        """
        return resuming.plan_only(self._services, Goal.of(goal), inputs or {}, **preferences)

    @overload
    async def run(
        self, goal: Goal[V], inputs: Mapping[str, Any] | None = None, **options: Unpack[RunOptions]
    ) -> Outcome[V]: ...
    @overload
    async def run(
        self, goal: str, inputs: Mapping[str, Any] | None = None, **options: Unpack[RunOptions]
    ) -> Outcome[Any]: ...
    async def run(
        self, goal: str | Goal[Any], inputs: Mapping[str, Any] | None = None, **options: Unpack[RunOptions]
    ) -> Outcome[Any]:
        """Reach a goal from `inputs`; returns when the run has ended or waits for a person.

        The options are those of `RunOptions`: `run_id` (one used before means that run), `budget`, `dial`,
        `constraints`; child goals keep to them. Raises `InputError` for an unknown goal, values of the wrong type, or
        other inputs under a known id.
        """
        self._background.start()
        return await launch.launch(self._services, Goal.of(goal), inputs or {}, **options)

    def run_sync(
        self, goal: str | Goal[Any], inputs: Mapping[str, Any] | None = None, **options: Unpack[RunOptions]
    ) -> Outcome[Any]:
        """The same as `run`, for code that is not async; works inside a running event loop too (notebooks)."""
        return in_a_loop(self.run(goal, inputs, **options))

    async def stream(
        self, goal: str | Goal[Any], inputs: Mapping[str, Any] | None = None, **options: Unpack[RunOptions]
    ) -> AsyncIterator[Event]:
        """The events of a run as they happen, its end included. Leaving the loop early cancels the run."""
        run_id = options.get("run_id") or launch.new_run_id()
        options["run_id"] = run_id
        sink = QueueSink(run_id)
        self._services.sinks.append(sink)
        task = asyncio.create_task(self.run(goal, inputs, **options))
        task.add_done_callback(lambda _: sink.close())
        try:
            async for event in sink:
                yield event
            await task
        finally:
            self._services.sinks.remove(sink)
            if not task.done():
                task.cancel()
                await asyncio.wait([task])

    async def resume(self, run_id: str, answer: Any = None, *, by: str = "") -> Outcome[Any]:
        """Go on with a run: give a waiting one its answer, or pick up one whose process died.

        `answer` is a `Resolution`, or a plain value where the question asked for one; `by` says who answered. An ended
        run gives its outcome. Raises `InputError` for an unknown run, or an answer that is none.
        """
        self._background.start()
        return await resuming.resume(self._services, run_id, answer, by)

    async def cancel(self, run_id: str, reason: str = "cancelled") -> Outcome[Any]:
        """Stop a run: its reads at once, a write in flight when it has finished; what was done is undone or listed."""
        return await resuming.cancel(self._services, run_id, reason)

    def compile(self, goal: str | Goal[Any], checkpointer: Any = None, **preferences: Unpack[Preferences]) -> Any:
        """The run to a goal as a LangGraph `CompiledStateGraph`: input keys in, goal keys and `outcome` out.

        Draw it, stream it, checkpoint it, or put it as a node into a graph of your own. Every run of it keeps to
        `dial` and `constraints`, as `run` does. Raises `InputError` for an unknown goal, or a dial outside [0, 1].
        """
        wanted = Goal.of(goal)
        keys = dict.fromkeys(sorted(self.graph.view().keys), Any)
        check_goal(wanted, set(keys))
        schema, taken, given = machine.schemas(keys, wanted.keys)
        nodes = resuming.compiled_nodes(self._services, wanted, tuple(keys), **preferences)
        return machine.build(nodes, schema, checkpointer=checkpointer, input_schema=taken, output_schema=given)

    async def interpret(
        self,
        text: str,
        inputs: Mapping[str, Any] | None = None,
        *,
        examples: Mapping[Any, Any] | None = None,
        model: Any = None,
    ) -> Request:
        """Turn a request in words into a goal and inputs; runs nothing.

        `examples` are texts for each goal (default: what the tools say of themselves); `model` is asked only where
        they leave it unsure. Unsure without one means a question back with the candidates, and what is missing is
        asked for all at once. Raises `InputError` for an empty text.
        """
        view = self.graph.view()
        interpreter = Interpreter(examples or examples_of(view), model, clock=self._services.clock)
        return await interpreter.interpret(text, view, inputs)

    def validate_inputs(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Inputs as the types of their keys. Raises `InputError` naming the key."""
        try:
            return checked_inputs(inputs, self.graph.view())
        except Exception as error:
            raise InputError(str(error)) from None

    def add_sink(self, sink: Sink) -> None:
        """Have something observe every event of every run."""
        self._services.sinks.append(sink)

    # -- projects and lifetime ---------------------------------------------------------------------------------------

    @classmethod
    def from_project(cls, path: str | Path, **options: Any) -> Self:
        """Load a project folder: `tools/*.py`, `agents/*.py`, `policies/*.toml`. This runs the code in it.

        `options` are those of `Orchestrator`; a policy's name is looked up in the project first. A function
        `setup(orc)` in one of the files is called with the orchestrator. Raises `DefinitionError` naming file and line.
        """
        from .project import load_project

        project = load_project(Path(path))
        policy = options.pop("policy", None)
        if isinstance(policy, str):
            policy = project.policy(policy)
        orchestrator = cls(project.tools, project.agents, policy=policy, **options)
        project.set_up(orchestrator)
        return orchestrator

    async def __aenter__(self) -> Self:
        self._background.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Stop monitors, write what is left to write, let go of the store. A second call does nothing."""
        if not self._closed:
            self._closed = True
            await self._announcer.drain()
            await self._jury.drain(JUDGED_WITHIN)
            await self._background.stop()
            await self._services.threads.run(self._close_parts)

    def close(self) -> None:
        """The same as `aclose`, for code that is not async."""
        in_a_loop(self.aclose())

    def _close_parts(self) -> None:
        for sink in self._services.sinks:
            closing = getattr(sink, "close", None)
            if closing is not None:
                closing()
        self.store.close()

    # -- wiring ------------------------------------------------------------------------------------------------------

    def _members(self) -> set[str]:
        """The agents that others are made of: they have health, and are no nodes."""
        agents = (tool for tool in self.graph.view().tools.values() if isinstance(tool, Agent))
        return {member for agent in agents for member in agent.members}

    def _lease(self, name: str, owner: str, seconds: float) -> bool:
        return self.store.try_lease(name, owner, seconds, self._services.clock.time())


__all__ = ["START", "DefinitionError", "Orchestrator"]
