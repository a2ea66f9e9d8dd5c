"""Finds word sequences that all texts repeat (system prompts, templates, examples) and removes them.

Word sequences are kept as hashes (shingles: Broder, SEQUENCES 1997), so that the stored data reveals no text.
"""

import re
import zlib
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from orchestrator.selection.competence.sampling import Floats

from .embedding import Embedding, embedding_name

RUN = 5
"""Words in a sequence."""
SAMPLE = 200
"""Maximum number of texts that are examined."""
ENOUGH = 20
"""Minimum number of texts: fewer repeat sequences by chance."""
SHARE = 0.9
"""Share of the texts that contain a boilerplate sequence."""
MOST = 8192
"""Maximum number of sequences that are kept."""

_TOKEN = re.compile(r"\w+")


def boilerplate_of(texts: Sequence[str]) -> tuple[int, ...]:
    """The sorted hashes of the word sequences that (nearly) all texts have equally often; none for few texts."""
    if len(texts) < ENOUGH:
        return ()
    step = max(1, len(texts) // SAMPLE)
    sample = texts[::step][:SAMPLE]
    counts = Counter(pair for text in sample for pair in Counter(_codes(_words(text))).items())
    found = sorted(code for (code, _), count in counts.items() if count >= SHARE * len(sample))
    return tuple(found[:MOST])


def _words(text: str) -> list[str]:
    return [match.group().lower() for match in _TOKEN.finditer(text)]


def _codes(words: Sequence[str]) -> Iterable[int]:
    return (zlib.crc32(" ".join(words[i : i + RUN]).encode()) for i in range(len(words) - RUN + 1))


def without_boilerplate(text: str, runs: Collection[int]) -> str:
    """The text without the words of these sequences; unchanged if there are none."""
    if not runs:
        return text
    matches = list(_TOKEN.finditer(text))
    covered = bytearray(len(matches))
    for place, code in enumerate(_codes([match.group().lower() for match in matches])):
        if code in runs:
            covered[place : place + RUN] = b"\x01" * RUN
    if not any(covered):
        return text
    kept: list[str] = []
    for place, match in enumerate(matches):
        if not covered[place]:
            end = matches[place + 1].start() if place + 1 < len(matches) else len(text)
            kept.append(text[match.start() : end])
    return "".join(kept)


@dataclass(frozen=True)
class WithoutBoilerplate:
    """An embedding of texts without their boilerplate."""

    embedding: Embedding
    runs: frozenset[int]

    @property
    def name(self) -> str:
        """The name of the underlying embedding."""
        return embedding_name(self.embedding)

    def __call__(self, texts: Sequence[str], /) -> Floats:
        """One row per text."""
        return self.embedding([without_boilerplate(text, self.runs) for text in texts])
