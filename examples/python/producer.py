"""Sends what users did with a campaign: each entered a variant, got the message, opened it, clicked
and converted.

    python producer.py CAMPAIGN USER...
"""

import asyncio
import io
import os
import secrets
import sys
import time
import uuid
from typing import Any

import fastavro
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from connection import PREFIX, connection

SCHEMAS = os.environ.get("SCHEMAS", "../../schemas")
# from docs/reference/records.md; they are the same with and without a schema registry
SCHEMA_IDS = {
    "variant": 1162691076,
    "send": 1162691073,
    "open": 1162691074,
    "click": 1162691075,
    "conversion": 1162691077,
}
# the fields of each type beside those that all have
FIELDS: dict[str, dict[str, Any]] = {
    "variant": {},
    "send": {"channel": "EMAIL"},
    "open": {"channel": "EMAIL"},
    "click": {"channel": "EMAIL", "link_alias": "shop"},
    "conversion": {"conversion_behavior_index": 0},
}


def framed(name: str, event: dict[str, Any]) -> bytes:
    """Confluent framing: byte 0, the schema id, the record in Avro."""
    body = io.BytesIO()
    schema = fastavro.schema.load_schema(f"{SCHEMAS}/avro/{name}.avsc")
    fastavro.schemaless_writer(body, schema, event)  # a field that is left out has its default
    return b"\0" + SCHEMA_IDS[name].to_bytes(4, "big") + body.getvalue()


async def main(campaign: str, users: list[str]) -> None:
    sent = []
    # with both settings each broker's log has each event once, also after a broken connection
    options = {**connection(), "enable_idempotence": True, "acks": "all"}
    async with AIOKafkaProducer(**options) as producer:
        for user in users:
            for name, fields in FIELDS.items():
                event = {
                    "id": str(uuid.uuid4()),  # repeat the id if you ever send the event again
                    "user_id": user,
                    "time": int(time.time() * 1000),  # milliseconds since 1970, UTC
                    "campaign_id": campaign,
                    "message_variation_id": "blue",
                    **fields,
                }
                # the key puts all events of a user on one partition, by Kafka's murmur2
                future = await producer.send(
                    f"{PREFIX}interactions.{name}",
                    framed(name, event),
                    key=user.encode(),
                    headers=[("traceparent", trace_context())],
                )
                sent.append(future)
        await asyncio.gather(*sent)
    print(f"{len(sent)} events acknowledged")


def trace_context() -> bytes:
    """W3C trace context. OpenTelemetry's instrumentation writes this header by itself."""
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01".encode()


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit("usage: python producer.py CAMPAIGN USER...")
    try:
        asyncio.run(main(sys.argv[1], sys.argv[2:]))
    except (KafkaError, OSError) as error:
        sys.exit(f"Not all events were sent: {error}")
