"""The deliveries as the topic `notifications` holds them, for whoever is not the notifier."""

from agents.notify import outbox_log
from agents.notify.outbox import Delivery, Outbox
from streams.kafka.foreign_records import own_key, pass_over
from streams.kafka.log import Log
from streams.kafka.topic_reader import read_each
from streams.kafka.topics import Topics

__all__ = ["deliveries"]


async def deliveries(kafka: Log, prefix: str) -> list[Delivery]:
    """All that are kept, oldest first. Raises Recoverable without a broker, Fatal without a
    topic.
    """
    topic = Topics(prefix).notifications
    found = outbox_log.FoundOutbox(Outbox(prefix))
    async for _, partition, record in read_each(kafka, topic):
        try:
            outbox_log.apply(found, own_key(record.key) or "", record.value)
        except ValueError as error:
            pass_over(topic, partition, record.offset, str(error))
    return sorted(found.outbox.deliveries.values(), key=lambda one: (one.created, one.id))
