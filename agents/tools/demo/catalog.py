"""The demo's catalog: thirty campaigns and Canvases, segments, and their roles."""

from dataclasses import dataclass
from itertools import cycle
from random import Random
from typing import Any

from schemas.records.lifecycle import Status

__all__ = ["LOYALTY_TAG", "RESTORE_TAG", "Catalog", "DemoSource", "Roles", "make_catalog"]

CAMPAIGNS = (
    "Welcome", "Spring sale", "Spring sale reminder", "Loyalty week", "Price dispute notice",
    "Weekly newsletter", "Order shipped", "Back in stock", "Summer preview", "App update",
    "Refer a friend", "Birthday gift", "Flash sale", "Survey", "Abandoned basket", "Store opening",
    "Terms changed", "Night owl push",
)  # fmt: skip
CANVASES = (
    "Spring journey", "Winback", "Onboarding", "Trial to paid", "First order", "Reactivation",
    "Cross-sell", "Post-purchase", "Event follow-up", "Content series", "Subscription renewal",
    "Holiday countdown",
)  # fmt: skip
STOPPING = (
    "Welcome", "Spring sale", "Spring sale reminder", "Spring journey", "Loyalty week",
    "Price dispute notice", "Survey", "Event follow-up",
)  # fmt: skip
CHANNELS = ("EMAIL", "PUSH", "EMAIL", "SMS", "IN_APP", "EMAIL", "WHATSAPP", "CONTENT_CARD")
THEMES = ("newsletter", "commerce", "service", "growth")
RESTORE_TAG = "spring-2026"
LOYALTY_TAG = "loyalty"


@dataclass(frozen=True, slots=True)
class DemoSource:
    """One campaign or Canvas, as events name it."""

    key: str
    name: str
    channel: str
    variations: tuple[str, ...]
    steps: tuple[str, ...]
    weight: float

    @property
    def is_canvas(self) -> bool:
        """Whether it has steps."""
        return self.key.startswith("canvas:")

    @property
    def id(self) -> str:
        """The bare id."""
        return self.key.partition(":")[2]


@dataclass(frozen=True, slots=True)
class Roles:
    """Which source demonstrates what, as keys such as `campaign:ID`; None if none does."""

    stopped: tuple[str, ...]
    expiring: tuple[str, ...]
    kept_hot: str | None
    kept_by: str | None
    kept_through: str | None
    held: str | None
    tag_only: str | None
    restore_tag: str
    restored: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Catalog:
    """Sources, the definitions at the beginning of the day, and the definitions that stop some of
    them.
    """

    sources: tuple[DemoSource, ...]
    opening: tuple[dict[str, Any], ...]
    stops: tuple[dict[str, Any], ...]
    roles: Roles


def uuid_text(rng: Random) -> str:
    """A random id in the form of a UUID."""
    text = f"{rng.getrandbits(128):032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def make_catalog(rng: Random, start_ms: int) -> Catalog:
    """The catalog; `start_ms` is the time of its first definitions.

    The stops have no `stopped_at`: a source counts as stopped when the coordinator reads the stop.
    """
    channels = cycle(CHANNELS)
    sources = tuple(
        _source(rng, kind, name, next(channels), rank)
        for kind, names in (("campaign", CAMPAIGNS), ("canvas", CANVASES))
        for rank, name in enumerate(names)
    )
    by_name = {source.name: source for source in sources}
    key = {name: source.key for name, source in by_name.items()}
    engaged = f"segment:{uuid_text(rng)}"
    spring = ("Spring sale", "Spring sale reminder", "Spring journey")
    filters: dict[str, Any] = {
        "Winback": {"filter": "in_segment", "segment": engaged},
        "Flash sale": {"filter": "received_with_tag", "tag": LOYALTY_TAG},
        "Reactivation": {
            "and": [
                {"filter": "received_from_campaign", "campaign": key["Weekly newsletter"]},
                {"filter": "clicked_opened_campaign", "campaign": key["Weekly newsletter"],
                 "action": "any", "has": False},
            ]
        },
    }  # fmt: skip
    tags = dict.fromkeys(spring, (RESTORE_TAG, "sale")) | {"Loyalty week": (LOYALTY_TAG,)}
    themes = cycle(THEMES)
    opening = [
        _definition(source, tags.get(source.name, (next(themes),)), filters.get(source.name),
                    start_ms)
        for source in sources
    ]  # fmt: skip
    opening.append(_segment(engaged, key["Welcome"], start_ms))
    stopping = tuple(key[name] for name in STOPPING)
    kept, held = key["Welcome"], key["Price dispute notice"]
    roles = Roles(
        stopped=stopping,
        expiring=tuple(s for s in stopping if s not in (kept, held)),
        kept_hot=kept,
        kept_by=key["Winback"],
        kept_through=engaged,
        held=held,
        tag_only=key["Loyalty week"],
        restore_tag=RESTORE_TAG,
        restored=tuple(key[name] for name in spring),
    )
    stops = [
        definition | {"status": Status.STOPPED.value, "updated_at": start_ms + 1}
        for definition in opening
        if definition["key"] in stopping
    ]
    return Catalog(sources, tuple(opening), tuple(stops), roles)


def _source(rng: Random, kind: str, name: str, channel: str, rank: int) -> DemoSource:
    variations = tuple(uuid_text(rng) for _ in range(rng.randint(2, 4)))
    steps = tuple(uuid_text(rng) for _ in range(rng.randint(2, 4))) if kind == "canvas" else ()
    key = f"{kind}:{uuid_text(rng)}"
    return DemoSource(key, name, channel, variations, steps, 1 / (1 + 0.25 * rank))


def _definition(
    source: DemoSource, tags: tuple[str, ...], filters: dict[str, Any] | None, start_ms: int
) -> dict[str, Any]:
    return {
        "key": source.key,
        "kind": source.key.partition(":")[0],
        "name": source.name,
        "status": Status.ACTIVE.value,
        "tags": list(tags),
        "filters": filters,
        "variations": [
            {"id": v, "name": f"Variant {'ABCD'[i]}"} for i, v in enumerate(source.variations)
        ],
        "steps": [{"id": s, "name": f"Step {i + 1}"} for i, s in enumerate(source.steps)],
        "updated_at": start_ms,
    }


def _segment(key: str, source: str, start_ms: int) -> dict[str, Any]:
    return {
        "key": key,
        "kind": "segment",
        "name": "Welcomed",
        "status": Status.DRAFT.value,
        "filters": {"filter": "received_from_campaign", "campaign": source},
        "updated_at": start_ms,
    }
