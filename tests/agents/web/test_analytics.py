"""Analytics and explanations over HTTP, from shards of two workers."""

import json
from typing import Any

import pytest

from agents.cli.status import unreadable_lines
from agents.coordinator.rules.quarantine import UNREADABLE
from agents.scatter import retry
from agents.shard.analytics import Figures
from agents.web.routes.explain import _MOST
from schemas.records import codec
from schemas.records.lifecycle import Exemption, SourceState, State
from streams.settings import Settings
from tests.rigs.site import DAY, SORT, A, Site, alone, define, serving

__all__ = ["alone"]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "RETRY_S", 0.0)
    monkeypatch.setattr(retry, "PAUSE_S", 0.01)


def two(settings: Settings, record: SourceState) -> tuple[Site, Site]:
    sites = Site(settings, {0, 2}, record), Site(settings, {1, 3}, record)
    for site in sites:
        for shard in site.shards.values():
            n = shard.partition
            shard.figures = Figures([[DAY + n % 2, *SORT, None, n + 1]], [[*SORT, n]])
    return sites


@pytest.mark.parametrize("state", [State.ACTIVE, State.EXPIRING, State.EXPIRED, State.RESTORING])
async def test_figures_of_all_shards_add_up_whatever_the_state(
    alone: Settings, state: State
) -> None:
    first, second = two(alone, SourceState(A, state, 1))
    async with serving(first, second) as session:
        bodies = []
        for site in (first, second):
            async with session.get(site.path("/analytics")) as answer:
                assert answer.status == 200
                bodies.append(await answer.read())
    assert bodies[0] == bodies[1]
    named = {"kind": "received", "channel": "EMAIL", "step": None, "variation": "v1"}
    assert json.loads(bodies[0]) == {
        "source": A,
        "name": "",
        "totals": [
            {"day": "2025-10-09", **named, "detail": None, "count": 4},
            {"day": "2025-10-10", **named, "detail": None, "count": 6},
        ],
        "unique_users": [{**named, "users": 6}],
    }


async def test_without_all_shards_or_in_another_generation_there_are_no_figures(
    alone: Settings,
) -> None:
    first, second = two(alone, SourceState(A, State.ACTIVE, 1))
    async with serving(first, second) as session:
        async with session.get(first.path("/analytics").replace(A, "campaign:nobody")) as answer:
            assert answer.status == 404
        second.shards[3].ready = False
        async with session.get(first.path("/analytics")) as answer:
            assert answer.status == 503
            assert "shards/3" in (await answer.json(content_type=None))["detail"]
        second.shards[3].ready = True
        second.manager.generation += 1
        async with session.get(first.path("/analytics")) as answer:
            assert answer.status == 503


async def test_an_unreadable_canvas_is_explained(alone: Settings) -> None:
    canvas = SourceState("canvas:x", State.ACTIVE, 1, status="ACTIVE")
    kept = SourceState(A, State.EXEMPT, 1, exempt_by=(Exemption("canvas:x", (), UNREADABLE),))
    site = Site(alone, {0, 1, 2, 3}, canvas, kept)
    define(site, A, status="STOPPED")
    define(site, "canvas:x", filters="not json, a")
    aside = {"detail": "$: not JSON", "words": ["a"]}
    site.context.catalog.apply(b"a/canvas:x", json.dumps(aside).encode())
    async with serving(site) as session:
        async with session.get(site.path("/explain").replace(A, "canvas:x")) as answer:
            assert answer.status == 200
            assert (await answer.json())["unreadable"] == "$: not JSON"
        async with session.get(site.path("/explain")) as answer:
            facts = await answer.json()
            assert "canvas:x (its definition cannot be read)" in facts["summary"]
            (reason,) = facts["reasons"]
            assert [link["definition"] for link in reason["links"]] == ["canvas:x"]
        async with session.get(f"{site.context.address}/status") as answer:
            found = (await answer.json())["unreadable"]
    assert found == {"count": 1, "first": {"canvas:x": "$: not JSON"}}
    (line,) = unreadable_lines({"unreadable": found})
    assert line == ("1 definition cannot be read, what it names stays hot: canvas:x ($: not JSON)")


async def test_explanations(alone: Settings) -> None:
    used = (Exemption("canvas:c", ("segment:s",), "received_from_campaign"),)
    site = Site(
        alone, {0, 1, 2, 3}, SourceState(A, State.EXEMPT, 1, status="STOPPED", exempt_by=used)
    )
    define(site, A, status="STOPPED")
    filters = json.dumps({"filter": "received_from_campaign", "campaign": "a"})
    define(site, "segment:s", status="STOPPED", filters=filters)
    define(site, "canvas:c", filters=json.dumps({"filter": "in_segment", "segment": "s"}))
    assert not site.context.catalog.quarantined
    async with serving(site) as session:

        async def ask(query: str = "") -> tuple[int, Any]:
            async with session.get(site.path(f"/explain{query}")) as answer:
                return answer.status, await answer.json(content_type=None)

        status, found = await ask()
        assert status == 200
        assert found["summary"].startswith(
            "hot because segment:s <- canvas:c (active); if canvas:c stopped today it would expire"
        )
        assert found["as_if"] is None
        status, found = await ask("?as_if_stopped=canvas:c&as_if_without=segment:s")
        assert (status, found["as_if"]["state"]) == (200, "STOPPED")
        assert (await ask("?as_if_stopped=canvas:x"))[0] == 400
        assert (await ask(f"?{'&as_if_stopped=canvas:c' * (_MOST + 1)}"))[0] == 400
        site.context.catalog.caught_up.clear()
        assert (await ask())[0] == 503


def test_a_definition_of_these_tests_can_be_read() -> None:
    assert codec.decode(b'{"key": "canvas:c", "kind": "canvas", "status": "ACTIVE"}', "definition")
