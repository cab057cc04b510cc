"""A worker asks itself at the address that others are told."""

from pathlib import Path

import pytest

from agents.scatter import self_check
from agents.scatter.self_check import check_self
from tests.rigs.given import Given
from tests.rigs.site import Site, active, serving


async def test_a_worker_says_whether_it_is_reached_where_others_ask_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", self_check.__name__)
    monkeypatch.setattr(self_check, "PAUSE_S", 0.01)
    given = Given(tmp_path, http_rate=0)
    one, two = Site(given.settings, {0}, active()), Site(given.settings, {1}, active())
    one.context.name, two.context.name = "one", "two"
    async with serving(one, two):
        await check_self(one.context)
        assert "reached at" in caplog.text
        assert "not reached" not in caplog.text
        own, one.context.address = one.context.address, two.context.address
        await check_self(one.context)
        assert "another worker answers" in caplog.text
        one.context.address = "http://127.0.0.1:1"
        await check_self(one.context)
        assert "cannot be reached" in caplog.text
        one.context.address = own
