"""Keywords of a text: its most frequent words that are not frequent in its language."""

import re
from collections import Counter

from .languages import stop_words

WORD = re.compile(r"[^\W\d_]+(?:[’'-][^\W\d_]+)*")
SPACELESS = re.compile("[\u3400-\u9fff]{2,}|[\u30a0-\u30ff]{2,}|[\u0e00-\u0e7f]{4,}")
SHORT_SCRIPTS = re.compile("[\u0600-\u06ff\u0590-\u05ff\uac00-\ud7af\u0900-\u097f]")
"""Scripts whose words are shorter than four letters as a rule: Arabic, Hebrew, Hangul, Devanagari."""


def keywords_of(text: str, language: str | None = None, most: int = 6) -> list[str]:
    """At most `most` words, the most characteristic first; ties by first occurrence."""
    stops = stop_words(language)
    if language in ("zh", "ja", "th"):
        return _of_spaceless(text, stops, most)
    counts, shown, first = Counter[str](), dict[str, Counter[str]](), dict[str, int]()
    for place, match in enumerate(WORD.finditer(text)):
        word = match.group()
        lower = word.lower().replace("i\u0307", "i").replace("’", "'").removesuffix("'s")
        if len(lower) < (2 if SHORT_SCRIPTS.search(lower) else 4) or lower in stops or lower.split("'")[-1] in stops:
            continue
        key = _stem(lower)
        counts[key] += 1
        shown.setdefault(key, Counter())[lower] += 1
        first.setdefault(key, place)
    best = sorted(counts, key=lambda key: (-counts[key], first[key]))[:most]
    return [max(sorted(shown[key]), key=lambda form: shown[key][form]) for key in best]


def _stem(word: str) -> str:
    """A stem that joins singular and plural, for the languages where it matters most."""
    for ending, put in (("ies", "y"), ("sses", "ss"), ("es", "e"), ("s", "")):
        if word.endswith(ending) and len(word) > len(ending) + 3 and not word.endswith(("ss", "us", "is")):
            return word[: -len(ending)] + put
    return word


def _of_spaceless(text: str, stops: frozenset[str], most: int) -> list[str]:
    """Recurring sequences of two to four characters, without those that occur only within a longer one."""
    counts = Counter[str]()
    for match in SPACELESS.finditer(text[:200_000]):
        run = match.group()
        if "\u30a0" <= run[0] <= "\u30ff":
            counts[run] += 1
            continue
        for length in (2, 3, 4):
            counts.update(run[place : place + length] for place in range(len(run) - length + 1))
    single = {stop for stop in stops if len(stop) == 1}
    scored = {
        run: count * (len(run) ** 0.5)
        for run, count in counts.items()
        if (count > 1 or len(run) > 4) and run not in stops and not (single & {run[0], run[-1]})
    }
    chosen: list[str] = []
    for run in sorted(scored, key=lambda run: (-scored[run], run)):
        if not any(run in other or other in run for other in chosen):
            chosen.append(run)
        if len(chosen) == most:
            break
    return chosen
