"""Random run trees with more in them: retries, `ttl`, keys, limits, lesser goals, time-outs, and people at impasses."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from typing_extensions import override

from orchestrator import NOT_DONE, AskHuman, Demote, Goal, Policy, Resolution, RunContext, Tool, Unavailable
from orchestrator.core.policy import Retries

from .tree_world import DEPTH, LEAVES, WRITES, World

WIDE = 100_000
"""Trees from this number on have this; those below stay as they were when some of them showed a fault."""
DAY = 2.0
"""US dollars that a label may spend in a day."""


@dataclass
class WideWorld(World):
    """A world with more kinds of tools, and people who settle impasses."""

    keys: Counter[str] = field(default_factory=Counter[str])
    """Idempotency keys under which a write took place."""
    writes: tuple[str, ...] = (*WRITES, "keyed", "sent")
    leaves: tuple[str, ...] = (*LEAVES, "f", "t", "y", "i", "s")
    """More of them: a read that is retried, one with a `ttl`, a write with an idempotency key, an irreversible step, a
    paid read that is called one at a time."""
    limited: bool = False
    """Whether the label of the run has a limit for the day."""
    together: int = 0
    """Calls of the tool that is called one at a time."""

    @override
    def tools(self) -> list[Tool]:
        more = [self._flaky(), self._fresh(), self._keyed(), self._sent(), self._single()]
        return [*super().tools(), *more]

    @override
    def goal(self, name: str) -> str | Goal[Any]:
        if not self.chance(0.15):
            return name
        return Goal(name, demotions=[self.random.choice([lesser for lesser in "wptf" if lesser != name])])

    @override
    def parent_options(self, level: int) -> dict[str, Any]:
        options = super().parent_options(level)
        if level < DEPTH and self.chance(0.3):
            options["timeout"] = self.random.choice([1.0, 3.0])
        if level == 1 and self.chance(0.2):
            options["max_concurrency"] = 1
        return options

    @override
    def options(self) -> dict[str, Any]:
        self.limited = self.chance(0.2)
        limits = {"tenant": DAY} if self.limited else {}
        retries = Retries(base_seconds=0.1, attempts=2, share=1, floor=10_000)
        ladder: list[Any] = [Demote(), AskHuman()] if self.chance(0.4) else [Demote()]
        return {"policy": Policy(name="wide", retries=retries, max_spend_per=limits), "escalation": ladder}

    @override
    def resolution(self, question: Any) -> Any:
        """What a person answers at an impasse: anything but an untruth about an effect, or a larger budget."""
        took_place = self.took_place.get(question.run)
        listed = [
            number
            for number, choice in enumerate(question.choices, 1)
            if "budget" not in choice and not (took_place and "did not happen" in choice)
        ]
        said = self.random.choice(["no", "what?", Resolution.replan("look again"), Resolution.stop("enough"), *listed])
        if question.step in ("lossy", "keyed") and took_place and self.chance(0.7):
            self.settled.add(question.run)
            return Resolution.provide(took_place[0], took_place)
        return said

    # -- tools -------------------------------------------------------------------------------------------------------

    def _flaky(self) -> Tool:
        async def flaky(n: int) -> str:
            self.begin("flaky")
            await self.clock.sleep(0.1)
            if self.chance(0.4):
                raise Unavailable("not now")
            return f"f{n}"

        return Tool(flaky, gives="f", retries=2)

    def _fresh(self) -> Tool:
        async def fresh(n: int) -> str:
            self.begin("fresh")
            await self.clock.sleep(0.1)
            return f"t{n}"

        return Tool(fresh, gives="t", ttl=1.0)

    def _keyed(self) -> Tool:
        async def keyed(n: int, ctx: RunContext, key: str = "") -> str:
            self.begin("keyed")
            if key != ctx.idempotency_key:
                self.wrong.append(f"{ctx.run_id} has two keys")
            if self.chance(0.3):
                raise ConnectionResetError("the answer was lost, and nothing happened")
            if not self.keys[key]:
                await self.effect(f"y{n}")
                self.keys[key] += 1
                self.took_place[ctx.run_id] = f"y{n}"
            if self.chance(0.3):
                raise ConnectionResetError("the answer was lost")
            return f"y{n}"

        return Tool(keyed, gives="y", effect="write", compensate=self._undo(0.0), idempotency_key="key", retries=2)

    def _sent(self) -> Tool:
        async def sent(n: int) -> str:
            self.begin("sent")
            return await self.effect(f"i{n}")

        return Tool(sent, gives="i", effect="irreversible", reconcile=lambda: NOT_DONE)

    def _single(self) -> Tool:
        async def single(n: int, ctx: RunContext) -> str:
            self.begin("single")
            self.together += 1
            if self.together > 1:
                self.wrong.append("two calls at once of a tool with max_concurrency=1")
            try:
                await self.clock.sleep(self.random.random() / 2)
            finally:
                self.together -= 1
            self.pay(ctx, 0.05)
            return f"s{n}"

        return Tool(single, gives="s", max_concurrency=1)
