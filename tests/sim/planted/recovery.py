"""What a shard reads back at a takeover."""

from typing import Any

from agents.shard.intake import Intake
from streams.kafka import fetch
from streams.kafka.aborted import committed
from streams.kafka.log import Log
from streams.state import changelog, rocks, state_store
from streams.state.replay import _Stretch
from streams.state.rocks import OpenSnapshots
from tests.sim.planted.planting import plant, short

__all__: list[str] = []


def _remembers_nothing(self: Intake) -> None:
    """Recalls nothing."""


plant(
    "event ids forgotten",
    what="after a takeover an event that is repeated is counted again",
    faulty={(Intake, "recall"): _remembers_nothing},
    found=30,
    seed=0,
    plan=short(events=100, questions=3, commands=0, definitions=2, faults=["crash"]),
)


async def _for_ever(kafka: Log, topic: str) -> int:
    return 1 << 60


plant(
    "tombstones that went",
    what="a store that was away for longer than its topic keeps deletions brings deleted keys back",
    faulty={(changelog, "tombstones_ms"): _for_ever},
    mended="5c2d791",
    found=140,
    seed=10,
    plan=short(
        events=120,
        commands=0,
        definitions=2,
        jumps=12,
        busy_s=40.0,
        faults=["compaction", "old disks"],
        settings={"delta_rows": 10},
    ),
)


def _without_deletions(self: _Stretch, key: bytes, value: bytes | None) -> None:
    if value is not None:
        _put(self, key, value)


_put = _Stretch.put

plant(
    "deletions passed over in a recovery",
    what="what a former owner has deleted is there again after a takeover",
    faulty={(_Stretch, "put"): _without_deletions},
    found=60,
    seed=4,
    plan=short(
        events=120,
        commands=0,
        definitions=4,
        jumps=1,
        busy_s=40.0,
        faults=["disk"],
        settings={"delta_rows": 10},
    ),
)


def _nothing(*args: Any) -> None:
    """Does nothing."""


plant(
    "a damaged store that stays",
    what="a local store that is damaged is not filled anew",
    faulty={(rocks, "mark_damaged"): _nothing, (state_store, "mark_damaged"): _nothing},
    mended="582d199",
    found=180,
    seed=14,
    plan=short(events=100, questions=3, faults=["disk"]),
)

plant(
    "the pin that blocks a recovery",
    what="a reader that dawdles keeps a local store from its next owner",
    faulty={(OpenSnapshots, "cut"): _nothing},
    mended="d73b679",
    found=30,
    seed=1,
    plan=short(
        events=20,
        commands=0,
        definitions=4,
        jumps=1,
        faults=["log: failed_step", "stalled readers"],
    ),
)


def _aborted_too(
    raw: bytes, partition: tuple[str, int], position: int, aborted: Any, **more: Any
) -> Any:
    return committed(raw, partition, position, (), **more)


plant(
    "aborted records are read",
    what="records of transactions that were aborted count",
    faulty={(fetch, "committed"): _aborted_too},
    found=30,
    seed=0,
    plan=short(commands=0, definitions=2, faults=["open transactions"]),
)


async def _raises_what_comes(self: fetch.Fetcher) -> None:
    client = self._connect()
    await client.bootstrap()
    await client.set_topics({topic for topic, _ in self._protocol.positions})
    self._client = client


plant(
    "a broker that goes while a reader connects",
    what="a reader that meets no broker while it connects ends its worker",
    faulty={(fetch.Fetcher, "start"): _raises_what_comes},
    mended="43b6df1",
    found=30,
    seed=0,
    plan=short(commands=0, definitions=2, jumps=1, faults=["crash", "log: broken", "log: refused"]),
)
