"""`docs/reference/mistakes.md` says what the mistakes really get."""

import importlib.util
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[2] / "docs"


def mistakes() -> Any:
    spec = importlib.util.spec_from_file_location("mistakes", DOCS / "mistakes.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_says_what_the_mistakes_get() -> None:
    module = mistakes()
    page = module.page()
    assert page == (DOCS / "reference" / "mistakes.md").read_text(encoding="utf-8"), "run: python docs/mistakes.py"
    rows = page.splitlines()[6:]
    assert len(rows) >= 40
    assert not any(row.endswith("| nothing |") for row in rows)
