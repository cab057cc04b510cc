"""The frame of the page in a browser: menu, language, and who is signed in."""

from collections.abc import AsyncIterator
from urllib.parse import quote, urlsplit

import pytest
import pytest_asyncio
from playwright.async_api import Page, Route, expect

from agents.http.keys import Keys, Scope
from tests.rigs.axe import axe_faults
from tests.rigs.browser import PHONE, SCHEMES, SHOTS, PageRig, page_rig, shoot, watch
from tests.rigs.faults.harness import until

LONG_MS = 25_000
"""What has finished is in sight for 20 s."""

pytestmark = [pytest.mark.connected, pytest.mark.asyncio(loop_scope="module")]


SAFE = "%/?<>="
"""Characters that stay in an address as they are."""


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


async def watched(page: Page, *requests: dict[str, str]) -> None:
    """Keep holds in sight that nobody has asked for: as many and in such states as a test says."""
    await page.evaluate(
        """async (requests) => {
          const { files } = document.querySelector("script[data-files]").dataset;
          const file = files.split(" ").find((name) => name.endsWith("/running.js"));
          const { watch } = await import(new URL(file, document.baseURI));
          const counts = { total: 2, running: 2 };
          for (const one of requests) watch({ type: "hold", counts, progress: null, ...one });
        }""",
        list(requests),
    )


async def test_what_one_reader_asked_for_is_not_shown_to_the_next(rig: PageRig) -> None:
    page = await rig.page("#/sources")
    await watched(page, *({"request_id": f"r{n}", "state": "running"} for n in range(300)))
    running = page.get_by_role("complementary", name="Your requests")
    # of very many the page remembers the last ones
    await expect(running).to_contain_text("197")
    await page.get_by_role("button", name="Sign out").click()
    key = page.get_by_label("Key")
    await key.fill(rig.tokens[Scope.READ])
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("heading", name="Sources")).to_be_visible()
    await expect(running).to_have_count(0)


async def test_what_has_finished_leaves_by_itself_and_what_failed_stays(rig: PageRig) -> None:
    page = await rig.page("#/sources")
    await page.clock.install()
    await page.reload()
    await expect(page.get_by_role("heading", name="Sources")).to_be_visible()
    states = ("finished", "failed", "running")
    await watched(page, *({"request_id": one, "state": one} for one in states))
    running = page.get_by_role("complementary", name="Your requests")
    lines = running.get_by_role("listitem")
    await running.hover()
    await page.clock.fast_forward(LONG_MS)
    await expect(lines).to_have_count(3)
    await page.mouse.move(5, 5)
    await expect(lines).to_have_count(3)
    await page.clock.fast_forward(LONG_MS)
    await expect(lines).to_have_count(2)
    await expect(running).not_to_contain_text("Finished")
    # who has the focus there reads at leisure too
    await running.get_by_role("link").first.focus()
    await watched(page, {"request_id": "another", "state": "finished"})
    await expect(lines).to_have_count(3)
    await page.clock.fast_forward(LONG_MS)
    await expect(lines).to_have_count(3)
    await page.get_by_role("heading", name="Sources").click()
    await running.get_by_role("link").first.blur()
    await expect(lines).to_have_count(3)
    await page.clock.fast_forward(LONG_MS)
    await expect(lines).to_have_count(2)
    await expect(running).to_contain_text("Failed")


async def test_a_key_that_cannot_read_is_told_so_once(rig: PageRig) -> None:
    token = ""

    def added(keys: Keys) -> Keys:
        nonlocal token
        changed, token = keys.add("robot", [Scope.OPERATE], 1)
        return changed

    assert rig.settings.keys_file is not None
    Keys.change(rig.settings.keys_file, added)

    async def known() -> bool:
        header = {"Authorization": f"Bearer {token}"}
        async with rig.api() as api, api.get("/sources", headers=header) as answer:
            return answer.status == 403

    await until(known, 30, "the worker has read the new key")
    page = await rig.browser.new_page(locale="en-GB")
    watch(page, rig.errors)
    events: list[str] = []
    page.on("request", lambda one: events.append(one.url))
    await page.goto(rig.worker.url)
    await page.get_by_label("Key", exact=True).fill(token)
    await page.get_by_role("button", name="Sign in").click()
    told = page.get_by_role("region", name="This key cannot read")
    await expect(told).to_contain_text("robot")
    await expect(told).to_contain_text("restore, hold, expire and cancel")
    await expect(page.get_by_role("alert")).to_have_count(0)
    await shoot(page, "signin-unread")
    for scheme in SCHEMES:
        await page.emulate_media(color_scheme=scheme)
        assert await axe_faults(page) == [], scheme
    asked = {one.removeprefix(rig.worker.url).partition("?")[0] for one in events}
    assert asked.isdisjoint({"/events", "/sources", "/requests"})
    await told.get_by_role("button", name="Sign in with another key").click()
    await page.get_by_label("Key", exact=True).fill(rig.tokens[Scope.READ])
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("heading", name="Sources")).to_be_visible()


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


async def test_a_sign_out_that_did_not_reach_all_workers_or_none_is_said(rig: PageRig) -> None:
    page = await rig.page("#/sources")
    leave = page.get_by_role("button", name="Sign out")

    async def offline(route: Route) -> None:
        await (route.abort() if route.request.method == "DELETE" else route.continue_())

    await page.route("**/session", offline)
    await leave.click()
    await expect(page.get_by_role("alert")).to_contain_text("You are still signed in")
    await page.unroute("**/session", offline)

    async def partly(route: Route) -> None:
        answer = await route.fetch()
        found = await answer.json()
        if route.request.method == "DELETE":
            found["everywhere"] = False
        await route.fulfill(response=answer, json=found)

    await page.route("**/session", partly)
    await leave.click()
    await expect(page.get_by_role("alert")).to_contain_text("did not reach all workers")
    await page.get_by_label("Key", exact=True).fill(rig.tokens[Scope.READ])
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("heading", name="Sources")).to_be_visible()
    await expect(page.get_by_role("alert")).to_have_count(0)


def deep(levels: int) -> str:
    return '{"not":' * levels + "{}" + "}" * levels


_NAMES = (
    *("..", ".", "%2e%2e", "..%2f..%2fsession", "%", "%E0%A4%A", "%00", "a/b/c?d=e", "__proto__"),
    *(
        "constructor",
        "<img src=x onerror=alert(1)>",
        "\u202emoc",
        "campaign:__proto__",
        "x" * 10_000,
    ),
)
_FILTERS = (
    *("null", "7", '"x"', "[]", "[[[]]]", "{", '{"and":7}', '{"and":[null,1,"x",[]]}', '{"or":{}}'),
    *('{"not":null}', '{"filter":7}', '{"filter":{"x":1}}', '{"filter":null}', '{"filter":["a"]}'),
    *('{"filter":"__proto__"}', '{"filter":"constructor"}', '{"__proto__":{"filter":"x"}}'),
    *(
        f'{{"filter":"received_from_campaign","campaign":{value},"after":{value},"before":{value}}}'
        for value in ("2024", "[2024]", "true", "{}", '["x"]', "1e400", '"275761-01-01"', '"P9Z"')
    ),
    *(deep(60), deep(20_000), '{"and":[' + ",".join(["{}"] * 5_000) + "]}"),
    *('{"filter":"received_from_campaign","campaign":"' + "x" * 100_000 + '"}',),
)
_QUERIES = (
    *(
        "sort=__proto__&order=constructor",
        "state=toString&kind=__proto__&tag=",
        "cursor=%00&name=%",
    ),
    *("name=" + "x" * 100_000, "state=" + "&state=".join(["ACTIVE"] * 3_000)),
)


async def test_whatever_an_address_says_there_is_a_page(rig: PageRig) -> None:
    views = ("sources", "requests", "audience", "users", "system")
    places = [f"#/{view}/{quote(name, safe=SAFE)}" for view in views for name in _NAMES]
    places += [f"#/audience?filter={quote(text)}" for text in _FILTERS]
    places += [f"#/{view}?{query}" for view in views for query in _QUERIES]
    page = await rig.page("#/sources")
    await expect(page.get_by_role("heading", name="Sources")).to_be_visible()
    heading = page.get_by_role("main")
    asked: list[str] = []
    page.on("request", lambda one: asked.append(urlsplit(one.url).path))
    for place in places:
        await page.evaluate("(place) => { location.hash = place; }", place)
        await page.evaluate("() => new Promise(requestAnimationFrame)")
        await expect(heading, place[:200]).not_to_be_empty()
        await expect(page.get_by_text("This view cannot be shown"), place[:200]).to_have_count(0)
        await page.evaluate("() => { location.hash = '#/system/settings'; }")
        settings = page.get_by_role("heading", name="Settings")
        await expect(settings, f"after {place[:200]}").to_be_visible()
        assert rig.errors == [], place[:200]
    # no name leads out of its part of the API
    assert [path for path in asked if path in ("/", "/session")] == []
