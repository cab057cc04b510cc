"""What becomes a message, and who gets it: requests, digests, stuck work, sweeps that ask."""

from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from agents.notify import notifier, outbox_log
from agents.notify.outbox import Channel, Delivery, DeliveryState, NoticeKind
from tests.rigs.desk import DAY, MONTH3
from tests.rigs.notifying import DEADLINE_S, NotifyRig

A, B = "campaign:a", "campaign:b"
ADA, OPS = "ada@example.com", "ops@example.com"
MINUTE = 60_000


def told(rig: NotifyRig) -> list[tuple[str, str]]:
    return [(one.kind.value, one.to) for one in rig.sent]


def of(rig: NotifyRig, kind: NoticeKind) -> list[Delivery]:
    """What was sent of one kind."""
    return [one for one in rig.sent if one.kind is kind]


async def settled(rig: NotifyRig) -> None:
    """Run until the notifier has read all and has nothing to do."""
    turns = count()
    assert await rig.run(lambda: next(turns) > 60 and (not rig.outbox.deliveries or rig.all_over()))


async def test_a_restore_is_told_once_when_all_its_sources_are_over(tmp_path: Path) -> None:
    rig = NotifyRig(tmp_path, notify_to=OPS)
    for source in (A, B):
        rig.desk.expired(source)
    rig.desk.command("restore", A, B, "campaign:none", request_id="r", notify=(ADA,), actor="key")
    rig.emails = {"key": "key@example.com"}
    rig.desk.finish(A)
    await rig.tell()
    await settled(rig)
    assert [one for one in told(rig) if one[1] == ADA] == []
    rig.desk.finish(B)
    await rig.tell()
    assert await rig.run(rig.all_over)
    (notice,) = [one for one in rig.notices.values() if one.data.get("request_id") == "r"]
    to = sorted(one.to for one in rig.sent if one.notice == notice.id)
    assert to == [ADA, "key@example.com", OPS]
    assert [one["source"] for one in notice.data["sources"]] == ["campaign:none", A, B]
    assert notice.data["sources"][1]["available_until"] is not None
    assert notice.data["counts"] == {
        "total": 3, "running": 0, "completed": 2, "already": 0, "refused": 1, "failed": 0
    }  # fmt: skip


async def test_a_source_that_has_expired_again_holds_nothing_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifier, "PART_S", 3 * DEADLINE_S)
    rig = NotifyRig(tmp_path)
    rig.desk.expired(A)
    rig.desk.command("restore", A, notify=(ADA,))
    rig.desk.finish(A)
    rig.desk.now += 1
    rig.desk.command("expire", A)
    await rig.tell()
    assert await rig.run(rig.all_over)
    assert told(rig) == [("request.finished", ADA)]


async def test_parts_that_do_not_come_hold_all_requests_of_a_turn_up_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker whose copy of the requests stands still sends nothing while it waits."""
    monkeypatch.setattr(notifier, "PART_S", DEADLINE_S / 10)
    rig = NotifyRig(tmp_path)
    rig.desk.define(A)
    for number in range(20):
        rig.desk.command("hold", A, request_id=f"r{number}", notify=(ADA,))
    for key, value in rig.desk.log:
        rig.log.write(rig.topics.coordinator, key, value)
    rig.requests.caught_up.set()
    rig.states.caught_up.set()
    assert await rig.run(lambda: len(rig.sent) == 20)


async def test_holds_are_told_to_whom_they_name_only(tmp_path: Path) -> None:
    rig = NotifyRig(tmp_path, notify_to=OPS)
    rig.emails = {"key": "key@example.com"}
    rig.desk.define(A)
    rig.desk.command("hold", A, actor="key")
    rig.desk.command("unhold", A, notify=(ADA,), actor="key")
    await rig.tell()
    assert await rig.run(rig.all_over)
    assert told(rig) == [("request.finished", ADA)]


async def test_an_unverified_name_gets_no_mail_of_the_key_of_that_name(tmp_path: Path) -> None:
    rig = NotifyRig(tmp_path)
    rig.emails = {"key": "key@example.com"}
    rig.desk.expired(A)
    rig.desk.command("restore", A, requested_by="key")
    rig.desk.finish(A)
    await rig.tell()
    await settled(rig)
    assert told(rig) == []


async def test_what_expires_soon_is_one_message_a_day(tmp_path: Path) -> None:
    rig = NotifyRig(tmp_path, notify_to=OPS)
    for source in (A, B):
        rig.desk.define(source, "STOPPED", stopped_at=rig.desk.now)
    rig.desk.now += 3 * DAY
    rig.desk.define("campaign:c", "STOPPED", stopped_at=rig.desk.now)
    rig.desk.now += MONTH3 - 33 * DAY
    rig.clock.set(rig.desk.now)
    rig.desk.tick()
    await rig.tell()
    await settled(rig)
    assert told(rig) == [], "others may be announced in the same minute"
    rig.clock.advance(MINUTE)
    assert await rig.run(rig.all_over)
    assert told(rig) == [("sources.expiring_soon", OPS)]
    (notice,) = rig.notices.values()
    assert [one["source"] for one in notice.data["sources"]] == [A, B]
    rig.desk.now += 3 * DAY
    rig.desk.tick()
    await rig.tell()
    rig.clock.advance(DAY // 2)
    await settled(rig)
    assert len(rig.sent) == 1, "the next one comes a day after the first"
    rig.clock.advance(DAY // 2 + MINUTE)
    assert await rig.run(lambda: len(rig.sent) == 2)


async def test_what_is_used_again_meanwhile_is_not_announced(tmp_path: Path) -> None:
    rig = NotifyRig(tmp_path, notify_to=OPS)
    rig.desk.define(A, "STOPPED", stopped_at=rig.desk.now)
    rig.desk.now += MONTH3 - 30 * DAY
    rig.clock.set(rig.desk.now)
    rig.desk.tick()
    rig.desk.command("hold", A)
    await rig.tell()
    await settled(rig)
    rig.clock.advance(MINUTE)
    await settled(rig)
    assert told(rig) == []


async def test_stuck_work_is_told_once_and_not_if_it_goes_on(tmp_path: Path) -> None:
    rig = NotifyRig(tmp_path, notify_to=OPS)
    for source in (A, B):
        rig.desk.define(source, "STOPPED", stopped_at=rig.desk.now)
        rig.desk.command("expire", source)
    rig.desk.report(A, 0)
    rig.desk.now += rig.desk.policy.shard_deadline_ms
    rig.clock.set(rig.desk.now)
    rig.desk.tick()
    rig.desk.finish(B)
    await rig.tell()
    await settled(rig)
    rig.clock.advance(MINUTE)
    assert await rig.run(lambda: bool(of(rig, NoticeKind.STUCK)) and rig.all_over())
    (one,) = of(rig, NoticeKind.STUCK)
    (source,) = rig.notices[one.notice].data["sources"]
    assert (source["source"], source["state"], source["shards"]) == (A, "EXPIRING", [1])
    rig.desk.now += rig.desk.policy.shard_deadline_ms
    rig.desk.tick()
    await rig.tell()
    rig.clock.advance(DAY)
    await settled(rig)
    assert len(of(rig, NoticeKind.STUCK)) == 1


async def test_a_sweep_that_asks_is_told_unless_it_is_answered(tmp_path: Path) -> None:
    rig = NotifyRig(tmp_path, notify_to=OPS)
    rig.desk = type(rig.desk)(sweep_confirm_share=0.1)
    for source in (A, B):
        rig.desk.define(source, "STOPPED", stopped_at=rig.desk.now)
    rig.desk.now += MONTH3 + DAY
    rig.clock.set(rig.desk.now)
    rig.desk.tick()
    await rig.tell()
    await settled(rig)
    rig.clock.advance(MINUTE)
    assert await rig.run(lambda: bool(of(rig, NoticeKind.SWEEP)) and rig.all_over())
    data = rig.notices[of(rig, NoticeKind.SWEEP)[0].notice].data
    assert data["total"] == 2
    assert data["id"] == rig.desk.state.sweep.question
    rig.desk.now += DAY
    rig.desk.tick()
    await rig.tell()
    rig.clock.advance(DAY)
    await settled(rig)
    assert len(of(rig, NoticeKind.SWEEP)) == 1, "the same question is told once"


async def test_a_webhook_is_told_of_every_request(tmp_path: Path) -> None:
    rig = NotifyRig(tmp_path, webhook_urls="https://hooks.example.com/a")
    rig.desk.define(A)
    rig.desk.command("hold", A)
    await rig.tell()
    assert await rig.run(rig.all_over)
    (one,) = rig.sent
    assert (one.channel, one.to) == (Channel.WEBHOOK, "https://hooks.example.com/a")


async def test_a_notifier_that_is_new_tells_of_nothing_old(tmp_path: Path) -> None:
    rig = NotifyRig(tmp_path, notify_to=OPS)
    rig.desk.define(A)
    rig.desk.command("hold", A, notify=(ADA,))
    rig.clock.advance(2 * DAY)
    await rig.tell()
    await settled(rig)
    assert told(rig) == []


async def test_a_message_that_another_program_has_written_is_not_sent(tmp_path: Path) -> None:
    rig = NotifyRig(tmp_path)
    rig.desk.define(A)
    rig.desk.command("hold", A, notify=(ADA,))
    await rig.tell()
    assert await rig.run(rig.all_over)
    (real,) = rig.sent
    own = rig.topics.notifications
    for letter, one in (
        ("n", rig.notices[real.notice]),
        ("d", replace(real, to="eve@example.com")),
    ):
        record = outbox_log.record(own, f"{letter}/{one.id}", one)
        rig.log.write(own, f"{letter}/{one.id}", record.value)
    rig.log.write(own, "o", b'{"owner": "eve"}')
    turns = count()
    assert await rig.run(lambda: next(turns) > 100)
    assert rig.sent == [real]


async def test_records_that_no_notifier_has_written_are_passed_over(tmp_path: Path) -> None:
    rig = NotifyRig(tmp_path)
    own, log = rig.topics.notifications, rig.topics.coordinator
    for key, value in (("x", b""), ("d/1", b"{}"), ("c", b"[]"), ("n/1", b"\xff"), ("q/1", b"{}")):
        rig.log.write(own, key, value)
    rig.log.write(log, "r/1", b"{")
    rig.log.write(rig.topics.expiring_soon, "x", b"no record")
    rig.desk.define(A)
    rig.desk.command("hold", A, notify=(ADA,))
    await rig.tell()
    turns = count()
    assert await rig.run(lambda: next(turns) > 100 and len(rig.sent) == 1)
    sent = [one for one in rig.sent if one.to == ADA]
    assert sent[0].state is DeliveryState.PENDING
