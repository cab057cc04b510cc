"""An import of Currents that is killed at any moment ends as if it had run once."""

import asyncio
import json
import random
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from agents.cli import main
from agents.tools.feed.currents_files import CurrentsFiles
from agents.tools.importer import import_files
from agents.tools.oracle import Expected
from agents.tools.process import Child, environment_of
from agents.tools.records import plain_ids
from schemas.records import codec
from streams.clock import SystemClock
from streams.kafka.kafka_log import KafkaLog
from streams.kafka.topic_reader import TopicReader
from streams.kafka.topics import Topics
from streams.settings import Settings
from tests.rigs.currents import container, exported
from tests.rigs.killed import killed_at

COUNTS = {
    "users.messages.email.Send": 3_000,
    "users.messages.email.Open": 1_500,
    "users.messages.sms.InboundReceive": 200,
    "users.canvas.Entry": 500,
    "users.messages.email.Delivery": 300,
    "users.UserOrphan": 50,
}
# small batches, and the position is stored after each of them, so that a kill hits the middle
SMALL = {
    "agents.tools.importer.SAVE_EVERY_S": 0.0,
    "agents.tools.feed.currents_files.BATCH_BYTES": 20_000,
}
PUBLISHER, JOURNAL = "agents.tools.publish.Publisher", "agents.tools.import_journal.Journal"
DEADLINE_S = 120.0
KILLS = ((PUBLISHER, "publish", 3), (JOURNAL, "save", 6), (PUBLISHER, "publish", 14))
"""What the process does when it is killed, and how many times it has begun to do that."""


def positions(journal: Path) -> int:
    """How far the import has come: a number that grows."""
    try:
        found = json.loads(journal.read_text())
    except FileNotFoundError:
        return 0
    return sum(position["records"] + position["blank"] for position in found["files"].values())


@pytest.mark.connected
async def test_an_import_that_is_killed_again_and_again_loses_and_doubles_nothing(
    settings: Settings, topics: Topics, tmp_path: Path
) -> None:
    folder = tmp_path / "export"
    written = list(exported(folder, random.Random(1), COUNTS, a_file=400))
    journal = settings.data_dir / "import.json"
    reached = [0]
    for owner, call, count in KILLS:
        given = ("import", "--from", "braze-currents", str(folder))
        command = killed_at(owner, call, count, *given, values=SMALL)
        with Child(command, tmp_path / "log", environment_of(settings)) as child:
            assert await asyncio.to_thread(child.wait, DEADLINE_S) == -9, child.tail()
        reached.append(positions(journal))
    assert reached == sorted(reached)
    assert 0 < reached[-1] < sum(COUNTS.values())
    done = await import_files(settings, [folder], CurrentsFiles(plain_ids, 512, SystemClock()))
    assert done.bad == 0
    assert done.skipped > 0
    assert positions(journal) == sum(COUNTS.values())

    names = {topic: event for event, topic in topics.events.items()}
    async with TopicReader.open(KafkaLog(settings), [*names, topics.users]) as reader:
        records = await reader.rest()
    by_id: dict[str, Any] = {}
    found, merges = Expected(), {}
    for topic, _, record in records:
        one: dict[str, Any] = codec.decode(record.value or b"")
        if topic == topics.users:
            merges[one["user_id"]] = one["merged_into"]
            continue
        assert by_id.setdefault(one["id"], one) == one
        found.add(names[topic], one)
    events: dict[str, list[Any]] = {name: [] for name in COUNTS}
    for name, some, _ in written:
        events[name] += some
    keywords = [
        one
        for one in events["users.messages.sms.InboundReceive"]
        if one["user_id"] and one["action"] != "None"
    ]
    read = ("users.messages.email.Send", "users.messages.email.Open", "users.canvas.Entry")
    assert set(by_id) == {one["id"] for name in read for one in events[name]} | {
        one["id"] for one in keywords
    }
    wanted = Expected()
    for name, kind in zip(read, ("send", "open", "variant"), strict=True):
        for one in events[name]:
            event = one | {"time": one["time"] * 1000, "channel": "EMAIL"}
            event["machine_open"] = one.get("machine_open") == "true"
            wanted.add(kind, event)
    assert found.interactions == wanted.interactions
    orphans = events["users.UserOrphan"]
    assert merges == {one["user_id"]: one["orphaned_by_id"] for one in orphans}


def test_a_dry_run_needs_no_broker_and_reports_every_type(tmp_path: Path) -> None:
    folder = tmp_path / "export"
    counts = {"users.messages.email.Send": 20, "users.messages.email.Delivery": 10}
    list(exported(folder, random.Random(2), counts))
    (folder / "notes.txt").write_text("no export")
    flags = ["--bootstrap-servers", "127.0.0.1:1", "--data-dir", str(tmp_path / "data")]
    command = ["import", "--from", "braze-currents", "--dry-run", str(folder)]
    ran = CliRunner().invoke(main, [*flags, *command, "--json"])
    assert ran.exit_code == 0, ran.output
    told = json.loads(ran.output.splitlines()[-1])
    assert (told["records"], told["skipped"], told["files"], told["dry_run"]) == (20, 10, 2, True)
    assert told["types"]["users.messages.email.Send"]["topic"] == "interactions.send"
    shown = CliRunner().invoke(main, [*flags, *command]).output
    assert "the receipt is the send event" in shown
    assert "20 records would be sent" in shown
    assert not (tmp_path / "data" / "import.json").exists()


def test_stop_ends_at_the_first_bad_event_and_rejects_are_listed(tmp_path: Path) -> None:
    name = "users.messages.email.Send"
    ((_, events, file),) = exported(tmp_path, random.Random(3), {name: 3})
    events[1]["time"] = 7
    container(file, name, events)
    flags = ["--bootstrap-servers", "127.0.0.1:1", "--data-dir", str(tmp_path / "data")]
    command = ["import", "--from", "braze-currents", "--dry-run", str(file)]
    rejects = tmp_path / "rejects.jsonl"
    ran = CliRunner().invoke(main, [*flags, *command, "--rejects", str(rejects)])
    assert ran.exit_code == 1
    (line,) = rejects.read_text().splitlines()
    assert json.loads(line)["where"] == f"{file}:2"
    ran = CliRunner().invoke(main, [*flags, *command, "--on-error", "stop"])
    assert ran.exit_code == 1
    assert f"{file}:2: bad_time" in ran.output
