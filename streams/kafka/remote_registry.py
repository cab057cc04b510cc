"""A Confluent-compatible schema registry: writers' schemas by id, and ids for our schemas.

    GET  /schemas/ids/{id}                             {"schema": TEXT, "references": [..]}
    GET  /subjects/{subject}/versions/{version}        the same, for a reference or the latest
    POST /subjects/{subject}                           {"id": ID} where it is registered already
    POST /subjects/{subject}/versions                  {"id": ID}, registering it

Blocking: decoding calls it from its own threads, once for every id that is new to the process.
"""

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any
from urllib.parse import urlsplit

from schemas.errors import Fatal, Recoverable, UsageError
from schemas.records import foreign, registry
from schemas.records.foreign import BadSchema
from schemas.records.registry import FILES, SchemaSource, UnknownSchema
from streams.kafka.bounded_http import TLS_DEFAULT, Caller, CallFailed, HttpAnswer, basic
from streams.secret_file import first_line, secret_of
from streams.settings import Settings
from streams.tls import ClientTls, TlsFiles
from streams.trusted import check_file, check_target, is_loopback

__all__ = [
    "HttpSource",
    "Known",
    "RegistryUnreachable",
    "SchemaAwaited",
    "learn",
    "refusal_of",
    "registry_of",
    "schema_body",
    "source_for",
]

_KNOWN = 4_096
"""Schemas that are kept."""
_UNKNOWN = 150_000
"""Ids without a schema that are remembered: more than the records that are read together."""
_REFERENCES = 32
_MISSES = 500
"""So many ids without a schema are asked for at once, and then..."""
_MISSES_PER_S = 8.0
"""... so many a second: records that are garbage may have an id each."""
_SURE = 8
"""So many ids of what is read together are asked for in any case: those nearest to known ones."""
_NOT_ASKED_S = 30.0
"""So long an id is taken as unknown that was not asked for."""
_OTHER_TYPES = frozenset({"PROTOBUF", "JSON"})
_TYPE_KEPT_S = 3_600.0
"""So long a schema that is no Avro is not asked for again."""
_NOT_FOUND = 404
_REFUSED = frozenset({400, 401, 403, 409, 422})
_REMEDY = "Start the registry, or correct the setting schema_registry_url"


class RegistryUnreachable(Recoverable):
    """The schema registry did not answer, so it is unknown whether the schema exists."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"schema registry: {url}: {reason}", remedy=_REMEDY)
        self.url = url
        self.reason = reason


class SchemaAwaited(Recoverable):
    """The record cannot be read before the schema registry has been asked for this id."""

    def __init__(self, schema_id: int) -> None:
        super().__init__(f"schema id {schema_id} is not known yet", remedy=_REMEDY)
        self.schema_id = schema_id


@dataclass(slots=True)
class _Asking:
    """A request for one id in progress; other callers wait for its result."""

    done: threading.Event = field(default_factory=threading.Event)


class HttpSource:
    """The schemas of a registry.

    Schemas are cached for ever, because an id never changes its meaning. A missing schema is cached
    for `forget_after` seconds, so that a topic of garbage does not cause a request for every
    record; only for seconds, because the id of some garbage may be the next one that the registry
    assigns, and good records of it must not be rejected for long. After a failure no request is
    made for `rest` seconds. No lock is held during a request, and every request has a deadline. Ids
    of our own files (`registry.OWN_IDS`) are never requested: no registry assigns them.
    """

    def __init__(
        self,
        url: str,
        *,
        authorization: Callable[[], str] = lambda: "",
        tls: ClientTls = TLS_DEFAULT,
        timeout: float = 10.0,
        forget_after: float = 15.0,
        rest: float = 2.0,
        misses: int = _MISSES,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        #: Calls the registry, for what is no question about a schema.
        self.caller = Caller(url, authorization=authorization, tls=tls, deadline_s=timeout)
        self._caller = self.caller
        self._wait_s = 3 * timeout
        self._forget_after = forget_after
        self._rest = rest
        self._misses = float(misses)
        #: How many ids without a schema may still be asked for, as of when.
        self._left, self._left_at = self._misses, monotonic()
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._known: dict[int, dict[str, Any]] = {}
        self._unknown: dict[int, tuple[float, str, str]] = {}
        self._asking: dict[int, _Asking] = {}
        self._failed: tuple[float, RegistryUnreachable] | None = None
        self._ids: dict[tuple[str, str], int] = {}

    def writer(self, schema_id: int, *, sure: bool = False) -> dict[str, Any]:
        """Return the JSON form of the schema with this id.

        Raises UnknownSchema where the registry has no Avro record of this id, or one that
        costs too much to read with; RegistryUnreachable where it does not answer now. With `sure`
        it is asked however many had no schema.
        """
        if schema_id in registry.OWN_IDS:
            return FILES.writer(schema_id)
        while True:
            with self._lock:
                found = self._told(schema_id)
                if found is not None:
                    return found
                asking = self._asking.get(schema_id)
                if asking is None:
                    mine = self._asking[schema_id] = _Asking()
                    break
            asking.done.wait()  # as long as one call lasts at most, which has a deadline
        try:
            return self._ask(schema_id, sure)
        finally:
            with self._lock:
                del self._asking[schema_id]
            mine.done.set()

    def nearest_first(self, ids: Collection[int]) -> list[int]:
        """Those of `ids` of which nothing is known, in the order in which to ask: a registry
        counts, so a new schema's id is one of those just above the known ones."""
        with self._lock:
            most, now = max(self._known, default=0), self._monotonic()
            left = [
                each
                for each in ids
                if each not in self._known and now >= self._unknown.get(each, (now, "", ""))[0]
            ]
        return sorted(left, key=lambda each: (abs(each - most), each))

    def known(self, schema_id: int) -> dict[str, Any] | None:
        """The result or error of `writer` if it is cached; None if a request would be needed."""
        if schema_id in registry.OWN_IDS:
            return FILES.writer(schema_id)
        with self._lock:
            return self._remembered(schema_id)

    def id_of(self, name: str, topic: str) -> int:
        """The id of our schema `name` for values of `topic`; registers the schema if needed.

        Raises RegistryUnreachable, and Fatal if the registry refuses it.
        """
        subject = f"{topic}-value"
        with self._lock:
            known = self._ids.get((name, subject))
        if known is not None:
            return known
        body = json.dumps(schema_body(name)).encode()
        answer = self._call(lambda: self._caller.post(body, "subjects", subject))
        if answer.status == _NOT_FOUND:
            answer = self._call(lambda: self._caller.post(body, "subjects", subject, "versions"))
        if answer.status in _REFUSED:
            raise Fatal(
                f"The schema registry refuses {subject}: {refusal_of(answer)}",
                remedy="Check the settings schema_registry_user and schema_registry_password, "
                "and the subject's compatibility",
            )
        found = self._object(answer, subject).get("id")
        if type(found) is not int or not 0 <= found < 1 << 31 or found in registry.OWN_IDS:
            raise self._strange(subject)
        with self._lock:
            self._ids[name, subject] = found
        return found

    def latest(self, subject: str) -> dict[str, Any] | None:
        """The newest schema of a subject, if there is one and it is an Avro record.

        Raises RegistryUnreachable.
        """
        answer = self._call(lambda: self._caller.get("subjects", subject, "versions", "latest"))
        if answer.status == _NOT_FOUND:
            return None
        content = self._object(answer, f"subjects/{subject[:80]}")
        try:
            return self._record(content, -1, f"subjects/{subject[:80]}")
        except UnknownSchema:
            return None

    def _told(self, schema_id: int) -> dict[str, Any] | None:
        """The same; after a failure no request is made for a while. Call it with the lock held."""
        found = self._remembered(schema_id)
        if found is None and self._failed is not None and self._monotonic() < self._failed[0]:
            error = self._failed[1]
            raise RegistryUnreachable(error.url, error.reason)
        return found

    def _remembered(self, schema_id: int) -> dict[str, Any] | None:
        if schema_id in self._known:
            return self._known[schema_id]
        until, reason, kind = self._unknown.get(schema_id, (float("-inf"), "", ""))
        if self._monotonic() < until:
            raise UnknownSchema(schema_id, reason, kind)
        return None

    def _ask(self, schema_id: int, sure: bool) -> dict[str, Any]:
        if not sure and not self._may_miss():
            reason = "too many ids without a schema came: the schema registry was not asked"
            raise self._forgotten(schema_id, reason, _NOT_ASKED_S)
        try:
            known = self._schema(schema_id)
        except UnknownSchema as unknown:
            if unknown.schema_type:  # it has a schema, for ever: this is no guess of garbage
                raise self._forgotten(schema_id, unknown.reason, _TYPE_KEPT_S, unknown) from None
            with self._lock:
                self._left = max(0.0, self._left - 1)
            raise self._forgotten(schema_id, unknown.reason, self._forget_after) from None
        with self._lock:
            _make_room(self._known, _KNOWN)
            self._known[schema_id] = known
        return known

    def _may_miss(self) -> bool:
        """Whether an id may be asked for that may have no schema."""
        with self._lock:
            now = self._monotonic()
            earned = (now - self._left_at) * _MISSES_PER_S
            self._left, self._left_at = min(self._misses, self._left + earned), now
            return self._left >= 1

    def _forgotten(
        self, schema_id: int, reason: str, seconds: float, unknown: UnknownSchema | None = None
    ) -> UnknownSchema:
        """What every record of this id gets for so long."""
        kind = "" if unknown is None else unknown.schema_type
        with self._lock:
            _make_room(self._unknown, _UNKNOWN)
            self._unknown[schema_id] = (self._monotonic() + seconds, reason, kind)
        return UnknownSchema(schema_id, reason, kind)

    def _schema(self, schema_id: int) -> dict[str, Any]:
        where = f"schemas/ids/{schema_id}"
        answer = self._call(lambda: self._caller.get("schemas", "ids", str(schema_id)))
        if answer.status == _NOT_FOUND:
            raise UnknownSchema(schema_id, "the schema registry has none")
        return self._record(self._object(answer, where), schema_id, where)

    def _record(self, content: dict[str, Any], schema_id: int, where: str) -> dict[str, Any]:
        """The record's schema in an answer, with all that it refers to. Raises UnknownSchema."""
        if (kind := content.get("schemaType", "AVRO")) != "AVRO":
            kind = kind if kind in _OTHER_TYPES else ""
            raise UnknownSchema(schema_id, "not an Avro schema", kind)
        if not isinstance(content.get("schema"), str):
            raise self._strange(where)
        try:
            schema = foreign.parsed(content["schema"])
            if content.get("references"):
                schema = foreign.inlined(schema, self._references(content["references"]))
            foreign.check(schema)
        except BadSchema as error:
            raise UnknownSchema(schema_id, str(error)) from error
        if not isinstance(schema, dict) or schema.get("type") != "record":
            raise UnknownSchema(schema_id, "not an Avro record")
        return schema

    def _references(self, content: Any) -> dict[str, Any]:
        """Full name -> schema of what a schema refers to, and what that refers to."""
        others: dict[str, Any] = {}
        seen: set[tuple[str, str]] = set()
        waiting = [content]
        until = self._monotonic() + self._wait_s
        while waiting:
            listed = waiting.pop()
            for one in listed if isinstance(listed, list) else [None]:
                subject = one.get("subject") if isinstance(one, dict) else None
                version = one.get("version") if isinstance(one, dict) else None
                if not isinstance(subject, str) or type(version) is not int:
                    raise BadSchema("references without subject and version")
                if (subject, str(version)) in seen:
                    continue
                seen.add((subject, str(version)))
                if len(seen) > _REFERENCES:
                    raise BadSchema(f"more than {_REFERENCES} references")
                if self._monotonic() > until:
                    raise self._unreachable("the references of a schema take too long")
                found, further = self._reference(subject, str(version))
                others |= dict(foreign.names(found))
                waiting += [further] if further else []
        return others

    def _reference(self, subject: str, version: str) -> tuple[Any, Any]:
        answer = self._call(lambda: self._caller.get("subjects", subject, "versions", version))
        if answer.status == _NOT_FOUND:
            raise BadSchema(f"the registry has no {subject[:80]} version {version}")
        content = self._object(answer, f"subjects/{subject[:80]}")
        if not isinstance(content.get("schema"), str):
            raise BadSchema(f"{subject[:80]} version {version} has no schema")
        return foreign.parsed(content["schema"]), content.get("references")

    def _call(self, call: Callable[[], HttpAnswer]) -> HttpAnswer:
        try:
            answer = call()
            if answer.status != _NOT_FOUND and answer.status not in _REFUSED | {200}:
                raise CallFailed(f"status {answer.status}")
        except (CallFailed, UsageError) as error:  # or a file that cannot be read any more
            raise self._unreachable(str(error)) from error
        with self._lock:
            self._failed = None
        return answer

    def _object(self, answer: HttpAnswer, where: str) -> dict[str, Any]:
        if answer.status != 200:
            raise self._unreachable(f"{where}: {refusal_of(answer)}")
        try:
            content = json.loads(answer.body)
        except (ValueError, RecursionError):
            content = None
        if not isinstance(content, dict):
            raise self._strange(where)
        return content

    def _strange(self, where: str) -> RegistryUnreachable:
        return self._unreachable(f"{where}: the answer is not one of a schema registry")

    def _unreachable(self, reason: str) -> RegistryUnreachable:
        error = RegistryUnreachable(self._caller.url, reason)
        with self._lock:
            self._failed = (self._monotonic() + self._rest, error)
        return error


def _make_room(kept: dict[Any, Any], most: int) -> None:
    while len(kept) >= most:
        del kept[next(iter(kept))]


def schema_body(record: str) -> dict[str, str]:
    """Our schema of a record, as a registry takes it."""
    return {"schema": json.dumps(registry.raw(record)), "schemaType": "AVRO"}


def refusal_of(answer: HttpAnswer) -> str:
    """The status of an answer, and the registry's message if it has one."""
    try:
        message = str(json.loads(answer.body).get("message"))
    except (ValueError, AttributeError, RecursionError):
        message = ""
    return f"status {answer.status}{f', {message[:200]!r}' if message else ''}"


class Known:
    """The cached schemas of a registry: for decoding, in threads that all shards share.

    It sends no request. It raises `SchemaAwaited` if a request is needed: see `learn`.
    """

    def __init__(self, remote: HttpSource) -> None:
        self.remote = remote

    def writer(self, schema_id: int) -> dict[str, Any]:
        """Return the JSON form of the schema with this id.

        Raises UnknownSchema if the registry has none, SchemaAwaited if the registry has not been
        asked yet.
        """
        known = self.remote.known(schema_id)
        if known is None:
            raise SchemaAwaited(schema_id)
        return known


async def learn(remote: HttpSource, ids: Collection[int]) -> None:
    """Ask the registry for all these ids, in a separate thread; afterwards `Known` knows them, or
    knows that they do not exist.

    Raises RegistryUnreachable. If this is cancelled, the request in progress ends by itself.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def tell(error: BaseException | None) -> None:
        if not done.done():
            done.set_result(None) if error is None else done.set_exception(error)

    def ask() -> None:
        error: BaseException | None = None
        try:
            for place, schema_id in enumerate(remote.nearest_first(ids)):
                with contextlib.suppress(UnknownSchema):
                    remote.writer(schema_id, sure=place < _SURE)
        except Exception as caught:
            error = caught
        with contextlib.suppress(RuntimeError):  # the loop may be closed by now
            loop.call_soon_threadsafe(tell, error)

    # no pool: Python would wait for its threads when the process ends
    threading.Thread(target=ask, name="schema-registry", daemon=True).start()
    await done


def source_for(settings: Settings) -> SchemaSource:
    """Return the source of schemas for records of other programs: a `Known`, or our own files.

    Equal settings give the same object, so all shards share its cache. Raises UsageError.
    """
    remote = registry_of(settings)
    return FILES if remote is None else _known(remote)


def registry_of(settings: Settings) -> HttpSource | None:
    """The schema registry of the settings, if there is one. Raises UsageError."""
    url = settings.schema_registry_url
    if not url:
        return None
    if not is_loopback(urlsplit(str(url)).hostname or ""):
        check_target(settings, "schema_registry_password", "schema_registry_url")
        for file in ("schema_registry_password_file", "schema_registry_token_file"):
            check_file(settings, file, "schema_registry_url")
    _authorization(settings)  # a file that cannot be read is an error at the start
    with _lock:
        key = tuple(getattr(settings, name) for name in _SETTINGS)
        found = _shared.get(key)
        if found is None:
            _make_room(_shared, _SOURCES)
            files = TlsFiles(ca=settings.schema_registry_ca_file, ca_name="schema_registry_ca_file")
            tls = ClientTls(files)
            tls.context()
            found = _shared[key] = HttpSource(
                str(url), authorization=partial(_authorization, settings), tls=tls
            )
        return found


def _authorization(settings: Settings) -> str:
    """As the files say now. Raises UsageError."""
    if settings.schema_registry_token_file:
        return f"Bearer {first_line(settings.schema_registry_token_file, _TOKEN_FILE)}"
    password = secret_of(settings, "schema_registry_password")
    user = settings.schema_registry_user
    return basic(user, password) if user else ""


_TOKEN_FILE = "schema_registry_token_file"
_SETTINGS = (
    "schema_registry_url",
    "schema_registry_user",
    "schema_registry_password",
    "schema_registry_password_file",
    _TOKEN_FILE,
    "schema_registry_ca_file",
)
_SOURCES = 64
_shared: dict[tuple[object, ...], HttpSource] = {}
_lock = threading.Lock()


@cache
def _known(remote: HttpSource) -> Known:
    return Known(remote)
