"""The name of the distribution, and the message for an optional package that is missing."""

from typing import Final

DISTRIBUTION: Final = "orchestrator-routing"
"""The name of this framework on a package index. `orchestrator` there is another project."""
INSTALL_PAGE: Final = "docs/how-to/install.md"
"""The page on installing the framework with an extra, from a checkout or a wheel."""


def missing_extra(what: str, package: str, extra: str) -> str:
    """One sentence for a missing package: what needs it, the extra that brings it, the page on installing it.

    It holds no command: until the distribution is published, one could fetch a stranger's package.
    """
    return f"{what} needs {package}, which is not installed: it comes with the extra {extra!r} (see {INSTALL_PAGE})."


__all__ = ["DISTRIBUTION", "INSTALL_PAGE", "missing_extra"]
