"""`Resolution`: the closed set of answers to an impasse."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from pydantic_core import PydanticSerializationError, to_jsonable_python

from orchestrator.core.calls.options import checked
from orchestrator.core.errors import DefinitionError, InputError
from orchestrator.core.goal import Goal


class ResolutionKind(StrEnum):
    """What an answer to an impasse does."""

    DEMOTE = "demote"
    PROVIDE = "provide"
    WAIT = "wait"
    APPROVE = "approve"
    ALLOW = "allow"
    STOP = "stop"
    RAISE_BUDGET = "raise_budget"
    REPLAN = "replan"


@dataclass(frozen=True, slots=True)
class Resolution:
    """One answer to an impasse; made by the constructors below, whose names are its kinds."""

    kind: ResolutionKind
    goal: tuple[str, ...] = ()
    """`demote`: the keys of the lesser goal."""
    key: str | None = None
    """`provide`: the key that gets a value."""
    value: Any = None
    """`provide`: that value."""
    tool: str | None = None
    """`wait`, `allow`: the tool."""
    what: str | None = None
    """`approve`: what is approved, mostly a tool."""
    seconds: float | None = None
    """`wait`: how long; `raise_budget`: how much longer."""
    usd: float | None = None
    """`raise_budget`: how many US dollars more."""
    calls: int | None = None
    """`raise_budget`: how many calls more."""
    message: str = ""
    """Why; for people and the record."""
    by: str | None = field(default=None, compare=False)
    """Who answered."""
    at: float | None = field(default=None, compare=False)
    """When, in seconds since the epoch."""

    def __post_init__(self) -> None:
        if self.kind not in tuple(ResolutionKind):
            known = ", ".join(f"Resolution.{kind}()" for kind in ResolutionKind)
            raise InputError(f"There is no resolution of the kind {self.kind!r}. Make one with {known}.")

    @classmethod
    @checked(InputError, what="Resolution.demote()")
    def demote(cls, goal: "str | Goal[Any] | Iterable[str]", message: str = "") -> "Resolution":
        """Take this declared lesser goal instead."""
        return cls(ResolutionKind.DEMOTE, goal=Goal.of(goal).keys, message=message)

    @classmethod
    @checked(InputError, what="Resolution.provide()")
    def provide(cls, key: str, value: Any, message: str = "") -> "Resolution":
        """Here is the value of a key."""
        return cls(ResolutionKind.PROVIDE, key=key, value=value, message=message)

    @classmethod
    @checked(InputError, what="Resolution.wait()")
    def wait(cls, tool: str, seconds: float, message: str = "") -> "Resolution":
        """Wait for a tool to come back, then try again."""
        return cls(ResolutionKind.WAIT, tool=tool, seconds=seconds, message=message)

    @classmethod
    @checked(InputError, what="Resolution.approve()")
    def approve(cls, what: str, message: str = "") -> "Resolution":
        """Yes to what was asked: a risky step, leaving behind what cannot be undone."""
        return cls(ResolutionKind.APPROVE, what=what, message=message)

    @classmethod
    @checked(InputError, what="Resolution.allow()")
    def allow(cls, tool: str, message: str = "") -> "Resolution":
        """Use a tool that this run may not use. For an uncertain effect: it did not happen, try again."""
        return cls(ResolutionKind.ALLOW, tool=tool, message=message)

    @classmethod
    @checked(InputError, what="Resolution.replan()")
    def replan(cls, message: str = "") -> "Resolution":
        """Plan again: the graph has changed. Tools that were given up in this run may be tried again."""
        return cls(ResolutionKind.REPLAN, message=message)

    @classmethod
    @checked(InputError, what="Resolution.stop()")
    def stop(cls, message: str = "") -> "Resolution":
        """Undo what can be undone, and give up."""
        return cls(ResolutionKind.STOP, message=message)

    @classmethod
    @checked(InputError, what="Resolution.raise_budget()")
    def raise_budget(
        cls, usd: float | None = None, seconds: float | None = None, calls: int | None = None, message: str = ""
    ) -> "Resolution":
        """Raise the budget of the run by this much."""
        return cls(ResolutionKind.RAISE_BUDGET, usd=usd, seconds=seconds, calls=calls, message=message)

    @property
    def text(self) -> str:
        """The resolution in a few words, without the value, which may be private."""
        match self.kind:
            case ResolutionKind.DEMOTE:
                return f"demote to {' + '.join(self.goal)}"
            case ResolutionKind.PROVIDE:
                return f"provide {self.key}"
            case ResolutionKind.WAIT:
                return f"wait {self.seconds} s for {self.tool}"
            case ResolutionKind.APPROVE:
                return f"approve {self.what}"
            case ResolutionKind.ALLOW:
                return f"allow {self.tool}"
            case ResolutionKind.STOP:
                return "stop"
            case ResolutionKind.REPLAN:
                return "plan again"
            case ResolutionKind.RAISE_BUDGET:
                more = ((self.usd, "US dollars"), (self.seconds, "seconds"), (self.calls, "calls"))
                return "raise the budget by " + ", ".join(f"{n} {unit}" for n, unit in more if n is not None)

    def __str__(self) -> str:
        return self.text

    def answered(self, by: str | None, at: float | None) -> "Resolution":
        """The same resolution, with who gave it and when."""
        return replace(self, by=by, at=at)

    def to_json(self, *, content: bool = True) -> dict[str, Any]:
        """Plain data; without `content` the provided value is left out, as records want it.

        Raises `InputError` when the value cannot be written as JSON.
        """
        data: dict[str, Any] = {"kind": str(self.kind)}
        if self.goal:
            data["goal"] = list(self.goal)
        for name in ("key", "tool", "what", "seconds", "usd", "calls", "by", "at"):
            if getattr(self, name) is not None:
                data[name] = getattr(self, name)
        if self.message:
            data["message"] = self.message
        if content and self.kind is ResolutionKind.PROVIDE:
            try:
                data["value"] = to_jsonable_python(self.value)
            except PydanticSerializationError:
                raise InputError(
                    f"The value provided for {self.key!r} is a {type(self.value).__name__}, which cannot be written as "
                    "JSON. Provide plain data or a pydantic model."
                ) from None
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Resolution":
        """The resolution that `to_json` wrote; its value is plain data until the run validates it by the key's type.

        Raises `InputError` for anything else.
        """
        fields = {name: data[name] for name in cls.__slots__ if name in data and name not in ("kind", "goal")}
        unknown = sorted(str(name) for name in data if name not in cls.__slots__)
        try:
            if unknown:
                raise ValueError(f"unknown field {unknown[0]!r}")
            for name in ("key", "tool", "what", "message", "by"):
                if not isinstance(data.get(name, ""), str):
                    raise TypeError(f"{name} is a text")
            goal = Goal.of(data["goal"]).keys if data.get("goal") else ()
            made = cls(ResolutionKind(data["kind"]), goal=goal, **fields)
        except (KeyError, ValueError, TypeError, AttributeError, DefinitionError) as error:
            kinds = ", ".join(ResolutionKind)
            raise InputError(f"That is no resolution ({error}). Its kind is one of: {kinds}.") from None
        return made
