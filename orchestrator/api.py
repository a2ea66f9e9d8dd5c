"""`Orchestrator`: what users hold in their hands. It wires the parts together and decides nothing itself."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar, overload

from opentelemetry.trace import TracerProvider
from typing_extensions import Unpack

from orchestrator.agents.agent import Agent
from orchestrator.agents.goal_tool import goal_tool
from orchestrator.core.calls.options import checked, signature_options
from orchestrator.core.clock import Clock, SystemClock
from orchestrator.core.enums import START
from orchestrator.core.errors import DefinitionError, InputError, StoreError, nearest
from orchestrator.core.events import Event, Sink, WorkJudged
from orchestrator.core.goal import Goal
from orchestrator.core.outcome import Outcome
from orchestrator.core.policy import Policy
from orchestrator.core.process.loop_thread import LoopThread
from orchestrator.core.process.loops import cancelled_once, in_a_loop
from orchestrator.core.route import Route
from orchestrator.engine import langgraph as machine
from orchestrator.engine.background.background import Background
from orchestrator.engine.background.evaluation import WorkEvaluator
from orchestrator.engine.background.heartbeat import Heartbeat
from orchestrator.engine.background.worker import Worker, WorkerOptions
from orchestrator.engine.lifecycle import queued
from orchestrator.engine.lifecycle import resume as resuming
from orchestrator.engine.lifecycle import start as launch
from orchestrator.engine.lifecycle.driver import leave_waiting, shut_down
from orchestrator.engine.lifecycle.feedback import feedback
from orchestrator.engine.lifecycle.orphans import end_orphans
from orchestrator.engine.lifecycle.requests import check_goal
from orchestrator.engine.options import Preferences, RunOptions, SubmitOptions
from orchestrator.engine.planning.agents import facts_now, price_now
from orchestrator.engine.planning.demands import Demands, DemandSource
from orchestrator.engine.registry import RunRegistry
from orchestrator.engine.run import Run
from orchestrator.engine.runtime import Runtime
from orchestrator.engine.slots import waiting_outside_limits
from orchestrator.engine.values import checked_inputs
from orchestrator.graph.graph import ToolGraph
from orchestrator.graph.price_table import PriceFacts, PriceTable, Pricing
from orchestrator.graph.tool import Tool, ToolOptions
from orchestrator.graph.tool import tool as make_tool
from orchestrator.health.failures.classify import FailureTable
from orchestrator.health.monitors.signal import Signal
from orchestrator.health.retry_budget import RetryBudget
from orchestrator.intent.needs import takes_of
from orchestrator.observability.stream import QueueSink
from orchestrator.observability.tracing import TracingSink
from orchestrator.selection.learning.evaluation import Judge, check_judge, judgements_of

from .escalation import NotificationSink, check_ladder, ladder_from
from .health import HealthRegistry
from .intent import Interpreter, Request, examples_of
from .routing import Planner
from .selection import Demand, DemandModel, Selector
from .store import Store, open_store
from .store.unknown_run import unknown_run

if TYPE_CHECKING:
    from orchestrator.observability.replay.replay import Replay
    from orchestrator.observability.skills.learn_skills import SkillsLearned
    from orchestrator.store.ledger.verify import Verification


class Answering:
    """The part of an `Orchestrator` that looks back at runs, and learns from them."""

    store: Store
    selector: Selector
    _runtime: Runtime
    _background: Background
    _evaluator: WorkEvaluator

    @checked(InputError)
    def verify(self, run_id: str) -> "Verification":
        """Whether the record of a run is whole and unchanged. Raises `InputError` for an unknown run."""
        from orchestrator.store.ledger.verify import verify_run

        self.store.flush()
        return verify_run(self.store, run_id)

    @checked(InputError)
    def replay(self, run_id: str, policy: Policy | str | None = None) -> "Replay":
        """Make every decision of a run again from its record; calls no tool, no model, no code of yours.

        With another policy it answers what would have been decided. Raises `InputError` for an unknown run.
        """
        from orchestrator.observability.replay.replay import replay_run

        self.store.flush()
        return replay_run(self.store, run_id, Policy.load(policy) if isinstance(policy, str) else policy)

    @checked()
    def feedback(self, run_id: str, key: str, success: bool) -> None:
        """Tell the learner how good the work behind a key of a run was.

        Raises `InputError` for a run or key that is not on record, and for a key that no agent gave.
        """
        feedback(self._runtime, run_id, key, success)

    @checked()
    async def learn_skills(
        self, *, model: Any = None, dry_run: bool = False, keep_texts: bool = False
    ) -> "SkillsLearned":
        """Find skills in the recorded runs: discovered in what work was about, merged and split by how it turned out.

        The new handbook is stored and chosen by at once; with `dry_run` nothing changes, and `.proposal` tells what
        would, by what evidence. A chat `model` may propose splits, and is shown texts of the work; the outcomes decide.
        Words of the work stay out of the handbook unless `keep_texts`. What work was about is on record only under
        `Policy(keep_values=True)`; `.work.why_nothing` says so where it is missing. Raises `StoreError`.
        """
        from orchestrator.observability.skills.learn_skills import How, learn_skills

        self.store.flush()
        options = self.selector.options
        how = How(model, options.embedding, keep_texts, on_problem=self.store.on_problem)
        return await self._background.learning.synced(lambda: learn_skills(self.store, how, dry_run=dry_run))

    @property
    def judge(self) -> Judge | None:
        """Who judges the work of agents that have no judge of their own, once their run has ended; may be set.

        A function `(inputs, output)`, async or not, or a `ModelJudge`; `None` for nobody.
        """
        return self._evaluator.judge

    @judge.setter
    def judge(self, judge: Judge | None) -> None:
        self._evaluator.judge = check_judge(judge, "The orchestrator")

    @property
    def demand_model(self) -> DemandModel | None:
        """The model that is asked what a step demands where its text leaves that unsure; may be set.

        A `DemandModel`, a chat model or its string; `None` for none.
        """
        return self._runtime.demands.model

    @demand_model.setter
    def demand_model(self, model: Any) -> None:
        made = model if model is None or isinstance(model, DemandModel) else DemandModel(model)
        self._runtime.demands.model = made

    @checked(InputError)
    def judgements(self, run_id: str) -> tuple[WorkJudged, ...]:
        """What judges and people said of the work of a run's agents: who, how good, at what cost.

        Raises `InputError` for an unknown run.
        """
        self.store.flush()
        if self.store.run(run_id) is None:
            raise unknown_run(self.store, run_id)
        return judgements_of(self.store, run_id)

    @checked(InputError)
    def outcome(self, run_id: str) -> Outcome[Any]:
        """The outcome of a run as its record tells it. Raises `InputError` for an unknown run."""
        return resuming.outcome(self._runtime, run_id)


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

    _project_loader: ClassVar[Callable[[Any, Path, dict[str, Any]], Any]]
    """Loads a project folder for `from_project`; `project` sets it, since it stands above this module."""

    @checked()
    def __init__(
        self,
        tools: Iterable[Tool | Callable[..., Any]] = (),
        agents: Iterable[Tool | Callable[..., Any]] = (),
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
        ladder = ladder_from(self.policy.escalation) if escalation is None else check_ladder(escalation)
        self.graph = ToolGraph()
        self.store = open_store(store, None if clock is None or isinstance(clock, SystemClock) else clock.time)
        clock = clock or SystemClock()
        self.health = HealthRegistry(self.policy, clock, lease=self._lease, unlease=self.store.release_lease)
        prices = PriceTable(self.graph, self.policy, pricing, self.health)
        self.health.subscribe(lambda targets: self._runtime.repriced(targets))
        self.graph.use_weights(prices)
        self.selector = selector or Selector(policy=self.policy)
        models = [name for rung in ladder for name in getattr(rung, "health_names", ())]
        self.health.known = lambda: (*self.graph.view().nodes, *models, *self._members())
        self.health.is_known = self.graph.__contains__
        self.health.use_tools(self.graph.tools.get, self.graph.with_credential)
        self.health.entries.on_problem = lambda problem: self.store.on_problem(problem)
        runs = RunRegistry()
        tracing = TracingSink(tracer_provider, live=runs.by_id, circuits=self.health)
        self._notifications = NotificationSink(ladder, clock=clock)
        self._runtime = Runtime(
            graph=self.graph,
            prices=prices,
            planner=Planner(self.graph, prices, self.policy),
            health=self.health,
            healing=RetryBudget(self.policy.retries, clock),
            policy=self.policy,
            selector=self.selector,
            demands=Demands(self.selector, on_problem=lambda problem: self.store.on_problem(problem)),
            store=self.store,
            clock=clock,
            ladder=ladder,
            tracing=tracing,
            observers=_Observers(self),
            reach=launch.launch_child,
            end_orphans=end_orphans,
            heartbeat=Heartbeat(self.store, runs.by_id, on_problem=lambda problem: self.store.on_problem(problem)),
            sinks=[tracing, self._notifications],
            runs=runs,
            own_pricing=pricing is not None,
            deps=deps,
        )
        self._background = Background(self._runtime, monitors)
        self._evaluator = WorkEvaluator(self._runtime, lambda: self._background.hub.today.usd)
        self._sync_calls = LoopThread(lambda: bool(self._runtime.runs.all_live()))
        self._closed = False
        try:
            self.judge = judge
            self.demand_model = demand_model
            for item in (*tools, *agents):
                self.add(item)
        except BaseException:
            if self.store is not store:  # it was opened here, and nobody else can close it
                self.store.close()
            raise

    def __repr__(self) -> str:
        tools = self.graph.view().tools.values()
        agents = sum(tool.is_agent for tool in tools)
        return f"<Orchestrator of {len(tools) - agents} tools and {agents} agents, policy {self.policy.name!r}>"

    # -- the graph ---------------------------------------------------------------------------------------------------

    @checked()
    def add(self, item: Tool | Callable[..., Any], replace: bool = False) -> Tool:
        """Register a tool or an agent, and the agent's own tools; a plain callable becomes a tool.

        With `replace` it takes the place of a tool of its name, whose transitions it keeps.

        Raises `DefinitionError`.
        """
        made = item if isinstance(item, Tool) else Tool(item)
        for own in made.own_tools if isinstance(made, Agent) else ():
            if self.graph.get(own.name) is not own:  # the router chooses and heals what it calls as goals
                self.add(own, replace)
        if replace and made.name in self.graph:
            self._swap(made)
            return made
        added = self.graph.add(made)
        if isinstance(added, Agent):
            self.selector.add(added)
        return added

    def _swap(self, tool: Tool) -> Tool:
        """Put a tool in the place of the one of its name; returns the old one."""
        old = self.graph.replace(tool)
        if isinstance(old, Agent):
            self.selector.remove(old.name)
        if isinstance(tool, Agent):
            self.selector.add(tool)
        return old

    @checked()
    def remove(self, name: str | Tool) -> Tool:
        """Take a tool or an agent out; runs that are going on plan without it. Raises `DefinitionError`."""
        removed = self.graph.remove(name)
        if removed.is_agent:
            self.selector.remove(removed.name)
        return removed

    @overload
    def tool(self, call: Callable[..., Any], /) -> Tool: ...
    @overload
    def tool(
        self, /, *, replace: bool = False, **options: Unpack[ToolOptions]
    ) -> Callable[[Callable[..., Any]], Tool]: ...
    def tool(
        self, call: Callable[..., Any] | None = None, /, *, replace: bool = False, **options: Unpack[ToolOptions]
    ) -> Tool | Callable[[Callable[..., Any]], Tool]:
        """Make a tool of a function and register it: `@orc.tool` or `@orc.tool(cost=0.01)`.

        `replace=True` is for a notebook cell that is run again.
        """
        if call is not None:
            return self.add(Tool(call, **options), replace)
        signature_options(Orchestrator.tool).check("orc.tool()", options)
        build = make_tool(**options)

        def register(function: Callable[..., Any]) -> Tool:
            return self.add(build(function), replace)

        return register

    @contextmanager
    @checked()
    def override(self, tool: Tool) -> Generator[Tool]:
        """Put `tool` in the place of the one with its name, for the length of a `with`: made for tests."""
        old = self._swap(tool)
        try:
            yield tool
        finally:
            self._swap(old)

    @checked()
    def connect(self, a: str | Tool, b: str | Tool, cost: float = 0.0) -> None:
        """Add a transition: `b` may start once any tool connected into it is done and all its needs are there.

        `cost`, in US dollars, is paid for the transition that is taken; `connect(START, b)` is an entry.
        Raises `DefinitionError` for unknown tools, self-loops, duplicates and impossible costs.
        """
        self.graph.connect(a, b, cost)

    @checked()
    def classify(self, table: FailureTable) -> None:
        """Put the project's own rows of the failure table before the shipped ones."""
        self._runtime.classify_by(table)

    @checked()
    def require_skills(self, key: str, weights: DemandSource) -> None:
        """Say which skills a step that gives `key` demands: a mapping, or a function of the values at hand.

        Raises `DefinitionError` for a key that no tool gives, and `InputError` for impossible weights and for a skill
        that nobody knows: here where the agents of the key are there already, else when a run needs one of them.
        """
        view = self.graph.view()
        if not view.producers(key):
            given = [known for known in view.keys if view.producers(known)]
            raise DefinitionError(f"No tool gives {key!r}, so no step demands skills for it.{nearest(key, given)}")
        demands = self._runtime.demands
        if not callable(weights):
            demands.check(view, key, Demand(weights))
        demands.sources[key] = weights

    @checked()
    def price_facts(self, tool: str) -> PriceFacts:
        """What the price of a tool or an agent is made of now. Raises `DefinitionError` for an unknown name."""
        return facts_now(self._runtime, self.graph[tool])

    @checked()
    def price(self, tool: str, source: str | None = None) -> float | None:
        """The price of a tool or an agent now, in US dollars; `None` for one that is down.

        By the transition from `source` where there is one. Raises `DefinitionError` for an unknown name.
        """
        return price_now(self._runtime, self.graph[tool], source)

    # -- planning and running ----------------------------------------------------------------------------------------

    @checked(InputError)
    def plan(
        self,
        goal: str | Goal[Any],
        inputs: Mapping[str, Any] | None = None,
        **preferences: Unpack[Preferences],
    ) -> Route:
        """The route that a run would begin with; runs nothing. Raises `NoRoute` and `InputError`.

        It is without exploration, which is drawn anew for each run.
        """
        return resuming.plan_only(self._runtime, Goal.of(goal), inputs or {}, **preferences)

    @overload
    async def run(
        self, goal: Goal[V], inputs: Mapping[str, Any] | None = None, **options: Unpack[RunOptions]
    ) -> Outcome[V]: ...
    @overload
    async def run(
        self, goal: str, inputs: Mapping[str, Any] | None = None, **options: Unpack[RunOptions]
    ) -> Outcome[Any]: ...
    @checked(InputError)
    async def run(
        self, goal: str | Goal[Any], inputs: Mapping[str, Any] | None = None, **options: Unpack[RunOptions]
    ) -> Outcome[Any]:
        """Reach a goal from `inputs`; returns when the run has ended or waits for a person.

        The options are those of `RunOptions`: `run_id` (one used before means that run), `budget`, `dial`,
        `constraints`; child goals keep to them. Raises `InputError` for an unknown goal, values of the wrong type, or
        other inputs under a known id.
        """
        self._background.start()
        return await launch.launch(self._runtime, Goal.of(goal), inputs or {}, **options)

    @checked(InputError)
    def run_sync(
        self, goal: str | Goal[Any], inputs: Mapping[str, Any] | None = None, **options: Unpack[RunOptions]
    ) -> Outcome[Any]:
        """The same as `run`, for code that is not async; works inside a running event loop too (notebooks).

        All calls share one event loop in a thread of its own. Ctrl-C cancels the run and waits for its end; a second
        one leaves the run as it stands, for `recover` where the store outlives the process.
        """
        with waiting_outside_limits():
            return self._sync_calls.run(self.run(goal, inputs, **options))

    @checked(InputError)
    async def stream(
        self, goal: str | Goal[Any], inputs: Mapping[str, Any] | None = None, **options: Unpack[RunOptions]
    ) -> AsyncIterator[Event]:
        """The events of a run as they happen, its end included. Leaving the loop early cancels the run."""
        run_id = options.get("run_id") or launch.new_run_id()
        options["run_id"] = run_id
        sink = QueueSink(run_id)
        self._runtime.sinks.append(sink)
        task = asyncio.create_task(self.run(goal, inputs, **options))
        task.add_done_callback(lambda _: sink.close())
        try:
            async for event in sink:
                yield event
            await task
        finally:
            self._runtime.sinks.remove(sink)
            if not task.done():
                task.cancel()
                with cancelled_once():
                    await asyncio.wait([task])

    @checked(InputError)
    async def resume(
        self, run_id: str, answer: Any = None, *, by: str = "", question: str | None = None
    ) -> Outcome[Any]:
        """Go on with a run: give a waiting one its answer, or pick up one whose process died.

        `answer` is a `Resolution`, or a plain value where the question asked for one; `by` says who answered.
        `question` is the id of the one that it answers, where several are open (`Outcome.questions`), else the first.
        An ended run gives its outcome. Raises `InputError` for an unknown run, or an answer that is none.
        """
        self._background.start()
        return await resuming.resume(self._runtime, run_id, answer, by, question)

    @checked(InputError)
    async def cancel(self, run_id: str, reason: str = "cancelled") -> Outcome[Any]:
        """Stop a run: its reads at once, a write in flight when it has finished; what was done is undone or listed."""
        return await resuming.cancel(self._runtime, run_id, reason)

    @checked(InputError)
    async def submit(
        self, goal: str | Goal[Any], inputs: Mapping[str, Any] | None = None, **options: Unpack[SubmitOptions]
    ) -> str:
        """Put a run into the queue of the store and return its id; it belongs to nobody, and outlives its caller.

        The options are those of `run`, and `priority`, `delay` (seconds) and `at` (seconds since the epoch). In memory
        and in a file this process drives it as well; in a server's database `orchestrator worker` does. Raises
        `InputError` as `run` does, and for inputs that cannot be stored.
        """
        self._background.start()
        run_id = await queued.submit(self._runtime, Goal.of(goal), inputs or {}, **options)
        if options.get("work_here", self.store.embedded):
            self._background.work_on_queue()
        return run_id

    @checked(InputError)
    async def wait(self, run_id: str) -> Outcome[Any]:
        """The outcome of a run once it has ended or waits for a person, whichever process drives it.

        Whoever leaves changes nothing. Raises `InputError` for an unknown run, and for one that was set aside.
        """
        return await queued.wait(self._runtime, run_id)

    @checked()
    def worker(self, options: WorkerOptions | None = None) -> Worker:
        """A worker on the queue of the store: `await orc.worker().run()` drives runs until it is stopped."""
        self._background.start()
        return Worker(self._runtime, options)

    @checked(InputError)
    def compile(
        self,
        goal: str | Goal[Any],
        inputs: Mapping[str, Any] | Sequence[str] | None = None,
        checkpointer: Any = None,
        **preferences: Unpack[Preferences],
    ) -> Any:
        """The run to a goal as a LangGraph `CompiledStateGraph`: input keys in, goal keys and `outcome` out.

        `inputs` are values that every invocation starts with (what it gives itself replaces them), or the names of
        the keys that it takes from the state (default: every key of the graph but the goal's). Draw the graph, stream
        it, checkpoint it, or put it as a node into a graph of your own. Every run of it keeps to `dial` and
        `constraints`, as `run` does. Raises `InputError` for an unknown goal or input, or a dial outside [0, 1].
        """
        wanted = Goal.of(goal)
        keys = sorted(self.graph.view().keys)
        check_goal(wanted, set(keys))
        fixed, read = resuming.compiled_inputs(self._runtime, wanted, keys, inputs)
        schema, taken, given = machine.schemas(dict.fromkeys(read, Any), wanted.keys)
        nodes = resuming.compiled_nodes(self._runtime, wanted, fixed, read, **preferences)
        return machine.build_graph(nodes, schema, checkpointer=checkpointer, input_schema=taken, output_schema=given)

    @checked(InputError)
    def as_tool(
        self,
        goal: str | Goal[Any],
        *,
        name: str | None = None,
        description: str | None = None,
        **options: Unpack[RunOptions],
    ) -> Any:
        """A LangChain tool whose calls reach the goal: a run each, healed and recorded.

        It takes the keys that the goal needs and no tool gives. Its message is the value, its artifact the record.
        Under a LangGraph with a checkpointer a question of the run is an `interrupt`. Raises `InputError` for an
        unknown goal, `DefinitionError` for a type that no schema describes.
        """
        wanted, view = Goal.of(goal), self.graph.view()
        check_goal(wanted, view.keys)
        takes = takes_of(view, wanted.keys)
        said = [view.tools[tool].description for key in wanted.keys for tool in view.producers(key)]
        described = description or next((text for text in said if text), f"Get {wanted.name}.")

        async def start(inputs: Mapping[str, Any], run_id: str | None) -> Outcome[Any]:
            given: RunOptions = {**options, "run_id": run_id} if run_id is not None else options
            return await self.run(wanted, inputs, **given)

        called = name or re.sub(r"[^A-Za-z0-9_-]", "_", "_and_".join(wanted.keys))[:64]
        return goal_tool(self, start, called, described, takes)

    @checked(InputError)
    async def interpret(
        self,
        text: str,
        inputs: Mapping[str, Any] | None = None,
        *,
        examples: Mapping[Any, Any] | None = None,
        model: Any = None,
    ) -> Request:
        """ExplorationRound a request in words into a goal and inputs; runs nothing.

        `examples` are texts for each goal (default: what the tools say of themselves); `model` is asked only where
        they leave it unsure. Unsure without one means a question back with the candidates, and what is missing is
        asked for all at once. Raises `InputError` for an empty text.
        """
        view = self.graph.view()
        interpreter = Interpreter(examples or examples_of(view), model, clock=self._runtime.clock)
        return await interpreter.interpret(text, view, inputs)

    @checked(InputError)
    def validate_inputs(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Inputs as the types of their keys. Raises `InputError` naming the key."""
        try:
            return checked_inputs(inputs, self.graph.view())
        except Exception as error:
            raise InputError(str(error)) from None

    @checked()
    def add_sink(self, sink: Sink) -> None:
        """Have something observe every event of every run."""
        self._runtime.sinks.append(sink)

    # -- projects and lifetime ---------------------------------------------------------------------------------------

    @classmethod
    def from_project(cls, path: str | Path, **options: Any) -> Self:
        """Load a project folder: `tools/*.py`, `agents/*.py`, `policies/*.toml`. This runs the code in it.

        `options` are those of `Orchestrator`; a policy's name is looked up in the project first. A function
        `setup(orc)` in one of the files is called with the orchestrator. Raises `DefinitionError` naming file and line.
        """
        signature_options(cls.__init__).check("from_project()", options)
        import_module("orchestrator.project")  # it sets the loader; by name, since it stands above this module
        made: Self = cls._project_loader(cls, Path(path), options)
        return made

    async def __aenter__(self) -> Self:
        self._background.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End the runs, stop monitors, write what is left to write, close the store. A second call does nothing.

        Runs in memory are cancelled; runs in a durable store are released as they stand, for `resume` or a worker.
        """
        await self._end(None)

    async def _end(self, blocked: asyncio.AbstractEventLoop | None) -> None:
        if not self._closed:
            self._closed = True
            await shut_down(self._runtime, blocked)
            await self._sync_calls.also(lambda: leave_waiting(self._runtime))
            await leave_waiting(self._runtime)
            await self._notifications.drain()
            await self._evaluator.drain(JUDGED_WITHIN)
            await self._background.stop()
            await self._runtime.threads.run(self._close_parts)
            if self._sync_calls.is_here:
                self._sync_calls.end()
            else:
                await self._runtime.threads.run(self._sync_calls.end)
            self._runtime.threads.end_idle()

    def close(self) -> None:
        """The same as `aclose`, for code that is not async."""
        try:
            blocked = asyncio.get_running_loop()
        except RuntimeError:
            blocked = None
        in_a_loop(self._end(blocked))

    def _close_parts(self) -> None:
        for sink in self._runtime.sinks:
            closing = getattr(sink, "close", None)
            if closing is not None:
                closing()
        with suppress(StoreError):  # reported by the store; the shares return when they expire
            self._runtime.daily.close()
        self.store.close()

    # -- wiring ------------------------------------------------------------------------------------------------------

    def _members(self) -> set[str]:
        """The agents that others are made of: they have health, and are no nodes."""
        agents = (tool for tool in self.graph.view().tools.values() if isinstance(tool, Agent))
        return {member for agent in agents for member in agent.members}

    def _lease(self, name: str, owner: str, seconds: float) -> bool:
        return self.store.try_lease(name, owner, seconds)


class _Observers:
    """Passes the turning points of runs on to what goes on beside them."""

    def __init__(self, orc: Orchestrator) -> None:
        self._orc = orc

    def begun(self, run: Run) -> None:
        self._orc._background.run_began(run)  # pyright: ignore[reportPrivateUsage]

    def ended(self, run: Run) -> None:
        self._orc._evaluator.observe(run)  # pyright: ignore[reportPrivateUsage]

    def waits(self, run_id: str) -> None:
        self._orc._notifications.on_record(run_id)  # pyright: ignore[reportPrivateUsage]

    def gate(self, tool: Tool, run_id: str, values: Mapping[str, Any]) -> tuple[Signal, ...]:
        return self._orc._background.hub.gate(tool, run_id, values)  # pyright: ignore[reportPrivateUsage]

    async def learn(self) -> None:
        await self._orc._background.learning.learn()  # pyright: ignore[reportPrivateUsage]


__all__ = ["START", "DefinitionError", "Orchestrator"]
