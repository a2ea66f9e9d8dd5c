"""Splits text in any script into sentences, and selects those for a summary, without headings, menus and table rows."""

import re
import unicodedata
from typing import Final

ENDS: Final = ".!?…。！？｡．।॥؟۔։።"
"""Marks that end a sentence: Latin, Chinese and Japanese, Devanagari, Arabic, Urdu, Armenian, Ethiopic."""
CLOSING: Final = "\"'”’»)]」』）】›"
WIDE: Final = "。！？｡．"
"""Marks after which no space follows."""
BREAK = re.compile(
    rf"(?<=[{WIDE}])(?![{CLOSING}{WIDE}])|(?<=[{WIDE}][{CLOSING}])(?![{CLOSING}])"
    rf"|(?<=[{ENDS}])\s+|(?<=[{ENDS}][{re.escape(CLOSING)}])\s+"
)
ABBREVIATED: Final = """
mr mrs ms dr prof st sr jr vs etc al approx dept est fig figs inc ltd co corp no nos vol ed eds pp cf ca eg ie jan feb
mar apr jun jul aug sep sept oct nov dec bzw ggf usw evtl nr abs str hr fr bd env m mm mme mlle sra sras ud uds núm pág
art av ing arch dott sig ecc tzn np tzv гг г им ул руб
"""
ABBREVIATIONS: Final = frozenset(ABBREVIATED.split())
LEADERS = re.compile(r"[.·_]{5,}|(?:[.…]\s?){6,}|…{2,}")
ITEM = re.compile(r"^\s*(?:[-*•‣◦·▪–]|\(?\d{1,3}[.)])\s+")
CITATION = re.compile(r"\s?\[\d{1,3}\]")
DOTTED = re.compile(r"(?:\w\.)+\w$")
SPACELESS = re.compile("[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff]")
"""Thai, kana, Han: scripts without spaces between words."""
LEAST_WORDS: Final = 5
LEAST_LETTERS: Final = 12
"""Minimum length of a sentence in a script without spaces."""
MAX_SENTENCE: Final = 450
"""Characters of a sentence in a summary; a longer one is cut at a word."""


def sentences_of(text: str, most: int = 400) -> list[str]:
    """The sentences of a text, each once, at most `most`."""
    found: dict[str, str] = {}
    for paragraph in re.split(r"\n\s*\n|\n(?=\s*(?:[-*•‣◦·▪–]|\d{1,3}[.)])\s)|(?<=\|)\s*\n", text):
        if paragraph.count("|") >= 2 or LEADERS.search(paragraph):
            continue  # a row of a table, or of a list of contents
        paragraph = CITATION.sub("", ITEM.sub("", paragraph))
        for sentence in split_sentences(" ".join(paragraph.split())):
            if is_sentence(sentence):
                found.setdefault(re.sub(r"\W+", " ", sentence).casefold().strip(), sentence)
        if len(found) >= most:
            break
    return list(found.values())[:most]


def split_sentences(paragraph: str) -> list[str]:
    """The parts of one paragraph, abbreviations and initials kept together."""
    parts: list[str] = []
    for part in (part.strip() for part in BREAK.split(paragraph)):
        if not part:
            continue
        if parts and _goes_on(parts[-1], part):
            parts[-1] += " " + part
        else:
            parts.append(part)
    return parts


def _goes_on(before: str, after: str) -> bool:
    """Whether the full stop at the end of `before` does not end a sentence."""
    if before.endswith(("!", "?", "…")) or before[-1] in CLOSING:
        return after[0].islower()
    if not before.endswith("."):
        return False
    last = before.rsplit(None, 1)[-1].rstrip(".").lstrip("(\"'“‘[«").lower()
    return (
        after[0].islower()
        or last in ABBREVIATIONS
        or DOTTED.match(last) is not None
        or (len(last) == 1 and last.isalpha() and last not in "iаяоу")
        or (last.isdigit() and len(last) <= 2 and len(before) < 5)
    )


def is_sentence(part: str) -> bool:
    """Whether it ends like a sentence and is long enough."""
    ended = part.rstrip(CLOSING)
    if not ended or (ended[-1] not in ENDS and not _ends_thai(ended)):
        return False
    if part.endswith("...") and len(part.split()) < 12:
        return False  # a teaser
    letters = sum(unicodedata.category(character)[0] in "LM" for character in part)
    if letters < 0.55 * len(part.replace(" ", "")):
        return False
    spaceless = len(SPACELESS.findall(part))
    if spaceless * 2 > letters:
        return spaceless >= LEAST_LETTERS
    return len(part.split()) >= LEAST_WORDS


def _ends_thai(part: str) -> bool:
    """Thai has no full stop: a phrase of some length that ends in a Thai letter."""
    return "\u0e00" <= part[-1] <= "\u0e7f" and len(part) >= 40


def cut_at_word(text: str, longest: int = MAX_SENTENCE) -> str:
    """The text, cut at a word if it is too long."""
    if len(text) <= longest:
        return text
    cut = text[:longest]
    at = cut.rfind(" ")
    return (cut[:at] if at > longest // 2 else cut).rstrip(" ,;:-–—") + " …"


MAX_SUMMARY: Final = 900
"""Characters of a summary."""
BOILERPLATE = re.compile(
    r"(?i)\b(?:cookies?|all rights reserved|copyright|©|privacy policy|terms of (?:use|service)|"
    r"click here|subscribe|newsletter|"
    r"sign (?:up|in)|log ?in|javascript|unsubscribe|table of contents|isbn|issn|advertisement|your browser|"
    r"permission to (?:copy|make)|alle rechte vorbehalten|datenschutz|tous droits réservés|share this|read more)\b"
)
REFERENCE = re.compile(r"(?:^\[?\d{1,3}\]|\b(?:et al\.|pp?\.\s*\d|vol\.\s*\d|doi:)|https?://\S+)", re.IGNORECASE)


def summary_sentences(text: str, most: int = 400) -> list[str]:
    """The informative sentences of a text: no notices, no references, no fragments."""
    found = sentences_of(text, most)
    good = [
        sentence
        for sentence in found
        if not BOILERPLATE.search(sentence)
        and len(REFERENCE.findall(sentence)) < 2
        and not (sentence[0].islower() and sentence[0].upper().isupper())
        and len(sentence) <= 1200
    ]
    return good or found


def joined(sentences: list[str]) -> str:
    """Sentences as a summary, at most `MAX_SUMMARY` characters of them."""
    out, length = list[str](), 0
    for sentence in sentences:
        sentence = cut_at_word(sentence)
        if out and length + len(sentence) > MAX_SUMMARY:
            break
        out.append(sentence)
        length += len(sentence) + 1
    return " ".join(out)


def first_words(text: str, longest: int = 400) -> str:
    """The first lines, for a text that has no sentences: a form, a table, a list."""
    lines: dict[str, str] = {}
    for line in (ITEM.sub("", " ".join(line.split())) for line in text.splitlines()):
        lines.setdefault(line.casefold(), line)
    kept = [line for line in lines.values() if sum(map(str.isalnum, line)) >= 2]
    return cut_at_word(" · ".join(kept[:40]) or " ".join(text.split()), longest)
