"""Which answers to an impasse are admissible from whom: pure rules, applied to every answer before it takes effect."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from orchestrator.core.errors import DefinitionError, OrchestratorError, nearest
from orchestrator.core.route import Impasse

from .resolution import Resolution, ResolutionKind

K = ResolutionKind
Validate = Callable[[str, Any], Any]
"""Validates a value by the type of its key; raises if it is invalid. Provided by the run."""

ANSWER: Final = "answer"
"""The key of the value that a question of kind `question` asks for."""
MAX_SECONDS: Final = 1e7
"""The longest wait in seconds."""

PERSON_RIGHTS: Final = frozenset(ResolutionKind)
"""The rights of a person and of the user's own code: everything that the impasse allows."""
MODEL_RIGHTS: Final = frozenset({K.DEMOTE, K.PROVIDE, K.WAIT, K.STOP})
"""The rights of a model."""

_OPEN: Final[Mapping[str, frozenset[ResolutionKind]]] = {
    "no_route": PERSON_RIGHTS,
    "progress": PERSON_RIGHTS,
    "budget": frozenset({K.RAISE_BUDGET, K.DEMOTE, K.PROVIDE, K.STOP}),
    "approval": frozenset({K.APPROVE, K.ALLOW, K.STOP}),
    "ambiguous": frozenset({K.PROVIDE, K.ALLOW, K.STOP}),
    "question": frozenset({K.PROVIDE, K.STOP}),
    "cancelled": frozenset({K.STOP}),
}
_PERSONS_ONLY: Final = frozenset({"ambiguous", "approval", "question"})
"""Kinds of impasse that only a rung with a person's rights can settle."""


def rights_of(rung: object) -> frozenset[ResolutionKind]:
    """The rights of a rung: its `.rights`, else everything.

    Raises `DefinitionError` when `.rights` names something that is no kind of resolution.
    """
    stated: Any = getattr(rung, "rights", PERSON_RIGHTS)
    try:
        return frozenset(ResolutionKind(kind) for kind in stated)
    except (TypeError, ValueError):
        kinds = ", ".join(ResolutionKind)
        raise DefinitionError(f"The rights of a rung are some of: {kinds}; not {stated!r}.") from None


def is_person(rights: frozenset[ResolutionKind]) -> bool:
    """Whether these are the rights of a person: only a person may allow what the run forbade."""
    return K.ALLOW in rights


def open_kinds(impasse: Impasse, rights: frozenset[ResolutionKind]) -> frozenset[ResolutionKind]:
    """The kinds of resolution that may answer this impasse with these rights."""
    if impasse.kind in _PERSONS_ONLY and not is_person(rights):
        return frozenset()
    return _OPEN.get(impasse.kind, frozenset({K.STOP})) & rights


def keys_to_provide(impasse: Impasse, rights: frozenset[ResolutionKind]) -> tuple[str, ...]:
    """The keys for which a value may be provided with these rights."""
    if impasse.kind == "question":
        return (ANSWER,)
    if is_person(rights):
        return tuple(dict.fromkeys((*impasse.unreachable, *impasse.goal, *impasse.providable)))
    return tuple(key for key in impasse.providable if key not in impasse.at_hand)


def tools_to_allow(impasse: Impasse) -> tuple[str, ...]:
    """The tools that the impasse is about: its subject, then those to blame."""
    if impasse.subject is not None and impasse.kind in ("ambiguous", "approval"):
        return (impasse.subject,)
    return tuple(dict.fromkeys((*((impasse.subject,) if impasse.subject else ()), *impasse.tools)))


def longest_wait(impasse: Impasse) -> float:
    """Maximum seconds of a wait."""
    return min(MAX_SECONDS, impasse.budget_left.get("seconds", MAX_SECONDS))


def admit(
    resolution: Resolution,
    impasse: Impasse,
    rights: frozenset[ResolutionKind],
    *,
    asked_by: str,
    validate: Validate | None = None,
) -> str | None:
    """`None` when the resolution is admissible for this impasse, else why it is not. The reason never contains a
    value.
    """
    return check_resolution(resolution, impasse, rights, asked_by=asked_by, validate=validate)[1]


def check_resolution(
    resolution: Resolution,
    impasse: Impasse,
    rights: frozenset[ResolutionKind],
    *,
    asked_by: str,
    validate: Validate | None = None,
) -> tuple[Resolution, str | None]:
    """The resolution with validated values and declared goals, and the reason if it is refused."""
    if resolution.kind not in rights:
        return resolution, f"{asked_by} has no right to {_verb(resolution.kind)}"
    if resolution.kind not in open_kinds(impasse, rights):
        return resolution, _not_open(resolution, impasse, rights, asked_by)
    return _CHECKS[resolution.kind](resolution, impasse, rights, validate)


_Checked = tuple[Resolution, str | None]


def _not_open(r: Resolution, impasse: Impasse, rights: frozenset[ResolutionKind], asked_by: str) -> str:
    if impasse.kind in _PERSONS_ONLY and not is_person(rights):
        return f"only a person settles an impasse of kind {impasse.kind}, not {asked_by}"
    return f"{_verb(r.kind)} does not answer an impasse of kind {impasse.kind}"


def _demote(r: Resolution, impasse: Impasse, rights: frozenset[ResolutionKind], validate: Validate | None) -> _Checked:
    del rights, validate
    for offer in impasse.offers:
        if frozenset(offer.goal) == frozenset(r.goal):
            if offer.price is None or not math.isfinite(offer.price):
                return r, f"the lesser goal {' + '.join(offer.goal)} cannot be reached either"
            return replace(r, goal=offer.goal), None
    declared = ", ".join(" + ".join(offer.goal) for offer in impasse.offers) or "none"
    return r, f"{' + '.join(r.goal)} is no declared lesser goal (declared: {declared})"


def _provide(r: Resolution, impasse: Impasse, rights: frozenset[ResolutionKind], validate: Validate | None) -> _Checked:
    keys = keys_to_provide(impasse, rights)
    if r.key not in keys:
        hint = nearest(str(r.key), keys)
        return r, f"{r.key!r} is no key to provide here (keys: {', '.join(keys) or 'none'}).{hint}".rstrip(".")
    if validate is None:
        return r, None
    try:
        return replace(r, value=validate(str(r.key), r.value)), None
    except OrchestratorError as error:
        return r, f"the value for {r.key!r} is refused: {error}"
    except Exception as error:  # the message of a foreign error may hold the value
        return r, f"the value for {r.key!r} is refused ({type(error).__name__})"


def _wait(r: Resolution, impasse: Impasse, rights: frozenset[ResolutionKind], validate: Validate | None) -> _Checked:
    del rights, validate
    if r.tool not in impasse.tools:
        return r, f"{r.tool!r} is not to blame, so waiting for it helps nothing (to blame: {_list(impasse.tools)})"
    longest = longest_wait(impasse)
    if not _positive(r.seconds) or r.seconds is None or r.seconds > longest:
        return r, f"a wait is a positive number of seconds of at most {longest:g}, not {_number(r.seconds)}"
    return replace(r, seconds=float(r.seconds)), None


def _approve(r: Resolution, impasse: Impasse, rights: frozenset[ResolutionKind], validate: Validate | None) -> _Checked:
    del rights, validate
    about = tools_to_allow(impasse)
    return r, None if r.what in about else f"{r.what!r} is not what is to be approved ({_list(about)})"


def _allow(r: Resolution, impasse: Impasse, rights: frozenset[ResolutionKind], validate: Validate | None) -> _Checked:
    del rights, validate
    about = tools_to_allow(impasse)
    return r, None if r.tool in about else f"{r.tool!r} is not a tool that can be allowed here ({_list(about)})"


def _always(r: Resolution, impasse: Impasse, rights: frozenset[ResolutionKind], validate: Validate | None) -> _Checked:
    del impasse, rights, validate
    return r, None


def _raise_budget(
    r: Resolution, impasse: Impasse, rights: frozenset[ResolutionKind], validate: Validate | None
) -> _Checked:
    del rights, validate
    more = {"usd": r.usd, "seconds": r.seconds, "calls": r.calls}
    asked = {name: value for name, value in more.items() if value is not None}
    if not asked:
        return r, "a raised budget says by how much: usd, seconds or calls"
    for name, value in asked.items():
        if name not in impasse.budget_left:
            return r, f"this run has no limit in {name} (limits: {_list(tuple(impasse.budget_left))})"
        if not _positive(value) or value > 1e9 or (name == "calls" and not isinstance(value, int)):
            return r, f"a budget is raised by a positive number of {name}, not {_number(value)}"
    return r, None


_CHECKS: Final[
    Mapping[
        ResolutionKind,
        Callable[[Resolution, Impasse, frozenset[ResolutionKind], Validate | None], _Checked],
    ]
] = {
    K.DEMOTE: _demote,
    K.PROVIDE: _provide,
    K.WAIT: _wait,
    K.APPROVE: _approve,
    K.ALLOW: _allow,
    K.STOP: _always,
    K.REPLAN: _always,
    K.RAISE_BUDGET: _raise_budget,
}


def _verb(kind: ResolutionKind) -> str:
    return {
        "wait": "wait for a tool",
        "raise_budget": "raise the budget",
        "allow": "allow a tool",
        "replan": "plan again",
    }.get(kind, str(kind))


def _positive(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf


def _number(value: Any) -> str:
    return repr(value) if isinstance(value, int | float) else type(value).__name__


def _list(names: tuple[str, ...]) -> str:
    return ", ".join(names) or "none"
