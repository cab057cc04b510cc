"""Every view for everybody: axe finds nothing serious, the keyboard is enough, and names and tags
of any kind are text that breaks no layout.
"""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Locator, Page, expect

from agents.tools.publish import Chunk, publish
from schemas.records import codec
from tests.rigs.axe import axe_faults
from tests.rigs.browser import PHONE, SCHEMES, WIDE, PageRig, page_rig, shoot
from tests.rigs.faults.harness import define

pytestmark = [pytest.mark.connected, pytest.mark.asyncio(loop_scope="module")]

ROOM = Path(__file__).parents[3] / "agents" / "web" / "page"
A, NAME = "campaign:spring", "Spring sale"
STOPPED_AT = 1_767_225_600_000
MARKUP = "<img src=x onerror=alert(1)><b>bold</b>"
NAMES = {
    "campaign:markup": MARKUP,
    "campaign:right-to-left": "\u202eevil\u202c \u0645\u0631\u062d\u0628\u0627 \u200f",
    "campaign:long": "A" * 10_000,
    "campaign:long-words": "word " * 2_000,
    "campaign:zero-width": "\u200b\u200c\u200d\ufeff",
    "campaign:" + "k" * 200: "{name} ${name} %s %00 \\",
}
BACK_MS = 30_000


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def rig(broker: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[PageRig]:
    folder = tmp_path_factory.mktemp("page")
    async with page_rig(broker, folder, retention="PT8S") as rig:
        for key, name in NAMES.items():
            await define(
                rig.settings, key, "ACTIVE", STOPPED_AT, name=name, tags=[MARKUP, name[:5000]]
            )
        event = {"id": "1", "user_id": "ada", "time": STOPPED_AT, "campaign_id": "spring",
                 "channel": "EMAIL"}  # fmt: skip
        chunk = Chunk("interactions.send", [b"ada"], [codec.encode("send", event)])
        await publish(rig.settings, [chunk])
        await define(rig.settings, A, "STOPPED", STOPPED_AT, name=NAME)
        body: dict[str, Any] = {"type": "hold", "sources": ["campaign:markup"], "reason": MARKUP}
        async with rig.api() as session, session.post("/requests", json=body) as answer:
            assert answer.status in (200, 202), await answer.text()
            rig.places = places((await answer.json())["request_id"])
        yield rig


def places(request: str) -> list[str]:
    """The address of each view, and of one thing in it."""
    views = re.search(r"const VIEWS = {(.*?)\n};", (ROOM / "app.js").read_text(), re.DOTALL)
    assert views is not None
    ones = {"sources": "campaign%3Amarkup", "requests": request, "system": "settings"}
    found: list[str] = []
    for name, parts in re.findall(r"^  (\w+): {(.*)}", views[1], re.MULTILINE):
        found.append(f"#/{name}")
        if "one:" in parts:
            found.append(f"#/{name}/{ones.get(name, 'ada')}")
    return found


async def settled(page: Page, place: str) -> None:
    """Show a view, and wait until it has read what it shows."""
    await page.evaluate("(place) => { location.hash = place; }", place)
    await expect(page.get_by_role("heading", level=1)).to_be_visible()
    await expect(page.get_by_text("Loading...")).to_have_count(0)


async def test_axe_finds_nothing_serious_on_any_view(rig: PageRig) -> None:
    page = await rig.page()
    wrong: dict[str, list[str]] = {}
    for place in rig.places:
        await settled(page, place)
        for scheme in SCHEMES:
            await page.emulate_media(color_scheme=scheme)
            wrong[f"{place} {scheme}"] = await axe_faults(page)
    # what no address shows by itself: an expired source, a dialog, the menu on a phone
    await settled(page, "#/sources/" + A)
    restore = page.get_by_role("button", name="Restore interaction data").first
    await expect(restore).to_be_visible(timeout=BACK_MS)
    wrong["expired"] = await axe_faults(page)
    await restore.click()
    await expect(page.get_by_role("dialog")).to_contain_text("Possible for 1 source.")
    wrong["dialog"] = await axe_faults(page)
    await page.keyboard.press("Escape")
    await page.set_viewport_size({"width": PHONE, "height": 800})
    await page.get_by_role("button", name="Main menu").click()
    wrong["phone"] = await axe_faults(page)
    fresh = await rig.browser.new_page(locale="en-GB")
    await fresh.goto(rig.worker.url)
    await expect(fresh.get_by_label("Key")).to_be_visible()
    wrong["sign in"] = await axe_faults(fresh)
    assert {place: found for place, found in wrong.items() if found} == {}


async def test_names_and_tags_of_any_kind_are_text_and_break_no_layout(rig: PageRig) -> None:
    page = await rig.page()
    said: list[str] = []
    page.on("dialog", lambda dialog: said.append(dialog.message))
    for place in rig.places:
        await settled(page, place)
        for width in (WIDE, PHONE):
            await page.set_viewport_size({"width": width, "height": 800})
            wide = await page.evaluate(TOO_WIDE)
            assert wide == [], f"{place} at {width} px"
        assert await page.locator("main img, main b:text-is('bold')").count() == 0
    for key, name in NAMES.items():
        await settled(page, f"#/sources/{key}")
        heading = page.get_by_role("heading", level=1)
        text = await heading.text_content() or ""
        assert text.strip().startswith((name.strip()[:150], key)), key
    await settled(page, "#/sources")
    await expect(page.get_by_text(MARKUP).first).to_be_visible()
    await shoot(page, "hostile")
    assert said == []


async def test_a_source_is_restored_with_the_keyboard_alone(rig: PageRig) -> None:
    page = await rig.page("#/sources?name=spring", reduced_motion="reduce")
    await expect(page.get_by_role("row").filter(has_text=NAME)).to_contain_text(
        "Expired", timeout=BACK_MS
    )
    await tab_to(page, page.get_by_role("button", name="Skip to the content"))
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("main")).to_be_focused()
    await tab_to(page, page.get_by_role("link", name=NAME))
    await page.keyboard.press("Enter")
    button = page.get_by_role("button", name="Restore interaction data").first
    await expect(button).to_be_visible()
    await expect(page.get_by_role("main")).to_be_focused()
    dialog = page.get_by_role("dialog")
    for way in ("Escape", "Close"):
        await tab_to(page, button)
        await page.keyboard.press("Enter")
        await expect(dialog).to_contain_text("Possible for 1 source.")
        if way == "Close":
            await tab_to(page, dialog.get_by_role("button", name="Close"))
            await page.keyboard.press("Enter")
        else:
            await page.keyboard.press("Escape")
        await expect(page.locator("dialog")).to_have_count(0)
        await expect(button).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(dialog).to_contain_text("Possible for 1 source.")
    await tab_to(page, dialog.get_by_label("Reason"))
    await page.keyboard.type("retargeting")
    await tab_to(page, dialog.get_by_role("button", name="Restore interaction data"))
    await page.keyboard.press("Enter")
    await expect(dialog).to_have_count(0)
    await expect(page.get_by_text("Finished").first).to_be_visible(timeout=BACK_MS)
    assert await page.evaluate("document.activeElement !== document.body")
    assert await page.evaluate("document.getAnimations().length") == 0


TOO_WIDE = """() => {
  const most = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= most) return [];
  const wide = [...document.querySelectorAll("main *")].filter(
    (one) => one.getBoundingClientRect().right > most && !one.closest(".over"));
  return wide.map((one) => `${one.tagName}.${one.className}: ${one.textContent.slice(0, 40)}`);
}"""


async def tab_to(page: Page, wanted: Locator) -> None:
    """Press Tab until `wanted` has the focus, and see that it shows."""
    for _ in range(80):
        await page.keyboard.press("Tab")
        if await wanted.evaluate("(one) => one === document.activeElement"):
            style = "(one) => getComputedStyle(one).outlineStyle"
            assert await wanted.evaluate(style) != "none", f"{wanted} does not show its focus"
            return
    raise AssertionError(f"Tab does not reach {wanted}")
