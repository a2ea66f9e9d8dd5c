"""Bytes as text: by byte order mark, by declared encoding, as UTF-8, and otherwise by detection."""

import codecs
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from typing import Final

from .languages import detect_language

BYTE_ORDER_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
"""UTF-32 before UTF-16, because their marks begin with the same bytes."""
DECLARED = re.compile(rb"""(?:charset|encoding)\s*=\s*["']?\s*([A-Za-z0-9][\w.:-]{1,30})""")
"""`<meta charset=...>` of HTML and `encoding="..."` of XML."""
ESCAPES: Final = (
    (re.compile(rb"\x1b\$\)C"), "iso2022_kr"),
    (re.compile(rb"\x1b(?:\$[@B]|\([BIJ])"), "iso2022_jp_2"),
    (re.compile(rb"~\{(?:[\x21-\x77][\x21-\x7e])+~\}"), "hz"),
)
"""Escape sequences of ISO-2022-KR (RFC 1557), ISO-2022-JP (RFC 1468) and HZ (RFC 1843)."""
UTF7 = re.compile(rb"\+[A-Za-z0-9+/]{2,}-")
"""A run of other characters in UTF-7 (RFC 2152)."""
EBCDIC: Final = ("cp037", "cp500", "cp273", "cp1026", "cp1140")
DOS_AND_MAC: Final = ("cp850", "cp437", "cp852", "cp775", "cp865", "cp860", "cp863", "mac_roman", "mac_latin2")
LEAST_FIT: Final = 0.5
MARGIN: Final = 0.15
"""Minimum fit of a DOS or Mac encoding, and its minimum lead over the others."""
ONE_SCRIPT: Final = ("cp1256", "cp1255", "cp1253", "iso8859_6", "cp874", "cp1251")
MULTI_BYTE: Final = ("cp932", "gb18030", "big5hkscs", "cp949", "euc_jp")
LATIN: Final = ("cp1252", "cp1254", "cp1250", "iso8859_2", "cp1257", "iso8859_4", "cp1258")
"""Encodings that differ in a few letters, which statistical detection confuses."""
CYRILLIC: Final = ("cp1251", "koi8_r", "koi8_u", "mac_cyrillic", "iso8859_5", "cp866")
CYRILLIC_LETTERS = re.compile("[\u0400-\u045f\u0490\u0491]")
FREQUENT_CYRILLIC = re.compile("[оеаинтсрвл]")
"""Lower-case letters that make up two thirds of a text in Russian, Ukrainian or Bulgarian."""
CAPITAL_WITHIN = re.compile("[\u0430-\u045f][\u0400-\u042f]")
PUNCTUATION: Final = "«»—–…“”„’‘№\u00a0§°"
LETTERS: Final = {
    "ca": "àçèéíïòóúü·", "cs": "áčďéěíňóřšťúůýž", "da": "åæøé", "de": "äöüß", "en": "éèïöüçñà", "es": "áéíñóúü",
    "fi": "äöå", "fr": "àâæçéèêëîïôœùûüÿ", "hr": "čćđšž", "hu": "áéíóöőúüű", "id": "é", "it": "àèéìíîòóùú",
    "nl": "éëïöüèáó", "no": "åæøéò", "pl": "ąćęłńóśźż", "pt": "áâãàçéêíóôõúü", "ro": "ăâîșşțţ",
    "lt": "ąčęėįšųūž", "lv": "āčēģīķļņšūž", "et": "äõöüšž",
    "vi": "àáâãèéêìíòóôõùúýăđĩũơưạảấầẩẫậắằẳẵặẹẻẽếềểễệỉịọỏốồổỗộớờởỡợụủứừửữựỳỵỷỹ",
    "sk": "áäčďéíĺľňóôŕšťúýž", "sl": "čšž", "sv": "åäöé", "tr": "âçğıîöşûüİ",
}  # fmt: skip
"""Language -> its letters beyond ASCII."""


def decode(raw: bytes) -> str:
    """Decode bytes; never fails. Line ends become `\\n`, NULs are removed."""
    return tidy_ends(decode_as(raw)[0])


def decode_markup(raw: bytes) -> str:
    """Decode HTML or XML: by the byte order mark, else by the declared encoding if it fits."""
    if not any(raw.startswith(mark) for mark, _ in BYTE_ORDER_MARKS) and not _is_utf8(raw):
        declared = DECLARED.search(raw[:4096])
        if declared:
            name = {"iso-8859-1": "cp1252", "latin-1": "cp1252", "gb2312": "gb18030"}.get(
                declared[1].decode("ascii").lower(), declared[1].decode("ascii")
            )
            try:
                return tidy_ends(raw.decode(name))
            except (UnicodeDecodeError, LookupError):
                pass
    return decode(raw)


def _is_utf8(raw: bytes) -> bool:
    """Whether bytes beyond ASCII are valid UTF-8, which is reliable independent of the declaration."""
    try:
        return not raw.isascii() and bool(raw.decode("utf-8"))
    except UnicodeDecodeError:
        return False


def decode_as(raw: bytes) -> tuple[str, str]:
    """The text, and its encoding."""
    for mark, encoding in BYTE_ORDER_MARKS:
        if raw.startswith(mark):
            return raw[len(mark) :].decode(encoding, "replace"), encoding
    wide = _wide(raw)
    if wide:
        return raw.decode(wide, "replace"), wide
    try:
        if raw.isascii():
            return _escaped(raw) or (raw.decode("ascii"), "utf-8")
        return raw.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        return _damaged_utf8(raw) or _detected(raw)


def tidy_ends(text: str) -> str:
    """Line ends as `\\n`, and no NUL."""
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "").removeprefix("\ufeff")


def _escaped(raw: bytes) -> tuple[str, str] | None:
    """Encodings of seven bits, by their escape sequences."""
    for escape, encoding in ESCAPES:
        if escape.search(raw[:65536]):
            return raw.decode(encoding, "replace"), encoding
    if len(UTF7.findall(raw[:65536])) >= 2:
        try:
            text = raw.decode("utf-7")
        except UnicodeDecodeError:
            return None
        beyond = [character for character in text if character > "\x7f"]
        if beyond and all(character.isalpha() or character in PUNCTUATION for character in beyond):
            return text, "utf-7"
    return None


def _wide(raw: bytes) -> str | None:
    """UTF-16 or UTF-32 without a byte order mark, by the positions of NUL bytes.

    Of a text beyond ASCII only spaces, digits and line ends have a NUL, so it must also decode to sensible characters.
    """
    sample = raw[: 4096 - 4096 % 4]
    nuls = sample.count(0)
    if len(sample) < 4 or nuls < max(2, len(sample) * 0.02):
        return None
    shares = [sample[place::4].count(0) / max(1, len(sample[place::4])) for place in range(4)]
    if min(shares[2:]) > 0.7 and shares[0] < 0.3:
        return "utf-32-le"
    if min(shares[:2]) > 0.7 and shares[3] < 0.3:
        return "utf-32-be"
    odd = (sample[1::4].count(0) + sample[3::4].count(0)) / nuls
    for encoding, share in (("utf-16-le", odd), ("utf-16-be", 1 - odd)):
        if share > 0.95 and _is_sensible(sample[: len(sample) - len(sample) % 2].decode(encoding, "replace")):
            return encoding
    return None


def _is_sensible(text: str) -> bool:
    """Whether nearly all characters are letters, spaces and the like, of few scripts."""
    letters = [character for character in text if character.isalpha()]
    odd = sum(
        unicodedata.category(character) in ("Cc", "Cn", "Co", "Cs") and character not in "\t\r\n" for character in text
    )
    blocks = {ord(character) >> 8 for character in letters if not "\u2e80" <= character <= "\ud7ff"}
    return odd <= 0.02 * len(text) and "\ufffd" not in text[:-1] and len(letters) > 0.4 * len(text) and len(blocks) <= 8


def _damaged_utf8(raw: bytes) -> tuple[str, str] | None:
    """UTF-8 with a few invalid characters, as in a truncated or edited file."""
    text = raw.decode("utf-8", "replace")
    broken = text.count("\ufffd")
    good = sum(character > "\x7f" for character in text) - broken
    return (text, "utf-8") if good >= 4 and broken <= max(1, good // 20) else None


def _detected(raw: bytes) -> tuple[str, str]:
    """By charset-normalizer; among encodings of the Latin script by the letters of the language."""
    try:
        from charset_normalizer import from_bytes
    except ImportError:
        best = None
    else:
        best = from_bytes(raw).best()
    if best is not None and best.encoding in EBCDIC:
        return _fitting(raw, (*EBCDIC, best.encoding)) or (str(best), best.encoding)
    if _looks_latin(raw):
        return _latin(raw, None if best is None else best.encoding)
    if best is None:
        return _of_one_script(raw) or _fewest_errors(raw)
    text = str(best)
    beyond = [character for character in text if character > "\x7f" and character.isalpha()]
    if sum("\u0400" <= character <= "\u04ff" for character in beyond) * 2 > len(beyond) and not best.multi_byte_usage:
        return _cyrillic(raw, best.encoding)
    symbols = sum(character > "\x7f" and not character.isalpha() for character in text)
    if best.multi_byte_usage > 0 or sum(character > "\u024f" for character in beyond) > symbols + len(beyond) / 2:
        return text, best.encoding
    return _latin(raw, best.encoding)


def _cyrillic(raw: bytes, detected: str) -> tuple[str, str]:
    """The encoding that gives words: no symbols between letters, no capitals within words."""

    def fit(text: str) -> int:
        letters = len(CYRILLIC_LETTERS.findall(text)) + len(FREQUENT_CYRILLIC.findall(text))
        odd = sum(character > "\x7f" and not character.isalnum() and character not in PUNCTUATION for character in text)
        return letters - 4 * odd - 4 * len(CAPITAL_WITHIN.findall(text))

    found: list[tuple[int, str, str]] = []
    for encoding in dict.fromkeys((*CYRILLIC, detected)):
        try:
            text = raw.decode(encoding)
        except (UnicodeDecodeError, LookupError):
            continue
        found.append((fit(text[:50_000]), text, encoding))
    _, text, encoding = max(found, key=lambda candidate: candidate[0])
    return text, encoding


def _looks_latin(raw: bytes) -> bool:
    """Whether bytes beyond ASCII are isolated between ASCII letters, as accented letters are; other scripts have runs
    of them.
    """
    sample = raw[:65536]
    runs = [len(run) for run in re.findall(rb"[\x80-\xff]+", sample)]
    letters = len(re.findall(rb"[A-Za-z]", sample))
    most = letters if len(sample) < 64 else 0.3 * letters
    short = sum(run <= 2 for run in runs) > 0.8 * len(runs) and sum(run == 1 for run in runs) > 0.5 * len(runs)
    return sum(runs) <= most and short


def _latin(raw: bytes, detected: str | None) -> tuple[str, str]:
    """The encoding whose letters fit the language best; `detected`, DOS and Mac only where they fit better than all."""
    usual = [encoding for encoding in LATIN if encoding != "cp1250" or any(0x80 <= byte < 0xA0 for byte in raw)]
    found = _fitting(raw, usual)
    others = _fitting(raw, (*([detected] if detected else []), *DOS_AND_MAC))
    if found is None:
        return others or (raw.decode("cp1252", "replace"), "cp1252")
    if others and _fit(others[0]) > max(LEAST_FIT, _fit(found[0]) + MARGIN):
        return others
    return found


def _fitting(raw: bytes, encodings: Iterable[str]) -> tuple[str, str] | None:
    """The first of the encodings whose letters fit the language of the text best."""
    found: list[tuple[float, str, str]] = []
    for encoding in dict.fromkeys(encodings):
        try:
            decoded = (
                unicodedata.normalize("NFC", raw.decode(encoding)) if encoding == "cp1258" else raw.decode(encoding)
            )
        except (UnicodeDecodeError, LookupError):
            continue
        found.append((_fit(decoded), decoded, encoding))
    best = max(found, key=lambda candidate: candidate[0], default=None)
    return best and (best[1], best[2])


def _of_one_script(raw: bytes) -> tuple[str, str] | None:
    """An encoding of 8 bits in which nearly all letters beyond ASCII are of one script, and no symbols among them."""
    for encoding in ONE_SCRIPT:
        try:
            text = raw.decode(encoding)[:20_000]
        except UnicodeDecodeError:
            continue
        beyond = [
            c
            for c in text
            if c > "\x7f" and c not in PUNCTUATION and not unicodedata.category(c).startswith(("M", "Cf"))
        ]
        scripts = Counter(unicodedata.name(character, "?").partition(" ")[0] for character in beyond)
        if beyond and scripts.most_common(1)[0][1] > 0.95 * len(beyond) and scripts.most_common(1)[0][0] != "LATIN":
            return raw.decode(encoding), encoding
    return None


def _fit(text: str) -> float:
    """The share of letters beyond ASCII that are letters of the text's language; symbols inside words count against."""
    sample = text[:50_000].lower()
    language = detect_language(sample)
    beyond = [character for character in sample if character > "\x7f" and not character.isspace()]
    if language not in LETTERS or not beyond:
        return 0.0
    own = sum(character in LETTERS[language] for character in beyond)
    other = sum(character.isalpha() and character not in LETTERS[language] for character in beyond)
    other += len(re.findall(r"(?<=[a-z])[^\x00-\x7f\w\s’‘–—…”“«»](?=[a-z])", sample))
    return (own - other) / len(beyond)


def _fewest_errors(raw: bytes) -> tuple[str, str]:
    decoded = [(raw.decode(encoding, "replace"), encoding) for encoding in MULTI_BYTE]
    text, encoding = min(decoded, key=lambda pair: pair[0].count("\ufffd"))
    if text.count("\ufffd") <= 0.01 * len(text):
        return text, encoding
    return raw.decode("cp1252", "replace"), "cp1252"
