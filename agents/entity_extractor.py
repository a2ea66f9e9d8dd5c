"""Finds addresses, hosts, dates, amounts and names in a text, by their form alone."""

import re

from orchestrator import Agent

ALL_MONTHS = "January February March April May June July August September October November December"
MONTHS = ALL_MONTHS.split()
CALENDAR = frozenset([*MONTHS, *(f"{day}day" for day in ("Mon", "Tues", "Wednes", "Thurs", "Fri", "Satur", "Sun"))])
"""Capital in English, and no names."""
MONTH = f"(?:{'|'.join(MONTHS)})"
FORMS = (
    ("url", r"https?://[^\s<>\"')\]]+[^\s<>\"')\].,;:!?]"),
    ("email", r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+"),
    ("ip", r"(?<![\d.])(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)\b(?!\.\d)"),
    ("date", rf"\b\d{{4}}-\d\d-\d\d\b|\b\d{{1,2}} {MONTH}(?: \d{{4}})?\b|\b{MONTH} \d{{1,2}}(?:, \d{{4}})?\b"),
    ("time", r"\b(?:[01]?\d|2[0-3]):[0-5]\d(?::[0-5]\d)?\b"),
    ("money", r"[$€£]\s?\d[\d.,]*\d|[$€£]\s?\d|\b\d[\d.,]*\s?(?:USD|EUR|GBP|dollars|euros|pounds)\b"),
    ("percent", r"\b\d+(?:[.,]\d+)?\s?(?:%|per cent\b|percent\b)"),
    ("name", r"\b(?:[A-Z][^\W\d_]+(?:[ -](?:of |the |van |von |de )?[A-Z][^\W\d_]+)+)\b"),
    ("name", r"(?<=[^\W_] )[A-Z][^\W\d_]{2,}\b"),
)
"""Kind and pattern, the most specific first; a match is not matched again by later patterns."""
ANY = re.compile("|".join(f"(?P<f{number}>{pattern})" for number, (_, pattern) in enumerate(FORMS)))
BROKEN = re.compile(r"(?<=[^\n]{60})[ \t]*\n(?=\S)|[ \t]*\n(?=[a-z])")
"""Where a sentence goes on in the next line: after a long line, and before a small letter."""
LEADING = re.compile(r"^(?:The|A|An|In|On|At|From|By|For|If|When|Of) ")
"""Words that are capital only because a sentence begins with them."""


def entities(text: str) -> list[dict[str, str]]:
    """`{"kind", "text"}` for each thing that is named, once, in the order of the text."""
    found: dict[tuple[str, str], None] = {}
    for line in BROKEN.sub(" ", text).splitlines():
        for match in ANY.finditer(line):
            kind = FORMS[int(str(match.lastgroup)[1:])][0]
            named = LEADING.sub("", match.group()) if kind == "name" else match.group()
            if named not in CALENDAR:
                found.setdefault((kind, named))
    return [{"kind": kind, "text": named} for kind, named in found]


entity_extractor = Agent(
    entities,
    name="entity_extractor",
    gives="entities",
    skills={"extract.entities": 0.6},
    latency=0.02,
    description="Find addresses, hosts, dates, amounts and names in a text, by their form.",
)
