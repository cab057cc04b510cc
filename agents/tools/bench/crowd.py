"""Events of one large source: every user received, entered, and opened or clicked."""

from collections.abc import Iterator
from random import Random
from typing import Any

from agents.tools.demo.chunk import EventChunk, avro_chunk

__all__ = ["crowd"]

_START_MS = 1_760_000_000_000
_USERS = 10_000  # in a chunk
_ODD = 0x9E3779B97F4A7C15F39CC061  # spreads numbers over ids, one to one
_MASK = (1 << 96) - 1


def crowd(
    campaign: str, interactions: int, seed: int = 7, *, users: str | None = None
) -> Iterator[EventChunk]:
    """Events that make exactly this many interactions of one campaign, each with a different key.

    Three for each user: a send, a variant, and an open for two users in three, a click for the
    third. Campaigns have separate users or, with `users`, the users of that campaign.
    """
    rng = Random(f"crowd {campaign} {seed}")
    start = rng.getrandbits(96)
    if users is not None:
        start = Random(f"crowd {users} {seed}").getrandbits(96)
    variants = [f"{rng.getrandbits(128):032x}" for _ in range(3)]
    left, number = interactions, 0
    while left:
        some = [f"{(start + n) * _ODD & _MASK:024x}" for n in range(number, number + _USERS)]
        number += _USERS
        openers = [user for at, user in enumerate(some) if at % 3]
        for event, who in (
            ("send", some),
            ("variant", some),
            ("open", openers),
            ("click", some[::3]),
        ):
            rows = who[:left]
            left -= len(rows)
            if rows:
                yield avro_chunk(event, _columns(rng, event, rows, campaign, variants, number))


def _columns(
    rng: Random, event: str, users: list[str], campaign: str, variants: list[str], number: int
) -> dict[str, list[Any]]:
    rows = len(users)
    ids = rng.randbytes(16 * rows).hex()
    time = _START_MS + 3 * number
    columns: dict[str, list[Any]] = {
        "id": [ids[at : at + 32] for at in range(0, 32 * rows, 32)],
        "user_id": users,
        "time": list(range(time, time + 3 * rows, 3)),
        "campaign_id": [campaign] * rows,
        "message_variation_id": (variants * (rows // 3 + 1))[:rows],
    }
    if event != "variant":
        columns["channel"] = ["EMAIL"] * rows
    if event == "click":
        columns["link_alias"] = ["cta"] * rows
    return columns
