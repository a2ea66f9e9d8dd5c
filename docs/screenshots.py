"""Remake the pictures in docs/images: a healed run in the viewer, light and dark, drawn by a real Chromium.

`make screenshots`. Chromium is looked for on the path; CHROMIUM names another one.
"""

import asyncio
import os
import shutil
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from playwright.sync_api import Browser, Page, sync_playwright

from orchestrator import AskHuman, Demote, Goal, Orchestrator, RateLimited, RunContext, Unavailable, tool
from orchestrator.ui import create_app

IMAGES = Path(__file__).parent / "images"
TOKEN = "screenshots"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@tool(gives="parcel", cost=0.0004, latency=0.05)
async def read_order(order: str) -> str:
    """Reads an order."""
    await asyncio.sleep(0.05)
    return f"the parcel of {order}"


@tool(gives="address", cost=0.003, latency=0.2)
async def address_service(order: str) -> str:
    """Looks an address up."""
    await asyncio.sleep(0.12)
    return f"the address of {order}"


@tool(gives="address", cost=0.02, latency=1.5)
async def address_book(order: str) -> str:
    """The old address book."""
    await asyncio.sleep(0.2)
    return f"an old address of {order}"


_asked = 0


@tool(gives="quote", cost=0.002, latency=0.3, retries=1)
async def carrier_api(parcel: str) -> float:
    """Quotes, when it is up."""
    global _asked
    _asked += 1
    await asyncio.sleep(0.15 if _asked == 1 else 0.08)
    if _asked == 1:
        raise RateLimited("try again in a moment", retry_after=0.1)
    raise Unavailable("503 from the carrier: maintenance")


@tool(gives="quote", cost=0.006, latency=0.4)
async def broker(parcel: str, address: str) -> float:
    """Quotes of several carriers."""
    await asyncio.sleep(0.2)
    return 4.2


@tool(gives="quote", cost=0.019, latency=0.1)
def rate_table(parcel: str) -> float:
    """Quotes of last year."""
    return 5.1


@tool(gives="customs", cost=0.001, latency=0.2)
async def customs_form(parcel: str, address: str) -> str:
    """Fills in the form."""
    await asyncio.sleep(0.1)
    return "form"


def void(label: str) -> None:
    """Gives a label back."""


@tool(gives="label", effect="write", cost=0.01, latency=0.5, compensate=void, undo_cost=0.002)
async def buy_label(quote: float, address: str, customs: str) -> str:
    """Buys a label."""
    await asyncio.sleep(0.12)
    return "label"


@tool(gives="refund", effect="irreversible", approval=True, cost=0.001)
def pay_back(order: str) -> str:
    """Pays back."""
    return "paid"


@tool(gives="letter")
async def letter(order: str, ctx: RunContext) -> str:
    """Writes about an address."""
    return f"To {await ctx.reach('address', {'order': order})}"


TOOLS = [
    read_order,
    address_service,
    address_book,
    carrier_api,
    broker,
    rate_table,
    customs_form,
    buy_label,
    pay_back,
    letter,
]


async def runs(orc: Orchestrator) -> tuple[str, str]:
    """A few runs; returns the ids of the healed one and of the one that waits."""
    await orc.run("letter", {"order": "A-1007"}, labels={"customer": "17"})
    healed = await orc.run(Goal("label", demotions=["quote"]), {"order": "A-1009"}, labels={"customer": "17"})
    waiting = await orc.run("refund", {"order": "A-1003"}, labels={"customer": "18"})
    await orc.run("address", {"order": "A-1011"})
    return healed.run_id, waiting.run_id


@contextmanager
def served(orc: Orchestrator) -> Generator[str]:
    """The viewer on a port of this machine."""
    app = create_app(orc, token=TOKEN)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        if not thread.is_alive():
            raise SystemExit("The viewer did not start.")
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


def take(page: Page, address: str, name: str, height: int | None = None) -> None:
    """One picture: the page, or its upper part."""
    page.goto(address)
    page.wait_for_load_state("networkidle")
    size = page.viewport_size
    assert size is not None
    clip = None if height is None else {"x": 0.0, "y": 0.0, "width": float(size["width"]), "height": float(height)}
    page.screenshot(path=IMAGES / name, full_page=height is None, clip=clip, animations="disabled")  # type: ignore[arg-type]
    print(f"docs/images/{name}")


def phone(browser: Browser, address: str, run_id: str, waiting: str) -> None:
    """Pictures as a phone shows the pages."""
    context = browser.new_context(viewport={"width": 390, "height": 844}, device_scale_factor=2)
    page = context.new_page()
    page.goto(f"{address}/?token={TOKEN}")
    take(page, f"{address}/runs/{waiting}", "phone-answer.png", 844)
    take(page, f"{address}/runs/{run_id}", "phone-run.png", 844)
    context.close()


def pictures(browser: Browser, address: str, run_id: str) -> None:
    """All pictures."""
    for scheme, suffix in (("light", ""), ("dark", "-dark")):
        context = browser.new_context(
            viewport={"width": 1440, "height": 1000},
            color_scheme=scheme,  # type: ignore[arg-type]
        )
        page = context.new_page()
        page.goto(f"{address}/?token={TOKEN}")
        run = f"{address}/runs/{run_id}"
        take(page, f"{run}/decisions/d3", f"healed-run{suffix}.png", 1000)
        take(page, f"{address}/", f"runs{suffix}.png", 560)
        if not suffix:
            take(page, f"{address}/health", "health.png", 700)
            take(page, f"{address}/overview", "overview.png", 700)
            take(page, f"{address}/tools/carrier_api", "tool.png", 900)
        context.close()


def main() -> None:
    """Make the runs, serve them, take the pictures."""
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        sys.exit("No Chromium is on the path: apt-get install chromium, or name one with CHROMIUM=...")
    IMAGES.mkdir(exist_ok=True)
    orc = Orchestrator(TOOLS, policy="balanced", escalation=[Demote(), AskHuman()])
    run_id, waiting = asyncio.run(runs(orc))
    with served(orc) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        pictures(browser, address, run_id)
        phone(browser, address, run_id, waiting)
        browser.close()
    orc.close()


if __name__ == "__main__":
    main()
