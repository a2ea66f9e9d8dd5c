"""Text of a mail that was saved as a file: `.eml` (RFC 5322) and Outlook's `.msg` ([MS-OXMSG])."""

import base64
import codecs
import email
import email.policy
import re
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from orchestrator import Refused, Unavailable
from orchestrator.integrations.documents import Reading, decode, reader, tidy
from orchestrator.integrations.documents.archive import open_ole, read_bytes
from orchestrator.integrations.documents.markup import markup_text

SHOWN = ("From", "To", "Cc", "Date")
OUTLOOK = {"subject": "0037", "from": "0C1A", "to": "0E04", "body": "1000", "html": "1013", "name": "3707"}
"""Property ids ([MS-OXPROPS])."""


@reader("eml", "email", seconds=0.05, per_megabyte=0.3, memory=1000)
def eml(document: Path, kind: str) -> dict[str, Any]:
    """Sender, recipients, date and body of the mail."""
    raw = read_bytes(document)
    if raw.startswith(codecs.BOM_UTF8) or b"\0" in raw[:4]:  # saved by a text editor, in UTF-16 for instance
        raw = decode(raw).encode()
    message = email.message_from_bytes(raw, _class=EmailMessage, policy=email.policy.default)
    if not message.keys():
        raise Refused("it is no sound mail: it has no header")
    head = [f"{name}: {value}" for name in SHOWN if (value := header(message, name))]
    parts = [part for part in message.iter_attachments() if part.get_content_type() != "message/rfc822"]
    files = [str(part.get_filename() or "without a name") for part in parts]
    subject = header(message, "Subject")
    text = "\n\n".join([*filter(None, (subject, "\n".join(head))), body_of(message)])
    return {"text": tidy(text), "reading": Reading(title=subject, heading=subject, notes=attached(files))}


def header(message: EmailMessage, name: str) -> str | None:
    """A header in one line; one that is badly written as it stands."""
    try:
        value = message[name]
    except (ValueError, IndexError, LookupError, TypeError, AttributeError):
        value = next((given for key, given in message.raw_items() if key.lower() == name.lower()), None)
    return " ".join(str(value).split()) or None if value is not None else None


def body_of(message: EmailMessage) -> str:
    """The text of a mail: its plain part, or its HTML where that says much more than `see the HTML part`."""
    plain, page = parts_of(message, "plain"), parts_of(message, "html")
    return page if len(plain.split()) * 3 < len(page.split()) or not any(map(str.isalnum, plain)) else plain


def parts_of(message: EmailMessage, subtype: str) -> str:
    """The text of all parts of `text/subtype` that are no attachments."""
    found: list[str] = []
    for part in leaves(message):
        if part.get_content_type() == f"text/{subtype}" and part.get_content_disposition() != "attachment":
            raw = part.get_payload(decode=True)
            if isinstance(raw, bytes) and raw.strip():
                text = in_charset(raw, part.get_content_charset())
                found.append(markup_text(text.encode()) if subtype == "html" else text)
    return "\n\n".join(found)


def leaves(message: Any) -> Iterator[Any]:
    """The parts of a mail that hold no others, and those of the mails in it, which some programs write as base64."""
    if message.get_content_type() == "message/rfc822":
        inner: Any = message.get_payload(0)
        if "base64" in str(message.get("Content-Transfer-Encoding", "")).lower():
            raw = base64.b64decode(re.sub(r"[^A-Za-z0-9+/=]", "", str(inner.get_payload())))
            inner = email.message_from_bytes(raw, _class=EmailMessage, policy=email.policy.default)
        yield from leaves(inner)
    elif message.is_multipart():
        for part in message.get_payload():
            yield from leaves(part)
    else:
        yield message


def in_charset(raw: bytes, charset: str | None) -> str:
    """A part by its declared encoding, where that fits; UTF-8 that is declared as Latin is what it is."""
    try:
        if not raw.isascii() and (charset or "").lower() in ("iso-8859-1", "us-ascii", "windows-1252"):
            return raw.decode("utf-8")
    except UnicodeDecodeError:
        pass
    try:
        return raw.decode(charset or "utf-8")
    except (LookupError, UnicodeDecodeError):
        return decode(raw)


def attached(files: list[str]) -> list[str]:
    """The note about attachments."""
    return [f"Attachments that were not read: {', '.join(files)}."] if files else []


@reader("outlook_msg", "outlook", seconds=0.05, per_megabyte=0.3, memory=1000)
def outlook_msg(document: Path, kind: str) -> dict[str, Any]:
    """Sender, recipients and body of the mail."""
    raw = read_bytes(document)
    try:
        with open_ole(raw) as container:
            found = {name: property_of(container, "", number) for name, number in OUTLOOK.items()}
            folders = {str(entry[0]) for entry in container.listdir() if entry[0].startswith("__attach")}
            files = [property_of(container, f"{folder}/", OUTLOOK["name"]) for folder in sorted(folders)]
    except Unavailable:
        raise
    except Exception as error:  # what a damaged file makes of the library is not known
        raise Refused(f"it is no sound mail of Outlook: {error}") from None
    head = [f"{name}: {found[name.lower()]}" for name in ("From", "To") if found[name.lower()]]
    body = found["body"] or (markup_text(found["html"].encode()) if found["html"] else "")
    text = "\n\n".join(filter(None, (found["subject"], "\n".join(head), body)))
    notes = attached([name for name in files if name])
    if not body:
        notes.append("Its body is in a form that cannot be read.")
    return {
        "text": tidy(text),
        "reading": Reading(title=found["subject"] or None, heading=found["subject"] or None, notes=notes),
    }


def property_of(container: Any, folder: str, number: str) -> str:
    """A text property of a message: stored as UTF-16 (`001F`), in an 8-bit encoding (`001E`) or as bytes (`0102`)."""
    for kind in ("001F", "001E", "0102"):
        name = f"{folder}__substg1.0_{number}{kind}"
        if container.exists(name):
            raw = container.openstream(name).read()
            return (raw.decode("utf-16-le", "replace") if kind == "001F" else decode(raw)).replace("\0", "").strip()
    return ""
