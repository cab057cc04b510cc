"""One client asks one shard, here or on another worker; one gatherer asks all shards."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from aiohttp import web

from agents import scatter
from agents.audience.live_plan_facts import LivePlanFacts
from agents.filters.parsing import parse
from agents.filters.plan_nodes import FilterPlan
from agents.filters.planning import plan
from agents.scatter import retry
from agents.scatter.audience_query import AudienceQuery
from agents.scatter.client import ask
from agents.scatter.errors import Unavailable
from agents.scatter.figures import FiguresQuery, figures
from agents.scatter.gatherer import gather
from agents.scatter.query import FRAMES, GENERATION, HELD_BACK, JSON, LAG, ShardQuery, ShardStream
from agents.scatter.rows import RowsQuery
from agents.scatter.sizes import SizesQuery, sizes
from agents.scatter.user_queries import ArchivedUserQuery, FindQuery, IdentifyQuery, UsersQuery
from agents.scatter.wire import END, Truncated, pack
from agents.shard.analytics import Figures
from agents.supervision.shard_manager import NotHeld
from schemas.records.lifecycle import SourceState, State
from schemas.tables.roster import Alias
from streams.group.shard_plan import Directory
from streams.settings import Settings, load
from tests.rigs.dummies import DummyShard
from tests.rigs.site import SHARDS, A, Site, serving

DEADLINE_S = 10.0


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "PAUSE_S", 0.01)
    monkeypatch.setattr(retry, "RETRY_S", 0.1)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load({"partitions": SHARDS, "data_dir": tmp_path}, env={}, file=tmp_path / "none")


def two(settings: Settings) -> tuple[Site, Site]:
    record = SourceState(A, State.ACTIVE, 1)
    sites = Site(settings, {0, 2}, record), Site(settings, {1, 3}, record)
    for site in sites:
        for shard in site.shards.values():
            shard.figures = Figures([[1, "received", None, None, None, None, 2]],
                                    [["received", None, None, None, 1]])  # fmt: skip
    return sites


def question(site: Site) -> FilterPlan:
    node = parse({"filter": "received_from_campaign", "campaign": "a"})
    found = plan(node, LivePlanFacts(site.context.states, site.context.catalog), now_ms=1)
    assert isinstance(found, FilterPlan)
    return found


def queries(site: Site) -> list[ShardQuery[Any]]:
    return [
        RowsQuery(A, 1),
        AudienceQuery.of(question(site)),
        UsersQuery(["u0-0", "ü"]),
        ArchivedUserQuery("u0-0"),
        FindQuery(["x"], [Alias("name", "label")]),
        IdentifyQuery(pl.Series("user", ["u0-0"])),
        FiguresQuery(A),
        SizesQuery([A, "campaign:none"]),
    ]


async def plain(found: Any) -> Any:
    """An answer, as it can be compared: a stream is read to its end and closed."""
    if isinstance(found, ShardStream):
        items = [item.to_list() if isinstance(item, pl.Series) else item.rows()
                 async for item in found.items]  # fmt: skip
        await found.aclose()
        return found.lag, found.held_back, items
    if isinstance(found, pl.DataFrame):
        return found.schema, found.rows()
    return repr(found)


async def test_a_shard_answers_the_same_here_and_to_another_worker(settings: Settings) -> None:
    first, second = two(settings)
    first.shards[0].lag = {"events": 3}
    async with serving(first, second):
        for query in queries(first):
            here = await plain(await ask(first.context, 0, query))
            assert here == await plain(await ask(second.context, 0, query)), query.name
    assert first.shards[0].opened == first.shards[0].closed == 4


@asynccontextmanager
async def peer(
    site: Site, answer: Callable[[web.Request], web.StreamResponse]
) -> AsyncIterator[None]:
    """Shard 1 is, by the directory, at a worker that answers as a test wants."""

    async def handle(request: web.Request) -> web.StreamResponse:
        await request.read()
        return answer(request)

    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        site.manager.directory = Directory(dict.fromkeys(range(SHARDS), url), url)
        async with asyncio.timeout(DEADLINE_S):
            yield
    finally:
        await site.context.peers.close()
        await runner.cleanup()


NONSENSE = [
    b"nonsense",
    b"[]",
    b'{"matches": [[1]]}',
    b'{"totals": [["x"]], "uniques": []}',
    json.dumps({A: {"rows": "many"}}).encode(),
    pack(pl.DataFrame({"other": [1]})) + END,
    pack(pl.DataFrame({"user": ["u"]}))[:-1],
]


@pytest.mark.parametrize("body", NONSENSE)
async def test_what_is_no_answer_is_truncated(settings: Settings, body: bytes) -> None:
    site = Site(settings, {0}, SourceState(A, State.ACTIVE, 1))
    headers = {GENERATION: "3", LAG: "0", HELD_BACK: "0"}
    kind = JSON if body[:1] in b"[{" else FRAMES
    async with peer(site, lambda _: web.Response(body=body, headers=headers, content_type=kind)):
        for query in queries(site):
            if isinstance(query, RowsQuery) and body == NONSENSE[5]:
                continue  # its frames are taken as they are
            with pytest.raises(Truncated):
                await plain(await ask(site.context, 1, query))
        assert (await sizes(site.context, [A])).missing == (1, 2, 3)
        with pytest.raises(Unavailable, match="The figures of campaign:a cannot be read now"):
            await figures(site.context, A)


@pytest.mark.parametrize(("status", "generation"), [(503, "3"), (200, "4"), (200, "")])
async def test_an_answer_of_another_generation_or_status_is_none(
    settings: Settings, status: int, generation: str
) -> None:
    site = Site(settings, {0}, SourceState(A, State.ACTIVE, 1))
    async with peer(site, lambda _: web.Response(status=status, headers={GENERATION: generation})):
        for query in queries(site):
            with pytest.raises(NotHeld):
                await ask(site.context, 1, query)


async def test_an_answer_given_while_the_generation_changed_is_none(settings: Settings) -> None:
    site = Site(settings, set(range(SHARDS)), SourceState(A, State.ACTIVE, 1))

    class Overtaken(SizesQuery):
        async def here(self, context: Any, shard: Any) -> Any:
            site.manager.generation += 1
            return await super().here(context, shard)

    with pytest.raises(NotHeld, match="a new generation"):
        await ask(site.context, 0, Overtaken([A]))
    with pytest.raises(Unavailable, match=r"Sizes cannot be read now: .*generation"):
        await gather(site.context, [(0, Overtaken([A]))], "Sizes cannot be read now")


async def test_figures_are_asked_of_one_shard_of_a_worker_at_a_time(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    sites = two(settings)
    busy: dict[bool, int] = {False: 0, True: 0}
    together = asyncio.Event()

    async def slow(shard: DummyShard, source: str) -> Figures:
        worker = shard.partition in sites[0].shards
        busy[worker] += 1
        assert busy[worker] == 1
        if all(busy.values()):
            together.set()
        # workers do not wait for each other
        await together.wait()
        busy[worker] -= 1
        return shard.figures

    monkeypatch.setattr(DummyShard, "analytics", slow)
    async with serving(*sites), asyncio.timeout(DEADLINE_S):
        assert len(await figures(sites[0].context, A)) == SHARDS


def test_scatter_knows_no_problem_documents() -> None:
    for module in Path(scatter.__path__[0]).glob("*.py"):
        assert "http.problems" not in module.read_text(), module.name
