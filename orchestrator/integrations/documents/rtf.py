"""Visible text of RTF (Rich Text Format Specification 1.9.1) in document order, and the title."""

import re
from dataclasses import dataclass, replace
from typing import Final

TOKEN = re.compile(
    rb"\\([a-zA-Z]{1,32})(-?\d{1,10})? ?|\\'([0-9a-fA-F]{2})|\\([^a-zA-Z'\r\n])|\\(\r?\n)|([{}])|([^\\{}\r\n]+)|[\r\n]+"
)
"""Control word and number, a byte in hexadecimal, control symbol, paragraph mark, group, plain characters."""
HIDDEN_GROUPS: Final = frozenset(
    b"""fonttbl colortbl stylesheet listtable listoverridetable rsidtbl generator pict objdata datastore themedata
    colorschememapping latentstyles fldinst bkmkstart bkmkend xmlnstbl mmathPr docvar userprops template passwordhash
    pgptbl revtbl filetbl nonshppict shprslt sp formfield xe tc rxe do atnid atnauthor atntime atnref atndate atnicn
    datafield objclass objname private company operator author keywords comment subject doccomm category manager
    hlinkbase pntext pnseclvl falt panose fontemb fontfile background listpicture blipuid wgrffmtfilter protusertbl
    ftnsep ftnsepc ftncn aftnsep aftnsepc aftncn""".split()
)
SHOWN_ANYWAY: Final = frozenset((b"shpinst", b"ud", b"annotation", b"listtext", b"nesttableprops"))
"""Destinations that begin with `\\*` and hold text that is shown."""
ASIDE: Final = {
    b"header": "Header", b"headerl": "Header", b"headerr": "Header", b"headerf": "Header", b"footer": "Footer",
    b"footerl": "Footer", b"footerr": "Footer", b"footerf": "Footer", b"annotation": "Comment",
}  # fmt: skip
CHARACTERS: Final = {
    b"par": "\n\n", b"sect": "\n\n", b"page": "\n\n", b"line": "\n", b"column": "\n", b"tab": "\t", b"cell": " | ",
    b"nestcell": " | ", b"row": "\n", b"nestrow": "\n", b"emdash": "—", b"endash": "–", b"bullet": "•", b"lquote": "‘",
    b"rquote": "’", b"ldblquote": "“", b"rdblquote": "”", b"emspace": " ", b"enspace": " ", b"qmspace": " ",
}  # fmt: skip
SYMBOLS: Final = {b"~": "\u00a0", b"_": "-", b"-": "", b"\\": "\\", b"{": "{", b"}": "}", b"|": "", b":": ""}
CODE_PAGES: Final = {
    77: "mac_roman", 78: "cp932", 79: "cp949", 80: "gb18030", 81: "big5", 128: "cp932", 129: "cp949", 130: "johab",
    134: "gb18030", 136: "big5", 161: "cp1253", 162: "cp1254", 163: "cp1258", 177: "cp1255", 178: "cp1256",
    186: "cp1257", 204: "cp1251", 222: "cp874", 238: "cp1250", 255: "cp437",
}  # fmt: skip
"""`\\fcharset` -> encoding."""
MAC: Final = {b"mac": "mac_roman", b"pc": "cp437", b"pca": "cp850"}


@dataclass(frozen=True, slots=True)
class Group:
    """The settings within a pair of braces."""

    hidden: bool = False
    aside: str = ""
    encoding: str | None = None
    skip: int = 1
    """Number of fallback characters after a `\\u`, for old programs."""
    font_table: bool = False
    title: bool = False


class RtfText:
    """Parses one document into `text` and `title`."""

    def __init__(self, raw: bytes) -> None:
        self._shown: dict[str, list[str]] = {"": [], "title": []}
        self._default = "cp1252"
        self._fonts: dict[int, str] = {}
        self._font = 0
        self._group = Group()
        self._stack: list[Group] = []
        self._bytes = b""
        self._pending = 0
        self._starred = self._fresh = False
        self._read(raw)
        self.text = "".join(self._shown[""])
        for label in ("Comment", "Header", "Footer"):
            found = "".join(self._shown.get(label, ())).strip(" |\n\t")
            self.text += f"\n\n{label}: {found}" if any(map(str.isalpha, found)) else ""
        self.title = " ".join("".join(self._shown["title"]).split()) or None

    def _read(self, raw: bytes) -> None:
        place = 0
        while match := TOKEN.match(raw, place):
            place = match.end()
            first, self._fresh = self._fresh, match[0] == b"{"
            word, number, code, symbol, newline, brace, plain = match.groups()
            if word is not None:
                if word == b"bin" and number:
                    place += max(0, int(number))
                    continue
                self._word(word, int(number) if number else None)
            elif code is not None:
                self._character(bytes((int(code, 16),)))
            elif brace is not None:
                self._brace(brace)
            elif plain is not None:
                self._plain(plain)
            elif newline is not None:
                self._put("\n\n")
            elif symbol is not None:
                self._symbol(symbol, first=first)
        self._flush()

    def _brace(self, brace: bytes) -> None:
        self._flush()
        self._pending = 0
        self._starred = False
        if brace == b"{":
            self._stack.append(self._group)
        elif self._stack:
            self._group = self._stack.pop()

    def _symbol(self, symbol: bytes, *, first: bool) -> None:
        if symbol == b"*":
            self._starred = first  # elsewhere it is a mistake of some programs
        elif symbol in SYMBOLS:
            self._put(SYMBOLS[symbol])

    def _word(self, word: bytes, number: int | None) -> None:
        starred, self._starred = self._starred, False
        if word == b"u" and number is not None:
            self._flush()
            self._put(chr(number % 65536))
            self._pending = self._group.skip
            return
        self._flush()
        if word == b"fonttbl":
            self._group = replace(self._group, hidden=True, font_table=True)
        elif word == b"title" and self._stack:
            self._group = replace(self._group, hidden=False, title=True)
        elif word == b"info":
            self._group = replace(self._group, hidden=True)
        elif word in ASIDE:
            self._group = replace(self._group, aside=ASIDE[word])
        elif word in HIDDEN_GROUPS or (starred and word not in SHOWN_ANYWAY):
            self._group = replace(self._group, hidden=True)
        elif word == b"trowd":
            self._put("")  # what ends before a row is no part of its first cell
        elif word in CHARACTERS:
            self._put(CHARACTERS[word], ends_cell=word in (b"cell", b"nestcell"))
        else:
            self._setting(word, number)

    def _setting(self, word: bytes, number: int | None) -> None:
        """Encodings, fonts, hidden and deleted text."""
        if word == b"ansicpg" and number:
            self._default = _known(f"cp{number}") or self._default
        elif word in MAC:
            self._default = MAC[word]
        elif word in (b"f", b"af") and number is not None:
            if self._group.font_table:
                self._font = number
            elif word == b"f":
                self._group = replace(self._group, encoding=self._fonts.get(number))
        elif word == b"fcharset" and self._group.font_table and number in CODE_PAGES:
            self._fonts[self._font] = CODE_PAGES[number]
        elif word == b"uc" and number is not None:
            self._group = replace(self._group, skip=max(0, number))
        elif word == b"plain":
            self._group = replace(self._group, encoding=None, hidden=self._group.hidden and not self._may_show())
        elif word in (b"v", b"deleted"):
            self._group = replace(self._group, hidden=number != 0 or (self._group.hidden and not self._may_show()))

    def _may_show(self) -> bool:
        """Whether the enclosing group is visible, so that only this group was hidden."""
        return bool(self._stack) and not self._stack[-1].hidden and not self._group.font_table

    def _plain(self, plain: bytes) -> None:
        if self._pending:
            dropped = min(self._pending, len(plain))
            self._pending -= dropped
            plain = plain[dropped:]
        self._bytes += plain

    def _character(self, byte: bytes) -> None:
        if self._pending:
            self._pending -= 1
            return
        self._bytes += byte

    def _flush(self) -> None:
        """Bytes become characters together: some encodings take two for one."""
        if self._bytes:
            raw, self._bytes = self._bytes, b""
            if self._shown_now():
                self._put(self._decoded(raw))

    def _decoded(self, raw: bytes) -> str:
        for encoding in (self._group.encoding or self._default, self._default):
            try:
                return raw.decode(encoding)
            except UnicodeDecodeError:
                continue  # a bullet in a font whose declared encoding is wrong
        return raw.decode("cp1252", "replace")

    def _shown_now(self) -> bool:
        return not self._group.hidden

    def _put(self, text: str, *, ends_cell: bool = False) -> None:
        if self._bytes:
            self._flush()
        if self._shown_now():
            key = "title" if self._group.title else self._group.aside
            shown = self._shown.setdefault(key, [])
            if ends_cell and shown and shown[-1] == "\n\n":
                shown.pop()  # its last paragraph ends with it
            shown.append(text)


def _known(encoding: str) -> str | None:
    try:
        "".encode(encoding)
    except LookupError:
        return None
    return encoding
