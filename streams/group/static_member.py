"""Static membership (KIP-345): a worker with `group_instance_id` keeps its shards in a restart.

The group knows such a worker by that name. If it ends, it does not leave; if it joins again within
its session, it gets the assignment that it had, and no generation begins.

Two dangers come with that. The group gives the place to whoever joins last under the name, at once:
another process could write while the former one still answers. And aiokafka knows no fenced
instances: a worker whose place was taken would take it back. So a worker asks first who has its
name, with a heartbeat, which changes nothing. It joins if the last process of its own data folder
has it, which is certainly dead, because only one process can lock the folder, or if nobody has it.
Otherwise it waits until the group has let the other go. A worker whose place was taken ends.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from aiokafka.errors import KafkaError, for_code
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.group import HeartbeatRequest, JoinGroupRequest
from aiokafka.protocol.types import Int16, Int32, Schema, String

from schemas.errors import Fatal

__all__ = ["InstanceTaken", "StaticMember"]

log = logging.getLogger(__name__)

_FENCED = 82
_COORDINATOR_GONE = frozenset({15, 16})
_LOADING = 14
_NOBODY = "-"
ASK_AGAIN_S = 1.0

Send = Callable[[Any], Awaitable[Any]]


class InstanceTaken(KafkaError):  # type: ignore[misc]  # aiokafka is untyped
    """Another process has the name of this one in the group."""


class _HeartbeatResponse(Response):  # type: ignore[misc]
    API_KEY = 12
    API_VERSION = 3
    SCHEMA = Schema(("throttle_time_ms", Int32), ("error_code", Int16))


class _HeartbeatStruct(RequestStruct):  # type: ignore[misc]
    API_KEY = 12
    API_VERSION = 3
    RESPONSE_TYPE = _HeartbeatResponse
    SCHEMA = Schema(
        ("group", String("utf-8")),
        ("generation_id", Int32),
        ("member_id", String("utf-8")),
        ("group_instance_id", String("utf-8")),
    )


class _Heartbeat(Request[_HeartbeatStruct]):  # type: ignore[misc]
    """The first version that names the instance; aiokafka's ends before it."""

    API_KEY = 12

    def __init__(self, group: str, generation: int, member: str, instance: str) -> None:
        self._fields = (group, generation, member, instance)

    def build(self, request_struct_class: type[_HeartbeatStruct]) -> _HeartbeatStruct:
        """The request of this version."""
        return request_struct_class(*self._fields)


class StaticMember:
    """Stands between aiokafka's coordinator of one consumer and its connection: see `send`.

    `former` is the member id of the last process of this data folder, if that had the same name.
    `remember` stores a new one; `on_taken` gets the error that has to end this process. A name that
    another process has is waited for so many seconds (`patience_s`). `now` gives seconds.
    """

    def __init__(
        self,
        group: str,
        instance: str,
        former: str,
        *,
        patience_s: float,
        remember: Callable[[str], None],
        on_taken: Callable[[Fatal], None],
        now: Callable[[], float],
    ) -> None:
        self._group = group
        self._instance = instance
        self._member = former
        self._joined = False
        self._patience_s = patience_s
        self._remember = remember
        self._on_taken = on_taken
        self._now = now
        self._waiting_since: float | None = None

    async def send(self, request: Any, send: Send, dead: Callable[[], None]) -> Any:
        """Send a request of the coordinator by `send`; `dead` is called if the broker does not
        coordinate the group any more.

        Raises KafkaError, also where the name belongs to another process.
        """
        if isinstance(request, HeartbeatRequest):
            request = _Heartbeat(
                self._group, request._generation_id, request._member_id, self._instance
            )
        joining = isinstance(request, JoinGroupRequest)
        if joining and not request._member_id:
            await self._check_free(send, dead)
        answer = await send(request)
        code = getattr(answer, "error_code", 0)
        if code == _FENCED:
            self._taken()
        if joining and not code:
            self._joined, self._waiting_since = True, None
            if answer.member_id != self._member:
                self._member = answer.member_id
                self._remember(self._member)
        return answer

    async def _check_free(self, send: Send, dead: Callable[[], None]) -> None:
        """Raise KafkaError unless a join takes nobody's place but that of the former process."""
        found = await send(_Heartbeat(self._group, -1, self._member or _NOBODY, self._instance))
        if found.error_code in _COORDINATOR_GONE:
            dead()
        if found.error_code in (*_COORDINATOR_GONE, _LOADING):
            raise for_code(found.error_code)()
        if found.error_code != _FENCED:
            return
        if self._joined:
            self._taken()
        now = self._now()
        if self._waiting_since is None:
            self._waiting_since = now
            log.warning(
                "another process is %s (group_instance_id) in the group: waiting until the group "
                "has let it go",
                self._instance,
            )
        if now - self._waiting_since > self._patience_s:
            self._taken()
        await asyncio.sleep(ASK_AGAIN_S)
        raise InstanceTaken(f"another process is {self._instance} in the group")

    def _taken(self) -> None:
        """Raises InstanceTaken."""
        self._on_taken(
            Fatal(
                f"Another worker has the group_instance_id {self._instance} in the group "
                f"{self._group}",
                remedy="Give every worker a group_instance_id of its own, and end a worker before "
                "another one takes its place",
            )
        )
        raise InstanceTaken(f"another process is {self._instance} in the group")
