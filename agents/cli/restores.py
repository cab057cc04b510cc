"""`emberline restores`: restore requests, their progress, and one of them until it is over."""

import re
from collections.abc import AsyncIterable, Mapping, Sequence
from contextlib import aclosing
from typing import Any

import click

from agents.cli.options import emit, json_option, run, settings_of
from agents.cli.told import (
    ToldRequest,
    available_text,
    is_bad,
    outcome_counts,
    outcome_text,
    states_of,
    tally,
)
from agents.terminal.say import emit_end, say
from agents.terminal.table import columns, prose, show, when
from schemas.errors import UsageError
from schemas.records import codec
from schemas.records.lifecycle import CommandType, Outcome, SourceState
from schemas.words.nearest import nearest
from schemas.words.plural import plural
from streams.clock import SystemClock
from streams.kafka.kafka_log import KafkaLog
from streams.kafka.topic_reader import Located, TopicReader, read_each, records_of
from streams.kafka.topics import Topics
from streams.settings import Settings

__all__ = ["command", "done_of", "what"]

_ON_SCREEN = 50
"""Requests, or sources of one, that a terminal shows."""
_COUNTS = re.compile("[0-9]+ of [0-9]+ (accepted|completed)")
"""A message that says no more than the numbers."""


@click.command(
    "restores", help="List restore requests and how far they are; or show one, source by source."
)
@click.argument("request", required=False)
@click.option("--open", "only_open", is_flag=True, help="Only those that are not over.")
@click.option("-n", "--last", type=click.IntRange(1), help="Only the last so many.")
@click.option(
    "-f",
    "--follow",
    is_flag=True,
    help="Follow REQUEST, or the newest one that is not over, until its end.",
)
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    request: str | None,
    only_open: bool,
    last: int | None,
    follow: bool,
    as_json: bool,
) -> None:
    """The requests of the last 30 days: commands and their results are kept for that time. REQUEST
    is an id, or its beginning.
    """
    settings = settings_of(ctx)
    if follow:
        ctx.exit(run(_follow(settings, request, as_json)))
    found = run(_requests(settings)).listed()
    if request is not None:
        _show_one(settings, _one(found, request), as_json)
        return
    shown = [one for one in found if not (only_open and Outcome(one["outcome"]).final)]
    screen = _ON_SCREEN if columns() is not None and not as_json else len(shown)
    shown = shown[-min(last or screen, len(shown)) :] if shown else []
    if as_json:
        for one in shown:
            emit(one)
        emit_end(len(shown))
        return
    states = run(states_of(settings)) if shown else {}
    if columns() is not None:
        show(
            ("time", "request", "what", "outcome", "sources", "message"),
            [
                (when(r["time"]), r["request_id"], what(r, states), outcome_text(r), done_of(r),
                 "" if _COUNTS.fullmatch(r["message"]) else r["message"])
                for r in shown
            ],
        )  # fmt: skip
        return
    show(
        ("time", "request", "what", "outcome", "done", "total", "message"),
        [
            (when(r["time"]), r["request_id"], what(r), r["outcome"], r["done"], r["total"],
             r["message"])
            for r in shown
        ],
    )  # fmt: skip


class _Requests:
    """Restore requests by id, in the order of their commands, with the latest results."""

    def __init__(self) -> None:
        self._by_id: dict[str, dict[str, Any]] = {}

    async def read_commands(self, commands: AsyncIterable[Located]) -> None:
        """The first command with an id is the request."""
        seen: set[str] = set()
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
            self._by_id[request_id] = {
                "request_id": request_id, "requested_by": asked["requested_by"],
                "tag": asked["tag"], "dry_run": asked["dry_run"], "time": record.timestamp,
                "source": None, "outcome": None, "sources": {},
            }  # fmt: skip

    def take(self, result: Mapping[str, Any]) -> None:
        """Keep the latest result of a request, or of one of its sources."""
        request = self._by_id.get(str(result["request_id"]))
        if request is None:
            return
        latest = {name: result[name] for name in ("outcome", "code", "message", "done", "total")}
        if result["source"] is not None:
            request["sources"][result["source"]] = {"source": result["source"], **latest}
        # after another outcome, what was refused is another command under the same id
        elif latest["outcome"] != Outcome.REFUSED or request["outcome"] is None:
            request.update(latest)

    def listed(self) -> list[dict[str, Any]]:
        """The requests that have an answer, oldest first."""
        return [
            request | {"sources": list(request["sources"].values())}
            for request in self._by_id.values()
            if request["outcome"] is not None
        ]


async def _requests(settings: Settings) -> _Requests:
    topics, kafka = Topics(settings.prefix), KafkaLog(settings)
    requests = _Requests()
    await requests.read_commands(read_each(kafka, topics.control))
    async with aclosing(read_each(kafka, topics.control_results)) as results:
        async for located in results:
            for result in records_of([located], "result"):
                requests.take(result)
    return requests


async def _follow(settings: Settings, request: str | None, as_json: bool) -> int:
    """Show the results of one request until it is over; returns the exit code."""
    topics, kafka = Topics(settings.prefix), KafkaLog(settings)
    requests = _Requests()
    async with TopicReader.open(kafka, [topics.control_results]) as reader:
        await requests.read_commands(read_each(kafka, topics.control))
        async for located in reader.each():
            for result in records_of([located], "result"):
                requests.take(result)
        one = _followed(requests.listed(), request)
        told = ToldRequest(CommandType.RESTORE, quiet=as_json)
        try:
            for part in (*one["sources"], one):
                told.take(part | {"request_id": one["request_id"]})
            while not told.over:
                for result in records_of(await reader.some(), "result"):
                    if result["request_id"] == one["request_id"]:
                        requests.take(result)
                        told.take(result)
                        if as_json:
                            emit(result)
        finally:
            told.end()
    if as_json:
        emit(_one(requests.listed(), one["request_id"]))
    else:
        told.report(await states_of(settings), SystemClock().now_ms())
        for bad in told.bad:
            say(f"emberline: {bad['source']} {bad['outcome']}: {bad['message']}", err=True)
    return 1 if told.bad else 0


def _followed(found: Sequence[dict[str, Any]], request: str | None) -> dict[str, Any]:
    if request is not None:
        return _one(found, request)
    for one in found[::-1]:
        if not Outcome(one["outcome"]).final:
            return one
    raise UsageError("No restore is under way", remedy="`emberline restores` lists those of before")


def _one(found: Sequence[dict[str, Any]], request: str) -> dict[str, Any]:
    """The request with this id, or the only one whose id begins so. Raises UsageError."""
    begun = [one for one in found if str(one["request_id"]).startswith(request)]
    fits = [one for one in begun if one["request_id"] == request] or begun
    if len(fits) == 1:
        return fits[0]
    if begun:
        ids = ", ".join(one["request_id"] for one in begun[:5])
        raise UsageError(f"Several requests begin with {request[:80]!r}", remedy=f"As {ids}")
    near = nearest(request, [one["request_id"] for one in found])
    hint = f"Did you mean {near}?" if near else "`emberline restores` lists them"
    raise UsageError(f"There is no restore request {request[:80]!r}", remedy=hint)


def _show_one(settings: Settings, one: dict[str, Any], as_json: bool) -> None:
    if as_json:
        emit(one)
        return
    parts = {part["source"]: part for part in one["sources"]}
    done, total, unit = tally(parts, one)
    counted = plural(total or done, unit.removesuffix("s"), unit)
    of = f"{done:,.0f} of {total:,.0f} {counted}" if total else f"{done:,.0f} {counted}"
    say(f"{one['request_id']}  {when(one['time'])}  {one['requested_by']}  {what(one)}")
    say(f"{one['outcome']}: {one['message'] or of}, {of}")
    states = run(states_of(settings))
    listed = list(parts.values())
    most = _ON_SCREEN
    if columns() is not None:
        show(
            ("name", "source", "outcome", "state", "data"),
            [
                (_named(states, part["source"]), part["source"], outcome_text(part),
                 _state(states, part["source"]),
                 _data(part, states.get(part["source"]), one["dry_run"]))
                for part in listed[:most]
            ],
            copied=2,
        )  # fmt: skip
        _say_rest(len(listed) - most, parts)
        return
    show(
        ("source", "name", "outcome", "done", "total", "state", "message"),
        [
            (part["source"], _named(states, part["source"]), part["outcome"],
             part["done"] if part["total"] else None, part["total"] or None,
             _state(states, part["source"]), part["message"].removeprefix(f"{part['source']}: "))
            for part in listed
        ],
    )  # fmt: skip


def _say_rest(count: int, parts: Mapping[str, Any]) -> None:
    if count > 0:
        prose(f"and {count:,} more; of all: {outcome_counts(parts)}")


def done_of(request: Mapping[str, Any]) -> str:
    """How many of its sources are as was asked: `3 of 4`."""
    good = [part for part in request["sources"] if Outcome(part["outcome"]).final]
    done = sum(not is_bad(part) for part in good) if good else int(request["done"])
    return f"{done:,} of {request['total']:,}" if request["total"] else ""


def _data(part: Mapping[str, Any], state: SourceState | None, dry_run: bool) -> str:
    """Until when a source is available, or what became of it."""
    over = Outcome(part["outcome"]).final and not is_bad(part)
    if state is not None and over and not dry_run:
        return available_text(state, SystemClock().now_ms())
    return str(part["message"]).removeprefix(f"{part['source']}: ")


def _named(states: Mapping[str, Any], source: str) -> str:
    return states[source].name if source in states else ""


def _state(states: Mapping[str, Any], source: str) -> str:
    return states[source].state.value if source in states else ""


def what(request: Mapping[str, Any], states: Mapping[str, Any] | None = None) -> str:
    """What a request is about, in a few words: with `states`, one source by its name."""
    sources = request["sources"]
    if request["tag"]:
        text = f"tag {request['tag']}"
    elif len(sources) == 1:
        source = str(sources[0]["source"])
        text = _named(states or {}, source) or source
    else:
        text = f"{len(sources):,} sources"
    return f"{text} (dry run)" if request["dry_run"] else text
