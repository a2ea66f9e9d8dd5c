"""Shared code of the PDF readers, by pdfium: opening, form values, annotations, title, size of rendered pages."""

import logging
import math
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from orchestrator.core.errors import Refused, Unavailable

from .archive import read_bytes
from .reader import Reading

MOST_EXTRAS: Final = 2000
"""Maximum number of form fields and annotations that are read from one document."""
PIXELS: Final = 12_000_000
"""Maximum pixels of a rendered page, because a small PDF may define a page of kilometres."""
LEAST_LETTERS: Final = 50
"""A page with fewer letters and digits may be a scan with a stamp on it."""
ONLY_PICTURES: Final = "its pages are pictures"
DOTS_PER_INCH: Final = 200
POINTS_PER_INCH: Final = 72


def import_pdfium() -> Any:
    """Import the library. Raises `Unavailable` if it is not installed."""
    try:
        import pypdfium2
    except ImportError:
        raise Unavailable("pypdfium2 is not installed: see the extra 'documents' (docs/how-to/install.md)") from None
    logging.getLogger("pypdfium2").setLevel(logging.CRITICAL)
    return pypdfium2


@contextmanager
def opened_pdf(document: Path, password: str | None = None) -> Generator[Any]:
    """Open a `pypdfium2.PdfDocument`. Raises `Refused` for one that is encrypted or damaged."""
    pdfium = import_pdfium()
    raw = read_bytes(document)
    start = raw.find(b"%PDF-", 0, 4096)
    try:
        pdf: Any = pdfium.PdfDocument(raw[start:] if start > 0 else raw, password=password or None)
    except pdfium.PdfiumError as error:
        if "password" in str(error).lower():
            raise Refused(wrong_password(password)) from None
        raise Refused(f"it is no sound PDF: {error}") from None
    try:
        if len(pdf) == 0:
            raise Refused("it is no sound PDF: it has no pages")
        yield pdf
    finally:
        with suppress(Exception):
            pdf.close()


def wrong_password(password: str | None) -> str:
    """The message about an encrypted document."""
    if password:
        return "it is encrypted, and the password is wrong"
    return "it is encrypted and needs a password"


def add_extras(
    document: Path, text: str, password: str | None = None, reading: Reading | None = None
) -> dict[str, Any]:
    """The text with the form values and annotations that are not in it, and the document's facts.

    Returns what a reader gives: `{"text": ..., "reading": ...}`.
    """
    reading = reading or Reading()
    try:
        with opened_pdf(document, password) as pdf:
            reading.title = reading.title or metadata_title(pdf)
            reading.pages = reading.pages or len(pdf)
            extras = list(extras_of(pdf))
    except (Refused, Unavailable):
        reading.notes.append("Form fields and annotations were not read.")
        extras = []
    return {"text": with_extras(text, extras), "reading": reading}


def refuse_scans(document: Path, password: str | None = None) -> None:
    """Raise `Refused` if all pages are scans: pdfium detects this in milliseconds, other readers in seconds.

    A document that pdfium cannot open passes, and so does every document if OCR is not installed.
    """
    if not ocr_is_installed():
        return
    try:
        with opened_pdf(document, password) as pdf:
            scanned = all(is_scan(pdf[number]) for number in range(len(pdf)))
    except Exception:
        return  # the reader reports what is wrong with the document
    if scanned:
        raise Refused(ONLY_PICTURES)


def is_scan(page: Any) -> bool:
    """Whether a page is a picture with at most a stamp on it."""
    text: str = page.get_textpage().get_text_range(errors="replace")
    return sum(map(str.isalnum, text)) < LEAST_LETTERS and is_picture(page)


def ocr_is_installed() -> bool:
    """Whether OCR is installed."""
    return find_spec("tesserocr") is not None


def is_picture(page: Any) -> bool:
    """Whether images fill at least half of a page, as a scan does."""
    width, height = page.get_size()
    covered = 0.0
    with suppress(Exception):
        for image in page.get_objects(filter=[import_pdfium().raw.FPDF_PAGEOBJ_IMAGE], max_depth=3):
            left, low, right, high = image.get_bounds()
            covered += max(0.0, min(right, width) - max(left, 0.0)) * max(0.0, min(high, height) - max(low, 0.0))
    return bool(covered >= 0.5 * width * height)


def with_extras(text: str, extras: list[tuple[str, str]]) -> str:
    """The text, followed by a line for each form value and annotation that it does not contain."""
    flat = "".join(text.split())
    lines: list[str] = []
    for label, value in extras:
        if "".join(value.split()) not in flat or (label and len(value) < 3):
            lines.append(f"{label}: {value}" if label else value)
    return "\n\n".join(part for part in (text, "\n".join(dict.fromkeys(lines))) if part.strip())


def extras_of(pdf: Any) -> Iterator[tuple[str, str]]:
    """Label and value of each form field that is filled in, and the contents of each annotation."""
    raw = import_pdfium().raw
    with suppress(Exception):
        pdf.init_forms()
    form = getattr(pdf.formenv, "raw", None) if getattr(pdf, "formenv", None) else None
    given = 0
    for number in range(len(pdf)):
        with suppress(Exception):
            page = pdf[number]
            for index in range(raw.FPDFPage_GetAnnotCount(page)):
                annotation = raw.FPDFPage_GetAnnot(page, index)
                if not annotation:
                    continue
                found = _extra(raw, form, annotation)
                raw.FPDFPage_CloseAnnot(annotation)
                if found:
                    given += 1
                    yield found
                if given >= MOST_EXTRAS:
                    return


def _extra(raw: Any, form: Any, annotation: Any) -> tuple[str, str] | None:
    flags = raw.FPDFAnnot_GetFlags(annotation)
    if flags & (raw.FPDF_ANNOT_FLAG_HIDDEN | raw.FPDF_ANNOT_FLAG_NOVIEW):
        return None
    subtype = raw.FPDFAnnot_GetSubtype(annotation)
    if subtype == raw.FPDF_ANNOT_WIDGET:
        return _field(raw, form, annotation) if form else None
    if subtype in (raw.FPDF_ANNOT_LINK, raw.FPDF_ANNOT_POPUP):
        return None
    contents = _string(raw.FPDFAnnot_GetStringValue, annotation, b"Contents")
    if not contents:
        return None
    return ("" if subtype == raw.FPDF_ANNOT_FREETEXT else "Note", " ".join(contents.split()))


def _field(raw: Any, form: Any, annotation: Any) -> tuple[str, str] | None:
    """Name and value of a field; a button that is on has its option as value."""
    kind = raw.FPDFAnnot_GetFormFieldType(form, annotation)
    if kind in (raw.FPDF_FORMFIELD_PUSHBUTTON, raw.FPDF_FORMFIELD_SIGNATURE):
        return None
    label = (
        _string(raw.FPDFAnnot_GetFormFieldAlternateName, form, annotation)
        or _string(raw.FPDFAnnot_GetFormFieldName, form, annotation)
        or "Field"
    )
    if kind in (raw.FPDF_FORMFIELD_CHECKBOX, raw.FPDF_FORMFIELD_RADIOBUTTON):
        if not raw.FPDFAnnot_IsChecked(form, annotation):
            return None
        value = _string(raw.FPDFAnnot_GetFormFieldExportValue, form, annotation) or "Yes"
        return label, "yes" if value in ("Yes", "On", "1") else value
    if raw.FPDFAnnot_GetFormFieldFlags(form, annotation) & 0x2000:
        return None  # a password
    value = _string(raw.FPDFAnnot_GetFormFieldValue, form, annotation)
    return (label, " ".join(value.split())) if value.strip() else None


def _string(call: Any, *arguments: Any) -> str:
    """A string that pdfium writes into a buffer as UTF-16."""
    import ctypes

    length = call(*arguments, None, 0)
    if length <= 2:
        return ""
    buffer = ctypes.create_string_buffer(length)
    call(*arguments, ctypes.cast(buffer, ctypes.POINTER(ctypes.c_ushort)), length)
    return buffer.raw[: length - 2].decode("utf-16-le", "replace").replace("\r\n", "\n").replace("\r", "\n").strip()


def metadata_title(pdf: Any) -> str | None:
    """The title in the document's information, unchanged."""
    with suppress(Exception):
        return " ".join(str(pdf.get_metadata_value("Title")).split()) or None
    return None


def render_scale(page: Any, dots_per_inch: int = DOTS_PER_INCH) -> float:
    """Pixels per point so that a page has at most `PIXELS` pixels. Raises `Refused` for a page without a size."""
    width, height = page.get_size()
    if not (0 < width < 1e7 and 0 < height < 1e7):
        raise Refused("it has a page without a sensible size")
    return min(dots_per_inch / POINTS_PER_INCH, math.sqrt(PIXELS / (width * height)))
