"""`RunContext`: the services that a run offers to the tools it calls."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, Generic

from typing_extensions import TypeVar

from .enums import PartKind

if TYPE_CHECKING:
    from .goal import Goal
    from .outcome import Outcome
    from .route import Candidate

Deps = TypeVar("Deps", default=Any)


class SubCall:
    """A call within a call: of a member of a consensus, or of an agent's own tool. Outside a run it records nothing."""

    refused: str = ""
    """Why it may not be made now: the member is down, or the budget is used up; empty if it may."""

    def ended(self, error: Exception | None = None, *, usd: float = 0.0, of: Any = None) -> None:
        """Note its end, with an error or none; `usd`: its cost; `of`: the member whose call it was."""

    def dropped(self) -> None:
        """Note that it was cancelled or waits for a person: neither a success nor a failure."""


class RunContext(ABC, Generic[Deps]):
    """The context of a call, for a parameter annotated `RunContext` (or `RunContext[MyDeps]`); no key fills it."""

    deps: Deps
    """The value of `Orchestrator(deps=...)`. Never stored, never shown."""

    run_id: str
    """The run that this call belongs to."""

    tool: str
    """The name of the tool that is being called."""

    attempt: int
    """Which attempt of the step this is, from 1."""

    idempotency_key: str
    """A key that stays the same over the retries of this step, and after a crash."""

    labels: Mapping[str, str] = {}
    """The labels that the caller gave the run; children have their parent's."""

    usage: Counter[str]
    """What the call used (tokens, pages, rows): add to it; `cost` functions and `Outcome.usage` read it."""

    @abstractmethod
    async def reach(
        self,
        goal: "str | Goal[Any]",
        inputs: Mapping[str, Any] | None = None,
        key: str | None = None,
        *,
        check: bool = True,
    ) -> "Outcome[Any]":
        """Run a child goal in the same graph: own values; shared budget, deadline and health; a child span.

        It is a call: a second reach with equal inputs runs again. With a `key` it happens once per key in this call.
        After a crash or a question the children that ended return their recorded outcomes; in a new attempt of the step
        those that reached their goal do. Raises `Escalated` when it reached no goal (`check=False` gives that outcome
        too), `Refused` when the same goal with equal inputs is open above, and `InputError` for a key that was used
        with another goal or other inputs.
        """

    @abstractmethod
    async def wait(self, question: str, type: Any = Any) -> Any:
        """Ask a person: the run waits, and this returns the answer once `orc.resume(run_id, answer)` gave one.

        While its process executes the run the call stays suspended and continues with the answer. If the process was
        lost, the call is made again from its first line; recorded answers are matched by the question's text and type.
        """

    def inputs_of(self, goal: "str | Goal[Any]") -> Mapping[str, tuple[Any, bool]]:
        """The inputs of `reach` for a goal, which no tool gives: key -> its type and whether it is required.

        Raises `InputError` for a key that nothing in the graph gives or needs. Outside a run the result is empty.
        """
        del goal
        return {}

    async def discard(self, outcome: "Outcome") -> None:
        """Declare that a child run is not used although this call may succeed: its effects are undone, or listed, when
        the run ends. Raises `InputError` for a run that this step did not start.
        """
        del outcome

    async def once(self, key: str, fn: "Callable[[], Any]") -> Any:
        """The result of `fn` (async or not), called once for `key` in this step, also over attempts and after a crash.

        The result is plain data that JSON can hold. Outside a run `fn` is simply called.
        """
        del key
        result = fn()
        return await result if isawaitable(result) else result

    @abstractmethod
    def report(self, progress: Any) -> None:
        """Stream progress (a fraction, a message, a token) to `orc.stream` and the terminal. Never stored."""

    @abstractmethod
    def quota(self, remaining: float, limit: float, reset_seconds: float) -> None:
        """Report a quota: the price of the tool rises before the limit is reached.

        `reset_seconds` is the time until the quota is full again.
        """

    def quota_headers(self, headers: Mapping[str, str]) -> None:
        """Report the quota that the headers of an HTTP answer state, as `quota` does.

        Understands `RateLimit` and `RateLimit-Policy`, and `X-RateLimit-Limit`, `-Remaining`, `-Reset` with or without
        `X-`, for requests and tokens. Does nothing outside a run.
        """

    def chose(self, chosen: str, among: "Sequence[Candidate]", reason: str, facts: Mapping[str, Any]) -> None:
        """Record a choice that the call made, as a decision of kind `select`.

        `facts` is what it was made from, as plain data without contents. Does nothing outside a run.
        """

    def part(self, name: str, kind: PartKind, label: str, *, anyway: bool = False) -> SubCall:
        """Begin a recorded call within this call; `label` is unique within the call.

        Unless it is `refused`, make the call and report its end with `ended`. With `anyway` the call is made even if
        its member is down or the budget is used up.
        """
        del name, kind, label, anyway
        return SubCall()

    async def member(self, name: str, label: str) -> SubCall:
        """Begin a call of a member of a consensus or panel, as `part`; a lease for the probe of its health is taken
        first."""
        return self.part(name, PartKind.MEMBER, label)

    @property
    def streamed(self) -> bool:
        """Whether a subscriber follows this call's reports, so that reporting token by token is worth it."""
        return False

    async def keep(self, name: str, value: Any) -> None:
        """Record plain JSON data under a name, for later calls of this step in this run; durable when it returns."""
        del name, value

    def kept(self, name: str) -> Any:
        """The data that `keep` recorded under a name in this step of this run; `None` if there is none. It survives
        attempts, questions and, in a durable store, the process.
        """
        del name

    @abstractmethod
    def charge(self, usd: float) -> None:
        """Add US dollars to what this call has cost. Raises `ValueError` for a negative or non-finite amount."""
