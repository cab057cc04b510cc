"""`emberline status`: every source's state, due date and reason, and the worker's figures."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

import click

from agents.cli.loading import importing
from agents.cli.options import Word, emit, json_option, run, settings_of
from agents.coordinator.rules.sweep_state import RetentionSweep
from agents.terminal.lines import misspelt_lines, why
from agents.terminal.say import say
from agents.terminal.table import show, when
from schemas.records.lifecycle import State
from streams.kafka.topic_specs import TopicProblem

__all__ = ["command", "sweep_lines", "worker_line"]


@click.command("status", help="Show every source's state, when it is due and why.")
@click.option("--state", type=Word(State), help="Only sources in this state.")
@json_option
@click.pass_context
def command(ctx: click.Context, state: str | None, as_json: bool) -> None:
    """The states that the coordinator has last written; figures of the worker if it answers."""
    with importing():
        from agents.cli.status_facts import read  # HTTP and Kafka: help needs neither

    found, sweep, worker = run(read(settings_of(ctx)))
    counts = Counter(record.state.value for record in found)
    shown = [r for r in found if state is None or r.state == state]
    if as_json:
        records = [record.to_record() | {"why": why(record)} for record in shown]
        error = worker.get("error")
        emit(
            {
                "counts": counts,
                "sources": records,
                "worker": None if error else worker,
                "worker_error": error,
                "sweep": asdict(sweep),
            }
        )
        return
    show(
        ("source", "name", "state", "due", "archived", "why"),
        [
            (r.source, r.name, r.state.value, when(r.due_at), r.interactions or None, why(r))
            for r in shown
        ],
    )
    say()
    say(", ".join(f"{n:,} {name}" for name, n in sorted(counts.items())) or "no sources")
    more = (*unreadable_lines(worker), *misspelt_lines(worker.get("misspelt", ())))
    for line in (*sweep_lines(sweep), worker_line(worker), *topic_lines(worker), *more):
        say(line)


def worker_line(worker: Mapping[str, Any]) -> str:
    """The worker in one line."""
    if "error" in worker:
        return str(worker["error"])
    shards = worker.get("shards", [])
    lags = [shard.get("cursor_lag", 0) for shard in shards]
    held = sum(sum(shard.get("held_back", {}).values()) for shard in shards)
    recovering = sum(not shard.get("ready") for shard in shards)
    behind = "how far behind is not known" if None in lags else f"{sum(lags):,} events behind"
    if held:
        behind += f" ({held:,} of them behind an open transaction of a producer)"
    ready = "ready" if worker.get("ready") else "not ready"
    if recovering:
        ready += f": {recovering} of its shards recover"
    elif worker["missing_shards"]:
        missing = ", ".join(map(str, worker["missing_shards"]))
        ready = f"not ready: nobody answers for shards {missing}"
    return f"worker {worker.get('address')}: {ready}, {len(shards)} shards, {behind}"


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
            f"{sweep.awaiting:,} sources are due at once: "
            f"`emberline confirm {sweep.question or 'ID'}` lets them expire, "
            "`emberline hold` keeps one"
        )
    if sweep.skewed:
        yield "The sweep is suspended: the broker's clock and the worker's differ, mend them"


def unreadable_lines(worker: Mapping[str, Any]) -> Iterator[str]:
    """Definitions that cannot be read."""
    found = worker.get("unreadable") or {}
    if found.get("count"):
        named = "; ".join(f"{key} ({detail})" for key, detail in found["first"].items())
        yield f"{found['count']:,} definitions cannot be read, what they name stays hot: {named}"
