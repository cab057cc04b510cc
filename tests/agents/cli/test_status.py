"""`emberline status` on a terminal of 80 and of 60 columns, with ten thousand sources."""

import json
from dataclasses import replace
from typing import Any

import click
import pytest

from agents.cli import main, status, status_facts
from agents.cli.status import (
    StatusFilter,
    rejected_lines,
    show_status,
    undelivered_lines,
    worker_line,
)
from agents.cli.status_facts import StatusFacts
from agents.coordinator.rules.sweep_state import RetentionSweep
from schemas.errors import Fatal, Recoverable
from schemas.records.lifecycle import Exemption, Hold, SourceState, State
from schemas.words.shown import width
from streams.settings import Settings
from tests.rigs.screen import screen

NOW = 1_800_000_000_000
DAY = 86_400_000
UUID = "6f1c1fd0-5a7e-4d0e-9e61-0f5b5c1de2aa"

SOURCES = [
    SourceState("campaign:quiet", State.ACTIVE, 1, name="Newsletter"),
    SourceState(
        f"campaign:{UUID}", State.STOPPED, 1, name="春のキャンペーン 🌸", tags=("2026",),
        due_at=NOW + 90 * DAY, due_because="stopped, then P3M",
    ),
    SourceState(
        "canvas:welcome", State.EXEMPT, 1, name="👨‍👩‍👧 Famille",
        exempt_by=(Exemption("canvas:w", ("segment:s",), "received_from_campaign"),),
    ),
    SourceState("campaign:held", State.HELD, 1, held=Hold("ann", "dispute", 1)),
    SourceState("campaign:old", State.EXPIRED, 1, name="Old", interactions=1_234_567),
    SourceState("campaign:busy", State.EXPIRING, 1, name="Busy", stuck=(3,)),
]  # fmt: skip
WORKER = {
    "address": "http://w",
    "ready": True,
    "shards": [{"partition": 0, "ready": True, "cursor_lag": 0}],
    "missing_shards": [],
    "partitions": 1,
    "directory": {"0": "http://w"},
}
FACTS = StatusFacts(SOURCES, RetentionSweep(), WORKER, {"total": 0, "counts": [], "complete": True})

WIDE = """\
source              name          state     due          archived  why
campaign:busy       Busy          EXPIRING                         stuck: shard
                                                                   3 has not
                                                                   answered
campaign:6f1c1fd0…  春のキャンペ  STOPPED   2027-04-15             stopped, then
                    ーン 🌸                                        P3M
campaign:old        Old           EXPIRED               1,234,567
campaign:held                     HELD                             held by ann:
                                                                   dispute
canvas:welcome      👨‍👩‍👧 Famille    EXEMPT                           received_from
                                                                   _campaign of
                                                                   canvas:w
                                                                   through
                                                                   segment:s
campaign:quiet      Newsletter    ACTIVE

1 ACTIVE, 1 EXEMPT, 1 EXPIRED, 1 EXPIRING, 1 HELD, 1 STOPPED
worker http://w: ready, 1 shard, 0 events behind
"""

NARROW = """\
source           name        state    due         why
campaign:6f1c1f  春のキャン  STOPPED  2027-04-15  stopped,
d0…              ペーン 🌸                        then P3M

1 ACTIVE, 1 EXEMPT, 1 EXPIRED, 1 EXPIRING, 1 HELD, 1
  STOPPED
1 of 6 sources matches
The sweep is paused: nothing expires by itself until
  `emberline resume`
at least 31 records were rejected in the last hour (30
  bad_time, 1 undecodable): `emberline rejected list` says
  why
The worker wants a key that it knows (401). Set
  EMBERLINE_API_KEY to a key that `emberline keys add` gave
  out
"""


def test_in_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = screen(monkeypatch, 80)
    show_status(FACTS, StatusFilter(), NOW)
    assert shown.lines() == WIDE.splitlines()
    assert max(map(width, shown.lines())) <= 80


def test_in_60_columns_and_with_all_that_may_be_amiss(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = screen(monkeypatch, 60)
    rejected = {
        "total": 31,
        "counts": [
            {"code": "bad_time", "count": 30},
            {"code": "undecodable", "count": 1},
        ],
        "complete": False,
    }
    error = (
        "The worker wants a key that it knows (401). Set EMBERLINE_API_KEY to a key that "
        "`emberline keys add` gave out"
    )
    facts = replace(
        FACTS, sweep=RetentionSweep(paused=True), rejected=rejected, worker={"error": error}
    )
    show_status(facts, StatusFilter(tag="2026"), NOW)
    assert shown.lines() == NARROW.splitlines()
    assert max(map(width, shown.lines())) <= 60


@pytest.mark.parametrize("columns", [80, 60])
def test_ten_thousand_sources_fill_one_screen(
    monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    many = [
        SourceState(f"campaign:{n}", State.STOPPED, 1, name=f"春 🌸 {n}", due_at=NOW + n * DAY)
        for n in range(10_000)
    ]
    shown = screen(monkeypatch, columns)
    show_status(replace(FACTS, sources=many), StatusFilter(), NOW)
    assert len(shown.lines()) < 60
    assert max(map(width, shown.lines())) <= columns
    # what expires next comes first
    assert shown.lines()[1].startswith("campaign:0 ")
    assert "9,950 more sources" in shown.getvalue()
    shown = screen(monkeypatch, columns, lines=24)
    show_status(replace(FACTS, sources=many), StatusFilter(), NOW, watched=True)
    assert len(shown.lines()) <= 24
    shown = screen(monkeypatch, columns)
    show_status(replace(FACTS, sources=many), StatusFilter(limit=0), NOW)
    assert len(shown.lines()) > 10_000


def test_piped_output_has_every_source_on_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    show_status(FACTS, StatusFilter(), NOW)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["source", "name", "state", "due", "archived", "why"]
    assert [line.split()[0] for line in lines[1:7]] == [one.source for one in SOURCES]
    assert "2027-04-15 08:00:00Z" in lines[2]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"name": "キャンペーン"}, [f"campaign:{UUID}"]),
        ({"name": "6F1C"}, [f"campaign:{UUID}"]),
        ({"kind": "canvas"}, ["canvas:welcome"]),
        ({"tag": "2026", "state": "STOPPED"}, [f"campaign:{UUID}"]),
        ({"tag": "2026", "state": "HELD"}, []),
        ({"name": "none"}, []),
    ],
)
def test_filters(wanted: dict[str, Any], found: list[str]) -> None:
    assert [one.source for one in SOURCES if StatusFilter(**wanted).takes(one)] == found


def test_rejects_of_the_last_hour() -> None:
    assert list(rejected_lines({"total": 0, "counts": [], "complete": True})) == []
    assert "is not known" in "".join(rejected_lines(None))


def test_what_could_not_be_delivered_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(undelivered_lines(0)) == []
    assert "is not known" in "".join(undelivered_lines(None))
    shown = screen(monkeypatch, 80)
    show_status(replace(FACTS, undelivered=2), StatusFilter(), NOW)
    assert "2 deliveries of mail or webhooks failed: `emberline notify list`" in shown.getvalue()


def test_one_of_anything_is_told_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    one = RetentionSweep(awaiting=1, question="q7")
    rejected = {"total": 1, "counts": [{"code": "bad_time", "count": 1}], "complete": True}
    worker = {**WORKER, "shards": [{"ready": False, "cursor_lag": 1}], "missing_shards": [3]}
    facts = StatusFacts(SOURCES[:1], one, worker, rejected, 1)
    shown = screen(monkeypatch, 200)
    show_status(facts, StatusFilter(tag="none"), NOW)
    assert shown.lines()[-5:] == [
        "0 of 1 source match",
        "1 source is due at once: `emberline confirm q7` lets it expire, "
        "`emberline hold` keeps one",
        "1 record was rejected in the last hour (1 bad_time): `emberline rejected list` says why",
        "1 delivery of mail or webhooks failed: `emberline notify list` says why, "
        "`emberline notify retry` tries again",
        "worker http://w: not ready: 1 of its shards recovers, nobody answers for shard 3, "
        "1 shard, 1 event behind",
    ]


def test_shards_without_an_owner_are_told_even_by_a_worker_that_recovers() -> None:
    shards = [{"partition": 0, "ready": False, "cursor_lag": 0}]
    facts: dict[str, Any] = {**WORKER, "shards": shards, "partitions": 8, "ready": False}
    assert "1 of its shards recovers, nobody answers for shards 1 to 7," in worker_line(facts)
    facts = {**WORKER, "partitions": 8, "directory": dict.fromkeys("012456", "http://w")}
    assert "nobody answers for shards 3, 7" in worker_line(facts)


def test_settings_are_folded_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    # a longer address is folded too, and takes a line more
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)
    shown = screen(monkeypatch, 60)
    command = main.get_command(click.Context(main), "settings")
    assert command is not None
    command.main([], standalone_mode=False)
    assert max(map(width, shown.lines())) <= 60
    at = shown.lines().index("prefix = emberline.  (default)")
    assert shown.lines()[at + 1] == "    what every topic's name begins with"


async def test_a_watched_status_goes_on_after_a_restart_of_the_broker(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers: list[StatusFacts | Exception] = [
        StatusFacts([], RetentionSweep(), {"error": "away"}, None),
        Recoverable("The broker does not answer", remedy="Start it"),
        StatusFacts([], RetentionSweep(), {"error": "back"}, None),
        Fatal("the end of this test"),
    ]

    async def read(*_: object) -> StatusFacts:
        found = answers.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(status_facts, "read", read)
    with pytest.raises(Fatal):
        await status._status(Settings(), StatusFilter(), 0.001, True)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line.get("worker_error") for line in lines] == ["away", None, "back"]
    assert lines[1]["error"] == {"message": "The broker does not answer", "remedy": "Start it"}
    answers[:] = [Recoverable("The broker does not answer")]
    with pytest.raises(Recoverable):
        await status._status(Settings(), StatusFilter(), 0.001, True)
