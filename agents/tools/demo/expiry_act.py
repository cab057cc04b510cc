"""Part two of the demo: sources are stopped, kept hot, held, expired."""

import asyncio
import json
import time
from typing import Any

from agents.terminal.lines import why
from agents.terminal.table import when
from agents.tools.demo.facts import Facts, difference
from agents.tools.demo.scenario import Scenario
from agents.tools.demo.screen import Screen
from agents.tools.demo.worker import DemoWorker
from agents.tools.operator_requests import ask, command
from agents.tools.oracle import rows_of
from agents.tools.publish import publish
from schemas.errors import Fatal, UsageError
from schemas.records import codec
from schemas.records.lifecycle import SourceState, State
from schemas.words.plural import counted, plural
from streams import period
from streams.kafka.kafka_log import KafkaLog
from streams.kafka.topic_reader import TopicReader, read_table
from streams.kafka.topics import Topics
from streams.settings import Settings

__all__ = ["await_events", "expire", "stop"]

STATES_S = 30.0
EXPIRY_S = 45.0
POLL_S = 0.2


async def stop(
    settings: Settings, scenario: Scenario, worker: DemoWorker, facts: Facts, screen: Screen
) -> None:
    """An operator holds one source; the catalog stops several. Shows the resulting states."""
    roles = scenario.roles
    screen.act(f"{len(roles.stopped)} sources are stopped; retention is {settings.retention}")
    if roles.held is not None:
        request = command("hold", (roles.held,), reason="price dispute, case 4711")
        answer = await ask(settings, request, silence_s=STATES_S)
        facts.claim(screen, "an operator holds one of them", not answer.bad, str(answer.bad))
    await publish(settings, scenario.stops)
    wanted = dict.fromkeys(roles.expiring, State.STOPPED)
    wanted |= {roles.held: State.HELD} if roles.held else {}
    wanted |= {roles.kept_hot: State.EXEMPT} if roles.kept_hot else {}
    states = await _states(settings, wanted, worker)
    screen.table(
        ("source", "name", "state", "due", "why"),
        [
            (s, scenario.names.get(s, ""), states[s].state.value,
             when(states[s].due_at), why(states[s]))
            for s in roles.stopped
        ],
    )  # fmt: skip
    _kept(roles.kept_hot, roles.kept_by, states, facts, screen)
    if roles.held is not None:
        facts.exempt[roles.held] = why(states[roles.held])


def _kept(
    source: str | None,
    root: str | None,
    states: dict[str, SourceState],
    facts: Facts,
    screen: Screen,
) -> None:
    if source is None:
        return
    facts.exempt[source] = why(states[source])
    facts.claim(
        screen,
        "one stays hot: an active Canvas uses it through a segment",
        any(e.root == root and e.through for e in states[source].exempt_by),
        why(states[source]),
    )


async def _states(
    settings: Settings, wanted: dict[str, State], worker: DemoWorker
) -> dict[str, SourceState]:
    """The records in lifecycle.state, once they have the wanted states."""
    until = time.monotonic() + STATES_S
    topic = Topics(settings.prefix).state
    while True:
        table = await read_table(KafkaLog(settings), topic, "state")
        states = {source: SourceState.from_record(record) for source, record in table.items()}
        found = {s: states[s].state.value if s in states else "missing" for s in wanted}
        if found == wanted:
            return states
        worker.check()
        if time.monotonic() > until:
            wrong = {s: f"{found[s]}, not {state}" for s, state in wanted.items()
                     if found[s] != state}  # fmt: skip
            raise Fatal(f"The stopped sources did not come to rest: {wrong}", remedy="See its log")
        await asyncio.sleep(POLL_S)


async def expire(
    settings: Settings,
    scenario: Scenario,
    reader: TopicReader,
    worker: DemoWorker,
    facts: Facts,
    screen: Screen,
) -> None:
    """Wait for the expiry events; then check that their rows are refused and other rows are not."""
    roles, expected = scenario.roles, scenario.expected
    screen.act("What is due moves to the archive; a read_committed consumer sees")
    deadline = _seconds(settings) + EXPIRY_S
    events = await await_events(
        reader, "expired", set(roles.expiring), deadline, worker, screen, scenario
    )
    facts.expired = sorted(events)
    facts.claim(
        screen,
        f"exactly the {len(roles.expiring)} sources that nothing keeps have expired"
        + (", that of a tag filter among them" if roles.tag_only else ""),
        facts.expired == sorted(roles.expiring),
        f"{facts.expired}",
    )
    sizes = {source: len(rows_of(expected, source)) for source in roles.expiring}
    facts.claim(
        screen,
        "their events count every interaction",
        all(events[s]["interactions"] == sizes[s] for s in sizes),
        str({s: (events[s]["interactions"], sizes[s]) for s in sizes}),
    )
    screen.act("A query on an expired source is refused, never answered in part")
    refusals = {source: await worker.refusal(source) for source in roles.expiring}
    status, problem = refusals[roles.expiring[0]]
    screen.exact(f"GET /sources/{roles.expiring[0]}/interactions")
    screen.exact(f"{status} {json.dumps(problem)}")
    statuses = {source: status for source, (status, _) in refusals.items()}
    refused = all(status == 409 for status in statuses.values())
    facts.claim(screen, "every one of them answers 409", refused, str(statuses))
    for source in facts.exempt:
        rows = await worker.rows(source)
        same = difference(rows, rows_of(expected, source))
        facts.claim(screen, f"{source} answers as before ({facts.exempt[source]})", not same, same)


async def await_events(
    reader: TopicReader,
    name: str,
    awaited: set[str],
    deadline_s: float,
    worker: DemoWorker,
    screen: Screen,
    scenario: Scenario,
) -> dict[str, dict[str, Any]]:
    """Lifecycle events by source, each shown as it comes, until all awaited were seen.

    Raises Fatal if one is missing after the deadline, or comes twice.
    """
    start = time.monotonic()
    events: dict[str, dict[str, Any]] = {}
    while awaited - set(events):
        worker.check()
        waited = time.monotonic() - start
        if waited > deadline_s:
            missing = ", ".join(sorted(awaited - set(events)))
            raise Fatal(f"After {waited:.0f} s no lifecycle.{name} came for {missing}",
                        remedy=f"See {worker.log}")  # fmt: skip
        screen.live(f"waiting, {waited:3.0f} s", every_s=5)
        for topic, _, record in await reader.some():
            if not topic.endswith(f"lifecycle.{name}"):
                continue
            event = codec.decode(record.value or b"", name)
            source = str(event["source"])
            if source in events:
                raise Fatal(f"lifecycle.{name} told of {source} twice", remedy="This is a bug")
            if not events:
                screen.exact(f"lifecycle.{name} {json.dumps(event)}")
            screen.line(_short(name, source, scenario.names.get(source, ""), event))
            events[source] = event
    return events


def _short(name: str, source: str, title: str, event: dict[str, Any]) -> str:
    return (
        f"lifecycle.{name} {source} {title!r}: "
        f"{counted(event['interactions'], 'interaction')}, "
        f"{event['bytes'] / 1000:,.0f} kB in {event['segments']} "
        f"{plural(event['segments'], 'segment')}"
    )


def _seconds(settings: Settings) -> float:
    try:
        return period.seconds(settings.retention)
    except UsageError as error:
        raise UsageError(
            f"The demo cannot wait for {settings.retention}", remedy="Try --retention PT20S"
        ) from error
