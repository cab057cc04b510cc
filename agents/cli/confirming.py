"""Which sweep `emberline confirm` confirms: the one that asks now, after a look at its sources."""

import json
import sys
from collections.abc import Sequence

import click

from agents.coordinator.rules.checked import MALFORMED
from agents.coordinator.rules.sweep_state import SWEEP, RetentionSweep, sweep_of
from agents.terminal.amounts import day
from agents.terminal.say import say
from agents.terminal.table import prose, show
from schemas.errors import Recoverable, UsageError
from schemas.records.lifecycle import SourceState, State
from schemas.words.plural import plural
from streams.clock import SystemClock
from streams.kafka.kafka_log import KafkaLog
from streams.kafka.topic_reader import read_stored, read_table
from streams.kafka.topic_specs import Topics
from streams.settings import Settings

__all__ = ["asking_sources", "confirmed", "read_sweep", "whole_id"]

LEAST = 4
"""So many characters of an ID are enough."""
_ON_SCREEN = 50


async def confirmed(settings: Settings, given: str | None) -> str:
    """The ID of the sweep that is confirmed.

    `given` is the ID or its beginning. None: the sources are shown, and a person says yes. Raises
    UsageError where nobody can be asked or the answer is no, Recoverable while sources change.
    """
    sweep = await read_sweep(settings)
    if given is not None:
        return whole_id(given, sweep)
    if not sweep.question:
        remedy = "`emberline status` shows what is due, and whether the sweep is paused"
        raise UsageError("No sweep waits for a confirmation", remedy=remedy)
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        remedy = f"Look at `emberline status`, then say `emberline confirm {sweep.question}`"
        raise UsageError("confirm: no sweep is named, and nobody can be asked", remedy=remedy)
    table = await read_table(KafkaLog(settings), Topics(settings.prefix).state, "state")
    _show(asking_sources([SourceState.from_record(one) for one in table.values()], sweep))
    if not click.confirm(_question(sweep.awaiting)):
        raise UsageError("Nothing is confirmed", remedy="`emberline hold` keeps a source")
    return sweep.question


def _question(count: int) -> str:
    these = plural(count, "this source", f"these {count:,} sources")
    return f"Move {these} to the archive?"


def whole_id(given: str, sweep: RetentionSweep) -> str:
    """The ID that asks now, if `given` is its beginning; else `given`, which the coordinator
    judges.
    """
    if len(given) >= LEAST and sweep.question.startswith(given.lower()):
        return sweep.question
    return given


def asking_sources(states: Sequence[SourceState], sweep: RetentionSweep) -> list[SourceState]:
    """The sources of the sweep that asks, first due first. Raises Recoverable if they are not as
    many as it asked about: then states and sweep were not read at one moment.
    """
    due = sorted(
        (one.due_at, one.source, one)
        for one in states
        if one.state is State.STOPPED and one.due_at is not None
    )
    found = [one for at, source, one in due if (at, source) <= sweep.approved_to]
    if len(found) != sweep.awaiting:
        raise Recoverable("The sources of the sweep are changing", remedy="Try again in a moment")
    return found


def _show(sources: Sequence[SourceState]) -> None:
    now = SystemClock().now_ms()
    show(
        ("name", "source", "due"),
        [(one.name, one.source, day(one.due_at or now, now)) for one in sources[:_ON_SCREEN]],
    )
    if len(sources) > _ON_SCREEN:
        prose(f"and {len(sources) - _ON_SCREEN:,} more")
    say()


async def read_sweep(settings: Settings) -> RetentionSweep:
    """The state of the sweep that the coordinator has last written."""
    latest = None
    async for _, _, record in read_stored(KafkaLog(settings), Topics(settings.prefix).coordinator):
        if record.key == SWEEP.encode():
            latest = record.value
    try:
        return RetentionSweep() if latest is None else sweep_of(json.loads(latest))
    except MALFORMED:
        return RetentionSweep()  # what somebody else has written there says nothing
