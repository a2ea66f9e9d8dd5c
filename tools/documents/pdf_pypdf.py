"""Text of a PDF by pypdf: pure Python, and strict about broken files."""

import logging
from pathlib import Path
from typing import Any

from orchestrator import Refused, Unavailable
from orchestrator.integrations.documents import Reading, paragraphs, reader, tidy
from orchestrator.integrations.documents.pdf import add_extras, refuse_scans, wrong_password

logging.getLogger("pypdf").addHandler(logging.NullHandler())  # what it finds odd in a file is not for the terminal
logging.getLogger("pypdf").propagate = False


@reader("pypdf", "pdf", seconds=0.7, per_megabyte=4, risk=0.1)
def pypdf(document: Path, kind: str, password: str | None = None) -> dict[str, Any]:
    """The text of every page, form values and annotations."""
    try:
        from pypdf import PdfReader
        from pypdf.errors import FileNotDecryptedError, PyPdfError, WrongPasswordError
    except ImportError:
        raise Unavailable("pypdf is not installed: see the extra 'documents' (docs/how-to/install.md)") from None
    refuse_scans(document, password)
    try:
        with PdfReader(document, password=password or None) as reader:
            pages = [page.extract_text() for page in reader.pages]
    except (FileNotDecryptedError, WrongPasswordError):
        raise Refused(wrong_password(password)) from None
    except (PyPdfError, RecursionError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        # of a damaged file it raises what comes: https://github.com/py-pdf/pypdf/issues?q=robustness
        raise Refused(f"it is no sound PDF: {error}") from None
    text = "\n\n".join(filter(None, (paragraphs(tidy(page)) for page in pages)))
    return add_extras(document, text, password, Reading(pages=len(pages)))
