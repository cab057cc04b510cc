"""Tells a worker the progress of an import, so that its page shows it."""

import asyncio
import uuid
from types import TracebackType
from typing import Any, Self

from agents.cli.calling import NoWorker, asked
from agents.requests.imports import ImportState
from agents.terminal.say import say
from agents.tools.importer import ImportProgress
from schemas.errors import EmberlineError, Recoverable
from streams.ending import end_all
from streams.settings import Settings

__all__ = ["ImportReporter"]

EVERY_S = 1.0
WAIT_S = 2.0
_MOST_NAME = 500


class ImportReporter:
    """Sends the last progress each second to the worker of the settings, and how the import ended.

    An import never waits for a worker, and never fails because of one: whether there is a worker at
    the address is not this command's affair. Only a refusal is told, once.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._path = f"/imports/{uuid.uuid4().hex}"
        self._last: ImportProgress | None = None
        self._fresh = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._refused = False

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._report(), name="import-report")
        return self

    def tell(self, progress: ImportProgress) -> None:
        """Keep the progress; it is sent with the next report."""
        self._last = progress
        self._fresh.set()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if self._task is not None:
            await end_all([self._task])
        # one that is interrupted ends at once: the worker notices that it says no more
        if self._last is not None and (error is None or isinstance(error, EmberlineError)):
            await self._send(ImportState.FINISHED if error is None else ImportState.FAILED)

    async def report(self) -> None:
        """Send the last progress now."""
        await self._send(ImportState.RUNNING)

    async def _report(self) -> None:
        while not self._refused:
            await self._fresh.wait()
            self._fresh.clear()
            await self.report()
            await asyncio.sleep(EVERY_S)

    async def _send(self, state: ImportState) -> None:
        if self._last is None or self._refused:
            return
        try:
            async with asyncio.timeout(WAIT_S):
                await asked(self._settings, "POST", self._path, json=_body(self._last, state))
        except (NoWorker, Recoverable, TimeoutError):
            return  # the next report has all that this one had
        except EmberlineError as error:
            self._refused = True
            say(f"emberline: the worker does not show this import: {error}", err=True)


def _body(progress: ImportProgress, state: ImportState) -> dict[str, Any]:
    return {
        "state": state,
        "file": progress.file.name[:_MOST_NAME],
        "records": progress.records,
        "bad": progress.bad,
        "done_bytes": progress.done_bytes,
        "total_bytes": progress.total_bytes,
        "per_second": progress.per_second,
        "seconds_left": progress.seconds_left,
    }
