"""The viewer in a real Chromium: every page, the keyboard, answering, hostile names, light and dark, a phone."""

import asyncio
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import pytest
import uvicorn
from playwright.sync_api import Browser, Dialog, Page, sync_playwright

from orchestrator import Orchestrator, RunContext, Status, Tool, Unavailable, tool
from orchestrator.ui import create_app
from tests.ui.worlds import NAME, TOKEN, hostile_world, orchestrator, world

T = TypeVar("T")
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is on the path")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class Served:
    """A viewer over an orchestrator, in an event loop of its own thread."""

    def __init__(self, orc: Orchestrator) -> None:
        self.orc = orc
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._server = uvicorn.Server(uvicorn.Config(create_app(orc, token=TOKEN), log_level="warning"))
        self._thread = threading.Thread(target=lambda: self._server.run(sockets=[self._socket]))
        self._thread.start()

    def close(self) -> None:
        """Stop serving."""
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()
        self.orc.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield made
        made.close()


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    made = Served(in_thread(world()).orc)
    yield made
    made.close()


def in_thread(work: Coroutine[Any, Any, T]) -> T:
    """Playwright runs an event loop of its own in this thread, so that coroutines need another."""
    found: list[T] = []
    thread = threading.Thread(target=lambda: found.append(asyncio.run(work)))
    thread.start()
    thread.join()
    return found[0]


@dataclass
class Tab:
    """A page, and everything that went wrong in it."""

    page: Page
    address: str
    problems: list[str]

    def open(self, path: str) -> Page:
        """Go there."""
        self.page.goto(self.address + path)
        return self.page


@pytest.fixture
def tab(browser: Browser, served: Served) -> Iterator[Tab]:
    yield from open_tab(browser, served)


def open_tab(browser: Browser, served: Served, **options: Any) -> Iterator[Tab]:
    context = browser.new_context(**options)
    page = context.new_page()
    problems: list[str] = []

    def dismissed(dialog: Dialog) -> None:
        problems.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    page.on("console", lambda m: problems.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda e: problems.append(str(e)))
    page.on("dialog", dismissed)
    page.on("request", lambda r: None if r.url.startswith(served.address) else problems.append(f"loaded {r.url}"))
    page.goto(f"{served.address}/?token={TOKEN}")
    yield Tab(page, served.address, problems)
    context.close()
    assert problems == []


def test_every_page_opens_without_a_complaint(tab: Tab) -> None:
    for path, title in (
        ("/", "Runs"),
        ("/health", "Health"),
        ("/agents", "Agents"),
        ("/runs/healed", "label"),
        ("/runs/waiting", "refund"),
        ("/runs/parent", "letter"),
    ):
        assert tab.open(path).locator("h1").inner_text() == title
    assert "token" not in tab.page.url


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The source of axe-core: the file that AXE_CORE names, else what npm installs."""
    named = os.environ.get("AXE_CORE")
    if named:
        return Path(named).read_text()
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is missing, and AXE_CORE names no axe.min.js")
    folder = tmp_path_factory.mktemp("axe")
    command = [npm, "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(folder), "axe-core@4"]
    try:
        subprocess.run(command, check=True, timeout=40, capture_output=True)
    except (subprocess.SubprocessError, OSError):
        pytest.skip("npm could not install axe-core here")
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text()


@pytest.mark.campaign  # it asks npm for axe-core: the quick suite needs no network
def test_axe_finds_nothing(browser: Browser, served: Served, axe: str) -> None:
    found: list[str] = []
    for scheme, paths in (
        ("light", ("/", "/overview", "/tools/carrier_api", "/health", "/agents", "/backtest?policy=cheapest")),
        ("light", ("/runs/healed/decisions/d2", "/runs/waiting")),
        ("dark", ("/health", "/runs/waiting")),
    ):
        for tab in open_tab(browser, served, color_scheme=scheme):
            for path in paths:
                found += [f"{scheme} {path}: {issue}" for issue in violations(tab.open(path), axe)]
    assert found == []


@pytest.mark.campaign
def test_axe_finds_nothing_in_long_runs(browser: Browser, axe: str) -> None:
    served, found = Served(long_runs(children=200)), list[str]()
    try:
        for scheme, width in (("light", 1400), ("dark", 1400), ("light", 360)):
            for tab in open_tab(browser, served, color_scheme=scheme, viewport={"width": width, "height": 800}):
                for path in ("/runs/chain", "/runs/map", "/runs/chain/decisions/d1"):
                    page = tab.open(path)
                    found += [f"{scheme} {width} {path}: {issue}" for issue in violations(page, axe)]
                    page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
                    found += [f"{scheme} {width} {path}, unfolded: {issue}" for issue in violations(page, axe)]
    finally:
        served.close()
    assert found == []


def violations(page: Page, axe: str) -> list[str]:
    """What axe-core finds in a page, best practices included."""
    page.evaluate(axe)
    result = page.evaluate("axe.run({resultTypes: ['violations']})")
    return [f"{issue['id']}: {issue['nodes'][0]['html'][:150]}" for issue in result["violations"]]


def test_the_arrow_keys_step_through_decisions_and_the_graph_changes(tab: Tab) -> None:
    page = tab.open("/runs/healed/decisions/d1")
    assert page.locator(".shape.tool.dead").count() == 0
    page.keyboard.press("ArrowRight")
    page.wait_for_url("**/decisions/d2")
    page.locator(".shape.tool.dead").wait_for()
    assert page.locator('[aria-current="step"] .id').inner_text() == "d2"
    assert "Decision 2 of 2" in page.locator("#announce").inner_text()
    page.keyboard.press("ArrowLeft")
    page.wait_for_url("**/decisions/d1")
    page.locator(".shape.tool.dead").wait_for(state="detached")
    page.keyboard.press("End")
    page.wait_for_url("**/decisions/d2")
    page.go_back()
    page.locator(".shape.tool.dead").wait_for(state="detached")


def test_links_and_focus_work_without_a_mouse(tab: Tab) -> None:
    page = tab.open("/runs/healed/decisions/d1")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.locator('[data-key="ArrowRight"]').focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/decisions/d2")
    page.locator(".shape.tool.dead").wait_for()


def test_pages_work_without_scripts(browser: Browser, served: Served) -> None:
    for tab in open_tab(browser, served, java_script_enabled=False):
        page = tab.open("/runs/healed/decisions/d1")
        page.locator('[data-key="ArrowRight"]').click()
        page.locator(".shape.tool.dead").first.wait_for()  # a click returns before the next page is there
        assert page.url.endswith("/decisions/d2")
        assert page.locator(".shape.tool.dead").count() == 1


def test_a_waiting_run_is_answered_by_keyboard(tab: Tab, served: Served) -> None:
    page = tab.open("/runs/waiting")
    page.locator('input[name="choice"]').first.focus()
    page.keyboard.press("Space")
    page.locator('input[name="by"]').fill("ann")
    page.keyboard.press("Enter")
    page.locator(".s-reached").wait_for()
    assert served.orc.outcome("waiting").status is Status.REACHED


def test_trip_and_restore(tab: Tab, served: Served) -> None:
    page = tab.open("/health")
    for verb, why in (("Trip", "looks wrong"), ("Restore", "it answers again")):
        page.get_by_role("link", name=f"{verb} rate_table").click()
        page.get_by_label("Reason").fill(why)
        page.get_by_label("Your name").fill("ann")
        page.get_by_role("button", name=verb, exact=True).click()
        page.wait_for_url("**/health")
    page.get_by_text("restored: it answers again (by ann)").wait_for()
    assert served.orc.health.status("rate_table").circuit == "closed"


def test_search_narrows_the_list(tab: Tab) -> None:
    page = tab.open("/")
    page.get_by_role("searchbox").fill("healed")
    page.keyboard.press("Enter")
    page.wait_for_url("**q=healed*")
    assert page.locator("tbody tr").count() == 1


@pytest.mark.parametrize(
    "path", ["/", "/runs/healed", "/health", "/agents", "/overview", "/tools/carrier_api", "/backtest?policy=fastest"]
)
def test_a_phone_needs_no_sideways_scrolling(browser: Browser, served: Served, path: str) -> None:
    for tab in open_tab(browser, served, viewport={"width": 360, "height": 740}, has_touch=True):
        page = tab.open(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_light_and_dark_follow_the_system(browser: Browser, served: Served) -> None:
    colors: list[str] = []
    for scheme in ("light", "dark"):
        for tab in open_tab(browser, served, color_scheme=scheme):
            colors.append(tab.open("/").evaluate("getComputedStyle(document.body).backgroundColor"))
    assert colors[0] != colors[1]


def long_runs(children: int = 60) -> Orchestrator:
    """A chain of 60 steps that fails in its middle, and a map of 60 children or more of which one reaches nothing."""

    def step(number: int) -> Tool:
        def work(value: str) -> str:
            if number == 37:
                raise Unavailable("maintenance")
            return value

        return Tool(work, name=f"step_{number:02}", needs={"value": f"v{number:02}"}, gives=f"v{number + 1:02}")

    @tool(gives="v38", cost=1.0)
    def spare(v37: str) -> str:
        return v37

    @tool(gives="item")
    def handle(number: int) -> int:
        if number == 41:
            raise Unavailable("nothing there")
        return number

    @tool(gives="all")
    async def every(count: int, ctx: RunContext) -> int:
        return len([await ctx.reach("item", {"number": number}, check=False) for number in range(count)])

    orc = Orchestrator([*(step(number) for number in range(60)), spare, handle, every])

    async def both() -> None:
        await orc.run("v60", {"v00": "x"}, run_id="chain")
        await orc.run("all", {"count": children}, run_id="map")

    in_thread(both())
    return orc


@pytest.mark.parametrize("width", [1400, 360])
def test_a_long_run_is_folded_and_shows_what_went_wrong(browser: Browser, width: int) -> None:
    served = Served(long_runs())
    try:
        for tab in open_tab(browser, served, viewport={"width": width, "height": 800}):
            page = tab.open("/runs/chain")
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert page.locator(".line:visible").count() < 12 and page.locator(".minimap .m-failed").count() == 1
            assert page.locator(".shape.fold").count() == 2
            assert "more →" in page.locator("p.chosen").inner_text()
            box, failed = page.locator(".graph .scroll").bounding_box(), page.locator(".shape.tool.dead").bounding_box()
            assert box is not None and failed is not None
            assert box["x"] <= failed["x"] and failed["x"] + failed["width"] <= box["x"] + box["width"]
            page.get_by_role("button", name="Fit").click()
            scroll = "(e) => e.scrollWidth - e.clientWidth"
            assert page.locator(".graph .scroll").evaluate(scroll) <= 1
            page.get_by_role("button", name="Zoom in").click(click_count=6)
            assert page.locator(".graph .scroll").evaluate(scroll) > 100
            page = tab.open("/runs/map")
            assert page.locator(".line.child:visible").count() == 1
            assert "1 escalated, 59 reached" in page.locator("#children-h").inner_text()
            assert "escalated" in page.locator(".children li").first.inner_text()
    finally:
        served.close()


def test_a_live_run_is_followed(browser: Browser) -> None:
    orc = orchestrator()
    go = threading.Event()

    @tool(gives="slow")
    def slow(parcel: str) -> str:
        return f"{parcel}: {go.wait(30)}"

    orc.add(slow)
    running = threading.Thread(target=lambda: orc.run_sync("slow", {"parcel": "x"}, run_id="live"))
    running.start()
    served = Served(orc)
    try:
        for tab in open_tab(browser, served):
            page = tab.open("/runs/live")
            page.locator(".call.running").wait_for()
            go.set()
            page.locator(".s-reached").wait_for()
            page.locator(".call.ok").wait_for()
    finally:
        go.set()
        running.join()
        served.close()


def test_a_hostile_name_is_only_text(browser: Browser) -> None:
    served = Served(in_thread(hostile_world()))
    run = f"/runs/{quote(f'run {NAME}', safe='')}"
    try:
        for tab in open_tab(browser, served):
            for path in ("/", "/health", run, f"{run}/decisions/d1"):
                page = tab.open(path)
                assert page.locator("main script, main img").count() == 0
                assert "alert(1)" in page.locator("main").inner_text()
    finally:
        served.close()
