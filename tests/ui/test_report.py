"""The report for auditors, opened in a real Chromium from its file, with the network off."""

import sqlite3
from contextlib import closing
from pathlib import Path

from playwright.sync_api import Browser

from orchestrator.observability.report import report_html
from orchestrator.store import open_store
from tests.ui.test_browser import browser, in_thread, pytestmark  # noqa: F401  # pyright: ignore[reportUnusedImport]
from tests.ui.worlds import world


def written(store_file: Path, report: Path) -> bool:
    """Write the report over all runs of a store; whether the store is as it was written."""
    store = open_store(store_file)
    text, whole = report_html(store, store.runs(), now=0.0)
    store.close()
    report.write_text(text, encoding="utf-8")
    return whole


def opened(chromium: Browser, report: Path) -> str:
    """What a report shows; nothing goes wrong in it and no request leaves."""
    context = chromium.new_context(offline=True)
    page = context.new_page()
    problems: list[str] = []
    page.on("console", lambda m: problems.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda e: problems.append(str(e)))
    page.on("request", lambda r: None if r.url.partition("#")[0] == report.as_uri() else problems.append(r.url))
    page.goto(report.as_uri())
    page.locator('a[href="#run-healed"]').first.click()
    page.emulate_media(media="print")
    text = page.locator("body").inner_text()
    context.close()
    assert problems == []
    return text


def test_a_report_opens_without_a_network_and_says_where_the_store_was_changed(
    browser: Browser,  # noqa: F811
    tmp_path: Path,
) -> None:
    runs = tmp_path / "runs.db"
    in_thread(world(runs)).orc.close()
    assert written(runs, tmp_path / "whole.html")
    text = opened(browser, tmp_path / "whole.html")
    assert "✓ Verified" in text and "✗" not in text
    assert "carrier_api" in text
    with closing(sqlite3.connect(runs)) as database, database:
        one = "run_id = 'healed' AND seq = 2"
        body = database.execute(f"SELECT body FROM orchestrator_records WHERE {one}").fetchone()[0]
        place = next(n for n, letter in enumerate(body) if letter in "12345678")
        changed = body[:place] + str(int(body[place]) + 1) + body[place + 1 :]
        database.execute(f"UPDATE orchestrator_records SET body = ? WHERE {one}", (changed,))
    assert not written(runs, tmp_path / "changed.html")
    text = opened(browser, tmp_path / "changed.html")
    assert "✗ The store was changed" in text and "record 2" in text
