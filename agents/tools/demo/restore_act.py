"""Part three: a restore by tag brings the archived rows back, row for row."""

import time

from agents.tools.demo.expiry_act import await_events
from agents.tools.demo.facts import Facts, difference
from agents.tools.demo.scenario import Scenario
from agents.tools.demo.screen import Screen
from agents.tools.demo.worker import DemoWorker
from agents.tools.operator_requests import Result, ask, command
from agents.tools.oracle import Interactions
from streams.kafka.topic_reader import TopicReader
from streams.settings import Settings

__all__ = ["restore"]

RESTORE_S = 45.0
VISIBLE_S = 10.0
"""A worker reads lifecycle.state as we read lifecycle.restored: it may be a moment behind."""


async def restore(
    settings: Settings,
    scenario: Scenario,
    reader: TopicReader,
    worker: DemoWorker,
    before: Interactions,
    facts: Facts,
    screen: Screen,
) -> None:
    """Restore by tag, wait for the restore events, compare with `before`, the rows of the user's
    own source.
    """
    roles = scenario.roles
    screen.act(f"An operator restores everything with the tag {roles.restore_tag!r}")

    def on_result(result: Result) -> None:
        line = f"{result['source'] or 'the request'}: {result['outcome']}, {result['message']}"
        if result["outcome"] == "progress":
            screen.live(line)
        else:
            screen.line(f"control.results {line}")

    start = time.monotonic()
    request = command("restore", tag=roles.restore_tag, reason="spring campaign review")
    answer = await ask(settings, request, silence_s=RESTORE_S, on_result=on_result)
    facts.claim(screen, "the request was carried out", not answer.bad, str(answer.bad))
    awaited = set(roles.restored)
    events = await await_events(reader, "restored", awaited, RESTORE_S, worker, screen, scenario)
    screen.line(f"from command to event: {time.monotonic() - start:.1f} s")
    facts.restored = sorted(events)
    facts.claim(
        screen,
        "exactly the sources with that tag are back",
        set(events) == awaited == set(answer.sources),
        f"{facts.restored}",
    )
    after: Interactions = {}
    for source in events:
        await worker.visible(source, VISIBLE_S)
        after |= await worker.rows(source)
    facts.rows_equal = after == before
    facts.claim(
        screen,
        f"their {len(before):,} rows equal, row for row, those read before the expiry",
        facts.rows_equal,
        difference(after, before),
    )
