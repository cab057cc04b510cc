"""The generated day: reproducible, exact in number, valid except for the malformed events."""

import itertools
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.tools.demo.bench_events import bench_events, bench_users
from agents.tools.demo.generator import DAY_MS, SPAN_MS, generate
from agents.tools.encoder import encoder
from agents.tools.oracle import refusal
from schemas.records import codec, registry
from schemas.records.varint import varint

START = 1_760_000_000_000
END = START + 86_400_000


def test_the_same_seed_gives_the_same_bytes() -> None:
    first, second, other = (
        [v for c in generate(seed, 3_000, START).chunks() for v in c.values] for seed in (1, 1, 2)
    )
    assert first == second
    assert first != other


@pytest.mark.parametrize("events", [0, 1, 10, 999, 65_001])
def test_a_day_has_exactly_so_many_events(events: int) -> None:
    assert sum(len(c.values) for c in generate(7, events, START).chunks()) == events


def test_columns_and_bytes_say_the_same() -> None:
    checked: Counter[str] = Counter()
    for chunk in generate(7, 4_000, START).chunks():
        assert len(chunk.keys) == len(chunk.values) == len(chunk.users)
        if chunk.rejected:
            continue
        for value, key, record in zip(chunk.values, chunk.keys, chunk.records(), strict=True):
            decoded = codec.decode(value, chunk.event)
            assert key.decode() == decoded["user_id"]
            defaults = {n: v for n, v in decoded.items() if n not in record}
            assert decoded == defaults | record
            assert refusal(decoded, END) is None
            if value[:1] == b"\x00":
                assert value == codec.encode(chunk.event, record)
            checked[chunk.event] += 1
    assert set(checked) == {"send", "open", "click", "variant", "conversion", "signal"}


def test_malformed_events_are_refused_for_the_reason_given() -> None:
    day = generate(7, 4_000, START)
    bad = [c for c in day.chunks() if c.rejected]
    assert sum(len(c.values) for c in bad) == day.rejected > 0
    for chunk in bad:
        try:
            code = refusal(codec.decode(chunk.values[0], chunk.event), END)
        except codec.Undecodable as error:
            code = error.code
        assert code == chunk.rejected


def test_the_day_has_what_it_is_made_to_show() -> None:
    day = generate(7, 40_000, START)
    roles = day.catalog.roles
    seen: Counter[str] = Counter()
    ids: Counter[str] = Counter()
    for chunk in day.chunks():
        seen[chunk.partitioner] += len(chunk.values)
        seen["json"] += sum(v[:1] == b"{" for v in chunk.values)
        for record in chunk.records():
            ids[record["id"]] += 1
            seen["late"] += record["time"] < START
            for flag in ("machine_open", "is_suspected_bot_click", "in_control_group", "exited"):
                seen[flag] += bool(record.get(flag))
            source = record.get("campaign_id") or record.get("canvas_id")
            if source:
                seen[source] += 1
    assert seen["crc32"] > 1_000
    assert seen["json"] > 100
    assert seen["late"] > 100
    assert min(seen[f] for f in ("machine_open", "in_control_group", "exited")) > 100
    assert seen["is_suspected_bot_click"] > 50
    assert max(ids.values()) > 1
    assert all(seen[source.id] > 100 for source in day.catalog.sources)
    assert set(roles.expiring) == set(roles.stopped) - {roles.kept_hot, roles.held}
    assert roles.tag_only in roles.expiring
    assert set(roles.restored) < set(roles.expiring)


def test_no_event_of_a_day_is_later_than_the_span_of_the_day() -> None:
    """The demo plays a day that is over: a last event of tomorrow would look wrong."""
    times = [
        time
        for chunk in generate(7, 40_000, START).chunks()
        if not chunk.rejected
        for time in chunk.columns["time"]
    ]
    assert START + DAY_MS < max(times) < START + SPAN_MS


def test_definitions_and_users_fit_their_schemas() -> None:
    day = generate(7, 1_000, START)
    assert len(day.catalog.sources) == 30
    for definition in (*day.catalog.opening, *day.catalog.stops):
        text = dict(definition) | {"filters": None if definition["filters"] is None else "{}"}
        assert codec.decode(codec.encode("definition", text))["key"] == definition["key"]
    assert [codec.encode("user", user) for user in day.users()]


@given(
    st.lists(
        st.tuples(
            st.text(max_size=200),
            st.integers(-(2**62), 2**62),
            st.one_of(st.none(), st.text()),
            st.sampled_from(registry.raw("send")["fields"][-1]["type"]["symbols"]),
        ),
        min_size=1,
    )
)
@settings(max_examples=50)
def test_column_encoder_equals_the_codec(rows: list[tuple[str, int, str | None, str]]) -> None:
    names = ("user_id", "time", "campaign_id", "channel")
    columns: dict[str, list[Any]] = {n: [row[i] for row in rows] for i, n in enumerate(names)}
    values = encoder("send").encode({**columns, "id": ["x"] * len(rows)})
    expected = [
        codec.encode("send", dict(zip(names, row, strict=True)) | {"id": "x"}) for row in rows
    ]
    assert values == expected


@given(st.lists(st.integers(1 << 27, (1 << 41) - 1), min_size=1))
def test_times_by_look_up_are_zigzag_numbers(times: list[int]) -> None:
    blank = [""] * len(times)
    columns: dict[str, list[Any]] = {"id": blank, "user_id": blank, "time": times}
    for value, time in zip(encoder("signal").encode(columns), times, strict=True):
        assert value[8 : 8 + len(varint(time))] == varint(time)


@pytest.mark.parametrize("distribution", ["exponential", "zipf"])
def test_bench_events_have_the_mix_of_the_benchmarks(distribution: str) -> None:
    chunks = list(bench_events(40_000, 40, distribution, 3))  # type: ignore[arg-type]
    share = Counter(itertools.chain.from_iterable([c.event] * len(c.values) for c in chunks))
    assert share.total() == 40_000
    assert share["send"] == pytest.approx(20_000, rel=0.05)
    assert share["variant"] == pytest.approx(6_000, rel=0.05)
    users = set(bench_users(40_000, 3))
    assert len(users) == 5_000
    assert all(set(c.users) <= users for c in chunks)
    assert len({r["campaign_id"] for c in chunks for r in c.records()}) == 40
    assert [c.values for c in bench_events(40_000, 40, distribution, 3)] == [  # type: ignore[arg-type]
        c.values for c in chunks
    ]
