"""Pages fetched from a real server, and the copies that stand in for them when it is down."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import TracerProvider

from orchestrator import FailureKind, Orchestrator, Outcome, Policy, Status
from orchestrator.core.policy import Retries
from orchestrator.core.process.installation import catalog_root
from tests.catalog.conftest import DOCUMENTS
from tests.catalog.servers import Reply, Request, closed_port, http_server

PAGE = (DOCUMENTS / "library.html").read_bytes()
HTML = {"Content-Type": "text/html; charset=utf-8"}
Get = Callable[..., Outcome]


@pytest.fixture
def get(tmp_path: Path) -> Iterator[Get]:
    """Reach a goal (default: the page) from an address; all with the same folder of copies."""
    opened: list[Orchestrator] = []

    def reach(url: str, goal: str = "html") -> Outcome:
        policy = Policy(retries=Retries(base_seconds=0))
        opened.append(Orchestrator.from_project(catalog_root(), deps={"pages": tmp_path / "pages"}, policy=policy))
        return opened[-1].run_sync(goal, {"url": url})

    yield reach
    for orc in opened:
        orc.close()


def tried(outcome: Outcome) -> list[str]:
    """The tools that were called, in order."""
    return [call.tool for call in outcome.calls]


class Site:
    """A site with one page, whose answers can be changed."""

    def __init__(self) -> None:
        self.replies: list[Reply] = []
        self.reply = Reply(200, PAGE, HTML)
        self.requests: list[Request] = []

    def __call__(self, request: Request) -> Reply:
        self.requests.append(request)
        return self.replies.pop(0) if self.replies else self.reply


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.fixture
def url(site: Site) -> Iterator[str]:
    with http_server(site) as address:
        yield f"{address}/library"


def test_the_request_carries_the_trace_of_its_attempt(url: str, site: Site, tmp_path: Path) -> None:
    deps = {"pages": tmp_path / "pages"}
    with Orchestrator.from_project(catalog_root(), deps=deps, tracer_provider=TracerProvider()) as orc:
        outcome = orc.run_sync("html", {"url": url})
    (asked,) = site.requests
    carried = {name.lower(): value for name, value in asked.headers.items()}
    assert outcome.trace_id and carried["traceparent"].split("-")[1] == outcome.trace_id


def test_a_page_is_fetched_and_a_copy_kept(get: Get, url: str, tmp_path: Path) -> None:
    outcome = get(url)
    assert (outcome.value.encode(), tried(outcome)) == (PAGE, ["fetch_web"])
    (copy,) = (tmp_path / "pages").iterdir()
    assert copy.read_bytes() == PAGE


def test_the_text_of_a_page(get: Get, url: str) -> None:
    outcome = get(url, "text")
    assert tried(outcome) == ["fetch_web", "page_text"]
    assert "Books borrowed in the summer" in outcome.value


def test_the_copy_stands_in_when_the_site_is_down(get: Get, site: Site, url: str) -> None:
    get(url)
    site.reply = Reply(503, b"down")
    outcome = get(url)
    assert tried(outcome) == ["fetch_web"] * 3 + ["cached_page"]
    assert outcome.value.encode() == PAGE
    assert {failure.kind for failure in outcome.failures} == {FailureKind.TRANSIENT}


def test_a_short_outage_is_healed_by_asking_again(get: Get, site: Site, url: str) -> None:
    site.replies = [Reply(502), Reply(None)]
    outcome = get(url)
    assert tried(outcome) == ["fetch_web"] * 3
    assert outcome.status is Status.REACHED


def test_without_a_copy_the_run_escalates(get: Get) -> None:
    outcome = get(f"http://127.0.0.1:{closed_port()}/")
    assert outcome.status is Status.ESCALATED
    assert outcome.failures[-1].tool == "cached_page"
    assert outcome.failures[-1].kind is FailureKind.REFUSAL


def test_a_copy_that_is_too_old_is_refused(get: Get, site: Site, url: str, tmp_path: Path) -> None:
    get(url)
    (copy,) = (tmp_path / "pages").iterdir()
    old = time.time() - 31 * 24 * 3600
    os.utime(copy, (old, old))
    site.reply = Reply(404)
    outcome = get(url)
    assert [failure.kind for failure in outcome.failures] == [FailureKind.REFUSAL] * 2
    assert "31 days old" in outcome.failures[-1].message


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Reply(404), FailureKind.REFUSAL),
        (Reply(401), FailureKind.REFUSAL),
        (Reply(200, b"\x89PNG", {"Content-Type": "image/png"}), FailureKind.REFUSAL),
        (Reply(200, b"<p>" + b"x" * 10_000_001, HTML), FailureKind.REFUSAL),
        (Reply(200, b"only words", HTML), FailureKind.INVALID_OUTPUT),
        (Reply(200, b"", HTML), FailureKind.INVALID_OUTPUT),
    ],
    ids=["missing", "locked", "image", "too long", "no markup", "empty"],
)
def test_what_is_no_page(get: Get, site: Site, url: str, reply: Reply, kind: FailureKind) -> None:
    site.reply = reply
    outcome = get(url)
    assert (outcome.failures[0].tool, outcome.failures[0].kind) == ("fetch_web", kind)


@pytest.mark.parametrize("address", ["file:///etc/passwd", "ftp://127.0.0.1/", "no address", "http://", ""])
def test_only_http_is_fetched(get: Get, address: str) -> None:
    outcome = get(address)
    assert (outcome.failures[0].tool, outcome.failures[0].kind) == ("fetch_web", FailureKind.CALLER_ERROR)


def test_redirects_are_followed_but_not_for_ever(get: Get, site: Site, url: str) -> None:
    site.replies = [Reply(302, headers={"Location": "/elsewhere"})]
    assert get(url).value.encode() == PAGE
    assert [request.path for request in site.requests] == ["/library", "/elsewhere"]
    site.reply = Reply(302, headers={"Location": "/library"})
    assert get(f"{url}-again").failures[0].kind is FailureKind.OUTAGE


@pytest.mark.parametrize(
    ("raw", "content_type"),
    [
        ("<p>9° Café".encode("latin-1"), "text/html; charset=ISO-8859-1"),
        ('<meta charset="windows-1252"><p>9° Café'.encode("cp1252"), "text/html"),
        ("<p>9° Café".encode(), "text/html"),
        ("<p>9° Café".encode(), "text/html; charset=nonsense"),
    ],
)
def test_pages_are_decoded_by_what_they_say(get: Get, site: Site, url: str, raw: bytes, content_type: str) -> None:
    site.reply = Reply(200, raw, {"Content-Type": content_type})
    assert get(url).value.endswith("<p>9° Café")


def test_a_folder_that_cannot_be_written_keeps_nobody_from_reading(url: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    orc = Orchestrator.from_project(catalog_root(), deps={"pages": tmp_path / "file" / "pages"})
    assert orc.run_sync("html", {"url": url}).status is Status.REACHED
    orc.close()
