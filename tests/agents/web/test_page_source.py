"""One source in a browser: its banner, figures, uses, timeline, definition, and its CSV files."""

import csv
import shutil
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
from playwright.async_api import Browser, Locator, Page, Route, async_playwright, expect

from streams.kafka.topics import Topics
from streams.settings import Settings
from tests.rigs.faults.harness import until
from tests.rigs.source_page import (
    CANVAS,
    HOSTILE,
    NAMES,
    SPRING,
    TEASER,
    UNREADABLE,
    fill,
    guarded,
    tag_spring,
)
from tests.rigs.worker import Process, running

SHOTS = Path(__file__).parents[3] / "build" / "page"
EXPIRED = "Interaction data expired on"
RESTORE = "Restore interaction data"


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """The system's Chromium, without a screen."""
    found = shutil.which("chromium") or shutil.which("google-chrome")
    assert found is not None, "There is no Chromium: apt-get install chromium"
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield chromium
        await chromium.close()


@dataclass(frozen=True)
class World:
    """A worker with sources of every kind, and a page whose reader has signed in."""

    settings: Settings
    worker: Process
    api: aiohttp.ClientSession
    page: Page
    tokens: Mapping[str, str]

    async def state(self, source: str, wanted: str) -> None:
        async def reached() -> bool:
            async with self.api.get(f"{self.worker.url}/sources/{source}") as answer:
                return bool((await answer.json()).get("state") == wanted)

        await until(reached, 60, f"{source} is {wanted}")

    async def received(self, source: str, wanted: int) -> bool:
        async with self.api.get(f"{self.worker.url}/sources/{source}/analytics") as answer:
            rows: list[dict[str, Any]] = (await answer.json()).get("totals", [])
        return wanted == sum(int(row["count"]) for row in rows if row["kind"] == "received")

    async def show(self, source: str) -> None:
        await self.page.goto(f"{self.worker.url}/#/sources/{quote(source, safe='')}")
        heading = self.page.get_by_role("heading", level=1)
        await expect(heading).to_contain_text(NAMES.get(source, source)[:30])

    def region(self, name: str) -> Locator:
        return self.page.get_by_role("region", name=name, exact=True)

    async def shoot(self, name: str) -> None:
        for scheme in ("light", "dark"):
            for width in (1280, 390):
                await self.page.emulate_media(color_scheme=scheme)
                await self.page.set_viewport_size({"width": width, "height": 900})
                shot = SHOTS / f"{name}-{scheme}-{width}.png"
                await self.page.screenshot(path=shot, full_page=True)
        await self.page.set_viewport_size({"width": 1280, "height": 900})
        await self.page.emulate_media(color_scheme="light")


@pytest.mark.connected
async def test_one_source(
    settings: Settings, topics: Topics, tmp_path: Path, browser: Browser
) -> None:
    settings, tokens = guarded(settings)
    await fill(settings)
    SHOTS.mkdir(parents=True, exist_ok=True)
    header = {"Authorization": f"Bearer {tokens['ops']}"}
    async with running(settings) as worker, aiohttp.ClientSession(headers=header) as api:
        await worker.ready()
        page = await browser.new_page(locale="en-GB", timezone_id="Europe/Berlin")
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("dialog", lambda dialog: errors.append(dialog.message))
        await page.goto(worker.url)
        await page.get_by_label("Key").fill(tokens["ops"])
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.get_by_text("Connected")).to_be_visible()
        world = World(settings, worker, api, page, tokens)
        await it_expires_and_is_restored_and_its_figures_stay(world)
        await what_keeps_it_hot_is_drawn_listed_and_thought_away(world)
        await where_no_restore_is_possible_the_reason_is_told(world)
        await a_restore_that_runs_shows_how_far_it_is(world)
        await its_definition_is_readable(world)
        await files_tell_their_size_before(world, tmp_path)
        await hostile_names_are_text(world)
        await a_reader_is_told_what_the_key_does_not_allow(world)
        assert errors == []


async def it_expires_and_is_restored_and_its_figures_stay(world: World) -> None:
    page = world.page
    await world.state(SPRING, "ACTIVE")
    await until(partial(world.received, SPRING, 60), 60, "the events are folded")
    await world.show(SPRING)
    figures = world.region("Messages and engagement")
    await expect(figures.get_by_role("definition").first).to_have_text("60")
    await expect(figures.get_by_role("img", name="by day from 1 Apr 2026")).to_be_visible()
    await figures.get_by_role("button", name="Show as table").click()
    await expect(figures.get_by_role("table", name="By variation")).to_contain_text("Subject A")
    tables = figures.get_by_role("table")
    assert await tables.count() == 4  # days, unique users, channels, variations
    before = await tables.all_inner_texts()
    sums = await figures.get_by_role("definition").all_inner_texts()

    events = world.region("What happened").get_by_role("listitem")
    await expect(events.first).to_contain_text("Active")
    await tag_spring(world.settings, "STOPPED")
    # the page follows: nothing is loaded again
    banner = world.region("Expired")
    await expect(banner).to_contain_text(EXPIRED, timeout=30_000)
    await expect(banner).to_contain_text("106 interactions are in the archive")
    await expect(banner).to_contain_text("If you restore it today, it is available until")
    await expect(events.first).to_contain_text("Moved to the archive", timeout=10_000)
    await expect(events.first).to_contain_text("Nothing used it for the whole retention period")
    await page.reload()
    await figures.get_by_role("button", name="Show as table").click()
    await expect(tables).to_have_count(4)
    assert await tables.all_inner_texts() == before
    assert await figures.get_by_role("definition").all_inner_texts() == sums
    await world.shoot("source-expired")

    await tag_spring(world.settings, "STOPPED", "long")
    await banner.get_by_role("button", name=RESTORE).click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("Possible for 1 source.")
    await dialog.get_by_label("Reason").fill("retargeting")
    await dialog.get_by_role("button", name=RESTORE).click()
    await world.state(SPRING, "STOPPED")
    await world.show(SPRING)
    restored = world.region("Restored")
    await expect(restored).to_contain_text("Interaction data was restored on")
    await expect(restored).to_contain_text("3 months after it was restored")
    await expect(banner).to_have_count(0)
    await expect(events.first).to_contain_text("Restored: the data is available")
    begun = events.filter(has_text="Restore started")
    await expect(begun).to_contain_text("ops")
    await begun.get_by_role("link", name="Show the request").click()
    await expect(page.get_by_text("retargeting")).to_be_visible()
    await world.show(SPRING)
    await figures.get_by_role("button", name="Show as table").click()
    await expect(tables).to_have_count(4)
    assert await tables.all_inner_texts() == before
    await page.get_by_label("Language").select_option("日本語")
    await expect(page.get_by_role("heading", name="履歴")).to_be_visible()
    await world.shoot("source-ja")
    await page.get_by_label("言語").select_option("English")


async def what_keeps_it_hot_is_drawn_listed_and_thought_away(world: World) -> None:
    await world.state(TEASER, "EXEMPT")
    await world.show(TEASER)
    uses = world.region("Why it is in this state")
    await expect(uses).to_contain_text("3 definitions use it, so its data stays available")
    roots = uses.get_by_role("list", name="What uses it").locator("> li")
    await expect(roots).to_have_count(3)
    winback = roots.filter(has_text="Winback")
    await expect(winback).to_contain_text("Spring buyers → Teaser (Received message from campaign)")
    drawn = uses.locator("svg .box")
    await expect(drawn).to_have_count(5)  # the source, the segment, three Canvases
    await expect(uses.locator("svg path.edge")).to_have_count(4)
    answer = uses.get_by_role("status")
    for name, then in (
        ("VIP club", "because Canvas"),
        ("Winback", "because Canvas"),
        ("Welcome journey", "Its data expires on"),
    ):
        button = uses.get_by_role("button", name=f"What if {name} stopped today?")
        await button.press("Enter")
        await expect(button).to_have_attribute("aria-pressed", "true")
        await expect(answer).to_contain_text(then)
    await expect(answer).to_contain_text("3 seconds after its last use ended")
    await uses.get_by_text("The same on a command line").click()
    await expect(uses.locator("pre")).to_contain_text("--as-if-stopped 'canvas:vip'")
    await world.shoot("source-uses")
    await roots.get_by_role("link", name="Winback").first.click()
    await expect(world.page.get_by_role("heading", level=1)).to_have_text("Winback")


async def where_no_restore_is_possible_the_reason_is_told(world: World) -> None:
    button = world.page.get_by_role("button", name=RESTORE)
    await world.state("campaign:empty", "EXPIRED")
    for source, name, why in (
        ("campaign:empty", "Expired", "The archive has no data of it"),
        ("campaign:old", "No restore", "deleted permanently under the older policy"),
        ("campaign:unheard", "No restore", "It has events, but no definition"),
    ):
        await world.show(source)
        await expect(world.region(name)).to_contain_text(why)
        await expect(button).to_have_count(0)
    await world.page.goto(f"{world.worker.url}/#/sources/campaign%3Anone")
    await expect(world.page.get_by_role("alert")).to_contain_text("There is no such source")


async def a_restore_that_runs_shows_how_far_it_is(world: World) -> None:
    """A restore of so few rows is over at once: the answer of the worker is held as it was."""
    address = f"**/sources/{quote(SPRING, safe='')}"

    async def runs(route: Route) -> None:
        answer = await route.fetch()
        progress = {"done": 3, "total": 12, "bytes_done": 1, "bytes": 4, "seconds_left": 42}
        found = await answer.json() | {"state": "RESTORING", "visible": False, "stuck": [2]}
        await route.fulfill(response=answer, json=found | {"progress": progress})

    await world.page.route(address, runs)
    await world.show(SPRING)
    banner = world.region("Restoring")
    bar = banner.get_by_role("progressbar")
    await expect(bar).to_have_attribute("value", "3")
    await expect(banner).to_contain_text("42")
    await expect(banner).to_contain_text("1 shard has not reported in time: 2.")
    await expect(banner).to_contain_text("A restore is running")
    await expect(world.page.get_by_role("button", name=RESTORE)).to_have_count(0)
    await world.shoot("source-restoring")
    await world.page.unroute(address)


async def its_definition_is_readable(world: World) -> None:
    await world.show(CANVAS)
    definition = world.region("Definition")
    for text in ("Hello", "s-1", "A week later", "Subject B"):
        await expect(definition).to_contain_text(text)
    await expect(world.page.get_by_role("table", name="By step")).to_contain_text("A week later")
    await definition.get_by_text("Definition as JSON").click()
    await expect(definition.locator("pre").filter(has_text='"kind": "canvas"')).to_be_visible()
    await world.show(UNREADABLE)
    note = definition.get_by_role("note")
    await expect(note).to_contain_text("The latest definition cannot be read")
    await expect(note).to_contain_text("'received_from_campaing' is no filter")


async def files_tell_their_size_before(world: World, folder: Path) -> None:
    page = world.page
    await world.show(CANVAS)
    await page.get_by_role("button", name="Download CSV").click()
    dialog = page.get_by_role("dialog", name="Download CSV")
    for name, lines in (("User data", 60), ("Interactions", 90)):
        item = dialog.get_by_role("listitem").filter(has=page.get_by_text(name, exact=True))
        await expect(item).to_contain_text(f"{lines} lines")
        async with page.expect_download() as begun:
            await item.get_by_role("link", name="Download").click()
        download = await begun.value
        file = folder / download.suggested_filename
        assert file.name.startswith("canvas-journey-")
        await download.save_as(file)
        with file.open(newline="") as text:
            assert len(list(csv.reader(text))) == lines + 1
    await dialog.get_by_role("button", name="Close").click()
    await world.show("campaign:empty")
    await page.get_by_role("button", name="Download CSV").click()
    await expect(dialog).to_contain_text("Restore it first")
    await dialog.get_by_role("button", name="Close").click()


async def hostile_names_are_text(world: World) -> None:
    page = world.page
    await world.show(HOSTILE)
    heading = page.get_by_role("heading", level=1)
    assert len(await heading.inner_text()) < 300
    await heading.get_by_role("button", name="Show all of it").click()
    assert len(await heading.inner_text()) > 10_000
    assert await page.locator("main img").count() == 0
    await expect(page.get_by_role("link", name="<b>bold</b>")).to_be_visible()
    await page.set_viewport_size({"width": 390, "height": 900})
    wider = "document.documentElement.scrollWidth > innerWidth"
    assert not await page.evaluate(wider)
    await heading.get_by_role("button", name="Show less").click()
    await world.shoot("source-hostile")


async def a_reader_is_told_what_the_key_does_not_allow(world: World) -> None:
    page = world.page
    await page.get_by_role("button", name="Sign out").click()
    await page.get_by_label("Key").fill(world.tokens["reader"])
    await page.get_by_role("button", name="Sign in").click()
    await world.show(CANVAS)
    for name in ("Hold", "Expire now"):
        await expect(page.get_by_role("button", name=name)).to_have_count(0)
    await page.get_by_role("button", name="Download CSV").click()
    dialog = page.get_by_role("dialog", name="Download CSV")
    await expect(dialog.get_by_role("note")).to_contain_text("it needs the scope users.export")
    await expect(dialog).to_contain_text("60 lines")
    await expect(dialog.get_by_role("link")).to_have_count(0)
    for button in await dialog.get_by_role("button", name="Download").all():
        await expect(button).to_be_disabled()
