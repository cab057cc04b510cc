from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import pytest
from aiokafka.cluster import ClusterMetadata
from aiokafka.coordinator.protocol import (
    ConsumerProtocolMemberAssignment,
    ConsumerProtocolMemberMetadata,
)
from hypothesis import given
from hypothesis import strategies as st

from streams.group.assignor import ShardAssignor
from streams.group.shard_plan import Claim, Directory, plan

MEMBERS = st.dictionaries(
    st.text(alphabet="abcdef", min_size=1, max_size=3),
    st.builds(
        Claim,
        address=st.just("http://host:1"),
        generation=st.integers(-1, 5),
        shards=st.frozensets(st.integers(0, 40), max_size=12),
        control=st.booleans(),
        stored=st.frozensets(st.integers(0, 40), max_size=12),
    ),
    min_size=1,
    max_size=6,
)
PARTITIONS = st.integers(0, 32)


@given(MEMBERS, PARTITIONS)
def test_every_shard_has_one_known_owner(members: dict[str, Claim], partitions: int) -> None:
    planned = plan(members, partitions)
    assert sorted(planned.shards) == list(range(partitions))
    assert {*planned.shards.values(), planned.control} <= set(members)


@given(MEMBERS, PARTITIONS)
def test_balanced_to_within_one(members: dict[str, Claim], partitions: int) -> None:
    owners = list(plan(members, partitions).shards.values())
    counts = [owners.count(member) for member in members]
    assert max(counts) - min(counts) <= 1


@given(MEMBERS, PARTITIONS)
def test_order_of_members_does_not_matter(members: dict[str, Claim], partitions: int) -> None:
    turned = dict(reversed(members.items()))
    assert plan(turned, partitions) == plan(members, partitions)


@given(MEMBERS, PARTITIONS)
def test_a_plan_that_was_carried_out_stays(members: dict[str, Claim], partitions: int) -> None:
    planned = plan(members, partitions)
    holding = _carried_out(members, planned.shards, planned.control)
    assert plan(holding, partitions) == planned


@given(MEMBERS, PARTITIONS)
def test_a_new_member_costs_no_more_moves_than_balance_needs(
    members: dict[str, Claim], partitions: int
) -> None:
    before = plan(members, partitions)
    holding = _carried_out(members, before.shards, before.control)
    after = plan(holding | {"new": Claim("http://new:1")}, partitions)
    moved = [p for p in range(partitions) if after.shards[p] != before.shards[p]]
    assert all(after.shards[p] == "new" for p in moved)
    assert after.control == before.control


@given(MEMBERS, PARTITIONS)
def test_a_member_that_leaves_moves_only_its_own(
    members: dict[str, Claim], partitions: int
) -> None:
    before = plan(members, partitions)
    holding = _carried_out(members, before.shards, before.control)
    leaving = min(holding)
    rest = {member: claim for member, claim in holding.items() if member != leaving}
    if not rest:
        return
    after = plan(rest, partitions)
    assert all(after.shards[p] == owner for p, owner in before.shards.items() if owner != leaving)


def least_moves(held: Mapping[str, int], members: int, partitions: int) -> int:
    """So many shards must move for balance: what each member has beyond its share, where as many
    shares as possible are the larger ones of those who have more; and what nobody has.
    """
    low, extra = divmod(partitions, members)
    richer = sum(count > low for count in held.values())
    return partitions - sum(min(count, low) for count in held.values()) - min(extra, richer)


@given(st.lists(st.sampled_from("abcde"), max_size=32), st.sets(st.sampled_from("abcdef")),
       st.frozensets(st.integers(0, 31)))  # fmt: skip
def test_whoever_joins_or_leaves_no_shard_moves_without_need(
    owners: list[str], there: set[str], stored: frozenset[int]
) -> None:
    """From any holding, balanced or not, to any set of members."""
    before = dict(enumerate(owners))
    now = {*there, "a"}
    holding = {
        member: replace(claim, stored=stored)
        for member, claim in _carried_out(dict.fromkeys(now, Claim("")), before, "a").items()
    }
    after = plan(holding, len(owners)).shards
    held = Counter(owner for owner in owners if owner in now)
    moved = [p for p in before if after[p] != before[p]]
    assert len(moved) == least_moves(held, len(now), len(owners))


@given(st.integers(2, 6), st.integers(1, 40), st.integers(0, 5))
def test_a_worker_that_returns_gets_shards_that_it_has_stored(
    workers: int, partitions: int, which: int
) -> None:
    """A rolling restart without static membership: the others keep theirs, and no store is filled
    anew for the one that returns.
    """
    names = [f"w{number}" for number in range(workers)]
    first = plan({name: Claim("") for name in names}, partitions)
    full = _carried_out({name: Claim("") for name in names}, first.shards, first.control)
    away = names[which % workers]
    rest = {name: claim for name, claim in full.items() if name != away}
    meanwhile = plan(rest, partitions)
    holding = _carried_out(rest, meanwhile.shards, meanwhile.control)
    returned = Claim("", stored=full[away].shards)
    again = plan(holding | {away: returned}, partitions)
    for partition, owner in first.shards.items():
        if owner != away:
            assert again.shards[partition] == owner
    assert {p for p, owner in again.shards.items() if owner == away} <= full[away].shards


def test_the_later_claim_counts() -> None:
    members = {
        "stale": Claim("http://a:1", generation=3, shards=frozenset({0, 1}), control=True),
        "valid": Claim("http://b:1", generation=7, shards=frozenset({0}), control=True),
    }
    planned = plan(members, 2)
    assert planned.shards == {0: "valid", 1: "stale"}
    assert planned.control == "valid"


def test_control_goes_to_the_least_loaded() -> None:
    planned = plan({"a": Claim("http://a:1"), "b": Claim("http://b:1")}, 3)
    assert planned.control == "b"


def test_assignment_gives_every_topic_alike_and_tells_all_addresses() -> None:
    one = ShardAssignor("control", 3, lambda: "http://one:1")
    two = ShardAssignor("control", 3, lambda: "http://two:1")
    topics = {"control", "send", "open"}
    given_out = one.assign(
        ClusterMetadata(), {"1": one.metadata(topics), "2": two.metadata(topics)}
    )
    for member, assignor in (("1", one), ("2", two)):
        encoded = given_out[member].encode()
        assignor.on_assignment(ConsumerProtocolMemberAssignment.decode(encoded))
        assignor.joined(4)
    assert one.directory == two.directory
    assert one.directory == Directory(
        {0: "http://one:1", 1: "http://one:1", 2: "http://two:1"}, "http://two:1"
    )
    assert sorted(given_out["1"].partitions()) == [
        (topic, partition) for topic in ("open", "send") for partition in (0, 1)
    ]
    claim = Claim.decode(two.metadata(topics).user_data)
    assert claim == Claim("http://two:1", generation=4, shards=frozenset({2}), control=True)


def test_rejoin_changes_the_metadata() -> None:
    assignor = ShardAssignor("control", 3, lambda: "http://one:1")
    before = assignor.metadata({"control"}).encode()
    assert assignor.metadata({"control"}).encode() == before
    assignor.rejoin()
    assert assignor.metadata({"control"}).encode() != before


@given(MEMBERS)
def test_claims_survive_the_journey(members: dict[str, Claim]) -> None:
    for claim in members.values():
        assert Claim.decode(claim.encode()) == claim


def test_directory_survives_the_journey() -> None:
    directory = Directory({3: "http://a:1", 0: "http://b:1"}, "http://a:1")
    assert Directory.decode(directory.encode()) == directory
    assert Directory.decode(b"") == Directory()


def _carried_out(
    members: dict[str, Claim], owners: Mapping[int, str], control: str
) -> dict[str, Claim]:
    return {
        member: Claim(
            claim.address,
            9,
            frozenset(p for p, owner in owners.items() if owner == member),
            member == control,
            stored=claim.stored,
        )
        for member, claim in members.items()
    }


GOOD = Claim("http://10.0.0.1:1", 3, frozenset({0}), control=True)
STRANGE = [
    b"",
    b"\xff",
    b"no claim",
    b"[" * 100_000,
    b"[1]",
    b"{}",
    b'{"address": "a"}',
    b'{"address": 1, "generation": 1, "shards": [], "control": false, "rejoin": 0}',
    b'{"address": "a", "generation": "1", "shards": [], "control": false, "rejoin": 0}',
    b'{"address": "a", "generation": 1, "shards": [[]], "control": false, "rejoin": 0}',
    b'{"address": "a", "generation": 1, "shards": {"0": 1}, "control": false, "rejoin": 0}',
    b'{"address": "a", "generation": 1e99, "shards": [], "control": false, "rejoin": 0}',
    b'{"address": "a", "generation": 1, "shards": [], "control": 1, "rejoin": 0}',
    b'{"address": "a", "generation": 1, "shards": [], "control": true, "rejoin": 0, "stored": 1}',
]


@pytest.mark.parametrize("claim", STRANGE)
def test_a_member_whose_claim_is_none_is_given_nothing(claim: bytes) -> None:
    leader = ShardAssignor("control", 4, lambda: "http://10.0.0.1:1")

    def member(user_data: bytes) -> ConsumerProtocolMemberMetadata:
        return ConsumerProtocolMemberMetadata(0, ["control", "events"], user_data)

    given = leader.assign(
        ClusterMetadata(), {"good": member(GOOD.encode()), "strange": member(claim)}
    )
    parts = {name: dict(one.assignment) for name, one in given.items()}
    assert parts["good"] == {"events": [0, 1, 2, 3], "control": [0]}
    assert parts["strange"] == {"events": []}
    assert len(leader.assign(ClusterMetadata(), {"strange": member(claim)})) == 1


@pytest.mark.parametrize("told", [one for one in STRANGE if one])
def test_an_assignment_that_tells_no_addresses_is_taken_all_the_same(told: bytes) -> None:
    member = ShardAssignor("control", 4, lambda: "http://10.0.0.1:1")
    member.on_assignment(ConsumerProtocolMemberAssignment(0, [("events", [1, 2])], told))
    assert member.directory == Directory()
