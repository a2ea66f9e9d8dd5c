"""What is installed: the name of the distribution, its optional packages, and where the shipped catalogue lies."""

from pathlib import Path
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


def missing_extra(what: str, package: str, extra: str) -> str:
    """One sentence about a missing package: what needs it, its extra, the page on installing it.

    It contains no command: until the distribution is published, a command could install another project's package.
    """
    return f"{what} needs {package}, which is not installed: it comes with the extra {extra!r} (see {INSTALL_PAGE})."
