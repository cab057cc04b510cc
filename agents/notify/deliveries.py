"""The deliveries as the topic `notifications` holds them, for whoever is not the notifier."""

from typing import Any

from agents.notify import outbox_log
from agents.notify.outbox import Delivery, DeliveryState, Outbox
from streams.kafka.foreign_records import own_key, pass_over
from streams.kafka.log import Log
from streams.kafka.topic_reader import read_stored
from streams.kafka.topics import Topics

__all__ = ["deliveries", "facts"]


async def deliveries(kafka: Log, prefix: str) -> list[Delivery]:
    """All that are kept, oldest first. Raises Recoverable without a broker, Fatal without a
    topic.
    """
    topic = Topics(prefix).notifications
    found = outbox_log.FoundOutbox(Outbox(prefix))
    async for _, partition, record in read_stored(kafka, topic):
        try:
            outbox_log.apply(found, own_key(record.key) or "", record.value)
        except ValueError as error:
            pass_over(topic, partition, record.offset, str(error))
    return sorted(found.outbox.deliveries.values(), key=lambda one: (one.created, one.id))


def facts(one: Delivery) -> dict[str, Any]:
    """A delivery as people and programs see it; the recipient without a password."""
    return {
        "id": one.id,
        "type": one.kind,
        "channel": one.channel,
        "to": one.shown,
        "state": one.state,
        "created": one.created,
        "changed": one.changed,
        "attempts": one.attempts,
        "next_at": one.next_at if one.state is DeliveryState.PENDING else None,
        "error": one.error or None,
    }
