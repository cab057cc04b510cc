"""The worker process: preflight, the Faust worker, an orderly end, an exit code."""

import asyncio
import gc
import logging
import os
import signal
import threading
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import faust

from agents.coordinator.coordinator import Coordinator
from agents.coordinator.proof import proven
from agents.http.keyring import KeyRing, KeysLost, check_exposure
from agents.http.spool import clean_up
from agents.notify.notifier import Notifier, NotifierParts
from agents.notify.sending import Sender
from agents.resources.budget import Budget
from agents.resources.scheduler import Scheduler
from agents.scatter.context import WorkerContext
from agents.shard.ownership import Ownership
from agents.shard.shard import Shard
from agents.supervision.broker_gate import BrokerGate
from agents.supervision.shard_manager import Actors, Deliver, MakeActor, ShardManager
from agents.supervision.topic_watch import TopicWatch
from agents.views import catalog_view, state_view
from agents.views.catalog_view import CatalogView
from agents.views.request_view import RequestView
from agents.views.state_view import StateView
from agents.web import access_log
from agents.worker.app import App, build_app
from agents.worker.preflight import locked, topics_checked
from schemas.decode.batch_records import KafkaRecord
from schemas.errors import EmberlineError, Fatal
from streams.kafka.environment import Environment
from streams.kafka.topics import Topics
from streams.settings import Settings
from streams.state.state_store import shared_cache

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


class _Follower:
    """The reader of a view as an actor."""

    def __init__(self, follow: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._follow = follow

    async def run(self) -> None:
        await self._follow()


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
        access_log.configure(settings.access_log)
        environment = Environment.of(settings)
        with locked(settings.data_dir):
            await asyncio.to_thread(clean_up, settings.data_dir)
            if await _before(topics_checked(environment.kafka), stopping):
                await _run(environment, stopping, on_ready)
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


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
        for each in (task, stop):
            each.cancel()
        await asyncio.gather(task, stop, return_exceptions=True)


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
    settings = environment.settings
    view, catalog = StateView(), CatalogView()
    requests = RequestView(erasures=view.erasures)
    keyring, control = KeyRing(settings.keys_file), Topics(settings.prefix).control
    budget = Budget(settings, scheduler=Scheduler(environment.clock))
    gate, ownership, watch = BrokerGate(environment.kafka), Ownership(), TopicWatch(environment)
    cache = shared_cache(budget.cache_bytes)

    def email_of(name: str) -> str:
        try:
            keys = keyring.keys
        except KeysLost:
            return ""
        return "" if keys is None else keys.email_of(name)

    telling = NotifierParts(view, requests, Sender(settings, environment.clock), email_of)

    def make_shard(partition: int, deliver: Deliver) -> Shard:
        return Shard(environment, partition, view, cache, budget, deliver, ownership)

    def actor_of(record: KafkaRecord) -> str | None:
        try:
            keys = keyring.keys
        except KeysLost:
            return None
        return None if keys is None else proven(keys.command_key, control, record)

    def keyed() -> bool:
        try:
            return keyring.keys is not None
        except KeysLost:
            return True

    def on_held(shards: int) -> None:
        budget.shards = shards

    def make_coordinator() -> Coordinator:
        return Coordinator(
            environment,
            actor_of=actor_of,
            keyed=keyed,
            archive_fault=lambda: watch.archive_fault,
        )

    def make_context(manager: ShardManager) -> WorkerContext:
        return WorkerContext(
            settings, manager, view, watch, environment.kafka, catalog, requests=requests
        )

    companions: dict[str, MakeActor] = {
        "state view": lambda: _Follower(partial(state_view.follow, environment, view)),
        "catalog view": lambda: _Follower(
            partial(catalog_view.follow, environment, catalog, requests, view)
        ),
        "broker watch": lambda: gate,
        "topic watch": lambda: watch,
    }
    return build_app(
        settings,
        Actors(
            gate,
            make_shard,
            make_coordinator,
            {"notifier": lambda: Notifier(environment, telling)},
            companions,
            ownership,
        ),
        make_context,
        on_failed=on_failed,
        on_held=on_held,
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
