"""Input and output of planning: `Problem` in, `Route` or `Impasse` out. Plain data."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from .price import PICO, PriceFacts
from .text import abridged

CONDITION_FALSE: Final = "its condition does not hold"
"""The reason of a tool whose `when` was false. It is not broken, so other tools are blamed before it."""


@dataclass(frozen=True, slots=True)
class StartedFrom:
    """The inputs and the transition of a started tool: the support of its outputs."""

    keys: tuple[str, ...]
    """The keys it took."""
    via: str | None = None
    """The tool (or `START`) whose transition led to it; `None` for a tool that no transition leads to."""


@dataclass(frozen=True, slots=True)
class Problem:
    """The state of a run, as far as planning needs it."""

    goal: tuple[str, ...]
    at_hand: Mapping[str, str | None]
    """Key -> the tool of this run whose call gave it; `None` when it was provided."""
    done: Mapping[str, StartedFrom] = field(default_factory=dict[str, StartedFrom])
    """Tools that succeeded in this run. They cost nothing and do not run again."""
    running: Mapping[str, StartedFrom] = field(default_factory=dict[str, StartedFrom])
    """Tools in flight: their outputs cost nothing."""
    unusable: Mapping[str, str] = field(default_factory=dict[str, str])
    """Tool -> why this run may not start it."""
    unusable_transitions: Mapping[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])
    facts: Mapping[str, PriceFacts] = field(default_factory=dict[str, PriceFacts])
    """Facts that hold for this run only (an agent under this run's demand), instead of the shared ones."""
    may_abandon: frozenset[str] = frozenset()
    """Completed effects that a person allowed the run to abandon although they cannot be undone."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One of the things a decision chose among."""

    name: str
    price: float | None
    """US dollars; `None` for what cannot be used."""
    reason: str = ""
    """Why it could not be used, or what the price is made of."""
    facts: PriceFacts | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One tool in a route."""

    tool: str
    sources: Mapping[str, str | None]
    """Key taken -> the step or finished tool that gives it; `None` when it was provided."""
    via: str | None
    """The predecessor (or `START`) whose transition is taken; `None` for a tool that no transition leads to."""
    after: tuple[str, ...]
    """Steps of this route that must be done before this one starts: its sources, and the order of commitment."""
    pico: int
    """Its price in picodollars, transition included; 0 for one in flight."""
    effect: str = "read"

    @property
    def price(self) -> float:
        """Its price in US dollars."""
        return self.pico / PICO


@dataclass(frozen=True, repr=False)
class Route:
    """The chosen plan: a DAG of steps, its true price, a lower bound, and (computed on demand) its alternatives."""

    goal: tuple[str, ...]
    steps: tuple[Step, ...]
    """In an order in which they may run one after another."""
    pico: int
    """The true price in picodollars: shared steps once, plus the undo costs of abandoned effects."""
    bound_pico: int
    """No plan can be cheaper than this."""
    abandons: tuple[str, ...] = ()
    """Completed effects that this route leaves unused, to be undone."""
    revision: int = 0
    """Revision of the graph that it was planned on."""
    explain: Callable[[], Sequence["Alternative"]] | None = field(default=None, compare=False, repr=False)
    not_storable: tuple[str, ...] = field(default=(), compare=False)
    """Inputs and outputs of effects that cannot be stored: only the process that started the run can continue it."""

    @classmethod
    def lazy(
        cls,
        goal: tuple[str, ...],
        tools: tuple[str, ...],
        steps: Callable[[], tuple[Step, ...]],
        pico: int,
        revision: int,
        explain: Callable[[], Sequence["Alternative"]] | None,
    ) -> "Route":
        """A route without abandoned effects, whose steps are built on first access."""
        route = object.__new__(cls)
        known = {"goal": goal, "tools": tools, "pico": pico, "bound_pico": pico, "revision": revision}
        known |= {"explain": explain, "_make_steps": steps}
        route.__dict__.update(known)
        return route

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """The steps of a `lazy` route; no other attribute is made so."""
            make = self.__dict__.get("_make_steps") if name == "steps" else None
            if make is None:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self)
            steps = self.__dict__["steps"] = make()
            self.__dict__.pop("_make_steps", None)
            return steps

    def __repr__(self) -> str:
        """One line: the tools in order, and the price."""
        return f"<Route to {' + '.join(self.goal)}: {abridged(self.tools, ' > ') or 'nothing to do'} (${self.price:g})>"

    @cached_property
    def tools(self) -> tuple[str, ...]:
        """Names of the tools, in order."""
        return tuple([step.tool for step in self.steps])

    @property
    def price(self) -> float:
        """The true price in US dollars."""
        return self.pico / PICO

    @property
    def bound(self) -> float:
        """A lower bound on the price of any plan, in US dollars."""
        return self.bound_pico / PICO

    @cached_property
    def alternatives(self) -> Sequence["Alternative"]:
        """The alternatives of this route, best first; computed on first use."""
        return tuple(self.explain()) if self.explain else ()


@dataclass(frozen=True, slots=True)
class Alternative:
    """A route that was not chosen."""

    instead_of: str | None
    """The step it would replace; `None` for the next best route as a whole."""
    tools: tuple[str, ...]
    pico: int
    """Price of the whole route that it would make, in picodollars."""
    more_pico: int
    """By how much that price is above the chosen route's, in picodollars."""

    @property
    def price(self) -> float:
        """Price of the whole route that it would make, in US dollars."""
        return self.pico / PICO

    @property
    def more(self) -> float:
        """By how much that price is above the chosen route's, in US dollars."""
        return self.more_pico / PICO


@dataclass(frozen=True, slots=True)
class Blame:
    """An unusable tool that stands between a run and its goal."""

    tool: str
    reason: str
    """Why it cannot be used: an open circuit, used-up retries, a refusal, a false `when`, a missing approval ..."""
    last_error: str = ""
    health: str = ""
    """Its health in a few words: its circuit, and how many of its calls failed."""


@dataclass(frozen=True, slots=True)
class LesserGoal:
    """A declared lesser goal and its price from the current state of the run."""

    goal: tuple[str, ...]
    price: float | None
    """US dollars; `None` when it cannot be reached either."""
    tools: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, repr=False)
class Impasse:
    """No feasible route: the keys that cannot be produced, the tools to blame, and the remaining choices."""

    goal: tuple[str, ...]
    unreachable: tuple[str, ...]
    """The keys that cannot be produced."""
    blame: tuple[Blame, ...]
    """A smallest set of unusable tools that, working again, would open a route."""
    reason: str = ""
    """The reason, if it is not only a missing route: an ambiguous effect, a used-up budget, a missing approval."""
    kind: str = "no_route"
    """`no_route`, `unknown_goal`, `ambiguous`, `approval`, `budget`, `question`, `progress` or `cancelled`."""
    question: str | None = None
    """The question to a person."""
    answer_type: str = ""
    """The name of the answer's type, if stated."""
    at_hand: Mapping[str, str] = field(default_factory=dict[str, str])
    """Keys at hand -> the name of their type (and size)."""
    offers: tuple[LesserGoal, ...] = ()
    """Declared lesser goals, best first."""
    providable: tuple[str, ...] = ()
    """Keys that a model may provide."""
    effects: Mapping[str, str] = field(default_factory=dict[str, str])
    """Tools whose effects stand -> `undoable`, `standing` or `uncertain`."""
    budget_left: Mapping[str, float] = field(default_factory=dict[str, float])
    """Remaining `usd`, `seconds` and `calls`, if there is a limit."""
    run_id: str = ""
    subject: str | None = None
    """The tool that an approval, a question or an uncertain effect is about."""

    def __repr__(self) -> str:
        """One line: the kind, the goal, and the message."""
        return f"<Impasse {self.kind} of {' + '.join(self.goal)}: {' '.join(self.message.split())}>"

    @property
    def tools(self) -> tuple[str, ...]:
        """Names of the tools to blame."""
        return tuple(blame.tool for blame in self.blame)

    @property
    def message(self) -> str:
        """The impasse in one line that a person understands."""
        text = self.reason.rstrip(".") or f"No route to {' + '.join(self.goal)}"
        if self.unreachable and self.kind == "no_route":
            text += f": {_some(self.unreachable)} cannot be produced"
        if self.blame:
            text += "; " + _some([f"{blame.tool} ({blame.reason})" for blame in self.blame])
        return text + "."

    def to_json(self) -> dict[str, Any]:
        """Plain data, for records."""
        return {
            "goal": list(self.goal),
            "unreachable": list(self.unreachable),
            "blame": [
                {"tool": b.tool, "reason": b.reason, "last_error": b.last_error, "health": b.health} for b in self.blame
            ],
            "reason": self.reason,
            "kind": self.kind,
            "question": self.question,
            "answer_type": self.answer_type,
            "at_hand": dict(self.at_hand),
            "offers": [{"goal": list(o.goal), "price": o.price, "tools": list(o.tools)} for o in self.offers],
            "providable": list(self.providable),
            "effects": dict(self.effects),
            "budget_left": dict(self.budget_left),
            "run_id": self.run_id,
            "subject": self.subject,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Impasse":
        """The impasse that `to_json` wrote."""
        typed = ("goal", "unreachable", "blame", "offers", "providable")
        plain: dict[str, Any] = {key: value for key, value in data.items() if key not in typed}
        return cls(
            goal=tuple(data["goal"]),
            unreachable=tuple(data["unreachable"]),
            blame=tuple(Blame(**item) for item in data["blame"]),
            offers=tuple(LesserGoal(tuple(o["goal"]), o["price"], tuple(o["tools"])) for o in data["offers"]),
            providable=tuple(data["providable"]),
            **plain,
        )


NAMED = 5
"""Maximum number of names in a message."""


def _some(names: Sequence[str]) -> str:
    rest = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {rest} more" if rest > 0 else "")
