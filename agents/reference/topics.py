"""The page of the topics."""

from collections.abc import Iterator, Sequence

from agents.reference.page import Page, Section, Table
from agents.reference.pages import ABOUT
from agents.reference.topic_facts import TopicFacts, facts, retention
from schemas.records import registry
from schemas.records.registry import own_id
from streams.kafka.topic_specs import TopicSpec
from streams.settings import Settings

__all__ = ["page"]


def page() -> Page:
    """Every topic, with the default settings."""
    settings = Settings()
    found = facts(settings)
    outer = [(spec, about) for spec, about in found if not about.internal]
    inner = [(spec, about) for spec, about in found if about.internal]
    return Page(
        "topics",
        "Topics",
        ABOUT["topics"],
        (
            Section(
                text=(
                    f"The names begin with the setting `prefix`, `{settings.prefix}` by default. "
                    "N is the setting `partitions`: partition p of every topic with N partitions "
                    "is the shard p. `emberline topics create` creates the topics with these "
                    "settings, and `emberline topics check` compares existing ones.",
                    "emberline writes with transactions: read its topics with "
                    "`isolation.level=read_committed`. Then each record comes exactly once, and "
                    "`event_id` is the same if a fact is told again.",
                    "A key is text in UTF-8. Values are Avro in Confluent framing (byte 0, the "
                    "schema id as big-endian uint32, the body), or JSON where the table says so: "
                    "a first byte `{` marks it. [records.md](records.md) has the fields. A message "
                    "and a record batch have less than 1,000,000 bytes.",
                    "`GET /asyncapi.json` of a worker, and `emberline topics asyncapi`, describe "
                    "the same topics as an AsyncAPI document.",
                ),
            ),
            *_sections(outer, ""),
            *_with_nulls(outer),
            *(_headers(spec, about, settings) for spec, about in outer if about.headers),
            Section(
                "Internal topics",
                (
                    "No other program should write to these topics or rely on their content, "
                    "which may change with any release.",
                ),
            ),
            *_sections(inner, "Internal topics: "),
        ),
    )


_Found = Sequence[tuple[TopicSpec, TopicFacts]]


def _sections(found: _Found, before: str) -> Iterator[Section]:
    """Narrow tables: a name is long, and a terminal may have 80 columns."""
    for title, columns, cells in (
        ("What they are for", ("what",), _purpose),
        ("Who writes and reads them", ("written by", "read by"), _roles),
        ("Partitions and retention", ("partitions", "clean-up", "keeps"), _kept),
        ("Keys and order", ("key", "order"), _order),
        ("Values", ("value", "record and schema ids"), _value),
    ):
        rows = tuple((f"`{spec.name}`", *cells(spec, about)) for spec, about in found)
        yield Section(
            f"{before}{title[0].lower()}{title[1:]}" if before else title,
            table=Table(("topic", *columns), rows),
        )


def _purpose(_: TopicSpec, about: TopicFacts) -> tuple[str, ...]:
    return (about.about,)


def _roles(_: TopicSpec, about: TopicFacts) -> tuple[str, ...]:
    return ", ".join(about.writers), ", ".join(about.readers)


def _kept(spec: TopicSpec, about: TopicFacts) -> tuple[str, ...]:
    partitions = "N" if spec.sharded else "1"
    return partitions, f"`{spec.configs['cleanup.policy']}`", retention(spec, about)


def _order(_: TopicSpec, about: TopicFacts) -> tuple[str, ...]:
    return about.key, about.order


def _value(_: TopicSpec, about: TopicFacts) -> tuple[str, ...]:
    if about.record is None:
        return about.value, ""
    return about.value, f"{registry.raw(about.record)['name']}: {_ids(about.record)}"


def _ids(name: str) -> str:
    return f"{registry.schema_id(name)}, {own_id(name)}"


def _with_nulls(found: _Found) -> Iterator[Section]:
    rows = tuple((f"`{spec.name}`", about.nulls) for spec, about in found if about.nulls)
    yield Section("Records without a value", table=Table(("topic", "meaning"), rows))


def _headers(spec: TopicSpec, about: TopicFacts, settings: Settings) -> Section:
    rows = tuple((f"`{name}`", doc) for name, doc in (about.headers or {}).items())
    name = spec.name.removeprefix(settings.prefix)
    return Section(f"Headers of {name}", table=Table(("header", "meaning"), rows))
