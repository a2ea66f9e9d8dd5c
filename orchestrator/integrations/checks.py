"""Checks before a run: missing packages, keys of models, health checks, and expensive copies of values."""

import asyncio
import dis
import importlib.util
import inspect
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, is_dataclass
from types import CodeType
from typing import Any, Final, cast, get_origin

from pydantic import BaseModel

from orchestrator.agents.chat import ChatWorker
from orchestrator.core.process.installation import EXTRAS, extra_of
from orchestrator.core.types.schema import base_type, type_name
from orchestrator.graph.tool import Tool

PROVIDERS: Final[Mapping[str, tuple[str, str]]] = {
    "openai": ("langchain_openai", "OPENAI_API_KEY"),
    "anthropic": ("langchain_anthropic", "ANTHROPIC_API_KEY"),
    "google_genai": ("langchain_google_genai", "GOOGLE_API_KEY"),
    "mistralai": ("langchain_mistralai", "MISTRAL_API_KEY"),
    "groq": ("langchain_groq", "GROQ_API_KEY"),
    "cohere": ("langchain_cohere", "COHERE_API_KEY"),
    "deepseek": ("langchain_deepseek", "DEEPSEEK_API_KEY"),
    "xai": ("langchain_xai", "XAI_API_KEY"),
    "ollama": ("langchain_ollama", ""),
}
"""Provider -> the package of its models, and the variable of its key."""
CHECK_SECONDS: Final = 10.0
"""Seconds that a health check may take."""
_CONTAINERS: Final = (list, dict, set, tuple)


@dataclass(frozen=True)
class ToolCheck:
    """The findings about a tool."""

    name: str
    problems: tuple[str, ...] = ()
    copies: tuple[str, ...] = ()
    """Keys whose values are copied before each attempt, with their types."""


def missing_modules(extra: str) -> list[str]:
    """The modules of an extra that are not installed."""
    return [name for name in EXTRAS[extra] if importlib.util.find_spec(name) is None]


async def check_tool(tool: Tool) -> ToolCheck:
    """Check a tool without calling it; its health check is called."""
    problems = [*_imports(tool), *_models(tool)]
    if not problems and tool.health_check is not None:
        problems += await _health(tool.health_check)
    return ToolCheck(tool.name, tuple(problems), tuple(_copies(tool)))


def _imports(tool: Tool) -> Iterator[str]:
    """Packages that the function imports when it is called, and that are not installed."""
    call: Any = inspect.unwrap(getattr(tool.call, "func", tool.call))
    code: CodeType | None = getattr(call, "__code__", None)
    names = {name.partition(".")[0] for name in _imported(code)} if code is not None else set[str]()
    for name in sorted(names):
        try:
            found = importlib.util.find_spec(name) is not None
        except (ImportError, ValueError):
            found = False
        if not found:
            extra = extra_of(name)
            yield f"{name} is not installed" + (f" (extra {extra!r})" if extra else "")


def _imported(code: CodeType) -> Iterator[str]:
    """Names of absolute imports, without those inside `try`, which may have a fallback."""
    guarded = bool(getattr(code, "co_exceptiontable", b""))
    for instruction in dis.get_instructions(code):
        if instruction.opname == "IMPORT_NAME" and instruction.argval and (not guarded or _raises_missing(code)):
            yield str(instruction.argval)
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _imported(inner)


def _raises_missing(code: CodeType) -> bool:
    """Whether the function itself reports that a package is missing, so that it requires it."""
    return "Unavailable" in code.co_names


def _models(tool: Tool) -> Iterator[str]:
    work: Any = tool.call
    if not isinstance(work, ChatWorker) or not isinstance(work.model, str):
        return
    provider = work.model.partition(":")[0] if ":" in work.model else ""
    module, variable = PROVIDERS.get(provider, ("", ""))
    if module and importlib.util.find_spec(module) is None:
        yield f"{module} is not installed (extra 'llm')" if module in EXTRAS["llm"] else f"{module} is not installed"
    if variable and not os.environ.get(variable):
        yield f"the environment variable {variable} is not set"


async def _health(check: Callable[[], Any]) -> list[str]:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            verdict = check() if inspect.iscoroutinefunction(check) else await asyncio.to_thread(check)
            verdict = await verdict if inspect.isawaitable(verdict) else verdict
    except TimeoutError:
        return [f"its health check took longer than {CHECK_SECONDS:g} s"]
    except Exception as error:
        return [f"its health check failed: {type(error).__name__}: {error}"]
    return ["its health check says no"] if verdict is False else []


def _copies(tool: Tool) -> Iterator[str]:
    if tool.share:
        return
    keys = {**tool.needs, **tool.optional}
    for parameter, annotation in tool.parameter_types.items():
        if _is_copied(annotation):
            yield f"{keys[parameter]} ({type_name(annotation)})"


def _is_copied(annotation: Any) -> bool:
    kind: Any = base_type(annotation)
    kind = get_origin(kind) or kind
    return isinstance(kind, type) and (issubclass(kind, (*_CONTAINERS, BaseModel)) or is_dataclass(cast("Any", kind)))


__all__ = ["PROVIDERS", "ToolCheck", "check_tool", "missing_modules"]
