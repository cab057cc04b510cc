"""GET /asyncapi.json: the document of the worker's topics, with an ETag."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from agents.cli import main
from agents.reference.asyncapi import document
from streams.settings import Settings, load
from tests.rigs.site import SHARDS, Site, serving


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    flags = {"partitions": SHARDS, "prefix": "mine.", "keys_file": tmp_path / "none"}
    return load(flags, env={}, file=tmp_path / "none")


@pytest.mark.parametrize("path", ["asyncapi.json", "openapi.json"])
async def test_a_document_that_has_not_changed_is_not_sent_again(
    settings: Settings, path: str
) -> None:
    site = Site(settings, set(range(SHARDS)))
    async with serving(site) as session:
        url = f"{site.context.address}/{path}"
        async with session.get(url) as answer:
            assert answer.status == 200
            found, tag = await answer.json(), answer.headers["ETag"]
        async with session.get(url, headers={"If-None-Match": tag}) as answer:
            assert (answer.status, await answer.read()) == (304, b"")
    if path == "asyncapi.json":
        assert found == json.loads(json.dumps(document(settings)))
        assert found["channels"]["users"]["address"] == "mine.users"


async def test_the_root_names_it(settings: Settings) -> None:
    site = Site(settings, set(range(SHARDS)))
    async with serving(site) as session, session.get(f"{site.context.address}/") as answer:
        assert (await answer.json())["asyncapi"] == "/asyncapi.json"


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_the_command_prints_the_same_without_a_broker(flags: list[str]) -> None:
    result = CliRunner().invoke(main, ["--prefix", "mine.", "topics", "asyncapi", *flags])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["channels"] == document(Settings(prefix="mine."))["channels"]
