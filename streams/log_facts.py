"""Facts of a log line beside its sentence: which shard, which request, which step.

    log.info("shard %d is ready", partition, extra=facts(shard=partition))

The worker's log has them behind the sentence, or as members of the JSON object
(agents/worker/logs.py). They never have a user or a secret.
"""

from collections.abc import Mapping
from contextvars import ContextVar
from logging import LogRecord
from typing import Any

__all__ = ["HTTP_REQUEST", "TRACE", "facts", "facts_of", "step_id"]

_NAME = "facts"
HTTP_REQUEST: ContextVar[str] = ContextVar("http_request", default="")
"""The id of the HTTP request that is being answered; its answer has it as X-Request-Id."""
TRACE: ContextVar[str] = ContextVar("trace", default="")
"""The trace context of that request."""


def facts(**found: object) -> dict[str, Any]:
    """The facts as `extra` of a log call; those that are None or empty are left out."""
    return {_NAME: {name: one for name, one in found.items() if one not in (None, "")}}


def facts_of(record: LogRecord) -> Mapping[str, object]:
    """The facts of a log line, those of the HTTP request last."""
    given = getattr(record, _NAME, {})
    request, trace = HTTP_REQUEST.get(), TRACE.get()
    more = {"http_request": request} if request else {}
    return {**given, **more, **({"trace": trace} if trace and "trace" not in given else {})}


def step_id(topic: str, partition: int, offset: int) -> str:
    """The name of a step: where the last record of its own log is."""
    return f"{topic}[{partition}]@{offset}"
