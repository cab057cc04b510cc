"""The events of the benchmarks: always the same mix, so that figures can be compared.

Half are sends, a quarter opens, a tenth clicks and the rest variants; the number of users is an
eighth of the events; sources follow an exponential or a Zipf distribution.
"""

from collections.abc import Iterator
from itertools import accumulate
from random import Random
from typing import Any, Literal

from agents.tools.demo.chunk import EventChunk, avro_chunk

__all__ = ["bench_events", "bench_sources", "bench_users"]

MIX = {"send": 50, "open": 25, "click": 10, "variant": 15}
START_MS = 1_760_000_000_000
STEP_MS = 3
VARIANTS = 3


def _uuid(rng: Random) -> str:
    text = f"{rng.getrandbits(128):032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def bench_users(events: int, seed: int = 7) -> list[str]:
    """The ids, 24 hex digits each, of the users for this number of events."""
    rng = Random(f"users {seed}")
    return [f"{rng.getrandbits(96):024x}" for _ in range(max(1, events // 8))]


def bench_sources(sources: int, seed: int = 7) -> list[str]:
    """The bare ids of the campaigns, most frequent first."""
    rng = Random(f"sources {seed}")
    return [_uuid(rng) for _ in range(sources)]


def _weights(sources: int, distribution: Literal["exponential", "zipf"]) -> list[float]:
    if distribution == "zipf":
        return [1 / (rank + 1) for rank in range(sources)]
    # as expovariate(4 / sources) cut off at the last source
    return [0.9048374180359595 ** (rank * 40 / sources) for rank in range(sources)]


def bench_events(
    n: int,
    sources: int = 40,
    distribution: Literal["exponential", "zipf"] = "exponential",
    seed: int = 7,
    *,
    start_ms: int = START_MS,
    chunk: int = 20_000,
) -> Iterator[EventChunk]:
    """Exactly `n` events in time order, `chunk` at a time, divided into one chunk for each type.

    The same arguments give the same bytes. `start_ms` is the first event's time; consecutive events
    are 3 ms apart.
    """
    rng = Random(f"events {seed}")
    users = bench_users(n, seed)
    campaigns = bench_sources(sources, seed)
    variants = [[_uuid(rng) for _ in range(VARIANTS)] for _ in campaigns]
    shapes = [(c, v) for c, vs in zip(campaigns, variants, strict=True) for v in vs]
    weights = list(accumulate(w for w in _weights(sources, distribution) for _ in range(VARIANTS)))
    for start in range(0, n, chunk):
        rows = min(chunk, n - start)
        kinds = rng.choices(tuple(MIX), tuple(MIX.values()), k=rows)
        times: dict[str, list[int]] = {name: [] for name in MIX}
        for time, kind in enumerate(kinds, start):
            times[kind].append(start_ms + time * STEP_MS)
        for event, when in times.items():
            if when:
                yield avro_chunk(event, _columns(rng, event, when, users, shapes, weights))


def _columns(
    rng: Random,
    event: str,
    times: list[int],
    users: list[str],
    shapes: list[tuple[str, str]],
    weights: list[float],
) -> dict[str, list[Any]]:
    rows = len(times)
    ids = rng.randbytes(16 * rows).hex()
    drawn = rng.choices(shapes, cum_weights=weights, k=rows)
    columns: dict[str, list[Any]] = {
        "id": [ids[at : at + 32] for at in range(0, 32 * rows, 32)],
        "user_id": rng.choices(users, k=rows),
        "time": times,
        "campaign_id": [campaign for campaign, _ in drawn],
        "message_variation_id": [variant for _, variant in drawn],
    }
    if event != "variant":
        columns["channel"] = ["EMAIL"] * rows
    if event == "open":
        columns["machine_open"] = [rng.random() < 0.3 for _ in range(rows)]
    elif event == "click":
        columns["link_alias"] = rng.choices((None, "cta", "footer"), k=rows)
    elif event == "variant":
        columns["in_control_group"] = [rng.random() < 0.1 for _ in range(rows)]
    return columns
