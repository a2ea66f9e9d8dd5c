"""What summarisers share: sentences that can stand in a summary, and what stands for a text without sentences."""

import re
from typing import Final

from .sentences import ITEM, cut_at_word, sentences_of

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
    """The sentences of a text that say something of it: no notices, no references, none that begins in its middle."""
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
