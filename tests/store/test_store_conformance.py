"""The conformance kit, run against every store we have."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.store import MemoryStore, SqlStore, Store
from tests.store.conformance import StoreConformance


class TestMemory(StoreConformance):
    """In memory."""

    @pytest.fixture
    def store(self) -> Store:
        return MemoryStore()


class TestSqlite(StoreConformance):
    """In a SQLite file."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Store]:
        store = SqlStore(tmp_path / "runs.db")
        yield store
        store.close()


class TestPostgres(StoreConformance):
    """In PostgreSQL."""

    @pytest.fixture
    def store(self, postgres: str) -> Iterator[Store]:
        store = SqlStore(postgres)
        yield store
        store.close()
