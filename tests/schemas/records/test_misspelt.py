"""Misspelt fields: refused if they would silently change a decision, counted otherwise."""

import json
from typing import Any

import pytest

from schemas.records import misspelt
from schemas.records.codec import decode
from schemas.records.misspelt import Misspelling, MisspellingCounts
from schemas.records.undecodable import Undecodable

EVENT: dict[str, Any] = {"id": "1", "user_id": "u", "time": 1_760_000_000_000}


@pytest.fixture
def tally(monkeypatch: pytest.MonkeyPatch) -> MisspellingCounts:
    fresh = MisspellingCounts()
    monkeypatch.setattr(misspelt, "MISSPELT", fresh)
    monkeypatch.setattr("schemas.records.json_codec.MISSPELT", fresh)
    return fresh


def read(name: str, record: dict[str, Any]) -> dict[str, object]:
    return decode(json.dumps(record).encode(), name)


@pytest.mark.parametrize(
    ("name", "record", "meant"),
    [
        ("command", {"type": "expire", "sources": ["campaign:a"], "dry_runn": True}, "dry_run"),
        ("command", {"type": "expire", "source": ["campaign:a"]}, "sources"),
        ("command", {"type": "expire", "dryRun": True}, "dry_run"),
        ("definition", {"key": "campaign:a", "status": "STOPPED", "refrences": []}, "references"),
        ("definition", {"key": "campaign:a", "status": "STOPPED", "filter": {}}, "filters"),
        ("definition", {"key": "a", "status": "STOPPED", "stoppedAt": 1}, "stopped_at"),
    ],
)
def test_a_misspelt_command_or_definition_is_refused(
    name: str, record: dict[str, Any], meant: str
) -> None:
    with pytest.raises(Undecodable, match=f"did you mean {meant}") as caught:
        read(name, record)
    assert caught.value.code == "bad_json"


def test_beside_the_right_field_another_may_be_called_alike(tally: MisspellingCounts) -> None:
    read("definition", {"key": "canvas:a", "status": "ACTIVE", "filters": {}, "filter": 1})
    read("send", EVENT | {"campaign_id": "a", "campaign": "Spring"})
    assert tally.found() == []
    read("send", EVENT | {"campaign": "Spring"})
    assert tally.found() == [Misspelling("send", "campaign", "campaign_id", 1)]


def test_in_events_and_users_it_is_counted(tally: MisspellingCounts) -> None:
    for _ in range(3):
        read("send", EVENT | {"chanel": "EMAIL", "brand": "x"})
    read("send", EVENT | {"campaignId": "a"})
    read("user", {"user_id": "u", "merged_in": "v"})
    read("send", EVENT | {"channel": "EMIAL"})
    read("send", EVENT | {"channel": "pigeon"})
    assert tally.found() == [
        Misspelling("send", "chanel", "channel", 3),
        Misspelling("Channel", "EMIAL", "EMAIL", 1),
        Misspelling("send", "campaignId", "campaign_id", 1),
        Misspelling("user", "merged_in", "merged_into", 1),
    ]


def test_a_field_with_some_of_the_words_of_ours_is_counted(tally: MisspellingCounts) -> None:
    """Braze calls it external_id: the users topic took such records, and read none of them."""
    read("user", {"user_id": "u", "external_id": "x"})
    read("send", EVENT | {"externalId": "x", "step_id": "s", "user": "kept", "device_id": "d"})
    found = [(one.record, one.written, one.meant) for one in tally.found()]
    assert sorted(found) == [
        ("send", "externalId", "external_user_id"),
        ("send", "step_id", "canvas_step_id"),
        ("user", "external_id", "external_user_id"),
    ]
    # where the word would decide, more is asked for
    read("definition", {"key": "campaign:a", "status": "STOPPED", "deleted": False})


def test_unknown_names_cost_and_keep_a_bounded_amount(
    tally: MisspellingCounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[str] = []

    def like(written: str, *_: Any, **__: Any) -> str | None:
        compared.append(written)
        return None

    monkeypatch.setattr(misspelt, "like", like)
    read("send", EVENT | {f"chanel{n}": 1 for n in range(100_000)})
    assert len(compared) <= 64
    for n in range(3_000):
        read("send", EVENT | {f"strange{n}": 1})
    assert len(compared) <= 1_000


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("open", {"link_alias": "x"}),
        ("open", {"url": "https://example.org"}),
        ("open", {"type": "click"}),
        ("click", {"machine_open": True}),
        ("send", {"conversion_behavior_index": 0}),
        ("variant", {"signal_type": "FEED_VIEW"}),
        ("user", {"campaign_id": "a"}),
        ("user", {"type": "send"}),
    ],
)
def test_an_event_on_the_topic_of_another_is_rejected(name: str, more: dict[str, Any]) -> None:
    with pytest.raises(Undecodable, match=f"on the topic of {name}"):
        read(name, EVENT | more)


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("open", {"link_alias": None, "is_suspected_bot_click": False, "url": ""}),
        ("open", {"type": "open"}),
        ("send", {"url": "https://example.org", "value": "x", "type": "email"}),
    ],
)
def test_what_says_nothing_of_another_event_is_passed_over(name: str, more: dict[str, Any]) -> None:
    assert read(name, EVENT | more) == read(name, EVENT)
