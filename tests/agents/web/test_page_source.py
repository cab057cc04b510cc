"""One source in a browser: its banner, figures, uses, timeline, definition, and its CSV files."""

import csv
import re
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import pytest
import pytest_asyncio
from playwright.async_api import Locator, Page, Route, expect

from agents.http.keys import Scope
from streams.period import parse
from tests.rigs.browser import PageRig, page_rig, picture, shoot
from tests.rigs.faults.harness import until
from tests.rigs.source_page import (
    CANVAS,
    HOSTILE,
    NAMES,
    SPRING,
    TEASER,
    UNREADABLE,
    fill,
    tag_spring,
)

pytestmark = [pytest.mark.connected, pytest.mark.asyncio(loop_scope="module")]

EXPIRED = "Interaction data expired on"
RESTORE = "Restore interaction data"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def rig(broker: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[PageRig]:
    """A worker with sources of every kind."""
    short = {"retention": "PT3S", "retention_by_tag": {"long": parse("P3M")}}
    async with page_rig(broker, tmp_path_factory.mktemp("page"), **short) as made:
        await fill(made.settings)
        yield made


async def ask(rig: PageRig, source: str, command: str, reason: str) -> None:
    async with (
        rig.api() as api,
        api.post(f"/sources/{source}/{command}", json={"reason": reason}) as answer,
    ):
        assert answer.ok, await answer.text()


def address(source: str) -> str:
    return f"#/sources/{quote(source, safe='')}"


async def show(rig: PageRig, source: str, page: Page | None = None) -> Page:
    """The page of one source, in a window of its own or in this one."""
    if page is None:
        page = await rig.page(address(source), timezone_id="Europe/Berlin")
    else:
        await page.goto(f"{rig.worker.url}/{address(source)}")
    heading = page.get_by_role("heading", level=1)
    await expect(heading).to_contain_text(NAMES.get(source, source)[:30])
    return page


def region(page: Page, name: str) -> Locator:
    return page.get_by_role("region", name=name, exact=True)


async def test_it_expires_and_is_restored_and_its_figures_stay(rig: PageRig) -> None:
    await rig.reach(SPRING, "ACTIVE")

    async def folded() -> bool:
        found = await rig.get(f"/sources/{SPRING}/analytics")
        received = [row["count"] for row in found.get("totals", []) if row["kind"] == "received"]
        return bool(sum(received) == 60)

    await until(folded, 60, "the events are folded")
    page = await show(rig, SPRING)
    figures = region(page, "Messages and engagement")
    await expect(figures.get_by_role("definition").first).to_have_text("60")
    await expect(figures.get_by_role("img", name="by day from 1 Apr 2026")).to_be_visible()
    await figures.get_by_role("button", name="Show as table").click()
    await expect(figures.get_by_role("table", name="By variant")).to_contain_text("Subject A")
    tables = figures.get_by_role("table")
    assert await tables.count() == 4  # days, unique users, channels, variations
    before = await tables.all_inner_texts()
    sums = await figures.get_by_role("definition").all_inner_texts()

    events = region(page, "What happened").get_by_role("listitem")
    await expect(events.first).to_contain_text("Active")
    await tag_spring(rig.settings, "STOPPED")
    # the page follows: nothing is loaded again
    banner = region(page, "Expired")
    await expect(banner).to_contain_text(EXPIRED, timeout=30_000)
    await expect(banner).to_contain_text("106 interactions are in the archive")
    # so soon an expiry is told with its time
    await expect(banner).to_contain_text(
        re.compile(r"If you restore it today, it is available until .* at \d+:\d\d")
    )
    await expect(events.first).to_contain_text("Moved to the archive", timeout=10_000)
    await expect(events.first).to_contain_text("Nothing used it for the whole retention period")
    await page.reload()
    await figures.get_by_role("button", name="Show as table").click()
    await expect(tables).to_have_count(4)
    assert await tables.all_inner_texts() == before
    assert await figures.get_by_role("definition").all_inner_texts() == sums
    await shoot(page, "source-expired", full=True)
    await picture(page, "source")

    await tag_spring(rig.settings, "STOPPED", "long")
    await banner.get_by_role("button", name=RESTORE).click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("Possible for 1 source.")
    await dialog.get_by_label("Reason").fill("retargeting")
    await dialog.get_by_role("button", name=RESTORE).click()
    # one stays at the source, and sees there what comes of it
    restored = region(page, "Restored")
    await expect(restored).to_contain_text("Interaction data was restored on")
    await expect(restored).to_contain_text("That is 3 months after it was restored.")
    await expect(banner).to_have_count(0)
    await expect(events.first).to_contain_text("Restored: the data is available")
    begun = events.filter(has_text="Restore started")
    await expect(begun).to_contain_text("operate")
    await begun.get_by_role("link", name="Show the request").click()
    await expect(page.get_by_text("retargeting")).to_be_visible()
    await show(rig, SPRING, page)
    await figures.get_by_role("button", name="Show as table").click()
    await expect(tables).to_have_count(4)
    assert await tables.all_inner_texts() == before
    await page.get_by_label("Language").select_option("日本語")
    await expect(page.get_by_role("heading", name="履歴")).to_be_visible()
    await shoot(page, "source-ja", full=True)
    await page.get_by_label("言語").select_option("English")


async def test_what_keeps_it_hot_is_drawn_listed_and_thought_away(rig: PageRig) -> None:
    await rig.reach(TEASER, "EXEMPT")
    page = await show(rig, TEASER)
    uses = region(page, "Why it is in this state")
    await expect(uses).to_contain_text("4 definitions use it, so its data stays available")
    roots = uses.get_by_role("list", name="What uses it").locator("> li")
    await expect(roots).to_have_count(4)
    winback = roots.filter(has_text="Winback")
    await expect(winback).to_contain_text("Spring buyers → Teaser (Received message from campaign)")
    drawn = uses.locator("svg .box")
    await expect(drawn).to_have_count(6)  # the source, the segment, four roots
    await expect(uses.locator("svg path.edge")).to_have_count(5)
    answer = uses.get_by_role("status")
    for name, then in (
        (NAMES[HOSTILE][:20], "because Canvas"),
        ("VIP club", "because Canvas"),
        ("Winback", "because Canvas"),
        ("Welcome journey", "Its data expires on"),
    ):
        button = uses.get_by_role("button", name=f"What if this stopped today? ({name}")
        await button.press("Enter")
        await expect(button).to_have_attribute("aria-pressed", "true")
        await expect(answer).to_contain_text(then)
    await expect(answer).to_contain_text("3 seconds after its last use ended")
    await drawn.filter(has_text="Winback").click()  # in the drawing too, for the mouse
    await expect(answer).to_contain_text("because Canvas")
    await drawn.filter(has_text="Winback").click()
    await expect(answer).to_contain_text("Its data expires on")
    await uses.get_by_text("The same on a command line").click()
    await expect(uses.locator("pre")).to_contain_text("--as-if-stopped 'canvas:vip'")
    await shoot(page, "source-uses", full=True)
    await roots.get_by_role("link", name="Winback").first.click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Winback")


async def test_the_timeline_has_pages_and_follows(rig: PageRig) -> None:
    await rig.reach(TEASER, "EXEMPT")
    page = await show(rig, TEASER)
    happened = region(page, "What happened")
    entries = happened.get_by_role("listitem")
    await expect(entries.first).to_contain_text("In use")
    for n in range(6):
        await ask(rig, TEASER, "hold", f"round {n} <i>of many</i>")
        await ask(rig, TEASER, "unhold", f"end of round {n}")
    await expect(entries.first).to_contain_text("end of round 5")
    await expect(entries.first).to_contain_text("operate")
    await expect(entries.filter(has_text="round 5 <i>of many</i>")).to_contain_text("Held")
    assert await entries.count() > 20
    await page.reload()
    await expect(entries).to_have_count(20)
    await happened.get_by_role("button", name="Show older entries").click()
    await expect(entries.filter(has_text="A use began")).to_have_count(1)
    await expect(happened.get_by_role("button", name="Show older entries")).to_have_count(0)


async def test_where_no_restore_is_possible_the_reason_is_told(rig: PageRig) -> None:
    page = await rig.page("#/sources")
    button = page.get_by_role("button", name=RESTORE)
    await rig.reach("campaign:empty", "EXPIRED")
    for source, name, why in (
        ("campaign:empty", "Expired", "The archive has no data of it"),
        ("campaign:old", "No restore", "deleted permanently under the older policy"),
        ("campaign:unheard", "No restore", "It has events, but no definition"),
    ):
        await show(rig, source, page)
        await expect(region(page, name)).to_contain_text(why)
        await expect(button).to_have_count(0)
    await page.goto(f"{rig.worker.url}/#/sources/campaign%3Anone")
    await expect(page.get_by_role("alert")).to_contain_text("There is no such source")


async def test_a_restore_that_runs_shows_how_far_it_is(rig: PageRig) -> None:
    """A restore of so few rows is over at once: the answer of the worker is held as it was."""
    place = f"**/sources/{quote(SPRING, safe='')}"
    page = await rig.page("#/sources")

    async def runs(route: Route) -> None:
        answer = await route.fetch()
        progress = {"done": 3, "total": 12, "bytes_done": 1, "bytes": 4, "seconds_left": 100}
        found = await answer.json() | {"state": "RESTORING", "visible": False, "stuck": [2]}
        await route.fulfill(response=answer, json=found | {"progress": progress})

    await page.route(place, runs)
    await show(rig, SPRING, page)
    banner = region(page, "Restoring")
    bar = banner.get_by_role("progressbar")
    await expect(bar).to_have_attribute("value", "3")
    await expect(banner).to_contain_text("about 2 minutes left")
    await expect(banner).to_contain_text("1 shard has not reported in time: 2.")
    await expect(banner).to_contain_text("A restore is running")
    await expect(page.get_by_role("button", name=RESTORE)).to_have_count(0)
    await shoot(page, "source-restoring", full=True)
    await banner.get_by_role("link", name="Show the request").click()
    await expect(page.get_by_text("retargeting")).to_be_visible()


async def test_a_failed_restore_shows_the_record_and_the_remedy(rig: PageRig) -> None:
    """The answer of the worker is that of a source with a damaged record."""
    place = f"**/sources/{quote(SPRING, safe='')}"
    page = await rig.page("#/sources")
    failure = {
        "code": "archive_damaged",
        "shard": 3,
        "place": "emberline.archive[3]@1204",
        "segment": "018bcfe5680002d8070bd63d",
        "detail": "",
        "remedy": "",
        "since": 1,
        "final": True,
    }

    async def failed(route: Route) -> None:
        answer = await route.fetch()
        found = await answer.json() | {"state": "EXPIRED", "visible": False, "failure": failure}
        await route.fulfill(response=answer, json=found | {"segments": 1})

    await page.route(place, failed)
    await show(rig, SPRING, page)
    alert = region(page, "Expired").get_by_role("alert")
    for text in ("The restore failed", "is damaged", "from a replica or a backup", "[3]@1204"):
        await expect(alert).to_contain_text(text)
    await expect(alert).to_contain_text("018bcfe5680002d8070bd63d")


async def test_a_legal_hold_says_who_why_and_since_when(rig: PageRig) -> None:
    page = await rig.page("#/sources")
    held = {"by": "ann", "reason": "case 7", "since": 1_790_000_000_000, "legal": True}

    async def holds(route: Route) -> None:
        answer = await route.fetch()
        found = await answer.json() | {"state": "HELD", "visible": True, "held": held}
        await route.fulfill(response=answer, json=found | {"due_at": None})

    await page.route(f"**/sources/{quote(SPRING, safe='')}", holds)
    await show(rig, SPRING, page)
    uses = region(page, "Why it is in this state")
    for text in ("Under legal hold by", "ann", "since", "2026", "case 7"):
        await expect(uses).to_contain_text(text)


async def test_its_definition_is_readable(rig: PageRig) -> None:
    page = await show(rig, CANVAS)
    definition = region(page, "Definition")
    for text in ("Hello", "s-1", "A week later", "Subject B"):
        await expect(definition).to_contain_text(text)
    await expect(page.get_by_role("table", name="By step")).to_contain_text("A week later")
    await definition.get_by_text("Definition as JSON").click()
    await expect(definition.locator("pre").filter(has_text='"kind": "canvas"')).to_be_visible()
    await show(rig, UNREADABLE, page)
    note = definition.get_by_role("note")
    await expect(note).to_contain_text("The latest definition cannot be read")
    await expect(note).to_contain_text("'received_from_campaing' is no filter")


async def test_files_tell_their_size_before(rig: PageRig, tmp_path: Path) -> None:
    page = await show(rig, CANVAS)
    await page.get_by_role("button", name="Download CSV").click()
    dialog = page.get_by_role("dialog", name="Download CSV")
    for name, lines in (("User data", 60), ("Interactions", 90)):
        item = dialog.get_by_role("listitem").filter(has=page.get_by_text(name, exact=True))
        await expect(item).to_contain_text(f"{lines} lines")
        async with page.expect_download() as begun:
            await item.get_by_role("link", name="Download").click()
        download = await begun.value
        file = tmp_path / download.suggested_filename
        assert file.name.startswith("canvas-journey-")
        await download.save_as(file)
        with file.open(newline="") as text:
            assert len(list(csv.reader(text))) == lines + 1
    await dialog.get_by_role("button", name="Close").click()
    await show(rig, "campaign:empty", page)
    await page.get_by_role("button", name="Download CSV").click()
    await expect(dialog).to_contain_text("Restore it first")
    await dialog.get_by_role("button", name="Close").click()


async def test_hostile_names_are_text(rig: PageRig) -> None:
    page = await show(rig, HOSTILE)
    heading = page.get_by_role("heading", level=1)
    assert len(await heading.inner_text()) < 300
    await heading.get_by_role("button", name="Show all of it").click()
    assert len(await heading.inner_text()) > 10_000
    assert await page.locator("main img, main h1 b").count() == 0
    await expect(page.get_by_role("link", name="<b>bold</b>")).to_be_visible()
    await page.set_viewport_size({"width": 390, "height": 900})
    wider = "document.documentElement.scrollWidth > innerWidth"
    assert not await page.evaluate(wider)
    await heading.get_by_role("button", name="Show less").click()
    await shoot(page, "source-hostile", full=True)


async def test_a_reader_is_told_what_the_key_does_not_allow(rig: PageRig) -> None:
    page = await rig.page(address(CANVAS), Scope.READ)
    await expect(page.get_by_role("heading", level=1)).to_have_text(NAMES[CANVAS])
    for name in ("Hold", "Expire now"):
        await expect(page.get_by_role("button", name=name)).to_have_count(0)
    await page.get_by_role("button", name="Download CSV").click()
    dialog = page.get_by_role("dialog", name="Download CSV")
    await expect(dialog.get_by_role("note")).to_contain_text("it needs the scope users.export")
    await expect(dialog).to_contain_text("60 lines")
    await expect(dialog.get_by_role("link")).to_have_count(0)
    for button in await dialog.get_by_role("button", name="Download").all():
        await expect(button).to_be_disabled()


async def test_what_cannot_be_read_is_told_in_the_readers_language(rig: PageRig) -> None:
    refusal = {"code": "shards_unavailable", "detail": "shards/3 is not ready", "status": 503}

    async def refuse(route: Route) -> None:
        await route.fulfill(status=503, json=refusal, content_type="application/problem+json")

    page = await rig.page("#/sources", locale="ja-JP")
    await page.route("**/analytics", refuse)
    await page.goto(f"{rig.worker.url}/{address(CANVAS)}")
    figures = region(page, "メッセージとエンゲージメント")
    alert = figures.get_by_role("alert")
    await expect(alert).to_contain_text("応答しないシャードがあります")
    await expect(alert).to_contain_text("shards/3 is not ready")
    await page.unroute("**/analytics")
    await alert.get_by_role("button", name="再試行").click()
    await expect(figures.get_by_role("definition").first).to_have_text("90")
    await expect(alert).to_have_count(0)


PURE = """async () => {
  const room = document.querySelector("link[rel=stylesheet]").href.replace("style.css", "");
  const load = (name) => import(`${room}${name}.js`);
  const [{ drawing }, { by, byDay, spans }, { duration, period }, { due, moment }] =
    await Promise.all(["graph", "figures", "spans", "texts"].map(load));
  const reason = (root, ...through) => ({ root, through, filter: "in_segment", links: [] });
  const chains = [
    reason("canvas:x"), reason("canvas:y", "segment:b", "segment:a"),
    reason("segment:b", "segment:a"), reason("canvas:z", "segment:a"),
    reason("canvas:z2", "segment:a", "segment:c"),
  ];
  const circle = [
    reason("canvas:x", "segment:a", "segment:b"), reason("canvas:y", "segment:b", "segment:a"),
  ];
  const none = { kind: "received", channel: null, step: null, variation: null };
  const row = (day, count) => ({ day, count, ...none });
  const days = [row("2025-12-30", 1), row("2026-01-01", 2), row("2026-01-13", 4)];
  const year = byDay(days, ["received", "opened"]);
  const step = (name, count) => ({ ...row("2026-01-01", count), step: name });
  const steps = [step("b", 3), step(null, 9), step("x", 1), step("a", 2), step("y", 4)];
  const far = byDay([row("2000-01-01", 1), row("2026-01-01", 2)], ["received"]);
  return {
    drawn: drawing("campaign:s", chains), circle: drawing("campaign:s", circle).nodes.length,
    steps: by(steps, "step", ["a", "b", "unseen"]).map(([name]) => name),
    year, weeks: spans(year, 7), far: far.days.length,
    periods: ["P3M", "P1Y6M", "PT90S", "no period"].map(period),
    moments: [Date.UTC(2026, 3, 1, 12), Date.UTC(2026, 3, 1, 23, 30)].map(moment),
    spent: [0.2, 42, 100, 5_500].map(duration),
    soon: [20_000, 3_600_000, 90 * 86_400_000].map(
      (ms) => due(Date.now() + ms).match(/:/g)?.length ?? 0),
  };
}"""


async def test_sums_and_places_are_right(rig: PageRig) -> None:
    page = await rig.page("#/sources", timezone_id="Europe/Berlin")
    await expect(page.get_by_role("heading", level=1)).to_be_visible()
    found = await page.evaluate(PURE)
    nodes = {node["key"]: node for node in found["drawn"]["nodes"]}
    assert len({(node["x"], node["y"]) for node in nodes.values()}) == len(nodes) == 8
    for edge in found["drawn"]["edges"]:
        assert nodes[edge["from"]]["x"] > nodes[edge["to"]]["x"], edge
    assert found["circle"] == 5  # definitions that name each other in a circle end
    # a journey's steps in its order, others by their size, what has none at the end
    assert found["steps"] == ["a", "b", "y", "x", None]
    received, opened = found["year"]["counts"]
    assert (len(received), sum(received), received[:3]) == (15, 7, [1, 0, 2])
    assert opened == [0] * 15
    assert found["weeks"]["counts"][0] == [3, 0, 4]
    assert found["far"] == 4_000
    assert found["periods"] == ["3 months", "1 year, 6 months", "90 seconds", "no period"]
    assert found["moments"] == [
        "1 Apr 2026, 14:00 (12:00\N{NO-BREAK SPACE}UTC)",
        "2 Apr 2026, 01:30 (1 Apr 2026, 23:30\N{NO-BREAK SPACE}UTC)",
    ]
    # with seconds, with the time, with the day only
    assert found["soon"] == [2, 1, 0]
    assert found["spent"] == ["1 second", "42 seconds", "2 minutes", "1.6 hours"]
