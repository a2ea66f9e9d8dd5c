"""Each kind of document on small files made here: what is visible is read, what limits were reached is said."""

import io
import zipfile
from collections.abc import Callable, Mapping
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from orchestrator import Orchestrator, Refused, Status, Tool
from orchestrator.integrations.documents import Reading

Catalog = Mapping[str, Tool]
WORD = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
DRAW = 'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main"'
DECK = 'xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main"'
OFFICE = (
    'xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0"'
    ' xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0"'
    ' xmlns:table="urn:oasis:names:tc:opendocument:xmlns:table:1.0"'
)
RELATION = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


def zipped(**members: str) -> bytes:
    """A ZIP archive; in names `__` stands for `/` and `_dot_` for `.`."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/").replace("_dot_", "."), content)
    return written.getvalue()


def word_document() -> bytes:
    def p(inner: str) -> str:
        return f"<w:p>{inner}</w:p>"

    def t(text: str) -> str:
        return f"<w:r><w:t>{text}</w:t></w:r>"

    box = f"<w:r><w:pict><w:txbxContent>{p(t('TEXTBOX'))}</w:txbxContent></w:pict></w:r>"
    nested = f"<w:tbl><w:tr><w:tc>{p(t('NESTED'))}</w:tc></w:tr></w:tbl>"
    table = f"<w:tbl><w:tr><w:tc>{p(t('CELL'))}</w:tc><w:tc>{p(t('outer'))}{nested}</w:tc></w:tr></w:tbl>"
    body = (
        p('<w:pPr><w:pStyle w:val="Heading1"/></w:pPr>' + t("A heading"))
        + p(t("before ") + f"<w:sdt><w:sdtContent>{t('INLINE')}</w:sdtContent></w:sdt>")
        + f"<w:sdt><w:sdtContent>{p(t('BLOCK'))}</w:sdtContent></w:sdt>"
        + p(f"<w:ins>{t('INSERTED')}</w:ins><w:del><w:r><w:delText>DELETED</w:delText></w:r></w:del>")
        + p(f"<w:smartTag>{t('TAGGED')}</w:smartTag>" + box)
        + p("<w:r><w:rPr><w:vanish/></w:rPr><w:t>VANISHED</w:t></w:r>")
        + table
        + p(t("AFTER the table"))
    )
    relations = f'<Relationships><Relationship Id="r9" Type="{RELATION}/image" Target="NULL"/></Relationships>'
    return zipped(
        word__document_dot_xml=f"<w:document {WORD}><w:body>{body}</w:body></w:document>",
        word___rels__document_dot_xml_dot_rels=relations,
        word__header1_dot_xml=f"<w:hdr {WORD}>{p(t('HEADER'))}</w:hdr>",
        word__footnotes_dot_xml=f"<w:footnotes {WORD}><w:footnote>{p(t('FOOTNOTE'))}</w:footnote></w:footnotes>",
        docProps__core_dot_xml="<coreProperties><title>The real title</title></coreProperties>",
    )


def presentation() -> bytes:
    title = (
        '<p:sp><p:nvSpPr><p:nvPr><p:ph type="title"/></p:nvPr></p:nvSpPr><a:p><a:r><a:t>A deck</a:t></a:r></a:p></p:sp>'
    )
    table = "<a:tbl><a:tr><a:tc><a:p><a:r><a:t>left</a:t></a:r></a:p></a:tc></a:tr></a:tbl>"
    slides = f'<p:sldIdLst><p:sldId id="256" xmlns:r="{RELATION}" r:id="r2"/></p:sldIdLst>'
    return zipped(
        ppt__presentation_dot_xml=f"<p:presentation {DECK}>{slides}</p:presentation>",
        ppt___rels__presentation_dot_xml_dot_rels=(
            '<Relationships><Relationship Id="r2" Target="slides/slide7.xml"/></Relationships>'
        ),
        ppt__slides__slide7_dot_xml=f"<p:sld {DECK} {DRAW}>{title}{table}</p:sld>",
    )


def text_document() -> bytes:
    table = (
        "<table:table><table:table-row><table:table-cell><text:p>one</text:p></table:table-cell>"
        "<table:table-cell><text:p>two</text:p></table:table-cell></table:table-row></table:table>"
    )
    body = f"<text:h>A survey</text:h><text:p>Of<text:s text:c='2'/>trees.</text:p>{table}"
    return zipped(
        mimetype="application/vnd.oasis.opendocument.text",
        content_dot_xml=f"<office:document {OFFICE}><office:body>{body}</office:body></office:document>",
    )


def book() -> bytes:
    package = (
        "<package><metadata><title>A short book</title></metadata><manifest>"
        '<item id="b" href="two.xhtml"/><item id="a" href="one.xhtml"/></manifest>'
        '<spine><itemref idref="a"/><itemref idref="b"/></spine></package>'
    )
    return zipped(
        mimetype="application/epub+zip",
        **{
            "META-INF__container_dot_xml": '<container><rootfile full-path="b/c.opf"/></container>',
            "b__c_dot_opf": package,
            "b__one_dot_xhtml": "<html><body><p>First chapter.</p></body></html>",
            "b__two_dot_xhtml": "<html><body><p>Second chapter.</p></body></html>",
        },
    )


def mail() -> bytes:
    message = EmailMessage()
    message["From"], message["To"] = "ann@example.test", "bob@example.test"
    message["Subject"], message["Date"] = "Fähre fällt aus", "Mon, 4 Mar 2024 09:00:00 +0000"
    message.set_content("Die Fähre fällt heute aus.")
    message.add_attachment(b"x", maintype="application", subtype="pdf", filename="plan.pdf")
    return message.as_bytes()


def form() -> bytes:
    """A PDF with a filled field that has no appearance, a ticked box, a free text and a hidden note."""
    objects = (
        "<</Type/Catalog/Pages 2 0 R/AcroForm<</Fields[4 0 R 5 0 R]/DA(/Helv 0 Tf 0 g)>>>>",
        "<</Type/Pages/Kids[3 0 R]/Count 1>>",
        "<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 300]/Annots[4 0 R 5 0 R 6 0 R 7 0 R]>>",
        "<</Type/Annot/Subtype/Widget/FT/Tx/T(Name)/V(Alice Adeyemi)/Rect[10 10 200 30]/P 3 0 R>>",
        "<</Type/Annot/Subtype/Widget/FT/Btn/T(Agreed)/V/Yes/AS/Yes/Rect[10 40 20 50]/AP<</N<</Yes 8 0 R>>>>/P 3 0 R>>",
        "<</Type/Annot/Subtype/FreeText/Contents(Stamped on arrival)/Rect[10 60 200 90]/DA(/Helv 9 Tf)>>",
        "<</Type/Annot/Subtype/Text/Contents(Secret)/F 2/Rect[10 90 20 99]>>",
        "<</Type/XObject/Subtype/Form/BBox[0 0 9 9]/Length 0>>stream\n\nendstream",
    )
    out, offsets = b"%PDF-1.7\n", list[int]()
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += f"{number} 0 obj\n{body}\nendobj\n".encode()
    table = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    trailer = f"trailer<</Size 9/Root 1 0 R>>\nstartxref\n{len(out)}\n%%EOF"
    return out + f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}{trailer}".encode()


BEES = '<row r="1"><c r="A1" t="inlineStr"><is><t>Species</t></is></c><c r="B1"><v>297</v></c></row>'


def sheet(cells: str = BEES, styles: str = "") -> bytes:
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    types = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    return zipped(
        **{
            "[Content_Types]_dot_xml": (
                '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
                f'<Override PartName="/xl/workbook.xml" ContentType="{types}.sheet.main+xml"/></Types>'
            ),
            "_rels__.rels": (
                '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
                f'<Relationship Id="r1" Type="{RELATION}/officeDocument" Target="xl/workbook.xml"/></Relationships>'
            ),
            "xl__workbook_dot_xml": (
                f'<workbook xmlns="{main}" xmlns:r="{RELATION}">'
                '<sheets><sheet name="Bees" sheetId="1" r:id="r1"/></sheets></workbook>'
            ),
            "xl___rels__workbook_dot_xml_dot_rels": (
                '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
                f'<Relationship Id="r1" Type="{RELATION}/worksheet" Target="worksheets/sheet1.xml"/></Relationships>'
            ),
            "xl__comments1_dot_xml": (
                f'<comments xmlns="{main}"><commentList><comment ref="B2">'
                "<text><r><t>check this</t></r></text></comment></commentList></comments>"
            ),
            "xl__worksheets__sheet1_dot_xml": f'<worksheet xmlns="{main}"><sheetData>{cells}</sheetData></worksheet>',
            "xl__styles_dot_xml": f'<styleSheet xmlns="{main}">{styles}</styleSheet>',
        }
    )


def read(catalog: Catalog, path: Path) -> tuple[str, str, Reading]:
    """The kind of a file, and what the first reader of that kind makes of it."""
    kind = str(catalog["detect_kind"](document=path))
    readers = [t for t in catalog.values() if {"text", "reading"} <= set(t.gives) and t.when and t.when(kind=kind)]
    reader: Tool = min(readers, key=lambda tool: (tool.risk, tool.planned_latency(), tool.name))
    output: dict[str, Any] = reader(document=path, kind=kind)
    assert reader.ensure is not None
    reader.ensure(output)
    return kind, output["text"], output["reading"]


@pytest.mark.parametrize(
    ("name", "make", "kind", "words", "title"),
    [
        ("a.pptx", presentation, "pptx", ["A deck", "left"], "A deck"),
        ("a.odt", text_document, "opendocument", ["A survey", "Of trees.", "one | two"], "A survey"),
        ("a.epub", book, "epub", ["First chapter.\n\nSecond chapter."], "A short book"),
        ("a.eml", mail, "email", ["Fähre fällt heute aus", "From: ann@example.test"], "Fähre fällt aus"),
        ("a.xlsx", sheet, "spreadsheet", ["Bees", "Species | 297", "Comment at B2: check this"], "Bees"),
        ("form.pdf", form, "pdf", ["Name: Alice Adeyemi", "Agreed: yes", "Stamped on arrival"], None),
        ("a.rtf", lambda: rb"{\rtf1\ansi Some {\b words}\par}", "rtf", ["Some words"], None),
        (
            "a.xml",
            lambda: b"<?xml version='1.0'?><a><title>T</title><b>one <i>two</i></b></a>",
            "xml",
            ["one two"],
            "T",
        ),
    ],
)
def test_what_is_visible_is_read(
    catalog: Catalog,
    tmp_path: Path,
    name: str,
    make: Callable[[], bytes],
    kind: str,
    words: list[str],
    title: str | None,
) -> None:
    (tmp_path / name).write_bytes(make())
    found, text, reading = read(catalog, tmp_path / name)
    assert found == kind
    for expected in words:
        assert expected in text
    assert (reading.title or reading.heading) == title
    assert "Secret" not in text


def test_all_of_a_word_document_in_its_order(catalog: Catalog, tmp_path: Path) -> None:
    (tmp_path / "a.docx").write_bytes(word_document())
    kind, text, reading = read(catalog, tmp_path / "a.docx")
    assert kind == "docx"
    places = [
        text.index(mark)
        for mark in (
            "before INLINE", "BLOCK", "INSERTED", "TAGGED", "TEXTBOX", "CELL | outer NESTED", "AFTER", "FOOTNOTE",
            "Header: HEADER",
        )
    ]  # fmt: skip
    assert places == sorted(places)
    assert "DELETED" not in text
    assert "VANISHED" not in text
    assert (reading.title, reading.heading) == ("The real title", "A heading")


def test_attachments_that_are_not_read_are_told(catalog: Catalog, tmp_path: Path) -> None:
    (tmp_path / "a.eml").write_bytes(mail())
    assert read(catalog, tmp_path / "a.eml")[2].notes == ["Attachments that were not read: plan.pdf."]


def test_markdown_keeps_its_facts(catalog: Catalog, tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text(
        '---\ntitle: "The sum"\n---\n\n3*4 = 12, 20_000 and snake_case_name\n\n1984. A *good* __year__.\n\n'
        "| a | b |\n|---|---|\n| 1 | 2 |\n\n`x*y*z` \\*not\\* a < b\n"
    )
    _, text, reading = read(catalog, tmp_path / "a.md")
    assert text == ("3*4 = 12, 20_000 and snake_case_name\n\n1984. A good year.\n\na | b\n1 | 2\n\nx*y*z *not* a < b")
    assert reading.title == "The sum"


def test_an_archive_within_limits(catalog: Catalog, tmp_path: Path) -> None:
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("word/document.xml", "w") as member:
        for _ in range(230):
            member.write(b" " * 1_000_000)
    (tmp_path / "bomb.docx").write_bytes(bomb.getvalue())
    with pytest.raises(Refused, match="unpacks to more than 200 MB"):
        catalog["docx"](document=tmp_path / "bomb.docx", kind="docx")


def test_an_encrypted_pdf_is_read_with_its_password(orc: Orchestrator) -> None:
    samples = Path(__file__).parents[2] / "examples" / "documents"
    inputs = {"document": samples / "minutes-encrypted.pdf", "password": "marren-1887"}
    outcome = orc.run_sync("brief", inputs)
    assert outcome.status is Status.REACHED
    assert outcome.value.title == "Minutes of the closed session of 12 January"
    wrong = orc.run_sync("brief", {**inputs, "password": "guess"})
    assert "the password is wrong" in wrong.failures[0].message


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.zip", zipped(a_dot_txt="x"), "it is an archive of other files"),
        ("a.bin", b"\x7fELF\x00\x01\x02\xff\xfe" * 40, "it is no document of a kind"),
        ("none", b"", "it is empty"),
    ],
)
def test_what_nobody_can_read_is_told_in_a_sentence(
    orc: Orchestrator, tmp_path: Path, name: str, content: bytes, sentence: str
) -> None:
    (tmp_path / name).write_bytes(content)
    outcome = orc.run_sync("brief", {"document": tmp_path / name})
    assert outcome.status is Status.ESCALATED
    assert sentence in outcome.failures[0].message
    assert len(outcome.failures) == 1


def test_two_documents_of_one_name_make_two_briefs(orc: Orchestrator, tmp_path: Path) -> None:
    for folder, words in (("one", "The first note of all."), ("two", "The second note of all.")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "note.txt").write_text(words)
    made = [
        orc.run_sync("brief_file", {"document": tmp_path / folder / "note.txt", "out_dir": tmp_path / "out"}).value
        for folder in ("one", "two", "one")
    ]
    assert [path.name for path in made] == ["note.txt.md", "note.txt-2.md", "note.txt.md"]
    assert "first note" in made[0].read_text()
    made[0].write_text("mine")
    again = orc.run_sync("brief_file", {"document": tmp_path / "one" / "note.txt", "out_dir": tmp_path / "out"})
    assert (again.value.name, made[0].read_text()) == ("note.txt-3.md", "mine")
    inputs = {"document": tmp_path / "one" / "note.txt", "out_dir": tmp_path / "out", "overwrite": True}
    assert orc.run_sync("brief_file", inputs).value == made[0]
    assert "first note" in made[0].read_text()
