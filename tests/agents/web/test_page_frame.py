"""The frame of the page in a browser: menu, language, and who is signed in."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import expect

from agents.http.keys import Scope
from tests.rigs.browser import PHONE, SHOTS, PageRig, page_rig

pytestmark = [pytest.mark.connected, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def rig(broker: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[PageRig]:
    async with page_rig(broker, tmp_path_factory.mktemp("page")) as rig:
        yield rig


async def test_the_menu_leads_to_each_view_and_the_title_says_which(rig: PageRig) -> None:
    page = await rig.page()
    links = page.get_by_role("navigation").get_by_role("link")
    for name in await links.all_inner_texts():
        if name == "emberline":
            continue
        await links.filter(has_text=name).click()
        await expect(page).to_have_title(f"{name.strip()} - emberline")
        await expect(page.locator("[aria-current=page]")).to_have_text(name)


async def test_an_address_that_is_no_view_leads_to_the_sources(rig: PageRig) -> None:
    for part in ("nothing", "constructor", "__proto__", "toString"):
        page = await rig.page(f"#/{part}")
        await expect(page).to_have_title("Sources - emberline")
        await page.context.close()


async def test_what_one_reader_asked_for_is_not_shown_to_the_next(rig: PageRig) -> None:
    page = await rig.page("#/sources")
    await page.evaluate(
        """async () => {
          const { files } = document.querySelector("script[data-files]").dataset;
          const file = files.split(" ").find((name) => name.endsWith("/running.js"));
          const { watch } = await import(new URL(file, document.baseURI));
          const counts = { total: 2, running: 2 };
          for (let n = 0; n < 300; n += 1) {
            watch({ request_id: `r${n}`, type: "hold", state: "running", counts, progress: null });
          }
        }"""
    )
    running = page.get_by_role("complementary", name="Your requests")
    # of very many the page remembers the last ones
    await expect(running).to_contain_text("197")
    await page.get_by_role("button", name="Sign out").click()
    key = page.get_by_label("Key")
    await key.fill(rig.tokens[Scope.READ])
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("heading", name="Sources")).to_be_visible()
    await expect(running).to_have_count(0)


async def test_the_language_is_the_browsers_and_stays_as_chosen(rig: PageRig) -> None:
    page = await rig.page(locale="fr-CA", scope=Scope.READ)
    await expect(page.locator("html")).to_have_attribute("lang", "fr")
    await page.get_by_label("Langue").select_option("日本語")
    await expect(page.locator("html")).to_have_attribute("lang", "ja")
    await page.reload()
    await expect(page.locator("html")).to_have_attribute("lang", "ja")


async def test_on_a_phone_the_menu_unfolds_and_closes_behind_the_reader(rig: PageRig) -> None:
    page = await rig.page("#/sources", viewport={"width": PHONE, "height": 800})
    menu = page.get_by_role("navigation", name="Main menu")
    button = menu.get_by_role("button", name="Main menu")
    await expect(button).to_have_attribute("aria-expanded", "false")
    await expect(menu.get_by_role("link", name="Audience")).to_be_hidden()
    await button.click()
    await expect(page.get_by_label("Language")).to_be_visible()
    await page.screenshot(path=SHOTS / "menu-light-390.png")
    await menu.get_by_role("link", name="Audience").click()
    await expect(page).to_have_title("Audience - emberline")
    await expect(button).to_have_attribute("aria-expanded", "false")
