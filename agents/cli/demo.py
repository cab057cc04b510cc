"""`emberline demo`: shows and checks the promises of the product in two minutes."""

import signal
import sys
import threading
import time
from pathlib import Path

import click

from agents.cli.options import emit, json_option, run, settings_of
from agents.terminal.say import say
from agents.tools.demo.facts import Facts, to_try
from agents.tools.demo.generator import SPAN_MS, generate
from agents.tools.demo.scenario import Scenario, of_day, of_files
from agents.tools.demo.screen import Screen
from agents.tools.demo.show import OWN_SETTINGS, Stage, play
from agents.tools.demo.worker import exports

__all__ = ["command"]

EVENTS = 300_000
SEED = 7


@click.command(
    "demo", help="Play a day: events in, expiry to the archive, restore; every claim is checked."
)
@click.option("--events", type=click.IntRange(1_000), default=EVENTS, show_default=True)
@click.option("--seed", type=int, default=SEED, show_default=True, help="Another day.")
@click.option(
    "--file",
    "files",
    multiple=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="Your own events (Avro or JSON lines, as for import). May be repeated.",
)
@click.argument("more_files", nargs=-1, type=click.Path(dir_okay=False, path_type=Path))
@click.option("--keep", is_flag=True, help="Leave worker and broker running; print addresses.")
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    events: int,
    seed: int,
    files: tuple[Path, ...],
    more_files: tuple[Path, ...],
    keep: bool,
    as_json: bool,
) -> None:
    """Exits with 0 only if every claim was checked and is true."""
    own = (*files, *more_files)
    now_ms = time.time_ns() // 1_000_000

    def scenario(partitions: int) -> Scenario:
        if own:
            return of_files(own, now_ms)
        return of_day(generate(seed, events, now_ms - SPAN_MS), partitions)

    def failed(tail: str) -> None:
        if tail.strip():
            say("the end of the worker's log:", err=True)
            for line in tail.splitlines():
                say(line, err=True)

    # the default action of SIGTERM would leave no time to end worker and broker
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    screen = Screen(quiet=as_json)
    facts, stage = run(play(settings_of(ctx), scenario, screen, keep=keep, failed=failed))
    if as_json:
        emit(facts.to_json() | (_kept(stage) if keep else {}))
    else:
        _summary(facts, screen)
        if keep:
            _addresses(stage, screen)
        _page(facts, stage, screen, keep=keep)
    ctx.exit(0 if facts.good else 1)


def _summary(facts: Facts, screen: Screen) -> None:
    screen.act("In short")
    screen.table(
        ("what", "how many"),
        [
            ("events", facts.events),
            ("interactions", facts.interactions),
            ("malformed events rejected", facts.rejected),
            ("misplaced events forwarded", facts.forwarded),
            ("sources expired to the archive", len(facts.expired)),
            ("sources kept hot (used, or held)", len(facts.exempt)),
            ("sources restored, row for row", len(facts.restored) if facts.rows_equal else 0),
            ("seconds", round(facts.seconds)),
        ],
    )
    good = sum(facts.claims.values())
    screen.tick(f"{good} of {len(facts.claims)} claims are true", facts.good)


def _kept(stage: Stage) -> dict[str, object]:
    return {
        "bootstrap_servers": stage.settings.bootstrap_servers,
        "prefix": stage.settings.prefix,
        "url": stage.url,
        "worker_pid": stage.worker_pid,
        "broker_pid": stage.broker_pid,
        "log": str(stage.log),
    }


def _addresses(stage: Stage, screen: Screen) -> None:
    port = stage.url.rpartition(":")[2]
    screen.act("Left running")
    pids = [str(pid) for pid in (stage.worker_pid, stage.broker_pid) if pid is not None]
    of_broker = "" if stage.broker_pid is None else f" (process {stage.broker_pid})"
    screen.line(f"worker  {stage.url} (process {stage.worker_pid}), log {stage.log}")
    screen.line(f"broker  {stage.settings.bootstrap_servers}{of_broker}")
    screen.line(f"sources that are stopped expire again after {stage.settings.retention}")
    screen.line("to ask them:")
    screen.exact(f"export KAFKA_BOOTSTRAP_SERVERS={stage.settings.bootstrap_servers}")
    screen.exact(f"export EMBERLINE_PREFIX={stage.settings.prefix} EMBERLINE_HTTP_PORT={port}")
    known = exports(stage.settings)
    shown = {
        f"EMBERLINE_{name.upper()}" for name in OWN_SETTINGS if name != "http_port"
    } & known.keys()
    screen.exact(f"export {' '.join(f'{name}={known[name]}' for name in sorted(shown))}")
    screen.exact(f"{sys.argv[0]} status")
    screen.line("to end them:")
    screen.exact(f"kill {' '.join(pids)}")


def _page(facts: Facts, stage: Stage, screen: Screen, *, keep: bool) -> None:
    """The address of the page, and what to try there."""
    screen.act("The page")
    if keep:
        screen.line(f"open {stage.url} in a browser, and try:")
    else:
        screen.line("the worker of this demo has ended; keep one running with")
        screen.exact(f"{sys.argv[0]} demo --keep")
        screen.line("open its address in a browser, and try:")

    for number, thing in enumerate(to_try(facts, stage.names), 1):
        screen.line(f"{number}  {thing}")
