"""GET /notifications: deliveries of mail and webhooks that wait or failed."""

from collections import Counter

from aiohttp import web

from agents.http.keys import Scope
from agents.http.route import Route
from agents.notify.deliveries import deliveries, facts
from agents.notify.outbox import Channel, DeliveryState, NoticeKind
from agents.scatter.context import CONTEXT
from agents.web.answer import json_answer
from agents.web.shapes import shape

__all__ = ["ROUTES"]

MOST = 200
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


ROUTES = (
    Route(
        method="GET",
        path="/notifications",
        handler=notifications,
        summary="Deliveries of mail and webhooks that failed or wait; `emberline notify retry` "
        "tries them again",
        scope=Scope.OPERATE,
        answers={"application/json": _SHAPE},
        problems=("shards_unavailable",),
    ),
)
