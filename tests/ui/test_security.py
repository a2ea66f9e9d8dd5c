"""Nobody looks without the token, no other page can act, and no name can become markup."""

import asyncio
from collections.abc import Iterator
from html.parser import HTMLParser
from urllib.parse import quote

import pytest
from starlette.testclient import TestClient

from orchestrator.ui import create_app
from tests.ui.worlds import HERE, HOSTILE, NAME, TOKEN, World, admitted, csrf_of, hostile_world, viewer

PAGES = ("/", "/runs/healed", "/runs/healed/decisions/d2", "/health", "/agents", "/static/app.css")


@pytest.mark.parametrize("path", PAGES)
def test_nothing_is_shown_without_the_token(runs: World, path: str) -> None:
    client = viewer(runs.orc)
    for answer in (client.get(path), client.get(f"{path}?token=guess"), client.get(f"{path}?token=")):
        assert answer.status_code == 403
        assert "label" not in answer.text


def test_the_token_becomes_a_cookie_and_leaves_the_address(runs: World) -> None:
    client = viewer(runs.orc)
    answer = client.get(f"/runs/healed?token={TOKEN}&from=0", follow_redirects=False)
    assert answer.status_code == 303
    assert answer.headers["location"] == "/runs/healed?from=0"
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie and "samesite=strict" in cookie.lower()
    assert TOKEN not in cookie
    assert client.get("/runs/healed").status_code == 200


def test_the_exchange_never_leads_to_another_host(runs: World) -> None:
    answer = viewer(runs.orc).get(f"{HERE}//evil.example/x?token={TOKEN}", follow_redirects=False)
    assert answer.status_code == 303
    assert answer.headers["location"] == "/evil.example/x"


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil.example:8000", "127.0.0.1.evil.example", "", "10.0.0.5", "[::2]:80"),
        *("127.0.0.1:80@evil.example", "127.0.0.1:", "evil@127.0.0.1", "[127.0.0.1", "::1", "127.0.0.1:80:80"),
    ],
)
def test_another_host_is_refused(client: TestClient, host: str) -> None:
    assert client.get("/", headers={"host": host}).status_code == 403


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost:1", "LOCALHOST", "[::1]:8000"])
def test_this_machine_is_let_in(client: TestClient, host: str) -> None:
    cookie = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
    assert client.get("/", headers={"host": host, "cookie": cookie}).status_code == 200


def test_a_numeric_address_is_let_in_where_the_viewer_listens_on_all(runs: World) -> None:
    app = create_app(runs.orc, token=TOKEN, any_address=True)
    assert TestClient(app, base_url="http://10.0.0.5:80").get(f"/?token={TOKEN}").status_code == 200
    assert TestClient(app, base_url="http://evil.example").get(f"/?token={TOKEN}").status_code == 403


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:9999", "http://localhost:8000"])
def test_another_origin_is_refused(client: TestClient, origin: str) -> None:
    csrf = csrf_of(client.get("/health").text)
    form = {"csrf": csrf, "name": "rate_table", "do": "trip"}
    assert client.post("/health", data=form, headers={"origin": origin}).status_code == 403
    assert client.get("/", headers={"origin": origin}).status_code == 403


def test_a_form_of_another_site_is_refused(client: TestClient, runs: World) -> None:
    form = {"csrf": csrf_of(client.get("/health").text), "name": "rate_table", "do": "trip"}
    assert client.post("/health", data=form, headers={"sec-fetch-site": "cross-site"}).status_code == 403
    assert runs.orc.health.status("rate_table").circuit == "closed"


@pytest.mark.parametrize("path", ["/health", "/agents", "/runs/waiting/answer"])
def test_a_form_without_its_secret_does_nothing(client: TestClient, runs: World, path: str) -> None:
    form = {"name": "rate_table", "do": "trip", "choice": "1", "run": "summary", "key": "summary", "success": "yes"}
    assert client.post(path, data=form).status_code == 403
    assert client.post(path, data={**form, "csrf": "0" * 64}).status_code == 403
    assert client.post(path, json=form).status_code == 415
    assert runs.orc.health.status("rate_table").circuit == "closed"
    assert runs.orc.outcome("waiting").status == "waiting"


def test_a_form_may_not_be_endless(client: TestClient) -> None:
    answer = client.post(
        "/health", content=b"a=" + b"x" * 1_100_000, headers={"content-type": "application/x-www-form-urlencoded"}
    )
    assert answer.status_code == 413


def test_a_form_with_very_many_fields_is_refused(client: TestClient) -> None:
    answer = client.post("/health", data={f"field{n}": "x" for n in range(150)})
    assert answer.status_code == 413
    assert "100 fields" in answer.text


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/health", {"name": "rate_table", "do": "explode"}),
        ("/health", {"name": "rate_table"}),
        ("/health", {"name": "rate_tabel", "do": "trip"}),
        ("/health", {"name": "rate_table", "to": "nobody", "do": "trip"}),
        ("/agents", {"run": "summary", "key": "summary", "success": "perhaps"}),
        ("/agents", {"run": "nobody", "key": "summary", "success": "yes"}),
    ],
)
def test_unknown_tools_and_actions_are_refused(client: TestClient, path: str, fields: dict[str, str]) -> None:
    form = {"csrf": csrf_of(client.get("/health").text), **fields}
    answer = client.post(path, data=form, follow_redirects=False)
    assert answer.status_code == 422
    assert 'role="alert"' in answer.text


def test_who_trips_a_tool_and_why_is_kept(client: TestClient, runs: World) -> None:
    form = {"csrf": csrf_of(client.get("/health").text), "name": "rate_table", "do": "trip"}
    answer = client.post("/health", data={**form, "reason": "stale prices", "by": "Ada"})
    assert answer.status_code == 200
    assert runs.orc.health.status("rate_table").reason == "stale prices (by Ada)"


@pytest.mark.parametrize("path", [*PAGES, "/nothing", "/runs/unknown", "/runs/healed/decisions/d99"])
def test_every_answer_forbids_foreign_content(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cache-control"] == "no-store"


def test_only_our_own_files_are_served(client: TestClient) -> None:
    for path in ("/static/../app.py", "/static/%2e%2e/app.py", "/static/app.py", "/static/..%2fapp.py"):
        assert client.get(path).status_code == 404


class _Elements(HTMLParser):
    """The elements and attributes that a browser would see."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.scripts: list[dict[str, str | None]] = []
        self.images = 0
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "script":
            self.scripts.append(dict(attrs))
        self.images += tag == "img"
        self.attributes += attrs


@pytest.fixture
def hostile() -> Iterator[TestClient]:
    orc = asyncio.run(hostile_world())
    with admitted(orc) as client:
        yield client
    orc.close()


def hostile_pages(client: TestClient) -> dict[str, str]:
    run_id = f"/runs/{quote(f'run {NAME}', safe='')}"
    paths = ["/", "/health", "/agents", run_id, f"{run_id}/decisions/d1", "/?q=" + quote(HOSTILE, safe="")]
    pages = {path: client.get(path) for path in paths}
    assert {page.status_code for page in pages.values()} == {200}
    return {path: page.text for path, page in pages.items()}


def test_hostile_text_is_shown_as_text(hostile: TestClient) -> None:
    pages = hostile_pages(hostile)
    assert "&lt;script&gt;alert(1)" in pages["/health"]
    for path, text in pages.items():
        seen = _Elements(text)
        assert [script.get("src", "").split("?")[0] for script in seen.scripts] == ["/static/app.js"], path  # type: ignore[union-attr]
        assert seen.images == 0, path
        assert not [name for name, _ in seen.attributes if name.startswith("on") or name == "style"], path


def test_control_characters_and_direction_marks_never_reach_a_page(hostile: TestClient) -> None:
    for path, text in hostile_pages(hostile).items():
        assert not [c for c in text if c in "\x1b\u202e\u200f\u2066" or (ord(c) < 32 and c not in "\n\t")], path


def test_a_hostile_tool_can_be_tripped(hostile: TestClient) -> None:
    page = hostile.get("/health")
    name = page.text.split('<select name="name"><option value="')[1].split('"')[0]
    hostile.post("/health", data={"csrf": csrf_of(page.text), "name": name, "do": "trip", "reason": "hostile"})
    assert "hostile" in hostile.get("/health").text


def test_the_token_may_not_be_empty(runs: World) -> None:
    with pytest.raises(ValueError, match="token"):
        create_app(runs.orc, token="")
