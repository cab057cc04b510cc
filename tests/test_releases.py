"""Stored records outlive versions: the files of each release are read, what a later version adds to
a record is left out, and a record of a format that this version does not know stops its reader.
"""

import asyncio
import json
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from agents.coordinator import log as coordinator_log
from agents.http.keys import Keys
from agents.notify import deliveries, outbox_log
from agents.notify.outbox import Outbox
from agents.tools.import_journal import ImportPosition, Journal
from agents.verify.verify import verify
from agents.views import catalog_view, state_view
from agents.views.state_view import StateView
from schemas.errors import Fatal
from schemas.records import codec
from schemas.records.registry import OWN, REGISTRY, schema_id
from streams.clock import ManualClock
from streams.erasure_key import erasure_key
from streams.kafka.environment import Environment
from streams.kafka.log import Record
from streams.kafka.stored_format import FORMAT, HEADER, STAMP, NewerFormat
from streams.kafka.topic_specs import Topics
from streams.settings import Settings
from streams.state import archive, changelog, keys
from streams.state.archive import ArchivedSegment, ArchiveReader
from streams.state.hot_table import HotTable
from streams.state.state_store import FORMAT_KEY, StateStore, shared_cache
from tests.rigs.kept_log import KeptLog
from tests.rigs.upgrade import deployment
from tests.rigs.upgrade.replay import unpack_stores

RELEASES = [deployment.FIXTURE, *sorted(deployment.RELEASES.iterdir())]
LATEST = RELEASES[-1]
IN_AVRO = {
    "lifecycle.state": "state",
    "lifecycle.audit": "audit",
    "lifecycle.expired": "expired",
    "lifecycle.restored": "restored",
    "control": "command",
    "control.results": "result",
    "shard-reports": "report",
}
#: Objects within the coordinator's records; other objects there are tables, by names of others.
_OBJECTS = ("work", "held", "failure", "archived", "whole", "origin", "totals")


@dataclass
class KeptWriter:
    """Commits to the logs in memory."""

    kept: KeptLog
    appended_ms: int | None = None

    async def commit(self, records: Sequence[Record]) -> list[int]:
        return [
            self.kept[one.topic, one.partition].append(one.key, one.value, one.headers)
            for one in records
        ]


@dataclass
class Kept:
    """The logs of a release, in memory, and its data folder."""

    environment: Environment
    kept: KeptLog

    @classmethod
    def of(cls, release: Path, folder: Path) -> "Kept":
        settings = deployment.settings("none:1", folder)
        unpack_stores(release, settings)
        kept = KeptLog.of(release, settings)
        times = [r.timestamp for one in kept.partitions.values() for r in one.records.values()]
        return cls(Environment(settings, kept, ManualClock(max(times))), kept)

    @property
    def settings(self) -> Settings:
        return self.environment.settings

    @property
    def topics(self) -> Topics:
        return Topics(self.settings.prefix)

    async def table(self, shard: int, folder: Path) -> HotTable:
        """The shard's table, as a worker reads it from the changelog."""
        store = StateStore(folder, shared_cache(1_000_000))
        try:
            writer: Any = KeptWriter(self.kept)
            table, _ = await changelog.recover(self.environment, shard, writer, store, "new")
            return table
        finally:
            store.close()

    async def archived(self, shard: int, table: HotTable) -> list[Any]:
        """What the archive has for each entry of the manifest."""
        reader = ArchiveReader(self.settings, self.environment.kafka, shard)
        entries = {name: one for held in table.manifest.values() for name, one in held.items()}
        return [found async for found in reader.read(entries)]

    async def coordinator(self) -> coordinator_log.Found:
        """What the coordinator reads at its takeover."""
        own = coordinator_log.owner_record(self.settings, "new")
        await KeptWriter(self.kept).commit([own])
        return await coordinator_log.read_back(self.settings, self.environment.kafka, "new", 0)

    async def outbox(self) -> Any:
        """What the notifier reads at its takeover."""
        topic = self.topics.notifications
        own = outbox_log.record(topic, outbox_log.OWNER, {"owner": "new"})
        await KeptWriter(self.kept).commit([own])
        outbox = Outbox(self.settings.prefix)
        found = await outbox_log.read_back(self.environment.kafka, topic, "new", 0, outbox)
        return vars(found.outbox), found.cursor, found.ids

    async def read(self, folder: Path) -> dict[str, Any]:
        """All that workers read when they take over."""
        found: dict[str, Any] = {}
        for shard in range(self.settings.partitions):
            table = await self.table(shard, folder / f"{id(self)}-{shard}")
            archived = await self.archived(shard, table)
            assert all(isinstance(one, ArchivedSegment) for one in archived)
            found[f"shard {shard}"] = (
                [table.cursor, table.cursor_ids, table.segments, table.manifest, table.applied],
                [table.uniques, table.erasure_marks, table.erasures, table.archive_clean],
                sorted((one.segment, one.index.rows) for one in archived),
                sorted(row for frame in table.deltas.frames() for row in frame.rows()),
            )
        coordinator = await self.coordinator()
        assert not coordinator.lost
        outbox, *cursor = await self.outbox()
        return found | {
            "coordinator": (coordinator.state, coordinator.cursor, coordinator.ids),
            "outbox": (_plain(outbox), cursor),
            "catalog": _plain(vars(await catalog_view.read(self.environment))),
        }


def _plain(found: dict[str, Any]) -> dict[str, Any]:
    """The attributes that are data."""
    return {name: value for name, value in found.items() if not isinstance(value, asyncio.Event)}


@pytest.fixture(params=RELEASES, ids=lambda release: release.name)
def release(request: pytest.FixtureRequest) -> Path:
    found: Path = request.param
    return found


async def test_the_logs_of_a_release_are_read(release: Path, tmp_path: Path) -> None:
    kept = Kept.of(release, tmp_path / "deployment")
    found = await kept.read(tmp_path)
    state = found["coordinator"][0]
    assert set(state.sources) == set(deployment.SOURCES)
    assert any(table[2] for name, table in found.items() if name.startswith("shard "))
    counted: Counter[str] = Counter()
    for (topic, _), partition in kept.kept.partitions.items():
        name = IN_AVRO.get(topic.removeprefix(kept.settings.prefix))
        for record in partition.records.values() if name else ():
            codec.decode(record.value or b"", name)
            counted[name or ""] += 1
    assert set(counted) == set(IN_AVRO.values())


async def test_the_stores_of_a_release_are_read(release: Path, tmp_path: Path) -> None:
    kept = Kept.of(release, tmp_path)
    held = 0
    for shard in range(kept.settings.partitions):
        store = StateStore(kept.settings.data_dir / f"shard-{shard}", shared_cache(1_000_000))
        assert store.readable()
        assert store.position()
        key = await asyncio.to_thread(erasure_key, kept.settings)
        held += len(changelog.load(store, key=key).segments)
        store.close()
    assert held


async def test_verify_finds_nothing_in_the_logs_and_stores_of_a_release(
    release: Path, tmp_path: Path
) -> None:
    report = await verify(Kept.of(release, tmp_path).environment)
    assert [str(one) for one in report.findings] == []


def test_the_newest_files_have_every_kind_of_record(tmp_path: Path) -> None:
    kept = Kept.of(LATEST, tmp_path)
    changelogs = {
        keys.kind(record.key or b"").decode()
        for (topic, _), partition in kept.kept.partitions.items()
        if topic == kept.topics.changelog
        for record in partition.records.values()
    }
    # w/ is a former version's, p/ needs hundreds of thousands of users in one source
    assert changelogs >= set("focdismvneaqrxyhzgj")
    letters = {
        (record.key or b"")[:1].decode()
        for record in kept.kept[kept.topics.coordinator, 0].records.values()
    }
    assert letters >= set("oskrtpw") | set("yz")
    notified = {
        (record.key or b"")[:1].decode()
        for record in kept.kept[kept.topics.notifications, 0].records.values()
    }
    assert notified >= set("ocnd")
    for topic in ("rejected", "repartition", "archive"):
        found = [part for (name, _), part in kept.kept.partitions.items() if name.endswith(topic)]
        assert any(part.records or part.end for part in found), topic


def test_the_files_of_a_data_folder_are_read(tmp_path: Path) -> None:
    settings = deployment.settings("none:1", tmp_path)
    unpack_stores(LATEST, settings)
    (key,) = (Keys.load(settings.data_dir / "keys.json") or Keys()).keys
    assert key.name == "operator"
    journal = settings.data_dir / "import.json"
    content = json.loads(journal.read_text())
    assert len(content.get("files", content)) > 5
    Journal(journal, "there")


async def test_fields_of_a_later_version_are_left_out(release: Path, tmp_path: Path) -> None:
    as_it_is = await Kept.of(release, tmp_path / "one").read(tmp_path)
    later = Kept.of(release, tmp_path / "two")
    changed = Counter[str]()
    for (topic, _), partition in later.kept.partitions.items():
        name = topic.removeprefix(later.settings.prefix)
        for record in list(partition.records.values()):
            if (value := _with_more(name, record.key or b"", record.value)) is not None:
                partition.change(record.offset, value=value)
                changed[name] += 1
    assert set(changed) >= {"changelog", "coordinator"}
    assert await later.read(tmp_path) == as_it_is


def _with_more(topic: str, key: bytes, value: bytes | None) -> bytes | None:
    """The value with fields that no version has; None for one that is no such JSON."""
    cursor = topic == "coordinator" and key == b"c"  # a table of topics
    if topic not in ("changelog", "coordinator", "notifications") or cursor:
        return None
    if value is None or value[:1] != b"{" or key[:1] in (b"d", b"s"):
        return None
    if topic == "notifications" and key[:1] in b"gk":
        return None  # data of others
    return json.dumps(_more(json.loads(value))).encode()


def _more(found: dict[str, Any]) -> dict[str, Any]:
    inner = {
        name: _more(value) if name in _OBJECTS and isinstance(value, dict) else value
        for name, value in found.items()
    }
    return {"of_a_later_version": {"deep": [1, None]}, **inner}


async def _of_changelog(kept: Kept, folder: Path) -> Any:
    return await kept.table(0, folder)


async def _of_coordinator(kept: Kept, folder: Path) -> Any:
    return await kept.coordinator()


async def _of_definitions(kept: Kept, folder: Path) -> Any:
    return await catalog_view.follow(kept.environment, catalog_view.CatalogView())


async def _of_definitions_once(kept: Kept, folder: Path) -> Any:
    return await catalog_view.read(kept.environment)


async def _of_outbox(kept: Kept, folder: Path) -> Any:
    return await kept.outbox()


async def _of_deliveries(kept: Kept, folder: Path) -> Any:
    return await deliveries.deliveries(kept.environment.kafka, kept.settings.prefix)


async def _of_states(kept: Kept, folder: Path) -> Any:
    return await state_view.follow(kept.environment, StateView())


async def _of_verify(kept: Kept, folder: Path) -> Any:
    return await verify(kept.environment)


Reader = Callable[[Kept, Path], Awaitable[Any]]


@pytest.mark.parametrize(
    ("topic", "reader"),
    [
        ("changelog", _of_changelog),
        ("changelog", _of_verify),
        ("archive", _of_verify),
        ("coordinator", _of_coordinator),
        ("coordinator", _of_definitions),
        ("coordinator", _of_definitions_once),
        ("coordinator", _of_verify),
        ("notifications", _of_outbox),
        ("notifications", _of_deliveries),
    ],
)
async def test_a_record_of_a_newer_format_stops_its_reader(
    topic: str, reader: Reader, tmp_path: Path
) -> None:
    kept = Kept.of(LATEST, tmp_path / "deployment")
    partition = kept.kept[kept.settings.prefix + topic, 0]
    offset = max(partition.records)
    newer = (*partition.records[offset].headers, (HEADER, b"%d" % (FORMAT + 1)))
    partition.change(offset, headers=newer)
    with pytest.raises(NewerFormat) as raised:
        async with asyncio.timeout(20):
            await reader(kept, tmp_path / "store")
    assert f"{topic}[0]@{offset} has format {FORMAT + 1} and not {FORMAT}" in str(raised.value)
    assert "Run the newer version again" in raised.value.remedy


@pytest.mark.parametrize("base", [0, OWN])
async def test_a_state_of_a_newer_schema_stops_its_reader(base: int, tmp_path: Path) -> None:
    kept = Kept.of(LATEST, tmp_path / "deployment")
    partition = kept.kept[kept.topics.state, 0]
    offset = max(partition.records)
    newest = max(number for number in REGISTRY if number < OWN)
    value = b"\0" + (base + newest + 1).to_bytes(4, "big") + b"what nobody knows"
    partition.change(offset, value=value)
    with pytest.raises(
        NewerFormat, match=rf"state\[0\]@{offset} has schema id {base + newest + 1}"
    ):
        async with asyncio.timeout(20):
            await _of_states(kept, tmp_path)


async def test_a_header_of_another_program_stops_nobody(tmp_path: Path) -> None:
    kept = Kept.of(LATEST, tmp_path / "deployment")
    partition = kept.kept[kept.topics.coordinator, 0]
    for record, value in zip(
        list(partition.records.values()), (b"", b"x", b"-9", b"9" * 40, None), strict=False
    ):
        partition.change(record.offset, headers=(*record.headers, (HEADER, value)))
    assert (await kept.coordinator()).state.sources


async def test_all_that_a_takeover_writes_says_its_format(tmp_path: Path) -> None:
    kept = Kept.of(LATEST, tmp_path / "deployment")
    ends = {place: one.end for place, one in kept.kept.partitions.items()}
    await kept.table(0, tmp_path / "store")
    await kept.coordinator()
    await kept.outbox()
    written = [
        record
        for place, one in kept.kept.partitions.items()
        for record in one.records.values()
        if record.offset >= ends[place]
    ]
    assert len(written) == 3
    assert all(set(STAMP) <= set(record.headers) for record in written)
    (table,) = [await kept.table(1, tmp_path / "other")]
    segment = next(one for one in table.segments.values() if len(one.sources) == 1)
    made = archive.append(kept.settings, 1, segment, b"", 1)
    assert set(STAMP) <= set(made.headers)
    assert set(STAMP) <= set(coordinator_log.cursor_record(kept.settings, {}, {}).headers)


async def test_a_store_of_a_newer_format_is_filled_again(tmp_path: Path) -> None:
    kept = Kept.of(LATEST, tmp_path / "deployment")
    folder = kept.settings.data_dir / "shard-0"
    store = StateStore(folder, shared_cache(1_000_000))
    position = store.position()
    foreign = keys.index("f" * 24)
    store.apply([(foreign, b"of a newer version"), (FORMAT_KEY, b"%d" % (FORMAT + 1))], None)
    assert not store.readable()
    store.close(flush=True)
    table = await kept.table(0, folder)
    assert table.segments
    store = StateStore(folder, shared_cache(1_000_000))
    assert store.readable()
    assert store.get(foreign) is None
    assert store.position() > position
    store.close()


def test_a_journal_of_a_newer_version_is_not_overwritten(tmp_path: Path) -> None:
    path, file = tmp_path / "import.json", tmp_path / "events.jsonl"
    file.write_text("{}\n")
    position = ImportPosition(3, 1, done=True)
    Journal(path, "here").save({file: position})
    found = json.loads(path.read_text())
    for one in found["files"].values():
        one["of_a_later_version"] = {}
    path.write_text(json.dumps(found))
    assert Journal(path, "here").reached(file) == position
    # the journal of 0.1.0
    path.write_text(json.dumps(found["files"]))
    assert Journal(path, "here").reached(file) == position
    newer = json.dumps({**found, "format": 2})
    path.write_text(newer)
    with pytest.raises(Fatal, match="newer version") as raised:
        Journal(path, "here")
    assert raised.value.remedy == "Continue the import with the newer version"
    assert path.read_text() == newer


def test_a_keys_file_of_a_newer_version_names_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    Keys().save(path)
    path.write_text(path.read_text().replace('"format": 1', '"format": 2'))
    with pytest.raises(Fatal, match="format 2") as raised:
        Keys.load(path)
    assert "Run the version of emberline that wrote it" in raised.value.remedy


def test_patch_releases_change_no_format_and_no_schema() -> None:
    """What a downgrade within a minor release rests on: `docs/upgrading.md`."""
    minor = re.match(r"\d+\.\d+\.", version("emberline"))
    assert minor is not None
    for release in RELEASES[1:]:
        if release.name.startswith(minor[0]):
            facts = json.loads((release / "formats.json").read_text())
            assert facts["format"] == FORMAT
            assert facts["changelog"] == changelog.FORMAT
            assert facts["schemas"] == {name: schema_id(name) for name in facts["schemas"]}
