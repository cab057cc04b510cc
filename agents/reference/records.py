"""The page of the records and their schema ids."""

from agents.reference import fields
from agents.reference.page import Page, Section, Table
from agents.reference.pages import ABOUT
from agents.reference.topic_facts import facts
from schemas.records import registry
from schemas.records.registry import OWN, REGISTRY
from streams.settings import Settings

__all__ = ["page"]


def page() -> Page:
    """Every record with its ids and fields."""
    settings = Settings()
    topics = {about.record: spec.name for spec, about in facts(settings) if about.record}
    return Page(
        "records",
        "Records",
        ABOUT["records"],
        (
            Section(
                text=(
                    "Avro in Confluent framing: byte 0, the schema id as big-endian uint32, the "
                    "body. Producers may write any id of the record, and may use a schema of their "
                    "own within Avro's rules of resolution. Records of input topics may also be "
                    "JSON objects of the same fields; a field that is left out has its default. "
                    "Fields without a default are required.",
                    "A schema registry (setting `schema_registry_url`) assigns the low ids itself; "
                    f"the high ids, {OWN:,} more, always have this meaning. With a registry, "
                    "emberline writes the high ids; without one, the low ids. An id never changes "
                    "its meaning: a changed schema gets a new one.",
                ),
                table=Table(
                    ("record", "topic", "schema", "ids", "earlier ids, still read"),
                    tuple(_row(name, topics[name]) for name in registry.NAMES),
                ),
            ),
            *(
                Section(
                    registry.raw(name)["name"],
                    (registry.raw(name)["doc"],),
                    fields.table(name),
                )
                for name in registry.NAMES
            ),
        ),
    )


def _row(name: str, topic: str) -> tuple[str, ...]:
    now = registry.schema_id(name)
    file = REGISTRY[now]
    earlier = [i for i, one in REGISTRY.items() if i < OWN and i != now and _stem(one) == name]
    return (
        registry.raw(name)["name"],
        f"`{topic}`",
        f"`schemas/{file}`",
        _both(now),
        "; ".join(map(_both, earlier)),
    )


def _both(low: int) -> str:
    return f"{low}, {OWN + low}"


def _stem(file: str) -> str:
    return file.rpartition("/")[2].removesuffix(".avsc")
