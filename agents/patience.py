"""Waiting for the broker: one voice for a whole worker, however many parts of it wait."""

import asyncio
import logging

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError

from streams.settings import Settings

__all__ = ["BrokerGate"]

log = logging.getLogger(__name__)

ATTEMPT_S = 3.0
PAUSE_S = 0.5
SAY_EVERY_S = 5.0
WATCH_EVERY_S = 2.0


class BrokerGate:
    """Lets through as soon as the broker answers."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = asyncio.Lock()

    async def passed(self) -> None:
        """Return once the broker answers; meanwhile say every few seconds what is awaited.

        Waits for ever: whoever does not want to cancels.
        """
        loop = asyncio.get_running_loop()
        said = None
        async with self._lock:
            while not await self._answers():
                if said is None or loop.time() - said >= SAY_EVERY_S:
                    log.warning("waiting for the broker at %s", self._settings.bootstrap_servers)
                    said = loop.time()
                await asyncio.sleep(PAUSE_S)
        if said is not None:
            log.info("the broker at %s answers", self._settings.bootstrap_servers)

    async def run(self) -> None:
        """Say when the broker goes and when it comes back, until cancelled."""
        while True:
            await self.passed()
            await asyncio.sleep(WATCH_EVERY_S)

    async def _answers(self) -> bool:
        client = AIOKafkaClient(
            bootstrap_servers=self._settings.bootstrap_servers,
            client_id=self._settings.client_id,
            request_timeout_ms=int(ATTEMPT_S * 1000),
        )
        try:
            async with asyncio.timeout(ATTEMPT_S):
                await client.bootstrap()
        except (KafkaError, TimeoutError, OSError):
            return False
        finally:
            await client.close()
        return True
