"""What stands where in a document: columns, cells, slides, paragraphs, parts of a mail."""

from email.message import EmailMessage
from pathlib import Path
from typing import Any

from tests.catalog.test_documents_kinds import Catalog, read, sheet, zipped

LEFT = [
    "The keepers of the valley met in March to",
    "decide about the water that comes down",
    "from the hills in spring. They agreed that",
    "the meadows come first and the mills after",
    "them, as their fathers had done before the",
    "great dry summer of that year, when none of",
    "the wells had any water until the autumn.",
]
RIGHT = [
    "A ferry crosses the bay at noon and at six,",
    "when the tide allows it and the captain has",
    "slept. Passengers pay a coin at the pier,",
    "children nothing at all, and dogs are never",
    "carried unless they keep still for an hour",
    "between the benches. In winter there is one",
    "crossing, if the ice along the wall is thin.",
]


def columns_in_turns(left: list[str], right: list[str], path: Path) -> None:
    """A page of which every row draws a line of the left column, then one of the right."""
    from fpdf import FPDF

    pdf: Any = FPDF()
    pdf.add_page()
    pdf.set_font("Helvetica", size=16)
    pdf.text(20, 20, "Notes of the coast and of the hills in spring")
    pdf.set_font("Helvetica", size=10)
    for row, (one, other) in enumerate(zip(left, right, strict=True)):
        pdf.text(20, 35 + 5 * row, one)
        pdf.text(110, 35 + 5 * row, other)
    pdf.text(20, 90, "Printed in the harbour by the society of the two valleys, as in every year before.")
    pdf.output(str(path))


def test_columns_that_are_drawn_in_turns_are_read_one_after_the_other(catalog: Catalog, tmp_path: Path) -> None:
    columns_in_turns(LEFT, RIGHT, tmp_path / "a.pdf")
    text = " ".join(catalog["pdfium"](document=tmp_path / "a.pdf", kind="pdf")["text"].split())
    assert text.startswith("Notes of the coast and of the hills in spring The keepers")
    assert " ".join(LEFT) in text
    assert " ".join(RIGHT) in text
    assert text.endswith("as in every year before.")


def test_rows_of_a_table_stay_rows(catalog: Catalog, tmp_path: Path) -> None:
    names = ["Alder", "Birch", "Common carder bee", "Dunnock", "Elder", "Field", "Gorse"]
    columns_in_turns(names, RIGHT, tmp_path / "a.pdf")
    assert f"Elder {RIGHT[4]}" in " ".join(catalog["pdfium"](document=tmp_path / "a.pdf", kind="pdf")["text"].split())


def test_a_sheet_shows_its_numbers_by_their_formats(catalog: Catalog, tmp_path: Path) -> None:
    cells = (
        '<row r="2"><c r="B2" s="1"><v>0.25</v></c><c r="D2" s="2"><v>-1234.5</v></c>'
        '<c r="F2"><v>0.30000000000000004</v></c></row><row r="3"><c r="D3" s="0"><v>7</v></c></row>'
    )
    code = '<numFmts><numFmt numFmtId="170" formatCode="&quot;$&quot;#,##0.00"/></numFmts>'
    used = '<cellXfs><xf numFmtId="0"/><xf numFmtId="10"/><xf numFmtId="170"/></cellXfs>'
    (tmp_path / "a.xlsx").write_bytes(sheet(cells, code + used))
    _, text, _ = read(catalog, tmp_path / "a.xlsx")
    assert "25.00% | -$1,234.50 | 0.3\n| 7\n" in text


def test_the_slides_of_sections_are_no_further_slides(catalog: Catalog, tmp_path: Path) -> None:
    namespaces = 'xmlns:p="urn:p" xmlns:r="urn:r" xmlns:a="urn:a"'
    slides = '<p:sldIdLst><p:sldId id="256" r:id="rId1"/></p:sldIdLst>'
    sections = '<p:extLst><p:section><p:sldIdLst><p:sldId id="256"/></p:sldIdLst></p:section></p:extLst>'
    raw = zipped(
        ppt__presentation_dot_xml=f"<p:presentation {namespaces}>{slides}{sections}</p:presentation>",
        ppt___rels__presentation_dot_xml_dot_rels='<R><Relationship Id="rId1" Target="slides/slide1.xml"/></R>',
        ppt__slides__slide1_dot_xml=f"<p:sld {namespaces}><a:p><a:t>The keepers met.</a:t></a:p></p:sld>",
    )
    (tmp_path / "a.pptx").write_bytes(raw)
    _, text, reading = read(catalog, tmp_path / "a.pptx")
    assert (text, reading.pages, reading.notes) == ("The keepers met.", 1, [])


def test_line_ends_of_the_source_end_no_paragraph(catalog: Catalog, tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(
        "<html><body><article><h1>Water</h1><p>The <code>keepers</code> of the valley met in\nMarch to decide about the"
        "\nwater.</p><p>They <a href='/x'>agreed</a> that\nthe meadows come first.</p></article></body></html>"
    )
    _, text, _ = read(catalog, tmp_path / "a.html")
    assert "The keepers of the valley met in March to decide about the water.\n" in text
    assert "They agreed that the meadows come first." in text


def test_a_mail_in_utf16_and_a_page_in_the_charset_of_its_part(catalog: Catalog, tmp_path: Path) -> None:
    message = EmailMessage()
    message["Subject"] = "Water"
    message["From"] = "ana@example.org"
    message.set_content("<p>Über das Wasser: café, naïve.</p>", subtype="html", charset="iso-8859-15")
    (tmp_path / "latin.eml").write_bytes(message.as_bytes())
    (tmp_path / "wide.eml").write_bytes(message.as_string().encode("utf-16"))
    (tmp_path / "bare.eml").write_bytes(message.as_string().encode("utf-16-be"))
    for name in ("latin.eml", "wide.eml", "bare.eml"):
        assert "Über das Wasser: café, naïve." in read(catalog, tmp_path / name)[1]


def test_a_mail_in_a_mail_is_no_attachment_that_was_left_out(catalog: Catalog, tmp_path: Path) -> None:
    inner = EmailMessage()
    inner["Subject"] = "Inner"
    inner.set_content("The keepers met in March.")
    message = EmailMessage()
    message["Subject"] = "Outer"
    message["From"] = "ana@example.org"
    message.set_content("See below.")
    message.add_attachment(inner)
    (tmp_path / "a.eml").write_bytes(message.as_bytes())
    _, text, reading = read(catalog, tmp_path / "a.eml")
    assert "The keepers met in March." in text
    assert reading.notes == []


def test_paragraphs_end_within_cells_of_rich_text(catalog: Catalog, tmp_path: Path) -> None:
    row = r"\trowd\cellx2000\cellx4000{{\pard\intbl One\par}\cell{\pard\intbl Two\par}\cell}\row"
    (tmp_path / "a.rtf").write_text(rf"{{\rtf1 {{\pard Before\par}}{row}{{\pard After\par}}}}")
    _, text, _ = read(catalog, tmp_path / "a.rtf")
    assert text == "Before\n\nOne | Two\nAfter"
