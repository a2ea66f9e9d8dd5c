"""Text of a Word document by python-docx: paragraphs, then its tables, a row a line."""

from pathlib import Path
from zipfile import BadZipFile

from orchestrator import Refused, Unavailable, tool
from orchestrator.core.checks import has_words


def is_docx(kind: str) -> bool:
    """Whether the document is a Word document."""
    return kind == "docx"


@tool(name="docx", gives="text", when=is_docx, ensure=has_words, latency=0.05, retries=0)
def docx_text(document: Path, kind: str) -> str:
    """The text of the document."""
    try:
        import docx
        from docx.opc.exceptions import PackageNotFoundError
    except ImportError:
        raise Unavailable("python-docx is not installed: see the extra 'documents' (docs/how-to/install.md)") from None
    try:
        opened = docx.Document(str(document))
    except (PackageNotFoundError, BadZipFile, KeyError, ValueError) as error:
        raise Refused(f"{document.name} is no sound Word document: {error}") from None
    paragraphs = [paragraph.text for paragraph in opened.paragraphs]
    tables = ["\n".join(" | ".join(cell.text for cell in row.cells) for row in table.rows) for table in opened.tables]
    return "\n\n".join(part for part in (*paragraphs, *tables) if part.strip())
