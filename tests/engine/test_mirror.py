"""Every module of the engine has a test file: of its own name in the mirrored folder, or the one named here."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENGINE = ROOT / "orchestrator" / "engine"
TESTS = ROOT / "tests" / "engine"

TESTED_BY = {
    "failures": "steps/test_user_functions",
    "registration": "steps/test_scheduler",
    "options": "lifecycle/test_resume",
    "recorder": "test_promises",
    "registry": "lifecycle/test_callers",
    "runtime": "steps/test_scheduler",
    "fold": "test_promises",
    "state": "test_promises",
    "background/background": "background/test_leaving",
    "background/closing": "background/test_leaving",
    "lifecycle/child_effects": "steps/test_child_undo_crash",
    "lifecycle/compiled": "test_langgraph",
    "lifecycle/child_runs": "test_tree",
    "lifecycle/driver": "lifecycle/test_callers",
    "lifecycle/escalation": "lifecycle/test_questions",
    "lifecycle/impasses": "lifecycle/test_questions",
    "lifecycle/resolutions": "lifecycle/test_questions",
    "lifecycle/shutdown": "background/test_leaving",
    "lifecycle/finish": "steps/test_effects",
    "lifecycle/phases": "test_langgraph",
    "lifecycle/queued": "background/test_worker",
    "lifecycle/start": "lifecycle/test_begun_and_left",
    "planning/agents": "planning/test_selection",
    "planning/candidates": "planning/test_replan",
    "planning/compare": "planning/test_waits",
    "planning/demands": "planning/test_selection",
    "planning/planning": "planning/test_replan",
    "processes/nursery": "processes/test_processes",
    "processes/pool": "processes/test_processes",
    "processes/wire": "processes/test_processes",
    "processes/raising": "processes/test_processes",
    "processes/shared": "processes/test_processes",
    "processes/worker": "processes/test_processes",
    "steps/approval": "steps/test_user_functions",
    "steps/attempt_end": "steps/test_user_functions",
    "steps/children": "test_tree",
    "steps/compensate": "steps/test_effects",
    "steps/context": "lifecycle/test_questions",
    "steps/executor": "steps/test_effects",
    "steps/invocation": "steps/test_given_up",
    "steps/once": "test_tree",
    "steps/outputs": "steps/test_user_functions",
    "steps/result": "steps/test_scheduler",
    "steps/retry": "planning/test_waits",
    "steps/turn": "steps/test_quota",
}
"""Module -> the test file whose behaviours it carries, where that has another name."""


def modules() -> list[str]:
    paths = sorted(path for path in ENGINE.rglob("*.py") if path.name != "__init__.py")
    return [path.relative_to(ENGINE).with_suffix("").as_posix() for path in paths]


def own_test(module: str) -> str:
    folder, _, name = module.rpartition("/")
    return f"{folder}/test_{name}" if folder else f"test_{name}"


@pytest.mark.parametrize("module", modules())
def test_a_module_has_a_test_file(module: str) -> None:
    test = TESTED_BY.get(module, own_test(module))
    missing = f"engine/{module}.py: write tests/engine/{own_test(module)}.py, or map it here"
    assert (TESTS / f"{test}.py").exists(), missing


def test_the_map_has_no_stale_entry() -> None:
    known = set(modules())
    assert not [module for module in TESTED_BY if module not in known]
    assert not [module for module in TESTED_BY if (TESTS / f"{own_test(module)}.py").exists()]
