"""Delivery of a brief: whole or not at all, found again, taken away again, and never anybody else's markup."""

import os
import re
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator import NOT_DONE, CallerError, Orchestrator, Status, Tool, Unavailable
from orchestrator.testing import lose_answer
from tests.catalog.conftest import DOCUMENTS

Catalog = Mapping[str, Tool]
WRITERS = {"write_html": ".html", "write_markdown": ".md"}
writers = pytest.mark.parametrize("writer", WRITERS)


def brief(**changes: Any) -> Any:
    """A brief with these fields changed."""
    fields = {
        "title": "Tides",
        "source": "tides.pdf",
        "kind": "pdf",
        "words": 9,
        "summary": "Up. Down.",
        "keywords": [],
    }
    return SimpleNamespace(**(fields | changes))


@writers
def test_a_brief_is_written_once_however_often(catalog: Catalog, tmp_path: Path, writer: str) -> None:
    out = tmp_path / "new" / "folder"
    first = catalog[writer](brief=brief(), out_dir=out)
    content = first.read_bytes()
    assert catalog[writer](brief=brief(), out_dir=out) == first
    assert first.read_bytes() == content
    assert [path.name for path in out.iterdir()] == [f"tides.pdf{WRITERS[writer]}"]


@writers
def test_reconcile_knows_what_was_written(catalog: Catalog, tmp_path: Path, writer: str) -> None:
    tool = catalog[writer]
    assert tool.reconcile is not None
    assert tool.reconcile(brief=brief(), out_dir=tmp_path) is NOT_DONE
    path = tool(brief=brief(), out_dir=tmp_path)
    assert tool.reconcile(brief=brief(), out_dir=tmp_path) == path
    assert tool.reconcile(brief=brief(summary="Changed."), out_dir=tmp_path) is NOT_DONE


@writers
def test_compensation_takes_it_away_and_may_be_repeated(catalog: Catalog, tmp_path: Path, writer: str) -> None:
    tool = catalog[writer]
    path = tool(brief=brief(), out_dir=tmp_path)
    assert tool.compensate is not None
    tool.compensate(path)
    tool.compensate(path)
    assert list(tmp_path.iterdir()) == []


@writers
def test_a_write_that_breaks_leaves_what_was_there(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writer: str
) -> None:
    path = catalog[writer](brief=brief(), out_dir=tmp_path)
    before = path.read_bytes()

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    monkeypatch.setattr(os, "link", full)
    with pytest.raises(Unavailable, match="No space"):
        catalog[writer](brief=brief(summary="Longer."), out_dir=tmp_path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@writers
def test_a_folder_that_is_a_file_is_the_callers_error(catalog: Catalog, tmp_path: Path, writer: str) -> None:
    (tmp_path / "briefs").write_text("a file")
    with pytest.raises(CallerError, match="the folder for briefs cannot be written to"):
        catalog[writer](brief=brief(), out_dir=tmp_path / "briefs")


@writers
def test_a_file_system_without_hard_links(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writer: str
) -> None:
    def no_links(*_: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    first = catalog[writer](brief=brief(), out_dir=tmp_path, document=Path("/a/x.txt"))
    other = catalog[writer](brief=brief(), out_dir=tmp_path, document=Path("/b/x.txt"))
    assert first != other
    assert sorted(tmp_path.iterdir()) == sorted([first, other])


class Tags(HTMLParser):
    """The tags and texts of a page, as a browser would see them."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def page(path: Path) -> Tags:
    """A page, parsed."""
    tags = Tags()
    tags.feed(path.read_text(encoding="utf-8"))
    return tags


HOSTILE = '</title><script>alert(1)</script><img src=x onerror="alert(2)">{summary}\x1b[31m\x00\u202e'


def test_a_hostile_title_stays_text_in_html(catalog: Catalog, tmp_path: Path) -> None:
    safe = page(catalog["write_html"](brief=brief(), out_dir=tmp_path / "safe"))
    hostile = page(
        catalog["write_html"](
            brief=brief(title=HOSTILE, source=HOSTILE, kind=HOSTILE, summary=HOSTILE, keywords=[HOSTILE]),
            out_dir=tmp_path,
        )
    )
    assert hostile.tags == safe.tags
    text = "".join(hostile.text)
    assert "<script>alert(1)</script>" in text
    assert not any(mark in text for mark in "\x1b\x00\u202e")


@pytest.mark.parametrize("source", ["../../evil", "/etc/passwd", "..", "a\nb", "C:\\x"])
@writers
def test_a_hostile_name_stays_in_its_folder(catalog: Catalog, tmp_path: Path, writer: str, source: str) -> None:
    out = tmp_path / "out"
    path = catalog[writer](brief=brief(source=source), out_dir=out)
    assert path.resolve().parent == out.resolve()
    assert sorted(item.name for item in tmp_path.iterdir()) == ["out"]


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "[click](javascript:alert(1))",
        "![x](http://127.0.0.1/pixel.png)",
        "**bold** _it_ `code`",
        "a\n\n# A heading",
        "| a | b |\n|---|---|\n| c | d |",
        "- an item",
        "1. an item",
        "---",
        "===",
        "~~~ fenced",
        "> quoted",
        "<http://127.0.0.1/>",
    ],
)
def test_markdown_of_a_document_stays_text(catalog: Catalog, tmp_path: Path, text: str) -> None:
    markdown = pytest.importorskip("markdown")
    path = catalog["write_markdown"](brief=brief(title=text, summary=text, keywords=[text]), out_dir=tmp_path)
    rendered = markdown.markdown(path.read_text(encoding="utf-8"), extensions=["tables", "fenced_code"])
    shown = Tags()
    shown.feed(rendered)
    assert shown.tags == ["h1", "p", "em", "p", "p"]


def test_control_characters_do_not_reach_markdown(catalog: Catalog, tmp_path: Path) -> None:
    path = catalog["write_markdown"](brief=brief(title=HOSTILE), out_dir=tmp_path)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202e]", path.read_text(encoding="utf-8"))


@writers
def test_an_answer_that_is_lost_is_found_again(orc: Orchestrator, tmp_path: Path, writer: str) -> None:
    (key,) = orc.graph[writer].gives
    inputs = {"document": DOCUMENTS / "sourdough.md", "out_dir": tmp_path}
    with orc.override(lose_answer(orc.graph[writer], times=1)):
        outcome = orc.run_sync(key, inputs)
    assert outcome.status is Status.REACHED
    assert outcome.value.is_file()
    assert [(d.kind, d.chosen) for d in outcome.decisions if d.answers] == [("reconcile", "it took place")]


def test_a_page_of_a_document(orc: Orchestrator, tmp_path: Path) -> None:
    inputs = {"document": DOCUMENTS / "night-sky.txt", "out_dir": tmp_path}
    outcome = orc.run_sync("brief_html", inputs)
    assert outcome.value == tmp_path / "night-sky.txt.html"
    assert "<h1>The night sky in August</h1>" in outcome.value.read_text(encoding="utf-8")
