"""Users taken in record by record: each has its row, its way to its shard, or its reject."""

import json
from typing import Any

import polars as pl
import pytest

from schemas import codec
from schemas.decode_check import DEFAULT_LIMITS
from schemas.placement import partition_of
from schemas.users import take_users
from tests.schemas.record_batches import INPUTS, Produced, batch

TOPIC = "t.users"


def said(user: str, **fields: Any) -> bytes:
    return codec.encode("user", {"user_id": user, **fields})


@pytest.mark.parametrize(
    ("record", "code"),
    [
        (Produced(said("u" * 513)), "too_long"),
        (Produced(said("u", external_user_id="x" * 513)), "too_long"),
        (Produced(said("u", aliases=["é" * 257])), "too_long"),
        (Produced(said("u", aliases=[f"{n:0500}" for n in range(1_900)])), "too_large"),
        (Produced(None, key=None), "missing_field"),
        (Produced(None, key=b""), "missing_field"),
        (Produced(None, key=b"\xff"), "undecodable"),
        (Produced(None, key=b"k" * 513), "too_long"),
        (Produced(b"{"), "bad_json"),
        (Produced(b'{"user_id": 1}'), "bad_json"),
        (Produced(b"{}"), "missing_field"),
        (Produced(b""), "undecodable"),
    ],
)
def test_each_bad_record_is_rejected_with_its_reason_and_harms_no_other(
    record: Produced, code: str
) -> None:
    good = Produced(json.dumps({"user_id": "good"}).encode())
    taken = take_users([batch([good, record, good], topic=TOPIC)], 0, 1, 5, INPUTS)
    (reject,) = taken.rejects
    assert (reject.code, reject.offset) == (code, 1)
    assert len(reject.key or b"") + len(reject.value or b"") <= DEFAULT_LIMITS.max_record_bytes
    assert taken.rows.select("user", "sequence").rows() == [("good", 5), ("good", 6)]


def test_users_of_other_shards_are_forwarded_as_they_are() -> None:
    users = [f"u{n}" for n in range(20)]
    records = [
        Produced(None if n % 3 else said(user), user.encode()) for n, user in enumerate(users)
    ]
    taken = take_users([batch(records, topic=TOPIC)], 1, 4, 0, INPUTS)
    targets = partition_of(pl.Series(users), 4).to_list()
    assert taken.rows["user"].to_list() == [
        u for u, t in zip(users, targets, strict=True) if t == 1
    ]
    for forward in taken.forwards:
        assert forward.topic == TOPIC
        assert [(one.key, one.value) for one in forward.records] == [
            (record.key, record.value)
            for record, target in zip(records, targets, strict=True)
            if target == forward.partition
        ]
    assert sum(len(forward.records) for forward in taken.forwards) == len(users) - taken.rows.height
