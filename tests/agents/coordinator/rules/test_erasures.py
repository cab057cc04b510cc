"""Requests that erase users: sealed, asked of their shards, over once nothing is left."""

import json
from typing import Any

import pytest

from agents.coordinator.rules import erasures
from agents.coordinator.rules.inputs import CommandRead, ReportRead
from agents.coordinator.rules.outputs import Output
from agents.coordinator.sealing import sealed_inputs
from agents.views.erasure_view import ErasureView
from schemas.records.lifecycle import Command, ErasureItem, Report
from schemas.tables.erased import ErasureKey
from streams.settings import load
from tests.rigs.desk import DAY, Desk, decisions, of, outcomes

KEY = ErasureKey(b"k" * 32)
USERS = tuple(f"user-{number}" for number in range(20))
DONE: dict[str, Any] = {"hot": True, "archive": True, "deleted": True, "apart": True}


def asked(desk: Desk, users: tuple[str, ...] = USERS, **facts: Any) -> list[Output]:
    return desk.command("erase", users=tuple(KEY.sealed(users, 2)), **facts)


def reported(desk: Desk, partition: int, **facts: Any) -> list[Output]:
    item = ErasureItem("r1", **facts)
    return desk.take(ReportRead(Report(partition, (), (item,))))


def home(desk: Desk) -> int:
    """The shard of the only user."""
    orders = desk.state.erasures["r1"].orders
    ((shard, _),) = ((shard, users) for shard, users in orders.items() if users)
    return shard


def test_a_request_is_over_once_all_shards_have_removed_everything() -> None:
    desk = Desk()
    said = asked(desk, reason="article 17")
    assert outcomes(said, None) == [("accepted", None)]
    assert decisions(said) == ["erase"]
    erasure = desk.state.erasures["r1"]
    assert sum(map(len, erasure.orders.values())) == len(USERS)
    assert erasure.time == desk.now
    said = reported(desk, 0)
    (told,) = of(said, "control_results")
    assert (told["outcome"], told["message"]) == ("progress", "hidden in 1 of 2 shards")
    desk.restart()
    assert reported(desk, 0) == []
    said = reported(desk, 1, rows=3)
    assert of(said, "control_results")[0]["message"].startswith("hidden in every answer")
    reported(desk, 0, rows=2, hot=True, left=4)
    reported(desk, 1, rows=3, archived=7, **DONE)
    desk.restart()
    said = reported(desk, 0, rows=2, archived=1, **DONE)
    (told,) = of(said, "control_results")
    assert (told["outcome"], told["done"], told["total"]) == ("completed", 2, 2)
    assert told["message"] == (
        "hidden in every answer; 5 rows removed from hot data, 8 from the archive"
    )
    before = desk.state.erasures["r1"]
    assert not before.orders
    desk.restart()
    assert desk.state.erasures["r1"] == before
    assert reported(desk, 0, **DONE) == []


def test_a_shard_without_users_of_the_request_is_asked_for_merges_into_them() -> None:
    desk = Desk()
    (told,) = of(asked(desk, USERS[:1]), "control_results")
    shard = home(desk)
    assert told["message"] == f"1 user of shard {shard}: they will be erased"
    said = reported(desk, shard, **DONE)
    assert outcomes(said, None) == [("progress", None)]
    said = reported(desk, 1 - shard, **{**DONE, "apart": False})
    (told,) = of(said, "control_results")
    assert told["message"].endswith("merges of other users into them are still looked for")
    desk.restart()
    said = reported(desk, 1 - shard, merges=2, **DONE)
    (told,) = of(said, "control_results")
    assert (told["outcome"], told["done"], told["total"]) == ("completed", 2, 2)
    assert told["message"].endswith("0 from the archive, 2 merges of other users")


def test_a_held_source_keeps_its_rows_and_the_request_open() -> None:
    desk = Desk()
    asked(desk, USERS[:1])
    shard = home(desk)
    reported(desk, 1 - shard, **DONE)
    said = reported(desk, shard, held=("campaign:a",))
    (told,) = of(said, "control_results")
    assert told["outcome"] == "progress"
    assert told["message"].endswith("campaign:a and what else is held keeps its rows")


def test_no_record_of_the_coordinator_names_a_user() -> None:
    desk = Desk()
    asked(desk)
    asked(desk, dry_run=True)
    reported(desk, 0, rows=1)
    texts = [str(output.record) for output in desk.said]
    texts += [f"{key} {(value or b'').decode()}" for key, value in desk.log]
    assert not [text for text in texts if any(user in text for user in USERS)]


def test_a_dry_run_erases_nobody() -> None:
    desk = Desk()
    said = asked(desk, dry_run=True)
    assert outcomes(said, None) == [("completed", None)]
    assert not desk.state.erasures


@pytest.mark.parametrize(
    "facts",
    [
        {"users": ()},
        {"users": ("ada",)},
        {"users": tuple(KEY.sealed(USERS, 300))},
        {"users": tuple(KEY.sealed(USERS, 1))},
        {"users": tuple(KEY.sealed(USERS, 2)), "tag": "x"},
    ],
)
def test_what_cannot_be_erased_is_refused(facts: dict[str, Any]) -> None:
    desk = Desk()
    said = desk.command("erase", **facts)
    assert outcomes(said, None) == [("refused", "invalid_command")]
    assert not desk.state.erasures


def test_too_many_users_at_once_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasures, "MOST_OPEN", 30)
    desk = Desk()
    asked(desk)
    assert outcomes(asked(desk, tuple(f"x{n}" for n in range(11))), None)[0][0] == "refused"
    assert outcomes(asked(desk, tuple(f"x{n}" for n in range(10))), None)[0][0] == "accepted"


def test_an_open_request_is_not_forgotten_and_a_closed_one_is() -> None:
    desk = Desk()
    asked(desk, USERS[:1])
    reported(desk, 1 - home(desk), **DONE)
    desk.tick(31 * DAY)
    assert "r1" in desk.state.requests
    reported(desk, home(desk), **DONE)
    desk.tick(DAY)
    assert not desk.state.requests
    assert not desk.state.erasures
    desk.restart()
    assert not desk.state.erasures


def test_the_view_has_the_orders_of_a_shard_and_the_receipt() -> None:
    desk, view = Desk(), ErasureView()

    def follow() -> None:
        for key, value in desk.log:
            view.apply(key.encode(), value)

    asked(desk)
    follow()
    orders = desk.state.erasures["r1"].orders
    assert [*view.orders(1)] == [("r1", desk.now, orders[1])]
    for shard in orders:
        reported(desk, shard, rows=2, **DONE)
    follow()
    assert not [*view.orders(1)]
    assert not view.open("r1")
    assert view.receipt("r1") == desk.state.erasures["r1"]
    assert view.receipt("r2") is None


def test_users_are_sealed_before_the_rules_read_them(tmp_path: Any) -> None:
    file = tmp_path / "key"
    settings = load({"partitions": 2, "erasure_key_file": file}, env={}, file=tmp_path / "none")
    item = CommandRead(Command("erase", users=USERS), "control-0-1")
    (found,) = sealed_inputs([item], settings)
    assert isinstance(found, CommandRead)
    assert not found.command.users
    assert "emberline keys erasure" in found.fault
    file.write_text(KEY.secret.hex())
    for mode in (0o644, 0o620, 0o602):
        file.chmod(mode)
        (found,) = sealed_inputs([item], settings)
        assert isinstance(found, CommandRead)
        assert "chmod 600" in found.fault
    for mode in (0o600, 0o440):
        file.chmod(mode)
        (found,) = sealed_inputs([item], settings)
        assert isinstance(found, CommandRead)
        assert found.command.users == tuple(KEY.sealed(USERS, 2))
        assert not found.fault
    assert json.dumps(found.command.users)
