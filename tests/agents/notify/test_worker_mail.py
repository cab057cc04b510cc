"""Mail of a whole worker: from a command to a real mail server, and through a crash."""

import dataclasses
import json
import time
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from streams.kafka.topics import Topics
from streams.settings import Settings
from tests.rigs.command_line import emberline
from tests.rigs.mail_server import MailServer, serving_mail
from tests.rigs.worker import Process, running

pytestmark = pytest.mark.connected

A, NAME = "campaign:spring", "Printemps <b>"
UNTIL = "Disponible jusqu\N{RIGHT SINGLE QUOTATION MARK}au: 20"


def with_mail(settings: Settings, server: MailServer, **more: object) -> Settings:
    return dataclasses.replace(
        settings,
        smtp_host="127.0.0.1",
        smtp_port=server.port,
        smtp_tls="none",
        mail_from="emberline@example.com",
        **more,  # type: ignore[arg-type]
    )


async def post(worker: Process, path: str, body: dict[str, Any]) -> dict[str, Any]:
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{worker.url}{path}?wait=30", json=body) as answer,
    ):
        found: dict[str, Any] = await answer.json()
        assert answer.status in (200, 202), found
        return found


async def define(settings: Settings) -> None:
    """A stopped campaign with one event."""
    now = int(time.time() * 1000)
    event = {"id": "e1", "user_id": "u", "campaign_id": "spring", "time": now}
    record = {"key": A, "status": "STOPPED", "name": NAME, "stopped_at": now}
    for kind, found in (("send", event), ("definition", record)):
        done = await emberline(settings, "send", kind, json.dumps(found))
        assert done.exit_code == 0, done.output


async def test_requests_are_told_once_and_a_crash_repeats_a_message_under_its_id(
    settings: Settings, topics: Topics, tmp_path: Path
) -> None:
    async with serving_mail() as server:
        given = with_mail(settings, server, notify_languages="ada@example.com=fr")
        # what comes first is never answered: its worker is killed meanwhile
        server.answers = [None]
        async with running(given) as worker:
            await define(settings)
            await worker.ready()
            await post(worker, f"/sources/{A}/expire", {"notify": ["ada@example.com"]})
            await server.until(lambda: len(server.offered) == 1)
            # a mail server that does not answer delays nobody
            paused = await post(worker, "/sweep/pause", {})
            assert paused["state"] == "finished"
            assert server.mails == []
            worker.kill()
        async with running(given) as worker:
            await server.until(lambda: len(server.mails) == 1)
            await worker.ready()
            asked = {"sources": [A], "notify": ["ada@example.com"], "reason": "à nouveau"}
            await post(worker, "/restores", asked)
            await server.until(lambda: len(server.mails) == 2)
    first, again, restored = server.offered
    assert first["Message-ID"] == again["Message-ID"] != restored["Message-ID"]
    assert "Expiration : Printemps <b>" in again["Subject"]
    assert restored["To"] == "ada@example.com"
    assert "Restauration : Printemps <b>" in restored["Subject"]
    plain, html = restored.iter_parts()
    assert isinstance(plain, EmailMessage)
    assert isinstance(html, EmailMessage)
    assert "à nouveau" in plain.get_content()
    assert UNTIL in plain.get_content()
    assert "Printemps &lt;b&gt;" in html.get_content()
