"""The examples of the pages on healing and failures run as they stand."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.health.monitors.stage import Stage

DOCS = Path(__file__).resolve().parents[3] / "docs"
PAGES = [DOCS / "explanation" / "healing.md", DOCS / "reference" / "failures.md"]
EXAMPLES = [
    pytest.param(code, id=f"{page.stem}-{number}")
    for page in PAGES
    for number, code in enumerate(re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL), 1)
]


@pytest.mark.parametrize("code", EXAMPLES)
def test_examples_run(code: str) -> None:
    exec(compile(code, "example", "exec"), {"__name__": "example"})


async def test_the_monitor_of_ten_lines_does_what_it_says() -> None:
    (code,) = [param.values[0] for param in EXAMPLES if "class OfficeHours" in str(param.values[0])]
    namespace: dict[str, Any] = {"__name__": "example"}
    exec(compile(str(code), "example", "exec"), namespace)
    monitor, stage = namespace["OfficeHours"](), Stage()
    stage.clock.advance(-stage.clock.time() % 86_400 + 3 * 3600)
    (night,) = await monitor.watch(stage.facts())
    assert (night.target, str(night.action)) == ("call_centre", "forbid")
    stage.clock.advance(8 * 3600)
    assert await monitor.watch(stage.facts()) == []
    body = str(code).split('night."""\n')[1]
    assert len([line for line in body.splitlines() if line.strip()]) <= 10
