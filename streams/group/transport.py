"""Membership in the worker group, as a Faust transport that fetches nothing.

Faust's consumer joins the group, sends heartbeats and learns the partitions of this worker. Shards
read their partitions themselves, from their own cursors. Therefore a rebalance has nothing to
drain, seek or commit, and the listener below only reports the new assignment. Importing this module
registers the scheme `emberline://`.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping
from typing import cast

import aiokafka.abc
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaConnectionError, KafkaError
from aiokafka.protocol.group import LeaveGroupRequest
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faust.transport import drivers
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from mode import Service

from schemas.errors import Fatal
from streams.clock import steady_s
from streams.group.membership import SESSION_S, Assigned, Membership
from streams.group.other_loop import run_in
from streams.group.static_member import StaticMember
from streams.kafka import clients
from streams.period import seconds
from streams.settings import Settings

__all__ = ["SCHEME", "Transport"]

log = logging.getLogger(__name__)

SCHEME = "emberline"
HEARTBEAT_S = 1.0
REBALANCE_S = 30.0
#: For a static member that is away nobody waits longer: it keeps its shards all the same. Less than
#: SESSION_S, because who waits for an assignment does not answer for longer.
STATIC_REBALANCE_S = 8.0
CHECK_S = 1.0
#: How long heartbeats and look-ups wait for an answer; joins wait longer (kafka/bootstrap.py).
REQUEST_S = 4.0
LEAVE_S = 3.0
#: What is asked of the consumer's thread has deadlines of its own: a thread that takes so long has
#: ended, or the process stood still. It is asked once more.
THREAD_S = 20.0
CONNECT_RETRY_S = 1.0
#: A name that another process has is free at the latest so long after that one's session.
PATIENCE_S = 15.0
# nothing is ever polled, so no time without a poll is too long: about 24 days
NEVER_MS = 2**31 - 1


class _Listener(aiokafka.abc.ConsumerRebalanceListener):  # type: ignore[misc]  # untyped
    """Runs in the consumer's thread."""

    def __init__(self, thread: "_Thread") -> None:
        self._thread = thread

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Does nothing: shards continue until the new assignment is known; fencing protects their
        data.
        """

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Report the new assignment, without waiting for its effects."""
        self._thread.assigned(list(assigned))


class _Thread(driver.AIOKafkaConsumerThread):
    """Owns the aiokafka consumer, in a separate thread and event loop.

    So heartbeats continue while the shards are busy.
    """

    mundane_level = "debug"

    _consumer: AIOKafkaConsumer

    @property
    def membership(self) -> Membership:
        """The app's membership."""
        found: Membership = self.app.membership  # type: ignore[attr-defined]  # of agents.worker.app
        return found

    async def on_start(self) -> None:
        """Connect; if the broker has gone since the last check, wait for it."""
        while not self.should_stop:
            try:
                await super().on_start()
            except KafkaConnectionError:
                await asyncio.sleep(CONNECT_RETRY_S)
            else:
                self._heed_heartbeats()
                self._heed_instance()
                await self._leave_for_former()
                self.membership.attach(self)
                return

    def _heed_heartbeats(self) -> None:
        """Report every heartbeat that the group acknowledges or refuses to the membership."""
        coordinator, membership = self._consumer._coordinator, self.membership
        heartbeat = coordinator._do_heartbeat

        async def heeded() -> bool:
            sent = steady_s()
            acknowledged: bool = await heartbeat()
            if acknowledged:
                membership.heard(sent)
            elif coordinator.generation < 0:
                membership.disowned()
            return acknowledged

        coordinator._do_heartbeat = heeded

    def _heed_instance(self) -> None:
        """Have a static member's requests sent by `StaticMember`."""
        membership, settings = self.membership, self.membership.settings
        if not settings.group_instance_id:
            return
        former, instance = membership.former_member
        coordinator = self._consumer._coordinator
        send = coordinator._send_req

        def taken(error: Fatal) -> None:
            membership.disowned()
            self.consumer.loop.call_soon_threadsafe(membership.on_failed, error)

        static = StaticMember(
            settings.group_id,
            settings.group_instance_id,
            former if instance == settings.group_instance_id else "",
            patience_s=seconds(settings.group_instance_session) + PATIENCE_S,
            remember=membership.remember,
            on_taken=taken,
            now=steady_s,
        )

        async def heeded(request: object) -> object:
            return await static.send(request, send, coordinator.coordinator_dead)

        coordinator._send_req = heeded

    async def _leave_for_former(self) -> None:
        """Remove a killed predecessor from the group, which would otherwise wait for its session to
        end.

        The predecessor is certainly dead: only one process at a time can lock the data folder. A
        static member of the same name takes its place instead.
        """
        settings = self.membership.settings
        group = settings.group_id
        former, instance = self.membership.former_member
        if not former or (instance and instance == settings.group_instance_id):
            return
        coordinator = self._consumer._coordinator
        try:
            async with asyncio.timeout(LEAVE_S):
                await coordinator.ensure_coordinator_known()
                await coordinator._send_req(LeaveGroupRequest(group, former))
        except (KafkaError, TimeoutError) as error:
            log.debug("the former member %s was not taken out of the group: %s", former, error)

    async def stop(self) -> None:
        """Stop. If the loop never ran, it is closed here, because no other code closes it."""
        await super().stop()
        if not self._started.is_set() and not self.thread_loop.is_closed():
            self.thread_loop.close()

    def _create_worker_consumer(self, transport: driver.Transport) -> AIOKafkaConsumer:
        membership = self.membership
        settings = membership.settings
        static = bool(settings.group_instance_id)
        session_s = seconds(settings.group_instance_session) if static else SESSION_S
        return clients.consumer(
            settings,
            settings.client_id,
            REQUEST_S,
            group_id=settings.group_id,
            partition_assignment_strategy=[membership.assignor],
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            max_poll_interval_ms=NEVER_MS,
            group_instance_id=settings.group_instance_id or None,
            session_timeout_ms=int(session_s * 1000),
            heartbeat_interval_ms=int(HEARTBEAT_S * 1000),
            rebalance_timeout_ms=int((STATIC_REBALANCE_S if static else REBALANCE_S) * 1000),
            max_partition_fetch_bytes=1,
        )

    def assigned(self, partitions: list[TopicPartition]) -> None:
        """Called by aiokafka at the end of every rebalance."""
        # before the fetcher knows any position: so not even one fetch is sent
        self._consumer.pause(*partitions)
        coordinator = self._consumer._coordinator
        membership = self.membership
        membership.remember(coordinator.member_id)
        membership.assignor.joined(coordinator.generation)
        assigned = Assigned(
            frozenset(p.partition for p in partitions if p.topic != membership.control),
            any(p.topic == membership.control for p in partitions),
            coordinator.generation,
            membership.assignor.directory,
        )
        asyncio.run_coroutine_threadsafe(self._tell(assigned, steady_s()), self.consumer.loop)
        if membership.misplaced(assigned):
            membership.request_rejoin()

    async def _tell(self, assigned: Assigned, at: float) -> None:
        self.app.consumer_generation_id = assigned.generation
        # the ingest channel is open from the first assignment on, and is never cleared
        if not self.app.flow_control.is_active():
            self.app.flow_control.resume()
        try:
            await self.membership.assigned(assigned, at)
        except Exception as error:
            self.membership.on_failed(error)

    @property
    def generation(self) -> int:
        """See `TransportLink.generation`: known as soon as all members have joined, before the
        assignment.
        """
        generation: int = self._consumer._coordinator.generation
        return generation

    def rejoin(self) -> None:
        """Make the coordination task join the group again."""
        self.thread_loop.call_soon_threadsafe(self._request_rejoin)

    def _request_rejoin(self) -> None:
        self._consumer._coordinator.request_rejoin()

    async def tell(self, offsets: Mapping[tuple[str, int], int]) -> None:
        """See `Membership.tell_offsets`. Called from the app's loop.

        It does not use the thread's method queue, where each call waits for the previous one.
        """
        try:
            await run_in(self.thread_loop, lambda: self._commit_told(offsets), THREAD_S)
        except TimeoutError:
            log.debug("offsets for lag tools not committed: the group's thread is silent")

    async def _commit_told(self, offsets: Mapping[tuple[str, int], int]) -> None:
        """One attempt; the next one follows after a few seconds.

        The consumer's own `commit` is not used: it retries for ever, and after a cancellation it
        leaves a task whose error is never retrieved. This call ends with the time limit of the
        request.
        """
        held = self._consumer.assignment()
        held_offsets = {
            TopicPartition(*at): OffsetAndMetadata(offset, "")
            for at, offset in offsets.items()
            if at in held
        }
        coordinator = self._consumer._coordinator
        if held_offsets and coordinator.coordinator_id is not None and coordinator.generation >= 0:
            try:
                await coordinator._do_commit_offsets(None, held_offsets)
            except KafkaError as error:
                log.debug("offsets for lag tools not committed: %s", error)

    async def check(self) -> None:
        """Raise the error that has ended or blocks the coordination with the group, if there is
        one.
        """
        coordinator = self._consumer and self._consumer._coordinator
        if coordinator:
            coordinator.check_errors()

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Does nothing: Faust's check would report that no record is ever fetched."""


class _Consumer(driver.Consumer):
    """Faust's view of the membership. Its fetcher service is never started."""

    RebalanceListener = _Listener
    mundane_level = "debug"

    def _new_consumer_thread(self) -> _Thread:
        return _Thread(self, loop=self.loop, beacon=self.beacon)

    @Service.task
    async def _watch(self) -> None:
        """Check the background tasks of aiokafka, which reports their errors only to a caller that
        polls.
        """
        thread = cast(_Thread, self._thread)
        settings = thread.membership.settings
        silent = False
        while not self.should_stop:
            await self.sleep(CHECK_S)
            # which ends early when this is stopped, and the thread's loop with it
            if self.should_stop:
                return
            try:
                await run_in(thread.thread_loop, thread.check, THREAD_S)
            except KafkaError as error:
                if not error.retriable:
                    thread.membership.on_failed(_lost(settings, error))
                    return
                log.warning("worker group: %s; trying on", error)
            except TimeoutError as error:
                # once may be a process that stood still as a whole
                if silent:
                    thread.membership.on_failed(_lost(settings, error))
                    return
                silent = True
                log.warning("worker group: its thread has not answered for %.0f s", THREAD_S)
            else:
                silent = False


class Transport(driver.Transport):
    """The transport that Faust creates for `emberline://`."""

    Consumer = _Consumer
    default_port = 9092


def _lost(settings: Settings, error: KafkaError | TimeoutError) -> Fatal:
    if isinstance(error, TimeoutError):
        return Fatal(
            f"The thread that keeps this worker in the group {settings.group_id} does not answer",
            remedy="Start the worker again; report this as an error",
        )
    return Fatal(
        f"The worker group {settings.group_id} at {settings.bootstrap_servers} cannot be "
        f"joined: {error!r}",
        remedy="Check the rights of this client on the group (`emberline topics acls`), then start "
        "the worker again",
    )


drivers.TRANSPORTS.aliases[SCHEME] = f"{__name__}:Transport"
