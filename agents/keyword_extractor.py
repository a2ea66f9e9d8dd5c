"""The key phrases of a text: RAKE, without a model. Made for English.

Rose, Engel, Cramer and Cowley, "Automatic keyword extraction from individual documents", 2010: phrases are what stands
between stop words and punctuation; a word scores by how many words it stands beside, over how often it stands.
"""

import re
from collections import Counter

from orchestrator import Agent
from orchestrator.core.checks import not_empty

COMMON_WORDS = """
a about above after again against all also although always am an and any are as at be because been before being
below between both but by can cannot could did do does doing done down during each either else enough even ever
every few first for from further get gets go goes had has have having he her here hers him his how however i if in
into is it its itself just last least less let like made make makes many may me might more most much must my near
never new next no nor not now of off often on once one only onto or other our ours out over own per quite rather
said same saw say see seen set shall she should since so some still such take than that the their theirs them then
there these they this those though three through to together too two under until up upon us use used uses very via
was way we well were what when where whether which while who whole whom whose why will with within without would
yes yet you your yours
"""
STOP_WORDS = frozenset(COMMON_WORDS.split())
WORD = re.compile(r"\d+(?:[.,]\d+)+(?:-[^\W_]+)*|[^\W_]+(?:['’-][^\W_]+)*")
BREAK = re.compile(r"[.,](?!\d)|[;:!?()\[\]{}\"“”|\n\t]+|\s[-–—]\s")
MOST_WORDS = 4
"""In one phrase."""
MOST = 8


def phrases_of(text: str) -> list[tuple[str, ...]]:
    """Candidate phrases, in lower case, in the order of the text."""
    found: list[tuple[str, ...]] = []
    for part in BREAK.split(text):
        phrase: list[str] = []
        for word in [*(match.group().lower() for match in WORD.finditer(part)), ""]:
            if word and word not in STOP_WORDS and not word[-1].isdigit() and len(word) > 1:
                phrase.append(word)
            elif phrase:
                found.append(tuple(phrase))
                phrase = []
    return [phrase for phrase in found if len(phrase) <= MOST_WORDS]


def keywords(text: str) -> list[str]:
    """At most eight phrases, the most telling first; ties by the alphabet."""
    phrases = phrases_of(text)
    count = Counter(word for phrase in phrases for word in phrase)
    degree = Counter[str]()
    for phrase in phrases:
        degree.update(dict.fromkeys(phrase, len(phrase)))
    times = Counter(phrases)
    score = {phrase: times[phrase] * sum(degree[word] / count[word] for word in phrase) for phrase in times}
    best = sorted(score, key=lambda phrase: (-score[phrase], phrase))
    return [" ".join(phrase) for phrase in best[:MOST]]


keyword_extractor = Agent(
    keywords,
    name="keyword_extractor",
    gives="keywords",
    skills={"extract.keywords": 0.7},
    latency=0.02,
    ensure=not_empty,
    description="Find the phrases that say what a text is about.",
)
