"""`emberline bridge`: a topic of Currents events becomes records of emberline, exactly once."""

import asyncio
import signal
from dataclasses import asdict

import click

from agents.cli.options import Word, emit, json_option, run, settings_of
from agents.terminal.say import say
from agents.tools.feed.arrived import ArrivedMapper
from agents.tools.feed.bridge import Bridged, bridge
from agents.tools.records import ids_of
from schemas.records.registry import FILES
from schemas.words.plural import counted
from streams.clock import SystemClock
from streams.kafka.remote_registry import registry_of
from streams.settings import Settings

__all__ = ["command"]

EVERY_S = 10.0


@click.command("bridge", help="Write the Currents events of TOPICS to emberline's topics.")
@click.argument("topics", nargs=-1, required=True)
@click.option(
    "--from",
    "source",
    type=Word(["braze-currents"]),
    default="braze-currents",
    show_default=True,
    help="What the topics have.",
)
@click.option("--group", metavar="NAME", help="Whose offsets count.  [default: PREFIXbridge]")
@click.option(
    "--instance",
    metavar="NAME",
    help="Name of this bridge in the group: it keeps its partitions while it restarts.",
)
@click.option("--once", is_flag=True, help="End at the present ends of the topics.")
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    topics: tuple[str, ...],
    source: str,
    group: str | None,
    instance: str | None,
    once: bool,
    as_json: bool,
) -> None:
    """TOPICS are whole names. Runs until SIGTERM or Ctrl-C; each event is written exactly once.

    What cannot be mapped goes to the topic `rejected`.
    """
    settings = settings_of(ctx)
    group = group or f"{settings.prefix}bridge"
    done = run(_bridge(settings, topics, (group, instance), once))
    if as_json:
        emit(asdict(done))
    else:
        _say(done)


async def _bridge(
    settings: Settings, topics: tuple[str, ...], member: tuple[str, str | None], once: bool
) -> Bridged:
    group, instance = member
    schemas = registry_of(settings) or FILES
    mapper = ArrivedMapper(schemas, ids_of(settings), settings.max_field_bytes, SystemClock())
    last, following = Bridged(), EVERY_S

    def progress(done: Bridged) -> None:
        nonlocal last, following
        last = done
        if done.seconds >= following:
            following = done.seconds + EVERY_S
            _say(done, err=True)

    work = asyncio.create_task(
        bridge(settings, topics, group, mapper, instance=instance, once=once, progress=progress)
    )
    asked = False

    def stop() -> None:
        nonlocal asked
        asked = True
        work.cancel()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    try:
        return await work
    except asyncio.CancelledError:
        if not asked:
            raise
        return last


def _say(done: Bridged, *, err: bool = False) -> None:
    rejected = f", {done.rejected:,} rejected" * bool(done.rejected)
    say(f"{counted(done.read, 'event')} read, {done.sent:,} records sent{rejected}", err=err)
