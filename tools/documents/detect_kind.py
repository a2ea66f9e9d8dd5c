"""What a document is: by its bytes, and by its suffix where bytes do not tell."""

import re
import stat
import zipfile
from pathlib import Path

from orchestrator import CallerError, tool
from orchestrator.integrations.documents import decode_as, implausibility, without_escapes
from orchestrator.integrations.documents.archive import open_ole, read_bytes

SUFFIXES = {
    ".pdf": "pdf",
    ".docx": "docx",
    ".docm": "docx",
    ".dotx": "docx",
    ".pptx": "pptx",
    ".pptm": "pptx",
    ".ppsx": "pptx",
    ".xlsx": "spreadsheet",
    ".xlsm": "spreadsheet",
    ".xlsb": "spreadsheet",
    ".xls": "spreadsheet",
    ".ods": "spreadsheet",
    ".odt": "opendocument",
    ".ott": "opendocument",
    ".odp": "opendocument",
    ".odg": "opendocument",
    ".fodt": "opendocument",
    ".epub": "epub",
    ".rtf": "rtf",
    ".eml": "email",
    ".msg": "outlook",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".xml": "xml",
    ".md": "markdown",
    ".markdown": "markdown",
    ".txt": "text",
    ".text": "text",
    ".csv": "text",
    ".tsv": "text",
    ".log": "text",
    ".rst": "text",
    ".json": "text",
    ".jsonl": "text",
    ".ndjson": "text",
    ".yaml": "text",
    ".yml": "text",
    ".toml": "text",
    ".ini": "text",
    ".cfg": "text",
    ".tex": "text",
    ".srt": "text",
    ".vtt": "text",
    ".svg": "xml",
    ".mht": "email",
    ".mhtml": "email",
}
TEXTS = ("html", "xml", "markdown", "text", "email")
PICTURES = (b"\x89PNG\r\n", b"\xff\xd8\xff", b"GIF8", b"II*\0", b"MM\0*", b"BM")
MAIL = re.compile(
    rb"(?:\A|\n)(?:From|To|Subject|Date|Received|Return-Path|Message-ID|MIME-Version|Delivered-To): ?", re.IGNORECASE
)
"""Three of these at the starts of lines make it a mail (RFC 5322)."""
LATEST_HEADER = 1024
"""Bytes within which `%PDF-` stands (ISO 32000-1, annex H)."""


@tool(gives="kind", latency=0.001)
def detect_kind(document: Path) -> str:
    """`pdf`, `docx`, `html`, `text` or another kind; no reader knows `doc`, `ppt`, `zip` and `unknown`."""
    try:
        mode = document.stat().st_mode
        if not stat.S_ISREG(mode):  # opening a pipe would wait for whoever writes into it
            raise CallerError(f"it is {'a folder' if stat.S_ISDIR(mode) else 'no file'}")
        with document.open("rb") as opened:
            head = opened.read(8192)
    except OSError as error:
        raise CallerError(f"it cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise CallerError(f"that is no name of a file: {error}") from None
    suffix = document.suffix.lower()
    by_suffix = SUFFIXES.get(suffix, "")
    if b"%PDF-" in head[:LATEST_HEADER]:
        return "pdf"
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return kind_of_archive(document) or by_suffix or "zip"
    if head.startswith(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"):
        return kind_of_ole(document, by_suffix)
    if head.startswith(PICTURES) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP"):
        return "image"
    start = head.lstrip(b"\xef\xbb\xbf \r\n\t")
    if start.startswith(b"{\\rtf") or (by_suffix == "rtf" and start.startswith(b"{\\")):
        return "rtf"
    return kind_of_text(head, by_suffix)


def kind_of_archive(document: Path) -> str | None:
    """By what is in a ZIP archive."""
    try:
        with zipfile.ZipFile(document) as archive:
            names = set(archive.namelist())
            mime = archive.read("mimetype")[:80].decode("ascii", "replace").strip() if "mimetype" in names else ""
    except (zipfile.BadZipFile, OSError, ValueError, KeyError, RuntimeError, NotImplementedError):
        return None
    if mime == "application/epub+zip" or ("META-INF/container.xml" in names and any(n.endswith(".opf") for n in names)):
        return "epub"
    if "opendocument.spreadsheet" in mime:
        return "spreadsheet"
    if "opendocument" in mime or "vnd.sun.xml" in mime:
        return "opendocument"
    for folder, kind in (("word/", "docx"), ("ppt/", "pptx"), ("xl/", "spreadsheet")):
        if any(name.startswith(folder) for name in names):
            return kind
    return "zip"


def kind_of_ole(document: Path, by_suffix: str) -> str:
    """By the streams of an old Office file, or of a new one with a password ([MS-CFB])."""
    try:
        with open_ole(read_bytes(document)) as container:
            for stream, kind in (
                ("EncryptedPackage", by_suffix or "docx"),
                ("WordDocument", "doc"),
                ("PowerPoint Document", "ppt"),
                ("Workbook", "spreadsheet"),
                ("Book", "spreadsheet"),
                ("__properties_version1.0", "outlook"),
            ):
                if container.exists(stream):
                    return kind
    except Exception:
        return by_suffix or "unknown"  # what a damaged file makes of the library is not known
    return "unknown"


def kind_of_text(head: bytes, by_suffix: str) -> str:
    """By the first characters of what may be a text."""
    start = head.lstrip(b"\xef\xbb\xbf\xfe\xff\0 \r\n\t").replace(b"\0", b"")[:2048].lower().lstrip()
    if start.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return "html"
    if start.startswith((b"<?xml", b"<!--", b"<svg")):
        return "html" if b"<html" in start or by_suffix == "html" else "xml"
    if by_suffix == "email" or (by_suffix in ("", "text") and len(MAIL.findall(head[:4096])) >= 3):
        return "email"
    if by_suffix in TEXTS:
        return by_suffix
    if not head or (by_suffix == "pdf" and b" obj" in head):
        return by_suffix or "unknown"
    text = without_escapes(decode_as(head)[0])
    return by_suffix or "unknown" if implausibility(text) or not any(map(str.isalnum, text)) else "text"
