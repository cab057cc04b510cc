"""The page in the system's Chromium: alone, or with one worker that the tests of a module share.

Tests of one module that share a worker look so:

    pytestmark = [pytest.mark.connected, pytest.mark.asyncio(loop_scope="module")]

    @pytest_asyncio.fixture(loop_scope="module", scope="module")
    async def rig(broker: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[PageRig]:
        async with page_rig(broker, tmp_path_factory.mktemp("page"), retention="PT8S") as rig:
            yield rig

    async def test_a_flow(rig: PageRig) -> None:
        page = await rig.page("#/sources")
        await shoot(page, "sources")
"""

import asyncio
import shutil
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import aiohttp
import pytest
from playwright.async_api import Browser, ConsoleMessage, Page, async_playwright, expect

from agents.http.keys import ISSUED, Keys, Scope
from agents.tools.bench.field import free_port
from streams.kafka import topics as topic_admin
from streams.settings import Settings, load
from tests.rigs.faults.harness import SMALL, until
from tests.rigs.worker import Process

__all__ = [
    "PHONE",
    "SCHEMES",
    "SHOTS",
    "WIDE",
    "PageRig",
    "broken_words",
    "browser",
    "chromium",
    "page_rig",
    "picture",
    "shoot",
    "signed_in",
    "watch",
]

SHOTS = Path(__file__).parents[2] / "build" / "page"
"""Screenshots are left here, so that people look at them."""
WIDE, PHONE = 1280, 390
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
#: A browser on a machine that runs other tests too may take longer than Playwright expects, 5 s.
expect.set_options(timeout=30_000)


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """The system's Chromium, without a screen."""
    found = shutil.which("chromium") or shutil.which("google-chrome")
    assert found is not None, "There is no Chromium: apt-get install chromium"
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield started
        await started.close()


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """A browser for one test."""
    async with chromium() as started:
        yield started


@dataclass
class PageRig:
    """One worker and one browser. `tokens`: a key for each scope, which has those of ISSUED before
    it too.
    """

    settings: Settings
    worker: Process
    tokens: dict[Scope, str]
    browser: Browser
    errors: list[str] = field(default_factory=list)
    """What went wrong in the scripts of all pages, and what the page's policy refused."""
    places: list[str] = field(default_factory=list)
    """Addresses of views, for tests that look at each."""

    async def page(self, place: str = "", scope: Scope = Scope.OPERATE, **context: Any) -> Page:
        """A page of its own browser context, signed in, at `place` (`#/sources`).

        `context`: as Browser.new_context; the language is British English unless it says another.
        """
        page = await signed_in(self.browser, self.worker.url, self.tokens[scope], **context)
        watch(page, self.errors)
        await page.goto(f"{self.worker.url}/{place}")
        return page

    async def restart(self) -> None:
        """Kill the worker, if it still runs, and start it again at the same address."""
        self.worker.kill()
        self.worker = await _started(self.settings, self.settings.data_dir.parent)

    def api(self, scope: Scope = Scope.OPERATE) -> aiohttp.ClientSession:
        """A client of the API with the key of `scope`: paths begin with a slash."""
        header = {"Authorization": f"Bearer {self.tokens[scope]}"}
        return aiohttp.ClientSession(self.worker.url, headers=header)

    async def get(self, path: str, scope: Scope = Scope.OPERATE) -> dict[str, Any]:
        """What the API answers, whatever the status."""
        async with self.api(scope) as api, api.get(path) as answer:
            found: dict[str, Any] = await answer.json(content_type=None)
            return found

    async def reach(self, source: str, state: str) -> None:
        """Wait until a source is in this state."""

        async def reached() -> bool:
            return (await self.get(f"/sources/{source}")).get("state") == state

        await until(reached, 60, f"{source} is {state}")


@asynccontextmanager
async def page_rig(broker: str, folder: Path, **flags: Any) -> AsyncIterator[PageRig]:
    """A worker with four shards and its topics on `broker`, ready, and a browser. `flags` are
    settings beside those of SMALL.
    """
    keys, tokens = Keys(), {}
    for count, scope in enumerate(ISSUED, 1):
        keys, tokens[scope] = keys.add(scope.value, ISSUED[:count], 1)
    keys.save(folder / "keys.json")
    settings = load(
        {
            **SMALL,
            "bootstrap_servers": broker,
            "prefix": f"t{uuid.uuid4().hex[:10]}.",
            "partitions": 4,
            "http_port": free_port(),
            "data_dir": folder / "data",
            "keys_file": folder / "keys.json",
            **flags,
        },
        env={},
        file=folder / "none.toml",
    )
    await topic_admin.create(settings)
    async with chromium() as started:
        rig = PageRig(settings, await _started(settings, folder), tokens, started)
        try:
            await rig.worker.ready()
            yield rig
            assert rig.errors == []
        finally:
            rig.worker.kill()


async def _started(settings: Settings, folder: Path) -> Process:
    return await asyncio.to_thread(Process, settings, folder / f"worker-{time.monotonic_ns()}.log")


async def signed_in(browser: Browser, url: str, token: str, **context: Any) -> Page:
    """An empty page of a new browser context that has the cookie for `token`."""
    place = await browser.new_context(**{"locale": "en-GB", **context})
    answer = await place.request.post(
        f"{url}/session", data={"key": token}, headers={"Origin": url}
    )
    assert answer.ok, await answer.text()
    return await place.new_page()


def watch(page: Page, errors: list[str]) -> None:
    """Note what goes wrong in the scripts of `page`, and what its policy refuses."""

    def said(message: ConsoleMessage) -> None:
        if message.type == "error" and "Content Security Policy" in message.text:
            errors.append(message.text)

    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", said)


async def shoot(page: Page, name: str, full: bool = False) -> None:
    """Screenshots of `page` in build/page/: light and dark, wide and as on a phone.

    `full`: the whole height. Afterwards the page is light and wide.
    """
    SHOTS.mkdir(parents=True, exist_ok=True)
    for width in (PHONE, WIDE):
        await page.set_viewport_size({"width": width, "height": 800})
        for scheme in ("dark", "light"):
            await page.emulate_media(color_scheme=scheme)
            await page.screenshot(path=SHOTS / f"{name}-{scheme}-{width}.png", full_page=full)


async def broken_words(page: Page, selector: str) -> list[str]:
    """The words within `selector` that take more than one line, on a phone. Afterwards the page is
    wide.
    """
    await page.set_viewport_size({"width": PHONE, "height": 800})
    found: list[str] = await page.evaluate(BROKEN_WORDS, selector)
    await page.set_viewport_size({"width": WIDE, "height": 800})
    return found


BROKEN_WORDS = """(selector) => [...document.querySelectorAll(selector)].flatMap((one) => {
  const broken = [], walker = document.createTreeWalker(one, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    for (const word of walker.currentNode.data.matchAll(/[\\p{L}\\p{N}_]+/gu)) {
      const range = document.createRange();
      range.setStart(walker.currentNode, word.index);
      range.setEnd(walker.currentNode, word.index + word[0].length);
      if (range.getClientRects().length > 1) broken.push(word[0]);
    }
  }
  return broken;
})"""


async def picture(page: Page, name: str) -> None:
    """A screenshot for the README, which `make pictures` takes from build/page/: the upper part."""
    await page.set_viewport_size({"width": WIDE, "height": 760})
    await page.evaluate("() => { document.activeElement?.blur(); scrollTo(0, 0); }")
    await page.screenshot(path=SHOTS / f"readme-{name}.png", animations="disabled")
