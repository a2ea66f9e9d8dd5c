"""The goal `brief` over every sample: how each run ends, by which tools, and how it healed on the way."""

import asyncio
import os
import runpy
import signal
from pathlib import Path
from typing import Any

import pytest

from orchestrator import DecisionKind, FailureKind, Goal, Orchestrator, Outcome, Refused, Status, Unavailable
from orchestrator.core.process.installation import catalog_root
from orchestrator.integrations.documents import reader
from orchestrator.testing import fail
from tests.catalog.conftest import DOCUMENTS

HEALTHY = {
    "tide-gauge.pdf": "pdfium",
    "orchard-cyclic.pdf": "pdfium",
    "library.html": "trafilatura",
    "bee-walk.docx": "docx",
    "sourdough.md": "markdown",
    "night-sky.txt": "plain_text",
}


def brief_of(orc: Orchestrator, document: str) -> Outcome:
    """Run the goal; and what holds for every run: no model is asked, and each failure is answered once."""
    outcome = orc.run_sync("brief", {"document": DOCUMENTS / document})
    answered = [failure for decision in outcome.decisions for failure in decision.answers]
    assert outcome.llm_calls == 0
    assert sorted(answered) == sorted(failure.id for failure in outcome.failures)
    return outcome


def readers(outcome: Outcome) -> list[str]:
    """The readers that were called, in order; what comes before and after them is the same for all."""
    called = [call.tool for call in outcome.calls]
    assert called[0] == "detect_kind"
    if not outcome.ok:
        return called[1:]
    assert called[-2:] == ["extractive_summariser", "compose_brief"]
    return called[1:-2]


@pytest.mark.parametrize(("document", "reader"), HEALTHY.items())
def test_a_healthy_document_needs_one_reader(orc: Orchestrator, document: str, reader: str) -> None:
    outcome = brief_of(orc, document)
    assert outcome.status is Status.REACHED
    assert readers(outcome) == [reader]
    assert outcome.failures == ()


@pytest.mark.parametrize(
    ("document", "title", "keyword"),
    [
        ("tide-gauge.pdf", "The tide gauge at Marren Quay in 2023", "gauge"),
        ("bee-walk.docx", "Bee walk on the sea wall, summer 2023", "wall"),
        ("sourdough.md", "Keeping a sourdough starter", "starter"),
        ("night-sky.txt", "The night sky in August", "night"),
    ],
)
def test_a_brief_says_what_the_document_is(orc: Orchestrator, document: str, title: str, keyword: str) -> None:
    brief = brief_of(orc, document).value
    assert (brief.title, brief.source) == (title, document)
    assert keyword in brief.keywords
    assert 30 < len(brief.summary.split()) < brief.words
    assert not brief.summary.startswith(title)


def test_a_broken_reader_is_healed_by_another(orc: Orchestrator) -> None:
    with orc.override(fail(orc.graph["pdfium"], error=Unavailable("gone"))):
        outcome = brief_of(orc, "tide-gauge.pdf")
    assert outcome.status is Status.REACHED
    assert readers(outcome) == ["pdfium", "pypdf"]
    assert [d.chosen_tools[0] for d in outcome.decisions if d.kind is DecisionKind.REROUTE] == ["pypdf"]
    assert outcome.value.title == "The tide gauge at Marren Quay in 2023"


def test_a_scanned_document_heals_down_to_ocr(orc: Orchestrator) -> None:
    outcome = brief_of(orc, "mariners-scanned.pdf")
    assert outcome.status is Status.REACHED
    assert readers(outcome)[:3] == ["pdfium", "pypdf", "pdfminer"]
    assert readers(outcome)[-1] == "ocr"
    assert {failure.kind for failure in outcome.failures} <= {FailureKind.REFUSAL, FailureKind.OUTAGE}
    assert outcome.value.title == "NOTICE TO MARINERS No. 7"
    assert outcome.value.notes == ["Its pages were read by OCR."]


def test_a_scanned_document_escalates_where_there_is_no_ocr(orc: Orchestrator) -> None:
    with orc.override(fail(orc.graph["ocr"], error=Unavailable("tesserocr is not installed"))):
        outcome = brief_of(orc, "mariners-scanned.pdf")
    assert outcome.status is Status.ESCALATED
    assert outcome.failures[-1].kind is FailureKind.OUTAGE


@pytest.mark.parametrize("document", ["minutes-encrypted.pdf", "bridge-truncated.pdf", "empty.pdf"])
def test_a_document_nobody_can_read_escalates(orc: Orchestrator, document: str) -> None:
    outcome = brief_of(orc, document)
    assert outcome.status is Status.ESCALATED
    assert readers(outcome)[:3] == ["pdfium", "pypdf", "pdfminer"]
    assert outcome.impasse is not None
    assert "text" in outcome.impasse.unreachable
    assert {failure.kind for failure in outcome.failures} <= {FailureKind.REFUSAL, FailureKind.OUTAGE}


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize("document", HEALTHY)
def test_most_documents_need_no_other_program(orc: Orchestrator, document: str) -> None:
    assert brief_of(orc, document).status is Status.REACHED


def test_broken_documents_leave_the_readers_healthy(orc: Orchestrator) -> None:
    for _ in range(6):
        assert not brief_of(orc, "empty.pdf").ok
    assert orc.health.status("pdfium").circuit == "closed"
    assert readers(brief_of(orc, "tide-gauge.pdf")) == ["pdfium"]


def test_a_lesser_goal_for_a_document_without_words(orc: Orchestrator) -> None:
    outcome = orc.run_sync(Goal("brief", demotions=["kind"]), {"document": DOCUMENTS / "empty.pdf"})
    assert (outcome.status, outcome.value) == (Status.DEMOTED, "pdf")


def test_a_brief_is_reachable_from_a_document_alone(orc: Orchestrator) -> None:
    tools = orc.plan("brief", {"document": DOCUMENTS / "tide-gauge.pdf"}).tools
    assert (tools[0], tools[2:]) == ("detect_kind", ("extractive_summariser", "compose_brief"))


def test_the_samples_are_remade_byte_by_byte(tmp_path: Path) -> None:
    pytest.importorskip("fpdf")
    script = runpy.run_path(str(DOCUMENTS.parent / "make_documents.py"))
    made: list[Path] = script["make_documents"](tmp_path)
    assert sorted(path.name for path in made) == sorted(path.name for path in DOCUMENTS.iterdir())
    for path in made:
        assert path.read_bytes() == (DOCUMENTS / path.name).read_bytes(), path.name


@pytest.mark.parametrize("jobs", [1, 16])
async def test_many_scans_take_no_reader_from_the_good_documents(jobs: int) -> None:
    documents = [DOCUMENTS / "mariners-scanned.pdf"] * 24 + [DOCUMENTS / "tide-gauge.pdf"] * 6
    turns = asyncio.Semaphore(jobs)
    async with Orchestrator.from_project(catalog_root(), policy="documents") as orc:
        with orc.override(fail(orc.graph["ocr"], error=Refused("no words"))):

            async def one(document: Path) -> Outcome:
                async with turns:
                    return await orc.run("text", {"document": document})

            outcomes = await asyncio.gather(*map(one, documents))
        assert [outcome.ok for outcome in outcomes] == [False] * 24 + [True] * 6
        assert {call.tool for outcome in outcomes[24:] for call in outcome.calls} == {"detect_kind", "pdfium"}
        assert {orc.health.status(name).circuit for name in ("pdfium", "pypdf", "pdfminer", "ocr")} == {"closed"}


@pytest.mark.parametrize("jobs", [1, 4])
async def test_documents_that_crash_a_reader_do_not_take_it_from_the_others(tmp_path: Path, jobs: int) -> None:
    (tmp_path / "crash.pdf").write_bytes(b"%PDF-1.4 crash")
    good = (DOCUMENTS / "tide-gauge.pdf").read_bytes()
    documents: list[Path] = []
    for number in range(4):
        (tmp_path / f"{number}.pdf").write_bytes(good)
        documents += [tmp_path / "crash.pdf", tmp_path / f"{number}.pdf"]
    turns = asyncio.Semaphore(jobs)
    async with Orchestrator.from_project(catalog_root(), policy="documents") as orc:
        native = orc.graph["pdfium"].call

        @reader("pdfium", "pdf", seconds=0.05)
        def fragile(document: Path, kind: str, password: str | None = None) -> dict[str, Any]:
            if document.name == "crash.pdf":
                os.kill(os.getpid(), signal.SIGSEGV)
            return native(document, kind, password)

        with orc.override(fragile):

            async def one(document: Path) -> Outcome:
                async with turns:
                    return await orc.run("text", {"document": document})

            outcomes = await asyncio.gather(*map(one, documents))
            assert orc.health.status("pdfium").circuit == "closed"
    crashes = [failure for outcome in outcomes for failure in outcome.failures if failure.tool == "pdfium"]
    assert {(failure.kind, "SIGSEGV" in failure.message) for failure in crashes} == {(FailureKind.REFUSAL, True)}
    assert {call.tool for outcome in outcomes[1::2] for call in outcome.calls} == {"detect_kind", "pdfium"}


async def test_what_was_slow_before_does_not_change_who_reads_next(tmp_path: Path) -> None:
    paragraph = "<p>The apples came early this year, and they were sweeter, said the growers of the valley.</p>"
    menu = (
        "<div><ul>"
        + "".join(f'<li><a href="/{n}">Menu entry {n}. Buy now.</a></li>' for n in range(40))
        + "</ul></div>"
    )
    for name, count in (("small", 4), ("big", 1500)):
        body = "".join(paragraph.replace("apples", f"apples no. {n}") for n in range(count))
        page = f"<!doctype html><html><body>{menu}<article><h1>Apple harvest</h1>{body}</article></body></html>"
        (tmp_path / f"{name}.html").write_text(page)
    async with Orchestrator.from_project(catalog_root(), policy="balanced") as orc:
        for name in ("small", "big", "small", "small"):
            outcome = await orc.run("brief", {"document": tmp_path / f"{name}.html"})
            assert readers(outcome) == ["trafilatura"]
            assert (outcome.value.title, "Menu" in outcome.value.summary) == ("Apple harvest", False)
