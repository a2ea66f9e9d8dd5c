"""Many rows in few statements: none is lost at the seams."""

from pathlib import Path

import pytest
from sqlalchemy import select

from orchestrator.store.sql.bulk import insert_rows, rows_of_runs
from orchestrator.store.sql.engine import database_url, engines, prepare
from orchestrator.store.sql.tables import REQUESTS, VALUES


@pytest.mark.parametrize("count", [0, 1, 2, 3, 63, 64, 65, 200])
def test_every_row_is_there_once_and_may_be_replaced(tmp_path: Path, count: int) -> None:
    url = database_url(tmp_path / "runs.db")
    writer, reader = engines(url)
    prepare(writer, url)
    rows = [(f"r{number:03}", "name", f"text {number}") for number in range(count)]
    with writer.begin() as connection:
        insert_rows(connection, VALUES, rows)
        insert_rows(connection, VALUES, [(run, name, text + "!") for run, name, text in rows], replace=True)
        insert_rows(connection, REQUESTS, [(run, "{}", None) for run, _, _ in rows])
        found = rows_of_runs(connection, REQUESTS, [run for run, _, _ in rows[:3]])
    assert [(row.run_id, row.request, row.answer) for row in found] == [(run, "{}", None) for run, _, _ in rows[:3]]
    with reader.connect() as connection:
        kept = connection.execute(select(VALUES).order_by(VALUES.c.run_id)).all()
    assert [tuple(row) for row in kept] == [(run, name, text + "!") for run, name, text in rows]
    writer.dispose()
    reader.dispose()
