"""`emberline status`: every source's state, due date and reason, and the worker's figures."""

import asyncio
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import click

from agents.cli.completing import TAG
from agents.cli.loading import importing
from agents.cli.options import Word, emit, json_option, run, settings_of
from agents.coordinator.rules.sweep_state import RetentionSweep
from agents.names.form import folded
from agents.terminal.amounts import day, when
from agents.terminal.lines import misspelt_lines, why
from agents.terminal.say import clear, say
from agents.terminal.table import columns, prose, show
from schemas.errors import Recoverable
from schemas.records.lifecycle import SOURCE_KINDS, WORKING, SourceState, State
from schemas.words.plural import counted, plural
from streams.clock import SystemClock
from streams.kafka.topic_specs import TopicProblem
from streams.settings import Settings

if TYPE_CHECKING:
    from agents.cli.status_facts import StatusFacts

__all__ = [
    "StatusFilter",
    "command",
    "rejected_lines",
    "show_status",
    "sweep_lines",
    "undelivered_lines",
    "worker_line",
]

_ON_SCREEN = 50
"""Sources that a terminal shows, unless `--limit` says otherwise."""
_WATCH_S = 2.0
_AROUND = 8
"""Lines of a watched screen that are not of sources."""
_ORDER = (
    *(State.EXPIRING, State.RESTORING, State.UNKNOWN, State.STOPPED),
    *(State.EXPIRED, State.HELD, State.EXEMPT, State.ACTIVE),
)
"""On a terminal, what changes next comes first."""


@dataclass(frozen=True, slots=True)
class StatusFilter:
    """The sources that are asked for; None: any. `limit` 0: all of them."""

    name: str | None = None
    tag: str | None = None
    kind: str | None = None
    state: str | None = None
    limit: int | None = None

    def takes(self, record: SourceState) -> bool:
        """Whether a source is one of them, by the rules of `GET /sources`."""
        text = folded(self.name or "")
        return (
            (self.state is None or record.state == self.state)
            and (self.kind is None or record.source.startswith(f"{self.kind}:"))
            and (self.tag is None or self.tag in record.tags)
            and (text in folded(record.name) or text in folded(record.source))
        )


@click.command("status", help="Show every source's state, when it is due and why.")
@click.option("--name", metavar="TEXT", help="Only sources with this anywhere in name or id.")
@click.option("--tag", type=TAG, metavar="TAG", help="Only sources with this tag.")
@click.option("--kind", type=Word(SOURCE_KINDS), help="Only campaigns, or only Canvases.")
@click.option("--state", type=Word(State), help="Only sources in this state.")
@click.option(
    "--limit",
    type=click.IntRange(0),
    help=f"Only so many sources; 0: all.  [default: {_ON_SCREEN} on a terminal, else all]",
)
@click.option(
    "--watch",
    type=click.FloatRange(0.5),
    is_flag=False,
    flag_value=_WATCH_S,
    metavar="[SECONDS]",
    help="Show it again every so many seconds until Ctrl-C.",
)
@json_option
@click.pass_context
def command(ctx: click.Context, /, watch: float | None, as_json: bool, **wanted: Any) -> None:
    """The states that the coordinator has last written; figures of the worker if it answers."""
    run(_status(settings_of(ctx), StatusFilter(**wanted), watch, as_json))


async def _status(
    settings: Settings, wanted: StatusFilter, watch: float | None, as_json: bool
) -> None:
    with importing():
        from agents.cli.status_facts import read  # HTTP and Kafka: help needs neither

    shown = False
    while True:
        now = SystemClock().now_ms()
        try:
            facts = await read(settings, now)
        except Recoverable as error:
            # who watches a restart sees its end; without a first answer something else is wrong
            if watch is None or not shown:
                raise
            _show_error(error, as_json=as_json)
            await asyncio.sleep(watch)
            continue
        shown = True
        if as_json:
            emit(_json(facts, wanted))
        else:
            if watch is not None and columns() is not None:
                clear()
            show_status(facts, wanted, now, watched=watch is not None)
        if watch is None:
            return
        await asyncio.sleep(watch)


def _show_error(error: Recoverable, *, as_json: bool) -> None:
    """Of a watched status that is not known at this moment."""
    if as_json:
        emit({"error": {"message": error.message, "remedy": error.remedy or None}})
        return
    if columns() is not None:
        clear()
    prose(f"{error.message}. {error.remedy}".rstrip(". "))


def _json(facts: "StatusFacts", wanted: StatusFilter) -> dict[str, Any]:
    shown = [record for record in facts.sources if wanted.takes(record)]
    error = facts.worker.get("error")
    return {
        "counts": Counter(record.state.value for record in facts.sources),
        "matching": len(shown),
        "sources": [
            record.to_record() | {"why": why(record)} for record in shown[: wanted.limit or None]
        ],
        "worker": None if error else facts.worker,
        "worker_error": error,
        "sweep": asdict(facts.sweep),
        "rejected_last_hour": facts.rejected,
        "notifications_failed": facts.undelivered,
    }


def show_status(
    facts: "StatusFacts", wanted: StatusFilter, now_ms: int, *, watched: bool = False
) -> None:
    """Print it: sources, their number by state, and what is amiss."""
    found = [record for record in facts.sources if wanted.takes(record)]
    _show_sources(found, _most(wanted, watched), now_ms)
    counts = Counter(record.state.value for record in facts.sources)
    say()
    prose(", ".join(f"{n:,} {name}" for name, n in sorted(counts.items())) or "no sources")
    if len(found) != len(facts.sources):
        every = len(facts.sources)
        match = plural(len(found), "matches", "match")
        prose(f"{len(found):,} of {counted(every, 'source')} {match}")
    worker = facts.worker
    for line in (
        *sweep_lines(facts.sweep),
        *rejected_lines(facts.rejected),
        *undelivered_lines(facts.undelivered),
        worker_line(worker),
        *topic_lines(worker),
        *unreadable_lines(worker),
        *misspelt_lines(worker.get("misspelt", ())),
    ):
        prose(line)


def _most(wanted: StatusFilter, watched: bool) -> int | None:
    """As many sources are shown; None: all."""
    if wanted.limit is not None or columns() is None:
        return wanted.limit or None
    if watched:
        return max(1, min(_ON_SCREEN, shutil.get_terminal_size().lines - _AROUND))
    return _ON_SCREEN


def _show_sources(found: Sequence[SourceState], most: int | None, now_ms: int) -> None:
    terminal = columns() is not None
    # programs count columns and times; people look for what happens next
    ordered = sorted(found, key=_urgency) if terminal else found
    show(
        ("source", "name", "state", "due", "archived", "why"),
        [
            (
                record.source,
                record.name,
                record.state.value,
                _due(record, now_ms) if terminal else when(record.due_at),
                record.interactions or None,
                why(record),
            )
            for record in ordered[:most]
        ],
    )
    if most is not None and len(found) > most:
        rest = len(found) - most
        say()
        prose(
            f"{rest:,} more {plural(rest, 'source')}: --name, --tag, --kind and --state find some, "
            "--limit 0 shows all"
        )


def _urgency(record: SourceState) -> tuple[bool, int, int, str]:
    due = record.due_at if record.due_at is not None else 1 << 62
    amiss = bool(record.stuck) or record.failure is not None
    return (not amiss, _ORDER.index(record.state), due, record.source)


def _due(record: SourceState, now_ms: int) -> str:
    return "" if record.due_at is None or record.state in WORKING else day(record.due_at, now_ms)


def rejected_lines(rejected: Mapping[str, Any] | None) -> Iterator[str]:
    """The records that were rejected in the last hour."""
    if rejected is None:
        yield "How many records were rejected in the last hour is not known"
    elif rejected["total"]:
        codes: Counter[str] = Counter()
        for one in rejected["counts"]:
            codes[one["code"]] += one["count"]
        listed = ", ".join(f"{count:,} {code}" for code, count in codes.most_common())
        least = "" if rejected["complete"] else "at least "
        records = counted(rejected["total"], "record was", "records were")
        yield (
            f"{least}{records} rejected in the last hour ({listed}): "
            "`emberline rejected list` says why"
        )


def undelivered_lines(count: int | None) -> Iterator[str]:
    """The deliveries of mail and webhooks that failed for good."""
    if count is None:
        yield "How many deliveries of mail and webhooks failed is not known"
    elif count:
        yield (
            f"{counted(count, 'delivery', 'deliveries')} of mail or webhooks failed: "
            "`emberline notify list` says why, `emberline notify retry` tries again"
        )


def worker_line(worker: Mapping[str, Any]) -> str:
    """The worker in one line."""
    if "error" in worker:
        return str(worker["error"])
    shards = worker.get("shards", [])
    lags = [shard.get("cursor_lag", 0) for shard in shards]
    held = sum(sum(shard.get("held_back", {}).values()) for shard in shards)
    recovering = sum(not shard.get("ready") for shard in shards)
    behind = "how far behind is not known"
    if None not in lags:
        behind = f"{counted(sum(lags), 'event')} behind"
    if held:
        behind += f" ({held:,} of them behind an open transaction of a producer)"
    ready = "ready" if worker.get("ready") else "not ready"
    owned = set(map(int, worker.get("directory", ())))
    unowned = set(range(worker.get("partitions", 0))) - owned
    missing = sorted(unowned.union(worker["missing_shards"]))
    recover = plural(recovering, "recovers", "recover")
    reasons = [f"{recovering} of its shards {recover}"] if recovering else []
    if missing:
        reasons.append(f"nobody answers for {plural(len(missing), 'shard')} {_spans(missing)}")
    if reasons:
        ready = f"not ready: {', '.join(reasons)}"
    owns = f"{len(shards)} {plural(len(shards), 'shard')}"
    return f"worker {worker.get('address')}: {ready}, {owns}, {behind}"


def _spans(numbers: Iterable[int]) -> str:
    """`0 to 5, 9`."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ", ".join(
        str(first) if first == last else f"{first}{', ' if last == first + 1 else ' to '}{last}"
        for first, last in spans
    )


def topic_lines(worker: Mapping[str, Any]) -> Iterator[str]:
    """The problems of topics that the running worker has found."""
    for found in worker.get("topics", ()):
        yield f"topic {TopicProblem(**found)}. {found['remedy']}"


def sweep_lines(sweep: RetentionSweep) -> Iterator[str]:
    """What keeps due sources from expiring."""
    if sweep.paused:
        yield "The sweep is paused: nothing expires by itself until `emberline resume`"
    if sweep.awaiting:
        yield (
            f"{counted(sweep.awaiting, 'source is', 'sources are')} due at once: "
            f"`emberline confirm {sweep.question or 'ID'}` lets "
            f"{plural(sweep.awaiting, 'it', 'them')} expire, `emberline hold` keeps one"
        )
    if sweep.skewed:
        yield "The sweep is suspended: the broker's clock and the worker's differ, mend them"
    if sweep.archive_fault:
        yield f"The sweep is suspended, and nothing expires: {sweep.archive_fault}"


def unreadable_lines(worker: Mapping[str, Any]) -> Iterator[str]:
    """Definitions that cannot be read."""
    found = worker.get("unreadable") or {}
    if found.get("count"):
        named = "; ".join(f"{key} ({detail})" for key, detail in found["first"].items())
        some = counted(found["count"], "definition")
        they = plural(found["count"], "it names", "they name")
        yield f"{some} cannot be read, what {they} stays hot: {named}"
