"""What a person says of an agent's work: by an orchestrator and by the records alone, with the same effect."""

from pathlib import Path

import pytest

from orchestrator import Agent, InputError, Orchestrator, tool
from orchestrator.engine.lifecycle.feedback import feedback_on_record
from orchestrator.selection.learning.evaluation import judgements_of
from orchestrator.selection.skills.storage import stored_handbook
from orchestrator.store import open_store


@tool(gives="page")
def fetch(url: str) -> str:
    return url


def _program(where: Path) -> Orchestrator:
    cheap = Agent(lambda page: page, name="cheap", gives="brief", skills={"summarise": 0.8}, cost=0.001)
    dear = Agent(lambda page: page, name="dear", gives="brief", skills={"summarise": 0.9}, cost=9.0)
    orc = Orchestrator([fetch], agents=[cheap, dear], store=where)
    orc.require_skills("brief", {"summarise": 1})
    return orc


async def test_the_record_alone_teaches_what_the_program_would_learn(tmp_path: Path) -> None:
    books = []
    for name in ("program", "record"):
        async with _program(tmp_path / f"{name}.db") as orc:
            await orc.run("brief", {"url": "u"}, run_id="r")
            if name == "program":
                orc.feedback("r", "brief", False)
        store = open_store(tmp_path / f"{name}.db")
        if name == "record":
            feedback_on_record(store, "r", "brief", False)
        (judged,) = judgements_of(store, "r")
        assert (judged.tool, judged.keys, judged.good, judged.weight) == ("cheap", ("brief",), False, 1.0)
        book = stored_handbook(store)
        assert book is not None
        books.append({agent: (p.general, p.skills) for agent, p in book.profiles.items()})
        store.close()
    assert books[0] == books[1]
    assert books[0]["cheap"][0].failures == 1


async def test_what_no_agent_gave_cannot_be_judged(tmp_path: Path) -> None:
    async with _program(tmp_path / "runs.db") as orc:
        await orc.run("brief", {"url": "u"}, run_id="r")
        await orc.run("page", {"url": "u"}, run_id="plain")
        for say in (orc.feedback, lambda *words: feedback_on_record(orc.store, *words)):
            with pytest.raises(InputError, match=r"'page' .* the tool 'fetch', .* agents gave in this run: brief"):
                say("r", "page", True)
            with pytest.raises(InputError, match=r"'url' .* was given to the run"):
                say("r", "url", True)
            with pytest.raises(InputError, match=r"gave 'breif'\. Did you mean 'brief'\?"):
                say("r", "breif", True)
            with pytest.raises(InputError, match="No agent gave a value in it"):
                say("plain", "page", True)
            with pytest.raises(InputError, match="There is no run 'q'"):
                say("q", "page", True)
        assert judgements_of(orc.store, "r") == judgements_of(orc.store, "plain") == ()
