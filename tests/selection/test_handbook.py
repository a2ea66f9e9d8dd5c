"""One versioned document: what goes in, what is refused, and the way back."""

import json
import os
from pathlib import Path

import pytest

from orchestrator.errors import DefinitionError
from orchestrator.selection import Demand, Evidence, Handbook, Insight, Observation, Profile, Skill
from orchestrator.selection.learning.updates import learn


@pytest.fixture
def handbook() -> Handbook:
    return Handbook.of([Skill(id="x", indicators=("ex",)), "y"])


def test_each_operation_is_a_version(handbook: Handbook) -> None:
    later = handbook.with_skills(Skill(id="z")).with_skills(Skill(id="w"))
    assert (handbook.version, later.version) == (1, 3)
    assert set(later.skills) == {"w", "x", "y", "z"}
    assert "z" not in handbook.skills


def test_json_and_back(handbook: Handbook, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "handbook.json"
    full = handbook.next("profile a", {"profiles": {"a": Profile(skills={"x": Evidence(successes=3, failures=1)})}})
    full.save(path)
    assert Handbook.load(path) == full
    assert Handbook.from_json(full.to_json()).to_json() == full.to_json()
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert [p.name for p in path.parent.iterdir()] == ["handbook.json"]


def test_diff_names_every_place(handbook: Handbook) -> None:
    later = handbook.with_skills(Skill(id="x", indicators=("ex", "why")), Skill(id="z"))
    changes = handbook.diff(later)
    assert [change.path for change in changes] == [("skills", "x", "indicators"), ("skills", "z")]
    assert "nothing -> " in str(changes[1])
    assert handbook.diff(handbook) == ()


def test_roll_back_restores_what_was(handbook: Handbook) -> None:
    learned = learn(handbook, [Observation("a", Demand("x"), True)])
    later = learned.with_skills(Skill(id="z")).without_skill("z").without_profile("a")
    back = later.roll_back(2)
    assert back.version == later.version + 1
    assert back.diff(learned) == ()
    assert back.roll_back(1).diff(handbook) == ()
    assert back.roll_back(later.version).diff(later) == ()
    assert Handbook.from_json(later.to_json()).roll_back(2).diff(learned) == ()


def test_old_versions_go(handbook: Handbook) -> None:
    for number in range(30):
        handbook = handbook.next(str(number), {"insights": {"n": Insight(mode="", text=str(number))}})
    with pytest.raises(DefinitionError, match=r"Version 1 cannot.*Kept: 11, 12"):
        handbook.roll_back(1)


def test_merge_adds_the_evidence(handbook: Handbook) -> None:
    one = learn(handbook, [Observation("a", Demand("x"), True, usd=1.0), Observation("b", Demand("y"), False)])
    two = learn(Handbook.of([Skill(id="z")]), [Observation("a", Demand("z"), False, usd=3.0)])
    both = one.merge(two)
    assert both.profile("a").general.total == pytest.approx(2, abs=0.01)
    assert both.profile("a").usd.mean == 2.0
    assert both.profile("b") == one.profile("b")
    assert set(both.skills) == {"x", "y", "z"}


def test_merge_refuses_a_contradiction(handbook: Handbook) -> None:
    with pytest.raises(DefinitionError, match="skill 'x' differently"):
        handbook.merge(Handbook.of([Skill(id="x", description="something else")]))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"skills": {"x": {"id": "y"}}}, "calls itself 'y'"),
        ({"skills": {"x": {"id": "x", "parent": "z"}}}, "unknown parent 'z'"),
        ({"skills": {"x": {"id": "x", "parent": "x"}}}, "its own ancestor"),
        ({"skills": {"x": {"id": "x", "parent": "y"}, "y": {"id": "y", "parent": "x"}}}, "its own ancestor"),
        ({"skills": {"x": {"id": " "}}}, "id"),
        ({"skills": {"x": {"id": "x", "merged_into": "y"}}}, "no skill in use"),
        ({"profiles": {"a": {"skills": {"x": {"successes": 1, "failures": 0}}}}}, "unknown skills: x"),
        ({"skills": {"x": {"id": "x"}}, "profiles": {"a": {"skills": {"x": {"successes": -1}}}}}, "greater than"),
        ({"profiles": {"a": {"skills": {}, "colour": "red"}}}, "colour"),
        ({"version": 0}, "version"),
        ({"format": 2}, "format"),
    ],
)
def test_nonsense_is_refused_with_its_place(data: object, message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        Handbook.from_json(json.dumps(data))


def test_what_is_no_json_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "handbook.json"
    path.write_text('{"skills": ')
    with pytest.raises(DefinitionError, match=r"handbook\.json: This is no handbook: Invalid JSON"):
        Handbook.load(path)
    with pytest.raises(DefinitionError, match="cannot be read"):
        Handbook.load(tmp_path / "none.json")


def test_unknown_names_get_a_hint(handbook: Handbook) -> None:
    named = handbook.with_skills(Skill(id="summarise"))
    with pytest.raises(DefinitionError, match="Did you mean 'summarise'"):
        named.skill("summarize")
    with pytest.raises(DefinitionError, match="no profile of 'a'"):
        named.without_profile("a")


def test_a_skill_goes_with_its_evidence_but_not_before_its_parts(handbook: Handbook) -> None:
    learned = learn(handbook.with_skills(Skill(id="x/1", parent="x")), [Observation("a", Demand("x/1"), True)])
    with pytest.raises(DefinitionError, match="parent of x/1"):
        learned.without_skill("x")
    gone = learned.without_skill("x/1").without_skill("x")
    assert gone.profile("a").skills == {}
