"""`orchestrator report`: one HTML file, verified, signed, and honest about a store that was changed."""

import re
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.conftest import Cli

STORE = Path(".orchestrator") / "runs.db"


@pytest.fixture
def runs(cli: Cli) -> None:
    cli("run", "title", "document=slow.txt", "--run-id", "healed")
    cli("run", "letter", "document=quick.txt", "--policy", "human", "--run-id", "asked")
    cli("resume", "asked", "1", "--by", "Ada <ada@example>", "--policy", "human")


def test_a_report_is_one_file_that_needs_no_network(cli: Cli, runs: None) -> None:
    said = cli("report", "asked", "--out", "report.html")
    assert said.exit == 0
    text = Path("report.html").read_text()
    assert text.startswith("<!doctype html>")
    assert not re.findall(r"(?:src|href)=\"(?!#)", text)
    assert "default-src 'none'" in text
    assert "✓ Verified" in text
    assert "by Ada &lt;ada@example&gt;" in text
    assert "<caption>d1 route" in text
    assert cli("verify", "asked", "--json").json["head"] in text
    assert cli("verify", "report.html").exit == 0


def test_a_report_goes_to_a_pipe(cli: Cli, runs: None) -> None:
    said = cli("report", "last")
    assert said.exit == 0 and said.out.startswith("<!doctype html>")


def test_a_changed_byte_in_the_store_is_said(cli: Cli, runs: None) -> None:
    with closing(sqlite3.connect(STORE)) as database, database:
        database.execute("UPDATE orchestrator_records SET body = body || ' ' WHERE run_id = 'healed' AND seq = 2")
    said = cli("report", "healed", "--out", "report.html")
    assert said.exit == 1
    text = Path("report.html").read_text()
    assert "✗ The store was changed" in text and "record 2" in text
    assert cli("verify", "report.html").exit == 1


def test_a_changed_byte_in_the_report_is_found(cli: Cli, runs: None) -> None:
    cli("report", "healed", "--out", "report.html")
    path = Path("report.html")
    path.write_text(path.read_text().replace('"tool":"thorough"', '"tool":"thorouqh"'))
    assert cli("verify", "report.html").exit == 1


def test_heads_are_signed_with_the_users_key(cli: Cli, runs: None) -> None:
    for name in ("key", "other"):
        subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", f"{name}.pem"], check=True)
        subprocess.run(["openssl", "pkey", "-in", f"{name}.pem", "-pubout", "-out", f"{name}.pub"], check=True)
    assert cli("report", "healed", "--out", "report.html", "--sign", "key.pem").exit == 0
    assert cli("verify", "report.html", "--key", "key.pub").exit == 0
    assert "another key" in cli("verify", "report.html", "--key", "other.pub").err
    path = Path("report.html")
    path.write_text(re.sub(r'(\\"head\\":\\")..', r"\g<1>00", path.read_text()))
    assert "does not fit" in cli("verify", "report.html").err
    Path("none.pem").write_text("no key")
    assert cli("report", "healed", "--sign", "none.pem").exit == 2


def test_a_report_over_a_time(cli: Cli, runs: None) -> None:
    said = cli("report", "--since", "1h", "--out", "report.html")
    assert said.exit == 0 and "2 runs" in said.out
    text = Path("report.html").read_text()
    assert text.count("<article") == 2 and 'href="#run-healed"' in text
    assert cli("report", "--until", "2020-01-01").exit == 2
    assert cli("report").exit == 2
    assert cli("report", "last", "--since", "1h").exit == 2


def test_a_report_of_several_runs_is_verified_as_one(cli: Cli, runs: None) -> None:
    assert cli("report", "--since", "1h", "--out", "report.html").exit == 0
    said = cli("verify", "report.html")
    assert said.exit == 0
    assert said.out.startswith("✓ 2 runs: ") and "head" not in said.out
