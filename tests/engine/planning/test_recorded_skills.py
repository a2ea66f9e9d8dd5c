"""Skills found in runs that were recorded: by a process that runs nothing, and only where texts were kept."""

from pathlib import Path
from typing import Any

import pytest

from orchestrator import Agent, Orchestrator, Policy, Unavailable
from orchestrator.observability.learn_skills import SkillSearch, learn_skills, recorded_work
from orchestrator.selection import Handbook
from orchestrator.selection.skills.storage import change_handbook, stored_handbook
from orchestrator.store import MemoryStore, open_store
from orchestrator.testing import ScriptedChatModel

KEPT = Policy(keep_values=True)
THINGS = [f"{a}{b}" for a in ("gate", "door", "shed", "wall", "desk", "boat") for b in ("s", "let", "way", "side")]
PAINT = [f"a fresh coat of paint for the {thing}" for thing in THINGS]
SUMS = [f"add up what the invoice of the {thing} says" for thing in THINGS]


def painter(job: str) -> str:
    return "painted" if "paint" in job else "nothing"


def clerk(job: str) -> str:
    return "summed" if "add up" in job else "nothing"


def well_done(inputs: Any, output: Any) -> bool:
    return bool(output != "nothing")


def team() -> list[Agent]:
    return [
        Agent(painter, name="painter", gives="result", skills={"work": 0.8}),
        Agent(clerk, name="clerk", gives="result", skills={"work": 0.8}),
    ]


async def runs(store: Any, policy: Policy, *, declared: bool = True, rounds: int = 1) -> None:
    """Both agents at both kinds of work, judged."""
    for agent in team():
        async with Orchestrator(agents=[agent], store=store, policy=policy, judge=well_done) as orc:
            if declared:
                orc.require_skills("result", {"work": 1})
            for number in range(rounds):
                for job in (*PAINT, *SUMS):
                    outcome = await orc.run("result", {"job": job if not number else f"{job} again"})
                    assert outcome.value


async def test_a_skill_is_split_by_what_runs_have_shown(tmp_path: Path) -> None:
    where = str(tmp_path / "runs.db")
    await runs(where, KEPT)
    store = open_store(where)
    before = stored_handbook(store)
    work = recorded_work(store)
    assert (work.runs, work.steps, work.texts, work.judged) == (96, 96, 96, 96)
    assert {seen.weight for seen in work.observations} == {0.5}
    tried = await learn_skills(store, dry_run=True)
    assert tried.proposal.changed
    assert not tried.stored
    assert stored_handbook(store) == before
    learned = await learn_skills(store)
    assert learned.stored
    assert learned.proposal.after == tried.proposal.after  # the same work, the same proposal
    assert stored_handbook(store) == learned.handbook
    again = await learn_skills(store)
    assert not again.stored
    store.close()
    async with Orchestrator(agents=team(), store=where) as orc:
        orc.require_skills("result", {"work": 1})
        assert (await orc.run("result", {"job": "paint for the barn"})).value == "painted"
        assert (await orc.run("result", {"job": "add up what the bill says"})).value == "summed"


async def test_skills_are_discovered_by_the_orchestrator_itself(tmp_path: Path) -> None:
    orc = Orchestrator(agents=[team()[0]], policy=KEPT, judge=well_done, store=str(tmp_path / "runs.db"))
    async with orc:
        for job in (*PAINT, *SUMS):
            await orc.run("result", {"job": job})
        await orc._evaluator.drain(10)  # pyright: ignore[reportPrivateUsage]
        tried = await orc.learn_skills(dry_run=True)
        assert tried.proposal.changed
        assert not orc.selector.handbook.skills
        learned = await orc.learn_skills()
        assert learned.stored
        assert orc.selector.handbook.skills == learned.handbook.skills
        assert {s.provenance for s in learned.handbook.skills.values()} <= {"discovered", "split"}
        orc.add(team()[1])
        outcome = await orc.run("result", {"job": "paint for the barn"})
        (select,) = [d for d in outcome.decisions if d.kind == "select"]
        assert select.facts["source"] == "inferred"


async def test_without_texts_it_says_what_is_missing(tmp_path: Path) -> None:
    where = str(tmp_path / "runs.db")
    async with Orchestrator(agents=team(), store=where) as orc:
        nothing = await orc.learn_skills()
        assert nothing.work.why_nothing == "No run is recorded in this store."
        await orc.run("result", {"job": PAINT[0]})
        learned = await orc.learn_skills()
    assert not learned.stored
    assert "keep_values = true" in learned.work.why_nothing
    assert learned.proposal.notes == (learned.work.why_nothing,)
    async with Orchestrator(agents=team(), policy=KEPT, store=MemoryStore()) as orc:  # which stores no values
        await orc.run("result", {"job": PAINT[0]})
        assert "what they were about" in (await orc.learn_skills()).work.why_nothing


async def test_failures_count_and_people_outweigh_judges(tmp_path: Path) -> None:
    def broken(job: str) -> str:
        raise Unavailable("gone")

    def empty(output: str) -> bool:
        return False

    where = str(tmp_path / "runs.db")
    agents = [
        Agent(broken, name="broken", gives="result", skills={"work": 1.0}),
        Agent(painter, name="empty", gives="result", skills={"work": 0.9}, ensure=empty, retries=0),
        team()[0],
    ]
    async with Orchestrator(agents=agents, store=where, policy=KEPT, judge=well_done) as orc:
        orc.require_skills("result", {"work": 1})
        outcome = await orc.run("result", {"job": PAINT[0]})
        await orc._evaluator.drain(10)  # pyright: ignore[reportPrivateUsage]
        orc.feedback(outcome.run_id, "result", success=False)
    store = open_store(where)
    seen = {each.agent: each for each in recorded_work(store).observations}
    store.close()
    assert set(seen) == {"empty", "painter"}  # that nobody answered says nothing of the work
    assert (seen["empty"].success, seen["empty"].weight) == (False, 0.25)
    assert (seen["painter"].success, seen["painter"].weight) == (False, 1.0)
    assert seen["painter"].text == PAINT[0]
    assert seen["painter"].demand.weights == {"work": 1.0}


async def test_a_handbook_that_others_change_meanwhile_is_learned_into_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = str(tmp_path / "runs.db")
    await runs(where, KEPT)
    store = open_store(where)
    swaps: list[int] = []
    swap = store.swap_document

    def others_first(kind: str, data: Any, after: int, keep: int) -> bool:
        swaps.append(after)
        if len(swaps) == 1:
            monkeypatch.setattr(store, "swap_document", swap)
            change_handbook(store, lambda book: book.merge(Handbook.of(["theirs"])))
            monkeypatch.setattr(store, "swap_document", others_first)
        return swap(kind, data, after, keep)

    monkeypatch.setattr(store, "swap_document", others_first)
    model = ScriptedChatModel(["I cannot tell"], repeat=True)
    learned = await learn_skills(store, SkillSearch(model=model))
    assert learned.stored
    assert len(swaps) == 2
    found = stored_handbook(store)
    assert found is not None
    assert "theirs" in found.skills
    assert "work/1" in found.skills
    store.close()
