"""Documents as people have them: damaged, nested without end, stamped, transparent, in other forms of one kind."""

import os
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from orchestrator import CallerError, Refused
from tests.catalog.test_documents_kinds import WORD, Catalog, read, zipped


@pytest.mark.parametrize(
    ("matter", "title"),
    [
        ("---\ntitle: >\n  A folded\n  title\ntags: [a]\n---\n", "A folded title"),
        ('+++\ntitle = "In TOML"\n+++\n', "In TOML"),
    ],
)
def test_front_matter_gives_the_title(catalog: Catalog, tmp_path: Path, matter: str, title: str) -> None:
    (tmp_path / "a.md").write_text(matter + "\nThe keepers met.[^1]\n\n[^1]: A note.\n")
    _, text, reading = read(catalog, tmp_path / "a.md")
    assert reading.title == title
    assert text.startswith("The keepers met.")
    assert "A note." in text


def test_the_part_of_a_mail_that_says_more_is_read(catalog: Catalog, tmp_path: Path) -> None:
    message = EmailMessage()
    message["Subject"] = "Water"
    message["From"] = "ana@example.org"
    message.set_content("See the HTML part.")
    message.add_alternative("<p>The keepers of the valley met in March to decide about the water.</p>", subtype="html")
    (tmp_path / "a.eml").write_bytes(message.as_bytes())
    assert "keepers of the valley" in read(catalog, tmp_path / "a.eml")[1]


def test_a_page_nested_beyond_all_limits_is_read(catalog: Catalog, tmp_path: Path) -> None:
    sentence = "The keepers of the valley met in March to decide about the water."
    (tmp_path / "a.html").write_text("<html><body>" + "<div>" * 20_000 + f"<p>{sentence}</p>")
    kind = catalog["detect_kind"](document=tmp_path / "a.html")
    assert sentence in catalog["whole_page"](document=tmp_path / "a.html", kind=kind)["text"]


def test_a_document_that_is_cut_off_says_so(catalog: Catalog, tmp_path: Path) -> None:
    paragraph = "<w:p><w:r><w:t>The keepers met.</w:t></w:r></w:p>"
    (tmp_path / "a.docx").write_bytes(
        zipped(word__document_dot_xml=f"<w:document {WORD}><w:body>{paragraph}<w:p><w:r><w:t>They")
    )
    _, text, reading = read(catalog, tmp_path / "a.docx")
    assert text.startswith("The keepers met.")
    assert reading.notes == ["A part of it is damaged: text may be missing."]


def test_escapes_of_terminals_and_json_are_undone(catalog: Catalog, tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("\x1b[31mThe keepers\x1b[0m of the valley met in March.\x07")
    (tmp_path / "a.json").write_text('{"size": "Gr\\u00f6\\u00dfe"}')
    assert read(catalog, tmp_path / "a.log")[1] == "The keepers of the valley met in March."
    assert read(catalog, tmp_path / "a.json")[1] == '{\n "size": "Größe"\n}'


def test_a_pipe_and_a_folder_are_no_documents(catalog: Catalog, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    for path in (tmp_path, tmp_path / "pipe.txt", Path("a\0b")):
        with pytest.raises(CallerError, match=r"is a folder|is no file|no name of a file"):
            catalog["detect_kind"](document=path)


def test_transparent_pictures_are_read_on_white(catalog: Catalog, tmp_path: Path) -> None:
    from PIL import Image, ImageDraw

    picture = Image.new("RGBA", (900, 120), (0, 0, 0, 0))
    ImageDraw.Draw(picture).text((20, 30), "Keepers of the valley", fill=(0, 0, 0, 255), font_size=60)
    picture.save(tmp_path / "a.png")
    assert "Keepers of the valley" in read(catalog, tmp_path / "a.png")[1]


def scanned_page(pdf: Any, words: str) -> None:
    """A page that is the picture of a text, with a stamp that is none."""
    from PIL import Image, ImageDraw

    picture = Image.new("L", (1000, 1400), 255)
    ImageDraw.Draw(picture).text((60, 200), words, fill=0, font_size=44)
    pdf.add_page()
    pdf.image(picture, 0, 0, pdf.w, pdf.h)
    pdf.text(10, 10, "Scanned by a program")


def test_stamps_do_not_pass_for_the_text_of_scans(catalog: Catalog, tmp_path: Path) -> None:
    from fpdf import FPDF

    pdf: Any = FPDF()
    pdf.set_font("Helvetica")
    scanned_page(pdf, "The keepers of the valley met in March.")
    pdf.output(str(tmp_path / "scan.pdf"))
    for name in ("pdfium", "pypdf", "pdfminer"):
        with pytest.raises(Refused, match="its pages are pictures"):
            catalog[name](document=tmp_path / "scan.pdf", kind="pdf")
    assert "keepers of the valley" in catalog["ocr"](document=tmp_path / "scan.pdf", kind="pdf")["text"]


def test_a_scan_costs_the_other_readers_no_reading(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fpdf import FPDF
    from pypdf import PageObject

    pdf: Any = FPDF()
    pdf.set_font("Helvetica")
    scanned_page(pdf, "The keepers of the valley met in March.")
    pdf.output(str(tmp_path / "scan.pdf"))
    read_pages: list[object] = []
    monkeypatch.setattr(PageObject, "extract_text", lambda page: read_pages.append(page) or "")
    with pytest.raises(Refused, match="its pages are pictures"):
        catalog["pypdf"](document=tmp_path / "scan.pdf", kind="pdf")
    assert not read_pages


def test_pages_that_are_pictures_among_others_are_told(catalog: Catalog, tmp_path: Path) -> None:
    from fpdf import FPDF

    pdf: Any = FPDF()
    pdf.set_font("Helvetica")
    pdf.add_page()
    pdf.multi_cell(0, text="The keepers of the valley met in March to decide about the water. " * 3)
    scanned_page(pdf, "They agreed.")
    pdf.output(str(tmp_path / "mixed.pdf"))
    _, text, reading = read(catalog, tmp_path / "mixed.pdf")
    assert "keepers of the valley" in text
    assert reading.notes == ["Pictures that were not read fill these pages: 2."]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("R&amp;D at the caf&eacute;, `&amp;` in code", "R&D at the café, &amp; in code"),
        ("un**frigging**believable and **bold**text, 2**3**2", "unfriggingbelievable and boldtext, 2**3**2"),
        ("| a | b |\n|---|---|\n| x \\| y | **z** |", "a | b\nx | y | z"),
        ("line two\\\nthree", "line two\nthree"),
    ],
)
def test_marks_of_markdown_are_taken_away(catalog: Catalog, tmp_path: Path, source: str, words: str) -> None:
    (tmp_path / "a.md").write_text(source)
    assert read(catalog, tmp_path / "a.md")[1] == words
