"""One run's world: brokers, group, network, disks, clocks, and the workers on them."""

import asyncio
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from aiokafka.errors import PolicyViolationError

from agents.coordinator.log import CURSOR
from agents.notify.outbox import Attempt, Delivery, Notice, Result
from schemas.tables.erased import ErasureKey
from streams.group.membership import SESSION_S
from streams.kafka.environment import Environment
from streams.kafka.log import Partition
from streams.kafka.topics import Topics
from streams.settings import Settings, load
from streams.state import keys
from tests.sim.clock import SimClock
from tests.sim.disk import AfterCrash, Disks
from tests.sim.group import SimGroup
from tests.sim.history import Kept
from tests.sim.log.batches import Entry, Written
from tests.sim.log.cluster import Cluster
from tests.sim.log.faults import NO_FAULTS
from tests.sim.log.sim_log import SimLog
from tests.sim.loop import WORKER, SimLoop
from tests.sim.peers import PeerNet
from tests.sim.people import People
from tests.sim.plan import RunPlan
from tests.sim.questions import Questions
from tests.sim.reached import reached
from tests.sim.truth import Window
from tests.sim.worker import Process
from tests.sim.workload import Workload

__all__ = ["Slot", "World"]

DAY_MS = 86_400_000
_LATENCY_S = 0.003
_CODECS = (0, 0, 0, 1, 3)


@dataclass
class Slot:
    """A machine on which one process of a worker runs at a time."""

    name: str
    address: str
    clock: SimClock
    folder: Path
    process: Process | None = None
    number: int = 0


class World:
    """Everything of one run."""

    def __init__(self, loop: SimLoop, plan: RunPlan, root: Path, history: Kept) -> None:
        self.loop = loop
        self.plan = plan
        self.history = history
        self.disks = Disks(root, loop.stream("disks"))
        self.clock = SimClock(loop)
        self.kafka = Cluster(self.clock, loop.stream("kafka"), latency_s=_LATENCY_S)
        self.kafka.on_takeover = self._note_takeover
        self.group = SimGroup(loop, loop.stream("group"), self._group_way)
        self.net = PeerNet(loop, self._peer_way)
        self.topics = Topics("t.")
        self.workload = Workload(self)
        self.people = People(self)
        self.questions = Questions(self)
        #: Processes that the group does not hear.
        self.cut_off: set[str] = set()
        self.group_late_s = 0.0
        self.peers_late_s = 0.0
        self.peers_lost = 0.0
        self.mail_trouble = 0.0
        self.mail: list[tuple[str, str]] = []
        self.failures: list[tuple[str, BaseException]] = []
        #: Takeovers by workers whose shards the group may have given to others.
        self.stale_takeovers: list[str] = []
        #: Looks after the processes.
        self.watching: asyncio.Task[None] | None = None
        self._random = loop.stream("world")
        self._frozen: dict[str, int] = {}
        self._key_file = root / "erasure.key"
        self.erasure_key = self._made_key() if plan.erasures else None
        self.slots = [self._slot(number) for number in range(plan.workers)]
        self.settings = self._settings(root)
        self.log = SimLog(self.kafka, self.settings, loop.stream("outside"), self.clock)

    def _slot(self, number: int) -> Slot:
        name = f"w{number}"
        address = f"http://{name}:6066"
        return Slot(name, address, SimClock(self.loop), self.disks.new(name))

    def _made_key(self) -> ErasureKey:
        """The key under which users are erased, in the file that all workers have."""
        secret = self.loop.stream("erasure key").randbytes(32)
        self._key_file.touch(mode=0o600)
        self._key_file.write_text(secret.hex())
        return ErasureKey(secret)

    def _settings(self, folder: Path) -> Settings:
        flags = {
            "prefix": "t.",
            "partitions": self.plan.partitions,
            "data_dir": folder,
            "keys_file": folder / "none",
            "erasure_key_file": self._key_file,
            "memory_budget": "100MB",
            "retention": "P30D",
            "expiring_soon": "P7D,P1D",
            "sweep_interval": "PT3S",
            "shard_deadline": "PT2M",
            "late_age": "P60D",
            "notify_to": "",
            **(self.plan.settings or {}),
        }
        return load(flags, env={}, file=folder / "none.toml")

    # -- processes

    async def open(self) -> None:
        """Make the topics, and start all workers."""
        await self.log.admin.create()
        self.group.start()
        for slot in self.slots:
            self.begin(slot)

    def begin(self, slot: Slot) -> None:
        """Start a process on a machine on which none runs."""
        if slot.process is not None:
            return
        name = f"{slot.name}.{slot.number}"
        slot.number += 1
        settings = self._settings(slot.folder)
        random = self.loop.stream(f"process/{name}")
        kafka = SimLog(self.kafka, settings, random, slot.clock)
        environment = Environment(settings, kafka, slot.clock, random)
        slot.process = Process(
            name,
            slot.folder,
            environment,
            self.loop,
            self.group,
            self.net,
            slot.address,
            self._send,
        )
        slot.process.states_at_start = self.kafka.log((self.topics.state, 0)).stable
        slot.process.start()

    async def crash(self, slot: Slot, after: AfterCrash, steps: int = 0) -> None:
        """Kill the process of a machine, before it has made so many more callbacks."""
        process = slot.process
        if process is None:
            return
        if steps and process.name not in self._frozen:
            reached_it = asyncio.Event()
            self.loop.after_steps(process.name, steps, reached_it.set)
            try:
                async with asyncio.timeout(10):
                    await reached_it.wait()
            except TimeoutError:
                pass
            if slot.process is not process:
                return
        reached(f"crash: {after}")
        self.loop.kill(process.name)
        self.net.killed(process.name)
        self._frozen.pop(process.name, None)
        slot.folder = self.disks.crashed(slot.name, process.folder, after)
        slot.process = None

    async def stop(self, slot: Slot) -> None:
        """End the process of a machine in an orderly way."""
        process = slot.process
        if process is None:
            return
        process.stop()
        for _ in range(600):
            await asyncio.sleep(0.1)
            if process.ended or slot.process is not process:
                break
        if slot.process is process:
            if process.ended:
                reached("stopped in an orderly way")
                slot.process = None
            else:
                reached("stop: cut short")
                await self.crash(slot, AfterCrash.FLUSHED)

    def freeze(self, process: str, for_s: float | None = None) -> None:
        """Let a process stand still."""
        if self.loop.is_dead(process):
            return
        self._frozen[process] = self._frozen.get(process, 0) + 1
        self.loop.freeze(process)
        if for_s is not None:
            self.loop.later(for_s, self.thaw, process)

    def thaw(self, process: str) -> None:
        """Let it go on, when nothing else holds it."""
        count = self._frozen.get(process, 0) - 1
        if count > 0:
            self._frozen[process] = count
        elif self._frozen.pop(process, None) is not None:
            self.loop.thaw(process)

    def rejoin(self, slot: Slot) -> None:
        """Let a member ask for a new generation."""
        if slot.process is not None and slot.process.runs:
            slot.process.member.membership.request_rejoin()

    def look(self) -> None:
        """Start processes again that have ended, as a service manager does."""
        for slot in self.slots:
            process = slot.process
            if process is None:
                continue
            error = process.failed
            if error is not None and error not in [known for _, known in self.failures]:
                self.failures.append((process.name, error))
            if process.ended:
                slot.process = None
                self.begin(slot)

    def heal(self) -> None:
        """End of all faults: what stands still goes on, what has ended is started again."""
        self.cut_off.clear()
        self.group_late_s = self.peers_late_s = self.peers_lost = self.mail_trouble = 0.0
        self.kafka.network.down.clear()
        self.kafka.network.hanging.clear()
        self.kafka.faults.rates = NO_FAULTS
        for process in list(self._frozen):
            self._frozen[process] = 1
            self.thaw(process)
        for slot in self.slots:
            slot.clock.offset_ms = self.clock.offset_ms
            self.begin(slot)

    # -- what the outside does

    def produce(
        self, partition: Partition, records: Sequence[tuple[bytes | None, bytes | None]]
    ) -> None:
        """A producer's records are in the log at once."""
        stamp = self.clock.now_ms()
        codec = self._random.choice(_CODECS)
        entries = [Entry(key, value, stamp) for key, value in records]
        self.kafka.produce(partition, entries, codec=codec)

    async def produce_open(self, random: Random) -> None:
        """A producer's transaction of one event stays open for a while, and may be aborted."""
        topic, partition, value = self.workload._event(random)
        transactions, name = self.kafka.transactions, f"producer-{random.randrange(10**6)}"
        producer, epoch = transactions.init(name, 30.0)
        transactions.add(name, producer, epoch, [(topic, partition)])
        by = Written(producer, epoch, 0, True)
        entries = [Entry(b"key", value, self.clock.now_ms())]
        try:
            self.kafka.produce((topic, partition), entries, by, name=name)
        except PolicyViolationError:
            return  # the brokers refuse the batch, and its transaction ends by its time-out
        reached("producer: transaction left open")
        await asyncio.sleep(random.choice((0.5, 3.0, 10.0)))
        transactions.end(name, producer, epoch, commit=random.random() < 0.6)

    def pass_days(self, days: float) -> None:
        """So many days pass for everybody, in which nothing happens."""
        for clock in (self.clock, *(slot.clock for slot in self.slots)):
            clock.jump(round(days * DAY_MS))

    def compact(self, random: Random) -> None:
        """Compact some topics as far as they can be read."""
        compacted = [
            topic
            for topic in self.kafka.topics.values()
            if topic.configs["cleanup.policy"] == "compact"
        ]
        for topic in random.sample(compacted, random.randint(1, len(compacted))):
            tombstones_ms = int(topic.configs["delete.retention.ms"])
            for number, log in enumerate(topic.partitions):
                if len(log.batches) < 2:
                    continue
                # the segment that is written to is never compacted
                below = log.batches[-random.randint(1, min(4, len(log.batches)))].base
                if topic.name == self.topics.users:
                    # what is compacted before it is read has never happened for its shard
                    below = min(below, int(self._read_up_to(topic.name, number)))
                if log.compact(self.clock.now_ms(), tombstones_ms, below):
                    reached("log: compacted")

    def retain(self) -> None:
        """Delete what is older than its topic keeps. What its reader has not read stays: to lose
        that is the producers' choice, and no fault of a worker's.
        """
        now = self.clock.now_ms()
        for topic in self.kafka.topics.values():
            kept_ms = int(topic.configs.get("retention.ms", "-1"))
            if topic.configs["cleanup.policy"] != "delete" or kept_ms < 0:
                continue
            for number, log in enumerate(topic.partitions):
                old = [batch for batch in log.batches[:-1] if batch.stamp_ms < now - kept_ms]
                below = min(self._read_up_to(topic.name, number), log.stable)
                below = max((b.last + 1 for b in old if b.last < below), default=0)
                if below > log.begin:
                    log.delete_below(below)
                    reached("log: retention")

    def _read_up_to(self, topic: str, partition: int) -> float:
        """Up to which offset the reader of a topic has read it, if it has one that keeps count."""
        inputs = (*self.topics.events.values(), self.topics.users, self.topics.repartition)
        if topic in inputs:
            found = self._last((self.topics.changelog, partition), keys.CURSOR).get("offsets", {})
        elif topic in (self.topics.control, self.topics.catalog, self.topics.shard_reports):
            found = self._last((self.topics.coordinator, 0), CURSOR.encode())
        else:
            return math.inf
        return float(found.get(topic, 0))

    def _last(self, log: Partition, key: bytes) -> dict[str, Any]:
        """The last committed value of a key, which is a JSON object."""
        records = self.history.committed(self.kafka, log)
        found = [one.value for one in records if one.key == key and one.value is not None]
        return dict(json.loads(found[-1])) if found else {}

    async def _send(self, notice: Notice, delivery: Delivery) -> Attempt:
        """The mail server."""
        await asyncio.sleep(self._random.random() * 0.2)
        if self._random.random() < self.mail_trouble:
            kind = self._random.choice((Result.RETRY, Result.UNREACHABLE, None))
            if kind is not None:
                reached(f"mail: {kind.value}")
                return Attempt(kind, "trouble")
            self.mail.append((delivery.id, notice.id))
            return Attempt(Result.RETRY, "forgotten")
        self.mail.append((delivery.id, notice.id))
        return Attempt(Result.SENT)

    # -- the networks

    def _group_way(self, process: str) -> float | None:
        if process in self.cut_off:
            return None
        late_s = self.group_late_s * self._random.random() ** 3
        return 0.001 + self._random.random() * 0.01 + late_s

    def _peer_way(self, process: str, address: str) -> float | None:
        if self._random.random() < self.peers_lost:
            reached("peers: no connection")
            return None
        return 0.0005 + self._random.random() * (0.003 + self.peers_late_s)

    # -- what a checker needs to know

    def _note_takeover(self, name: str) -> int:
        worker = WORKER.get()
        process = next((one for one in self.running() if one.name == worker), None)
        if process is None:
            return -1
        silent_s = process.member.membership.silent_s()
        if silent_s >= SESSION_S:
            self.stale_takeovers.append(
                f"{worker} takes {name} over at {self.loop.time():.1f} s, {silent_s:.1f} s "
                "after the group has acknowledged it"
            )
        return process.member.manager.generation

    def now(self) -> tuple[int, ...]:
        """How many batches each changelog partition has had."""
        topic = self.kafka.topics.get(self.topics.changelog)
        partitions = topic.partitions if topic is not None else ()
        return tuple(self.history.count(log) for log in partitions)

    def since(self, before: tuple[int, ...]) -> Window:
        """The stretch from then to now."""
        return Window(before, self.now())

    def running(self) -> Iterable[Process]:
        """The processes that can be asked something."""
        return [s.process for s in self.slots if s.process is not None and s.process.runs]
