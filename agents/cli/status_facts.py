"""What `emberline status` shows: it reads topics, and asks the worker."""

import asyncio
from dataclasses import dataclass
from typing import Any

from agents.cli.calling import address, asked
from agents.cli.confirming import read_sweep
from agents.coordinator.rules.sweep_state import RetentionSweep
from agents.notify.deliveries import deliveries
from agents.notify.outbox import DeliveryState
from agents.requests.rejected import rejected
from schemas.errors import EmberlineError
from schemas.records.lifecycle import SourceState
from streams.kafka.kafka_log import KafkaLog
from streams.kafka.topic_reader import read_table
from streams.kafka.topic_specs import Topics
from streams.settings import Settings

__all__ = ["StatusFacts", "read", "worker_facts"]

WORKER_S = 3.0
HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class StatusFacts:
    """The sources by state and key, the sweep, the worker as `worker_facts` gives it, the records
    rejected in the last hour as `GET /rejected` gives them, and how many deliveries of mail and
    webhooks failed; of the last two None if that is not known.
    """

    sources: list[SourceState]
    sweep: RetentionSweep
    worker: dict[str, Any]
    rejected: dict[str, Any] | None
    undelivered: int | None = 0


async def read(settings: Settings, now_ms: int) -> StatusFacts:
    """All of it, at once. Raises Recoverable without a broker."""
    table, sweep, worker, rejects, undelivered = await asyncio.gather(
        read_table(KafkaLog(settings), Topics(settings.prefix).state, "state"),
        read_sweep(settings),
        worker_facts(settings),
        _rejected(settings, now_ms),
        _undelivered(settings),
    )
    states = [SourceState.from_record(record) for record in table.values()]
    ordered = sorted(states, key=lambda r: (r.state.value, r.source))
    return StatusFacts(ordered, sweep, worker, rejects, undelivered)


async def _rejected(settings: Settings, now_ms: int) -> dict[str, Any] | None:
    topic = Topics(settings.prefix).rejected
    try:
        found = await rejected(KafkaLog(settings), topic, now_ms - HOUR_MS, 0)
    except EmberlineError:
        return None  # the states say what is amiss, if it concerns them too
    return found.facts()


async def _undelivered(settings: Settings) -> int | None:
    try:
        found = await deliveries(KafkaLog(settings), settings.prefix)
    except EmberlineError:
        return None  # the output says that it is not known
    return sum(one.state is DeliveryState.FAILED for one in found)


async def worker_facts(settings: Settings) -> dict[str, Any]:
    """The worker's own status, from the settings' address, and in `missing_shards` the shards that
    no worker answers for; or, in `error`, why there is no status.
    """
    try:
        async with asyncio.timeout(WORKER_S):
            facts = await asked(settings, "GET", "/status")
            sizes = await asked(settings, "GET", "/sources?limit=1") if facts.get("ready") else {}
    except EmberlineError as error:
        return {"error": str(error)}
    except TimeoutError:
        return {"error": f"The worker at {address(settings)} does not answer in time"}
    return facts | {"missing_shards": sizes.get("missing_shards", [])}
