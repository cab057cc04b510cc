"""Walking filters: leaves, polarity, uses, bounds."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.filters.references import (
    EXEMPTIONS_SHOWN,
    MAX_DEPTH,
    MAX_NODES,
    SOURCE_FILTERS,
    TAG_FILTERS,
    UnreadableFilter,
    Use,
    exemptions,
    leaves,
    parse,
    qualify,
    uses,
)
from schemas.records.lifecycle import Definition, Status, is_source, kind_of


def used(tree: object) -> tuple[Use, ...]:
    return uses(Definition("canvas:x", Status.ACTIVE, filters=json.dumps(tree)))


def test_fourteen_specific_filters_and_three_with_tags() -> None:
    assert len(SOURCE_FILTERS) == 14
    assert len(TAG_FILTERS) == 3


@pytest.mark.parametrize("name", sorted(SOURCE_FILTERS))
def test_each_specific_filter_uses_its_source_by_bare_id_or_full_key(name: str) -> None:
    kind = SOURCE_FILTERS[name]
    for written in ("7", f"{kind}:7"):
        assert used({"filter": name, kind: written}) == (Use(f"{kind}:7", name),)
        assert used({"not": {"filter": name, kind: written, "has": False}})


@pytest.mark.parametrize("name", sorted(TAG_FILTERS | {"never_received", "hard_bounced"}))
def test_other_filters_use_no_source(name: str) -> None:
    assert used({"filter": name, "campaign": "7", "tag": "x"}) == ()


def test_segment_and_references_each_once() -> None:
    leaf = {"filter": "in_segment", "segment": "s"}
    definition = Definition(
        "canvas:x",
        Status.ACTIVE,
        filters=json.dumps({"and": [leaf, {"or": [leaf]}]}),
        references=("campaign:1", "campaign:1"),
    )
    assert uses(definition) == (
        Use("campaign:1", "references"),
        Use("segment:s", "in_segment"),
    )


def test_polarity_counts_every_negation_on_the_path() -> None:
    tree = {
        "and": [
            {"filter": "a"},
            {"not": {"or": [{"filter": "b"}, {"filter": "c", "has": False}]}},
            {"filter": "d", "has": False},
        ]
    }
    found = [(leaf.path, leaf.name, leaf.negative) for leaf in leaves(tree)]
    assert found == [
        ("$.and[0]", "a", False),
        ("$.and[1].not.or[0]", "b", True),
        ("$.and[1].not.or[1]", "c", False),
        ("$.and[2]", "d", True),
    ]


@pytest.mark.parametrize("value", [None, 3, ["7"], "", "canvas:7", "campaign:"])
def test_a_filter_that_names_no_source_cannot_be_read(value: object) -> None:
    with pytest.raises(UnreadableFilter, match=r"received_from_campaign .* no campaign"):
        used({"filter": "received_from_campaign", "campaign": value})


@pytest.mark.parametrize("text", [None, "", "  ", "null", "{}"])
def test_no_filter(text: str | None) -> None:
    assert list(leaves(parse(text))) == []


def test_depth_and_size_are_bounded_and_named() -> None:
    deep: object = {"filter": "a"}
    for _ in range(MAX_DEPTH - 1):
        deep = {"not": deep}
    assert len(list(leaves(deep))) == 1
    with pytest.raises(UnreadableFilter, match=r"\$\.not\.not.*deeper than 32"):
        list(leaves({"not": deep}))
    wide = {"or": [{"filter": "a"}] * (MAX_NODES - 1)}
    assert len(list(leaves(wide))) == MAX_NODES - 1
    with pytest.raises(UnreadableFilter, match="more than 1000 nodes"):
        list(leaves({"or": [*wide["or"], {"filter": "a"}]}))
    with pytest.raises(UnreadableFilter, match=r"\$\.and\[1\]: a filter is an object"):
        list(leaves({"and": [{"filter": "a"}, 3]}))


def test_deep_json_text_is_refused_not_a_crash() -> None:
    with pytest.raises(UnreadableFilter):
        list(leaves(parse('{"not":' * 100_000 + "{}" + "}" * 100_000)))


def test_nearest_user_first_and_their_number_bounded() -> None:
    catalog = {f"canvas:{n:02}": Definition(f"canvas:{n:02}", Status.ACTIVE) for n in range(20)}
    direct = {key: (Use("campaign:a", "references"),) for key in catalog}
    direct["canvas:00"] = (Use("segment:s", "in_segment"),)
    direct["segment:s"] = (Use("campaign:a", "received_from_campaign"),)
    found = exemptions(catalog, direct, segments_are_roots=False)["campaign:a"]
    assert len(found) == EXEMPTIONS_SHOWN
    assert [one.root for one in found[:2]] == ["canvas:01", "canvas:02"]


keys = st.sampled_from(
    [f"{kind}:{name}" for kind in ("campaign", "canvas", "segment") for name in "abc"]
)
graphs = st.dictionaries(
    keys, st.tuples(st.sampled_from(Status), st.lists(keys, max_size=4)), max_size=9
)


@given(graphs, st.booleans())
def test_exempt_is_what_a_root_reaches_through_segments(
    graph: dict[str, tuple[Status, list[str]]], segments_are_roots: bool
) -> None:
    catalog = {key: Definition(key, status) for key, (status, _) in graph.items()}
    direct = {
        key: tuple(Use(target, "f") for target in sorted(set(targets)))
        for key, (_, targets) in graph.items()
    }
    shortest: dict[str, dict[str, int]] = {}
    for root, (status, _) in graph.items():
        if status is Status.ACTIVE and (segments_are_roots or kind_of(root) != "segment"):
            level, seen, depth = {root}, {root}, 0
            while level:
                targets = {target for key in level for target in graph.get(key, (0, []))[1]}
                for source in filter(is_source, targets - {root}):
                    shortest.setdefault(source, {}).setdefault(root, depth)
                level = {key for key in targets if kind_of(key) == "segment"} - seen
                seen |= level
                depth += 1
    found = exemptions(catalog, direct, segments_are_roots=segments_are_roots)
    assert {
        source: {use.root: len(use.through) for use in used_by} for source, used_by in found.items()
    } == shortest


def test_qualify_keeps_ids_with_colons() -> None:
    assert qualify("campaign", "a:b") == "campaign:a:b"
    assert qualify("canvas", "canvas:a:b") == "canvas:a:b"
