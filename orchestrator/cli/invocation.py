"""The options of this invocation that printed commands repeat, so that they can be pasted."""

import os
import shlex
from collections.abc import Mapping, Sequence
from typing import Final

from orchestrator.core.text import plain

DEFAULT_STORE: Final = ".orchestrator/runs.db"
DEFAULT_POLICY: Final = "balanced"
_REPEATED: Final[Mapping[str, tuple[str, str]]] = {
    "--app": ("ORCHESTRATOR_APP", ""),
    "--project": ("ORCHESTRATOR_PROJECT", ""),
    "--store": ("ORCHESTRATOR_STORE", DEFAULT_STORE),
    "--policy": ("ORCHESTRATOR_POLICY", DEFAULT_POLICY),
}
"""Option -> its environment variable, and its default, which is not repeated."""

_given: dict[str, str] = {}


def note(arguments: Sequence[str]) -> None:
    """Note the options of this invocation, from the words before `--`."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    _given.clear()
    for option, (variable, _) in _REPEATED.items():
        value = option_value(arguments[:end], option)
        if value is None and not (option == "--store" and "--app" in _given):  # a program has a store of its own
            value = os.environ.get(variable) or None
        if value is not None:
            _given[option] = value


def option_value(words: Sequence[str], option: str) -> str | None:
    """The value of an option, written `--option VALUE` or `--option=VALUE`; the last one counts."""
    found = None
    for index, word in enumerate(words):
        if word == option and index + 1 < len(words):
            found = words[index + 1]
        elif word.startswith(f"{option}="):
            found = word.partition("=")[2]
    return found


def app_given() -> str | None:
    """The `module:name` of `--app` or `ORCHESTRATOR_APP`."""
    return _given.get("--app")


def store_beside_app() -> str | None:
    """The store that `--store` names although a program was given, which has one of its own."""
    return _given.get("--store") if "--app" in _given else None


def command(*words: str, but: Sequence[str] = ()) -> str:
    """A command line to paste: the words, and the store, project and policy of this invocation."""
    parts = ["orchestrator", *words]
    for option, (_, default) in _REPEATED.items():
        value = _given.get(option, default)
        if value != default and option not in but:
            parts += [option, value]
    return plain(" ".join(word if word.isupper() else shlex.quote(word) for word in parts))


__all__ = ["app_given", "command", "note", "option_value", "store_beside_app"]
