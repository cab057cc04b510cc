"""The mappings of topics, from the file of the setting `mappings_file`; their check at the start.

The file is read once for a process: every shard decodes with the same mappings until it ends.
"""

import logging
import threading
from dataclasses import dataclass, replace
from pathlib import Path

from schemas.errors import UsageError
from schemas.mapping.fit import Mismatch, json_mismatches, mismatches
from schemas.mapping.producer import full_name, producer_schema
from schemas.mapping.spelling import BadMapping
from schemas.mapping.topics import NO_MAPPINGS, TopicMapping, TopicMappings, line_of, parse
from schemas.records import foreign
from schemas.records.foreign import BadSchema
from streams.kafka.remote_registry import HttpSource, RegistryUnreachable, registry_of
from streams.kafka.topic_specs import Topics
from streams.settings import Settings

__all__ = ["Checked", "check_mappings", "mappings_of"]

_MOST_BYTES = 1_000_000
_GUIDE = "docs/mappings.md says what a mapping file may have"

_log = logging.getLogger(__name__)
_lock = threading.Lock()
_read: dict[Path, TopicMappings] = {}


@dataclass(frozen=True, slots=True)
class Checked:
    """A mapping, and what it was compared with: a file, a subject, or why with nothing."""

    kind: str
    names: tuple[str, ...]
    against: str
    compared: bool


def mappings_of(settings: Settings) -> TopicMappings:
    """The mappings of the settings. Raises UsageError, naming file, line and key."""
    name = settings.mappings_file
    if not name:
        return NO_MAPPINGS
    file = Path(name).absolute()
    with _lock:
        if file not in _read:
            _read[file] = _load(file, bool(settings.schema_registry_url))
        return _read[file]


def check_mappings(settings: Settings) -> list[Checked]:
    """Compare every mapping with the producer's schema, where there is one. Blocking.

    A registry that does not answer is no error: then each schema id is compared when its first
    record comes. Raises UsageError for the first mapping that does not fit.
    """
    remote = registry_of(settings)
    return [
        _check(settings, mapping, remote)
        for several in mappings_of(settings).values()
        for mapping in several
    ]


def _load(file: Path, has_registry: bool) -> TopicMappings:
    text = _text(file)
    try:
        found = parse(text)
        return {
            kind: tuple(_with_writers(file, one, has_registry) for one in several)
            for kind, several in found.items()
        }
    except BadMapping as wrong:
        where = f"{file}:{line_of(text, wrong.key)}: {'.'.join(wrong.key)}"
        raise UsageError(f"{where}: {wrong}", remedy=wrong.remedy or _GUIDE) from wrong


def _with_writers(file: Path, mapping: TopicMapping, has_registry: bool) -> TopicMapping:
    """With the schemas of its ids. Raises BadMapping."""
    if mapping.ids and has_registry:
        raise BadMapping(
            "ids are for use without a schema registry", "Leave ids out", (*mapping.key, "ids")
        )
    if mapping.subject and not has_registry:
        raise BadMapping(
            "a subject without a schema registry",
            "Set schema_registry_url, or write schema and ids",
            (*mapping.key, "subject"),
        )
    if not mapping.schema:
        return mapping
    key = (*mapping.key, "schema")
    try:
        schema = foreign.parsed(_text(file.parent / mapping.schema))
        foreign.check(schema)
    except (BadSchema, UsageError) as error:
        raise BadMapping(str(error), "Name the producer's schema, an .avsc file", key) from error
    if not isinstance(schema, dict) or schema.get("type") != "record":
        raise BadMapping(f"{mapping.schema} is no schema of a record", key=key)
    if not mapping.takes(full_name(schema)):
        raise BadMapping(
            f"{mapping.schema} is {full_name(schema)}, which names does not have",
            "Write that name in names",
            (*mapping.key, "names"),
        )
    return replace(mapping, writers=dict.fromkeys(mapping.ids, schema) | {_OF_FILE: schema})


_OF_FILE = -1
"""No schema id: where the schema of the file is kept for the check."""


def _check(settings: Settings, mapping: TopicMapping, remote: HttpSource | None) -> Checked:
    kind = mapping.rule.kind
    names = tuple(sorted(mapping.names))
    _refuse(settings, mapping, json_mismatches(mapping), "JSON")
    if mapping.schema:
        schema = mapping.writers[_OF_FILE]
        _refuse(settings, mapping, mismatches(mapping, producer_schema(schema)), mapping.schema)
        return Checked(kind, names, mapping.schema, compared=True)
    if remote is None:
        return Checked(kind, names, "there is no schema: JSON alone is read", compared=False)
    topics = Topics(settings.prefix)
    topic = topics.users if kind == "user" else f"{settings.prefix}interactions.{kind}"
    subject = mapping.subject or f"{topic}-value"
    try:
        found = remote.latest(subject)
    except RegistryUnreachable as error:
        _log.warning("the mapping of %s could not be compared: %s", topic, error)
        return Checked(kind, names, str(error), compared=False)
    if found is None or not mapping.takes(full_name(found)):
        what = f"the schema registry has no such record under {subject}"
        if mapping.subject:
            _refuse(settings, mapping, [Mismatch("", what, "Correct subject, or names")], subject)
        return Checked(kind, names, what, compared=False)
    _refuse(settings, mapping, mismatches(mapping, producer_schema(found)), subject)
    return Checked(kind, names, subject, compared=True)


def _refuse(settings: Settings, mapping: TopicMapping, wrong: list[Mismatch], against: str) -> None:
    for one in wrong[:1]:
        file = Path(settings.mappings_file).absolute()
        key = (*mapping.key, "fields", one.field) if one.field else (*mapping.key, "subject")
        where = f"{file}:{line_of(_text(file), key)}: {'.'.join(key)}"
        raise UsageError(f"{where}: {one.what} ({against})", remedy=one.remedy)


def _text(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            content = opened.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise UsageError(f"{file} has more than {_MOST_BYTES} bytes", remedy=_GUIDE)
        return content.decode()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise UsageError(f"{file}: {why}", remedy="Check the name, and who may read it") from error
