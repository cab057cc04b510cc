"""Puts our schemas into a Confluent-compatible schema registry, each under a subject.

    POST /subjects/{subject}                                {"id", "version"} where it is already
    GET  /subjects/{subject}/versions/latest                what it would follow
    GET  /config/{subject}, /config                         {"compatibilityLevel": LEVEL}
    POST /compatibility/subjects/{subject}/versions/latest  {"is_compatible", "messages"}
    PUT  /config/{subject}                                  {"compatibility": LEVEL}
    POST /subjects/{subject}/versions                       {"id": ID}

All subjects are looked at before anything is written, so a conflict leaves the registry as it was.
Blocking.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from schemas.errors import Fatal, UsageError
from schemas.records import registry
from schemas.records.compatibility import problems
from streams.kafka.bounded_http import Caller, CallFailed, HttpAnswer
from streams.kafka.remote_registry import RegistryUnreachable, refusal_of, schema_body

__all__ = ["LEVELS", "STRATEGIES", "RegisteredSchema", "SchemaSubjects", "subject_of"]

LEVELS = (
    *("NONE", "BACKWARD", "BACKWARD_TRANSITIVE", "FORWARD", "FORWARD_TRANSITIVE"),
    *("FULL", "FULL_TRANSITIVE"),
)
STRATEGIES = ("topic", "record", "topic-record")
"""How a subject is named: after the topic, the record, or both; as Confluent's serializers do."""
Outcome = Literal["present", "registered", "new", "conflict"]
_SHOWN = 300
_NOT_FOUND = 404
_REFUSED = (401, 403)
_MANY = 10


@dataclass(frozen=True, slots=True)
class RegisteredSchema:
    """What became of one of our schemas. `id` is the registry's; `level` the compatibility that it
    keeps for the subject; `why` the reasons of a conflict.

    The outcome `new` is that of a dry run: it would be registered.
    """

    record: str
    subject: str
    outcome: Outcome
    id: int | None = None
    version: int | None = None
    level: str = ""
    why: tuple[str, ...] = ()


def subject_of(strategy: str, topic: str, record: str) -> str:
    """The subject of the values of a topic that are records of ours."""
    schema = registry.raw(record)
    full = f"{schema['namespace']}.{schema['name']}"
    return {"topic": f"{topic}-value", "record": full, "topic-record": f"{topic}-{full}"}[strategy]


class SchemaSubjects:
    """The subjects of one registry.

    Every method raises RegistryUnreachable if it does not answer as a schema registry, and Fatal if
    it refuses who asks.
    """

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def register(
        self, subjects: Mapping[str, str], *, level: str = "", dry_run: bool = False
    ) -> list[RegisteredSchema]:
        """Register `subjects` (subject -> our record); with `level` their compatibility is set
        first. If one is in conflict, or in a dry run, nothing is written.
        """
        found = [self._look(subject, record) for subject, record in subjects.items()]
        if dry_run or any(one.outcome == "conflict" for one in found):
            return found
        if level:
            for one in found:
                if one.level != level:
                    body = {"compatibility": level}
                    self._asked("PUT", body, "config", one.subject)
            found = [replace(one, level=level) for one in found]
        return [one if one.outcome == "present" else self._write(one) for one in found]

    def _look(self, subject: str, record: str) -> RegisteredSchema:
        body = schema_body(record)
        level = self._level(subject)
        held = self._found("POST", body, "subjects", subject)
        if held is not None:
            version = held.get("version")
            return RegisteredSchema(
                *(record, subject, "present", self._id(held, subject)),
                version if isinstance(version, int) else None,
                level,
            )
        latest = self._found("GET", None, "subjects", subject, "versions", "latest")
        if latest is None:
            return RegisteredSchema(record, subject, "new", level=level)
        why = self._conflicts(subject, record, body, latest)
        outcome: Outcome = "conflict" if why else "new"
        return RegisteredSchema(record, subject, outcome, level=level, why=tuple(why[:_MANY]))

    def _conflicts(
        self, subject: str, record: str, body: dict[str, str], latest: Mapping[str, Any]
    ) -> list[str]:
        """Why the registry does not take our schema as the next one; in our words where it is an
        Avro schema that we can compare.
        """
        kind = latest.get("schemaType", "AVRO")
        if kind != "AVRO":
            return [f"the subject has a schema of type {str(kind)[:20]}"]
        path = ("compatibility", "subjects", subject, "versions", "latest")
        answer = self._asked("POST", body, *path, query="verbose=true")
        if answer.get("is_compatible") is True:
            return []
        messages = answer.get("messages")
        said = [str(one)[:_SHOWN] for one in messages] if isinstance(messages, list) else []
        try:
            old = json.loads(str(latest.get("schema")))
            ours = problems(old, registry.raw(record)) if isinstance(old, dict) else []
        except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
            ours = []
        version = latest.get("version")
        return [one[:_SHOWN] for one in ours or said] or [f"version {version} says otherwise"]

    def _level(self, subject: str) -> str:
        own = self._found("GET", None, "config", subject)
        found = own if own is not None else self._asked("GET", None, "config")
        return str(found.get("compatibilityLevel", ""))[:40]

    def _write(self, one: RegisteredSchema) -> RegisteredSchema:
        answer = self._asked("POST", schema_body(one.record), "subjects", one.subject, "versions")
        held = self._asked("POST", schema_body(one.record), "subjects", one.subject)
        version = held.get("version")
        return replace(
            one,
            outcome="registered",
            id=self._id(answer, one.subject),
            version=version if isinstance(version, int) else None,
        )

    def _id(self, answer: Mapping[str, Any], subject: str) -> int:
        found = answer.get("id")
        if type(found) is not int or not 0 <= found < 1 << 31:
            raise self._strange(subject)
        return found

    def _asked(
        self, method: str, body: dict[str, str] | None, *path: str, query: str = ""
    ) -> dict[str, Any]:
        found = self._found(method, body, *path, query=query)
        if found is None:
            raise self._strange("/".join(path))
        return found

    def _found(
        self, method: str, body: dict[str, str] | None, *path: str, query: str = ""
    ) -> dict[str, Any] | None:
        """The object that is answered; None if there is none."""
        data = None if body is None else json.dumps(body).encode()
        answer = self._call(lambda: self._caller.call(method, data, *path, query=query))
        if answer.status == _NOT_FOUND:
            return None
        try:
            found = json.loads(answer.body)
        except (ValueError, RecursionError):
            found = None
        if answer.status in _REFUSED:
            raise Fatal(
                f"The schema registry refuses {'/'.join(path)[:_SHOWN]}: {refusal_of(answer)}",
                remedy="Check the settings schema_registry_user, schema_registry_password and "
                "schema_registry_token_file, and the rights of that user",
            )
        if 400 <= answer.status < 500:
            raise Fatal(
                f"The schema registry refuses {'/'.join(path)[:_SHOWN]}: {refusal_of(answer)}",
                remedy="If the subject is read-only or in import mode, change its mode (/mode)",
            )
        if answer.status != 200 or not isinstance(found, dict):
            raise self._strange("/".join(path))
        return found

    def _call(self, call: Callable[[], HttpAnswer]) -> HttpAnswer:
        try:
            return call()
        except (CallFailed, UsageError) as error:
            raise RegistryUnreachable(self._caller.url, str(error)) from error

    def _strange(self, where: str) -> RegistryUnreachable:
        reason = f"{where[:_SHOWN]}: the answer is not one of a schema registry"
        return RegistryUnreachable(self._caller.url, reason)
