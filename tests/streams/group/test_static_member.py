"""A worker joins under its name only if that takes nobody's place but its predecessor's."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from aiokafka.errors import GroupCoordinatorNotAvailableError, KafkaError
from aiokafka.protocol.group import HeartbeatRequest, JoinGroupRequest

from schemas.errors import Fatal
from streams.group import static_member
from streams.group.static_member import InstanceTaken, StaticMember

OK, NOT_COORDINATOR, ILLEGAL_GENERATION, UNKNOWN_MEMBER, FENCED = 0, 16, 22, 25, 82


@dataclass
class Answer:
    error_code: int
    member_id: str = ""


@dataclass
class Group:
    """The group as the broker has it: who has the name."""

    holder: str = ""
    broken: int = 0
    asked: list[str] = field(default_factory=list)
    dead: int = 0

    async def send(self, request: Any) -> Answer:
        self.asked.append(type(request).__name__.strip("_"))
        if self.broken:
            return Answer(self.broken)
        if isinstance(request, JoinGroupRequest):
            if request._member_id not in ("", self.holder):
                return Answer(FENCED)
            self.holder = request._member_id or f"{request._group_instance_id}-{len(self.asked)}"
            return Answer(OK, self.holder)
        _, generation, member, instance = request._fields
        assert instance == "one"
        if not self.holder:
            return Answer(UNKNOWN_MEMBER)
        if member != self.holder:
            return Answer(FENCED)
        return Answer(ILLEGAL_GENERATION if generation < 0 else OK)

    def is_dead(self) -> None:
        self.dead += 1


class Bench:
    def __init__(self, former: str = "", holder: str = "") -> None:
        self.group = Group(holder)
        self.now = 0.0
        self.remembered: list[str] = []
        self.taken: list[Fatal] = []
        self.static = StaticMember(
            "workers",
            "one",
            former,
            patience_s=60,
            remember=self.remembered.append,
            on_taken=self.taken.append,
            now=lambda: self.now,
        )

    async def join(self, member: str = "") -> Answer:
        request = JoinGroupRequest("workers", 1, 1, member, "one", "consumer", [])
        found: Answer = await self.static.send(request, self.group.send, self.group.is_dead)
        return found

    async def beat(self, member: str) -> Answer:
        request = HeartbeatRequest("workers", 3, member)
        found: Answer = await self.static.send(request, self.group.send, self.group.is_dead)
        return found


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(static_member, "ASK_AGAIN_S", 0.0)


@pytest.mark.parametrize("holder", ["", "one-former"])
async def test_a_name_is_taken_that_nobody_has_or_the_process_before(holder: str) -> None:
    bench = Bench("one-former", holder)
    answer = await bench.join()
    assert bench.remembered == [answer.member_id]
    assert (await bench.beat(answer.member_id)).error_code == OK
    # it joins again as itself, and asks nobody first
    bench.group.asked.clear()
    await bench.join(answer.member_id)
    assert bench.group.asked == ["JoinGroupRequest"]


@pytest.mark.parametrize("former", ["", "one-former"])
async def test_a_name_that_another_process_has_is_waited_for(former: str) -> None:
    bench = Bench(former, "one-elsewhere")
    for _ in range(3):
        with pytest.raises(InstanceTaken):
            await bench.join()
        bench.now += 19
    assert bench.group.holder == "one-elsewhere"
    bench.group.holder = ""  # its session is over
    assert (await bench.join()).error_code == OK
    assert bench.taken == []


async def test_a_name_that_another_process_keeps_ends_this_one() -> None:
    bench = Bench("", "one-elsewhere")
    for _ in range(2):
        with pytest.raises(InstanceTaken):
            await bench.join()
        bench.now += 61
    assert "group_instance_id of its own" in bench.taken[0].remedy


async def test_whoever_loses_its_name_does_not_take_it_back() -> None:
    bench = Bench()
    mine = (await bench.join()).member_id
    bench.group.holder = "one-other"
    for attempt in (bench.beat(mine), bench.join(mine), bench.join()):
        bench.taken.clear()
        with pytest.raises(InstanceTaken):
            await attempt
        assert len(bench.taken) == 1
    assert bench.group.holder == "one-other"


async def test_a_session_that_has_ended_is_begun_again() -> None:
    bench = Bench()
    await bench.join()
    bench.group.holder = ""
    assert (await bench.join()).error_code == OK
    assert bench.taken == []


async def test_a_broker_that_is_no_coordinator_decides_nothing() -> None:
    bench = Bench()
    bench.group.broken = NOT_COORDINATOR
    with pytest.raises(KafkaError):
        await bench.join()
    assert (bench.group.dead, bench.taken) == (1, [])
    bench.group.broken = 15
    with pytest.raises(GroupCoordinatorNotAvailableError):
        await bench.join()
