"""Content capture: inputs and outputs on spans only if the user turns it on, through a redaction hook."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic_core import to_json

from orchestrator.core.errors import DefinitionError
from orchestrator.core.privacy.redaction import FAILED, Redact, redacted_values, set_general_hook
from orchestrator.core.text import shortened

ENVIRONMENT: Final = "ORCHESTRATOR_CAPTURE_CONTENT"
"""The environment variable that turns content capture on: `true` or `1`."""
STANDARD: Final = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
"""The same switch by its name in the GenAI conventions: `true`, `span_only` or `span_and_event`."""
MAX_CONTENT: Final = 8192
"""Default maximum of characters of JSON in one attribute."""


@dataclass(frozen=True, slots=True)
class Capture:
    """The settings of content capture."""

    redact: Redact | None = None
    max_content: int = MAX_CONTENT

    def message(self, attribute: str, text: str) -> str:
        """The text of a message, redacted under the name of its attribute, and cut."""
        return shortened(str(redacted_values({attribute: text}, self.redact)[attribute]), self.max_content)

    def text(self, values: Mapping[str, Any]) -> str:
        """The values by key as JSON, redacted and cut. When the hook fails, the value is left out."""
        try:
            text = to_json(redacted_values(values, self.redact), fallback=repr).decode()
        except Exception as error:  # a failing repr must not fail the run
            text = f"[{type(error).__name__}]"
        return shortened(text, self.max_content)


_current: Capture | None = None
_chosen = False


def configure(*, on: bool | None, redact: Redact | None, max_content: int) -> None:
    """Configure content capture; `None` leaves it to the environment. Raises `DefinitionError` for an invalid size."""
    global _current, _chosen
    if max_content < 1:
        raise DefinitionError(f"max_content is a number of characters, at least 1, not {max_content!r}.")
    wanted = _in_environment() if on is None else on
    set_general_hook(redact)
    _current, _chosen = (Capture(redact, max_content) if wanted else None), True


def capture() -> Capture | None:
    """The current settings; `None` when capture is off."""
    if not _chosen and _in_environment():
        return Capture()
    return _current


def _in_environment() -> bool:
    own, standard = (os.environ.get(name, "").strip().lower() for name in (ENVIRONMENT, STANDARD))
    if own:
        return own in _ON
    return standard in (*_ON, "span_only", "span_and_event")


_ON: Final = ("1", "true", "yes", "on")


__all__ = ["ENVIRONMENT", "FAILED", "MAX_CONTENT", "STANDARD", "Capture", "Redact", "capture", "configure"]
