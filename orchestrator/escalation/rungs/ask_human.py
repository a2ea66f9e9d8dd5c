"""`AskHuman`: the rung that asks a person, while the run waits."""

import math
from collections.abc import Callable, Sequence
from typing import Final

from orchestrator.core.calls.options import checked
from orchestrator.core.errors import DefinitionError
from orchestrator.core.route import Impasse
from orchestrator.core.text import clean
from orchestrator.escalation.admissibility import ANSWER, PERSON_RIGHTS, open_kinds
from orchestrator.escalation.notify import Notify
from orchestrator.escalation.options import options_for
from orchestrator.escalation.question import NO_NEED_OF_A_PERSON, Question
from orchestrator.escalation.resolution import Resolution


class AskHuman:
    """Asks a person: the run waits, through restarts too, until `orc.resume(run_id, answer)` or the deadline.

    `prompt` is the question's text, or a function of the impasse that makes it; `deadline` is in seconds; `default` is
    the answer at the deadline (without one: stop); `key` asks for a value of that key; `notify` are notification
    channels, such as `Webhook(url)`.

    Raises `DefinitionError` for a deadline that is no positive number, for a default that only a person may decide
    (approve, allow, raise a budget), and for a default without a deadline.
    """

    rights: Final = PERSON_RIGHTS

    @checked()
    def __init__(
        self,
        prompt: str | Callable[[Impasse], str] | None = None,
        *,
        deadline: float | None = None,
        default: Resolution | None = None,
        key: str | None = None,
        notify: Notify | Sequence[Notify] = (),
        name: str = "ask_human",
    ) -> None:
        self.prompt = prompt
        self.deadline = _deadline(deadline)
        self.default = _default(default, deadline)
        self.key = key
        self.notify: tuple[Notify, ...] = (notify,) if callable(notify) else tuple(notify)
        self.name = name

    async def __call__(self, impasse: Impasse) -> Question | None:
        """The question; `None` for an impasse that leaves nothing to ask about."""
        return self.question(impasse)

    def question(self, impasse: Impasse) -> Question | None:
        """The question that this impasse makes."""
        kinds = open_kinds(impasse, self.rights)
        options = options_for(impasse, self.rights)
        if len(options) <= 1 and impasse.kind == "cancelled":
            return None
        return Question(
            text=self._text(impasse),
            choices=tuple(option.text for option in options),
            admissible=tuple(sorted(kinds)),
            deadline=self.deadline,
            default=self.default,
            key=asked_key(impasse, self.key),
            rung=self.name,
        )

    def _text(self, impasse: Impasse) -> str:
        made = self.prompt(impasse) if callable(self.prompt) else self.prompt
        return clean(made or impasse.question or impasse.message, 2000)


def asked_key(impasse: Impasse, wanted: str | None = None) -> str | None:
    """The key that a plain value answers: what the caller named, or what is plainly missing; else `None`."""
    if impasse.kind == "question":
        return ANSWER
    if impasse.kind not in ("no_route", "progress"):
        return None
    if wanted is not None:
        return wanted if wanted in (*impasse.unreachable, *impasse.goal) else None
    missing = len(impasse.unreachable) == 1 and not impasse.blame and not impasse.offers
    return impasse.unreachable[0] if missing else None


def _deadline(seconds: float | None) -> float | None:
    if seconds is None:
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < math.inf:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise DefinitionError(f"AskHuman: deadline is a positive number of seconds, not {seconds!r}.")
    return float(seconds)


def _default(default: Resolution | None, deadline: float | None) -> Resolution | None:
    if default is None:
        return None
    if default.kind not in NO_NEED_OF_A_PERSON:
        kinds = ", ".join(sorted(NO_NEED_OF_A_PERSON))
        raise DefinitionError(f"AskHuman: to {default.kind} needs a person; a default is one of: {kinds}.")
    if deadline is None:
        raise DefinitionError("AskHuman: a default holds after a deadline. Say deadline=SECONDS.")
    return default
