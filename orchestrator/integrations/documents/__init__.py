"""Text of documents: shared code of the catalogue's readers, summarisers and writers."""

from .decode import decode, decode_as, decode_markup
from .keywords import keywords_of
from .languages import detect_language, stop_words
from .plausible import check_readable, implausibility
from .reader import Reading, reader
from .sentences import cut_at_word, sentences_of
from .tidy import paragraphs, tidy, without_escapes
from .titles import title_of

__all__ = [
    "Reading",
    "check_readable",
    "cut_at_word",
    "decode",
    "decode_as",
    "decode_markup",
    "detect_language",
    "implausibility",
    "keywords_of",
    "paragraphs",
    "reader",
    "sentences_of",
    "stop_words",
    "tidy",
    "title_of",
    "without_escapes",
]
