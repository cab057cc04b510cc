"""The job of every peer, written for one event at a time.

An event makes one interaction: the key `(source, user, kind, channel, step, variation, detail)`
with the first and the last time it was seen. Only the four benchmarked topics are covered: send,
open, click and variant.
"""

import argparse
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import fastavro

from schemas.records.registry import schema

__all__ = ["TOPICS", "Key", "PeerArguments", "arguments", "decoder", "keys"]

TOPICS = ("send", "open", "click", "variant")
_FRAME = 5  # byte 0 and the schema id of the Confluent framing

Key = tuple[str, str, str, str | None, str | None, str | None, str | None]


class PeerArguments(NamedTuple):
    """The arguments of a peer."""

    bootstrap: str
    prefix: str
    partitions: int
    events: int
    progress: Path
    data: Path


def arguments() -> PeerArguments:
    """The command line of this process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--prefix", required=True)
    parser.add_argument("--partitions", type=int, required=True)
    parser.add_argument("--events", type=int, required=True)
    parser.add_argument("--progress", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    return PeerArguments(**vars(parser.parse_args()))


def decoder(event: str) -> Callable[[bytes], dict[str, Any]]:
    """A function from a framed Avro value of topic `event` to its fields, times as integers."""
    plain = [
        {**field, "type": "long"} if field["name"] == "time" else field
        for field in schema(event)["fields"]
    ]
    parsed = fastavro.parse_schema({**schema(event), "fields": plain})

    def decode(value: bytes) -> dict[str, Any]:
        record = fastavro.schemaless_reader(io.BytesIO(value[_FRAME:]), parsed, None)
        if not isinstance(record, dict):
            raise TypeError(f"a value of topic {event} is not a record")
        return record

    return decode


def keys(event: str, record: dict[str, Any]) -> list[Key]:
    """The keys of the interactions that one event of topic `event` makes; none if it names no
    source.
    """
    if record["campaign_id"] is not None:
        source = "campaign:" + record["campaign_id"]
    elif record["canvas_id"] is not None:
        source = "canvas:" + record["canvas_id"]
    else:
        return []
    channel = detail = None
    kinds = ["received"]
    if event == "open":
        kinds = ["machine_opened" if record["machine_open"] else "opened"]
    elif event == "click":
        kinds = ["bot_clicked" if record["is_suspected_bot_click"] else "clicked"]
        detail = record["link_alias"]
    elif event == "variant":
        control = ["control", "entered"] if record["in_control_group"] else ["entered"]
        kinds = ["exited"] if record["exited"] else control
    if event != "variant":
        channel = record["channel"]
    variation = record["message_variation_id"] or record["canvas_variation_id"]
    user, step = record["user_id"], record["canvas_step_id"]
    return [(source, user, kind, channel, step, variation, detail) for kind in kinds]
