"""The rare states of System in a browser: a worker that does not answer, workers that do not agree,
work that is stuck, an import that says nothing any more; and how each of them ends.
"""

from dataclasses import replace
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from agents.requests.imports import Imports
from schemas.records.lifecycle import SourceState, State
from streams.clock import ManualClock
from streams.group.shard_plan import Directory
from tests.rigs.browser import browser, shoot, watch
from tests.rigs.site import A, Site, serving, settings

__all__ = ["browser"]

REPORT = {
    "state": "running", "file": "sends.avro", "records": 1_200, "bad": 0, "done_bytes": 40_000,
    "total_bytes": 90_000, "per_second": 300.0, "seconds_left": 4.0,
}  # fmt: skip
SILENT_MS = 16_000
"""An import that has said nothing for 15 s is lost."""


@pytest.mark.connected
async def test_what_is_wrong_in_a_group_is_told_until_it_is_right(
    tmp_path: Path, browser: Browser
) -> None:
    errors, clock = list[str](), ManualClock(1_767_225_600_000)
    stuck = SourceState(
        A, State.EXPIRING, 3, name="Spring sale", stuck=(2,), updated_at=1_767_225_000_000
    )
    one = Site(settings(tmp_path), {0, 1}, stuck)
    other = Site(settings(tmp_path), {2}, stuck)
    third = Site(settings(tmp_path), {3}, stuck)
    one.context.imports = Imports(clock)
    async with serving(one, other, third) as session:
        page = await browser.new_page(locale="en-GB", viewport={"width": 1280, "height": 800})
        watch(page, errors)
        await page.goto(f"{one.context.address}/#/system")

        work = page.get_by_role("status", name="Stuck work")
        await expect(work).to_contain_text("1 source waits for shards that have not reported.")
        await expect(work).to_contain_text("Spring sale")
        await expect(work).to_contain_text("Shards: 2")

        workers = page.get_by_role("region", name="What the workers say")
        shards = page.get_by_role("region", name="Shards")
        await expect(workers.get_by_role("row")).to_have_count(1 + 3)
        await expect(workers.get_by_text("The workers do not agree")).to_have_count(0)
        agreed = other.manager.directory
        other.manager.generation = 4
        other.manager.directory = Directory({2: other.context.address}, other.context.address)
        differ = workers.get_by_role("status")
        await expect(differ).to_contain_text("They are in different generations of the group.")
        await expect(differ).to_contain_text("They name different coordinators.")
        await expect(differ).to_contain_text("They name different owners of shards.")

        # the third worker is gone; the others still name it
        gone = "http://127.0.0.1:1"
        for site in (one, other):
            shown = {**agreed.shards, 3: gone}
            site.manager.directory = Directory(shown, agreed.control)
        silent = workers.get_by_role("row").filter(has_text=gone)
        await expect(silent).to_contain_text("Does not answer")
        lost = shards.get_by_role("row").filter(has_text="No worker has this shard")
        await expect(lost).to_have_count(1)

        sweep = page.get_by_role("region", name="Sweep", exact=True)
        fault = "topic x.archive: retention.ms is 1000, must be -1"
        safe = one.context.catalog.sweep
        one.context.catalog.sweep = replace(safe, archive_fault=fault)
        await expect(sweep.get_by_role("alert")).to_contain_text("so nothing expires")
        await expect(sweep.get_by_role("alert")).to_contain_text(fault)
        await expect(sweep).to_contain_text("Suspended")

        imports = page.get_by_role("region", name="Imports")
        url = f"{one.context.address}/imports/abc"
        async with session.post(url, json=REPORT) as answer:
            assert answer.status == 200, await answer.text()
        await expect(imports).to_contain_text("Running")
        clock.advance(SILENT_MS)
        await expect(imports).to_contain_text("No word")
        await expect(imports).to_contain_text("It has said nothing for 15 seconds")
        await shoot(page, "system-rare", full=True)

        # the import goes on, the worker is back, and all agree: nothing is left of it
        async with session.post(url, json={**REPORT, "state": "finished"}) as answer:
            assert answer.status == 200, await answer.text()
        one.context.catalog.sweep = safe
        for site in (one, other):
            site.manager.directory, site.manager.generation = agreed, one.manager.generation
            site.states.put(SourceState(A, State.EXPIRED, 4, name="Spring sale"))
        await expect(imports).to_contain_text("Finished")
        await expect(silent).to_have_count(0)
        await expect(lost).to_have_count(0)
        await expect(differ).to_have_count(0)
        await expect(work).to_have_count(0)
        await expect(sweep.get_by_role("alert")).to_have_count(0)
    assert errors == []
