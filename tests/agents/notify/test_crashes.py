"""The notifier ended at every point between a fact and its message: never no message, and copies
only under one id.
"""

from collections import defaultdict
from itertools import count
from pathlib import Path
from typing import cast

from agents.notify.outbox import Attempt, DeliveryState, Result
from agents.notify.retrying import Retried, retry
from streams.kafka.log import Log
from tests.rigs.notifying import NotifyRig

A, B = "campaign:a", "campaign:b"
ADA, BOB = "ada@example.com", "bob@example.com"


async def made(tmp_path: Path) -> NotifyRig:
    """Two requests that are over, with two recipients and one."""
    rig = NotifyRig(tmp_path)
    rig.desk.define(A)
    rig.desk.define(B)
    rig.desk.command("hold", A, B, request_id="r1", notify=(ADA, BOB))
    rig.desk.command("hold", A, request_id="r2", notify_email=ADA)
    await rig.tell()
    return rig


def ids(rig: NotifyRig) -> dict[tuple[str, str], list[str]]:
    """The ids of what was accepted, by request and recipient."""
    found = defaultdict(list)
    for one in rig.sent:
        about = str(rig.notices[one.notice].data["request_id"])
        found[about, one.to].append(one.id)
    return dict(found)


async def test_an_end_at_any_two_points_loses_no_message_and_repeats_it_under_its_id(
    tmp_path: Path,
) -> None:
    copies = killed = 0
    for first in count():
        survived_first = False
        for second in count():
            rig = await made(tmp_path)
            rig.kill_at = first
            if await rig.run(rig.all_over):
                survived_first = True
                break
            rig.points, rig.kill_at = count(), second
            over = await rig.run(rig.all_over)
            if not over:
                killed += 1
                rig.kill_at = None
                assert await rig.run(rig.all_over)
            found = ids(rig)
            assert found.keys() == {("r1", ADA), ("r1", BOB), ("r2", ADA)}
            assert all(len(set(one)) == 1 for one in found.values())
            assert len({one[0] for one in found.values()}) == 3
            copies += len(rig.sent) - 3
            if over:
                break
        if survived_first:
            break
    assert killed > 50
    assert copies > 0, "a message that was accepted just before the end is repeated"


async def test_a_second_notifier_tells_nothing_again(tmp_path: Path) -> None:
    rig = await made(tmp_path)
    assert await rig.run(rig.all_over)
    turns = count()
    assert await rig.run(lambda: next(turns) > 50)
    assert len(rig.sent) == 3


async def test_retries_survive_a_restart_and_keep_their_pauses(tmp_path: Path) -> None:
    rig = await made(tmp_path)
    rig.answers = [Attempt(Result.RETRY, "451 later")] * 3

    def tried() -> bool:
        found = rig.outbox.deliveries.values()
        return bool(found) and all(one.attempts for one in found)

    assert await rig.run(tried)
    assert rig.sent == []
    turns = count()
    assert await rig.run(lambda: next(turns) > 50), "before its time nothing is tried"
    assert rig.sent == []
    rig.clock.advance(rig.policy.first_pause_ms)
    assert await rig.run(rig.all_over)
    assert len(rig.sent) == 3
    assert {one.attempts for one in rig.outbox.deliveries.values()} == {2}


async def test_a_refusal_is_final_audited_and_tried_again_only_when_asked(tmp_path: Path) -> None:
    rig = await made(tmp_path)
    rig.answers = [Attempt(Result.REFUSED, "550 no such user")] * 3
    assert await rig.run(rig.all_over)
    failed = list(rig.outbox.deliveries.values())
    assert {(one.state, one.error) for one in failed} == {
        (DeliveryState.FAILED, "550 no such user")
    }
    audits = rig.log.records[rig.topics.audit]
    assert len(audits) == 3
    assert b"550 no such user" in (audits[0].value or b"")
    first, *others = [one.id for one in failed]
    log, prefix = cast(Log, rig.log), rig.settings.prefix
    refused = await retry(log, prefix, rig.clock, [first, "nothing"])
    assert refused == Retried((), ("nothing",)), "all or none"
    done = await retry(log, prefix, rig.clock, [first, "nothing", first], part=True)
    assert done == Retried((first,), ("nothing",))
    assert await rig.run(lambda: len(rig.sent) == 1 and rig.all_over())
    done = await retry(log, prefix, rig.clock)
    assert (sorted(done.retried), done.not_failed) == (sorted(others), ())
    assert await rig.run(lambda: len(rig.sent) == 3 and rig.all_over())
    assert {one.state for one in rig.outbox.deliveries.values()} == {DeliveryState.SENT}
