"""Members of a ZIP archive, XML trees and the texts of drawings in them, read within limits: documents are hostile."""

import io
import posixpath
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from orchestrator.core.errors import Refused, Unavailable

LARGEST_MEMBER: Final = 200_000_000
"""Maximum bytes of one unpacked member, against decompression bombs."""
LARGEST_FILE: Final = 500_000_000
DAMAGED: Final = "A part of it is damaged: text may be missing."
OLE: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
"""Magic number of old Office files, and of new ones with a password ([MS-CFB])."""


class Archive:
    """A document that is a ZIP archive: Office, OpenDocument, EPUB. Raises `Refused` for a damaged one."""

    def __init__(self, document: Path, what: str, password: str | None = None) -> None:
        self.name, self.what = document.name, what
        raw = read_bytes(document)
        if raw.startswith(OLE):
            raw = _decrypted(raw, what, password)
        self.raw = raw
        """The decrypted file."""
        try:
            self.zip = zipfile.ZipFile(io.BytesIO(raw))
        except (zipfile.BadZipFile, ValueError, EOFError) as error:
            raise Refused(f"it is no sound {what}: {error}") from None
        self.names = self.zip.namelist()
        self.damaged = False
        """Whether a part contained invalid XML, of which the rest was lost."""

    def read(self, member: str) -> bytes | None:
        """The bytes of a member; `None` if there is no such member."""
        try:
            info = self.zip.getinfo(member)
        except KeyError:
            return None
        if info.flag_bits & 1:
            raise Refused("it is encrypted and needs a password")
        if info.file_size > LARGEST_MEMBER:
            raise Refused(f"it unpacks to more than {LARGEST_MEMBER // 1_000_000} MB")
        try:
            return self.zip.read(info)
        except (zipfile.BadZipFile, EOFError, OSError, NotImplementedError, ValueError) as error:
            raise Refused(f"it is no sound {self.what}: {error}") from None
        except Exception as error:
            if type(error).__module__ in ("zlib", "lzma"):
                raise Refused(f"it is no sound {self.what}: {error}") from None
            raise

    def xml(self, member: str) -> Any:
        """The root element of an XML member; `None` if there is no such member or it is no XML."""
        raw = self.read(member)
        if raw is None:
            return None
        root, whole = parsed_xml(raw)
        self.damaged |= not whole
        return root

    def notes(self) -> list[str]:
        """The message about damage."""
        return [DAMAGED] if self.damaged else []

    def first(self, *members: str) -> Any:
        """The root element of the first existing one of these members."""
        return next((root for root in map(self.xml, members) if root is not None), None)


def read_bytes(document: Path) -> bytes:
    """The bytes of a file. Raises `Refused` for one that is empty, too large or unreadable."""
    try:
        if document.stat().st_size > LARGEST_FILE:
            raise Refused(f"it has more than {LARGEST_FILE // 1_000_000} MB")
        raw = document.read_bytes()
    except OSError as error:
        raise Refused(f"it cannot be read: {error.strerror}") from None
    if not raw:
        raise Refused("it is empty")
    return raw


def parse_xml(raw: bytes) -> Any:
    """The root element; damaged XML is repaired if possible, else `None`."""
    return parsed_xml(raw)[0]


def parsed_xml(raw: bytes) -> tuple[Any, bool]:
    """The root element as `parse_xml` returns it, and whether the XML is well-formed.

    No entity is expanded, no DTD is read, and the network is not used.
    """
    try:
        from lxml import etree
    except ImportError:
        raise Unavailable("lxml is not installed: see the extra 'documents' (docs/how-to/install.md)") from None
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, recover=True, huge_tree=False)
    try:
        root = etree.fromstring(raw, parser)
    except (etree.XMLSyntaxError, ValueError):
        return None, False
    return root, not parser.error_log.filter_from_fatals()


def local(element: Any) -> str:
    """The name of an element without its namespace, which is all that differs in strict and transitional Office
    files.
    """
    tag = element.tag
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""


def attribute(element: Any, name: str) -> str | None:
    """The value of an attribute in any namespace."""
    found = (value for key, value in element.attrib.items() if str(key).rpartition("}")[2] == name)
    return next(map(str, found), None)


def descendants(element: Any, name: str) -> Iterator[Any]:
    """All elements of a local name, in the order of the document."""
    return (found for found in element.iter() if local(found) == name)


def relation_id(element: Any) -> str:
    """The `r:id` of an element, which may have another `id` without a namespace."""
    return next((str(value) for key, value in element.attrib.items() if str(key).endswith("}id")), "")


def relations(archive: Archive, part: str) -> dict[str, str]:
    """Relationship id -> member of the archive to which a part refers."""
    folder, name = posixpath.split(part)
    root = archive.xml(f"{folder}/_rels/{name}.rels")
    found: dict[str, str] = {}
    for relation in descendants(root, "Relationship") if root is not None else ():
        target = relation.get("Target", "")
        if relation.get("TargetMode") != "External":
            found[relation.get("Id", "")] = posixpath.normpath(posixpath.join("/", folder, target)).lstrip("/")
    return found


def element_text(element: Any, name: str) -> str | None:
    """The text of the first descendant of that local name, in one line."""
    for found in descendants(element, name):
        text = " ".join("".join(found.itertext()).split())
        if text:
            return text
    return None


def open_ole(raw: bytes) -> Any:
    """An `olefile.OleFileIO` on the bytes of a compound file ([MS-CFB])."""
    try:
        import olefile
    except ImportError:
        raise Unavailable("olefile is not installed: see the extra 'documents' (docs/how-to/install.md)") from None
    library: Any = olefile
    return library.OleFileIO(io.BytesIO(raw))


def _decrypted(raw: bytes, what: str, password: str | None) -> bytes:
    """An Office file without its password ([MS-OFFCRYPTO])."""
    try:
        import msoffcrypto
    except ImportError:
        raise Unavailable(
            "msoffcrypto-tool is not installed: see the extra 'documents' (docs/how-to/install.md)"
        ) from None
    library: Any = msoffcrypto
    try:
        with open_ole(raw) as container:
            if not container.exists("EncryptedPackage"):
                raise Refused(f"it is no sound {what}: it is a file of the old binary format")
        if not password:
            raise Refused("it is encrypted and needs a password")
        file: Any = library.OfficeFile(io.BytesIO(raw))
        file.load_key(password=password)
        opened = io.BytesIO()
        file.decrypt(opened)
        return opened.getvalue()
    except Refused:
        raise
    except Exception as error:
        if "password" in str(error).lower() or "verif" in str(error).lower() or "key" in type(error).__name__.lower():
            raise Refused("it is encrypted, and the password is wrong") from None
        raise Refused(f"it is no sound {what}: {error}") from None


def paragraphs_of_drawing(root: Any) -> Iterator[str]:
    """The paragraphs of a drawing or a diagram."""
    for paragraph in descendants(root, "p"):
        text = "".join(found.text or "" for found in descendants(paragraph, "t")).strip()
        if text:
            yield text


def chart_texts(root: Any) -> Iterator[str]:
    """Titles of a chart, and the names of its series and categories."""
    yield from paragraphs_of_drawing(root)
    names = (value.text or "" for cache in descendants(root, "strCache") for value in descendants(cache, "v"))
    line = " | ".join(dict.fromkeys(name.strip() for name in names if name.strip()))
    if line:
        yield line


def drawings_of(archive: Archive, folder: str) -> Iterator[str]:
    """The texts of all diagrams, drawings and charts in a folder of the archive, each once."""
    seen: set[str] = set()
    for member in sorted(archive.names):
        kind = member.removeprefix(f"{folder}/").partition("/")[2] if member.startswith(f"{folder}/") else ""
        reader = chart_texts if kind.startswith("chart") else paragraphs_of_drawing
        if not kind.endswith(".xml") or not kind.startswith(("chart", "data", "drawing")):
            continue
        root = archive.xml(member)
        for text in reader(root) if root is not None else ():
            if text not in seen and any(map(str.isalpha, text)):
                seen.add(text)
                yield text
