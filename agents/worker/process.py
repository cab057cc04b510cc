"""The worker process: preflight, the Faust worker, an orderly end, an exit code."""

import asyncio
import gc
import logging
import os
import signal
import threading
from collections.abc import Callable
from typing import Any

import faust

from agents.http.keyring import check_exposure
from agents.http.own_address import check_advertised
from agents.http.spool import clean_up
from agents.web import access_log
from agents.worker.app import App, build_app
from agents.worker.assembly import assemble
from agents.worker.preflight import locked, rights_checked, topics_checked
from schemas.errors import EmberlineError, Fatal
from streams.ending import end_all
from streams.kafka.environment import Environment
from streams.kafka.mappings import check_mappings
from streams.settings import Settings

__all__ = ["Ready", "work"]

log = logging.getLogger(__name__)

STOP_S = 10.0
POLL_S = 0.05
#: A full collection stops everything for a tenth of a second, over objects that stay for good:
#: those of the start are left out, and what is made later is looked at less often.
GC_THRESHOLDS = (50_000, 20, 100)

Ready = Callable[[App], None]


class _Worker(faust.Worker):
    """Faust's worker without its handling of signals and logging, which is done here."""

    def __init__(self, app: App) -> None:
        super().__init__(
            app,
            quiet=True,
            override_logging=False,
            redirect_stdouts=False,
            daemon=False,
            loop=asyncio.get_running_loop(),
        )
        self.spinner = None

    def install_signal_handlers(self) -> None:
        """Does nothing: they are installed before the preflight."""


async def work(settings: Settings, on_ready: Ready = lambda app: None) -> None:
    """Run a worker until SIGTERM or SIGINT; returns after an orderly end.

    `on_ready` is called once, after the first assignment has recovered. Raises Fatal with one line
    that says what to do; unforeseen errors become one too. If the end takes more than 10 s it is
    cut short: all important data is in Kafka.
    """
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    try:
        check_exposure(settings)
        check_advertised(settings)
        access_log.configure(settings.access_log)
        environment = Environment.of(settings)
        with locked(settings.data_dir):
            await asyncio.to_thread(clean_up, settings.data_dir)
            if await _before(_checked(environment), stopping):
                await _run(environment, stopping, on_ready)
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


async def _checked(environment: Environment) -> None:
    for one in await asyncio.to_thread(check_mappings, environment.settings):
        log.info("mapping of %s: compared with %s" if one.compared else "mapping of %s: %s",
                 one.kind, one.against)  # fmt: skip
    await rights_checked(environment)
    await topics_checked(environment.kafka)


async def _before(work: Any, stopping: asyncio.Event) -> bool:
    """Whether `work` ended before the worker has to stop. Raises the errors of `work`."""
    task, stop = asyncio.ensure_future(work), asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait([task, stop], return_when=asyncio.FIRST_COMPLETED)
        ended: bool = task.done()
        if ended:
            await task
        return ended
    finally:
        await end_all([task, stop])


async def _run(environment: Environment, stopping: asyncio.Event, on_ready: Ready) -> None:
    failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def on_failed(error: BaseException) -> None:
        if not failed.done():
            failed.set_exception(_told(error))

    app = _app(environment, on_failed)
    worker = _Worker(app)
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    try:
        if await _before(worker.start(), stopping):
            announcing = asyncio.create_task(_announce(app, on_ready))
            try:
                await _before(_first(failed, worker.wait_until_stopped()), stopping)
                if worker.crash_reason is not None:
                    raise worker.crash_reason
            finally:
                announcing.cancel()
    except EmberlineError:
        raise
    except Exception as error:
        raise _told(error) from error
    finally:
        log.info("stopping")
        code = 0 if stopping.is_set() and not failed.done() else 1
        cut_short = threading.Timer(STOP_S, _cut_short, [code])
        cut_short.daemon = True
        cut_short.start()
        await worker.stop()
        cut_short.cancel()


async def _first(*works: Any) -> None:
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            await task
    finally:
        for task in tasks:
            task.cancel()


async def _announce(app: App, on_ready: Ready) -> None:
    views = (app.context.states, app.context.catalog)
    while not (app.manager.ready and all(view.caught_up.is_set() for view in views)):  # noqa: ASYNC110
        await asyncio.sleep(POLL_S)
    log.info("ready at %s", app.context.address)
    on_ready(app)


def _app(environment: Environment, on_failed: Callable[[BaseException], None]) -> App:
    assembled = assemble(environment)
    return build_app(
        environment.settings,
        assembled.actors,
        assembled.make_context,
        on_failed=on_failed,
        on_held=assembled.on_held,
    )


def _told(error: BaseException) -> EmberlineError:
    """The error in one line; it is also logged at once, because the end may be cut short."""
    if isinstance(error, EmberlineError):
        log.error("the worker stops: %s", error)
        return error
    log.error("the worker stops: unforeseen error", exc_info=error)
    return Fatal(f"Unforeseen error: {error!r}", remedy="See the traceback above, and report this")


def _cut_short(code: int) -> None:
    log.warning("not ended after %.0f s: exiting now", STOP_S)
    logging.shutdown()
    os._exit(code)
