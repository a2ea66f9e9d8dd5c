"""Checks whether an extracted text is plausible; one check for all readers.

A reader that maps glyphs to wrong characters, loses spaces or decodes with a wrong encoding succeeds and returns
garbage. Each test here measures one symptom on a sample of the text; thresholds allow for formulas, code, tables and
lists of names.
"""

import re
import unicodedata
from collections import Counter
from functools import lru_cache
from typing import Final

from orchestrator.core.errors import Refused

from .languages import FREQUENT_WORDS

SAMPLE: Final = 20_000
"""Size of the sample in characters; half of it from the beginning and half from the middle of a longer text."""
CID = re.compile(r"\(cid:\d+\)")
GLYPH_NAMES = re.compile(r"(?:/[A-Za-z]{1,5}\d[\dA-Fa-f]*|/uni[0-9A-F]{4}|/(?:[A-Z]|[a-z]+)(?=/)){3,}")
MOJIBAKE = re.compile(r"â€.|[ÃÂÐÑÎÏ][\u0080-\u00bf\u0152-\u0178\u2013-\u2122]|ï»¿|ï¿½")
WORD = re.compile(r"[^\W\d_]+")
VOWELS = frozenset("aeiouyæœøıаеёиоуыэюяєіїўαεηιουω")
SYLLABIC = frozenset("rlmn")
"""Consonants that form a syllable without a vowel in Czech, Slovak and Croatian."""
CONSONANT_RUN = re.compile(r"[bcdfghjklmnpqrstvwxz]{6,}|[бвгджзйклмнпрстфхцчшщ]{6,}")
SYMBOL_IN_WORD = re.compile(r"[^\W\d_][\\~^\[\]{}|<>;:!?%#$\x22][^\W\d_]")
ADDRESS = re.compile(r"[\w.]@\w|://|www\.|[({=]|::|\w/\w|\w:\\")
VIETNAMESE = frozenset("ƠơƯư")
ALPHABETS = ("LATIN", "CYRILLIC", "GREEK")
COMMON_HAN = frozenset(
    "的一是不了在人有我他這这中大來来上個个國国到說说們们為为子和你地出道也時时年得就那要下以生會会自着著去之過过家學学對对可她"
    "里裡后後小么麼心多天而能好都然沒没日於于起還还發发成事只作當当想看文無无開开手十用主行方又如前所本見见經经頭头面公同三已老從从"
    "動动兩两長长與与法政社定所部高間间新明體体民等月全入分關关性現现理力工化意制度業业員员市報报電电機机此其者二四五六七八九百第"
)


def check_readable(text: str) -> None:
    """Raise `Refused` for a text without words, and for one that `implausibility` finds a reason against.

    For `ensure=` of readers. It is a refusal, not a failure of the reader: other documents are read as before.
    """
    if not any(character.isalnum() for character in text):
        raise Refused("there are no words in it")
    reason = implausibility(text)
    if reason:
        raise Refused(f"its words are garbled: {reason}")


def implausibility(text: str) -> str | None:
    """Why the text is implausible, in a few words; `None` if it is plausible."""
    sample = text if len(text) <= SAMPLE else text[: SAMPLE // 2] + text[len(text) // 2 :][: SAMPLE // 2]
    visible = sum(not character.isspace() for character in sample)
    if not visible:
        return None
    words = WORD.findall(unicodedata.normalize("NFC", sample))
    return (
        _bad_characters(sample, visible)
        or _glyph_codes(sample, visible)
        or _symbols(sample, visible)
        or _symbols_in_words(sample)
        or _spacing(words)
        or _rare_letters(words)
        or _scripts(words)
        or _han(sample)
        or _syllables(words)
    )


def _bad_characters(sample: str, visible: int) -> str | None:
    """Replacement, control, private-use, unassigned and surrogate characters."""
    counts = Counter(unicodedata.category(character) for character in sample if not character.isspace())
    replaced = sample.count("\ufffd")
    if replaced > max(2, 0.02 * visible):
        return "many characters could not be decoded"
    if counts["Cc"] + counts["Cs"] + counts["Cn"] > max(2, 0.02 * visible):
        return "many control or unassigned characters"
    if counts["Co"] > max(3, 0.1 * visible):
        return "many private-use characters, whose meaning only the font knows"
    if len(MOJIBAKE.findall(sample)) * 2 > max(4, 0.05 * visible):
        return "it was decoded with a wrong encoding"
    return None


def _glyph_codes(sample: str, visible: int) -> str | None:
    """`(cid:12)` and `/G01/G02`: what readers print for glyphs that have no character."""
    coded = sum(len(found) for found in CID.findall(sample))
    coded += sum(len(found.group()) for found in GLYPH_NAMES.finditer(sample))
    return "glyph numbers in place of characters" if coded > max(20, 0.1 * visible) else None


def _symbols(sample: str, visible: int) -> str | None:
    """A text of symbols: neither letters nor digits nor the usual punctuation."""
    if visible < 40:
        return None
    odd = sum(
        unicodedata.category(character)[0] == "S" or character in '!"#%&*@\\^`{|}~§¶¤¦'
        for character in sample
        if not character.isspace() and character not in "=+-<>|$€£°"
    )
    letters = sum(unicodedata.category(character)[0] in "LMN" for character in sample)
    return "more symbols than letters" if odd > 0.25 * visible and letters < 0.6 * visible else None


def _symbols_in_words(sample: str) -> str | None:
    """Symbols between letters, as a shifted character map puts them there; addresses and code have them as well."""
    tokens = [token for token in sample.split() if len(token) >= 4 and not ADDRESS.search(token)]
    odd = sum(bool(SYMBOL_IN_WORD.search(token)) for token in tokens)
    return "symbols within its words" if tokens and odd > 0.4 * len(tokens) else None


def _spacing(words: list[str]) -> str | None:
    """Spaces within words, and missing spaces between words."""
    alphabetic = [word for word in words if _script(word[0]) in ALPHABETS]
    letters = sum(map(len, alphabetic))
    if len(alphabetic) >= 30:
        single = sum(len(word) == 1 for word in alphabetic)
        if single > 0.7 * len(alphabetic):
            return "its letters are spaced apart"
    run_together = sum(len(word) for word in alphabetic if len(word) > 32)
    if letters >= 120 and run_together > 0.4 * letters:
        return "the spaces between its words are lost"
    return None


def _rare_letters(words: list[str]) -> str | None:
    """Rare Latin letters in large numbers: a shifted character map."""
    letters = "".join(words)
    rare = sum("\u0180" <= letter <= "\u02af" and letter not in VIETNAMESE for letter in letters)
    return "letters that no language is full of" if len(letters) >= 8 and rare > 0.5 * len(letters) else None


def _scripts(words: list[str]) -> str | None:
    """Words whose letters come from several alphabets, and capitals in the middle of words."""
    longer = [word for word in words if len(word) >= 3]
    if len(longer) < 10:
        return None
    mixed = sum(len({_script(letter) for letter in word} & set(ALPHABETS)) > 1 for word in longer)
    if mixed > 0.25 * len(longer):
        return "its words mix alphabets"
    odd_case = sum(bool(re.search(r"[^\W\d_A-Z][A-Z][^\W\d_A-Z]|[a-z][A-Z]{2,}[a-z]", word)) for word in longer)
    return "capitals in the middle of its words" if odd_case > 0.5 * len(longer) and len(longer) >= 20 else None


def _han(sample: str) -> str | None:
    """Chinese characters of which hardly one is a common one: a wrong encoding or a wrong character map."""
    han = [character for character in sample if "\u3400" <= character <= "\u9fff"]
    kana = sum("\u3040" <= character <= "\u30ff" for character in sample)
    if len(han) < 60 or kana > 0.1 * len(han):
        return None
    common = sum(character in COMMON_HAN for character in han)
    return "an improbable combination of Chinese characters" if common < 0.05 * len(han) else None


def _syllables(words: list[str]) -> str | None:
    """Words without vowels or with impossible sequences of consonants, in a text without stop words of a language."""
    lower = [_base(word) for word in words if len(word) >= 4 and not word.isupper() and _script(word[0]) in ALPHABETS]
    if len(lower) < 15:
        return None
    odd = sum(not _has_syllable(word) or bool(CONSONANT_RUN.search(word)) for word in lower)
    little = sum(word.lower() in FREQUENT_WORDS for word in words if len(word) >= 2)
    limit = 0.2 if little < 0.03 * len(words) else 0.45
    return "words that no language has" if odd > limit * len(lower) else None


def _has_syllable(word: str) -> bool:
    return bool(VOWELS & set(word)) or (len(word) <= 6 and bool(SYLLABIC & set(word[1:])))


def _base(word: str) -> str:
    """The word in lower case, accents taken off."""
    decomposed = unicodedata.normalize("NFD", word.lower())
    return "".join(character for character in decomposed if not unicodedata.combining(character))


@lru_cache(maxsize=4096)
def _script(letter: str) -> str:
    return unicodedata.name(letter, "?").partition(" ")[0]
