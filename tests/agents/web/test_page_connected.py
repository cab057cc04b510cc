"""The page in a browser, as a person uses it: by visible names, on a real broker and worker."""

import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from playwright.async_api import Browser, async_playwright, expect

from agents.http.keys import Keys, Scope
from agents.tools.publish import Chunk, publish
from schemas.records import codec
from streams.kafka.topics import Topics
from streams.settings import Settings
from tests.rigs.faults.harness import SMALL, define, until
from tests.rigs.worker import running

A = "campaign:spring"
NAME = "Spring <b>sale</b>"
STOPPED_AT = 1_767_225_600_000
SHOTS = Path(__file__).parents[3] / "build" / "page"


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """The system's Chromium, without a screen."""
    found = shutil.which("chromium") or shutil.which("google-chrome")
    assert found is not None, "There is no Chromium: apt-get install chromium"
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield chromium
        await chromium.close()


@pytest.mark.connected
async def test_an_expired_source_is_restored_with_the_mouse(
    settings: Settings, topics: Topics, tmp_path: Path, browser: Browser
) -> None:
    keys, token = Keys().add("ops", [Scope.READ, Scope.OPERATE], 1)
    keys.save(tmp_path / "keys.json")
    small: dict[str, Any] = {**SMALL, "retention": "PT8S", "keys_file": tmp_path / "keys.json"}
    settings = replace(settings, **small)
    event = {"id": "1", "user_id": "ada", "time": STOPPED_AT, "campaign_id": "spring",
             "channel": "EMAIL"}  # fmt: skip
    await publish(settings, [Chunk("interactions.send", [b"ada"], [codec.encode("send", event)])])
    await define(settings, A, "STOPPED", STOPPED_AT, name=NAME, tags=["2026"])
    header = {"Authorization": f"Bearer {token}"}
    SHOTS.mkdir(parents=True, exist_ok=True)
    async with running(settings) as worker, aiohttp.ClientSession(headers=header) as session:
        await worker.ready()

        async def expired() -> bool:
            async with session.get(f"{worker.url}/sources/{A}") as answer:
                return bool((await answer.json()).get("state") == "EXPIRED")

        await until(expired, 60, "the source has expired")
        page = await browser.new_page(locale="en-GB")
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        await page.goto(worker.url)
        await page.get_by_label("Key").fill("nonsense")
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.get_by_role("alert")).to_contain_text("There is no such key")
        await page.get_by_label("Key").fill(token)
        await page.get_by_role("button", name="Sign in").click()
        row = page.get_by_role("row").filter(has_text=NAME)
        await expect(row).to_contain_text("Expired on")
        await expect(page.get_by_text("Connected")).to_be_visible()
        for scheme in ("light", "dark"):
            for width in (1280, 390):
                await page.emulate_media(color_scheme=scheme)
                await page.set_viewport_size({"width": width, "height": 800})
                await page.screenshot(path=SHOTS / f"sources-{scheme}-{width}.png")
        await page.set_viewport_size({"width": 1280, "height": 800})
        await page.emulate_media(color_scheme="light")
        await row.get_by_role("link", name=NAME).click()
        banner = page.get_by_role("region", name="Expired")
        await expect(banner).to_contain_text("Interaction data expired on")
        await page.screenshot(path=SHOTS / "source-light-1280.png")
        await banner.get_by_role("button", name="Restore interaction data").click()
        dialog = page.get_by_role("dialog")
        await expect(dialog).to_contain_text("Possible for 1 source.")
        await dialog.get_by_label("Reason").fill("retargeting")
        await page.screenshot(path=SHOTS / "dialog-light-1280.png")
        await dialog.get_by_role("button", name="Restore interaction data").click()
        await expect(page.get_by_text("Finished")).to_be_visible(timeout=30_000)
        await page.screenshot(path=SHOTS / "request-light-1280.png")
        await page.get_by_role("link", name=NAME).click()
        await expect(page.get_by_role("heading", name=NAME)).to_be_visible()
        await expect(banner).to_have_count(0)
        # the archive keeps its copy of what was restored: it is not counted twice
        await expect(page.get_by_role("definition").filter(has_text="1").nth(0)).to_be_visible()
        await expect(page.get_by_text("2", exact=True)).to_have_count(0)
        await page.get_by_label("Language").select_option("日本語")
        await expect(page.get_by_role("heading", name="詳細")).to_be_visible()
        await page.screenshot(path=SHOTS / "source-ja-light-1280.png")
        await page.get_by_label("言語").select_option("English")
        await page.get_by_role("button", name="Sign out").click()
        await expect(page.get_by_label("Key")).to_be_visible()
        assert errors == []
