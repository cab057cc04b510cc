"""Topics in the states that accidents and mistakes leave."""

import asyncio

from aiokafka.admin import AIOKafkaAdminClient

from streams.kafka import topics as topic_admin
from streams.settings import Settings

__all__ = ["make_anew"]

DEADLINE_S = 60.0


async def make_anew(settings: Settings, topic: str) -> None:
    """Delete a topic and make it again: an empty log, from offset 0 on."""
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.bootstrap_servers)
    await admin.start()
    try:
        async with asyncio.timeout(DEADLINE_S):
            await admin.delete_topics([topic])
            made = await topic_admin.create(settings)
            while topic not in made:
                made = await topic_admin.create(settings)
    finally:
        await admin.close()
