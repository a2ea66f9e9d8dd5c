"""Each reader on real documents: what it reads, what its check rejects, what it refuses, and whom it is for."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from orchestrator import CallerError, Refused, Tool, Unavailable
from orchestrator.integrations.documents import Reading
from tests.catalog.conftest import DOCUMENTS

Catalog = Mapping[str, Tool]
PDF_READERS = ("pdfium", "pypdf", "pdfminer", "pdftotext", "ocr")
PROGRAMS = {"pdftotext": "pdftotext"}
KINDS = {
    "tide-gauge.pdf": "pdf",
    "orchard-cyclic.pdf": "pdf",
    "mariners-scanned.pdf": "pdf",
    "minutes-encrypted.pdf": "pdf",
    "bridge-truncated.pdf": "pdf",
    "empty.pdf": "pdf",
    "library.html": "html",
    "bee-walk.docx": "docx",
    "sourdough.md": "markdown",
    "night-sky.txt": "text",
}


def installed(reader: str) -> bool:
    """Whether the program that a reader calls is here."""
    return reader not in PROGRAMS or shutil.which(PROGRAMS[reader]) is not None


def read(catalog: Catalog, reader: str, document: str) -> str:
    """What a reader makes of a sample, its `ensure` passed."""
    if not installed(reader):
        pytest.skip(f"{PROGRAMS[reader]} is not installed")
    tool = catalog[reader]
    return reading_of(tool, DOCUMENTS / document, KINDS[document])[0]


def reading_of(tool: Tool, document: Path, kind: str, **more: Any) -> tuple[str, Reading]:
    """Text and facts that a reader gives, its `ensure` passed."""
    output = tool(document=document, kind=kind, **more)
    assert tool.ensure is not None
    tool.ensure(output)
    return output["text"], output["reading"]


@pytest.mark.parametrize(("document", "kind"), KINDS.items())
def test_the_kind_of_a_document(catalog: Catalog, document: str, kind: str) -> None:
    assert catalog["detect_kind"](document=DOCUMENTS / document) == kind


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("report", b"%PDF-1.7\n", "pdf"),
        ("late.txt", b"\xef\xbb\xbf\n%PDF-1.4", "pdf"),
        ("page", b"\n  <!DOCTYPE HTML>", "html"),
        ("page.txt", b"<html lang=en>", "html"),
        ("notes", b"plain words", "text"),
        ("archive.zip", b"PK\x03\x04rest", "zip"),
        ("program", b"\x7fELF\0\0", "unknown"),
        ("nothing", b"", "unknown"),
        ("README.MARKDOWN", b"# Words", "markdown"),
    ],
)
def test_bytes_tell_more_than_the_suffix(
    catalog: Catalog, tmp_path: Path, name: str, content: bytes, kind: str
) -> None:
    (tmp_path / name).write_bytes(content)
    assert catalog["detect_kind"](document=tmp_path / name) == kind


def test_a_document_that_is_not_there_is_the_callers_error(catalog: Catalog, tmp_path: Path) -> None:
    with pytest.raises(CallerError, match=r"it cannot be read: No such file"):
        catalog["detect_kind"](document=tmp_path / "nowhere.pdf")


@pytest.mark.parametrize(
    ("reader", "document", "words"),
    [
        ("pdfium", "tide-gauge.pdf", "recorded the level of the sea"),
        ("pdfium", "orchard-cyclic.pdf", "Only fourteen of the orchards are grazed"),
        ("pypdf", "tide-gauge.pdf", "recorded the level of the sea"),
        ("pdfminer", "tide-gauge.pdf", "recorded the level of the sea"),
        ("pdftotext", "tide-gauge.pdf", "recorded the level of the sea"),
        ("ocr", "tide-gauge.pdf", "The tide gauge at Marren Quay"),
        ("pdfminer", "orchard-cyclic.pdf", "Only fourteen of the orchards are grazed"),
        ("pdftotext", "orchard-cyclic.pdf", "Only fourteen of the orchards are grazed"),
        ("ocr", "mariners-scanned.pdf", "temporary buoy with a flashing green"),
        ("trafilatura", "library.html", "Books borrowed in the summer"),
        ("whole_page", "library.html", "Books borrowed in the summer"),
        ("docx", "bee-walk.docx", "Common carder bee | 151"),
        ("markdown", "sourdough.md", "A starter is a culture of wild yeast"),
        ("plain_text", "night-sky.txt", "tilted by only 9° and"),
    ],
)
def test_a_reader_reads(catalog: Catalog, reader: str, document: str, words: str) -> None:
    assert words in " ".join(read(catalog, reader, document).split())


@pytest.mark.parametrize("reader", ["pdfium", "pypdf", "pdfminer", "pdftotext"])
def test_a_scanned_page_is_refused_by_readers_of_text(catalog: Catalog, reader: str) -> None:
    with pytest.raises(Refused, match="its pages are pictures"):
        read(catalog, reader, "mariners-scanned.pdf")


@pytest.mark.parametrize("reader", PDF_READERS)
def test_an_encrypted_document_is_refused(catalog: Catalog, reader: str) -> None:
    with pytest.raises(Refused, match=r"^it is encrypted and needs a password$"):
        read(catalog, reader, "minutes-encrypted.pdf")


@pytest.mark.parametrize("document", ["bridge-truncated.pdf", "empty.pdf"])
@pytest.mark.parametrize("reader", PDF_READERS)
def test_a_broken_document_is_refused_and_no_fault_of_the_reader(catalog: Catalog, reader: str, document: str) -> None:
    with pytest.raises(Refused, match=r"is no sound PDF|is empty"):
        read(catalog, reader, document)


def test_the_strict_reader_refuses_a_cyclic_page_tree(catalog: Catalog) -> None:
    with pytest.raises(Refused, match=r"is no sound PDF: .*cyclic"):
        read(catalog, "pypdf", "orchard-cyclic.pdf")


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 cut off"])
def test_a_broken_word_document_is_refused(catalog: Catalog, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.docx"
    path.write_bytes(content)
    with pytest.raises(Refused, match=r"it is (no sound Word document|empty)"):
        catalog["docx"](document=path, kind="docx")


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize(("reader", "package"), [("pdftotext", "poppler-utils")])
def test_a_missing_program_is_an_outage_that_says_what_to_install(catalog: Catalog, reader: str, package: str) -> None:
    with pytest.raises(Unavailable, match=package):
        catalog[reader](document=DOCUMENTS / "tide-gauge.pdf", kind="pdf")


@pytest.mark.parametrize(
    ("reader", "library", "document"),
    [
        ("pypdf", "pypdf", "tide-gauge.pdf"),
        ("pdfminer", "pdfminer.high_level", "tide-gauge.pdf"),
        ("trafilatura", "trafilatura", "library.html"),
        ("whole_page", "lxml", "library.html"),
        ("docx", "lxml", "bee-walk.docx"),
        ("ocr", "tesserocr", "mariners-scanned.pdf"),
        ("pdfium", "pypdfium2", "tide-gauge.pdf"),
    ],
)
def test_a_missing_library_is_an_outage_that_says_what_to_install(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch, reader: str, library: str, document: str
) -> None:
    monkeypatch.setitem(__import__("sys").modules, library, None)
    with pytest.raises(Unavailable, match="see the extra 'documents'"):
        catalog[reader](document=DOCUMENTS / document, kind=KINDS[document])


@pytest.mark.parametrize("reader", ["trafilatura", "whole_page"])
def test_menus_scripts_and_footers_are_left_out(catalog: Catalog, reader: str) -> None:
    text = read(catalog, reader, "library.html")
    assert "window.visits" not in text
    assert "Cookie settings" not in text


def test_a_page_without_an_article(catalog: Catalog, tmp_path: Path) -> None:
    page = tmp_path / "menu.html"
    page.write_text("<html><body></body></html>")
    with pytest.raises(Refused, match="no article"):
        catalog["trafilatura"](document=page, kind="html")


def test_markdown_loses_its_marks(catalog: Catalog) -> None:
    text = read(catalog, "markdown", "sourdough.md")
    assert text.startswith("Keeping a sourdough starter")
    assert "baking paper, let it dry" in text
    assert not any(mark in text for mark in ("**", "##", "](", "\n> "))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_plain_text_is_decoded(catalog: Catalog, tmp_path: Path, encoding: str) -> None:
    note = tmp_path / "note.txt"
    note.write_bytes("Café à 9°".encode(encoding))
    assert reading_of(catalog["plain_text"], note, "text")[0] == "Café à 9°"


def test_every_kind_has_readers_of_its_own(catalog: Catalog) -> None:
    readers = {name: tool for name, tool in catalog.items() if "text" in tool.gives and "kind" in tool.needs}
    by_kind = {
        kind: sorted(name for name, tool in readers.items() if tool.when is not None and tool.when(kind=kind))
        for kind in (*ONE_READER, "pdf", "html", "image", "unknown", "doc", "zip")
    }
    assert by_kind == ONE_READER_EACH | {
        "pdf": sorted(reader for reader in PDF_READERS if installed(reader)),
        "html": ["trafilatura", "whole_page"],
        "image": ["ocr"],
        "unknown": ["unsupported"],
        "doc": ["unsupported"],
        "zip": ["unsupported"],
    }


ONE_READER = {
    "docx": "docx",
    "pptx": "pptx",
    "spreadsheet": "spreadsheet",
    "opendocument": "opendocument",
    "epub": "epub",
    "rtf": "rtf",
    "email": "eml",
    "outlook": "outlook_msg",
    "xml": "xml",
    "markdown": "markdown",
    "text": "plain_text",
}
ONE_READER_EACH = {kind: [reader] for kind, reader in ONE_READER.items()}
