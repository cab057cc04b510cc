"""`emberline bench`: throughput and latency of the worker, measured on whole processes."""

import asyncio
import dataclasses
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import click

from agents.cli.group import Words
from agents.cli.options import emit, json_option, settings_of
from agents.terminal.say import say as out
from agents.tools.bench.events import EventsOptions as Events
from agents.tools.bench.events import events
from agents.tools.bench.field import Ground, ground
from agents.tools.bench.figures import BenchReport
from agents.tools.bench.ingest import IngestOptions as Ingest
from agents.tools.bench.ingest import ingest
from agents.tools.bench.latency import LatencyOptions as Latency
from agents.tools.bench.latency import latency
from agents.tools.bench.lifecycle import LifecycleOptions as Lifecycle
from agents.tools.bench.lifecycle import lifecycle
from agents.tools.bench.metered import metered_ingest
from agents.tools.bench.page import PageOptions as Page
from agents.tools.bench.page import page
from agents.tools.bench.query import QueryOptions as Query
from agents.tools.bench.query import query
from agents.tools.bench.recovery import RecoveryOptions as Recovery
from agents.tools.bench.recovery import recovery
from agents.tools.bench.secured import secured_grounds, secured_ingest
from agents.tools.bench.soak import SoakOptions as Soak
from agents.tools.bench.soak import soak

__all__ = ["command"]

Options = TypeVar("Options")
Say = Callable[[str], None]
_COUNT = click.IntRange(min=1)


@click.group(
    "bench",
    cls=Words,
    help="Measure ingest, lifecycle, latency, recovery, queries, listeners, pages and a long load.",
)
def command() -> None:
    """Nothing by itself."""


def _options(kind: type[Any], **helps: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """An option for every field that has a help text, with the field's default."""
    defaults = {part.name: part.default for part in dataclasses.fields(kind)}

    def add(function: Callable[..., None]) -> Callable[..., None]:
        for name, text in reversed(helps.items()):
            default = defaults[name]
            least = click.IntRange(min=0) if default == 0 else _COUNT
            number = least if isinstance(default, int) else click.FloatRange(0, min_open=True)
            flag = f"--{name.replace('_', '-')}"
            function = click.option(
                flag, name, type=number, default=default, show_default=True, help=text
            )(function)
        return json_option(click.pass_context(function))

    return add


def _measure(
    ctx: click.Context,
    as_json: bool,
    work: Callable[[Ground, Options, Say], Coroutine[Any, Any, BenchReport]],
    options: Options,
) -> None:
    """Run a benchmark on a broker and print its results; exit code 1 if states differ, or a limit
    was missed.
    """

    def say(sentence: str) -> None:
        out(sentence, err=True)

    with ground(settings_of(ctx), say) as where:
        report = asyncio.run(work(where, options, say))
    _show(ctx, as_json, report)


def _show(ctx: click.Context, as_json: bool, report: BenchReport) -> None:
    if as_json:
        emit(report.as_json())
    else:
        for line in report.table().splitlines():
            out(line)
    ctx.exit(0 if all((*report.agree.values(), *report.kept.values())) else 1)


@command.command("ingest", help="Events a second, beside Faust's table, Quix and bare consumption.")
@click.option("--peers/--no-peers", default=True, show_default=True, help="Measure them too.")
@click.option(
    "--secured",
    is_flag=True,
    help="Measure TLS with SCRAM beside plain connections instead, on a new local broker.",
)
@click.option(
    "--metered",
    is_flag=True,
    help="Measure a worker beside one whose metrics count nothing instead.",
)
@_options(
    Ingest,
    events="Events that the worker takes in.",
    sources="Campaigns they are of.",
    many_sources="Campaigns of the second measurement, by a Zipf law.",
    erased="Users erased before a third measurement; none without it.",
    faust_events="Events for the Faust agent, which takes few a second.",
    quix_events="Events for Quix Streams.",
    quix_processes="Processes of Quix Streams.",
    runs="Runs of everything.",
)
def _ingest(ctx: click.Context, as_json: bool, secured: bool, metered: bool, **given: Any) -> None:
    if secured and metered:
        raise click.UsageError("--secured and --metered are measured one at a time")
    options = Ingest(**given, partitions=_partitions(ctx))
    if not secured:
        _measure(ctx, as_json, metered_ingest if metered else ingest, options)
        return

    def say(sentence: str) -> None:
        out(sentence, err=True)

    with secured_grounds(say) as grounds:
        report = asyncio.run(secured_ingest(grounds, options, say))
    _show(ctx, as_json, report)


@command.command("lifecycle", help="Seconds from a command to the event that says it is done.")
@_options(
    Lifecycle,
    interactions="Interactions of the large source.",
    small="Interactions of the small one.",
    beside_rate="Events a second that are offered beside.",
    sources="Campaigns of the events beside.",
    runs="Runs of everything.",
)
def _lifecycle(ctx: click.Context, as_json: bool, **given: Any) -> None:
    _measure(ctx, as_json, lifecycle, Lifecycle(**given, partitions=_partitions(ctx)))


@command.command("latency", help="Delay from produce to readable under load, 99th percentile.")
@_options(
    Latency,
    rate="Events a second that are offered.",
    seconds="Seconds of every run.",
    sources="Campaigns they are of.",
    runs="Runs.",
)
def _latency(ctx: click.Context, as_json: bool, **given: Any) -> None:
    _measure(ctx, as_json, latency, Latency(**given, partitions=_partitions(ctx)))


@command.command("recovery", help="Interactions a second when a worker's disk is gone.")
@_options(Recovery, interactions="Interactions to recover.", runs="Runs.")
def _recovery(ctx: click.Context, as_json: bool, **given: Any) -> None:
    _measure(ctx, as_json, recovery, Recovery(**given, partitions=_partitions(ctx)))


@command.command("query", help="Seconds of an audience, beside DuckDB over the same rows.")
@_options(
    Query,
    interactions="Interactions of the large source.",
    each="Interactions of each of the five sources of the other question.",
    beside_rate="Events a second that are offered beside.",
    runs="Runs of every question.",
    erased="Users erased before the questions are asked once more; none without it.",
    merged="Users merged into others before the questions are asked once more; none without it.",
)
def _query(ctx: click.Context, as_json: bool, **given: Any) -> None:
    _measure(ctx, as_json, query, Query(**given, partitions=_partitions(ctx)))


@command.command("events", help="What listeners of GET /events cost ingest, and what they see.")
@_options(
    Events,
    events="Events of every backlog.",
    sources="Campaigns they are of.",
    listeners="Listeners.",
    sample="Listeners that read what the events say.",
    changes="Changes of states a second.",
    seconds="Seconds that the listeners listen, at least.",
    runs="Runs with listeners.",
)
def _events(ctx: click.Context, as_json: bool, **given: Any) -> None:
    _measure(ctx, as_json, events, Events(**given, partitions=_partitions(ctx)))


@command.command("page", help="What open pages cost ingest, and how quickly they are served.")
@_options(
    Page,
    events="Events of every backlog.",
    sources="Campaigns they are of.",
    pages="Open pages.",
    every="Seconds between two reads of each page.",
    changes="Changes of states a second.",
    seconds="Seconds that the pages are open, at least.",
    runs="Runs with pages.",
)
def _page(ctx: click.Context, as_json: bool, **given: Any) -> None:
    _measure(ctx, as_json, page, Page(**given, partitions=_partitions(ctx)))


@command.command("soak", help="Whether memory, disk and times stay flat under a long load.")
@_options(
    Soak,
    minutes="Minutes of load.",
    rate="Events a second that are offered.",
    sources="Campaigns they are of.",
    pool="Events that are published again and again, with new ids and times.",
    moved="Interactions of the source that expires and comes back.",
)
def _soak(ctx: click.Context, as_json: bool, **given: Any) -> None:
    _measure(ctx, as_json, soak, Soak(**given, partitions=_partitions(ctx)))


def _partitions(ctx: click.Context) -> int:
    """The number of shards: from the settings if it is set there, else 4."""
    settings = settings_of(ctx)
    return 4 if settings.origins["partitions"] == "default" else settings.partitions
