"""The audience in a browser, as a person builds one: by visible names, on a real worker."""

import asyncio
import io
import json
import re
import shlex
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import polars as pl
import pytest
import pytest_asyncio
from click.testing import CliRunner
from playwright.async_api import Error, Locator, Page, Request, Route, expect

from agents.cli import main
from agents.filters.description import FilterDescription, FilterField, described
from agents.filters.parsing import parse
from agents.http.keys import Scope
from agents.tools.publish import Chunk, publish
from schemas.records import codec
from tests.rigs.browser import PageRig, page_rig, picture, shoot
from tests.rigs.faults.harness import define, until

pytestmark = [pytest.mark.connected, pytest.mark.asyncio(loop_scope="module")]

BEGAN = 1_767_225_600_000
SPRING, WINTER, WELCOME = "campaign:spring", "campaign:winter", "canvas:welcome"
RECEIVED = {"spring": ["ada", "bob", "cyd"], "winter": ["bob", "dan"]}
FILTER_NOW = "JSON.parse(new URLSearchParams(location.hash.split('?')[1]).get('filter'))"
ROOM = Path(__file__).parents[3] / "agents" / "web" / "page"
LOYAL = {"filter": "clicked_opened_campaign", "campaign": "spring", "action": "opened"}
FROM_SPRING = {"filter": "received_from_campaign", "campaign": SPRING}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def rig(broker: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[PageRig]:
    """Spring is active, Winter has expired, Welcome is a Canvas, Loyal buyers opened Spring."""
    async with page_rig(broker, tmp_path_factory.mktemp("page"), retention="PT5M") as found:
        await _publish(found)
        async with found.api() as api:

            async def stands(state: str) -> bool:
                async with api.get(f"/sources/{WINTER}") as answer:
                    return bool((await answer.json()).get("state") == state)

            await until(partial(stands, "STOPPED"), 60, "Winter deal has stopped")
            async with api.post(f"/sources/{WINTER}/expire", json={}) as answer:
                assert answer.ok, await answer.text()
            await until(partial(stands, "EXPIRED"), 60, "Winter deal has expired")
        yield found


async def _publish(rig: PageRig) -> None:
    sends = [
        {"id": f"{name}-{user}", "user_id": user, "time": BEGAN, "campaign_id": name,
         "channel": "EMAIL"}
        for name, users in RECEIVED.items()
        for user in users
    ]  # fmt: skip
    sends.append(
        {"id": "w-cyd", "user_id": "cyd", "time": BEGAN, "canvas_id": "welcome",
         "canvas_step_id": "s1", "channel": "PUSH"}
    )  # fmt: skip
    opens = [{"id": "o-ada", "user_id": "ada", "time": BEGAN + 1, "campaign_id": "spring",
              "channel": "EMAIL"}]  # fmt: skip
    for kind, events in (("send", sends), ("open", opens)):
        found = [codec.encode(kind, event) for event in events]
        users = [str(event["user_id"]).encode() for event in events]
        await publish(rig.settings, [Chunk(f"interactions.{kind}", users, found)])
    tell = partial(define, rig.settings, status="ACTIVE", updated_at=BEGAN)
    await tell(SPRING, name="Spring sale", tags=["2026"])
    await define(rig.settings, WINTER, "STOPPED", BEGAN, name="Winter deal", tags=["2026"])
    await tell(WELCOME, name="Welcome journey", steps=[{"id": "s1", "name": "First mail"}])
    await tell("segment:loyal", name="Loyal buyers", filters=json.dumps(LOYAL))


async def asked(rig: PageRig, filter_: Any, query: str = "", **more: Any) -> bytes:
    """What the API answers."""
    body = {"filter": filter_, **more}
    async with rig.api() as api, api.post(f"/audience{query}", json=body) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.read()


def link(filter_: Any) -> str:
    return f"#/audience?filter={quote(json.dumps(filter_))}"


def field(place: Page | Locator, label: str) -> Locator:
    """The field of a source or a segment."""
    return place.get_by_role("combobox", name=label, exact=True)


async def choose(place: Page | Locator, page: Page, label: str, text: str, name: str) -> None:
    """Find a source or a segment by a part of its name."""
    await field(place, label).fill(text)
    await page.get_by_role("option", name=name).click()


def count(page: Page) -> Locator:
    return page.get_by_role("status", name="Matching users")


def asked_now(page: Page) -> Any:
    """The filter in the address."""
    return page.evaluate(FILTER_NOW)


async def test_an_audience_is_built_with_the_mouse(rig: PageRig) -> None:
    page = await rig.page("")
    await page.get_by_role("link", name="Audience").click()
    await _built_and_blocked(page)
    await _answered_without_and_with_the_expired_source(page)
    await _the_link_is_the_audience(page, rig)


async def _built_and_blocked(page: Page) -> None:
    await expect(page.get_by_role("heading", name="Audience")).to_be_visible()
    await shoot(page, "audience-empty", full=True)
    await page.get_by_role("button", name="Add a condition").click()
    first = page.get_by_role("group", name="Received message from campaign")
    await expect(first).to_contain_text("Still needed: Campaign")
    await choose(first, page, "Campaign", "spr", "Spring sale")
    await expect(count(page)).to_contain_text("3")
    # a second condition: who received it and did not open it
    await page.get_by_role("button", name="Add a condition").click()
    second = page.get_by_role("group", name="Received message from campaign").nth(1)
    await second.get_by_label("Filter", exact=True).select_option("Clicked or opened campaign")
    second = page.get_by_role("group", name="Clicked or opened campaign")
    await choose(second, page, "Campaign", "SPRING", "Spring sale")
    await second.get_by_label("Action").select_option("opened by a person")
    await second.get_by_label("Yes or no").select_option("no")
    await expect(count(page)).to_contain_text("2")
    await expect(page.get_by_text("Of 4 users in all.")).to_be_visible()
    await expect(second).to_contain_text("3 users")
    await expect(page.get_by_text("The page asks 4 questions")).to_be_visible()
    await shoot(page, "audience", full=True)
    # and a group: loyal buyers, or who received what has expired
    await page.get_by_role("button", name="Add a group").click()
    group = page.get_by_role("group", name="Any of these matches")
    await group.get_by_role("button", name="Add a condition").click()
    inner = group.get_by_role("group", name="Received message from campaign")
    await inner.get_by_label("Filter", exact=True).select_option("In segment")
    inner = group.get_by_role("group", name="In segment")
    await choose(inner, page, "Segment", "buyers", "Loyal buyers")
    await group.get_by_role("button", name="Add a condition").click()
    inner = group.get_by_role("group", name="Received message from campaign")
    await choose(inner, page, "Campaign", "winter", "Winter deal")
    banner = page.get_by_role("region", name="Not answered: interaction data has expired")
    await expect(banner.get_by_role("link", name="Winter deal")).to_be_visible()
    await expect(inner.get_by_role("alert")).to_contain_text(re.compile("Winter deal.*Expired"))
    await expect(inner).to_contain_text("no answer")
    await shoot(page, "audience-blocked", full=True)
    await picture(page, "audience")


async def _answered_without_and_with_the_expired_source(page: Page) -> None:
    banner = page.get_by_role("region", name="Not answered: interaction data has expired")
    await banner.get_by_role("button", name="Leave expired data out").click()
    await expect(page.get_by_text("The answer leaves out 1 source")).to_contain_text("Winter deal")
    await expect(count(page)).to_contain_text("0")
    # under a negation it is refused: leaving it out would add users
    inner = page.get_by_role("group", name="Received message from campaign").last
    await inner.get_by_label("Yes or no").select_option("no")
    await expect(banner).to_contain_text("could add users")
    await expect(banner.get_by_role("button", name="Leave expired data out")).to_have_count(0)
    await page.go_back()
    await page.go_back()
    await expect(page.get_by_label("Leave expired data out of the answer")).not_to_be_checked()
    await banner.get_by_role("button", name="Restore interaction data").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("Possible for 1 source.")
    await dialog.get_by_role("button", name="Restore interaction data").click()
    await expect(count(page)).to_contain_text("1", timeout=30_000)
    await expect(banner).to_have_count(0)
    await expect(page.get_by_role("listitem").filter(has_text="bob")).to_be_visible()


async def _the_link_is_the_audience(page: Page, rig: PageRig) -> None:
    filter_ = await asked_now(page)
    other = await page.context.new_page()
    await other.goto(page.url)
    await expect(count(other)).to_contain_text("1")
    group = other.get_by_role("group", name="Any of these matches")
    await expect(field(group, "Segment")).to_have_value("Loyal buyers")
    await expect(field(group, "Campaign")).to_have_value("Winter deal")
    assert json.loads(await asked(rig, filter_))["users"] == ["bob"]
    await other.close()
    for code, language, heading in (
        ("ja", "日本語", "オーディエンス"),
        ("fr", "Français", "Audience"),
    ):
        await page.locator("select.lang").select_option(language)
        await expect(page.get_by_role("heading", name=heading, exact=True)).to_be_visible()
        await expect(page.locator(".big")).to_contain_text("1")
        await shoot(page, f"audience-{code}", full=True)
    await page.locator("select.lang").select_option("English")


async def test_the_result_is_that_of_the_api(rig: PageRig) -> None:
    page = await rig.page(link(FROM_SPRING))
    columns = ["user_id", "external_id"]
    await page.get_by_label("External ID").check()
    for form in ("csv", "ndjson", "parquet"):
        await page.get_by_label(form.upper() if form != "parquet" else "Parquet").check()
        button = re.compile(f"Download 3 users as {form}", re.IGNORECASE)
        async with page.expect_download() as waiting:
            await page.get_by_role("link", name=button).click()
        download = await waiting.value
        assert download.suggested_filename == f"audience.{form}"
        path = Path(await download.path())
        found = await asyncio.to_thread(path.read_bytes)
        wanted = await asked(rig, FROM_SPRING, f"?format={form}", columns=columns)
        if form == "parquet":
            assert pl.read_parquet(io.BytesIO(found)).equals(pl.read_parquet(io.BytesIO(wanted)))
        else:
            assert sorted(found.splitlines()) == sorted(wanted.splitlines())
    for name in ("JSON", "curl", "Command line"):
        await page.get_by_text(name, exact=True).click()
    shown = {
        name: await page.locator("pre").filter(visible=True).nth(place).inner_text()
        for place, name in enumerate(("json", "curl", "command"))
    }
    assert json.loads(shown["json"]) == FROM_SPRING
    words = shlex.split(shown["curl"])
    assert words[:4] == ["curl", "-X", "POST", f"{rig.worker.url}/audience"]
    body = json.loads(words[-1])
    assert json.loads(await asked(rig, body.pop("filter"), **body))["count"] == 3
    program, *arguments = shlex.split(shown["command"])
    port = rig.worker.url.rpartition(":")[2]
    env = {"EMBERLINE_HTTP_PORT": port, "EMBERLINE_API_KEY": rig.tokens[Scope.READ]}
    assert program == "emberline"
    wanted_count = [*arguments, "--format", "count"]
    result = await asyncio.to_thread(CliRunner().invoke, main, wanted_count, env=env)
    assert (result.exit_code, result.output.strip()) == (0, "3"), result.output


NAMES = {"campaign": (SPRING, "Spring"), "canvas": (WELCOME, "Welcome"),
         "segment": ("segment:loyal", "Loyal")}  # fmt: skip
TEXTS = json.loads((ROOM / "texts" / "en.json").read_text())


async def _fill(page: Page, one: FilterDescription, field: FilterField) -> Any:
    """Give a field a value as a person does; returns what the filter should say."""
    label = TEXTS[f"audience.field.{field.name}"]
    place = page.get_by_label(label, exact=True)
    if field.type in NAMES:
        key, name = NAMES[field.type]
        await choose(page, page, label, name, name)
        return key
    if field.name == "step":
        await page.get_by_role("combobox", name=label, exact=True).select_option("First mail")
        return "s1"
    match field.type:
        case "choice":
            await place.select_option(str(field.values[-1]))
            return field.values[-1]
        case "number":
            await place.fill("7")
            return 7
        case "moment":
            bound = page.get_by_role("group", name=label, exact=True)
            if field.name == "before":
                await bound.get_by_label(label, exact=True).select_option("a date")
                await bound.get_by_label(f"{label}: date and time").fill("2026-01-31T12:30")
                return "2026-01-31T12:30:00Z"
            await bound.get_by_label(label, exact=True).select_option("a period before now")
            await bound.get_by_label(f"{label}: number").fill("3")
            await bound.get_by_label(f"{label}: unit").select_option("months ago")
            return "P3M"
    await place.fill(f"my {field.name}")
    return f"my {field.name}"


async def test_the_form_writes_each_filter_that_the_parser_reads(rig: PageRig) -> None:
    page = await rig.page("#/audience", timezone_id="UTC")
    await page.get_by_role("button", name="Add a condition").click()
    which = page.get_by_label("Filter", exact=True)
    for one in described():
        await which.select_option(one.filter)
        wanted: dict[str, Any] = {"filter": one.filter}
        for field in one.fields:
            if field.name == "before" and one.bounds == "one at most":
                await expect(page.get_by_label("Before", exact=True).last).to_be_disabled()
                continue
            wanted[field.name] = await _fill(page, one, field)
        shown = page.get_by_label("JSON", exact=True)
        await expect(shown).to_contain_text(f'"{one.filter}"')
        found = json.loads(await shown.text_content() or "")["and"][0]
        assert found == wanted
        parse(found)
        # the next filter begins without what this one had
        await which.select_option("never_received")


async def test_a_pasted_filter_loses_nothing(rig: PageRig) -> None:
    page = await rig.page("#/audience")
    strange: dict[str, Any] = {"and": [
        {"filter": "received_from_campaign", "campaign": "spring", "planet": "mars"},
        {"filter": "had_breakfast", "with": ["eggs"]},
        {"xor": []},
        {"not": {"filter": "last_received_any", "after": "P1M3D"}},
    ]}  # fmt: skip
    await page.get_by_text("Import a filter").click()
    await page.get_by_label("Filter as JSON").fill("{")
    await page.get_by_role("button", name="Show it in the form").click()
    await expect(page.get_by_text("This is not JSON.")).to_be_visible()
    body = json.dumps({"filter": strange, "on_expired": "exclude"})
    await page.get_by_label("Filter as JSON").fill(body)
    await page.get_by_role("button", name="Show it in the form").click()
    await expect(
        page.get_by_text("3 conditions have parts that the form cannot show")
    ).to_be_visible()
    assert await asked_now(page) == strange
    await expect(page.get_by_label("Leave expired data out of the answer")).to_be_checked()
    # the worker names the first fault, and the page shows it where it is
    first = page.get_by_role("group", name="Received message from campaign")
    await expect(first.get_by_role("alert")).to_contain_text("a part that the filter does not take")
    await expect(field(first, "Campaign")).to_have_value("Spring sale")
    await first.get_by_label("Yes or no").select_option("no")
    strange["and"][0]["has"] = False
    assert await asked_now(page) == strange
    await first.get_by_role("button", name="Remove planet").click()
    unknown = page.get_by_role("group", name="had_breakfast")
    await expect(unknown.get_by_role("alert")).to_contain_text("There is no such filter.")
    await unknown.get_by_role("button", name="Remove: had_breakfast").click()
    other = page.get_by_role("group", name="A part that is no filter")
    await expect(other.get_by_role("alert")).to_contain_text("This part is not a filter.")
    await other.get_by_role("button", name="Remove: A part that is no filter").click()
    await expect(page.get_by_label("At or after: text")).to_have_value("P1M3D")
    await expect(count(page)).to_contain_text("1")


async def test_an_older_answer_replaces_no_newer_one(rig: PageRig) -> None:
    """The first question is held back until the second is answered."""
    held: list[Route] = []

    async def hold(route: Route, request: Request) -> None:
        if "never_received" in (request.post_data or "") and not held:
            held.append(route)
        else:
            await route.continue_()

    page = await rig.page("#/audience")
    await page.route("**/audience", hold)
    async with page.expect_request(lambda one: "never_received" in (one.post_data or "")):
        await page.goto(f"{rig.worker.url}/{link({'filter': 'never_received'})}")
    others = {"or": [{"not": {"filter": "never_received"}}]}
    await page.goto(f"{rig.worker.url}/{link(others)}")
    await expect(count(page)).to_contain_text("4")
    # the page has given the first question up: its answer may have nowhere to go
    with suppress(Error):
        await held[0].fulfill(json={"count": 77, "users": [], "excluded_expired": []})
    await page.evaluate("new Promise((painted) => requestAnimationFrame(painted))")
    await expect(count(page)).to_contain_text("4")
    await expect(count(page)).not_to_contain_text("77")


async def test_a_question_has_a_deadline(rig: PageRig) -> None:
    page = await rig.page("#/audience")

    async def silent(route: Route) -> None:
        """Never answers."""

    await page.route("**/audience", silent)
    await page.evaluate("AbortSignal.timeout = ((real) => () => real(300))(AbortSignal.timeout)")
    await page.get_by_role("button", name="Add a condition").click()
    await page.get_by_label("Filter", exact=True).select_option("Never received a message")
    await expect(page.get_by_role("alert")).to_contain_text("did not answer in time")
    await page.unroute("**/audience")
    await page.get_by_role("button", name="Try again").click()
    await expect(count(page)).to_contain_text("0")


async def test_shards_that_cannot_answer_are_named_and_asked_again(rig: PageRig) -> None:
    page = await rig.page("#/audience")
    problem = {"status": 503, "code": "shards_unavailable", "detail": "shard 3 recovers"}

    async def recovers(route: Route) -> None:
        await route.fulfill(status=503, json=problem)

    await page.route("**/audience", recovers)
    await page.goto(f"{rig.worker.url}/{link(FROM_SPRING)}")
    await expect(page.get_by_text("Not all shards can answer now")).to_contain_text("shard 3")
    await expect(count(page)).to_contain_text("There is no answer now.")
    await expect(page.get_by_text("There is a file as soon as")).to_be_visible()
    await page.unroute("**/audience")
    await page.get_by_role("button", name="Try again").click()
    await expect(count(page)).to_contain_text("3")


async def test_an_audience_is_built_with_the_keyboard_only(rig: PageRig) -> None:
    page = await rig.page("#/audience")

    async def to(role: str, name: str) -> None:
        """Tab until the focus is there."""
        wanted = page.get_by_role(role, name=name, exact=True).first  # type: ignore[arg-type]
        await expect(wanted).to_be_visible()
        for _ in range(60):
            if await wanted.evaluate("(one) => one === document.activeElement"):
                return
            await page.keyboard.press("Tab")
        raise AssertionError(f"the focus never came to {name}")

    await to("button", "Add a condition")
    await page.keyboard.press("Enter")
    await expect(page.get_by_label("Filter", exact=True)).to_be_focused()
    await to("combobox", "Campaign")
    await page.keyboard.type("s")
    await expect(page.get_by_role("option", name="Spring sale")).to_be_visible()
    await page.keyboard.type("pri")
    await expect(page.get_by_role("listbox").get_by_role("option")).to_have_count(1)
    await page.keyboard.press("Enter")
    await expect(count(page)).to_contain_text("3")
    await to("button", "Remove: Received message from campaign")
    await page.keyboard.press("Enter")
    await expect(count(page)).to_contain_text("Add a condition")
    await expect(page.get_by_role("button", name="Add a condition")).to_be_focused()


async def test_a_key_without_users_gets_counts_only(rig: PageRig) -> None:
    page = await rig.page(link(FROM_SPRING), Scope.READ)
    await expect(count(page)).to_contain_text("3")
    refused = page.get_by_text("Users need a key of scope users.export")
    await expect(refused).to_be_visible()
    await expect(page.get_by_role("link", name="Download")).to_have_count(0)
