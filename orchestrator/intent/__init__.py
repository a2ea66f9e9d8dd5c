"""Intent: from a text to a goal and inputs, or to a question back. Runs nothing."""

from .extraction import extract
from .interpreter import Guess, Interpreter, Request
from .needs import Needs, needs_of
from .neighbours import examples_of

__all__ = ["Guess", "Interpreter", "Needs", "Request", "examples_of", "extract", "needs_of"]
