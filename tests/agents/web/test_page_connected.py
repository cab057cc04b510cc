"""The page in a browser, as a person uses it: by visible names, on a real broker and worker."""

from pathlib import Path

import aiohttp
import pytest
from playwright.async_api import Browser, expect

from agents.http.keys import Keys, Scope
from agents.tools.publish import Chunk, publish
from schemas.records import codec
from streams.kafka.topics import Topics
from streams.settings import Settings
from tests.rigs.browser import browser, shoot, watch
from tests.rigs.faults.harness import define, small, until
from tests.rigs.worker import running

__all__ = ["browser"]

A = "campaign:spring"
NAME = "Spring <b>sale</b>"
STOPPED_AT = 1_767_225_600_000


@pytest.mark.connected
async def test_an_expired_source_is_restored_with_the_mouse(
    settings: Settings, topics: Topics, tmp_path: Path, browser: Browser
) -> None:
    keys, token = Keys().add("ops", [Scope.READ, Scope.OPERATE], 1)
    keys.save(tmp_path / "keys.json")
    settings = small(settings, retention="PT8S", keys_file=tmp_path / "keys.json")
    event = {"id": "1", "user_id": "ada", "time": STOPPED_AT, "campaign_id": "spring",
             "channel": "EMAIL"}  # fmt: skip
    await publish(settings, [Chunk("interactions.send", [b"ada"], [codec.encode("send", event)])])
    await define(settings, A, "STOPPED", STOPPED_AT, name=NAME, tags=["2026"])
    header = {"Authorization": f"Bearer {token}"}
    async with running(settings) as worker, aiohttp.ClientSession(headers=header) as session:
        await worker.ready()

        async def expired() -> bool:
            async with session.get(f"{worker.url}/sources/{A}") as answer:
                return bool((await answer.json()).get("state") == "EXPIRED")

        await until(expired, 60, "the source has expired")
        page = await browser.new_page(locale="en-GB")
        errors: list[str] = []
        watch(page, errors)
        await page.goto(worker.url)
        await page.get_by_label("Key").fill("nonsense")
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.get_by_role("alert")).to_contain_text("There is no such key")
        await page.get_by_label("Key").fill(token)
        await page.get_by_role("button", name="Sign in").click()
        row = page.get_by_role("row").filter(has_text=NAME)
        await expect(row).to_contain_text("Expired on")
        await expect(page.get_by_text("Connected")).to_be_visible()
        await shoot(page, "sources")
        await row.get_by_role("link", name=NAME).click()
        banner = page.get_by_role("region", name="Expired")
        await expect(banner).to_contain_text("Interaction data expired on")
        await shoot(page, "source")
        await banner.get_by_role("button", name="Restore interaction data").click()
        dialog = page.get_by_role("dialog")
        await expect(dialog).to_contain_text("Possible for 1 source.")
        await expect(dialog.get_by_text(NAME, exact=True).first).to_be_visible()
        await dialog.get_by_label("Reason").fill("retargeting")
        await shoot(page, "dialog")
        await dialog.get_by_role("button", name="Restore interaction data").click()
        await expect(page.get_by_text("Finished")).to_be_visible(timeout=30_000)
        await page.get_by_role("complementary").get_by_role("link", name=f"Restore {NAME}").click()
        await expect(page.get_by_text("Finished")).to_be_visible()
        await shoot(page, "request")
        await page.get_by_role("link", name=NAME).click()
        await expect(page.get_by_role("heading", name=NAME)).to_be_visible()
        await expect(banner).to_have_count(0)
        # the archive keeps its copy of what was restored: it is not counted twice
        await expect(page.get_by_role("definition").filter(has_text="1").nth(0)).to_be_visible()
        await expect(page.get_by_text("2", exact=True)).to_have_count(0)
        await page.get_by_label("Language").select_option("日本語")
        await expect(page.get_by_role("heading", name="詳細")).to_be_visible()
        await shoot(page, "source-ja")
        await page.get_by_label("言語").select_option("English")
        await page.get_by_role("button", name="Sign out").click()
        await expect(page.get_by_label("Key")).to_be_visible()
        # who cannot read the language of the browser chooses another before the key
        await page.get_by_label("Language").select_option("Français")
        await expect(page.get_by_role("heading", name="Se connecter")).to_be_visible()
        assert errors == []
