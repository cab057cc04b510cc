"""Reads records of other programs with schemas of a registry, and never waits for the registry
inside of decoding.

While its registry does not answer, a shard keeps its records and its position. It continues to
answer, and reports its lag. Nothing is lost, and no other shard waits.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from typing import TypeVar

from streams.kafka.remote_registry import HttpSource, RegistryUnreachable, SchemaAwaited, learn

__all__ = ["Awaiting"]

T = TypeVar("T")

_FIRST_S = 0.5
_LONGEST_S = 15.0
#: Asking that takes longer is told as what the ingest waits for.
_TELL_AFTER_S = 2.0

_log = logging.getLogger(__name__)


class Awaiting:
    """Repeats reads that need a schema after the registry has returned it.

    `reason` says what the shard waits for; it is empty if there is nothing.
    """

    def __init__(self, what: str, remote: HttpSource | None) -> None:
        self.reason = ""
        self._what = what
        self._remote = remote

    async def read(
        self, read: Callable[[], Awaitable[T]], ids: Callable[[], Awaitable[Collection[int]]]
    ) -> T:
        """The result of `read`. `ids` returns the schema ids of all its records, which are
        requested together; otherwise each read would find only the next unknown id. Raises the
        errors of `read` except `SchemaAwaited`.
        """
        pause = _FIRST_S
        while True:
            try:
                found = await read()
            except SchemaAwaited as awaited:
                if self._remote is None:
                    raise
                wanted = {awaited.schema_id, *await ids()}
                telling = asyncio.get_running_loop().call_later(
                    _TELL_AFTER_S, self._tell, len(wanted)
                )
                try:
                    await learn(self._remote, wanted)
                    pause = _FIRST_S
                except RegistryUnreachable as error:
                    if not self.reason:
                        _log.warning("%s waits: %s", self._what, error)
                    self.reason = str(error)
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, _LONGEST_S)
                finally:
                    telling.cancel()
            else:
                if self.reason:
                    _log.warning("%s goes on: the schema registry answers", self._what)
                self.reason = ""
                return found

    def _tell(self, ids: int) -> None:
        if not self.reason:
            self.reason = f"the schema registry is asked for {ids} schemas"
            _log.warning("%s waits: %s", self._what, self.reason)
