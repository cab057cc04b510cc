"""The list of sources, the dialogs and the requests, in a browser, on a real broker and worker."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from playwright.async_api import Locator, Page, Route, expect

from agents.http.keys import Scope
from agents.tools.publish import Chunk, publish
from schemas.records import codec
from tests.rigs.browser import PageRig, page_rig, picture, shoot
from tests.rigs.faults.harness import define, until

pytestmark = [pytest.mark.connected, pytest.mark.asyncio(loop_scope="module")]

STOPPED_AT = 1_767_225_600_000
DAY = 86_400_000
BULK = [f"campaign:bulk-{number:02}" for number in range(60)]
NAMED = {
    "campaign:spring": ("Spring sale", "STOPPED", ["vip", "2026"]),
    "campaign:reminder": ("Spring reminder", "STOPPED", ["2026"]),
    "canvas:welcome": ("Welcome journey", "ACTIVE", ["vip"]),
    "campaign:old": ("Old newsletter", "STOPPED", []),
    "campaign:empty": ("Never sent", "STOPPED", ["empty"]),
}
RESTORE = "Restore interaction data"


@dataclass
class World:
    """A page, and what the API says meanwhile."""

    rig: PageRig
    page: Page
    api: aiohttp.ClientSession

    async def states(self, query: str) -> dict[str, str]:
        async with self.api.get(f"/sources?limit=1000&{query}") as answer:
            found = await answer.json()
        return {one["source"]: one["state"] for one in found.get("sources", [])}

    async def all_are(self, query: str, count: int, state: str) -> bool:
        found = await self.states(query)
        return len(found) == count and set(found.values()) == {state}

    async def wait(self, query: str, count: int, state: str) -> None:
        await until(partial(self.all_are, query, count, state), 90, f"{query}: {count} {state}")

    async def show(self, place: str) -> None:
        await self.page.goto(f"{self.rig.worker.url}/{place}")
        await expect(self.page.get_by_text("Loading...")).to_have_count(0)

    def row(self, name: str) -> Locator:
        return self.page.get_by_role("row").filter(has_text=name)

    async def names(self) -> list[str]:
        return await self.page.locator("tbody a.name").all_inner_texts()

    async def choose(self, *names: str) -> None:
        for name in names:
            await self.page.get_by_role("checkbox", name=f"Select {name}").check()

    async def act(self, name: str) -> Locator:
        bar = self.page.get_by_role("region", name="Selection")
        await bar.get_by_role("button", name=name, exact=True).click()
        return self.page.get_by_role("dialog")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def world(broker: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """Sixty small sources and five others; all that stopped have expired."""
    folder = tmp_path_factory.mktemp("page")
    async with page_rig(broker, folder, retention="PT3S", sweep_interval="PT1S") as rig:
        await _fill(rig)
        page = await rig.page("#/sources", viewport={"width": 1280, "height": 900})
        async with rig.api() as api:
            found = World(rig, page, api)
            await found.wait("name=bulk", len(BULK), "EXPIRED")
            await found.wait("name=spring", 2, "EXPIRED")
            yield found


async def _fill(rig: PageRig) -> None:
    events: list[dict[str, Any]] = []
    for number, key in enumerate([*BULK, "campaign:spring", "campaign:reminder", "campaign:old"]):
        events += (
            {
                "id": f"{key}-{user}",
                "user_id": f"user-{user}",
                "time": STOPPED_AT + number * DAY,
                "campaign_id": key.partition(":")[2],
                "channel": "EMAIL",
            }
            for user in range(number + 1)
        )
    keys: list[bytes | None] = [event["user_id"].encode() for event in events]
    values = [codec.encode("send", event) for event in events]
    await publish(rig.settings, [Chunk("interactions.send", keys, values)])
    for key, (name, status, tags) in NAMED.items():
        old = key == "campaign:old"
        await define(
            rig.settings, key, status, STOPPED_AT, name=name, tags=tags, legacy_deleted=old
        )
    for number, key in enumerate(BULK):
        await define(rig.settings, key, "STOPPED", STOPPED_AT, name=f"Bulk {number:02}")


async def test_it_is_searched_sorted_and_paged_and_the_address_has_the_view(world: World) -> None:
    page = world.page
    await world.show("#/sources")
    await expect(page.get_by_role("status").filter(has_text="65 sources")).to_be_visible()
    await shoot(page, "sources-list")
    await page.get_by_role("searchbox", name="Search by name or id").fill("spring")
    await page.keyboard.press("Enter")
    await expect(page.locator("tbody tr")).to_have_count(2)
    await page.get_by_role("textbox", name="Tag").fill("vip")
    await page.keyboard.press("Enter")
    await expect(page.locator("tbody tr")).to_have_count(1)
    await page.reload()
    await expect(world.row("Spring sale")).to_contain_text("Expired on")
    assert await world.names() == ["Spring sale"]
    await page.get_by_role("button", name="Remove the tag vip").click()
    await expect(page.locator("tbody tr")).to_have_count(2)

    await world.show("#/sources")
    header = page.get_by_role("columnheader", name="Interactions")
    await header.get_by_role("button").click()
    await expect(header).to_have_attribute("aria-sort", "descending")
    await expect(page.locator("tbody a.name").first).to_have_text("Old newsletter")
    assert (await world.names())[1:4] == ["Spring reminder", "Spring sale", "Bulk 59"]
    await page.get_by_role("link", name="Next page").click()
    await expect(page.locator("tbody tr")).to_have_count(15)
    await page.reload()
    await expect(page.locator("tbody tr")).to_have_count(15)
    second = await world.names()
    assert second[0] == "Bulk 12"
    await page.get_by_role("link", name="Previous page").click()
    await expect(page.locator("tbody tr")).to_have_count(50)
    await expect(page.get_by_role("link", name="Previous page")).to_have_count(0)
    await header.get_by_role("button").click()
    await expect(header).to_have_attribute("aria-sort", "ascending")
    last = page.get_by_role("columnheader", name="Last event")
    await last.get_by_role("button").press("Enter")
    await expect(last).to_have_attribute("aria-sort", "descending")
    await expect(page.locator("tbody tr").first).to_contain_text("4 Mar 2026")
    states = page.get_by_role("group", name="State")
    await states.get_by_role("button", name="Active").click()
    await expect(page.locator("tbody tr")).to_have_count(1)
    await states.get_by_role("button", name="Expired").click()
    await expect(states.get_by_role("button", name="Expired")).to_have_attribute(
        "aria-pressed", "true"
    )
    await page.get_by_role("combobox", name="Kind").select_option("Canvas")
    await expect(page.locator("tbody tr")).to_have_count(1)
    assert await world.names() == ["Welcome journey"]
    await page.get_by_role("searchbox").fill("nobody")
    await page.keyboard.press("Enter")
    await page.get_by_role("link", name="Show all sources").click()
    await expect(page.locator("tbody tr")).to_have_count(50)


async def test_rows_of_a_former_order_take_no_click(world: World) -> None:
    page = world.page
    await world.show("#/sources?sort=name&order=desc")
    held = asyncio.Event()

    async def later(route: Route) -> None:
        await held.wait()
        await route.continue_()

    await page.route("**/sources?*sort=interactions*", later)
    await page.get_by_role("columnheader", name="Interactions").get_by_role("button").click()
    await expect(page.locator("tbody")).to_have_css("pointer-events", "none")
    held.set()
    await world.choose("Spring reminder")
    await expect(page.get_by_role("region", name="Selection")).to_contain_text("1 selected")
    await page.unroute("**/sources?*sort=interactions*", later)


async def test_several_are_restored_at_once_each_for_itself(world: World) -> None:
    page = world.page
    await world.show("#/sources?name=spring")
    await world.choose("Spring sale", "Spring reminder")
    await expect(page.get_by_role("region", name="Selection")).to_contain_text("2 selected")
    await shoot(page, "sources-chosen")
    await picture(page, "sources")
    dialog = await world.act("Hold")
    await expect(dialog).to_contain_text("Possible for 2 sources.")
    # rows that are no segments yet have no bytes, and a hold moves none
    await expect(dialog).not_to_contain_text("0 bytes")
    await dialog.get_by_label("Reason").fill("they shall stay")
    await dialog.get_by_role("button", name="Hold").click()
    await expect(page.get_by_text("Finished")).to_be_visible()

    await world.show("#/sources?sort=name&order=desc")
    await world.choose("Never sent", "Old newsletter", "Welcome journey")
    await page.get_by_role("columnheader", name="Interactions").get_by_role("button").click()
    await world.choose("Spring sale", "Spring reminder")
    await expect(page.get_by_role("region", name="Selection")).to_contain_text("5 selected")
    dialog = await world.act(RESTORE)
    await expect(dialog).to_contain_text("Possible for 2 of 5 sources.")
    await expect(dialog).to_contain_text("no restore has been measured")
    await expect(dialog).to_contain_text("1 Its data was deleted permanently")
    await expect(dialog).to_contain_text("1 The archive has no data of it.")
    await expect(dialog).to_contain_text("1 Its data is available.")
    await dialog.get_by_label("Mail when it is over").fill("nobody")
    await expect(dialog).to_contain_text("nobody is no mail address")
    confirm = dialog.get_by_role("button", name=RESTORE)
    await expect(confirm).to_be_disabled()
    await dialog.get_by_label("Mail when it is over").fill("")
    await dialog.get_by_text("The same on a command line").click()
    await expect(dialog.locator("pre")).to_contain_text("emberline restore 'campaign:empty'")
    await shoot(page, "dialog-restore")
    await confirm.click()
    outcomes = page.get_by_role("navigation", name="Outcome")
    await expect(outcomes.get_by_role("link", name="Completed 2")).to_be_visible(timeout=30_000)
    await expect(page.get_by_text("Failed", exact=True)).to_be_visible()
    await expect(world.row("Old newsletter")).to_contain_text("under the older policy")
    await shoot(page, "request-parts")
    await outcomes.get_by_role("link", name="Refused 2").click()
    await expect(page.locator("tbody tr")).to_have_count(2)
    await page.reload()
    await expect(page.locator("tbody tr")).to_have_count(2)

    await page.get_by_role("button", name="Retry what failed").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("Possible for 0 of 2 sources.")
    await dialog.get_by_text("The same on a command line").click()
    await expect(dialog.locator("pre")).to_contain_text("outcome=failed&outcome=refused")
    await expect(dialog.get_by_role("button", name=RESTORE)).to_be_disabled()
    await page.keyboard.press("Escape")
    await expect(dialog).to_have_count(0)
    await expect(page.get_by_role("button", name="Retry what failed")).to_be_focused()


async def test_a_hold_is_released_and_what_is_stopped_expires(world: World) -> None:
    page = world.page
    await world.wait("name=spring", 2, "HELD")
    await world.show("#/sources?name=spring")
    await world.choose("Spring reminder")
    dialog = await world.act("Expire now")
    await expect(dialog).to_contain_text("It is held: release the hold first.")
    await dialog.get_by_role("button", name="Close").click()
    dialog = await world.act("Release hold")
    await dialog.get_by_role("button", name="Release hold").click()
    await expect(page.get_by_text("Finished")).to_be_visible()
    await world.wait("name=reminder", 1, "EXPIRED")
    await world.wait("name=spring+sale", 1, "HELD")


async def test_all_that_match_are_restored_also_those_on_other_pages(world: World) -> None:
    page = world.page
    await world.show("#/sources?name=bulk&state=EXPIRED")
    await page.get_by_role("checkbox", name="Select all on this page").check()
    bar = page.get_by_role("region", name="Selection")
    await expect(bar).to_contain_text("50 selected")
    await bar.get_by_role("button", name="Select all 60 that match").click()
    await expect(bar).to_contain_text("All 60 sources that match")
    await shoot(page, "sources-all")
    dialog = await world.act(RESTORE)
    await expect(dialog).to_contain_text("Possible for 60 sources.")
    await expect(dialog).to_contain_text("1,830")
    await expect(dialog).to_contain_text("At the rate of the restore of")
    await dialog.get_by_text("The same on a command line").click()
    await expect(dialog.locator("pre")).to_contain_text("| emberline restore --from -")
    await dialog.get_by_label("Reason").fill("all of them")
    async with page.expect_request(lambda one: one.url.endswith("/requests")) as asking:
        await dialog.get_by_role("button", name=RESTORE).click()
    # what began to match behind the dialog is not restored
    assert '"tried"' in ((await asking.value).post_data or "")
    await expect(page.get_by_role("heading", name="Restore")).to_be_visible()
    # it stays in sight while one works elsewhere
    await page.get_by_role("link", name="Sources", exact=True).click()
    running = page.get_by_role("complementary", name="Your requests")
    await expect(running).to_contain_text("of 60 sources")
    await expect(running).to_contain_text("Finished", timeout=60_000)
    await shoot(page, "running")
    await running.get_by_role("button", name="Dismiss").click()
    await expect(running).to_have_count(0)


async def test_requests_are_filtered_and_dry_runs_are_apart(world: World) -> None:
    page = world.page
    await world.show("#/requests")
    await expect(page.locator("tbody tr").first).to_be_visible()
    assert not [name for name in await world.names() if "dry run" in name]
    await shoot(page, "requests")
    await page.get_by_role("combobox", name="Type").select_option("Hold")
    await expect(page.locator("tbody tr")).to_have_count(1)
    await page.reload()
    await expect(page.locator("tbody tr")).to_have_count(1)
    await expect(page.locator("tbody tr")).to_contain_text("they shall stay")
    await page.get_by_role("combobox", name="State").select_option("Failed")
    await expect(page.get_by_text("No request matches these filters.")).to_be_visible()
    await page.get_by_role("combobox", name="Type").select_option("All types")
    await page.get_by_role("checkbox", name="Show dry runs").check()
    await expect(page.get_by_role("link", name="(dry run)").first).to_be_visible()
    await page.get_by_label("Language").select_option("日本語")
    await expect(page.get_by_role("heading", name="復元とリクエスト")).to_be_visible()
    await world.show("#/sources?sort=interactions&order=desc")
    await expect(page.get_by_role("columnheader", name="最後のイベント")).to_be_visible()
    await shoot(page, "sources-ja")
    await page.get_by_label("言語").select_option("English")


async def test_a_request_has_its_own_id_in_the_command_line_whatever_the_id_is(
    world: World,
) -> None:
    page = world.page
    status = await page.evaluate(
        """async () => (await fetch("requests", {
          method: "POST",
          headers: { "Content-Type": "application/json", "Idempotency-Key": "-it's" },
          body: JSON.stringify({ type: "restore", sources: ["campaign:empty"], dry_run: true }),
        })).status"""
    )
    assert status == 200
    await world.show("#/requests/-it's")
    await page.get_by_text("The same on a command line").click()
    line = page.get_by_role("main").locator("pre")
    await expect(line).to_contain_text(r"emberline restores --follow -- '-it'\''s'")


async def test_a_reader_changes_nothing_and_a_refused_call_is_told(world: World) -> None:
    page = await world.rig.page("#/sources", Scope.READ)
    await expect(page.locator("tbody tr")).to_have_count(50)
    await expect(page.get_by_role("checkbox")).to_have_count(0)
    await page.context.close()
    page = world.page
    await world.show("#/sources?name=welcome")
    problem = {"status": 413, "code": "request_too_large", "matching": 70_000, "most": 50_000}

    async def refused(route: Any) -> None:
        if route.request.method == "POST":
            text = json.dumps(problem)
            await route.fulfill(status=413, content_type="application/problem+json", body=text)
        else:
            await route.fallback()

    await page.route("**/requests?wait=30", refused)
    await world.choose("Welcome journey")
    dialog = await world.act("Hold")
    alert = dialog.get_by_role("alert")
    await expect(alert).to_contain_text("70,000 sources match, and one request may name 50,000.")
    await page.unroute("**/requests?wait=30")
    await dialog.get_by_role("button", name="Try again").click()
    await expect(dialog).to_contain_text("Possible for 1 source.")
    await dialog.get_by_role("button", name="Close").click()


async def test_what_is_typed_stays_while_states_change(world: World) -> None:
    page = world.page
    await world.show("#/sources?sort=name&order=desc")
    search = page.get_by_role("searchbox", name="Search by name or id")
    await search.press_sequentially("bulk-5")
    command = {"type": "hold", "sources": ["canvas:welcome"], "reason": "somebody else's"}
    async with world.api.post("/requests", json=command) as answer:
        assert answer.ok, await answer.text()
    await expect(world.row("Welcome journey")).to_contain_text("Held")
    await expect(search).to_have_value("bulk-5")
    await search.press("Enter")
    await expect(page.locator("tbody tr")).to_have_count(10)
    await page.go_back()
    await expect(search).to_have_value("")


async def test_a_legal_hold_needs_a_reason_and_another_person_to_release_it(world: World) -> None:
    page = world.page
    await define(world.rig.settings, "campaign:court", "ACTIVE", STOPPED_AT, name="Court case")
    await world.wait("name=court", 1, "ACTIVE")
    await world.show("#/sources?name=court")
    await world.choose("Court case")
    dialog = await world.act("Hold")
    await dialog.get_by_role("checkbox", name="Legal hold", exact=True).check()
    await expect(dialog.locator("pre")).to_contain_text("emberline hold --legal ")
    await shoot(page, "sources-legal-hold")
    hold = dialog.get_by_role("button", name="Hold")
    await hold.click()
    await expect(dialog.get_by_label("Reason")).to_be_focused()
    await dialog.get_by_label("Reason").fill("case 7")
    await hold.click()

    async def held_now() -> bool:
        return bool((await world.rig.get("/sources/campaign:court"))["held"])

    await until(held_now, 60, "the source is held")
    held = (await world.rig.get("/sources/campaign:court"))["held"]
    assert (held["by"], held["reason"], held["legal"]) == ("operate", "case 7", True)
    await world.show("#/sources?name=court")
    await world.choose("Court case")
    dialog = await world.act("Release hold")
    await expect(dialog).to_contain_text("Only another person may release this legal hold")
    await dialog.get_by_role("button", name="Close").click()
