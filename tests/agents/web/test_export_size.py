"""How large the CSV files of a source are is told before they are made."""

from typing import Any

import pytest

from agents.web.routes import export_size
from schemas.records.lifecycle import SourceState, State
from streams.settings import Settings
from tests.rigs.site import A, Site, alone, serving

__all__ = ["alone"]


async def told(site: Site, path: str) -> tuple[int, Any]:
    async with serving(site) as session, session.get(site.path(path)) as answer:
        return answer.status, await answer.json(content_type=None)


async def read(site: Site, path: str) -> bytes:
    async with serving(site) as session, session.get(site.path(path)) as answer:
        assert answer.status == 200
        return await answer.read()


def site(alone: Settings) -> Site:
    return Site(alone, {0, 1, 2, 3}, SourceState(A, State.ACTIVE, 1))


async def test_of_a_small_source_the_sizes_are_those_of_the_files(alone: Settings) -> None:
    status, found = await told(site(alone), "/export_size")
    assert status == 200
    assert found["exact"]
    for name, path in (("users", "/users.csv"), ("interactions", "/interactions?format=csv")):
        file = await read(site(alone), path)
        assert found[name] == {"rows": file.count(b"\n") - 1, "bytes": len(file)}, name


async def test_of_a_large_source_they_are_estimated_from_some_rows(
    alone: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, whole = await told(site(alone), "/export_size")
    monkeypatch.setattr(export_size, "MOST_ROWS", 1)
    _, found = await told(site(alone), "/export_size")
    assert not found["exact"]
    assert found["read"] < whole["read"]
    for name in ("users", "interactions"):
        for measure in ("rows", "bytes"):
            assert found[name][measure] == pytest.approx(whole[name][measure], rel=0.2)


@pytest.mark.parametrize(
    ("record", "status"),
    [
        (SourceState(A, State.EXPIRED, 1), 409),
        (SourceState(A, State.STOPPED, 1, legacy_deleted=True), 410),
    ],
)
async def test_hidden_sources_have_no_files(
    alone: Settings, record: SourceState, status: int
) -> None:
    assert (await told(Site(alone, {0, 1, 2, 3}, record), "/export_size"))[0] == status
