"""Writers' schemas from a Confluent-compatible schema registry, over HTTP.

Blocking: decoding calls it from its own threads, once for every id that is new to the process.
"""

import http.client
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from functools import cache
from typing import Any

from schemas.errors import Recoverable
from schemas.registry import FILES, SchemaSource, UnknownSchema

__all__ = ["HttpSource", "RegistryUnreachable", "source_for"]

_ANSWER_BYTES = 10_000_000


class RegistryUnreachable(Recoverable):
    """The schema registry did not answer, so whether the schema exists is not known."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(
            f"schema registry: GET {url}: {reason}",
            remedy="Start the registry, or correct the setting schema_registry_url",
        )
        self.url = url


class HttpSource:
    """The schemas of a registry at `url`: `GET {url}/schemas/ids/{id}`.

    A schema is kept for ever, as its id never changes its meaning. That there is none is kept
    for `forget_after` seconds, so that a topic of garbage does not ask for every record.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float = 10.0,
        forget_after: float = 60.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = url.rstrip("/")
        self._timeout = timeout
        self._forget_after = forget_after
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._known: dict[int, dict[str, Any]] = {}
        self._unknown: dict[int, tuple[float, UnknownSchema]] = {}

    def writer(self, schema_id: int) -> dict[str, Any]:
        """Return the JSON form of the schema with this id.

        Raises UnknownSchema where the registry has no Avro record of this id, and
        RegistryUnreachable where it did not answer within the timeout.
        """
        with self._lock:
            if schema_id in self._known:
                return self._known[schema_id]
            until, error = self._unknown.get(schema_id, (float("-inf"), None))
            if error is not None and self._monotonic() < until:
                raise UnknownSchema(error.schema, error.reason)
            try:
                known = self._known[schema_id] = self._parse(schema_id, self._get(schema_id))
            except UnknownSchema as unknown:
                if len(self._unknown) >= 10_000:
                    self._unknown.clear()
                self._unknown[schema_id] = (self._monotonic() + self._forget_after, unknown)
                raise
            return known

    def _get(self, schema_id: int) -> bytes:
        url = f"{self._url}/schemas/ids/{schema_id}"
        request = urllib.request.Request(
            url, headers={"Accept": "application/vnd.schemaregistry.v1+json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=self._timeout) as answer:
                body: bytes = answer.read(_ANSWER_BYTES)
                return body
        except urllib.error.HTTPError as error:
            with error:
                if error.code == 404:
                    raise UnknownSchema(schema_id, "the schema registry has none") from error
                raise RegistryUnreachable(url, f"status {error.code}") from error
        # URLError, timeouts and broken connections; what is no HTTP at all
        except (OSError, http.client.HTTPException) as error:
            raise RegistryUnreachable(url, str(error)) from error

    def _parse(self, schema_id: int, body: bytes) -> dict[str, Any]:
        try:
            answer = json.loads(body)
            kind = answer.get("schemaType", "AVRO")
            schema = json.loads(answer["schema"]) if kind == "AVRO" else None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            url = f"{self._url}/schemas/ids/{schema_id}"
            raise RegistryUnreachable(url, "the answer is not one of a schema registry") from error
        if answer.get("references"):
            raise UnknownSchema(schema_id, "schemas with references are not supported")
        if not isinstance(schema, dict) or schema.get("type") != "record":
            raise UnknownSchema(schema_id, "not an Avro record")
        return schema


@cache
def source_for(url: str) -> SchemaSource:
    """Return the source that the setting schema_registry_url asks for; empty: our own files.

    The same one for the same address: what one shard has learnt serves all.
    """
    return HttpSource(url) if url else FILES
