"""Foreign text made safe to show: no control characters, no invisible ones, a limited size."""

import re
import unicodedata
from typing import Final

_ESCAPES: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-_])")
"""ANSI escape sequences (ECMA-48): CSI, OSC with its text, and the two-character ones."""


def clean(text: str, limit: int = 300) -> str:
    """`text` in one line of at most `limit` characters, without escape sequences, control or format characters.

    Format characters (Unicode category Cf) are invisible or turn the direction of writing: they hide what a text says.
    """
    kept = _ESCAPES.sub("", text[: 8 * limit])
    kept = "".join(" " if c in "\n\r\t\u2028\u2029" else c for c in kept if _shown(c))
    kept = " ".join(kept.split())
    if len(kept) <= limit and len(text) <= 8 * limit:
        return kept
    return kept[: limit - 1].rstrip() + "…"


def _shown(character: str) -> bool:
    return character in "\n\r\t\u2028\u2029" or unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co", "Cn")
