"""The request of `POST /audience`: checked, with the cursor from page to page."""

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any, Self

import orjson

from agents.audience.audience import Question
from agents.filters.errors import FilterError
from agents.filters.moments import moment
from agents.filters.parsing import parse
from agents.filters.refusals import OnExpired
from agents.http.body import parsed
from agents.http.parameters import number
from agents.http.problems import Problem, bad_request
from agents.web.refusals import filter_problem
from agents.web.user_columns import columns_of

__all__ = [
    "DEFAULT_LIMIT",
    "MEMBERS",
    "MOST_USERS",
    "Asked",
    "Cursor",
    "asked",
    "in_query",
    "rfc3339",
]

MEMBERS = frozenset({"filter", "now", "on_expired", "limit", "cursor", "columns"})
DEFAULT_LIMIT = 1_000
MOST_USERS = 100_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Cursor:
    """The start of a page: after this user, in the answer to that query."""

    after: str
    now_ms: int
    digest: str

    def __str__(self) -> str:
        """The text of the cursor."""
        text = orjson.dumps([self.after, self.now_ms, self.digest])
        return base64.urlsafe_b64encode(text).decode().rstrip("=")

    @classmethod
    def read(cls, text: object) -> Self:
        """The cursor in a text. Raises Problem (400)."""
        try:
            if not isinstance(text, str):
                raise ValueError("it is no text")
            padded = text + "=" * (-len(text) % 4)
            after, now_ms, digest = orjson.loads(base64.urlsafe_b64decode(padded))
            # True is an int as well
            if [type(part) for part in (after, now_ms, digest)] != [str, int, str]:
                raise ValueError("it has other parts")
            rfc3339(now_ms)
        except (ValueError, TypeError, OverflowError) as error:
            raise bad_request(f"cursor was not issued here: {error}") from error
        return cls(after, now_ms, digest)


@dataclass(frozen=True, slots=True)
class Asked:
    """A query and how much of its answer is requested; `limit` and `columns` None: the default."""

    question: Question
    filter: Any
    limit: int | None
    cursor: Cursor | None
    columns: tuple[str, ...] | None = None

    def digest(self, excluded: Iterable[str]) -> str:
        """Names the question, and what its answer does without: pages of others do not fit."""
        identity = [self.filter, self.question.on_expired.value, sorted(excluded)]
        data = orjson.dumps(identity, option=orjson.OPT_SORT_KEYS)
        return blake2b(data, digest_size=9).hexdigest()

    def check(self, excluded: Iterable[str]) -> None:
        """Raise Problem (409) where the cursor belongs to another question."""
        if self.cursor is not None and self.cursor.digest != self.digest(excluded):
            raise Problem(
                "stale_cursor",
                "The cursor belongs to another filter, or sources have expired or come back "
                "since it was given: begin with the first page",
            )


def in_query(given: Mapping[str, str]) -> dict[str, Any]:
    """The body of the same question, from the query of a `GET`. Raises Problem (400)."""
    found: dict[str, Any] = {name: given[name] for name in MEMBERS & given.keys()}
    if "filter" in found:
        try:
            found["filter"] = parsed(found["filter"].encode())
        except ValueError as error:
            raise bad_request(f"filter is not JSON: {error}") from error
    if "limit" in found:
        text = found["limit"]
        found["limit"] = number(text)
        if found["limit"] is None:
            raise bad_request(f"limit is a number of users, not {text[:40]!r}")
    if "now" in found:
        # as in a body: RFC 3339, or milliseconds
        milliseconds = number(found["now"])
        found["now"] = found["now"] if milliseconds is None else milliseconds
    if "columns" in found:
        found["columns"] = [name.strip() for name in found["columns"].split(",")]
    return found


def asked(body: Mapping[str, Any], now_ms: int) -> Asked:
    """The request's body; `now_ms` counts where it names no `now`. Raises Problem (400)."""
    if "filter" not in body:
        raise bad_request("filter is missing")
    cursor = None if body.get("cursor") is None else Cursor.read(body["cursor"])
    now = now_ms if body.get("now") is None else _moment(body["now"])
    if cursor is not None:
        if body.get("now") is not None and now != cursor.now_ms:
            raise bad_request("now differs from the cursor's: leave it out")
        now = cursor.now_ms
    try:
        node = parse(body["filter"])
    except FilterError as error:
        raise filter_problem(error) from error
    on_expired = body.get("on_expired")
    if on_expired is None:
        on_expired = OnExpired.REFUSE.value
    if on_expired not in list(OnExpired):
        raise bad_request(f"on_expired is refuse or exclude, not {on_expired!r}")
    question = Question(node, now, OnExpired(on_expired))
    columns = columns_of(body.get("columns"))
    return Asked(question, body["filter"], _limit(body.get("limit")), cursor, columns)


def rfc3339(ms: int) -> str:
    """A moment as text, in UTC with milliseconds. Raises OverflowError past the year 9999."""
    found = _EPOCH + timedelta(milliseconds=ms)
    return found.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _moment(value: object) -> int:
    try:
        whole = isinstance(value, int) and not isinstance(value, bool)
        found = value if whole else moment(value, "now")
    except FilterError as error:
        raise bad_request(str(error)) from error
    if not isinstance(found, int):
        raise bad_request(f"now is a time such as 2026-05-01T00:00:00Z, not {value!r}")
    try:
        rfc3339(found)
    except OverflowError as error:
        raise bad_request(f"now is out of range: {value}") from error
    return found


def _limit(value: object) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise bad_request(f"limit is a number of users, not {value!r}")
    return value
