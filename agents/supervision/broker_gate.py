"""Waits for the broker, with one check and one log message for a whole worker."""

import asyncio
import logging

from streams.kafka.log import Log
from streams.kafka.refusal import BrokerRefuses

__all__ = ["BrokerGate"]

log = logging.getLogger(__name__)

HOST_S = 1.0
PAUSE_S = 0.5
SAY_EVERY_S = 5.0
WATCH_EVERY_S = 2.0


class BrokerGate:
    """Opens as soon as a broker answers: one check for all waiting tasks.

    `trouble` says why brokers refuse new connections, if they do: a password or a certificate may
    expire while a worker runs. The gate waits on, until it is renewed. If `patient` is false,
    it raises BrokerRefuses.
    """

    def __init__(self, kafka: Log, *, patient: bool = True) -> None:
        self.trouble = ""
        self._kafka = kafka
        self._patient = patient
        self._lock = asyncio.Lock()
        self._answered_at = float("-inf")

    async def passed(self) -> None:
        """Return once a broker answers; meanwhile log every few seconds what is awaited.

        Waits without a time limit: the caller may cancel it. Raises BrokerRefuses as above.
        """
        loop = asyncio.get_running_loop()
        asked = loop.time()
        said = None
        async with self._lock:
            # the answer to another waiting task is valid for this one too
            while self._answered_at < asked:
                begun = loop.time()
                if await self._answers():
                    self._answered_at = begun
                    break
                if said is None or loop.time() - said >= SAY_EVERY_S:
                    why = f": {self.trouble}" if self.trouble else ""
                    log.warning("waiting for the broker at %s%s", self._kafka.address, why)
                    said = loop.time()
                await asyncio.sleep(PAUSE_S)
        if said is not None:
            log.info("the broker at %s answers", self._kafka.address)

    async def _answers(self) -> bool:
        try:
            answers = await self._kafka.admin.answers(HOST_S)
        except BrokerRefuses as error:
            if not self._patient:
                raise
            self.trouble = str(error)
            return False
        self.trouble = ""
        return answers

    async def run(self) -> None:
        """Log when the broker stops answering and when it answers again, until cancelled."""
        while True:
            await self.passed()
            await asyncio.sleep(WATCH_EVERY_S)
