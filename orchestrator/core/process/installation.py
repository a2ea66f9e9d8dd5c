"""What is installed: the name of the distribution, its optional packages, and where the shipped catalogue lies."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Final

_PACKAGE = Path(__file__).parents[2]


def catalog_root() -> Path:
    """`orchestrator/catalog` where that folder exists (a wheel), else the repository root."""
    inside = _PACKAGE / "catalog"
    return inside if inside.is_dir() else _PACKAGE.parent


def catalog_folder(name: str) -> Path:
    """The catalogue's folder `name`: `agents`, `tools` or `policies`."""
    return catalog_root() / name


DISTRIBUTION: Final = "orchestrator-routing"
"""The name of this framework on a package index. `orchestrator` there is another project."""
INSTALL_PAGE: Final = "docs/how-to/install.md"
"""The page on installing the framework with an extra, from a checkout or a wheel."""


EXTRAS: Final[Mapping[str, tuple[str, ...]]] = {
    "documents": (
        "pypdf",
        "pdfminer",
        "pypdfium2",
        "trafilatura",
        "lxml_html_clean",
        "lxml",
        "bs4",
        "charset_normalizer",
        "python_calamine",
        "msoffcrypto",
        "olefile",
        "stopwordsiso",
        "PIL",
        "tesserocr",
        "tessdata",
        "markdown",
        "httpx",
        "duckdb",
    ),
    "mcp": ("mcp",),
    "ui": ("starlette", "jinja2", "uvicorn", "multipart"),
    "serve": ("starlette", "uvicorn"),
    "postgres": ("psycopg",),
    "procrastinate": ("psycopg", "procrastinate"),
    "pgqueuer": ("psycopg", "pgqueuer"),
    "llm": ("langchain", "langchain_openai", "langchain_anthropic", "langchain_ollama", "genai_prices"),
    "http": ("httpx", "yaml"),
}
"""Extra -> its modules."""
_COME_WITH: Final[Mapping[str, str]] = {"mcp_types": "mcp", "httpx2": "mcp"}
"""Module that another one brings -> the extra of that."""


def extra_of(module: str) -> str:
    """The extra that brings a module; empty for none."""
    found = next((extra for extra, modules in EXTRAS.items() if module in modules), "")
    return found or _COME_WITH.get(module, "")


def import_part(module: str, what: str) -> ModuleType:
    """Import a module of the framework. Raises `ModuleNotFoundError` that names the extra which `what` needs."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        extra = extra_of(missing)
        if not extra:
            raise
        raise ModuleNotFoundError(missing_extra(what, missing, extra), name=error.name) from None


def missing_extra(what: str, package: str, extra: str) -> str:
    """One sentence about a missing package: what needs it, its extra, the page on installing it.

    It contains no command: until the distribution is published, a command could install another project's package.
    """
    return f"{what} needs {package}, which is not installed: it comes with the extra {extra!r} (see {INSTALL_PAGE})."
