"""POST /rejected/replay: send rejected records again to their topic, some at a time."""

import asyncio
from typing import Any

from aiohttp import web

from agents.http import body
from agents.http.keys import Scope
from agents.http.problems import bad_request, shards_unavailable
from agents.http.route import Route, Schema, ref
from agents.requests.replay import replay
from agents.requests.replay_plan import ReplayFilter, replayable_topics, topic_meant
from agents.scatter.context import CONTEXT
from schemas.records.undecodable import REMEDIES
from schemas.words.nearest import hint
from streams.kafka.log import Fenced
from streams.kafka.topics import Topics

__all__ = ["ROUTES"]

MOST = 10_000
"""Records of one call."""
_WAIT_S = 60.0
_NAMES = frozenset({"codes", "topics", "since", "until", "dry_run"})


async def replay_rejected(request: web.Request) -> web.Response:
    """Each once, also if the call is cut: ask again while `more` is true."""
    context = request.app[CONTEXT]
    topics = Topics(context.settings.prefix)
    given = await body.read_optional(request, _NAMES)
    dry_run = given.get("dry_run", False)
    if not isinstance(dry_run, bool):
        raise bad_request("dry_run is true or false")
    wanted = ReplayFilter(
        frozenset(_words(given, "codes", tuple(REMEDIES))),
        frozenset(_words(given, "topics", replayable_topics(topics), topics)),
        _time(given, "since"),
        _time(given, "until"),
    )
    try:
        async with asyncio.timeout(_WAIT_S):
            done = await replay(context.kafka, topics, wanted, dry_run=dry_run, most=MOST)
    except Fenced as error:
        raise shards_unavailable("Another replay has begun: ask again when it is over") from error
    except TimeoutError as error:
        raise shards_unavailable(
            f"The replay was not over in {_WAIT_S:.0f} s: ask again, it continues; or use "
            "`emberline rejected replay`"
        ) from error
    return web.json_response(done.facts(dry_run=dry_run))


def _words(
    given: dict[str, Any], name: str, known: tuple[str, ...], topics: Topics | None = None
) -> list[str]:
    found = given.get(name, [])
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise bad_request(f"{name} is a list of texts")
    words = [one if topics is None else topic_meant(one, topics) for one in found]
    for word in words:
        if word not in known:
            raise bad_request(f"{name}: not {word[:80]!r}. {hint(word, known)}")
    return words


def _time(given: dict[str, Any], name: str) -> int | None:
    found = given.get(name)
    if found is not None and (type(found) is not int or found < 0):
        raise bad_request(f"{name} is UTC milliseconds since 1970")
    return found


_TIME: Schema = {"type": ["integer", "null"], "minimum": 0, "description": "UTC milliseconds"}

ROUTES = (
    Route(
        method="POST",
        path="/rejected/replay",
        handler=replay_rejected,
        summary="Send rejected records again to their topic, after their cause has been mended",
        scope=Scope.OPERATE,
        body={
            "type": "object",
            "properties": {
                "codes": {"type": "array", "items": {"enum": list(REMEDIES)}},
                "topics": {
                    "type": "array",
                    "items": {"type": "string"},
                    "description": "Of events, users or definitions, such as interactions.send",
                },
                "since": _TIME,
                "until": _TIME,
                "dry_run": {"type": "boolean", "description": "Count them, and send nothing"},
            },
            "additionalProperties": False,
        },
        body_optional=True,
        answers={"application/json": ref("Replayed")},
        problems=("bad_request", "shards_unavailable"),
    ),
)
