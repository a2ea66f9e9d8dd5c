"""Random graphs whose tools fail at random, to be run: reads, writes, agents, conditions, transitions, demotions."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from orchestrator import NOT_DONE, START, Agent, CallerError, Goal, Orchestrator, Policy, Refused, Tool, Unavailable
from orchestrator.core.outcome import Outcome
from orchestrator.core.policy import CircuitPolicy, Retries
from orchestrator.errors import DefinitionError, InputError
from orchestrator.testing import FakeClock

KEYS = 6
FAULTS: tuple[Callable[[], Exception], ...] = (
    lambda: ConnectionResetError("reset"),
    lambda: TimeoutError("slow"),
    lambda: Unavailable("down"),
    lambda: Refused("no"),
    lambda: CallerError("bad"),
    lambda: ValueError("bug"),
    lambda: ConnectionRefusedError("refused"),
)
BAD = -1
"""An output that `ensure` rejects."""


@dataclass(frozen=True)
class Script:
    """How a tool behaves: what its calls raise (`None`: they work), in order; the last one again and again."""

    faults: tuple[Callable[[], Exception] | None, ...]
    bad_output: bool

    def behave(self, call: int) -> int:
        """What the call with this number (from 0) gives."""
        fault = self.faults[min(call, len(self.faults) - 1)]
        if fault is not None:
            raise fault()
        return BAD if self.bad_output and call == 0 else 1


def random_tool(random: Random, name: str) -> Tool:
    """A tool that takes and gives random keys and behaves badly at random."""
    script = Script(
        tuple(random.choice(FAULTS) if random.random() < 0.35 else None for _ in range(random.choice([1, 2, 3]))),
        random.random() < 0.15,
    )
    gives = sorted(random.sample(range(KEYS), random.choice([1, 1, 1, 2])))
    rest = [k for k in range(KEYS) if k not in gives]
    needs = sorted(random.sample(rest, random.choice([0, 1, 1, 2])))
    calls = [0]

    def work(**inputs: int) -> Any:
        del inputs
        calls[0] += 1
        made = script.behave(calls[0] - 1)
        return made if len(gives) == 1 else {f"k{k}": made for k in gives}

    def ensure(output: Any) -> bool:
        return output != BAD and (not isinstance(output, dict) or BAD not in output.values())  # pyright: ignore

    options: dict[str, Any] = {
        "name": name,
        "needs": {f"p{k}": f"k{k}" for k in needs},
        "gives": [f"k{k}" for k in gives],
        "cost": random.choice([0, 1, 1, 2, 3, 5]) / 1000,
        "latency": random.choice([0.0, 0.0, 0.1, 1.0]),
        "ensure": ensure,
        **_effect(random),
    }
    if random.random() < 0.2:
        options["retries"] = random.choice([0, 1, 3])
    if needs and random.random() < 0.2:
        answer = random.random() < 0.7
        options["when"] = lambda **inputs: answer
    if options["effect"] == "read" and random.random() < 0.3:
        return Agent(work, skills={"write": round(random.random(), 2)}, **options)
    return Tool(work, **options)


def _effect(random: Random) -> dict[str, Any]:
    effect = random.choice(["read", "read", "read", "write", "write", "irreversible"])
    options: dict[str, Any] = {"effect": effect}
    if effect == "write" and random.random() < 0.7:
        options |= {"compensate": _undo(random.random() < 0.2), "undo_cost": random.choice([0.0, 0.001, 0.01])}
    if effect != "read" and random.random() < 0.5:
        options["reconcile"] = _reconcile(random.choice(["done", "not done", "unknown"]))
    return options


def _undo(broken: bool) -> Callable[[Any], None]:
    def undo(output: Any) -> None:
        del output
        if broken:
            raise Unavailable("cannot undo")

    return undo


def _reconcile(answer: str) -> Callable[..., Any]:
    def reconcile(**inputs: Any) -> Any:
        del inputs
        if answer == "unknown":
            raise Unavailable("cannot tell")
        return 1 if answer == "done" else NOT_DONE

    return reconcile


def random_policy(random: Random) -> Policy:
    """A policy with other weights and limits."""
    return Policy(
        name=f"random-{random.randrange(1000)}",
        step_cost=random.choice([0.0001, 0.001]),
        time_value=random.choice([0.0, 0.001, 0.01]),
        quality_value=random.choice([0.0, 0.05, 0.5]),
        fail_fast=random.random() < 0.3,
        max_impasses=random.choice([1, 2, 5]),
        retries=Retries(attempts=random.choice([0, 1, 2])),
        circuit=CircuitPolicy(consecutive=random.choice([1, 2, 5])),
        max_calls=random.choice([None, None, None, 5]),
    )


def random_orchestrator(random: Random, *, tools: int = 7, **options: Any) -> Orchestrator:
    """An orchestrator over random tools; some are connected, some circuits are open from the start."""
    made = Orchestrator(policy=random_policy(random), clock=FakeClock(), **options)
    names = [f"t{i}" for i in range(tools)]
    for name in names:
        made.add(random_tool(random, name))
    if random.random() < 0.4:
        for a in [START, *names]:
            for b in names:
                if a != b and random.random() < 0.15:
                    made.connect(a, b, cost=random.choice([0, 1, 3]) / 1000)
                    if random.random() < 0.2 and a != START:
                        made.health.reweight((a, b), random.choice([1.5, 3.0]))
    for name in names:
        if random.random() < 0.08:
            made.health.record(name, False)
        if random.random() < 0.05:
            made.health.reweight(name, 2.0)
    if random.random() < 0.3:
        key = f"k{random.randrange(KEYS)}"
        if made.graph.view().producers(key):
            made.require_skills(key, {"write": 1.0})
    return made


async def random_run(random: Random, orchestrator: Orchestrator) -> Outcome[Any] | None:
    """Run a random goal; `None` where none can be asked for."""
    goal = random.sample(range(KEYS), random.choice([1, 1, 2]))
    lesser = [f"k{k}" for k in range(KEYS) if k not in goal and random.random() < 0.3]
    given = {f"k{k}": 1 for k in random.sample(range(KEYS), random.choice([0, 1, 2])) if k not in goal}
    try:
        return await orchestrator.run(Goal([f"k{k}" for k in goal], demotions=lesser), given)
    except (DefinitionError, InputError):
        return None
