"""Inputs of the coordinator that wait for a schema registry, while other inputs are processed."""

import asyncio
import logging
from collections.abc import Mapping, Sequence

from agents.coordinator.records import Awaited
from schemas.decode.batch_records import RecordBatch
from schemas.decode.schema_ids import schema_ids
from schemas.errors import Recoverable
from streams.ending import end_all
from streams.kafka.remote_registry import HttpSource, learn

__all__ = ["Held"]

_MOST_BYTES = 64_000_000

_log = logging.getLogger(__name__)


class Held:
    """Batches that are read again after the registry has returned their schemas.

    A separate task asks the registry, one call after the other; a failure is logged once.
    """

    def __init__(self, remote: HttpSource | None) -> None:
        self._remote = remote
        self._batches: list[RecordBatch] = []
        self._asking: asyncio.Task[None] | None = None
        self._told = False

    def __contains__(self, topic: str) -> bool:
        return any(batch.topic == topic for batch in self._batches)

    def again(self, fetched: Sequence[RecordBatch]) -> list[RecordBatch]:
        """The held batches, followed by batches fetched since."""
        return [*self._batches, *fetched]

    def keep(self, batches: Sequence[RecordBatch], awaited: Mapping[str, Awaited]) -> None:
        """Hold the part of `batches` that, as `awaited` says, could not be read, and ask for its
        schemas.

        Raises Recoverable if that is too much to hold: then it is read from the topic again.
        """
        self._batches = [
            batch
            for batch in batches
            if batch.topic in awaited and batch.next_offset > awaited[batch.topic].offset
        ]
        if sum(len(batch.payload) for batch in self._batches) > _MOST_BYTES:
            raise Recoverable("Too many records wait for the schema registry")
        asking = self._asking
        if asking is not None and asking.done():
            self._tell(asking)
            asking = self._asking = None
        if self._remote is not None and awaited and asking is None:
            ids = {one.schema_id for one in awaited.values()} | schema_ids(self._batches)
            self._asking = asyncio.create_task(learn(self._remote, ids))

    async def close(self) -> None:
        """Ask no more."""
        if self._asking is not None:
            await end_all([self._asking])

    def _tell(self, asking: "asyncio.Task[None]") -> None:
        error = None if asking.cancelled() else asking.exception()
        if error is None:
            self._told = False
        elif not self._told:
            self._told = True
            _log.warning("coordinator: definitions or commands wait: %s", error)
