"""`Person`: what makes an agent of a human being; the question waits until it is answered."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from orchestrator.core.context import RunContext
from orchestrator.core.errors import DefinitionError
from orchestrator.core.types.schema import given_types

from .options import AgentOptions


@dataclass(frozen=True)
class Person:
    """`Agent(Person("Is {brief} fit to send?"), name="editor", needs=["brief"], gives={"verdict": bool})`.

    The question may name the inputs in braces. The run waits, and goes on once `orc.resume(run_id, answer)` answers.
    """

    question: str
    gives: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Key -> type of the answer; an agent fills it in from its own `gives`."""

    def as_agent(self, options: AgentOptions) -> "tuple[Person, AgentOptions]":
        """This person asked for what the agent gives. Raises `DefinitionError` without a name or needs."""
        name = options.get("name")
        if not name or "needs" not in options:
            raise DefinitionError("An agent made of a Person states name= and needs=[...].")
        gives = given_types(name, options.get("gives"), str)
        defaults: AgentOptions = {"description": self.question}
        return replace(self, gives=gives), {**defaults, **options, "gives": dict(gives)}

    async def __call__(self, ctx: RunContext, feedback: str | None = None, **inputs: Any) -> Any:
        """Ask, and return the answer."""
        question = self.question
        for name, value in inputs.items():
            question = question.replace("{" + name + "}", str(value))
        if feedback:
            question += f" (The last answer was rejected: {feedback})"
        wanted = next(iter(self.gives.values())) if len(self.gives) == 1 else dict[str, Any]
        return await ctx.wait(question, wanted)
