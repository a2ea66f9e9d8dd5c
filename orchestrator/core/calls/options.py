"""Checks the options of public calls: an unknown name or a value of the wrong kind is an error, at once.

Python does not check annotations: `Unpack[ToolOptions]` accepts any keyword at run time. `checked` reads the same
annotations once per function and checks every call against them. Nothing is converted.
"""

import functools
import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar, cast, get_args, get_origin

from typing_extensions import Unpack
from typing_extensions import get_type_hints as hints_of

from orchestrator.core.errors import DefinitionError, OrchestratorError, nearest

from .option_kinds import ANYTHING, OptionKind, option_kind
from .signatures import annotations_of, signature_of

F = TypeVar("F", bound=Callable[..., Any])
C = TypeVar("C", bound=type)
MAX_SHOWN_VALUE = 40
"""Characters of a value that a message shows."""


class Options:
    """The options of one call, by name."""

    def __init__(
        self,
        kinds: Mapping[str, OptionKind],
        positional: tuple[tuple[str, OptionKind], ...] = (),
        open_ended: bool = False,
        rest: tuple[str, OptionKind] | None = None,
    ) -> None:
        self.kinds = kinds
        self._positional = positional
        """The positional parameters in order, including `self`."""
        self._open_ended = open_ended
        self._rest = rest
        """The kind of `*args`, if there are any."""

    def check(self, what: str, given: Mapping[str, Any], error: type[OrchestratorError] = DefinitionError) -> None:
        """Raises `error` for a name that is no option of `what`, or a value of the wrong kind."""
        for name, value in given.items():
            kind = self.kinds.get(name)
            if kind is not None:
                if type(value) not in kind.exact and not kind.accepts(value):
                    raise error(wrong_kind(what, name, kind, value))
            elif not self._open_ended:
                raise error(unknown_option(what, name, self.kinds))

    def check_call(
        self, what: str, args: tuple[Any, ...], given: Mapping[str, Any], error: type[OrchestratorError]
    ) -> None:
        """As `check`, for a call with positional arguments."""
        for (name, kind), value in zip(self._positional, args, strict=False):
            if kind is ANYTHING or type(value) in kind.exact:
                continue
            keys: Any = value
            if type(value) is dict and kind.plain_keys and kind.plain_keys.issuperset(map(type, keys)):
                continue
            if not (kind.test and kind.test(value)):
                raise error(wrong_kind(what, name, kind, value))
        if self._rest is not None:
            for value in args[len(self._positional) :]:
                if not self._rest[1].accepts(value):
                    raise error(wrong_kind(what, *self._rest, value))
        if given:
            self.check(what, given, error)


def check_names(what: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Raises `DefinitionError` for an unknown name, for calls that pass their options on."""
    names = list(known)
    for name in given:
        if name not in names:
            raise DefinitionError(unknown_option(what, name, names))


def unknown_option(what: str, name: str, known: Iterable[str]) -> str:
    """The message for a name that is no option."""
    names = [each for each in known if each not in ("self", "cls")]
    hint = nearest(name, names) or f" Known: {', '.join(sorted(names)) or 'none'}."
    return f"{what} has no option {name!r}.{hint}"


def wrong_kind(what: str, name: str, kind: OptionKind, value: Any) -> str:
    """The message for a value of the wrong kind; for a list or a mapping about the wrong member."""
    found = _member_at_fault(name, kind, value)
    if found is not None:
        name, kind, value = found
    return f"{what}: {name} is {kind.words}, not {shown_value(value)}.{_hint(name, kind, value)}"


def _member_at_fault(name: str, kind: OptionKind, value: Any) -> tuple[str, OptionKind, Any] | None:
    """The first wrong member of a list or a mapping, with the expected kind."""
    members: list[tuple[str, int, Any]] = []
    if isinstance(value, list | tuple):
        members = [(f"{name}[{n}]", 0, item) for n, item in enumerate(cast("Iterable[Any]", value))]
    elif isinstance(value, Mapping):
        entries: Mapping[Any, Any] = value  # pyright: ignore[reportUnknownVariableType]
        for key, item in entries.items():
            members += [(f"a key of {name}", 0, key), (f"{name}[{key!r}]", 1, item)]
    shape = "mapping" if isinstance(value, Mapping) else "list"
    for each in kind.inner if kind.shape == "union" else (kind,):
        if each.shape == shape:
            for where, place, item in members:
                if not each.inner[place].accepts(item):
                    return where, each.inner[place], item
    return None


def _hint(name: str, kind: OptionKind, value: Any) -> str:
    gives = getattr(value, "gives", None)
    if name == "goal" and isinstance(gives, Mapping):
        return f" Write {next(iter(cast('Mapping[str, Any]', gives)))!r}, the key that it gives."
    called = getattr(value, "name", None)
    if isinstance(called, str) and not isinstance(value, type) and kind.accepts(called):
        return f" Write {called!r}, its name."
    return " Put it in a list: [...]." if kind.accepts([value]) else ""


def shown_value(value: Any) -> str:
    """A value in a message: numbers and short texts unchanged, of everything else the type."""
    if (
        value is None
        or isinstance(value, bool | int | float)
        or (isinstance(value, str) and len(value) <= MAX_SHOWN_VALUE)
    ):
        return repr(value)
    if inspect.isclass(value):
        return f"the class {value.__name__}"
    name = getattr(value, "__name__", None) or getattr(value, "name", None)
    if inspect.iscoroutine(value):
        value.close()  # else Python warns that it was never awaited
        return f"what a call of the async function {name!r} gives. Leave out the call: {name}"
    of = type(value).__name__
    return f"the {of.lower() if of[0].islower() else of} {name!r}" if isinstance(name, str) else f"a value of type {of}"


@functools.cache
def options_of(declared: type) -> Options:
    """The options that a `TypedDict` declares."""
    return Options({name: option_kind(hint) for name, hint in _hints(declared).items()})


def signature_options(call: Callable[..., Any]) -> Options:
    """The options of a function, read from its signature and annotations."""
    hints = _hints(call)
    kinds: dict[str, OptionKind] = {}
    positional: list[tuple[str, OptionKind]] = []
    open_ended, rest = False, None
    for parameter in signature_of(call).parameters.values():
        annotation = hints.get(parameter.name, Any)
        match parameter.kind:
            case inspect.Parameter.VAR_KEYWORD if get_origin(annotation) is Unpack:
                kinds.update(options_of(get_args(annotation)[0]).kinds)
            case inspect.Parameter.VAR_KEYWORD:
                open_ended = True
            case inspect.Parameter.VAR_POSITIONAL:
                rest = (parameter.name, option_kind(annotation))
            case _:
                kind = option_kind(annotation)
                if parameter.kind is not inspect.Parameter.POSITIONAL_ONLY:
                    kinds[parameter.name] = kind
                if parameter.kind is not inspect.Parameter.KEYWORD_ONLY:
                    positional.append((parameter.name, kind))
    return Options(kinds, tuple(positional), open_ended, rest)


def _hints(target: Any) -> dict[str, Any]:
    """Type hints; what cannot be resolved (names imported for type checkers alone) is left out."""
    try:
        return hints_of(target, include_extras=True)
    except NameError:
        pass
    found: dict[str, Any] = {}
    namespace = vars(sys.modules[target.__module__])
    for name, annotation in annotations_of(target).items():
        try:
            found[name] = eval(annotation, dict(namespace)) if isinstance(annotation, str) else annotation
        except NameError:
            continue
    return found


def misfit(what: str, call: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
    """The message for arguments that do not bind to the parameters of `call`: too many, too few, or one given twice."""
    parameters = [p for p in signature_of(call).parameters.values() if p.name not in ("self", "cls")]
    values = args[len(signature_of(call).parameters) - len(parameters) :]
    by_place = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if len(values) > len(by_place):
        allowed = ", ".join(by_place) or "nothing"
        return f"{what} takes {allowed} by position; give the rest by name, not {shown_value(values[len(by_place)])}."
    twice = [name for name in by_place[: len(values)] if name in kwargs]
    if twice:
        return f"{what} was given {twice[0]} twice: by position and by name."
    missing = [
        p.name
        for p in parameters
        if p.default is p.empty
        and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
        and p.name not in (*by_place[: len(values)], *kwargs)
    ]
    return f"{what} needs {' and '.join(missing)}."


def _refuse_unbound(
    problem: TypeError,
    what: str,
    call: Callable[..., Any],
    error: type[OrchestratorError],
    args: Any,
    kwargs: Mapping[str, Any],
) -> None:
    """Raise a message about arguments that do not bind; an error of the function itself is raised unchanged."""
    if problem.__traceback__ is not None and problem.__traceback__.tb_next is None:
        raise error(misfit(what, call, args, kwargs)) from None


def checked(error: type[OrchestratorError] = DefinitionError, *, what: str = "") -> Callable[[F], F]:
    """Decorator: check the options of each call of a public function, raising `error`.

    `what` names the function in messages; the default is its name, or the class's for `__init__`.
    """

    def decorate(call: F) -> F:
        label = what or _label(call)

        @functools.cache
        def options() -> Options:  # read at the first call: annotations may name what is defined below
            return signature_options(call)

        if inspect.iscoroutinefunction(call):

            @functools.wraps(call)
            async def later(*args: Any, **kwargs: Any) -> Any:
                options().check_call(label, args, kwargs, error)
                try:
                    work = call(*args, **kwargs)
                except TypeError as problem:
                    _refuse_unbound(problem, label, call, error, args, kwargs)
                    raise
                return await work

            return cast("F", later)

        @functools.wraps(call)
        def now(*args: Any, **kwargs: Any) -> Any:
            options().check_call(label, args, kwargs, error)
            try:
                return call(*args, **kwargs)
            except TypeError as problem:
                _refuse_unbound(problem, label, call, error, args, kwargs)
                raise

        return cast("F", now)

    return decorate


def checked_init(error: type[OrchestratorError] = DefinitionError) -> Callable[[C], C]:
    """Class decorator: check the options of the constructor, as `checked` does; for dataclasses."""

    def decorate(made: C) -> C:
        setattr(made, "__init__", checked(error, what=made.__name__)(vars(made)["__init__"]))  # noqa: B010
        return made

    return decorate


def _label(call: Callable[..., Any]) -> str:
    owner, _, name = call.__qualname__.rpartition(".")
    return owner if name == "__init__" else f"{name}()"
