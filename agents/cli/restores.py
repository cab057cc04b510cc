"""`emberline restores`: restore requests, and their progress."""

from collections.abc import AsyncIterable
from typing import Any

import click

from agents.cli.options import emit, json_option, run, settings_of
from agents.terminal.table import show, when
from schemas.records import codec
from schemas.records.lifecycle import CommandType, Outcome
from streams.kafka.kafka_log import KafkaLog
from streams.kafka.topic_reader import Located, read_each, records_of
from streams.kafka.topics import Topics
from streams.settings import Settings

__all__ = ["command"]


@click.command("restores", help="List restore requests and how far they are, oldest first.")
@click.option("--open", "only_open", is_flag=True, help="Only those that are not over.")
@json_option
@click.pass_context
def command(ctx: click.Context, only_open: bool, as_json: bool) -> None:
    """The requests of the last 30 days: commands and their results are kept for that time."""
    requests = run(_requests(settings_of(ctx)))
    shown = [r for r in requests if not (only_open and Outcome(r["outcome"]).final)]
    if as_json:
        for request in shown:
            emit(request)
        return
    show(
        ("time", "request", "source", "outcome", "done", "total", "message"),
        [
            (when(r["time"]), r["request_id"], part["source"] or "(all)", part["outcome"],
             part["done"], part["total"], part["message"])
            for r in shown
            for part in (r, *r["sources"])
        ],
    )  # fmt: skip


async def _requests(settings: Settings) -> list[dict[str, Any]]:
    topics = Topics(settings.prefix)
    kafka = KafkaLog(settings)
    restores = await _restores(read_each(kafka, topics.control))
    async for located in read_each(kafka, topics.control_results):
        for result in records_of([located], "result"):
            request = restores.get(str(result["request_id"]))
            if request is not None:
                _take(request, result)
    return [
        request | {"sources": list(request["sources"].values())}
        for request in restores.values()
        if request["outcome"] is not None
    ]


async def _restores(commands: AsyncIterable[Located]) -> dict[str, dict[str, Any]]:
    """Restore requests by id, before any result: the first command with an id is the request."""
    seen: set[str] = set()
    found: dict[str, dict[str, Any]] = {}
    async for topic, partition, record in commands:
        try:
            asked = codec.decode(record.value or b"", "command")
        except codec.Undecodable:
            continue  # the coordinator has refused it; it is no restore
        request_id = str(asked["request_id"] or f"{topic}-{partition}-{record.offset}")
        known = request_id in seen
        seen.add(request_id)
        if known or asked["type"] != CommandType.RESTORE:
            continue
        found[request_id] = {
            "request_id": request_id, "requested_by": asked["requested_by"],
            "tag": asked["tag"], "dry_run": asked["dry_run"], "time": record.timestamp,
            "source": None, "outcome": None, "sources": {},
        }  # fmt: skip
    return found


def _take(request: dict[str, Any], result: dict[str, Any]) -> None:
    latest = {name: result[name] for name in ("outcome", "code", "message", "done", "total")}
    if result["source"] is None:
        # after another outcome, what was refused is another command under the same id
        if latest["outcome"] != Outcome.REFUSED or request["outcome"] is None:
            request.update(latest)
    else:
        request["sources"][result["source"]] = {"source": result["source"], **latest}
