"""The page when its worker hangs, dies, is not reached, or drops it: it says how old its states
are, and comes back by itself with the right ones.
"""

import json
import re
import signal
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Locator, Page, Route, expect

from agents.tools.publish import Chunk, publish
from schemas.records import codec
from tests.rigs.browser import PHONE, WIDE, PageRig, page_rig, shoot
from tests.rigs.faults.harness import define

pytestmark = [pytest.mark.connected, pytest.mark.asyncio(loop_scope="module")]

B = "canvas:on"
A, NAME = "campaign:spring", "Spring sale"
STOPPED_AT = 1_767_225_600_000
USERS = 300
SOON_MS = 4_000
"""2 s until states are old, and what the browser and this machine take beside."""
BACK_MS = 30_000


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def rig(broker: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[PageRig]:
    folder = tmp_path_factory.mktemp("page")
    async with page_rig(broker, folder, retention="PT8S") as rig:
        await define(rig.settings, B, "ACTIVE", STOPPED_AT, name="Welcome")
        yield rig


def notice(page: Page) -> Locator:
    return page.get_by_role("status").filter(has_text="What you see was true at")


async def connected(page: Page) -> None:
    await expect(page.get_by_text("Connected", exact=True)).to_be_visible(timeout=BACK_MS)
    await expect(notice(page)).to_have_count(0)


async def test_a_page_whose_worker_hangs_and_then_is_not_reached_comes_back(rig: PageRig) -> None:
    page = await rig.page("#/sources")
    await connected(page)
    rig.worker.send(signal.SIGSTOP)
    try:
        await expect(notice(page)).to_contain_text("The worker does not answer", timeout=SOON_MS)
        await expect(page.get_by_text(re.compile(r"\d+ seconds? ago"))).to_be_visible()
        await shoot(page, "stale")
        told, heading = notice(page).locator(".."), page.get_by_role("heading", level=1)
        above, below = await told.bounding_box(), await heading.bounding_box()
        assert above is not None
        assert below is not None
        assert above["y"] + above["height"] <= below["y"], "the notice covers the heading"
        # on a phone the notice leaves the menu free
        await page.set_viewport_size({"width": PHONE, "height": 800})
        await page.get_by_role("button", name="Main menu").click(trial=True)
        await page.set_viewport_size({"width": WIDE, "height": 800})
        # an open stream goes on in Chromium, so the network goes while the worker hangs
        await page.context.set_offline(True)
        await expect(notice(page)).to_contain_text("no connection", timeout=BACK_MS)
    finally:
        rig.worker.send(signal.SIGCONT)
    await define(rig.settings, B, "STOPPED", time.time_ns() // 1_000_000, name="Welcome")
    await page.context.set_offline(False)
    await connected(page)
    await expect(page.get_by_role("row").filter(has_text="Welcome")).to_contain_text("Stopped")


async def test_a_dropped_stream_resumes_from_its_last_event(rig: PageRig) -> None:
    """As the worker drops it: for reading slowly, or after an hour."""
    page = await rig.page()
    asked: list[str] = []
    first = {"sources": [], "requests": [], "totals": {"requests_running": 0}, "age_s": 0}

    async def answer(route: Route) -> None:
        asked.append(route.request.url.partition("?")[2])
        if len(asked) > 1:
            await route.continue_()
            return
        body = f"event: hello\nid: 1-1\ndata: {json.dumps(first)}\n\n"
        body += 'event: dropped\ndata: {"reason": "read too slowly"}\n\n'
        await route.fulfill(body=body, headers={"Content-Type": "text/event-stream"})

    await page.route("**/events?*", answer)
    async with page.expect_request("**/events?beat=1&since=1-1"):
        await page.reload()
    await connected(page)
    assert asked == ["beat=1", "beat=1&since=1-1"]


async def test_a_hidden_page_gives_its_connection_back(rig: PageRig) -> None:
    """Browsers have six connections to one host: other pages need them."""
    page = await rig.page()
    await page.clock.install()
    await page.goto(f"{rig.worker.url}/#/sources")
    await connected(page)
    async with page.expect_event("requestfailed", lambda asked: "/events" in asked.url):
        await see(page, hidden=True)
        await page.clock.run_for(6_000)
    async with page.expect_request("**/events?*since=*"):
        await see(page, hidden=False)
    await page.clock.resume()
    await connected(page)


async def see(page: Page, *, hidden: bool) -> None:
    """What a browser does when another tab covers the page."""
    await page.evaluate(
        """(hidden) => {
          Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
          document.dispatchEvent(new Event("visibilitychange"));
        }""",
        hidden,
    )


async def test_a_worker_killed_in_a_restore_shows_all_of_it_afterwards_and_never_a_part(
    rig: PageRig,
) -> None:
    users = [f"user-{number}" for number in range(USERS)]
    events = [
        {"id": user, "user_id": user, "time": STOPPED_AT, "campaign_id": "spring",
         "channel": "EMAIL"}
        for user in users
    ]  # fmt: skip
    values = [codec.encode("send", event) for event in events]
    keys = [user.encode() for user in users]
    await publish(rig.settings, [Chunk("interactions.send", keys, values)])
    await define(rig.settings, A, "STOPPED", STOPPED_AT, name=NAME)
    page = await rig.page("#/sources")
    row = page.get_by_role("row").filter(has_text=NAME)
    await expect(row).to_contain_text("Expired on", timeout=BACK_MS)
    await expect(row).to_contain_text(str(USERS))
    await page.evaluate(WATCH, NAME)
    body: Any = {"type": "restore", "sources": [A]}
    async with rig.api() as session, session.post("/requests?wait=0", json=body) as answer:
        assert answer.status in (200, 202), await answer.text()
    rig.worker.send(signal.SIGSTOP)
    await expect(notice(page)).to_be_visible(timeout=SOON_MS)
    await rig.restart()
    await expect(row).to_contain_text("Stopped", timeout=BACK_MS)
    await connected(page)
    await expect(row).to_contain_text(str(USERS))
    seen: list[str] = await page.evaluate("window.seen")
    for text in seen:
        hidden = "Expired" in text or "Restoring" in text
        assert hidden or "not known" in text or str(USERS) in text, seen


WATCH = """(name) => {
  window.seen = [];
  const look = () => {
    for (const row of document.querySelectorAll("tbody tr")) {
      if (row.innerText.includes(name)) window.seen.push(row.innerText);
    }
  };
  const all = { childList: true, characterData: true, subtree: true };
  new MutationObserver(look).observe(document.body, all);
}"""
