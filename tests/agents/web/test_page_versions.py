"""The page while workers are replaced by others with another version of it, behind one proxy."""

from collections import Counter
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from playwright.async_api import Browser, expect

from agents.web.assets import assets
from tests.rigs.browser import browser
from tests.rigs.site import SHARDS, Site, active, serving, settings

__all__ = ["browser"]

pytestmark = pytest.mark.connected  # as all tests in a browser
GONE = "f" * 16


class Proxy:
    """Sends every second request for a file to a worker of another version, which has not got it.

    The first `stale` visits get a page of a version that no worker has any more.
    """

    def __init__(self, worker: str, stale: int = 0) -> None:
        self.worker = worker
        self.stale = stale
        self.turn = 0
        self.statuses: Counter[int] = Counter()
        self.visits = 0

    async def answer(self, request: web.Request) -> web.Response:
        path = request.path_qs
        if path.startswith("/events"):
            raise web.HTTPServiceUnavailable
        if path.startswith(f"/assets/{assets().version}/"):
            self.turn += 1
            if self.turn % 2:
                path = path.replace(assets().version, "0" * 16)
        headers = {"Accept": request.headers["Accept"]}
        async with (
            aiohttp.ClientSession() as session,
            session.get(self.worker + path, headers=headers) as answer,
        ):
            body = await answer.read()
        self.statuses[answer.status] += 1
        if path == "/":
            self.visits += 1
            if self.visits <= self.stale:
                body = body.replace(assets().version.encode(), GONE.encode())
        kept = ("Content-Type", "Cache-Control", "Content-Security-Policy")
        found = {name: answer.headers[name] for name in kept if name in answer.headers}
        return web.Response(status=answer.status, body=body, headers=found)


@pytest.mark.parametrize("stale", [0, 1])
async def test_the_page_loads_whichever_worker_is_asked(
    tmp_path: Path, browser: Browser, stale: int
) -> None:
    site = Site(settings(tmp_path), set(range(SHARDS)), active())
    async with serving(site):
        proxy = Proxy(site.context.address, stale)
        app = web.Application()
        app.router.add_get("/{rest:.*}", proxy.answer)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        page = await browser.new_page(locale="en-GB")
        await page.goto(f"http://127.0.0.1:{runner.addresses[0][1]}/")
        await expect(page.get_by_role("heading", name="Sources")).to_be_visible(timeout=30_000)
        navigation = page.get_by_role("navigation", name="Main menu")
        assert await navigation.evaluate("(one) => getComputedStyle(one).display") == "flex"
        assert proxy.statuses[404] > 5
        assert proxy.visits == 1 + stale
        await page.close()
        await runner.cleanup()
