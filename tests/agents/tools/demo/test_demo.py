"""The demo: its parts alone, and small demos from end to end on a real broker."""

import asyncio
import json
import os
import shutil
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner, Result

from agents.cli import main
from agents.tools.demo.facts import Facts, difference, to_try
from agents.tools.demo.generator import generate
from agents.tools.demo.malformed import MALFORMED
from agents.tools.demo.scenario import of_day, of_files
from agents.tools.demo.screen import Screen
from agents.tools.demo.show import demo_settings
from agents.tools.demo.worker import DemoWorker, exports
from agents.tools.oracle import Interactions, expect, row_key
from schemas.errors import Fatal, UsageError
from schemas.tables.fold import fold
from schemas.tables.interaction import CHANNELS, COLUMNS
from schemas.tables.profile import PROFILE
from schemas.tables.projection import FIELDS, VIEWS, with_control
from streams.kafka import topics as topic_admin
from streams.settings import Settings, load

DEMO_S = 120.0
KEY = ("campaign:a", "u", "received", "EMAIL", None, None, None)
DAY = generate(11, 6_000)


async def demo(broker: str, folder: Path, *args: str) -> Result:
    env = {"KAFKA_BOOTSTRAP_SERVERS": broker}
    flags = ("--retention", "PT8S", "--data-dir", str(folder))
    async with asyncio.timeout(DEMO_S):
        return await asyncio.to_thread(
            CliRunner(env=env).invoke, main, ["demo", *args, *flags], catch_exceptions=False
        )


@pytest.mark.connected
async def test_a_small_day_from_end_to_end(broker: str, tmp_path: Path) -> None:
    done = await demo(broker, tmp_path, "--events", "6000", "--json")
    assert done.exit_code == 0, done.output
    facts = json.loads(done.stdout)
    assert facts["rows_equal"] is True
    assert (facts["events"], facts["rejected"]) == (6_000, len(MALFORMED))
    assert facts["forwarded"] > 0
    assert (len(facts["expired"]), len(facts["exempt"]), len(facts["restored"])) == (6, 2, 3)
    assert all(facts["claims"].values())
    through, held = sorted(facts["exempt"].values(), key=lambda why: "held" in why)
    assert "through segment:" in through
    assert "held by" in held


@pytest.mark.connected
async def test_own_events_and_a_worker_that_stays(broker: str, tmp_path: Path) -> None:
    file = tmp_path / "own.jsonl"
    with file.open("w") as out:
        for chunk in generate(12, 800).chunks():
            for record in chunk.records():
                out.write(json.dumps({"type": chunk.event} | record) + "\n")
        out.write('{"type": "send", "id": "1", "user_id": "u", "time": 1, "campaign_id": "c"}\n')
    done = await demo(broker, tmp_path, "--keep", "--json", "--file", str(file))
    facts = json.loads(done.stdout)
    try:
        assert done.exit_code == 0, done.output
        assert facts["rows_equal"] is True
        assert facts["rejected"] == 1
        assert facts["bootstrap_servers"] == broker
        os.kill(facts["worker_pid"], 0)
        flags = ("--prefix", facts["prefix"], "--bootstrap-servers", broker)
        port = facts["url"].rpartition(":")[2]
        args = ["status", "--json", "--http-port", port, *flags]
        status = await asyncio.to_thread(CliRunner().invoke, main, args)
        assert json.loads(status.stdout)["worker"]["ready"] is True
    finally:
        os.kill(facts["worker_pid"], signal.SIGTERM)
        await asyncio.to_thread(os.waitpid, facts["worker_pid"], 0)
        shutil.rmtree(Path(facts["log"]).parent)


@pytest.mark.connected
async def test_a_worker_that_ends_is_reported(settings: Settings, tmp_path: Path) -> None:
    async with DemoWorker(settings, tmp_path, keep=False) as worker:
        with pytest.raises(Fatal, match="ended with code 1"):
            await worker.ready(DEMO_S)
        assert "emberline topics create" in worker.last_lines()


@pytest.mark.connected
async def test_a_worker_that_is_killed_is_reported(settings: Settings, tmp_path: Path) -> None:
    await topic_admin.create(settings)
    async with DemoWorker(settings, tmp_path, keep=False) as worker:
        await worker.ready(DEMO_S)
        assert (await worker.status())["partitions"] == settings.partitions
        with pytest.raises(Fatal, match="not readable: 404"):
            await worker.rows("campaign:none")
        os.kill(worker.pid, signal.SIGKILL)
        with pytest.raises(Fatal, match=r"ended with code -9|does not answer"):
            await worker.status()


def test_the_demo_names_what_to_try_on_the_page_with_sources_that_are_there() -> None:
    names = {"campaign:a": "Spring", "campaign:b": "Survey", "canvas:c": ""}
    facts = Facts(expired=["campaign:a", "campaign:b"], restored=["campaign:a"])
    facts.exempt = {"canvas:c": "held by ops"}
    assert to_try(facts, names) == [
        "open Survey, which has expired, and restore it",
        "open canvas:c, which has stopped, and see why it stays hot",
        "build an audience, and see its count while you build",
    ]
    facts.restored.append("campaign:b")
    assert "open Spring," in to_try(facts, names)[0]
    assert len(to_try(Facts(), names)) == 1


def test_the_oracle_and_the_worker_s_projection_agree() -> None:
    frames = []
    for chunk in DAY.chunks():
        if not chunk.rejected:
            frames.append(projected(chunk.event, list(chunk.records())))
    rows: Interactions = {
        row_key(row): (row["first"], row["last"]) for row in fold(pl.concat(frames)).to_dicts()
    }
    events = ((c.event, record) for c in DAY.chunks() for record in c.records())
    assert not difference(rows, expect(events))


def projected(event: str, records: list[dict[str, Any]]) -> pl.DataFrame:
    numbers = {"time": pl.Int64, "conversion_behavior_index": pl.Int32}
    types: dict[str, Any] = {**numbers, "channel": pl.Enum(CHANNELS)}
    flags = ("machine_open", "is_suspected_bot_click", "in_control_group", "exited", "cleared")
    schema: dict[str, Any] = {
        n: types.get(n, pl.Boolean if n in flags else pl.String) for n in ("id", *FIELDS[event])
    }
    frame = pl.DataFrame([{n: r.get(n) for n in schema} for r in records], schema=schema)
    rows = with_control(frame.select(VIEWS[event].build(pl.col)))
    return rows.filter(pl.col("source") != PROFILE).select(COLUMNS)


def test_a_scenario_counts_what_must_come_of_it() -> None:
    scenario = of_day(DAY, 4)
    assert scenario.total == DAY.events
    assert scenario.rejected == Counter(MALFORMED)
    crc32 = sum(len(c.keys) for c in DAY.chunks() if c.partitioner == "crc32")
    assert crc32 / 2 < scenario.forwarded < crc32
    assert of_day(DAY, 1).forwarded == 0


@pytest.mark.parametrize(("sources", "held", "kept"), [(1, 0, 0), (2, 1, 0), (3, 1, 1), (9, 1, 1)])
def test_own_sources_play_the_parts_as_far_as_they_go(
    tmp_path: Path, sources: int, held: int, kept: int
) -> None:
    file = tmp_path / "own.jsonl"
    base = {"type": "send", "id": "1", "user_id": "u", "time": 1_760_000_000_000}
    file.write_text("\n".join(json.dumps(base | {"canvas_id": str(n)}) for n in range(sources)))
    roles = of_files([file], 1_760_000_000_000).roles
    assert (roles.held is not None, roles.kept_hot is not None) == (bool(held), bool(kept))
    assert len(roles.stopped) == min(sources, 8)
    assert len(roles.expiring) == len(roles.stopped) - held - kept
    assert set(roles.restored) <= set(roles.expiring)
    assert roles.restored
    assert roles.tag_only not in roles.restored


def test_files_without_a_source_are_wrong_use(tmp_path: Path) -> None:
    file = tmp_path / "own.jsonl"
    file.write_text('{"type":"user","user_id":"u"}')
    with pytest.raises(UsageError, match="names a source"):
        of_files([file], 0)
    with pytest.raises(UsageError, match="no file"):
        of_files([tmp_path / "none"], 0)
    file.write_text("nonsense")
    with pytest.raises(UsageError, match=r"own\.jsonl:1"):
        of_files([file], 0)


def test_settings_reach_the_worker() -> None:
    given = load({"retention": "PT9S", "segment_rows": 100}, env={}, file=Path("none.toml"))
    settings = demo_settings(given)
    assert (str(settings.retention), settings.partitions) == ("PT9S", 4)
    again = load(env=exports(settings), file=Path("none.toml"))
    assert again == settings


def test_a_difference_is_shown_with_an_example() -> None:
    assert difference({KEY: (1, 2)}, {KEY: (1, 2)}) == ""
    assert "1 rows missing" in difference({}, {KEY: (1, 2)})
    assert "1 too many" in difference({KEY: (1, 2)}, {})
    assert "1 with other times" in difference({KEY: (1, 3)}, {KEY: (1, 2)})


def test_a_false_claim_spoils_the_demo(capsys: pytest.CaptureFixture[str]) -> None:
    facts = Facts()
    assert not facts.good
    facts.claim(Screen(quiet=False), "water is wet", True)
    assert facts.good
    facts.claim(Screen(quiet=False), "one is two", False, "1 is 1")
    assert not facts.good
    shown = capsys.readouterr().out
    assert "ok   water is wet" in shown
    assert "NOT  one is two: 1 is 1" in shown
