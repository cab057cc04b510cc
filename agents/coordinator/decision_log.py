"""The decisions of a step in the worker's log: one line each, of very many the first ones."""

import logging

from agents.coordinator.rules.decision import Decision
from streams.log_facts import facts

__all__ = ["MOST", "say"]

log = logging.getLogger(__name__)

MOST = 20
"""Decisions of one step that have a line each; the others are counted. The audit has all."""


def say(decision: Decision, step: str) -> None:
    """Log what a committed step has decided. Reasons and details stay in the audit: they quote
    what others have written.
    """
    entries = [output for output in decision.outputs if output.topic == "audit"]
    for output in entries[:MOST]:
        found = output.record
        source, to = found["source"] or "", found["to_state"]
        log.info(
            f"coordinator: {found['decision']}{' of ' * bool(source)}{source}",
            extra=facts(
                decision=found["decision"],
                source=source,
                state=to,
                version=found["version"],
                request=found["request_id"],
                step=step,
                trace=output.trace,
            ),
        )
    if len(entries) > MOST:
        log.info("coordinator: %d more decisions", len(entries) - MOST, extra=facts(step=step))
