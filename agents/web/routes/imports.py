"""POST /imports/{id}: an import tells its progress, for people who watch."""

import re
from typing import Any

from aiohttp import web

from agents.http import body
from agents.http.keys import Scope
from agents.http.problems import bad_request
from agents.http.route import Route, path
from agents.requests.imports import ImportReport, ImportState
from agents.scatter.context import CONTEXT
from agents.web.shapes import shape

__all__ = ["ROUTES"]

_MOST = 1 << 62
_MOST_TEXT = 500
_ID = re.compile("[!-~]{1,80}")
_STATES = [one.value for one in ImportState if one is not ImportState.LOST]
_COUNT = {"type": "integer", "minimum": 0, "maximum": _MOST}
_AMOUNT = {"type": "number", "minimum": 0, "maximum": _MOST}
_COUNTS = ("records", "bad", "done_bytes", "total_bytes")
BODY = shape(
    {
        "state": {"enum": _STATES},
        "file": {"type": "string", "maxLength": _MOST_TEXT, "description": "read at present"},
        **dict.fromkeys(_COUNTS, _COUNT),
        "per_second": {**_AMOUNT, "description": "records"},
        "seconds_left": {"anyOf": [_AMOUNT, {"type": "null"}]},
    }
)


async def told(request: web.Request) -> web.Response:
    """Keep the report in this worker's memory. Raises Problem (400)."""
    context = request.app[CONTEXT]
    import_id = request.match_info["id"]
    if _ID.fullmatch(import_id) is None:
        raise bad_request("the id of an import is 1 to 80 printable ASCII characters")
    given = await body.read_object(request, frozenset(BODY["properties"]))
    context.imports.tell(import_id, _report(given))
    return web.json_response({})


def _report(given: dict[str, Any]) -> ImportReport:
    missing = [name for name in BODY["properties"] if name not in given]
    if missing:
        raise bad_request(f"{missing[0]} is missing")
    if given["state"] not in _STATES:
        raise bad_request(f"state is one of {', '.join(_STATES)}")
    file = given["file"]
    if not isinstance(file, str) or len(file) > _MOST_TEXT:
        raise bad_request(f"file is a text of at most {_MOST_TEXT} characters")
    left = given["seconds_left"]
    records, bad, done_bytes, total_bytes = (
        int(_number(name, given[name], int)) for name in _COUNTS
    )
    return ImportReport(
        state=ImportState(given["state"]),
        file=file,
        records=records,
        bad=bad,
        done_bytes=done_bytes,
        total_bytes=total_bytes,
        per_second=_number("per_second", given["per_second"], int, float),
        seconds_left=None if left is None else _number("seconds_left", left, int, float),
    )


def _number(name: str, value: object, *kinds: type) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or type(value) not in kinds:
        raise bad_request(f"{name} is a number" + " that is whole" * (float not in kinds))
    if not 0 <= value <= _MOST:
        raise bad_request(f"{name} is a number from 0 to {_MOST}")
    return value


ROUTES = (
    Route(
        method="POST",
        path="/imports/{id}",
        handler=told,
        summary="Tell the progress of an import; GET /status and GET /workers have it",
        scope=Scope.OPERATE,
        parameters=(
            path("id", "Any id that is used for this import only", pattern=f"^{_ID.pattern}$"),
        ),
        body=BODY,
        answers={"application/json": shape({})},
        problems=("bad_request",),
    ),
)
