import io
from dataclasses import replace
from random import Random
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from schemas.errors import CorruptSegment
from schemas.segment import codec
from schemas.segment.codec import TIMELESS, checksum, decode, decode_together, decode_user, encode
from schemas.segment.cut import cut, cut_encoded
from schemas.segment.index import SegmentIndex, build, verified
from schemas.segment.order import in_order
from schemas.segment.set_checksum import EMPTY_CHECKSUM, combine, set_checksum
from schemas.tables.interaction import COLUMNS, SCHEMA, empty
from schemas.tables.view import FEW
from tests.rigs.interaction_rows import far, few, frame_of, frames, hex_user, text
from tests.rigs.rows import random_rows

ORDER = ["source", "user"]


def sized(sizes: list[int]) -> pl.DataFrame:
    """One source for each size, with this many users."""
    return frame_of(
        [
            (f"campaign:{s:03}", f"{user:024x}", "received", "EMAIL", None, None, None, user, user)
            for s, size in enumerate(sizes)
            for user in range(size)
        ]
    )


@given(frames(user=hex_user) | frames(user=few | hex_user | text, time=far, part=st.none() | text))
@settings(deadline=None)
def test_round_trip(frame: pl.DataFrame) -> None:
    found = decode(encode(frame))

    assert found.schema == SCHEMA
    assert_frame_equal(found.select(ORDER), frame.select(ORDER).sort(ORDER))
    assert_frame_equal(found, frame, check_row_order=False)


@pytest.mark.parametrize("user", ["0" * 24, "A" * 24, "g" * 24, "0" * 23, "", "é" * 12])
def test_users_that_are_and_are_not_hex(user: str) -> None:
    row = ("canvas:1", user, "control", None, "s", "v", "d", 5, 3)
    frame = frame_of([row, ("canvas:1", "f" * 24, *row[2:])])

    data = encode(frame)

    assert_frame_equal(decode(data), frame, check_row_order=False)
    packed = "user_hex" in pl.read_parquet(io.BytesIO(data)).columns
    assert packed == (user == "0" * 24)


def test_only_some_sources() -> None:
    data = encode(sized([3, 4, 5]))

    found = decode(data, sources=["campaign:001", "campaign:007"])

    assert found.height == 4
    assert found["source"].unique().to_list() == ["campaign:001"]
    assert decode(data, sources=[]).equals(empty())


CONDITIONS = (
    pl.col("kind") == "clicked",
    pl.col("channel") == "EMAIL",
    (pl.col("step") == "s") | (pl.col("last") > 3),
    pl.col("user") < "8",
    pl.lit(True),
)


@given(
    frames(user=hex_user) | frames(user=few | text, time=far, part=st.none() | text),
    st.sampled_from(CONDITIONS),
    st.lists(st.sampled_from(COLUMNS), min_size=1, unique=True),
)
@settings(deadline=None)
def test_only_some_columns_and_rows(frame: pl.DataFrame, where: pl.Expr, names: list[str]) -> None:
    data = encode(frame)
    whole = decode(data)

    assert_frame_equal(decode(data, columns=names), whole.select(names))
    found = decode(data, columns=names, where=where)
    assert_frame_equal(found, whole.filter(where).select(names))
    sources = whole["source"].unique().to_list()[:1]
    found = decode(data, sources, names, where)
    assert_frame_equal(found, whole.filter(pl.col("source").is_in(sources), where).select(names))
    kept = decode(data, sources, names, where, packed=True)
    if kept.schema.get("user") == pl.Binary():
        kept = kept.with_columns(pl.col("user").bin.encode("hex"))
    assert_frame_equal(kept, found)


@given(
    st.lists(frames(user=hex_user) | frames(user=few | text, time=far), max_size=4),
    st.lists(st.sampled_from(sorted(TIMELESS)), min_size=1, unique=True),
)
@settings(deadline=None)
def test_several_together_are_the_rows_of_each(
    several: list[pl.DataFrame], names: list[str]
) -> None:
    parts = [encode(frame) for frame in several]
    sources = {source for frame in several for source in frame["source"]}

    for source in (*sorted(sources)[:2], "campaign:none"):
        found = decode_together(parts, source, names)

        each = [decode(data, [source], names) for data in parts]
        expected = pl.concat([empty().select(names), *each])
        assert_frame_equal(found, expected, check_row_order=False)


@given(st.lists(frames(user=hex_user) | frames(user=few | hex_user | text, time=far), max_size=4))
@settings(deadline=None)
def test_one_user_in_several_is_what_each_has_of_them(several: list[pl.DataFrame]) -> None:
    parts = [encode(frame) for frame in several]
    users = sorted({user for frame in several for user in frame["user"]})

    for user in (*users[:2], "nobody", "0" * 24, "A" * 24):
        found = decode_user(parts, [frame.height for frame in several], user)

        expected = pl.concat([empty(), *several]).filter(pl.col("user") == user)
        assert_frame_equal(found, expected, check_row_order=False)


def test_of_many_segments_those_without_the_user_are_not_decoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    frames_ = [sized([5]) for _ in range(300)]
    mine = sized([5]).with_columns(user=pl.lit("the one"))
    parts = [encode(frame) for frame in [*frames_, mine, *frames_]]
    counts = [5] * len(parts)
    decoded: list[bytes] = []
    stored = codec._stored

    def noted(each: list[bytes], *more: Any) -> pl.LazyFrame:
        decoded.extend(each)
        return stored(each, *more)

    monkeypatch.setattr(codec, "_stored", noted)
    assert decode_user(parts, counts, "the one").height == 5
    assert decoded == [parts[300]]
    with pytest.raises(CorruptSegment, match="3000 rows, and not 3001"):
        decode_user(parts, [6, *counts[1:]], f"{1:024x}")


def test_times_are_not_read_together_and_one_damaged_part_is_noticed() -> None:
    data = encode(sized([3]))

    with pytest.raises(ValueError, match="first"):
        decode_together([data], "campaign:000", ["user", "first"])
    with pytest.raises(CorruptSegment, match="one of 2 segments"):
        decode_together([data, data[:-9]], "campaign:000", ["user"])


def test_small_and_large_files_are_compact() -> None:
    assert len(encode(empty())) < 800
    frame = sized([20_000])
    assert len(encode(frame)) < 20_000 * 10


def test_truncated_bytes_are_noticed() -> None:
    data = encode(sized([50, 3]))

    for size in [*range(0, len(data), 37), len(data) - 1]:
        with pytest.raises(CorruptSegment):
            decode(data[:size])


@given(st.binary(max_size=200))
@settings(deadline=None, max_examples=30)
def test_other_bytes_are_noticed(data: bytes) -> None:
    with pytest.raises(CorruptSegment):
        decode(data)


def test_other_parquet_files_are_noticed() -> None:
    buffer = io.BytesIO()
    sized([1]).write_parquet(buffer)
    with pytest.raises(CorruptSegment, match="format None"):
        decode(buffer.getvalue())

    for frame in (pl.DataFrame({"a": [1]}), pl.DataFrame({"source": [1]})):
        buffer = io.BytesIO()
        frame.write_parquet(buffer, metadata={"emberline": "1", "base": "0"})
        with pytest.raises(CorruptSegment):
            decode(buffer.getvalue())


@given(st.lists(st.integers(1, 30), max_size=12), st.integers(1, 20), st.integers(1, 25))
@settings(deadline=None)
def test_cuts(sizes: list[int], rows: int, own_rows: int) -> None:
    frame = sized(sizes)

    pieces = cut(frame.sample(fraction=1, shuffle=True, seed=1), rows, own_rows)

    assert_frame_equal(pl.concat([empty(), *pieces]), frame)
    large = {f"campaign:{s:03}" for s, size in enumerate(sizes) if size >= own_rows}
    for piece in pieces:
        sources = set(piece["source"])
        assert 1 <= piece.height <= rows
        assert len(sources) == 1 or not sources & large
    small = sum(size for size in sizes if size < own_rows)
    most = sum(-(-size // rows) for size in sizes if size >= own_rows) + len(large) + 1
    assert len(pieces) <= most + small // max(1, rows // 2) + len(large)


def test_pieces_of_too_many_bytes_are_halved() -> None:
    frame = sized([1000, 20])

    pieces = cut_encoded(frame, rows=10_000, bytes_=3000, own_rows=500)

    assert_frame_equal(pl.concat([piece for piece, _ in pieces]), frame)
    assert all(len(data) <= 3000 for _, data in pieces)
    assert all(decode(data).equals(piece) for piece, data in pieces)
    assert len(cut_encoded(frame[:3], bytes_=1)) == 3


def test_index_says_what_lies_where() -> None:
    [(piece, data)] = cut_encoded(sized([3, 2]))

    index = build("s1", 2, piece, data)

    assert SegmentIndex.from_json(index.to_json()) == index
    assert (index.id, index.level, index.rows, index.bytes) == ("s1", 2, 5, len(data))
    assert index.low == ("campaign:000", f"{0:024x}")
    assert index.high == ("campaign:001", f"{1:024x}")
    assert index.sources == {"campaign:000": 3, "campaign:001": 2}
    assert index.checksum == checksum(data)
    assert index.checksum != checksum(data + b"\0")


pairs = st.lists(st.tuples(few, few), max_size=8)


@given(pairs, pairs, st.randoms())
def test_checksums_of_sets(one: list[tuple[str, str]], other: list[tuple[str, str]], r) -> None:  # type: ignore[no-untyped-def]
    both = one + other
    shuffled = r.sample(both, len(both))

    parts = [set_checksum(one), set_checksum(other)]

    assert combine(parts) == set_checksum(shuffled)
    assert (set_checksum(one) == set_checksum(other)) == (sorted(one) == sorted(other))
    assert set_checksum([]) == combine([]) == "0" * 32 == EMPTY_CHECKSUM


@pytest.mark.parametrize("shared", ["", "0123456789abcdef01", "0123456789abcdef0123"])
@pytest.mark.parametrize("sources", [1, 3, 2_000])
def test_the_order_of_many_rows_is_that_of_their_texts(shared: str, sources: int) -> None:
    chance = Random(sources)
    users = [f"{chance.getrandbits(96):024x}"[len(shared) :] for _ in range(500)]
    rest = ("received", None, None, None, None)
    frame = frame_of(
        [
            (f"canvas:{chance.randrange(sources)}", shared + chance.choice(users), *rest, at, at)
            for at in range(FEW + 7)
        ]
    )

    found = in_order(frame)

    assert found.select(ORDER).equals(frame.select(ORDER).sort(ORDER))
    assert_frame_equal(found, frame, check_row_order=False)


@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=60),
    st.booleans(),
    st.tuples(st.integers(0, 40), st.integers(0, 40)),
    st.sampled_from(["{:024x}", "u-{}", "{:024x}!"]),
)
@settings(deadline=None)
def test_a_range_of_users(
    numbers: list[int], hexed: bool, bounds: tuple[int, int], form: str
) -> None:
    users = [(f"{n:024x}" if hexed else f"u-{n}") for n in numbers]
    frame = pl.concat([sized([1])] * len(users)).with_columns(user=pl.Series(users))
    data = encode(frame)
    low, high = (form.format(n) for n in bounds)

    for wanted in ((low, high), (None, high), (low, None), (None, None)):
        found = decode(data, users=wanted)
        inside = [
            user
            for user in sorted(users)
            if (wanted[0] is None or user >= wanted[0]) and (wanted[1] is None or user < wanted[1])
        ]
        assert found["user"].to_list() == inside
        counted = decode(data, None, ("kind",), users=wanted)
        assert counted.columns == ["kind"]
        assert counted.height == len(inside)


def test_bytes_that_are_not_those_of_the_index_are_never_decoded() -> None:
    frame = in_order(random_rows(5, 40))
    data = encode(frame, presorted=True)
    index = build("one", 0, frame, data)
    read = replace(index, id="read")  # this process has not made it
    for at in range(0, len(data), 7):
        damaged = data[:at] + bytes([data[at] ^ 0x20]) + data[at + 1 :]
        for found in (index, read):
            with pytest.raises(CorruptSegment, match=f"segment {found.id} of"):
                verified(found, damaged)
    assert verified(index, data) is data
    assert verified(read, data) is data
    with pytest.raises(CorruptSegment, match="segment read of"):
        verified(read, bytes([data[0] ^ 1]) + data[1:])
    assert verified(index, bytes(bytearray(data))) == data
    with pytest.raises(CorruptSegment):
        verified(index, data[:-1])
