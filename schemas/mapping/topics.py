"""The mappings of topics: what records of other programs on our topics become. Pure: text to data.

[send]                                           # the topic interactions.send; [user]: users
names = ["com.acme.MessageSent"]                 # the producer's Avro records
json = false                                     # JSON is emberline's own here
schema = "message-sent.avsc"                     # the producer's schema; or subject = ".."
ids = [1001]                                     # its schema ids, where there is no registry

[send.fields]
user_id = "customer.number"                      # a field, or a field of a record in it
time = { column = "at", unit = "s" }

A topic may have several, for records of different names: `[[send]]`.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from schemas.mapping.rule import Rule, Value
from schemas.mapping.spelling import BadMapping, read_fields, text_in
from schemas.records import registry
from schemas.words.nearest import hint

__all__ = ["KINDS", "NO_MAPPINGS", "Aliases", "TopicMapping", "TopicMappings", "line_of", "parse"]

KINDS = ("send", "open", "click", "variant", "conversion", "signal", "user")
"""The kinds of records that a mapping may make. Each has a topic of its own."""
_WORDS = ("names", "json", "schema", "subject", "ids", "fields")
_ALIASES = ("aliases", "user_aliases")
_ALIAS_PARTS = ("column", "name", "label")
_MOST = 100
"""Mappings of one topic, and names of one mapping."""


@dataclass(frozen=True, slots=True)
class Aliases:
    """Aliases of a user: the texts or the objects in `column`, one or a list of them.

    Of an object, the members `name` and `label` count.
    """

    column: str
    name: str = "alias_name"
    label: str = "alias_label"


@dataclass(frozen=True, slots=True, eq=False)
class TopicMapping:
    """`rule` makes our records; `names` are the producer's records, with or without namespace: none
    means every record that is not ours. `schema` is a file, `subject` one of the registry.

    `writers` are the producer's schemas by id, where no registry gives them. `aliases` are by our
    field. `key` is where the mapping stands in its file.
    """

    rule: Rule
    names: frozenset[str] = frozenset()
    json: bool = True
    schema: str = ""
    subject: str = ""
    ids: tuple[int, ...] = ()
    aliases: Mapping[str, Aliases] = field(default_factory=dict)
    writers: Mapping[int, Any] = field(default_factory=dict)
    key: tuple[str, ...] = ()

    def takes(self, full_name: str) -> bool:
        """Whether it is for records of this Avro name."""
        return not self.names or bool({full_name, full_name.rpartition(".")[2]} & self.names)


TopicMappings = Mapping[str, tuple[TopicMapping, ...]]
"""Kind of record -> its mappings."""
NO_MAPPINGS: TopicMappings = {}


def parse(text: str) -> TopicMappings:
    """The mappings of a file, without their schemas. Raises BadMapping, naming the key."""
    try:
        found = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise BadMapping(f"no TOML: {error!s:.200}") from error
    made: dict[str, tuple[TopicMapping, ...]] = {}
    for kind, tables in found.items():
        if kind not in KINDS:
            raise BadMapping(f"there is no topic of {kind!r}", hint(kind, KINDS), (kind,))
        several = tables if isinstance(tables, list) else [tables]
        if not 0 < len(several) <= _MOST:
            raise BadMapping(f"{len(several)} mappings of a topic", key=(kind,))
        mappings = []
        for number, table in enumerate(several):
            key = (kind, str(number)) if isinstance(tables, list) else (kind,)
            try:
                mappings.append(_mapping(kind, table, key))
            except BadMapping as wrong:
                raise wrong.within(*key) from wrong
        made[kind] = _consistent(kind, mappings)
    return made


def line_of(text: str, key: tuple[str, ...]) -> int:
    """The line of a key in the text of a mapping file, about: 1 if it cannot be found."""
    kind, number = (*key, "", "")[:2]
    rest = [one for one in key[1:] if not one.isdigit()]
    nth = int(number) if number.isdigit() else 0
    found, seen, table = 1, -1, ""
    for line, content in enumerate(text.splitlines(), 1):
        plain = content.strip().replace(" ", "").replace('"', "")
        if plain.startswith("["):
            table = plain.split("]", 1)[0].strip("[")
            seen += table == kind
            if table == kind and seen == nth:
                found = line
        if seen != nth and table.partition(".")[0] == kind and number.isdigit():
            continue
        word = plain.split("=", 1)[0]
        if rest and (table, word) in ((".".join([kind, *rest[:-1]]), rest[-1]),
                                      (kind, ".".join(rest))):  # fmt: skip
            return line
        if rest == ["fields"] and table == f"{kind}.fields":
            return line
    return found


def _mapping(kind: str, table: Any, key: tuple[str, ...]) -> TopicMapping:
    if not isinstance(table, dict):
        raise BadMapping(f"{kind} is no table", f"Write [{kind}] and [{kind}.fields]")
    for word in table:
        if word not in _WORDS:
            raise BadMapping(f"there is no {word!r}", hint(word, _WORDS), (word,))
    names = table.get("names", [])
    if not isinstance(names, list) or not all(isinstance(one, str) for one in names):
        raise BadMapping("names is no list of texts", 'Write ["com.acme.Sent"]', ("names",))
    ids = table.get("ids", [])
    if not isinstance(ids, list) or not all(type(one) is int for one in ids):
        raise BadMapping("ids is no list of numbers", "Write [1001]", ("ids",))
    for one in ids:
        if not 0 <= one < 1 << 32 or one in registry.REGISTRY:
            raise BadMapping(f"{one} is an id of emberline's own schemas, or none", key=("ids",))
    if len(names) > _MOST or len(ids) > _MOST:
        raise BadMapping(f"more than {_MOST} names or ids")
    json = table.get("json", True)
    if not isinstance(json, bool):
        raise BadMapping("json is neither true nor false", key=("json",))
    schema, subject = text_in(table, "schema", ""), text_in(table, "subject", "")
    if schema and subject:
        raise BadMapping("schema and subject", "Write one of them", ("subject",))
    if bool(ids) > bool(schema):
        raise BadMapping("ids without a schema", "Name the file with schema = ", ("ids",))
    fields = table.get("fields")
    try:
        aliases = _aliases(kind, fields)
        plain = fields
        if aliases and isinstance(fields, dict):
            plain = {name: value for name, value in fields.items() if name not in aliases}
        made: dict[str, Value] = read_fields(kind, plain, timed=False)
    except BadMapping as wrong:
        raise wrong.within("fields") from wrong
    return TopicMapping(
        Rule(kind, made), frozenset(names), json, schema, subject, tuple(ids), aliases, key=key
    )


def _aliases(kind: str, fields: Any) -> dict[str, Aliases]:
    if kind != "user" or not isinstance(fields, dict):
        return {}
    found: dict[str, Aliases] = {}
    for name in _ALIASES:
        value = fields.get(name)
        if isinstance(value, str):
            value = {"column": value}
        if value is None:
            continue
        if not isinstance(value, dict) or not all(isinstance(one, str) for one in value.values()):
            raise BadMapping(f"{name}: give a column", key=(name,))
        for word in value:
            if word not in _ALIAS_PARTS:
                raise BadMapping(f"{name}: there is no {word!r}", hint(word, _ALIAS_PARTS), (name,))
        found[name] = Aliases(**{"column": name, **value})
    return found


def _consistent(kind: str, mappings: list[TopicMapping]) -> tuple[TopicMapping, ...]:
    """Raises BadMapping if a record would be for two of them."""
    seen: set[str] = set()
    ids: set[int] = set()
    json = 0
    for one in mappings:
        if len(mappings) > 1 and not one.names:
            raise BadMapping("one of several mappings has no names", "Write names", one.key)
        if twice := (seen & one.names) or {str(each) for each in ids & set(one.ids)}:
            raise BadMapping(f"{min(twice)!r} is in two mappings of {kind}", key=one.key)
        seen |= one.names
        ids |= set(one.ids)
        json += one.json
    if json > 1:
        raise BadMapping(
            f"JSON is for {json} mappings of {kind}",
            "Write json = false in all of them, or in all but one",
            mappings[1].key,
        )
    return tuple(mappings)
