"""Remake the sample documents: `python examples/make_documents.py [FOLDER]`; without a folder, those beside this file.

Most are healthy; five are broken in ways that real documents are broken, so that a run has something to route around:

- `orchard-cyclic.pdf`: the page tree lists itself among its own children. pypdf refuses such a file; pdfium,
  pdfminer.six and Poppler skip the repeated node and read every word.
- `mariners-scanned.pdf`: a page that is only a picture. Every reader of text succeeds and finds no word; OCR reads it.
- `minutes-encrypted.pdf`: needs a user password, which no tool has.
- `bridge-truncated.pdf`: the download stopped early: cross-reference table and trailer are missing. No reader copes.
- `empty.pdf`: nothing at all.

The output does not depend on the clock or on chance: the same library versions write the same bytes.
"""

# ruff: noqa: E501  # a paragraph of a document is one line here, as it is there

import io
import re
import sys
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import docx
from fpdf import FPDF
from fpdf.enums import EncryptionMethod
from PIL import Image, ImageDraw, ImageFilter, ImageFont

WRITTEN = datetime(2024, 3, 1, 9, 0, tzinfo=UTC)
A5 = (148, 210)
"""Millimetres. By its name fpdf2 warns that the size was once another."""
USER_PASSWORD = "marren-1887"

TIDE_GAUGE = (
    "The tide gauge at Marren Quay in 2023",
    """The float gauge in the stilling well at Marren Quay recorded the level of the sea every six minutes throughout 2023. Of the 87,600 readings expected, 86,911 were received, which is 99.2 per cent and the best return since the recorder was replaced in 2014. The longest gap lasted nineteen hours in February, when ice blocked the inlet pipe of the well.""",
    """Mean sea level for the year was 2.71 metres above chart datum, 14 millimetres higher than in 2022. Over the thirty years to 2023 the level has risen by 3.1 millimetres a year, with a standard error of 0.4 millimetres. A single year says little: wind, air pressure and the 18.6-year nodal cycle of the moon move the annual mean by several centimetres either way.""",
    """The highest level of the year, 5.38 metres, came at 07:42 on 24 October, when a storm surge of 1.06 metres arrived within an hour of a spring high tide. Water stood on the fish market for forty minutes. The surge itself was only the fourth largest on record; it was the coincidence with the tide that made the flood. The lowest level, 0.12 metres, was recorded on 20 February.""",
    """A levelling survey in June found that the gauge has sunk by two millimetres relative to the three benchmarks on bedrock since 2019. The correction has been applied to all levels in this report. Without it the rise of the sea would have been overstated by half a millimetre a year.""",
    """For 2024 the harbour trust proposes a radar gauge beside the float gauge. The two would run together for at least two years, because a change of instrument that is not overlapped leaves a step in the record that no later analysis can remove.""",
)

ORCHARD = (
    "Orchard survey of the Teller valley",
    """Volunteers visited 61 traditional orchards in the Teller valley between April and October 2023. They counted 1,874 standing fruit trees, of which two thirds were apples, a quarter pears and the rest plums, cherries and a single medlar. A survey of the same parishes in 1952 had found 340 orchards.""",
    """Old trees are the heart of what remains. Four hundred and twelve trees have trunks thicker than half a metre, and nearly all of these are hollow. Hollow trunks are no sign of neglect: they shelter the noble chafer, a beetle that lives nowhere else in the county, and they were found in nine orchards.""",
    """Fruit from 230 trees was sent for identification. The DNA of 188 matched a known variety. Eleven trees matched each other but nothing in the national collection, and growers in the upper valley call the apple Teller Grey. Scions were grafted in March so that the variety no longer depends on trees past their hundredth year.""",
    """Only fourteen of the orchards are grazed, and only eight have been pruned in the last ten years. Mistletoe, which is welcome in small amounts, now covers more than a third of the crown of every second apple tree. The survey recommends a shared winter pruning team before any new planting.""",
)

MINUTES = (
    "Minutes of the closed session of 12 January",
    """The parish council met in closed session to hear three offers for the lease of the old pump house. The clerk reported that the highest offer came from a company that has not yet filed its accounts.""",
    """The council resolved to ask for the accounts and to decide in February. Councillor Adeyemi declared an interest and took no part.""",
)

BRIDGE = (
    "Inspection of the footbridge at Low Ford",
    """The timber footbridge at Low Ford was inspected on 8 May 2023 in dry weather with the river low. The deck boards were lifted at both ends and at midspan. Decay was found in two of the nine cross-bearers, to a depth of forty millimetres.""",
    """The main beams are sound. Moisture in the beams was between 17 and 19 per cent, below the 20 per cent at which decay is to be expected. The northern abutment has been undercut by about thirty centimetres since the flood of 2021.""",
    """The bridge can stay open to walkers. Cyclists should dismount until the two bearers are replaced, and the abutment should be underpinned before the winter.""",
)

MARINERS = """NOTICE TO MARINERS No. 7

The green light on the eastern pier of
Marren Harbour will be out of service
from Monday 4 March for ten days.

A temporary buoy with a flashing green
light marks the end of the pier. Vessels
entering at night should keep the buoy
to starboard and stay well clear of the
dredger working north of the channel.

Harbour Master, Marren Quay"""

LIBRARY_HTML = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Summer opening hours | Marren Public Library</title>
<style>nav a { margin-right: 1em }</style>
<script>window.visits = (window.visits || 0) + 1;</script>
</head>
<body>
<nav><a href="/">Home</a> <a href="/catalogue">Catalogue</a> <a href="/rooms">Book a room</a></nav>
<main>
<article>
<h1>Summer opening hours</h1>
<p>From 1 July to 31 August the library opens at eight in the morning and closes at four in the afternoon, Monday to
Friday. On Saturdays it stays open from ten until two. The reading room is the coolest public room in town, and anyone
may sit there without a library card.</p>
<p>Books borrowed in the summer may be kept for six weeks instead of three. They can be returned at any hour through the
flap in the east wall, and at the kiosk on the beach, which the volunteers empty every evening.</p>
<p>The local history room is closed for the whole of July. The newspapers of 1860 to 1914 are being photographed, and
when the room opens again on 1 August they can be read on the screens without gloves or an appointment.</p>
<p>Story hour moves to the garden &amp; starts at half past nine, before the heat. If it rains it takes place under the
stairs &mdash; there is room for twenty children and four of the braver parents.</p>
</article>
</main>
<footer>Marren Public Library, 3 Chapel Street. Cookie settings. Privacy.</footer>
</body>
</html>
"""

BEE_WALK = (
    "Bee walk on the sea wall, summer 2023",
    """The route of two kilometres along the sea wall was walked fourteen times between April and September, always between eleven and five o'clock, in dry weather above thirteen degrees. Every bumblebee within two metres of the walker was counted.""",
    """In all 611 bumblebees of seven species were seen. The red-tailed bumblebee made up almost half of them. The shrill carder bee, last found on the wall in 2009, was seen on three walks in August, each time on red bartsia.""",
    """Numbers fell by a third in the fortnight after the wall was mown on 3 July and took five weeks to recover. If the council mows one side of the wall at a time, the bees will always have flowers within reach.""",
)
BEE_COUNTS = [
    ("Species", "Seen"),
    ("Red-tailed bumblebee", "297"),
    ("Common carder bee", "151"),
    ("Shrill carder bee", "5"),
]

SOURDOUGH_MD = """# Keeping a sourdough starter

A starter is a **culture of wild yeast and lactic acid bacteria** in flour and water. The yeast raises the bread; the
bacteria make it sour and keep other microbes out.

## Feeding

1. Discard all but 50 grams.
2. Add 50 grams of water and 50 grams of wholemeal flour.
3. Stir, cover loosely and leave at room temperature.

At 25 degrees a healthy starter doubles in four to six hours. At 5 degrees it needs about a week, which is why a starter
that is used at weekends lives in the refrigerator. A grey liquid on top means that it is hungry, not that it is spoilt.

> Throw it away only if it turns pink or orange, or grows fur.

## Keeping a copy

Spread a spoonful thinly on [baking paper](https://example.org/paper), let it dry for two days and crumble it into a jar.
Dried starter keeps for years. Soaked in water and fed twice, it raises bread again on the third day.
"""

NIGHT_SKY_TXT = """The night sky in August

The Perseids reach their maximum on the night of 12 August. Under a dark sky a patient observer may see sixty meteors an hour after midnight, when the radiant in Perseus stands high in the north-east. The Moon is a thin crescent this year and sets early, so it will not disturb the view.

Saturn is at opposition on 27 August and is visible all night in Aquarius. Its rings are tilted by only 9° and look thinner than they have for fifteen years. A telescope of 60 mm aperture is enough to see them and the largest moon, Titan.

The café on the observatory terrace opens until midnight on clear evenings. Visitors are asked to cover their torches with red film: the eye needs twenty minutes to adapt to the dark and loses it in a second.
"""


def new_pdf(paragraphs: tuple[str, ...]) -> FPDF:
    """A titled document of A5 pages. Page streams stay readable: compression would hide what the samples are about."""
    pdf = FPDF(format=A5)
    pdf.set_creation_date(WRITTEN)
    pdf.set_title(paragraphs[0])
    pdf.set_margin(18)
    pdf.add_page()
    pdf.set_font("helvetica", style="B", size=14)
    pdf.multi_cell(0, 7, paragraphs[0], align="L", new_x="LMARGIN", new_y="NEXT")
    pdf.set_font("helvetica", size=10)
    for paragraph in paragraphs[1:]:
        pdf.ln(3)
        pdf.multi_cell(0, 5, paragraph, align="L", new_x="LMARGIN", new_y="NEXT")
    return pdf


def tide_gauge() -> bytes:
    return bytes(new_pdf(TIDE_GAUGE).output())


def orchard_cyclic() -> bytes:
    """The page tree's root (object 1) also names itself as a child: one more entry, all offsets after it corrected."""
    return with_fresh_offsets(bytes(new_pdf(ORCHARD).output()).replace(b"/Kids [3 0 R", b"/Kids [1 0 R 3 0 R", 1))


def with_fresh_offsets(pdf: bytes) -> bytes:
    """The same file with a cross-reference table that fits (ISO 32000-1, 7.5.4), for files written by fpdf2."""
    start = pdf.rindex(b"\nxref\n") + 1
    offsets = {int(found[1]): found.start() for found in re.finditer(rb"(?m)^(\d+) 0 obj$", pdf[:start])}
    table = b"xref\n0 %d\n0000000000 65535 f \n" % (len(offsets) + 1)
    table += b"".join(b"%010d 00000 n \n" % offsets[number] for number in sorted(offsets))
    trailer = re.sub(rb"startxref\n\d+", b"startxref\n%d" % start, pdf[pdf.rindex(b"trailer") :])
    return pdf[:start] + table + trailer


def minutes_encrypted() -> bytes:
    """RC4, because AES adds a random vector to each string and the file would change with every remake."""
    pdf = new_pdf(MINUTES)
    pdf.set_encryption(owner_password="clerk", user_password=USER_PASSWORD, encryption_method=EncryptionMethod.RC4)
    return bytes(pdf.output())


def mariners_scanned() -> bytes:
    """The notice as a slightly blurred picture of 150 dots per inch, on a page without any text."""
    page = Image.new("L", (874, 1240), 250)
    font = ImageFont.load_default(size=30)
    ImageDraw.Draw(page).multiline_text((90, 120), MARINERS, font=font, fill=25, spacing=16)
    picture = page.filter(ImageFilter.GaussianBlur(0.6)).quantize(8).convert("L")
    pdf = FPDF(format=A5)
    pdf.set_creation_date(WRITTEN)
    pdf.add_page()
    pdf.image(picture, x=0, y=0, w=148)
    return bytes(pdf.output())


def bridge_truncated() -> bytes:
    """The first three fifths: the file ends in the middle of its page."""
    whole = bytes(new_pdf(BRIDGE).output())
    return whole[: len(whole) * 3 // 5]


def bee_walk() -> bytes:
    document = docx.Document()
    properties = document.core_properties
    properties.author, properties.title = "Marren Naturalists", BEE_WALK[0]
    properties.created = properties.modified = WRITTEN.replace(tzinfo=None)
    document.add_heading(BEE_WALK[0], level=1)
    for paragraph in BEE_WALK[1:]:
        document.add_paragraph(paragraph)
    table = document.add_table(rows=0, cols=2)
    for row in BEE_COUNTS:
        for cell, text in zip(table.add_row().cells, row, strict=True):
            cell.text = text
    written = io.BytesIO()
    document.save(written)
    return with_fixed_dates(written.getvalue())


def with_fixed_dates(archive: bytes) -> bytes:
    """The same ZIP archive, every member dated `WRITTEN` instead of now."""
    rewritten = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(rewritten, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(zipfile.ZipInfo(name, WRITTEN.timetuple()[:6]), old.read(name), zipfile.ZIP_DEFLATED)
    return rewritten.getvalue()


DOCUMENTS: dict[str, Callable[[], bytes]] = {
    "tide-gauge.pdf": tide_gauge,
    "orchard-cyclic.pdf": orchard_cyclic,
    "mariners-scanned.pdf": mariners_scanned,
    "minutes-encrypted.pdf": minutes_encrypted,
    "bridge-truncated.pdf": bridge_truncated,
    "empty.pdf": lambda: b"",
    "library.html": LIBRARY_HTML.encode,
    "bee-walk.docx": bee_walk,
    "sourdough.md": SOURDOUGH_MD.encode,
    "night-sky.txt": lambda: NIGHT_SKY_TXT.encode("cp1252"),
}


def make_documents(folder: Path) -> list[Path]:
    """Write every sample into `folder`, which is made if need be; the paths, in the order of `DOCUMENTS`."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / name for name in DOCUMENTS]
    for path, write in zip(paths, DOCUMENTS.values(), strict=True):
        path.write_bytes(write())
    return paths


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "documents"
    for made in make_documents(target):
        print(f"{made} ({made.stat().st_size} bytes)")
