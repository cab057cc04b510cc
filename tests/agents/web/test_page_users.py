"""A user, and how the system stands, in a browser: by visible names, on a real worker."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Error, Locator, Page, Route, expect

from agents.http.keys import Scope
from agents.notify.outbox import Channel, Delivery, DeliveryState, NoticeKind
from agents.tools.publish import Chunk, publish
from schemas.records import codec
from streams.kafka.kafka_log import KafkaLog
from streams.kafka.topic_reader import read_all
from streams.kafka.topics import Topics
from tests.rigs.browser import PageRig, broken_words, page_rig, shoot
from tests.rigs.faults.harness import define, until
from tests.rigs.source_page import NAMES, SPRING, fill, tag_spring

pytestmark = [pytest.mark.connected, pytest.mark.asyncio(loop_scope="module")]

AUTUMN, STOPPED_AT = "campaign:autumn", 1_767_225_600_000
ALIAS = {"alias_name": "nick", "alias_label": "forum"}
USERS: dict[str, dict[str, Any] | None] = {
    "user-1": {"external_user_id": "ext-1", "user_aliases": [ALIAS]},
    "user-old": {"merged_into": "user-1"},
    "user-gone": None,
    "twin-1": {"external_user_id": "twin"},
    "twin-2": {"external_user_id": "twin"},
}

FIRST_WORD = """() => new Promise((done) => {
  const look = () => {
    const found = document.querySelector(".system > .notice");
    if (found) done(found.textContent);
    else requestAnimationFrame(look);
  };
  look();
})"""
"""The first text of the notice that figures are old."""
RETRIES: tuple[tuple[dict[str, Any], int, dict[str, Any] | None], ...] = (
    ({"all": True}, 200, {"retried": ["n1-0"], "not_failed": []}),
    ({"ids": ["n1-0", "none"]}, 200, {"retried": ["n1-0"], "not_failed": ["none"]}),
    ({"all": False}, 400, None),
    ({"all": True, "ids": ["n1-0"]}, 400, None),
    ({"ids": []}, 400, None),
    ({"ids": [7]}, 400, None),
    ({}, 400, None),
)
"""Bodies that ask to try failed deliveries again, with the status and the answer."""


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def rig(broker: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[PageRig]:
    """A worker with events of many users, and with some users' own records."""
    folder = tmp_path_factory.mktemp("page")
    async with page_rig(broker, folder, retention="PT3S", sweep_confirm_share=0.0) as made:
        await fill(made.settings)
        await tag_spring(made.settings, "STOPPED")
        await users_told(made)
        yield made


async def users_told(rig: PageRig) -> None:
    """A user who is deleted was known before."""
    told = [("user-gone", {"external_user_id": "ext-9"}), *USERS.items()]
    values = [
        None if one is None else codec.encode("user", {"user_id": user, **one})
        for user, one in told
    ]
    await publish(rig.settings, [Chunk("users", [user.encode() for user, _ in told], values)])


def region(page: Page, name: str) -> Locator:
    return page.get_by_role("region", name=name, exact=True)


async def find(page: Page, text: str, by: str = "Any identifier", label: str = "") -> None:
    await page.get_by_label("Search by").select_option(by)
    await page.get_by_label("User ID, external ID or alias").fill(text)
    if label:
        await page.get_by_label("Alias label").fill(label)
    await page.get_by_role("button", name="Find").click()


async def test_a_user_is_found_and_what_expired_hides_is_brought_back(rig: PageRig) -> None:
    await rig.reach(SPRING, "STOPPED")

    async def told() -> bool:
        found = await rig.get("/users/user-old?by=user", Scope.ADMIN)
        return len(found.get("campaigns_received", ())) >= 3

    await until(told, 60, "the events and the users are folded")
    page = await rig.page("#/users", scope=Scope.OPERATE, timezone_id="Europe/Berlin")
    await expect(page.get_by_text("Enter a user ID")).to_be_visible()
    await shoot(page, "users-empty")
    await find(page, "user-old")
    await expect(
        page.get_by_role("status").filter(has_text="user-old became user-1")
    ).to_be_visible()
    who = region(page, "Identifiers")
    await expect(who).to_contain_text("ext-1")
    await expect(who).to_contain_text("nick")
    merged = who.get_by_role("listitem").filter(has_text="user-old")
    await expect(merged).to_be_visible()
    await expect(who).to_contain_text("Merged into this user")
    campaigns = region(page, "Campaigns Received")
    spring = campaigns.get_by_role("row").filter(has_text="campaign:spring")
    for part in ("Spring sale", "Subject A", "Email", "Opened", "Clicked", "Link buy",
                 "Conversion 1", "2 Apr 2026"):  # fmt: skip
        await expect(spring).to_contain_text(part)
    canvases = region(page, "Canvas Messages Received")
    journey = canvases.get_by_role("row").filter(has_text="canvas:journey")
    for part in ("Welcome journey", "Hello", "A week later", "Subject A"):
        await expect(journey).to_contain_text(part)
    await shoot(page, "user", full=True)

    async with rig.api() as api, api.post(f"/sources/{SPRING}/expire", json={}) as answer:
        assert answer.ok, await answer.text()
    await rig.reach(SPRING, "EXPIRED")
    # the page follows: nothing is loaded again
    hidden = region(page, "Expired sources may hide a part of this profile")
    await expect(hidden).to_contain_text("Spring sale", timeout=20_000)
    await expect(spring).to_have_count(0)
    await shoot(page, "user-hidden", full=True)
    await expect(hidden.get_by_text("deleted under the older policy")).to_be_visible()
    lost = hidden.get_by_role("listitem").filter(has_text="Spring sale")
    await lost.get_by_role("button", name="Restore interaction data").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("Possible for 1 source.")
    await dialog.get_by_role("button", name="Restore interaction data").click()
    await rig.reach(SPRING, "STOPPED")
    await page.go_back()
    await expect(spring).to_contain_text(NAMES[SPRING], timeout=20_000)
    await expect(hidden.get_by_text("Spring sale")).to_have_count(0)


async def test_who_is_not_found_is_told_why(rig: PageRig) -> None:
    page = await rig.page("#/users/nobody")
    alert = page.get_by_role("alert")
    await expect(alert).to_contain_text("There is no such user")
    await find(page, "user-gone")
    await expect(alert).to_contain_text("This user was deleted")
    await find(page, "twin", "External ID")
    await expect(alert).to_contain_text("Several users have this identifier")
    await shoot(page, "users-ambiguous")
    await alert.get_by_role("link", name="twin-2").click()
    await expect(region(page, "Identifiers")).to_contain_text("twin-2")
    await find(page, "nick", "Alias", "forum")
    await expect(region(page, "Identifiers")).to_contain_text("user-1")
    await expect(page).to_have_url(f"{rig.worker.url}/#/users/nick?by=alias&label=forum")
    hostile = "<img src=x onerror=alert(1)>/%50?"
    await find(page, hostile)
    await expect(alert).to_contain_text(hostile)
    refused = await rig.page("#/users/user-1", scope=Scope.READ)
    await expect(refused.get_by_text("It needs the scope users.export")).to_be_visible()


async def test_the_system_is_seen_and_its_sweep_is_answered(rig: PageRig, tmp_path: Path) -> None:
    await rejects(rig)
    autumn = {"id": "autumn", "user_id": "user-1", "time": STOPPED_AT, "campaign_id": "autumn",
              "channel": "EMAIL"}  # fmt: skip
    value = codec.encode("send", autumn)
    await publish(rig.settings, [Chunk("interactions.send", [b"user-1"], [value])])
    await define(rig.settings, AUTUMN, "STOPPED", STOPPED_AT, name="Autumn sale")
    page = await rig.page("#/system", timezone_id="Europe/Berlin")
    shards = region(page, "Shards").get_by_role("row")
    await expect(shards).to_have_count(1 + rig.settings.partitions)
    await expect(shards.nth(1)).to_contain_text("Running")
    await expect(shards.nth(1)).to_contain_text(rig.worker.url)
    workers = region(page, "What the workers say")
    await expect(workers.get_by_role("row").nth(1)).to_contain_text("Ready")
    await expect(workers).to_contain_text("1 definition cannot be read")

    sweep = region(page, "Sweep")
    await sweep.get_by_role("button", name="Pause").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("Nothing expires by itself until the sweep is resumed")
    await dialog.get_by_label("Reason").fill("a release")
    await dialog.get_by_text("The same on a command line").click()
    await expect(dialog).to_contain_text("emberline pause --reason 'a release'")
    await dialog.get_by_role("button", name="Pause").click()
    await expect(sweep).to_contain_text("not while it is paused")
    await sweep.get_by_role("button", name="Resume").click()
    await dialog.get_by_role("button", name="Resume").click()
    await expect(sweep).to_contain_text("Waits for confirmation", timeout=30_000)
    await expect(sweep).to_contain_text("Autumn sale")
    # the sweep asks about all that are due: what it asks changes no more
    await expect(sweep).to_contain_text("4 sources are due at once", timeout=30_000)
    await shoot(page, "system", full=True)
    await sweep.get_by_role("button", name="Confirm").click()
    await expect(dialog).to_contain_text("It can be restored at any time")
    await shoot(page, "system-confirm")
    await dialog.get_by_role("button", name="Confirm").click()
    await expect(dialog).to_have_count(0)
    await rig.reach(AUTUMN, "EXPIRED")
    await expect(sweep.get_by_role("button", name="Confirm")).to_have_count(0)

    rejected = region(page, "Rejected records of the last 24 hours")
    await rejected.get_by_role("button", name="Refresh").click()
    await expect(rejected).to_contain_text("Write Avro in Confluent framing, or a JSON object")
    await rejected.get_by_role("button", name="Show samples").click()
    await expect(rejected.get_by_role("table", name="Samples")).to_contain_text("not a record")
    assert await broken_words(page, ".system td:nth-child(-n+2)") == []
    # one for the figures, one for what was rejected, one for the notices
    await expect(page.get_by_text("The same on a command line")).to_have_count(3)
    notices = region(page, "Notices not delivered")
    await expect(notices).to_contain_text("Nothing waits or failed")
    await undelivered(rig)
    await notices.get_by_role("button", name="Refresh").click()
    failed = notices.get_by_role("row").filter(has_text="ops@example.com")
    await expect(failed).to_contain_text("The sweep waits")
    await expect(failed).to_contain_text("550 no such user")
    await shoot(page, "system-notices", full=True)
    await notices.get_by_role("button", name="Try again: ops@example.com").click()
    await expect(notices.get_by_role("status")).to_contain_text("1 notice is tried again.")
    topic = Topics(rig.settings.prefix).notifications
    orders = [one.key for _, _, one in await read_all(KafkaLog(rig.settings), topic)]
    assert orders.count(b"q/n1-0") >= 1
    async with rig.api() as api:
        for body, status, answer in RETRIES:
            async with api.post("/notifications/retry", json=body) as found:
                assert found.status == status, body
                assert answer is None or await found.json() == answer
    async with (
        rig.api(Scope.EXPORT) as api,
        api.post("/notifications/retry", json={"all": True}) as found,
    ):
        assert found.status == 403

    await imported(rig, tmp_path)
    imports = region(page, "Imports").get_by_role("row").nth(1)
    await expect(imports).to_contain_text("sends.jsonl", timeout=10_000)
    await expect(imports).to_contain_text("Finished")
    await shoot(page, "system-import")

    await page.get_by_role("link", name="Settings").click()
    await page.get_by_label("Search by name").fill("retention")
    await expect(page.get_by_role("row").filter(has_text="PT3S").first).to_be_visible()
    await page.get_by_label("Only those that are set").check()
    await expect(page.get_by_role("cell", name="default", exact=True)).to_have_count(0)
    await shoot(page, "settings")


async def test_a_reader_of_the_system_changes_nothing_and_sees_no_users(rig: PageRig) -> None:
    page = await rig.page("#/system", scope=Scope.READ, locale="ja-JP")
    await expect(region(page, "シャード").get_by_role("row")).to_have_count(5)
    await expect(page.get_by_role("button", name="一時停止")).to_have_count(0)
    await expect(page.get_by_role("button", name="サンプルを表示")).to_have_count(0)
    await expect(page.get_by_text("{")).to_have_count(0)
    await shoot(page, "system-ja")


async def test_figures_that_grow_old_are_told_to_be(rig: PageRig) -> None:
    page = await rig.page("#/system")
    await expect(region(page, "Shards")).to_be_visible()
    # however often one looks away and back, it asks no faster
    again = "for (let n = 0; n < 9; n += 1) document.dispatchEvent(new Event('visibilitychange'))"
    await page.evaluate(again)
    times: list[float] = []
    for _ in range(3):
        async with page.expect_request("**/workers"):
            pass
        times.append(asyncio.get_running_loop().time())
    assert times[2] - times[0] > 1.5
    # an answer that is late is told to be late as soon as the figures are 2 s old
    late = asyncio.Event()

    async def held(route: Route) -> None:
        await late.wait()
        with suppress(Error):  # its page may ask no longer
            await route.abort()

    await page.route("**/workers", held)
    said = await page.evaluate(FIRST_WORD)
    assert "The figures are 2 seconds old" in said
    late.set()
    await page.unroute("**/workers")
    await expect(page.get_by_text("The figures are", exact=False)).to_have_count(0, timeout=10_000)


async def rejects(rig: PageRig) -> None:
    """One record that nobody can read."""
    await publish(rig.settings, [Chunk("interactions.send", [b"user-1"], [b"not a record"])])

    async def counted() -> bool:
        return bool((await rig.get("/rejected", Scope.ADMIN)).get("total"))

    await until(counted, 60, "the record is rejected")


async def undelivered(rig: PageRig) -> None:
    """A delivery that was given up, as the notifier keeps it."""
    one = Delivery(
        "n1-0", "n1", NoticeKind.SWEEP, Channel.MAIL, "ops@example.com", "en", STOPPED_AT,
        STOPPED_AT, DeliveryState.FAILED, attempts=3, error="550 no such user",
    )  # fmt: skip
    value = json.dumps(asdict(one)).encode()
    await publish(rig.settings, [Chunk("notifications", [b"d/n1-0"], [value])])


async def imported(rig: PageRig, folder: Path) -> None:
    """An import from a process of its own, as people start it."""
    file = folder / "sends.jsonl"
    sends = [
        {"id": f"i{n}", "user_id": f"user-{n}", "time": 1_775_001_600_000 + n,
         "campaign_id": "spring", "channel": "EMAIL"}
        for n in range(200)
    ]  # fmt: skip
    file.write_text("".join(f"{json.dumps(one)}\n" for one in sends))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "agents.cli", "import", "--event", "send", str(file)),
        env={
            **os.environ,
            "EMBERLINE_BOOTSTRAP_SERVERS": rig.settings.bootstrap_servers,
            "EMBERLINE_PREFIX": rig.settings.prefix,
            "EMBERLINE_DATA_DIR": str(folder),
            "EMBERLINE_HTTP_PORT": rig.worker.url.rpartition(":")[2],
            "EMBERLINE_API_KEY": rig.tokens[Scope.OPERATE],
        },
    )
    assert await asyncio.wait_for(process.wait(), 60) == 0
