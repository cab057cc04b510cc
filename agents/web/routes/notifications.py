"""Deliveries of mail and webhooks that wait or failed, and trying again those that failed."""

from collections import Counter
from typing import Any

from aiohttp import web

from agents.http import body
from agents.http.keys import Scope
from agents.http.problems import Problem, bad_request
from agents.http.route import Route
from agents.notify.deliveries import deliveries, facts
from agents.notify.outbox import Channel, DeliveryState, NoticeKind
from agents.notify.retrying import retry
from agents.scatter.context import CONTEXT
from agents.web.answer import json_answer
from agents.web.shapes import shape
from schemas.errors import Recoverable

__all__ = ["ROUTES"]

MOST = 200
MOST_ID = 100
"""Characters of the id of a delivery."""
_COUNT = {"type": "integer", "minimum": 0}
_MAYBE = {"type": ["integer", "null"]}
_TEXT = {"type": "string"}
_SHAPE = shape(
    {
        "counts": shape({one.value: _COUNT for one in DeliveryState}),
        "deliveries": {
            "type": "array",
            "description": f"those that failed or wait, the newest {MOST}",
            "items": shape(
                {
                    "id": _TEXT,
                    "type": {"enum": [one.value for one in NoticeKind]},
                    "channel": {"enum": [one.value for one in Channel]},
                    "to": {**_TEXT, "description": "the recipient, without a password"},
                    "state": {"enum": [one.value for one in DeliveryState]},
                    "created": {"type": "integer"},
                    "changed": {"type": "integer"},
                    "attempts": _COUNT,
                    "next_at": _MAYBE,
                    "error": {"type": ["string", "null"], "description": "what the server said"},
                }
            ),
        },
    }
)

_IDS = {"type": "array", "items": {"type": "string", "maxLength": MOST_ID}}
_RETRIED = shape(
    {
        "retried": {"type": "array", "items": _TEXT},
        "not_failed": {
            "type": "array",
            "items": _TEXT,
            "description": "ids of deliveries that there are not, that wait, or that were sent",
        },
    }
)
_RETRY = {
    "type": "object",
    "properties": {
        "ids": {**_IDS, "minItems": 1, "maxItems": MOST, "description": "as GET /notifications"},
        "all": {"const": True, "description": "all that failed"},
    },
    "additionalProperties": False,
    "oneOf": [{"required": ["ids"]}, {"required": ["all"]}],
}


async def notifications(request: web.Request) -> web.Response:
    """Read from the topic at each question."""
    context = request.app[CONTEXT]
    found = await deliveries(context.kafka, context.settings.prefix)
    counts = Counter(one.state for one in found)
    open_ = [one for one in reversed(found) if one.state is not DeliveryState.SENT]
    return json_answer(
        {
            "counts": {state.value: counts[state] for state in DeliveryState},
            "deliveries": [facts(one) for one in open_[:MOST]],
        }
    )


async def try_again(request: web.Request) -> web.Response:
    """The notifier tries them at once, as if they were new."""
    context = request.app[CONTEXT]
    ids = _ids(await body.read_object(request, frozenset({"ids", "all"})))
    settings = context.settings
    try:
        done = await retry(context.kafka, settings.prefix, context.clock, ids, part=True)
    except Recoverable as error:
        raise Problem("control_unavailable", f"{error.message}. {error.remedy}") from error
    return json_answer({"retried": list(done.retried), "not_failed": list(done.not_failed)})


def _ids(found: dict[str, Any]) -> list[str] | None:
    """The ids of a body; None for all. Raises Problem (400)."""
    if found.keys() == {"all"} and found["all"] is True:
        return None
    ids = found.get("ids")
    if (
        found.keys() != {"ids"}
        or not isinstance(ids, list)
        or not 1 <= len(ids) <= MOST
        or not all(isinstance(one, str) and len(one) <= MOST_ID for one in ids)
    ):
        raise bad_request(
            f"Send ids, 1 to {MOST} of those that GET /notifications shows, or all: true"
        )
    return ids


ROUTES = (
    Route(
        method="GET",
        path="/notifications",
        handler=notifications,
        summary="Deliveries of mail and webhooks that failed or wait",
        scope=Scope.OPERATE,
        answers={"application/json": _SHAPE},
        problems=("shards_unavailable",),
    ),
    Route(
        method="POST",
        path="/notifications/retry",
        handler=try_again,
        summary="Try failed deliveries again, as if they were new: some by their id, or all",
        scope=Scope.OPERATE,
        body=_RETRY,
        answers={"application/json": _RETRIED},
        problems=("bad_request", "control_unavailable"),
    ),
)
