"""The three graphs of the Self-Healing Router (arXiv 2603.01548): tools, costs of transitions, goal."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Final

from orchestrator import START, Goal, Orchestrator, Tool, Unavailable


@dataclass(frozen=True)
class Case:
    """A tool graph whose edges carry the costs."""

    name: str
    edges: tuple[tuple[str, str, float], ...]
    goal: str

    @property
    def tools(self) -> tuple[str, ...]:
        """Names of the tools that may fail, in the order of the stages; the goal itself is no such tool."""
        targets = dict.fromkeys(target for _, target, _ in self.edges)
        return tuple(name for name in targets if name != self.goal)

    def failure_sets(self) -> Iterator[frozenset[str]]:
        """Every set of tools that may be down at once, none included."""
        for size in range(len(self.tools) + 1):
            for down in combinations(self.tools, size):
                yield frozenset(down)

    def reachable(self, down: frozenset[str]) -> set[str]:
        """What can be reached while these are down, by plain search: the oracle."""
        found = {START}
        while True:
            more = {b for a, b, _ in self.edges if a in found and b not in found and b not in down}
            if not more:
                return found - {START}
            found |= more

    def orchestrator(self, down: frozenset[str], ran: list[str], **options: Any) -> Orchestrator:
        """The graph with these tools down; `ran` gets the names of those that worked."""
        orc = Orchestrator([_tool(name, name in down, ran) for name in (*self.tools, self.goal)], **options)
        for source, target, cost in self.edges:
            orc.connect(START if source == "Start" else source, target, cost=cost)
        return orc

    def with_lesser_goals(self) -> Goal[Any]:
        """The goal, with every stage before it as a lesser one, the latest first."""
        return Goal(self.goal, demotions=tuple(reversed(self.tools)))


def _tool(name: str, down: bool, ran: list[str]) -> Tool:
    async def call() -> str:
        if down:
            raise Unavailable(f"{name} is down")
        ran.append(name)
        return name

    return Tool(call, name=name, gives=name)


def _edges(text: str) -> tuple[tuple[str, str, float], ...]:
    edges: list[tuple[str, str, float]] = []
    for part in text.replace("\n", " ").split(","):
        pair, cost = part.rsplit(" ", 1)
        source, target = pair.strip().split("-")
        edges.append((START if source == "Start" else source, target, float(cost)))
    return tuple(edges)


CASES: Final = (
    Case(
        "customer support",
        _edges(
            "Start-CRM .1, CRM-Stripe .3, CRM-Razorpay .5, Stripe-Email .3, Stripe-SMS .4, Razorpay-Email .3,"
            "Razorpay-SMS .4, Email-Complete .1, SMS-Complete .1"
        ),
        "Complete",
    ),
    Case(
        "travel booking",
        _edges(
            "Start-Flight .3, Start-Train .5, Flight-Hotel .3, Flight-Hostel .4, Train-Hotel .3, Train-Hostel .4,"
            "Hotel-Car .3, Hotel-Bus .4, Hostel-Car .4, Hostel-Bus .3, Car-Payment .2, Bus-Payment .2,"
            "Payment-Confirm .1"
        ),
        "Confirm",
    ),
    Case(
        "content moderation",
        _edges(
            "Start-Text .2, Start-Image .3, Start-Video .5, Text-Toxicity .2, Image-Toxicity .3, Video-Toxicity .4,"
            "Toxicity-HumanReview .5, Toxicity-AutoApprove .2, HumanReview-Complete .1, AutoApprove-Complete .1"
        ),
        "Complete",
    ),
)
