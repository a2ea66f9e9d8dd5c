"""Fixtures of the viewer's tests."""

import asyncio
from collections.abc import Generator

import pytest
from starlette.testclient import TestClient

from tests.ui.worlds import World, admitted, world


@pytest.fixture
def runs() -> Generator[World]:
    """A healed run, a waiting run, a run with a child."""
    made = asyncio.run(world())
    yield made
    made.orc.close()


@pytest.fixture
def client(runs: World) -> Generator[TestClient]:
    """A browser with the cookie, over these runs."""
    with admitted(runs.orc) as made:
        yield made
