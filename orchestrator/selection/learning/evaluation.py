"""Judgements of work. They are stored beside the ledger of a run, which is closed before they are made."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from orchestrator.core.errors import DefinitionError, InputError
from orchestrator.core.event_records import from_body, to_body
from orchestrator.core.events import WorkJudged
from orchestrator.store.protocol import Store

Judge = Callable[[Mapping[str, Any], Any], Any]
"""`judge(inputs, output)`: a `Judgement`, `True`, `False`, or `None` for none; may be async. `inputs` are by key, and
`output` is the value of the agent's only key, or a mapping for several."""

TRUSTED: Final = 0.5
"""Default weight of a judge's judgement; a person's weighs 1."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """A judge's verdict on a piece of work. Raises `InputError` for a weight outside (0, 1]."""

    good: bool | None
    """`None`: no usable judgement; nothing is learned, and its cost still counts."""
    sure: float = TRUSTED
    """How sure the judge is, in (0, 1]: the weight of the outcome."""
    reason: str = ""
    """The reason, for the caller of the judge; never recorded, because it may quote the work."""
    usd: float = 0.0
    """Cost of judging in US dollars."""
    tokens: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.sure <= 1:
            raise InputError(f"How sure a judge is, is a number above 0, up to 1, not {self.sure!r}.")


def check_judge(judge: Any, whose: str) -> Judge | None:
    """Validate a configured judge. Raises `DefinitionError` for an object that cannot judge."""
    if judge is not None and not callable(judge):
        raise DefinitionError(f"{whose}: a judge is a function (inputs, output) or a ModelJudge, not {judge!r}.")
    return cast("Judge | None", judge)


def as_judgement(verdict: Any) -> Judgement:
    """A judge's return value as a `Judgement`. Raises `InputError` for any other type."""
    if verdict is None or isinstance(verdict, bool):
        return Judgement(verdict)
    if isinstance(verdict, Judgement):
        return verdict
    raise InputError(f"a judge gives a Judgement, True, False or None, not a {type(verdict).__name__}")


def judge_name(judge: Judge) -> str:
    """The name of a judge in records."""
    name = getattr(judge, "name", None)
    return name if isinstance(name, str) and name else str(getattr(judge, "__name__", type(judge).__name__))


def keep_judgement(store: Store, judged: WorkJudged) -> None:
    """Store a judgement. Raises `StoreError`."""
    store.put_document(_kind(judged.run_id), {"at": judged.at, **to_body(judged)})


def judgements_of(store: Store, run_id: str) -> tuple[WorkJudged, ...]:
    """The judgements of the work of a run, in order. Raises `StoreError`."""
    found: list[WorkJudged] = []
    for number in store.document_versions(_kind(run_id)):
        body = store.document(_kind(run_id), number) or {}
        at = body.pop("at", 0.0)
        found.append(cast("WorkJudged", from_body("WorkJudged", run_id, at, body)))
    return tuple(found)


def _kind(run_id: str) -> str:
    return f"judged:{run_id}"


__all__ = ["Judge", "Judgement", "as_judgement", "check_judge", "judge_name", "judgements_of", "keep_judgement"]
