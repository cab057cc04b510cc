"""What every topic is for: who writes and reads it, its key, its value, its order.

Names, numbers of partitions, clean-up and retention are in `streams/kafka/topic_specs.py`; the
rights of SECURITY.md follow from the writers and readers here.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from streams.kafka.topic_specs import EVENTS, Topics, TopicSpec, specs
from streams.settings import Settings

__all__ = ["TopicFacts", "facts", "retention"]

_DAY_MS = 86_400_000

_NO_ORDER = "none is needed: rows keep the first and the last time"
_DECISIONS = "the order in which the coordinator decided"
_BY_VERSION = "the order of decisions; `version` rises with each record of a source"


@dataclass(frozen=True, slots=True)
class TopicFacts:
    """One topic. `record` is the name of its schema, None if its values are no Avro records.

    `json` says whether its readers take the JSON form of the record too. `nulls` says what a record
    without a value means, if it may have none. `headers` are those that a record may have.
    `purged`: its only reader deletes what it has processed.
    """

    about: str
    writers: tuple[str, ...]
    readers: tuple[str, ...]
    key: str
    value: str
    order: str
    record: str | None = None
    json: bool = False
    nulls: str = ""
    headers: Mapping[str, str] | None = None
    internal: bool = False
    purged: bool = False


_PLACE = {
    "topic": "The topic of the producer's record.",
    "partition": "Its partition.",
    "offset": "Its offset.",
}
_AVRO = "Avro"
_BOTH = "Avro or JSON"

_EVENT: Mapping[str, str] = {
    "send": "messages that were sent; for in-app, content card and banner: impressions",
    "open": "messages that were opened",
    "click": "links that were clicked",
    "variant": "users who entered a variant or variation, are in a control group, or left a Canvas",
    "conversion": "conversions",
    "signal": "facts about users: bounces, keywords, feature flags",
}

_FACTS: Mapping[str, TopicFacts] = {
    **{
        event: TopicFacts(
            _EVENT[event],
            ("producers",),
            ("shards",),
            "the user's id, or none; any partitioner",
            _BOTH,
            _NO_ORDER,
            record=event,
            json=True,
        )
        for event in EVENTS
    },
    "users": TopicFacts(
        "users with external id, aliases and merges",
        ("producers",),
        ("shards",),
        "the user's id: text, JSON or Avro",
        _BOTH,
        "the last record of a key counts, so a user's records need one partition",
        record="user",
        json=True,
        nulls="The user of the key is deleted.",
    ),
    "catalog": TopicFacts(
        "definitions of campaigns, Canvases, segments and Content Cards",
        ("producers",),
        ("coordinator", "operators"),
        "the field `key`",
        _BOTH,
        "the last record of a key counts, unless its `updated_at` is older",
        record="definition",
        json=True,
        nulls="The definition of the key is deleted.",
    ),
    "control": TopicFacts(
        "commands",
        ("operators", "workers"),
        ("coordinator", "operators"),
        "none, or anything: it is ignored",
        _BOTH,
        "commands are carried out in the order of the topic",
        record="command",
        json=True,
        headers={
            "emberline-actor": "The name of the key that asked over HTTP; only a worker writes it.",
            "emberline-proof": "`v1 TIME MAC`: proves that name. The MAC is an HMAC-SHA256 with a "
            "secret of the keys file.",
        },
    ),
    "control_results": TopicFacts(
        "what became of commands",
        ("coordinator",),
        ("operators", "consumers"),
        "the request's id",
        _AVRO,
        "results of a request in the order in which they were decided",
        record="result",
    ),
    "expired": TopicFacts(
        "sources whose data has moved to the archive",
        ("coordinator",),
        ("operators", "consumers"),
        "the source",
        _AVRO,
        _DECISIONS,
        record="expired",
    ),
    "restored": TopicFacts(
        "sources whose data is available again",
        ("coordinator",),
        ("operators", "consumers"),
        "the source",
        _AVRO,
        _DECISIONS,
        record="restored",
    ),
    "expiring_soon": TopicFacts(
        "sources that will expire, announced ahead (setting `expiring_soon`)",
        ("coordinator",),
        ("notifier", "operators", "consumers"),
        "the source",
        _AVRO,
        _DECISIONS,
        record="expiring_soon",
    ),
    "state": TopicFacts(
        "the present state of every source",
        ("coordinator",),
        ("workers", "coordinator", "operators", "consumers"),
        "the source",
        _AVRO,
        _BY_VERSION,
        record="state",
    ),
    "audit": TopicFacts(
        "every decision and refusal, with its reason; also what `emberline topics skip` left out",
        ("coordinator", "notifier"),
        ("workers", "operators"),
        "the source, or none",
        _AVRO,
        _DECISIONS,
        record="audit",
    ),
    "rejected": TopicFacts(
        "records that cannot be used",
        ("shards", "coordinator"),
        ("workers", "producers", "operators"),
        "the key of the producer's record",
        "the bytes of the producer's record, cut to 900,000 with the key",
        "none; the headers have the position of the producer's record",
        nulls="The producer's record had no value; or the code is `replayed`.",
        headers=_PLACE
        | {
            "code": "Why it was rejected: see the reference of codes; `replayed`: the record `of` "
            "was sent again.",
            "detail": "The field and the value, up to 1,000 characters.",
            "of": "With the code `replayed`: the offset of the rejected record, in this partition.",
        },
    ),
    "repartition": TopicFacts(
        "events and users on their way to the shard of their user",
        ("shards",),
        ("shards",),
        "the user's id",
        "the bytes of the producer's record",
        _NO_ORDER,
        nulls="As in the producer's topic.",
        headers=_PLACE
        | {
            "stamp": "The timestamp of the producer's record, in milliseconds.",
            "key": "The key of the producer's record, if it had one.",
        },
        internal=True,
        purged=True,
    ),
    "shard_reports": TopicFacts(
        "what shards have done for sources",
        ("shards",),
        ("coordinator",),
        "the first source of the report",
        _AVRO,
        "none is needed: reports are collected as a set",
        record="report",
        internal=True,
        purged=True,
    ),
    "changelog": TopicFacts(
        "the durable state of the shards",
        ("shards",),
        ("shards",),
        "a key of the state store",
        "bytes, by the kind of the key",
        "the order of the steps of the shard",
        nulls="The key is deleted.",
        internal=True,
    ),
    "archive": TopicFacts(
        "segments of expired sources",
        ("shards",),
        ("shards",),
        "the source",
        "one segment: Parquet",
        "none is needed: the manifest has the offset of each segment",
        headers={
            "segment": "Its id.",
            "source": "The source.",
            "epoch": "How often the source has expired.",
            "rows": "Number of rows.",
            "partitions": "The number of shards.",
            "checksum": "Of its bytes.",
            "replaces": "Ids of the segments that it replaces.",
            "index": "Its index, as JSON.",
        },
        internal=True,
    ),
    "coordinator": TopicFacts(
        "the durable state of the coordinator",
        ("coordinator",),
        ("coordinator", "workers", "notifier", "operators"),
        "what the record is about",
        "JSON",
        "the order of decisions",
        nulls="The key is deleted.",
        internal=True,
    ),
    "notifications": TopicFacts(
        "what the notifier has to tell, and what it has told",
        ("notifier", "operators"),
        ("notifier", "operators"),
        "what the record is about",
        "JSON",
        "the order of the notifier's steps",
        nulls="The key is deleted.",
        internal=True,
    ),
}


def facts(settings: Settings) -> list[tuple[TopicSpec, TopicFacts]]:
    """Every topic under these settings, in the order of `Topics.all()`."""
    topics = Topics(settings.prefix)
    attribute = {name: event for event, name in topics.events.items()}
    attribute |= {getattr(topics, one): one for one in _FACTS if one not in EVENTS}
    return [(spec, _FACTS[attribute[spec.name]]) for spec in specs(settings)]


def retention(spec: TopicSpec, about: TopicFacts) -> str:
    """How long a topic keeps its records, in words."""
    if about.purged:
        return "until they are processed"
    configs = spec.configs
    if configs["cleanup.policy"] == "compact":
        return (
            "the last record of each key; deletions for "
            f"{_days(int(configs['delete.retention.ms']))}"
        )
    kept = int(configs["retention.ms"])
    if kept < 0:
        return "for ever"
    return _days(kept) if "retention.ms" in spec.checked else f"{_days(kept)}, or as you set it"


def _days(ms: int) -> str:
    days = ms // _DAY_MS
    return "1 year" if days == 365 else f"{days} day{'' if days == 1 else 's'}"
