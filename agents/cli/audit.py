"""`emberline audit`: every decision and refusal, with its reason."""

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

import click

from agents.cli.completing import SOURCE
from agents.cli.options import emit, json_option, run, settings_of
from agents.terminal.colours import painter
from agents.terminal.say import emit_end, say
from agents.terminal.table import columns, show, when
from schemas.errors import UsageError
from schemas.words.nearest import nearest_key
from schemas.words.shown import shown
from streams.kafka.kafka_log import KafkaLog
from streams.kafka.topic_reader import TopicReader, records_of
from streams.kafka.topics import Topics
from streams.settings import Settings

__all__ = ["command"]

_AT_A_TIME = 10_000
"""A table of so many rows is printed, and the next one begins: the topic is kept for ever."""
_ON_SCREEN = 200
"""As many as a person scrolls through, unless `--last` says otherwise."""


@click.command("audit", help="Show the decisions made on a source, or on all, oldest first.")
@click.argument("source", type=SOURCE, required=False)
@click.option(
    "-n",
    "--last",
    type=click.IntRange(1),
    help=f"Only the last so many.  [default: {_ON_SCREEN} on a terminal, else all]",
)
@click.option("-f", "--follow", is_flag=True, help="Go on with new ones until Ctrl-C, a line each.")
@json_option
@click.pass_context
def command(
    ctx: click.Context, source: str | None, last: int | None, follow: bool, as_json: bool
) -> None:
    """Entries about the whole system have no source and are shown only without SOURCE."""
    screen = columns() is not None and not as_json
    found = _Found(source, last or (_ON_SCREEN if screen else None), as_json)
    run(_read(settings_of(ctx), found, follow))


class _Found:
    """The entries on one source, or on all; keeps only those that are to be printed."""

    def __init__(self, source: str | None, last: int | None, as_json: bool) -> None:
        self._source = source
        self._last = last
        self._as_json = as_json
        self._others: dict[str, None] = {}
        self._kept: deque[dict[str, Any]] = deque(maxlen=last or _AT_A_TIME)
        self._matched = 0
        self._printed = 0

    def takes(self, record: Mapping[str, Any]) -> bool:
        """Whether it is one of those that are asked for."""
        name = record["source"]
        if self._source is None or name == self._source:
            return True
        if name is not None:
            self._others[str(name)] = None
        return False

    def take(self, record: dict[str, Any]) -> None:
        """Keep one, and print some if they are too many to be kept."""
        if not self._last and len(self._kept) == _AT_A_TIME:
            self.show()
        self._matched += 1
        self._kept.append(record)

    def show(self) -> None:
        """Print what is kept."""
        self._printed += len(self._kept)
        if self._as_json:
            for record in self._kept:
                emit(record)
        else:
            _table(self._kept)
        self._kept.clear()

    def follow(self, record: Mapping[str, Any]) -> None:
        """Print a new one."""
        if self._as_json:
            emit(record)
        else:
            say(lead=_line(record))

    def end(self, *, complete: bool) -> None:
        """Print the rest. Raises UsageError if nothing was found on the source."""
        if self._source is not None and not self._matched and complete:
            near = nearest_key(self._source, self._others)
            hint = f"Did you mean {near}?" if near else "`emberline status` lists the sources"
            raise UsageError(f"Nothing was decided on {self._source[:80]!r}", remedy=hint)
        if self._kept or not (self._printed or self._as_json):
            self.show()
        if self._as_json and complete:
            emit_end(self._printed)
        left = self._matched - self._printed
        if left and not self._as_json:
            say(f"{left:,} earlier ones are not shown: see --last", err=True)


async def _read(settings: Settings, found: _Found, follow: bool) -> None:
    async with TopicReader.open(KafkaLog(settings), [Topics(settings.prefix).audit]) as reader:
        async for located in reader.each():
            for record in records_of([located], "audit"):
                if found.takes(record):
                    found.take(record)
        found.end(complete=not follow)
        while follow:
            for record in records_of(await reader.some(), "audit"):
                if found.takes(record):
                    found.follow(record)


def _line(record: Mapping[str, Any]) -> str:
    """One entry; its states are coloured."""
    paint = painter()
    states = [str(state) for state in (record["from_state"], record["to_state"]) if state]
    moved = " -> ".join(paint(state, shown(state)) for state in states)
    head = (
        f"{when(_number(record['time']))}  {record['source'] or 'everything'}: {record['decision']}"
    )
    tail = ", ".join(str(record[name]) for name in ("by", "reason", "detail") if record[name])
    parts = (shown(head), f"({moved})" if moved else "", shown(tail))
    return "  ".join(part for part in parts if part)


def _table(records: Iterable[Mapping[str, Any]]) -> None:
    show(
        ("time", "source", "decision", "from", "to", "by", "reason", "detail"),
        [
            (
                when(_number(r["time"])), r["source"], r["decision"], r["from_state"],
                r["to_state"], r["by"], r["reason"], r["detail"],
            )
            for r in records
        ],
    )  # fmt: skip


def _number(value: object) -> int | None:
    return value if isinstance(value, int) else None
