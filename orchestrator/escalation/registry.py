"""Rungs by name, for policy files."""

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from orchestrator.core.errors import DefinitionError, nearest
from orchestrator.escalation.rungs.ask_human import AskHuman
from orchestrator.escalation.rungs.ask_model import AskModel
from orchestrator.escalation.rungs.demote import Demote

from .ladder import Rung

MODEL_VARIABLE: Final = "ORCHESTRATOR_MODEL"
"""The environment variable that names the model of `ask_model`, or several, separated by commas, best first."""


def _ask_model() -> Rung:
    names = [name.strip() for name in os.environ.get(MODEL_VARIABLE, "").split(",") if name.strip()]
    if not names:
        raise DefinitionError(
            f"The rung 'ask_model' needs a model: set {MODEL_VARIABLE}, for instance to openai:gpt-5-mini, "
            "or pass escalation=[AskModel(model)]."
        )
    return AskModel(names)


RUNGS: Final[dict[str, Callable[[], Rung]]] = {"demote": Demote, "ask_model": _ask_model, "ask_human": AskHuman}
"""Name -> what makes the rung. Add your own to use it in policy files."""


def ladder_from(names: Iterable[str | Rung], rungs: Mapping[str, Callable[[], Rung]] | None = None) -> tuple[Rung, ...]:
    """The ladder that a policy file names; rungs themselves may stand among the names.

    Raises `DefinitionError` for a name that is not registered.
    """
    known = RUNGS if rungs is None else rungs
    return tuple(_rung(item, known) for item in names)


def _rung(item: str | Rung, known: Mapping[str, Callable[[], Rung]]) -> Rung:
    if not isinstance(item, str):
        return item
    if item not in known:
        raise DefinitionError(f"There is no rung {item!r}.{nearest(item, known)} Known: {', '.join(sorted(known))}.")
    return known[item]()
