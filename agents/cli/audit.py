"""`emberline audit`: every decision and refusal, with its reason."""

import re
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

import click

from agents.cli.completing import SOURCE
from agents.cli.options import emit, json_option, run, settings_of
from agents.cli.told import states_of
from agents.names.index import NameIndex
from agents.names.resolve import UnknownName, resolve
from agents.terminal.colours import painter
from agents.terminal.say import emit_end, say
from agents.terminal.table import columns, folded, show, when
from schemas.errors import UsageError
from schemas.records.lifecycle import SourceState, State
from schemas.words.nearest import nearest_key
from schemas.words.plural import counted
from schemas.words.shown import shown
from streams.kafka.kafka_log import KafkaLog
from streams.kafka.topic_reader import TopicReader, records_of
from streams.kafka.topics import Topics
from streams.settings import Settings

__all__ = ["audit_lines", "command"]

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
    settings = settings_of(ctx)
    states = run(states_of(settings))
    names = {key: record.name for key, record in states.items()}
    if source is not None:
        source = _key(source, states)
    found = _Found(source, last or (_ON_SCREEN if screen else None), names, as_json=as_json)
    run(_read(settings, found, follow))


def _key(text: str, states: Mapping[str, SourceState]) -> str:
    """The key of the source that a text names; the text itself if none does, as a source of the
    audit may be gone. Raises AmbiguousSource.
    """
    try:
        return resolve(text, NameIndex(states.values())).source
    except UnknownName:
        return text


class _Found:
    """The entries on one source, or on all; keeps only those that are to be printed."""

    def __init__(
        self, source: str | None, last: int | None, names: Mapping[str, str], *, as_json: bool
    ) -> None:
        self._source = source
        self._last = last
        self._names = names
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
                emit(self._named(record))
        elif columns() is not None:
            for record in self._kept:
                _show_line(self._named(record))
        else:
            _table(map(self._named, self._kept))
        self._kept.clear()

    def follow(self, record: Mapping[str, Any]) -> None:
        """Print a new one."""
        if self._as_json:
            emit(self._named(record))
        else:
            _show_line(self._named(record))

    def _named(self, record: Mapping[str, Any]) -> dict[str, Any]:
        return {**record, "name": self._names.get(str(record["source"]))}

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
            ones = counted(left, "earlier one is", "earlier ones are")
            say(f"{ones} not shown: --last N shows more", err=True)


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


_STATES = re.compile("|".join(map(re.escape, State)))


def _show_line(record: Mapping[str, Any]) -> None:
    """One entry: its time, its source and the decision; below it, on a terminal, why."""
    head, *more = audit_lines(record)
    wide = columns()
    if wide is None:
        say("  ".join([head, *more]))
        return
    paint = painter()
    for at, text in enumerate((head, *more)):
        indent = " " * (4 * (at > 0))
        for line in folded(shown(text), wide - len(indent)):
            say(lead=indent + _STATES.sub(lambda found: paint(found[0], found[0]), line))


def audit_lines(record: Mapping[str, Any]) -> list[str]:
    """An entry in one or two lines."""
    about = str(record["source"] or "everything")
    if record["name"]:
        about += f' "{record["name"]}"'
    states = [str(state) for state in (record["from_state"], record["to_state"]) if state]
    decided = " -> ".join(states) if record["decision"] == "state" else str(record["decision"])
    if states and record["decision"] != "state":
        decided += f" ({' -> '.join(states)})"
    by = f"by {record['by']}" if record["by"] else ""
    why = "; ".join(str(part) for part in (by, record["reason"], record["detail"]) if part)
    return [f"{when(_number(record['time']))}  {about}: {decided}", *([why] if why else [])]


def _table(records: Iterable[Mapping[str, Any]]) -> None:
    show(
        ("time", "source", "name", "decision", "from", "to", "by", "reason", "detail"),
        [
            (
                when(_number(r["time"])), r["source"], r["name"], r["decision"], r["from_state"],
                r["to_state"], r["by"], r["reason"], r["detail"],
            )
            for r in records
        ],
    )  # fmt: skip


def _number(value: object) -> int | None:
    return value if isinstance(value, int) else None
