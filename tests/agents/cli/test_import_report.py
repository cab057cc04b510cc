"""An import tells a worker how far it is, and does not depend on one."""

from pathlib import Path

import pytest
from yarl import URL

from agents.cli.import_report import ImportReporter
from agents.http.keys import Scope
from agents.tools.importer import ImportProgress
from schemas.errors import Fatal
from streams.settings import Settings, load
from tests.rigs.given import Given
from tests.rigs.site import Site, serving

NOW = ImportProgress(Path("/data/sends.avro"), 10, 1, 100, 400, 2.0, 6.0)


def client(folder: Path, url: str, key: str = "") -> Settings:
    """The settings of the command: they name the worker at `url`."""
    flags = {"http_port": URL(url).port, "data_dir": folder, "api_key": key}
    return load(flags, env={}, file=folder / "none")


@pytest.mark.parametrize("failed", [False, True])
async def test_the_worker_is_told_how_it_ended(tmp_path: Path, failed: bool) -> None:
    given = Given(tmp_path)
    site = Site(given.settings, {0})
    async with serving(site):
        settings = client(tmp_path, site.context.address, given.tokens[Scope.OPERATE])
        try:
            async with ImportReporter(settings) as reporter:
                reporter.tell(NOW)
                if failed:
                    raise Fatal("damaged")
        except Fatal:
            assert failed
    (found,) = site.context.imports.found()
    assert (found["state"], found["file"]) == ("failed" if failed else "finished", "sends.avro")
    assert (found["records"], found["per_second"]) == (10, 5.0)


async def test_a_refusal_is_said_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = Given(tmp_path)
    site = Site(given.settings, {0})
    async with serving(site):
        settings = client(tmp_path, site.context.address, given.tokens[Scope.READ])
        async with ImportReporter(settings) as reporter:
            reporter.tell(NOW)
            await reporter.report()
    assert site.context.imports.found() == []
    assert capsys.readouterr().err.count("does not show this import") == 1


async def test_without_a_worker_nothing_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with ImportReporter(client(tmp_path, "http://127.0.0.1:1")) as reporter:
        reporter.tell(NOW)
    assert capsys.readouterr().err == ""
