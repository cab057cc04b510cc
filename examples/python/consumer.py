"""Prints each expiry and each restore once, until Ctrl-C.

python consumer.py
"""

import asyncio
import contextlib
import io
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import fastavro
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from connection import PREFIX, connection

SCHEMAS = Path(os.environ.get("SCHEMAS", "../../schemas"))
FILES: dict[str, str] = json.loads((SCHEMAS / "registry.json").read_text())
# what this program has done; yours keeps it in its database, in the transaction of its work
DONE = Path(os.environ.get("DONE_FILE", "done.txt"))


def read(value: bytes) -> Any:
    """The record behind Confluent framing: byte 0, the schema id, the record in Avro."""
    number = int.from_bytes(value[1:5], "big")
    if value[0] != 0 or str(number) not in FILES:
        sys.exit(f"No schema has the id {number}: take the schemas of emberline's newer release")
    schema = fastavro.schema.load_schema(f"{SCHEMAS}/{FILES[str(number)]}")
    return fastavro.schemaless_reader(io.BytesIO(value[5:]), schema, None)


def work(fact: str, record: Any, done: set[str]) -> None:
    """Print a fact, unless that is done."""
    # the same source, fact and epoch: told again, or read again after a crash
    key = f"{fact} {record['source']} {record['epoch']}"
    if key not in done:
        print(f"{key}: {record['interactions']} interactions", flush=True)
        done.add(key)
        with DONE.open("a") as file:
            file.write(f"{key}\n")


async def main(done: set[str]) -> None:
    topics = {f"{PREFIX}lifecycle.{fact}": fact for fact in ("expired", "restored")}
    options = {
        **connection(),
        "group_id": os.environ.get("GROUP_ID", "emberline-example"),
        "auto_offset_reset": "earliest",
        # the offset is committed below, when the work is done
        "enable_auto_commit": False,
        # otherwise records of aborted transactions come too: facts that never were
        "isolation_level": "read_committed",
    }
    async with AIOKafkaConsumer(*topics, **options) as consumer:
        async for message in consumer:
            work(topics[message.topic], read(message.value), done)
            partition = TopicPartition(message.topic, message.partition)
            await consumer.commit({partition: message.offset + 1})


async def until_signal(done: set[str]) -> None:
    """Leaves the group when it is told to end, so that another member takes over at once."""
    task = asyncio.ensure_future(main(done))
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task


if __name__ == "__main__":
    try:
        asyncio.run(until_signal(set(DONE.read_text().splitlines() if DONE.exists() else ())))
    except (KafkaError, OSError) as error:
        sys.exit(f"Start it again, it goes on where it was: {error}")
