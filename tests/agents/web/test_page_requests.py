"""A request in a browser that runs until it is cancelled: the coordinator is one on paper, whose
shards report when the test says so.
"""

import re
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, Route, expect

from agents.web.asking import NO_PARTS
from schemas.records.lifecycle import SourceState, State
from tests.rigs.browser import broken_words, browser, shoot, watch
from tests.rigs.site import SHARDS, Site, serving, settings

__all__ = ["browser"]

A, B = "campaign:spring", "canvas:journey"
RESTORE = "Restore interaction data"


def site(folder: Path) -> Site:
    """Two sources that have expired."""
    records = [
        SourceState(A, State.EXPIRED, 3, name="Spring sale", interactions=10, bytes=5_000),
        SourceState(B, State.EXPIRED, 3, name="Journey", interactions=20, bytes=9_000),
    ]
    found = Site(settings(folder), set(range(SHARDS)), *records)
    for source in (A, B):
        found.paper.desk.expired(source)
    return found


async def choose_both(page: Page) -> None:
    await page.get_by_role("checkbox", name="Select all on this page").check()
    bar = page.get_by_role("region", name="Selection")
    await expect(bar).to_contain_text("2 selected")
    await bar.get_by_role("button", name=RESTORE).click()


@pytest.mark.connected
async def test_a_running_restore_is_in_sight_cancelled_and_tried_again(
    tmp_path: Path, browser: Browser
) -> None:
    worker, errors, waited = site(tmp_path), list[str](), list[str]()
    desk = worker.paper.desk
    await worker.paper.tell()

    async def not_yet(route: Route) -> None:
        """What the worker answers while the coordinator has not read the command."""
        answer = await route.fetch()
        waited.append(route.request.url)
        await route.fulfill(status=202, json=await answer.json() | NO_PARTS | {"state": "sent"})

    async with serving(worker):
        page = await browser.new_page(locale="en-GB", viewport={"width": 1280, "height": 800})
        watch(page, errors)
        await page.goto(f"{worker.context.address}/#/sources")
        # the coordinator has not answered the dry run yet: the dialog asks again
        await page.route("**/requests?wait=30", not_yet, times=1)
        await choose_both(page)
        dialog = page.get_by_role("dialog", name="Restore interaction data?")
        await expect(dialog).to_contain_text("Possible for 2 sources.")
        assert len(waited) == 1
        await expect(dialog).to_contain_text("30")
        # by keyboard: the reason has the focus, Enter sends
        await dialog.get_by_label("Reason").fill("spring again")
        await page.keyboard.press("Enter")
        await expect(page.get_by_text("0 of 2 sources are done")).to_be_visible()
        request = page.url

        await page.get_by_role("link", name="Sources", exact=True).click()
        running = page.get_by_role("complementary", name="Your requests")
        await expect(running).to_contain_text("0 of 2 sources")
        await expect(running.get_by_role("progressbar")).to_be_visible()
        await shoot(page, "running-now")
        await running.get_by_role("link").click()
        await expect(page.get_by_text("spring again")).to_be_visible()
        assert page.url == request
        await expect(running).to_have_count(0)

        await page.get_by_role("button", name="Cancel").click()
        dialog = page.get_by_role("dialog", name="Cancel what is still under way?")
        await expect(dialog).to_contain_text("Possible for 2 sources.")
        await dialog.get_by_text("The same on a command line").click()
        await expect(dialog.locator("pre")).to_contain_text("emberline cancel 'page-")
        await shoot(page, "dialog-cancel")
        await dialog.get_by_label("Reason").fill("by mistake")
        await dialog.get_by_role("button", name="Cancel").click()
        await expect(page.get_by_role("row").filter(has_text="It was cancelled.")).to_have_count(2)
        outcomes = page.get_by_role("navigation", name="Outcome")
        await outcomes.get_by_role("link", name="Failed 2").click()
        await page.reload()
        await expect(page.get_by_role("row").filter(has_text="It was cancelled.")).to_have_count(2)
        await shoot(page, "request-cancelled")

        for source in (A, B):
            desk.finish(source)
        await worker.paper.tell()
        await page.get_by_role("button", name="Retry what failed").click()
        dialog = page.get_by_role("dialog", name="Restore interaction data?")
        await expect(dialog).to_contain_text("Possible for 2 sources.")
        await dialog.get_by_role("button", name=RESTORE).click()
        await expect(page.get_by_text("0 of 2 sources are done")).to_be_visible()
        assert page.url != request
        desk.finish(A)
        await worker.paper.tell()
        # each source succeeds for itself
        await expect(page.get_by_text("1 of 2 sources are done")).to_be_visible()
        await expect(page.get_by_role("row").filter(has_text="Spring sale")).to_contain_text(
            "Completed"
        )
        desk.finish(B)
        await worker.paper.tell()
        await expect(page.get_by_text("Finished")).to_be_visible()
        facts = page.get_by_role("region", name="Facts")
        await expect(facts).to_contain_text("Ended")
        await expect(facts).to_contain_text(re.compile(r"Duration\s*(\d+|less than a) second"))
        await shoot(page, "request-over")
        await page.get_by_role("navigation", name="Main menu").get_by_role("link").nth(2).click()
        over = page.get_by_role("row").filter(has_text="2 of 2")
        await expect(over.first).to_contain_text(
            re.compile(r"Ended .+, after (\d+|less than a) second")
        )
        await expect(over.first).to_contain_text(re.compile(r"(Spring sale|Journey).* and 1 more"))
        await shoot(page, "requests-over")
        assert await broken_words(page, ".requests .name, .requests td:last-child") == []
        # a dry run has changed nothing: it does not say until when data is available
        await page.get_by_role("link", name="Restore").last.click()
        await expect(page.get_by_role("columnheader", name="Available")).to_be_visible()
        await page.go_back()
        await page.get_by_role("checkbox", name="Show dry runs").check()
        await page.get_by_role("link", name="Restore (dry run)").last.click()
        await expect(page.get_by_role("columnheader", name="Outcome")).to_be_visible()
        await expect(page.get_by_role("columnheader", name="Available")).to_have_count(0)
    assert errors == []
