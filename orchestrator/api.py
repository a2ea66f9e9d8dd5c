"""`Orchestrator`, the public entry point: builds the components and delegates to them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self, TypeVar, overload

from opentelemetry.trace import TracerProvider
from typing_extensions import Unpack

from orchestrator.agents.agent import Agent
from orchestrator.agents.goal_tool import goal_tool, tool_name
from orchestrator.core.calls.options import checked, signature_options
from orchestrator.core.clock import Clock, SystemClock
from orchestrator.core.enums import START
from orchestrator.core.errors import DefinitionError, InputError
from orchestrator.core.events import Event, Sink
from orchestrator.core.goal import Goal
from orchestrator.core.outcome import Outcome
from orchestrator.core.policy import Policy
from orchestrator.core.process.loops import LoopThread, in_a_loop
from orchestrator.core.route import Route
from orchestrator.engine.background.background import Background, BackgroundObservers
from orchestrator.engine.background.closing import close_all
from orchestrator.engine.background.evaluation import WorkEvaluator
from orchestrator.engine.background.heartbeat import Heartbeat
from orchestrator.engine.background.worker import Worker, WorkerOptions
from orchestrator.engine.lifecycle import queued
from orchestrator.engine.lifecycle import resume as resuming
from orchestrator.engine.lifecycle import start as launch
from orchestrator.engine.lifecycle.child_runs import launch_child
from orchestrator.engine.lifecycle.compiled import compile_goal
from orchestrator.engine.lifecycle.orphans import end_orphans
from orchestrator.engine.lifecycle.start import check_goal
from orchestrator.engine.options import Preferences, RunOptions, SubmitOptions
from orchestrator.engine.planning.demands import Demands
from orchestrator.engine.registration import Registration
from orchestrator.engine.registry import RunRegistry
from orchestrator.engine.runtime import Runtime
from orchestrator.engine.slots import waiting_outside_limits
from orchestrator.graph.graph import ToolGraph
from orchestrator.graph.price_table import PriceTable, Pricing
from orchestrator.graph.tool import Tool
from orchestrator.health.retry_budget import RetryBudget
from orchestrator.intent.needs import summary_of, takes_of
from orchestrator.observability.recorded_runs import RecordedRuns
from orchestrator.observability.stream import stream_run
from orchestrator.observability.tracing import TracingSink
from orchestrator.selection.learning.evaluation import Judge

from .escalation import NotificationSink, check_ladder, ladder_from
from .health import HealthRegistry
from .intent import Interpreter, Request, examples_of
from .routing import Planner
from .selection import Selector
from .store import Store, open_store
from .store.clock import clock_of

T = TypeVar("T")
V = TypeVar("V")


class Orchestrator(Registration, RecordedRuns):
    """Plans and runs goals over registered tools and agents, and explains its decisions afterwards.

    `policy` is a `Policy` or the name of one; `pricing` replaces the price formula; `escalation` is the ladder of an
    impasse; `judge` judges the work of agents when a run has ended; `demand_model` is asked for the demand of a step
    whose text is unclear; `store` is `None` (memory), a path (SQLite) or a database URL; `deps` is passed to tools and
    never stored. Raises `DefinitionError` for a wrong declaration and `StoreError` for a store that cannot be opened.
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
        virtual = None if clock is None or isinstance(clock, SystemClock) else clock.time
        self.store = open_store(store, virtual, to_write=True)
        clock = clock_of(self.store, clock)
        self.health = HealthRegistry(self.policy, clock, lease=self._lease, unlease=self.store.release_lease)
        prices = PriceTable(self.graph, self.policy, pricing, self.health)
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
            observers=BackgroundObservers(lambda: self._background, lambda: self._evaluator, self._notifications),
            reach=launch_child,
            end_orphans=end_orphans,
            heartbeat=Heartbeat(self.store, runs.by_id, lambda problem: self.store.on_problem(problem), runs.in_turn),
            sinks=[tracing, *([self._notifications] if self._notifications.notifies else [])],
            runs=runs,
            own_pricing=pricing is not None,
            deps=deps,
        )
        self.health.subscribe(self._runtime.repriced)
        self._background = Background(self._runtime, monitors)
        self._evaluator = WorkEvaluator(self._runtime, lambda: self._background.hub.today.usd)
        self._sync_calls = LoopThread(lambda: bool(self._runtime.runs.all_live()))
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

    # -- planning and running ----------------------------------------------------------------------------------------

    @checked(InputError)
    def plan(
        self,
        goal: str | Goal[Any],
        inputs: Mapping[str, Any] | None = None,
        **preferences: Unpack[Preferences],
    ) -> Route:
        """The route that a run would begin with; runs nothing. Raises `NoRoute` and `InputError`.

        The plan contains no exploration, which is drawn for each run.
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

        The options are those of `RunOptions`: `run_id` (reusing one joins or returns that run), `budget`, `dial`,
        `constraints`; they apply to child goals too. Raises `InputError` for an unknown goal, values of the wrong type,
        or other inputs under a known id.
        """
        self._open()
        return await launch.launch(self._runtime, Goal.of(goal), inputs or {}, **options)

    @checked(InputError)
    def run_sync(
        self, goal: str | Goal[Any], inputs: Mapping[str, Any] | None = None, **options: Unpack[RunOptions]
    ) -> Outcome[Any]:
        """The same as `run`, for code that is not async; works inside a running event loop too (notebooks).

        All calls share one event loop in a thread of its own. Ctrl-C cancels the run and waits for its end; a second
        one leaves the run as it is, for `recover` if the store is durable.
        """
        self._runtime.runs.check_open()
        with waiting_outside_limits():
            return self._sync_calls.run(self.run(goal, inputs, **options))

    @checked(InputError)
    def stream(
        self, goal: str | Goal[Any], inputs: Mapping[str, Any] | None = None, **options: Unpack[RunOptions]
    ) -> AsyncIterator[Event]:
        """The events of a run as they happen, its end included. Leaving the loop early cancels the run."""
        self._runtime.runs.check_open()
        run_id = options.get("run_id") or launch.new_run_id()
        options["run_id"] = run_id
        return stream_run(self._runtime.sinks, run_id, lambda: self.run(goal, inputs, **options))

    @checked(InputError)
    async def resume(
        self, run_id: str, answer: Any = None, *, by: str = "", question: str | None = None
    ) -> Outcome[Any]:
        """Continue a run: answer a waiting run, or take over one whose process died.

        `answer` is a `Resolution`, or a plain value where the question asked for one; `by` says who answered.
        `question` is the id of the question that it answers (`Outcome.questions`); default: the first. For an ended run
        its outcome is returned. Raises `InputError` for an unknown run or an invalid answer.
        """
        self._open()
        return await resuming.resume(self._runtime, run_id, answer, by, question)

    @checked(InputError)
    async def cancel(self, run_id: str, reason: str = "cancelled") -> Outcome[Any]:
        """Stop a run: reads at once, a write in flight when it has finished; effects are undone or listed."""
        self._open()
        return await resuming.cancel(self._runtime, run_id, reason)

    @checked(InputError)
    async def submit(
        self, goal: str | Goal[Any], inputs: Mapping[str, Any] | None = None, **options: Unpack[SubmitOptions]
    ) -> str:
        """Put a run into the queue of the store and return its id. The run does not depend on its caller.

        The options are those of `run`, and `priority`, `delay` (seconds) and `at` (seconds since the epoch). With a
        store in memory or in a file this process executes it; with a database server `orchestrator worker` does. Raises
        `InputError` as `run` does, and for inputs that cannot be stored.
        """
        self._open()
        run_id = await queued.submit(self._runtime, Goal.of(goal), inputs or {}, **options)
        if options.get("work_here", self.store.embedded):
            self._background.work_on_queue()
        return run_id

    @checked(InputError)
    async def wait(self, run_id: str) -> Outcome[Any]:
        """The outcome of a run once it has ended or waits for a person, whichever process executes it.

        Cancelling this call does not cancel the run. Raises `InputError` for an unknown run and for one that was set
        aside.
        """
        self._runtime.runs.check_open()
        return await queued.wait(self._runtime, run_id)

    @checked()
    def worker(self, options: WorkerOptions | None = None) -> Worker:
        """A worker on the queue of the store: `await orc.worker().run()` executes runs until it is stopped."""
        self._open()
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

        `inputs` are values that every invocation starts with (values of the invocation replace them), or the names of
        the keys that it takes from the state (default: every key of the graph except those of the goal). The graph can
        be drawn, streamed, checkpointed, or used as a node of another graph. `dial` and `constraints` apply to every
        run of it. Raises `InputError` for an unknown goal or input, or a dial outside [0, 1].
        """
        return compile_goal(self._runtime, Goal.of(goal), inputs, checkpointer, self._sync_calls.run, **preferences)

    @checked(InputError)
    def as_tool(
        self,
        goal: str | Goal[Any],
        *,
        name: str | None = None,
        description: str | None = None,
        **options: Unpack[RunOptions],
    ) -> Any:
        """A LangChain tool for the goal: each call is a run, healed and recorded.

        Its arguments are the keys that the goal needs and no tool gives. Its message is the value, its artifact the
        record. Under a LangGraph with a checkpointer a question of the run is an `interrupt`. Raises `InputError` for
        an unknown goal, `DefinitionError` for a type that no schema describes.
        """
        wanted, view = Goal.of(goal), self.graph.view()
        check_goal(wanted, view.keys)

        async def start(inputs: Mapping[str, Any], run_id: str | None) -> Outcome[Any]:
            given: RunOptions = {**options, "run_id": run_id} if run_id is not None else options
            return await self.run(wanted, inputs, **given)

        return goal_tool(
            self, start, name or tool_name(wanted), description or summary_of(view, wanted), takes_of(view, wanted.keys)
        )

    @checked(InputError)
    async def interpret(
        self,
        text: str,
        inputs: Mapping[str, Any] | None = None,
        *,
        examples: Mapping[Any, Any] | None = None,
        model: Any = None,
    ) -> Request:
        """Turn a request in words into a goal and inputs; runs nothing.

        `examples` are texts for each goal (default: the descriptions of the tools). `model` is asked only if the
        examples are not clear; without a model the result is then a question with the candidates. All missing inputs
        are asked for at once. Raises `InputError` for an empty text.
        """
        view = self.graph.view()
        interpreter = Interpreter(examples or examples_of(view), model, clock=self._runtime.clock)
        return await interpreter.interpret(text, view, inputs)

    @checked()
    def add_sink(self, sink: Sink) -> None:
        """Add an observer of every event of every run."""
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
        self._open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __enter__(self) -> Self:
        """For code that is not async: `with Orchestrator(...) as orc: orc.run_sync(...)`."""
        self._runtime.runs.check_open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def aclose(self) -> None:
        """End the runs, stop monitors, write all records, close the store. A second call does nothing.

        Runs in memory are cancelled; runs in a durable store are released in their current state, for `resume` or a
        worker. Afterwards the calls that begin, continue or learn from runs raise `InputError`; plans and records can
        be read.
        """
        await self._end(None)

    async def _end(self, blocked: asyncio.AbstractEventLoop | None) -> None:
        if not self._runtime.runs.closed:
            self._runtime.runs.closed = True
            beside = self._background, self._evaluator, self._notifications, self._sync_calls
            await close_all(self._runtime, *beside, blocked)

    def close(self) -> None:
        """The same as `aclose`, for code that is not async."""
        try:
            blocked = asyncio.get_running_loop()
        except RuntimeError:
            blocked = None
        in_a_loop(self._end(blocked))

    def _open(self) -> None:
        """Begin the background work. Raises `InputError` if this orchestrator was closed."""
        self._runtime.runs.check_open()
        self._background.start()

    # -- wiring ------------------------------------------------------------------------------------------------------

    def _members(self) -> set[str]:
        """The members of consensus and panel agents: they have health and are not nodes of the graph."""
        agents = (tool for tool in self.graph.view().tools.values() if isinstance(tool, Agent))
        return {member for agent in agents for member in agent.members}

    async def _call_again(self, run_id: str) -> Outcome[Any]:
        self._open()
        return await resuming.repeat_calls(self._runtime, run_id)

    def _lease(self, name: str, owner: str, seconds: float) -> bool:
        return self.store.try_lease(name, owner, seconds)


async def call_again(orc: Orchestrator, run_id: str) -> Outcome[Any]:
    """Repeat the calls of a waiting run whose process is gone, without an answer: they ask again.

    For integrations, which show questions in a way of their own.
    """
    return await orc._call_again(run_id)  # pyright: ignore[reportPrivateUsage]


__all__ = ["START", "DefinitionError", "Orchestrator", "call_again"]
