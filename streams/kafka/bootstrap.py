"""Connections to the brokers. A silent broker delays no request that another broker can answer.

A broker that hangs (stopped, swapping, without power) accepts connections and answers nothing, and
the cluster needs about nine seconds to replace it. aiokafka alone asks one broker after another,
each with the full time limit, and opens one connection at a time. This module asks a second broker
if the first is slow and any broker can answer, asks recently silent brokers last, and limits the
time to connect separately from the time to answer.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from aiokafka import errors as kafka_errors
from aiokafka.client import AIOKafkaClient, ConnectionGroup
from aiokafka.conn import CloseReason
from aiokafka.protocol.coordination import FindCoordinatorRequest
from aiokafka.protocol.group import JoinGroupRequest, SyncGroupRequest
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.protocol.transaction import EndTxnRequest

from schemas.errors import EmberlineError
from streams.ending import end_all, to_the_end
from streams.kafka.connection import Connection
from streams.kafka.diagnosis import diagnosed, was_closed
from streams.kafka.refusal import BrokerRefuses, RefusedConnection, found_in, refused
from streams.kafka.security import Security, security_of
from streams.settings import Settings

__all__ = ["READ_S", "WRITE_S", "Client", "adopt", "answers", "client"]

log = logging.getLogger(__name__)

T = TypeVar("T")
Address = tuple[str, int]

#: How long a reader waits for an answer.
READ_S = 3.0
#: And a writer: a leader that hangs is another one's successor after some nine seconds.
WRITE_S = 4.0
#: How long a connection may take, with the first question on it.
CONNECT_S = 1.5
#: With TLS or SASL, which take several questions and some work of both sides.
SECURED_CONNECT_S = 4.0
#: An answer that waits for other members of the group: for one that hangs, until its session ends.
JOIN_S = 12.0
#: After this time without an answer the next broker is asked too.
NEXT_S = 0.25
#: A broker that was silent is asked last for this time.
SHUNNED_S = 15.0
CLOSE_S = 1.0
#: A session that cannot be renewed is tried again after this time, as long as it lasts.
RENEW_AGAIN_S = 2.0
RETIRING_S = 0.2
_MOST_ADDRESSES = 1_000


class _Health:
    """Which brokers were silent recently, and which broker answered last; shared by the whole
    process.

    It is only an order of preference: requests to the leader of a partition ignore it. May be used
    from any thread.
    """

    def __init__(self) -> None:
        self._silent: dict[Address, float] = {}
        self._good: dict[Address, float] = {}

    def answered(self, address: Address) -> None:
        if self._silent.pop(address, None) is not None:
            log.info("the broker at %s:%d answers again", *address)
        self._note(self._good, address)

    def silent(self, address: Address) -> None:
        if address not in self._silent:
            log.info("the broker at %s:%d does not answer", *address)
        self._good.pop(address, None)
        self._note(self._silent, address)

    def rank(self, address: Address) -> tuple[bool, float]:
        """Sorts brokers: silent ones last, and among the others the most recent answer first."""
        shunned = self._silent.get(address, float("-inf")) + SHUNNED_S > time.monotonic()
        return shunned, -self._good.get(address, 0.0)

    @staticmethod
    def _note(kept: dict[Address, float], address: Address) -> None:
        if len(kept) >= _MOST_ADDRESSES:
            kept.clear()
        kept[address] = time.monotonic()


_health = _Health()


class Client(AIOKafkaClient):  # type: ignore[misc]  # untyped
    """aiokafka's client with the time limits of this module. `request_timeout_ms` limits
    answers.
    """

    _sync_task: asyncio.Task[None] | None
    #: How connections are secured.
    security: Security
    _retiring: set[Connection]
    #: Why the last connection was refused, if it was.
    _refused: RefusedConnection | None = None
    #: Requests to end a transaction that went out and were not answered.
    ends_unanswered = 0

    async def bootstrap(self) -> None:
        """Learns the cluster's metadata from the host that answers first; begins with the host that
        answered last time.

        Raises KafkaConnectionError if no host answers in time, and RefusedConnection if none
        accepts this client.
        """
        hosts: list[Address] = sorted(
            ((host, port) for host, port, _ in self.hosts), key=_health.rank
        )
        try:
            connection, metadata = await _raced(
                [self._introduction(*host) for host in hosts],
                discard=lambda late: late[0].close(),
            )
        except RefusedConnection:
            raise
        except kafka_errors.KafkaError as error:
            raise kafka_errors.KafkaConnectionError(f"Unable to bootstrap from {hosts}") from error
        _health.answered((connection.host, connection.port))
        self.cluster.update_metadata(metadata)
        if self.cluster.brokers():
            connection.close()
        else:  # of a cluster without topics; kept until there is a layout
            self._conns["bootstrap", ConnectionGroup.DEFAULT] = connection
        if not self._sync_task:
            self._sync_task = asyncio.create_task(self._md_synchronizer())

    def _introduction(
        self, host: str, port: int
    ) -> Callable[[], Awaitable[tuple[Connection, Any]]]:
        async def introduced() -> tuple[Connection, Any]:
            connection = await self._connect(host, port)
            try:
                return connection, await connection.send(MetadataRequest([]))
            except kafka_errors.KafkaError as error:
                connection.close()
                # with TLS 1.3 a broker refuses a client's certificate only now
                raise await self._refusal(error, host, port) or error from error
            except BaseException:  # also when cancelled: nobody else knows this connection
                connection.close()
                raise

        return introduced

    async def _connect(self, host: str, port: int, **more: Any) -> Connection:
        """Raises KafkaConnectionError; RefusedConnection if only a person can change it."""
        timeout_ms = self._request_timeout_ms
        security = self.security
        limit_s = SECURED_CONNECT_S if security.secures else CONNECT_S
        try:
            connection = Connection(
                host,
                port,
                client_id=self._client_id,
                request_timeout_ms=min(timeout_ms, int(limit_s * 1000)),
                max_idle_ms=self._connections_max_idle_ms,
                **await security.arguments(),
                **more,
            )
            await connection.connect()
        except (OSError, TimeoutError, kafka_errors.KafkaError, EmberlineError) as error:
            refusal = await self._refusal(error, host, port)
            if refusal is not None:
                raise refusal from error
            _health.silent((host, port))
            raise kafka_errors.KafkaConnectionError(f"{host}:{port}: {error!r}") from error
        self._refused = None
        connection._request_timeout = timeout_ms / 1000
        return connection

    async def _refusal(
        self, error: BaseException, host: str, port: int
    ) -> RefusedConnection | None:
        found = refused(error, f"{host}:{port}", self.security.settings)
        if found is None and was_closed(error):
            why = await diagnosed(host, port, self.security)
            found = (
                RefusedConnection(f"The broker at {host}:{port}: {why[0]}", why[1]) if why else None
            )
        self._refused = found
        return found

    async def _get_conn(
        self, node_id: Any, *, group: int = ConnectionGroup.DEFAULT, no_hint: bool = False
    ) -> Connection | None:
        """A connection to a broker, or None; a broker that hangs does not delay connections to
        others.
        """
        key = (node_id, group)
        locks: dict[Any, asyncio.Lock] = self.__dict__.setdefault("_locks", {})
        async with locks.setdefault(key, asyncio.Lock()):
            former: Connection | None = self._conns.get(key)
            if former is not None and not former.connected():
                self._conns.pop(key)
                former = None
            if former is not None and time.monotonic() < former.renew_at:
                return former
            broker = self.cluster.broker_metadata(node_id)
            if broker is not None:
                try:
                    made = await self._connect(
                        broker.host, broker.port, on_close=self._on_connection_closed
                    )
                except kafka_errors.KafkaConnectionError:
                    pass  # told by the answer None, and by what the caller makes of it
                else:
                    if former is not None:
                        self._retire(former)
                    self._conns[key] = made
                    return made
            if former is not None and former.connected() and time.monotonic() < former.ends_at:
                # the broker takes requests on it for some time yet; they need not wait for each try
                former.renew_at = time.monotonic() + RENEW_AGAIN_S
                return former
            self.force_metadata_update()
            return None

    def _retire(self, former: Connection) -> None:
        """Close a connection once the requests on it are answered: another is used now."""
        if former.is_busy:
            self._retiring.add(former)
            asyncio.get_running_loop().call_later(RETIRING_S, self._retire, former)
        else:
            self._retiring.discard(former)
            former.close()

    async def send(
        self, node_id: Any, request: Any, *, group: int = ConnectionGroup.DEFAULT
    ) -> Any:
        """As aiokafka's `send`; an answer that waits for other group members may take longer."""
        connection = await self._get_conn(node_id, group=group)
        if connection is None:
            why = self._refused
            raise kafka_errors.NodeNotReadyError(
                f"broker {node_id} cannot be connected to{f': {why}' if why else ''}"
            ) from why
        writer = connection._writer
        timeout_s = connection._request_timeout
        if isinstance(request, JoinGroupRequest | SyncGroupRequest):
            connection._request_timeout = max(JOIN_S, timeout_s)
        try:
            # the time limit is that of the moment in which the request is written
            expected = not (isinstance(request, ProduceRequest) and request.required_acks == 0)
            answer = connection.send(request, expect_response=expected)
        finally:
            connection._request_timeout = timeout_s
        unanswered = isinstance(request, EndTxnRequest)
        try:
            found = await answer
            unanswered = False
            return found
        except TimeoutError as error:
            connection.close(reason=CloseReason.CONNECTION_TIMEOUT)
            if writer is not None:
                writer.abort()  # or what it has not taken would keep the socket
            if not isinstance(request, ProduceRequest):  # that waits for other brokers too
                _health.silent((connection.host, connection.port))
            raise kafka_errors.RequestTimedOutError() from error
        finally:
            self.ends_unanswered += unanswered

    async def _metadata_update(self, cluster_metadata: Any, topics: Any) -> bool:
        request = MetadataRequest(list(topics) if topics else None)
        nodes = self._ranked()
        if ("bootstrap", ConnectionGroup.DEFAULT) in self._conns:
            nodes.append("bootstrap")
        try:
            metadata = await self._of_any(nodes, request)
        except kafka_errors.KafkaError:
            cluster_metadata.failed_update(None)
            return False
        if not metadata.brokers:
            return False
        cluster_metadata.update_metadata(metadata)
        if self.cluster.brokers():
            kept = self._conns.pop(("bootstrap", ConnectionGroup.DEFAULT), None)
            if kept is not None:
                kept.close()
        return True

    async def coordinator_lookup(self, coordinator_type: int, coordinator_key: str) -> Any:
        """The broker that coordinates a group or a transactional id; any broker can answer this."""
        request = FindCoordinatorRequest(coordinator_key, coordinator_type)
        try:
            answer = await self._of_any(self._ranked(), request)
        except kafka_errors.KafkaError as error:
            # one that aiokafka tries again after
            raise kafka_errors.NodeNotReadyError(repr(error)) from error
        refusal = kafka_errors.for_code(answer.error_code)
        if refusal is not kafka_errors.NoError:
            raise refusal()
        return answer.coordinator_id

    async def ask_any(self, request: Any) -> Any:
        """What any broker can answer. Raises KafkaError where none does."""
        return await self._of_any(self._ranked(), request)

    def get_random_node(self) -> Any:
        """The broker that answered last; None before any broker is known."""
        return next(iter(self._ranked()), None)

    async def close(self) -> None:
        """Closes all connections; requests that are not sent by then are dropped.

        A cancellation meanwhile is raised afterwards: the library awaits a task that it has
        cancelled, and would take the caller's cancellation for that task's.
        """
        await to_the_end(self._closed())

    async def _closed(self) -> None:
        for former in self._retiring:
            former.close()
        writers = [connection._writer for connection in self._conns.values()]
        closing = asyncio.create_task(super().close())
        await asyncio.wait([closing], timeout=CLOSE_S)
        if not closing.done():  # the rest of what was to be written has no receiver any more
            for writer in filter(None, writers):
                writer.abort()
            await end_all([closing])
        if not closing.cancelled():
            closing.result()

    async def _of_any(self, nodes: Sequence[Any], request: Any) -> Any:
        """The first answer of any broker. Raises KafkaError if no broker answers."""
        answer, node = await _raced([self._question(node, request) for node in nodes])
        broker = self.cluster.broker_metadata(node)
        if broker is not None:
            _health.answered((broker.host, broker.port))
        return answer

    def _question(self, node: Any, request: Any) -> Callable[[], Awaitable[tuple[Any, Any]]]:
        async def answered() -> tuple[Any, Any]:
            return await self.send(node, request), node

        return answered

    def _ranked(self) -> list[Any]:
        brokers = sorted(
            self.cluster.brokers(), key=lambda broker: _health.rank((broker.host, broker.port))
        )
        return [broker.nodeId for broker in brokers]


def client(settings: Settings, name: str, request_s: float = READ_S) -> Client:
    """A client of the settings' brokers, not connected yet; `name` is shown in their logs.

    Raises UsageError for settings of security that cannot work.
    """
    made = Client(
        bootstrap_servers=settings.bootstrap_servers,
        client_id=f"{settings.client_id}-{name}",
        request_timeout_ms=int(request_s * 1000),
    )
    _secure(made, settings)
    return made


def adopt(found: AIOKafkaClient, settings: Settings, request_s: float) -> None:
    """Gives a client that a consumer, producer or admin client has created the behaviour of this
    module, and the security of the settings.

    Must be called before the client connects. Raises as `client`.
    """
    _secure(found, settings)
    found.__class__ = Client
    found._request_timeout_ms = int(request_s * 1000)


def _secure(found: Any, settings: Settings) -> None:
    found.security = security_of(settings)
    found._retiring = set()


async def answers(settings: Settings, name: str, host_s: float) -> bool:
    """Whether any of the settings' brokers answers; each has this many seconds.

    Raises BrokerRefuses if those that answer do not accept this client.
    """
    asked = client(settings, name, host_s)
    try:
        await asked.bootstrap()
    except kafka_errors.KafkaError as error:
        refusal = found_in(error)
        if refusal is not None:
            raise BrokerRefuses(refusal.what, remedy=refusal.remedy) from error
        return False
    finally:
        await asked.close()
    return True


async def _raced(
    attempts: Sequence[Callable[[], Awaitable[T]]],
    discard: Callable[[T], object] = lambda late: None,
) -> T:
    """The result of the first attempt that succeeds.

    Each attempt begins when the previous one has failed or has taken `NEXT_S`. Attempts that are
    too late are cancelled, and their results are discarded. Raises the KafkaError of the last
    attempt if all fail; of the first one that was refused, if one was.
    """
    running: set[asyncio.Task[T]] = set()
    left = list(attempts)
    last: kafka_errors.KafkaError = kafka_errors.NoBrokersAvailable()
    refusal: RefusedConnection | None = None
    try:
        while left or running:
            if left:
                running.add(asyncio.ensure_future(left.pop(0)()))
            done, _ = await asyncio.wait(
                running,
                timeout=NEXT_S if left else None,  # each attempt has a limit of its own
                return_when=asyncio.FIRST_COMPLETED,
            )
            for task in done:
                running.remove(task)
                try:
                    return task.result()
                except kafka_errors.KafkaError as error:
                    last, refusal = error, refusal or found_in(error)
                except TimeoutError as error:
                    last = kafka_errors.RequestTimedOutError(str(error))
        raise refusal or last
    finally:
        try:
            await end_all(running)
        finally:
            for task in running:
                if not task.cancelled() and task.exception() is None:
                    discard(task.result())
