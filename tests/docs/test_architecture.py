"""The change table of ARCHITECTURE.md: its counts are those of the source, and the paths that it names exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
COUNTED = {
    "a decision kind": r"\bDecisionKind\.[A-Z]",
    "a failure class": r"\bFailureKind\.[A-Z]",
    "the price, or a policy field in it": r"\bstep_cost\b",
    "an event": r"\bEffectUndone\b",
    "a field of `Outcome`": r"\bOutcome\(",
    "when a circuit opens": r"\bconsecutive\b",
    "back-off": r"\bwait_exponential\b|\bbackoff\b|\bpause_before\b",
    "a tool option": r"\bundo_cost\b",
    "redaction": r"\bredact\(",
    "calling a user's function, sync or async": r"core\.calls\.user_code import|\.user_code import",
}
"""Row of the table -> what names the concept in the code; for an event and a tool option, one of them."""


def rows() -> dict[str, tuple[str, str]]:
    found = re.findall(r"^\| ([^|]+) \| ([^|]*) \| ([^|]+) \|$", PAGE, re.MULTILINE)
    return {change.strip(): (count.strip(), where) for change, count, where in found}


def files_that_name(pattern: str) -> int:
    paths = [path for path in (ROOT / "orchestrator").rglob("*.py") if "migrations" not in path.parts]
    return sum(re.search(pattern, path.read_text(encoding="utf-8")) is not None for path in paths)


@pytest.mark.parametrize("change", COUNTED)
def test_the_table_states_no_fewer_files_than_there_are(change: str) -> None:
    assert change in rows(), f"no row {change!r}"
    assert files_that_name(COUNTED[change]) <= int(rows()[change][0])


def test_every_path_in_the_page_exists() -> None:
    named = set(re.findall(r"`((?:[a-z_]+/)+[a-z_]*(?:\.(?:py|md))?)`", PAGE))
    missing = [name for name in named if not (ROOT / name).exists() and not (ROOT / "orchestrator" / name).exists()]
    assert named
    assert missing in ([], ["orchestrator/catalog/"])  # only in the wheel
