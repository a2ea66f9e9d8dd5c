"""The conformance kit, run against every store we have."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.store import MemoryStore, SqlStore, Store
from tests.store.conformance import Moment, StoreConformance
from tests.store.queue_conformance import QueueConformance


class TestMemory(StoreConformance, QueueConformance):
    """In memory."""

    @pytest.fixture
    def store(self, clock: Moment) -> Store:
        return MemoryStore(clock=clock)


class TestSqlite(StoreConformance, QueueConformance):
    """In a SQLite file."""

    @pytest.fixture
    def store(self, tmp_path: Path, clock: Moment) -> Iterator[Store]:
        store = SqlStore(tmp_path / "runs.db", clock=clock)
        yield store
        store.close()


class TestPostgres(StoreConformance, QueueConformance):
    """In PostgreSQL."""

    @pytest.fixture
    def store(self, postgres: str, clock: Moment) -> Iterator[Store]:
        store = SqlStore(postgres, clock=clock)
        yield store
        store.close()
