"""What tests of tracing share."""

import pytest

from tests.support.telemetry import Recorder


@pytest.fixture
def recorder() -> Recorder:
    """A provider that keeps its spans."""
    return Recorder()
