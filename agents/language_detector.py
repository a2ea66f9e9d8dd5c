"""Which language a text is in: by its script where that tells, else by the little words that every text is full of."""

# ruff: noqa: E501  # a language is a line

import re
import unicodedata
from collections import Counter

from orchestrator import Agent, Refused

SCRIPTS = {
    "HIRAGANA": "ja",
    "KATAKANA": "ja",
    "HANGUL": "ko",
    "CJK": "zh",
    "GREEK": "el",
    "HEBREW": "he",
    "ARABIC": "ar",
    "DEVANAGARI": "hi",
    "THAI": "th",
    "CYRILLIC": "ru",
}
"""Script -> ISO 639-1; where several languages share a script, the one that is written most."""
WORDS = {
    "cs": "a aby ale až být byl byla co do ho je jeho jejich jsem jsme jsou když která které který má mezi nebo není o od po pro protože s se si tak také však ve z za že",
    "da": "af at blev da de den der det eller en et for fra han har hun hvor i ikke jeg med meget mig nogle og også om på sig skal som til var ved vi være",
    "de": "aber als am an auch auf aus bei das dass dem den der des die durch ein eine einen er es für haben hat ich im in ist mit nach nicht noch nur oder sich sie sind über und vom von war werden wie wird zu zum zur",
    "en": "a an and are as at be been but by for from had has have he her his in is it its not of on one or she that the their there they this to was we were which will with would you",
    "es": "al como con cuando de del desde donde el ella en entre era es esta este están fue ha hay la las lo los más muy no o para pero por que se ser sin sobre son su sus también tiene un una y ya",
    "fi": "ei että ennen he hän ja jo joka jos jotka kanssa kuin kun mukaan mutta myös ne niin nyt oli olivat olla on ovat se sekä sen siitä sitä tai tämä vain vielä voi",
    "fr": "au aux avec ce ces cette comme dans de des du elle en entre est et être fait il ils je la le les leur lui mais ne nous on ou où par pas plus pour qu que qui sa sans se ses son sont sur un une",
    "it": "a al alla anche che chi ci come con da dal dalla dei del della delle di dopo e è gli ha hanno i il in io la le lo ma nel nella non o per più quando questa questo se si sono sua suo tra un una",
    "nl": "aan al als bij dan dat de deze die dit door een en er ging had heeft het hij ik in is je kan maar met meer naar niet nog of om onder ook op over te tot uit van voor was wat werd wordt zij zijn",
    "no": "at av ble da de den denne der det en er et etter for fra ha han har hun hvor i ikke jeg med meg men mot noen og også om opp på seg skal som til var ved vi være",
    "pl": "a aby ale być był była było co czy dla do gdy go i ich jak jako jego jej jest już które który lub ma na nie o od oraz po pod przez przy się są tak także to tylko tym w we z za ze że",
    "pt": "a ao aos as com como da das de depois do dos e ela ele em entre era essa este foi há isso já mais mas muito na não nas no nos o os ou para pela pelo por quando que se sem ser seu são também tem um uma",
    "sv": "att av blev de den denna det där efter eller en ett från för ha han har hon i inte jag kan men mot mycket när någon och också om på sig ska som till under upp var vi vid vara är",
}  # fmt: skip
"""ISO 639-1 -> words that are frequent in it."""
FREQUENT = {language: frozenset(words.split()) for language, words in WORDS.items()}
WORD = re.compile(r"[^\W\d_]+")
MOST_WORDS = 2000
"""Of a longer text, the first ones."""


def language(text: str) -> str:
    """ISO 639-1. Raises `Refused` for a text that is too short or too strange to tell."""
    words = [word.lower() for word in WORD.findall(text)[:MOST_WORDS]]
    by_script = script_of("".join(words))
    if by_script:
        return by_script
    hits = {name: sum(word in frequent for word in words) for name, frequent in FREQUENT.items()}
    best = max(sorted(hits), key=lambda name: hits[name])
    rivals = [name for name in hits if hits[name] == hits[best]]
    if hits[best] < 2 or len(rivals) > 1:
        raise Refused("the text is too short to tell its language")
    return best


def script_of(letters: str) -> str | None:
    """The language that the script of most letters tells, if it does. Kana among Chinese characters make it Japanese."""
    scripts = Counter(unicodedata.name(letter, "?").partition(" ")[0] for letter in letters)
    told = {script: count for script, count in scripts.items() if script in SCRIPTS}
    if sum(told.values()) * 2 <= len(letters) or not told:
        return None
    if {"HIRAGANA", "KATAKANA"} & told.keys():
        return "ja"
    return SCRIPTS[max(sorted(told), key=lambda script: told[script])]


language_detector = Agent(
    language,
    name="language_detector",
    gives="language",
    skills={"detect.language": 0.8},
    latency=0.01,
    description="Tell which language a text is in (ISO 639-1).",
)
