"""Asks the notifier to try failed deliveries again."""

from collections.abc import Collection
from dataclasses import dataclass

from agents.notify import outbox_log
from agents.notify.deliveries import deliveries
from agents.notify.outbox import DeliveryState
from streams.clock import Clock
from streams.kafka.log import Log
from streams.kafka.topics import Topics

__all__ = ["Retried", "retry"]


@dataclass(frozen=True, slots=True)
class Retried:
    """The ids of deliveries that are tried again, and of those that have not failed."""

    retried: tuple[str, ...]
    not_failed: tuple[str, ...] = ()


async def retry(
    kafka: Log, prefix: str, clock: Clock, ids: Collection[str] | None = None, *, part: bool = False
) -> Retried:
    """Write to the topic which failed deliveries are tried again: those of `ids`, or all.

    If some of `ids` have not failed, nothing is written, unless `part`. Raises Recoverable without
    a broker, Fatal without a topic.
    """
    found = await deliveries(kafka, prefix)
    failed = [one.id for one in found if one.state is DeliveryState.FAILED]
    chosen = failed if ids is None else list(dict.fromkeys(ids))
    known = tuple(one for one in chosen if one in set(failed))
    others = tuple(one for one in chosen if one not in set(failed))
    if others and not part:
        return Retried((), others)
    if known:
        topic = Topics(prefix).notifications
        appender = kafka.appender("notify-retry")
        try:
            for one in [outbox_log.ALL] if ids is None else known:
                key = f"{outbox_log.RETRY}{one}"
                await appender.append(outbox_log.record(topic, key, {"time": clock.now_ms()}))
        finally:
            await appender.close()
    return Retried(known, others)
