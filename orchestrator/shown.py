"""What of a value somebody outside the run may see: what a redaction hook lets through; nothing where it fails."""

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

Redact = Callable[[str, Any], Any]
"""(key, value) -> what may be shown of the value of that key."""
FAILED: Final = "[redaction failed]"

LOG: Final = logging.getLogger("orchestrator")

_general: Redact | None = None


def set_general_hook(redact: Redact | None) -> None:
    """Choose the hook for whoever has none of its own."""
    global _general
    _general = redact


def shown(values: Mapping[str, Any], redact: Redact | None) -> dict[str, Any]:
    """The values as the hook shows them; `None`: as they are. A hook that fails shows nothing of that value."""
    return {key: _shown(key, value, redact) for key, value in values.items()}


def shown_outside(values: Mapping[str, Any], redact: Redact | None) -> dict[str, Any]:
    """As `shown`, with the general hook (`tracing.setup(redact=...)`) where there is none of its own."""
    return shown(values, redact if redact is not None else _general)


def _shown(key: str, value: Any, redact: Redact | None) -> Any:
    if redact is None:
        return value
    try:
        return redact(key, value)
    except Exception as error:
        LOG.warning("The redaction hook failed on %s: %s", key, type(error).__name__)
        return FAILED
