"""Intent: from a text to a goal and inputs, or to a question back. Runs nothing."""

from .corpus import examples_of
from .extraction import extract
from .interpreter import Interpreter
from .needs import Needs, needs_of
from .request import Guess, Request

__all__ = ["Guess", "Interpreter", "Needs", "Request", "examples_of", "extract", "needs_of"]
