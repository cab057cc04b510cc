"""CPU time of the pure path from fetched bytes to segments: `python -m tests.bench.frames`.

Best of three, on whatever else the machine does; `--events N` (default 200,000).
"""

import argparse
import random
import time
import uuid
from collections.abc import Callable
from typing import Any, TypeVar

from aiokafka.partitioner import murmur2

from schemas.decode.batch import RecordBatch, parse_batches
from schemas.decode.ingest import ingest
from schemas.records import codec
from schemas.segment.codec import decode, encode
from schemas.segment.cut import cut_encoded
from schemas.tables.fold import fold
from tests.rigs.record_batches import CODECS, INPUTS, NOW, Produced, wire

PARTITIONS = 4
BATCH = 4_000
MIX = {"send": 50, "open": 25, "variant": 15, "click": 10}

T = TypeVar("T")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=200_000)
    count = parser.parse_args().events
    raws = produce(count)

    def parse() -> list[RecordBatch]:
        found = (one for topic, raw in raws for _, one in parse_batches(raw, topic, 0))
        return [one for one in found if one is not None]

    batches = measure("parse, check, decompress", count, parse)
    taken = measure("ingest", count, lambda: ingest(batches, 0, PARTITIONS, INPUTS))
    rows = taken.interactions
    delta = measure("encode as a delta", count, lambda: encode(rows, presorted=True))
    folded = measure("fold", count, lambda: fold(rows))
    pieces = measure("sort, cut, encode", count, lambda: cut_encoded(folded))
    encoded = [data for _, data in pieces]
    measure("decode segments", count, lambda: [decode(data) for data in encoded])
    print(f"{folded.height:,} interactions of {taken.events:,} events, {len(pieces)} segments")
    print(f"delta {len(delta) / rows.height:.1f} B a row")
    print(f"segments {sum(map(len, encoded)) / folded.height:.1f} B a row")


def measure(name: str, count: int, run: Callable[[], T]) -> T:
    best = float("inf")
    for _ in range(3):
        start = time.process_time()
        result = run()
        best = min(best, time.process_time() - start)
    print(f"{name:28} {best / count * 1e6:6.2f} us an event")
    return result


def produce(count: int) -> list[tuple[str, bytes]]:
    """Record batches (topic, bytes), zstd, of events of shard 0: 40 sources, skewed."""
    chance = random.Random(7)
    users: list[str] = []
    while len(users) < count // 8:
        user = f"{chance.getrandbits(96):024x}"
        if (murmur2(user.encode()) & 0x7FFF_FFFF) % PARTITIONS == 0:
            users.append(user)
    campaigns = [str(uuid.UUID(int=chance.getrandbits(128))) for _ in range(40)]
    variants = {c: [str(uuid.UUID(int=chance.getrandbits(128))) for _ in "abc"] for c in campaigns}
    records: dict[str, list[Produced]] = {event: [] for event in MIX}
    for number in range(count):
        [event] = chance.choices(list(MIX), list(MIX.values()))
        campaign = campaigns[min(int(chance.expovariate(0.1)), 39)]
        user = chance.choice(users)
        fields: dict[str, Any] = {
            "id": f"{chance.getrandbits(128):032x}",
            "user_id": user,
            "time": NOW + 3 * number,
            "campaign_id": campaign,
            "message_variation_id": chance.choice(variants[campaign]),
        }
        if event in ("send", "open", "click"):
            fields["channel"] = "EMAIL"
        if event == "open":
            fields["machine_open"] = chance.random() < 0.3
        if event == "click":
            fields["link_alias"] = chance.choice([None, "cta", "footer"])
        if event == "variant":
            fields["in_control_group"] = chance.random() < 0.1
        value = codec.encode(event, fields)
        records[event].append(Produced(value, user.encode(), NOW + 3 * number))
    return [
        (
            f"t.interactions.{event}",
            wire(part[at : at + BATCH], codec=CODECS["zstd"], base_offset=at),
        )
        for event, part in records.items()
        for at in range(0, len(part), BATCH)
    ]


if __name__ == "__main__":
    main()
