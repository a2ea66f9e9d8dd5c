"""What every test may rely on: nothing that another test chose for the whole process is still chosen."""

import logging
from collections.abc import Iterator

import pytest

from orchestrator.tracing import content


@pytest.fixture(autouse=True)
def _as_a_new_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Content capture and logging as they are by default, whatever an example or a test before chose."""
    monkeypatch.delenv(content.ENVIRONMENT, raising=False)
    monkeypatch.setattr(content, "_current", None)
    monkeypatch.setattr(content, "_chosen", False)
    loggers = (logging.getLogger(), logging.getLogger("orchestrator"))
    before = [(logger, logger.level, list(logger.handlers), list(logger.filters)) for logger in loggers]
    yield
    for logger, level, handlers, filters in before:
        logger.setLevel(level)
        logger.handlers[:], logger.filters[:] = handlers, filters
