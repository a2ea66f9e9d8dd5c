"""Delivery against real servers: what was sent is sent once, doubt is never answered by resending, nothing is lost."""

import json
import sqlite3
import stat
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from orchestrator import FailureKind, Goal, Orchestrator, Outcome, Policy, Status
from orchestrator.core.policy import Retries
from orchestrator.core.process.installation import catalog_root
from tests.catalog.servers import Mailbox, Reply, Request, closed_port, http_server, mail_server

LETTER = {"recipient": "ann@example.test", "subject": "Tides", "body": "High water at noon.\n.\nLow at six."}
QUICK = Policy(retries=Retries(base_seconds=0))


@pytest.fixture
def mailbox() -> Mailbox:
    return Mailbox()


@pytest.fixture
def smtp(mailbox: Mailbox) -> Iterator[dict[str, Any]]:
    with mail_server(mailbox) as settings:
        yield settings


class Hook:
    """A webhook's receiver that honours idempotency keys; `replies` are given first, None: it takes it and hangs up."""

    def __init__(self, *replies: int | None) -> None:
        self.replies = list(replies)
        self.requests: list[Request] = []
        self.taken: dict[str, Any] = {}

    def __call__(self, request: Request) -> Reply:
        self.requests.append(request)
        status = self.replies.pop(0) if self.replies else 200
        if status in (200, None):
            self.taken.setdefault(request.headers["Idempotency-Key"], json.loads(request.body))
        return Reply(status)


def deliver(deps: Mapping[str, Any], tmp_path: Path, **changes: str) -> Outcome:
    """Deliver the letter with these servers; the outbox lies in `tmp_path`."""
    orc = Orchestrator.from_project(
        catalog_root(), deps={"outbox": tmp_path / "box" / "outbox.db", **deps}, policy=QUICK
    )
    try:
        return orc.run_sync("delivery", {**LETTER, **changes})
    finally:
        orc.close()


def tried(outcome: Outcome) -> list[str]:
    """The tools that were called, in order."""
    return [call.tool for call in outcome.calls]


def kinds(outcome: Outcome) -> list[tuple[str, FailureKind]]:
    """What failed, and how."""
    return [(failure.tool, failure.kind) for failure in outcome.failures]


# -- mail --------------------------------------------------------------------------------------------------------------


def test_a_mail_arrives(smtp: dict[str, Any], mailbox: Mailbox, tmp_path: Path) -> None:
    outcome = deliver(
        {"smtp": smtp}, tmp_path, recipient="Ann Ö <ann@example.test>, bob@example.test", subject="Ebbe Ü"
    )
    assert tried(outcome) == ["send_smtp"]
    (mail,) = mailbox.mails
    assert mail.rcpt_tos == ["ann@example.test", "bob@example.test"]
    assert b"High water at noon.\r\n.\r\nLow at six." in mail.content
    assert outcome.value.removeprefix("smtp:").encode() in mail.content
    assert outcome.value.endswith("@marren.test>")


@pytest.mark.parametrize("step", ["MAIL", "RCPT", "DATA"])
def test_a_server_that_is_busy_is_an_outage_and_the_message_is_kept(
    smtp: dict[str, Any], mailbox: Mailbox, tmp_path: Path, step: str
) -> None:
    mailbox.say[step] = "451 try again later"
    outcome = deliver({"smtp": smtp}, tmp_path)
    assert tried(outcome) == ["send_smtp", "post_webhook", "outbox"]
    assert kinds(outcome)[0] == ("send_smtp", FailureKind.OUTAGE)
    assert outcome.value.startswith("outbox:")
    assert not mailbox.mails


@pytest.mark.parametrize("step", ["RCPT", "DATA"])
def test_a_no_of_the_server_is_a_refusal(smtp: dict[str, Any], mailbox: Mailbox, tmp_path: Path, step: str) -> None:
    mailbox.say[step] = "550 no such user"
    outcome = deliver({"smtp": smtp}, tmp_path)
    assert kinds(outcome)[0] == ("send_smtp", FailureKind.REFUSAL)
    assert "550 no such user" in outcome.failures[0].message


def test_an_answer_that_is_lost_is_never_resent_nor_sent_another_way(
    smtp: dict[str, Any], mailbox: Mailbox, tmp_path: Path
) -> None:
    mailbox.hang_up = "after"
    hook = Hook()
    with http_server(hook) as url:
        outcome = deliver({"smtp": smtp, "webhook": {"url": url}}, tmp_path)
    assert outcome.status is Status.ESCALATED
    assert kinds(outcome) == [("send_smtp", FailureKind.AMBIGUOUS)]
    assert outcome.uncompensated == ("send_smtp",)
    assert (len(mailbox.mails), hook.requests) == (1, [])


def test_where_somebody_can_tell_that_it_was_sent_it_is_done(
    smtp: dict[str, Any], mailbox: Mailbox, tmp_path: Path
) -> None:
    mailbox.hang_up = "after"
    outcome = deliver({"smtp": smtp | {"was_sent": mailbox.was_sent}}, tmp_path)
    assert len(mailbox.mails) == 1
    assert outcome.status is Status.REACHED
    assert [(d.kind, d.chosen) for d in outcome.decisions if d.answers] == [("reconcile", "it took place")]
    assert outcome.value.removeprefix("smtp:").encode() in mailbox.mails[0].content


def test_where_somebody_can_tell_that_it_was_not_sent_it_goes_another_way(
    smtp: dict[str, Any], mailbox: Mailbox, tmp_path: Path
) -> None:
    mailbox.hang_up = "before"
    with http_server(Hook()) as url:
        outcome = deliver({"smtp": smtp | {"was_sent": mailbox.was_sent}, "webhook": {"url": url}}, tmp_path)
    assert tried(outcome) == ["send_smtp"] * 3 + ["post_webhook"]
    assert not mailbox.mails


@pytest.mark.parametrize(
    "changes",
    [
        {"recipient": "ann@example.test\nBcc: eve@example.test"},
        {"recipient": ""},
        {"recipient": "ann"},
        {"recipient": "@"},
        {"recipient": "änn@example.test"},
        {"recipient": "ann@example.test, "},
        {"subject": "Tides\r\nBcc: eve@example.test"},
    ],
)
def test_what_is_no_address_is_the_callers_error(
    smtp: dict[str, Any], mailbox: Mailbox, tmp_path: Path, changes: dict[str, str]
) -> None:
    outcome = deliver({"smtp": smtp}, tmp_path, **changes)
    assert kinds(outcome)[0] == ("send_smtp", FailureKind.CALLER_ERROR)
    assert not mailbox.mails


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    outcome = deliver({"smtp": {"host": "127.0.0.1", "port": closed_port(), "sender": "a@b.test"}}, tmp_path)
    assert kinds(outcome)[0] == ("send_smtp", FailureKind.OUTAGE)
    assert outcome.status is Status.REACHED


def test_settings_that_are_wrong_are_named_and_never_shown(tmp_path: Path) -> None:
    outcome = deliver({"smtp": {"host": "127.0.0.1", "port": "secret", "sender": "a@b.test"}}, tmp_path)
    assert outcome.failures[0].message == "deps for the mail server are wrong: smtp.port"


def test_settings_may_be_attributes(smtp: dict[str, Any], mailbox: Mailbox, tmp_path: Path) -> None:
    class Settings:
        outbox = tmp_path / "outbox.db"

    settings: Any = Settings()
    settings.smtp = type("Server", (), smtp)()
    orc = Orchestrator.from_project(catalog_root(), deps=settings)
    assert orc.run_sync("delivery", LETTER).value.startswith("smtp:")
    orc.close()
    assert len(mailbox.mails) == 1


# -- the webhook -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("replies", "calls"), [((200,), 1), ((503, 200), 2), ((None, 200), 2), ((None, 502, 200), 3)], ids=str
)
def test_a_webhook_gets_a_message_once_however_often_it_is_posted(
    tmp_path: Path, replies: tuple[int | None, ...], calls: int
) -> None:
    hook = Hook(*replies)
    with http_server(hook) as url:
        outcome = deliver({"webhook": {"url": url, "headers": {"X-Token": "abc"}}}, tmp_path)
    assert tried(outcome) == ["send_smtp"] + ["post_webhook"] * calls
    assert list(hook.taken.values()) == [LETTER]
    assert outcome.value == f"webhook:{next(iter(hook.taken))}"
    assert {request.headers["X-Token"] for request in hook.requests} == {"abc"}


def test_each_post_carries_the_trace_of_its_attempt(tmp_path: Path) -> None:
    hook, spans = Hook(503), InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    with http_server(hook) as url:
        deps = {"webhook": {"url": url}}
        with Orchestrator.from_project(catalog_root(), deps=deps, policy=QUICK, tracer_provider=provider) as orc:
            orc.run_sync("delivery", LETTER)
    carried = [dict(request.headers)["traceparent"].split("-") for request in hook.requests]
    known = {f"{span.context.span_id:016x}": span.name for span in spans.get_finished_spans() if span.context}
    assert len({span for _, _, span, _ in carried}) == 2  # one for each attempt
    assert all("post_webhook" in known[span] or "attempt" in known[span] for _, _, span, _ in carried)


def test_a_webhook_that_stays_silent_after_taking_it_escalates_and_nothing_else_is_tried(tmp_path: Path) -> None:
    hook = Hook(None, None, None)
    with http_server(hook) as url:
        outcome = deliver({"webhook": {"url": url}}, tmp_path)
    assert outcome.status is Status.ESCALATED
    assert "outbox" not in tried(outcome)
    assert outcome.uncompensated == ("post_webhook",)
    assert len(hook.taken) == 1


@pytest.mark.parametrize(
    ("status", "kind"),
    [(404, FailureKind.REFUSAL), (401, FailureKind.ACCOUNT), (302, FailureKind.OUTAGE)],
)
def test_a_webhook_that_declines_took_nothing(tmp_path: Path, status: int, kind: FailureKind) -> None:
    with http_server(Hook(status)) as url:
        outcome = deliver({"webhook": {"url": url}}, tmp_path)
    assert kinds(outcome)[1] == ("post_webhook", kind)
    assert tried(outcome)[-1] == "outbox"


def test_a_webhook_that_is_not_there(tmp_path: Path) -> None:
    outcome = deliver({"webhook": {"url": f"http://127.0.0.1:{closed_port()}/secret-path"}}, tmp_path)
    assert kinds(outcome)[1] == ("post_webhook", FailureKind.OUTAGE)
    assert "secret-path" not in str(outcome.failures)


# -- the outbox --------------------------------------------------------------------------------------------------------


def box(tmp_path: Path) -> Path:
    return tmp_path / "box" / "outbox.db"


def states(tmp_path: Path) -> list[str]:
    """The states of what lies in the outbox."""
    with closing(sqlite3.connect(box(tmp_path))) as connection:
        return [state for (state,) in connection.execute("select state from outbox order by rowid")]


def send_outbox(deps: Mapping[str, Any], tmp_path: Path) -> Outcome:
    """Send what lies in the outbox."""
    orc = Orchestrator.from_project(catalog_root(), deps={"outbox": box(tmp_path), **deps}, policy=QUICK)
    try:
        return orc.run_sync("outbox_sent")
    finally:
        orc.close()


def test_what_nobody_can_deliver_is_kept_on_disk_for_its_owner_only(tmp_path: Path) -> None:
    assert deliver({}, tmp_path).value.startswith("outbox:")
    assert states(tmp_path) == ["waiting"]
    assert stat.S_IMODE(box(tmp_path).stat().st_mode) == 0o600


def test_what_waits_is_sent_later_and_once(smtp: dict[str, Any], mailbox: Mailbox, tmp_path: Path) -> None:
    for subject in ("First", "Second"):
        deliver({}, tmp_path, subject=subject)
    assert send_outbox({}, tmp_path).value == []
    assert states(tmp_path) == ["waiting", "waiting"]
    assert len(send_outbox({"smtp": smtp}, tmp_path).value) == 2
    assert [b"Subject: First" in mail.content for mail in mailbox.mails] == [True, False]
    assert (states(tmp_path), send_outbox({"smtp": smtp}, tmp_path).value) == ([], [])


def test_a_message_nobody_takes_does_not_hold_up_the_others(
    smtp: dict[str, Any], mailbox: Mailbox, tmp_path: Path
) -> None:
    deliver({}, tmp_path, recipient="nobody")
    deliver({}, tmp_path)
    assert len(send_outbox({"smtp": smtp}, tmp_path).value) == 1
    assert states(tmp_path) == ["waiting"]


def test_a_message_that_may_have_gone_out_is_left_to_a_person(
    smtp: dict[str, Any], mailbox: Mailbox, tmp_path: Path
) -> None:
    deliver({}, tmp_path)
    mailbox.hang_up = "after"
    assert send_outbox({"smtp": smtp}, tmp_path).value == []
    mailbox.hang_up = None
    assert send_outbox({"smtp": smtp}, tmp_path).value == []
    assert (states(tmp_path), len(mailbox.mails)) == (["in doubt"], 1)


def test_a_message_is_taken_out_again_when_the_run_does_not_use_it(tmp_path: Path) -> None:
    orc = Orchestrator.from_project(catalog_root(), deps={"outbox": box(tmp_path)}, policy=QUICK)

    @orc.tool(gives="closed")
    def close_case(delivery: str) -> str:
        raise RuntimeError("no")

    outcome = orc.run_sync(Goal("closed", demotions=["recipient"]), LETTER)
    orc.close()
    assert outcome.status is Status.DEMOTED
    assert outcome.compensated == ("outbox",)
    assert states(tmp_path) == []


def test_what_may_have_been_sent_cannot_be_taken_out(tmp_path: Path) -> None:
    orc = Orchestrator.from_project(catalog_root(), deps={"outbox": box(tmp_path)}, policy=QUICK)

    @orc.tool(gives="closed")
    def close_case(delivery: str) -> str:
        with closing(sqlite3.connect(box(tmp_path), isolation_level=None)) as connection:
            connection.execute("update outbox set state = 'in doubt'")
        raise RuntimeError("no")

    outcome = orc.run_sync(Goal("closed", demotions=["recipient"]), LETTER)
    orc.close()
    assert (outcome.compensated, outcome.uncompensated) == ((), ("outbox",))
    assert states(tmp_path) == ["in doubt"]
