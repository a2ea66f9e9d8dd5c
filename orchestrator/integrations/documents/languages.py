"""Language detection, and stop words of languages."""

# ruff: noqa: E501  # a language is a line

import re
import unicodedata
from collections import Counter
from functools import lru_cache
from typing import Final

SCRIPTS: Final = {
    "HIRAGANA": "ja",
    "KATAKANA": "ja",
    "HANGUL": "ko",
    "CJK": "zh",
    "GREEK": "el",
    "HEBREW": "he",
    "ARABIC": "ar",
    "DEVANAGARI": "hi",
    "BENGALI": "bn",
    "TAMIL": "ta",
    "THAI": "th",
    "GEORGIAN": "ka",
    "ARMENIAN": "hy",
}
"""Script -> ISO 639-1; of several languages with a script, the most common one."""
WORDS: Final = {
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
    "ca": "a al amb aquest aquesta com de del dels des dins el els en entre era és esta fins ha han hi i la les li més no o on per però pel que quan se ser seu seva si sobre són també tot un una va van",
    "hr": "a ali bez bi bilo da do dok ga gdje i ih ili iz je jer još kad kada kako kao koja koje koji li među na ne nego nema ni nije o od on ona oni po pod prema pri s sa samo se su što ta tako te to u uz već za zbog",
    "hu": "a az és hogy nem is ez egy volt meg de csak már még mint ha vagy van ki lehet után azt el kell minden mert így azonban között szerint amely ezt nagy lesz pedig majd ahol itt ott ami által alatt",
    "id": "ada adalah akan antara atau bagi bahwa banyak beberapa bisa dalam dan dapat dari dengan di hingga ia ini itu juga karena ke kepada lebih mereka namun oleh pada para saat sebagai sebuah sejak secara serta setelah telah tersebut tidak untuk yang",
    "ro": "a al ale am are au ca că care ce cel cu cum de din dar după este eu fi fost în între la lui mai mult nu o pe pentru prin sau se sunt și ca un unei unui va lor această acest când deci fiind",
    "sk": "a aby aj ako ale až bol bola bolo by byť čo do ho ich je jeho k keď ktoré ktorý ktorá len má medzi na nad nie o od po pod pre pri s sa si so sú tak to toho tu v vo z za zo že",
    "sl": "a ali bi bil bila bilo da do če ga iz in je jih kaj kako ker ki ko kot le med na ne ni o ob od pa po pod pri s se sem si so tako tem ter to tudi v več z za že",
    "tr": "acaba ama ancak bir bile bu çok da daha de değil diye en gibi göre hem her için ile ise kadar ki mi ne nasıl o olan olarak oldu olduğu ona onun sonra şu tarafından ve veya ya",
    "lt": "ir yra bei kad kaip bet su dėl nuo iki po prie per apie už ar ne tai jis ji jie kuris kuri buvo bus būti taip pat dar jau tik jei nes savo šis ši tarp prieš labai kai o į iš",
    "lv": "un ir ka ar no uz par pie pēc bet kā lai vai arī tas tā to viņš viņa viņi šis šī kas kur bija būs būt nav ne tik jo ja līdz starp savu ļoti jau tiek gan kad tika pat vēl",
    "et": "ja on ei et see ka kui oli oma ta nad need seda mis kes või aga siis veel kuid ning nii välja üle juba pärast enne kuni ole olid tema sest väga mida selle mitte vaid",
    "vi": "và của là có cho không được các trong một người với đã này những để đến khi từ về ra tại cũng như trên vào năm nhiều theo sau hay",
    "la": "ac ad at aut cum de ea ego est et etiam ex haec hic hoc id in ipse ita me mihi nam ne nec non nunc per pro quae quam qui quid quod se sed si sic sunt te tibi tu ut vel",
    "ru": "и в не на я что он с как это по но они к у из за то все так его от же для о мы бы вы был быть она до когда или при только также которые было были есть чтобы",
    "uk": "і в не на що з як це по але вони до у за то все так його від же для про ми би ви був бути вона коли або при тільки також які було були є щоб та",
    "bg": "и в не на че той с как това по но те към у от за то всички така го до ние бяха е са да се като или при само също които беше са ще",
    "sr": "и у не на да је се за од са су као то који али или по из што би било није о до како само када него ће бити",
}  # fmt: skip
"""ISO 639-1 -> words that are frequent in it."""
FREQUENT: Final = {language: frozenset(words.split()) for language, words in WORDS.items()}
FREQUENT_WORDS: Final = frozenset(word for words in FREQUENT.values() for word in words if len(word) >= 2)
"""Frequent words of all those languages."""
CYRILLIC: Final = frozenset(("ru", "uk", "bg", "sr"))
WORD = re.compile(r"[^\W\d_]+")
LEAST_SHARE: Final = 0.05
"""Minimum share of stop words of its language: prose has a third. Single letters, which may be variables, count
half.
"""
MOST_WORDS: Final = 2000
"""Maximum number of words that are examined."""


def detect_language(text: str) -> str | None:
    """ISO 639-1; `None` for a text that is too short or too strange to tell."""
    words = [word.lower() for word in WORD.findall(text)[:MOST_WORDS]]
    letters = "".join(words)
    by_script = _by_script(letters)
    if by_script:
        return by_script
    cyrillic = sum("\u0400" <= letter <= "\u04ff" for letter in letters) * 2 > len(letters)
    names = [name for name in FREQUENT if (name in CYRILLIC) == cyrillic]
    hits = {name: sum(min(2, len(word)) for word in words if word in FREQUENT[name]) / 2 for name in names}
    best = max(sorted(hits), key=lambda name: hits[name])
    rivals = [name for name in hits if hits[name] == hits[best]]
    longer = sum(len(word) > 1 and word in FREQUENT[best] for word in words)
    if longer < max(2, LEAST_SHARE * len(words)) or len(rivals) > 1:
        return None
    return best


def _by_script(letters: str) -> str | None:
    """The language that the script of most letters identifies, if any. Kana among Chinese characters make it Japanese."""
    scripts = Counter(_script(letter) for letter in letters)
    known = {script: count for script, count in scripts.items() if script in SCRIPTS}
    if sum(known.values()) * 2 <= len(letters) or not known:
        return None
    if {"HIRAGANA", "KATAKANA"} & known.keys():
        return "ja"
    best = SCRIPTS[max(sorted(known), key=lambda script: known[script])]
    return "fa" if best == "ar" and sum(letters.count(letter) for letter in "پچژگ") > 0.01 * len(letters) else best


@lru_cache(maxsize=4096)
def _script(letter: str) -> str:
    return unicodedata.name(letter, "?").partition(" ")[0]


@lru_cache(maxsize=64)
def stop_words(language: str | None) -> frozenset[str]:
    """The stop words of a language; of all languages if it is unknown."""
    if language is None:
        return FREQUENT_WORDS | stop_words("en")
    words = FREQUENT.get(language, frozenset[str]())
    try:
        from stopwordsiso import has_lang, stopwords
    except ImportError:
        return words
    return words | frozenset(stopwords(language)) if has_lang(language) else words
