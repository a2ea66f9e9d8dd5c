"""Whole picodollars: prices are summed as integers, so that the order of addition never decides."""

import math
from typing import Any, Final

from .errors import DefinitionError

PICO: Final = 10**12
"""Picodollars in a US dollar."""


def picodollars(usd: Any, tool: str) -> int | None:
    """A price as whole picodollars; `None` for an infinite one. Raises `DefinitionError` for negative or NaN."""
    if not isinstance(usd, int | float) or math.isnan(usd) or usd < 0:
        raise DefinitionError(f"The pricing gave {usd!r} for {tool!r}. A price is a number of US dollars, at least 0.")
    return None if math.isinf(usd) else round(usd * PICO)
