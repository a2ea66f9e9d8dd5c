"""Where the shipped catalogue lies: inside the wheel, or at the root of the repository."""

from pathlib import Path

_PACKAGE = Path(__file__).parents[2]


def catalog_root() -> Path:
    """`orchestrator/catalog` where that folder exists (a wheel), else the repository root."""
    inside = _PACKAGE / "catalog"
    return inside if inside.is_dir() else _PACKAGE.parent


def catalog_folder(name: str) -> Path:
    """The catalogue's folder `name`: `agents`, `tools` or `policies`."""
    return catalog_root() / name
