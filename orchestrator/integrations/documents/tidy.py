"""Cleans extracted text: expands ligatures, removes hyphens and line breaks of the layout."""

import itertools
import re
import unicodedata
from typing import Final

LIGATURES: Final = {code: unicodedata.normalize("NFKC", chr(code)) for code in range(0xFB00, 0xFB07)}
UNSEEN: Final = dict.fromkeys((0xAD, 0x200B, 0x2060, 0xFEFF, *range(0x202A, 0x202F), *range(0x2066, 0x206A)))
"""Soft hyphen, zero-width space, word joiner, marks of direction."""
SPACES: Final = dict.fromkeys((0xA0, 0x2000, 0x2001, 0x2002, 0x2003, 0x2004, 0x2005, 0x2006, 0x2007, 0x2008, 0x2009,
                               0x200A, 0x202F, 0x205F, 0x3000), " ")  # fmt: skip
CONTROLS: Final = dict.fromkeys([*range(9), 11, *range(14, 32), 127, *range(128, 160)])
CHARACTERS: Final = {**LIGATURES, **UNSEEN, **SPACES, **CONTROLS, 12: "\n\n", 0x2028: "\n", 0x2029: "\n\n"}
HYPHENATED = re.compile(r"(?<=[^\W\d_]{2})[-\u2010\ufffe\x02]\n[ \t]*(?=[a-zß-ÿ\u0101-\u017f\u0430-\u044f])")
"""A hyphenated word: a hyphen at the end of a line, a lower-case letter at the start of the next."""

HYPHEN_MARK = re.compile(r"\ufffe\n?[ \t]*(?=[a-zß-ÿ\u0101-\u017f\u0430-\u044f])")
"""What pdfium writes for a hyphen at the end of a line that it considers hyphenation."""
TERMINAL = re.compile(r"\x1b(?:\[[0-9;?]*[A-Za-z]|\][^\x07\x1b]*(?:\x07|\x1b\\))|\x07")
"""Escape sequences (ECMA-48): colours, titles of windows; and the bell."""
DOUBLED = re.compile(r"\b(?:([^\W\d_])\1){4,}\b")
"""A word that was drawn twice with an offset, to look bold."""
SYMBOL_BULLET = re.compile("(?m)^[ \t]*[\uf000-\uf0ff](?=[ \t])")
"""A bullet of a symbol font, which has a private-use character."""
SURROGATE = re.compile("[\ud800-\udfff]")
HAN: Final = "[\u3001-\u303f\u3040-\u30ff\u3400-\u9fff\uff01-\uff5e]"
SPACED_HAN = re.compile(f"(?<={HAN}) (?={HAN})")
"""A space between two characters of a script without spaces."""


def tidy(text: str) -> str:
    """The text without artefacts of the layout; lines and paragraphs are kept."""
    if SURROGATE.search(text):
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    text = HYPHENATED.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    text = HYPHEN_MARK.sub("", text).replace("\ufffe", "-")
    text = text.translate(CHARACTERS)
    text = DOUBLED.sub(lambda word: word[0][::2], SYMBOL_BULLET.sub("•", text))
    text = "\n".join(re.sub(r"[ \t]{2,}", " ", line).strip() for line in text.split("\n"))
    return SPACED_HAN.sub("", re.sub(r"\n{3,}", "\n\n", text)).strip()


def without_escapes(text: str) -> str:
    """The text of a log without its colours."""
    return TERMINAL.sub("", text)


def paragraphs(text: str) -> str:
    """Join the lines of a page into paragraphs; short lines and lists keep their line ends."""
    out: list[str] = []
    for block in re.split(r"\n\s*\n", text):
        lines = [line.strip() for line in block.split("\n") if line.strip()]
        if len(lines) < 2:
            out.extend(lines)
            continue
        out.append(_joined(lines))
    return "\n\n".join(out)


def _joined(lines: list[str]) -> str:
    width = sorted(map(len, lines))[int(len(lines) * 0.8)]
    parts = [lines[0]]
    for before, line in itertools.pairwise(lines):
        parts.append((" " if _runs_on(before, line, width) else "\n") + line)
    return "".join(parts)


def _runs_on(before: str, line: str, width: int) -> bool:
    """Whether a sentence continues from one line to the next."""
    if "|" in before or "|" in line or re.match(r"[-*•‣◦·▪]\s|\d{1,3}[.)]\s", line):
        return False
    return line[0].islower() or len(before) > 0.75 * width
