"""`AskModel`: the rung that asks a chat model to choose from a numbered list."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from orchestrator.agents.models.accounting import ModelUsage
from orchestrator.agents.models.client import Consultant, Consultation
from orchestrator.agents.models.parse import Malformed, RawAnswer, Unusable, parse, unpacked, whole_number
from orchestrator.core.calls.options import checked
from orchestrator.core.privacy.redaction import Redact, shown_outside
from orchestrator.core.route import Impasse
from orchestrator.core.text import clean
from orchestrator.escalation.admissibility import MODEL_RIGHTS, check_resolution, longest_wait
from orchestrator.escalation.ladder import RefusedAnswer, RungContext, RungReply
from orchestrator.escalation.options import Hole, Option, options_for
from orchestrator.escalation.prompt import SYSTEM, answer_schema, describe_impasse, repair, shown_options
from orchestrator.escalation.resolution import Resolution

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel


class Inadmissible(Unusable):
    """The answer was read, and what it chose may not be done."""

    def __init__(self, reason: str, resolution: Resolution) -> None:
        super().__init__(reason)
        self.resolution = resolution


class AskModel:
    """Asks a chat model to choose one of the admissible resolutions: closed by construction.

    `models` is a LangChain chat model, a string for `init_chat_model` such as `"openai:gpt-5-mini"`, or several, best
    first: the next is asked when one fails, and first of all where it is much cheaper or the other is ill. One call
    per impasse; a second one only repairs an answer that could not be used. `timeout` is in seconds for all of it;
    `max_wait` is the longest wait that the model may choose, in seconds; `contents` are the keys whose values it may
    see (`True` for all), by default none, each through `redact(key, value)` (default: the hook of `tracing.setup`; a
    hook that fails shows nothing); `instructions` guide its choice; `usd_per_million` says what a million input
    and output tokens cost, by the model's name.

    Raises `DefinitionError` for what is no chat model.
    """

    rights: Final = MODEL_RIGHTS

    @checked()
    def __init__(
        self,
        models: "BaseChatModel | str | Sequence[BaseChatModel | str]",
        *,
        timeout: float = 30.0,
        max_wait: float = 300.0,
        contents: bool | str | Sequence[str] = False,
        redact: Redact | None = None,
        instructions: str = "",
        usd_per_million: Mapping[str, tuple[float, float]] | None = None,
        name: str = "ask_model",
    ) -> None:
        self.consultant = Consultant(models, usd_per_million)
        self.timeout = timeout
        self.max_wait = max_wait
        self.contents = (contents,) if isinstance(contents, str) else contents
        self.redact = redact
        self.instructions = instructions
        self.name = name

    @property
    def health_names(self) -> tuple[str, ...]:
        """The names under which `orc.health` knows the models: `model:` and what each is called."""
        return self.consultant.health_names

    async def __call__(self, impasse: Impasse) -> Resolution | None:
        """The model's choice; `None` when it gave none that can be used."""
        answer: Resolution | None = (await self.consult(impasse, RungContext())).answer
        return answer

    async def consult(self, impasse: Impasse, means: RungContext) -> RungReply:
        """The model's choice, and what asking for it took."""
        options = shown_options(options_for(impasse, self.rights, self.max_wait))
        if not options:  # a person must look
            return RungReply(None, ModelUsage(self.name))
        if self.consultant.usd_per_million and impasse.budget_left.get("usd", 1.0) <= 0:
            return RungReply(None, ModelUsage(self.name, problems=("no money is left to ask a model with",)))
        user = describe_impasse(impasse, options, self.instructions, self._shown(means.contents))
        question = Consultation(
            SYSTEM,
            user,
            answer_schema(options),
            lambda answer: self._read(answer, options, impasse, means),
            lambda answer, problem: repair(user, answer.shown, str(problem)),
        )
        seconds = self.timeout if means.timeout is None else min(self.timeout, means.timeout)
        done = await self.consultant.consult(question, self.name, means.clock, seconds, means.router)
        return RungReply(done.value, done.asked, tuple(self._refusal(problem) for problem in done.unusable))

    def _read(self, answer: RawAnswer, options: Sequence[Option], impasse: Impasse, means: RungContext) -> Resolution:
        """The admissible resolution that an answer chose. Raises `Unusable`."""
        made = read_choice(answer, options, min(self.max_wait, longest_wait(impasse)))
        _, refused = check_resolution(made, impasse, self.rights, asked_by=self.name, validate=means.validate)
        if refused is not None and isinstance(made.value, str):
            made = replace(made, value=unpacked(made.value))
            _, refused = check_resolution(made, impasse, self.rights, asked_by=self.name, validate=means.validate)
        if refused is not None:
            raise Inadmissible(refused, made)
        return made

    def _refusal(self, problem: Unusable) -> RefusedAnswer:
        if isinstance(problem, Inadmissible):
            return RefusedAnswer(self.name, clean(str(problem)), problem.resolution)
        return RefusedAnswer(self.name, f"malformed: {clean(str(problem))}")

    def _shown(self, contents: Mapping[str, Any]) -> Mapping[str, Any]:
        allowed = contents if self.contents is True else self.contents or ()
        return shown_outside({key: value for key, value in contents.items() if key in allowed}, self.redact)


def read_choice(answer: RawAnswer, options: Sequence[Option], longest_wait: float) -> Resolution:
    """The option that was chosen, filled. Raises `Malformed`."""
    data = parse(answer)
    option = options[whole_number(data.get("choice"), 1, len(options)) - 1]
    message = data.get("message")
    value = data.get("value")
    if option.hole is Hole.VALUE and value is None:
        raise Malformed("that option needs a value")
    if option.hole in (Hole.SECONDS, Hole.AMOUNT):
        value = _seconds(value, longest_wait)
    return option.fill(value, clean(message, 500) if isinstance(message, str) else "")


def _seconds(value: Any, longest: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= longest:
        raise Malformed(f"that option needs a number of seconds above 0 and of at most {longest:g}")
    return float(value)
