"""What the policy says of restoring, by the command line alone, against a whole worker: one source,
several, all with a tag, a notice when it is done, until when, and expiry again.
"""

import asyncio
import dataclasses
import json
import time
from typing import Any

import pytest

from schemas.records.lifecycle import State
from streams.kafka.topics import Topics
from streams.settings import Settings
from tests.rigs.command_line import emberline
from tests.rigs.mail_server import serving_mail
from tests.rigs.worker import running

NAMES = {
    "campaign:spring": "春のキャンペーン 🌸",
    "campaign:summer": "Sommer 🌞",
    "canvas:welcome": "👨‍👩‍👧 Willkommen",
}
LONG_AGO = 1_700_000_000_000


@pytest.mark.connected
async def test_restoring_is_followed_by_the_command_line_alone(
    settings: Settings, topics: Topics
) -> None:
    async with serving_mail() as server:
        own: dict[str, Any] = {
            "smtp_host": "127.0.0.1",
            "smtp_port": server.port,
            "smtp_tls": "none",
            "mail_from": "emberline@example.com",
            "retention": "PT4S",
            "sweep_interval": "PT1S",
            "sweep_confirm_share": 1.0,
        }
        settings = dataclasses.replace(settings, **own)

        async def said(*args: str, code: int = 0) -> str:
            done = await emberline(settings, *args)
            assert done.exit_code == code, done.output
            return done.stdout

        async def facts(*args: str) -> dict[str, Any]:
            found: dict[str, Any] = json.loads((await said(*args, "--json")).splitlines()[-1])
            return found

        async def until(state: State, *sources: str) -> None:
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline:
                found = (await facts("status", "--state", state))["sources"]
                if {one["source"] for one in found} >= set(sources):
                    return
                await asyncio.sleep(0.5)
            raise AssertionError(f"{sources} are not {state}: {found}")

        async with running(settings) as worker:
            await _define(said)
            await worker.ready()
            await until(State.EXPIRED, *NAMES)

            # by its name: nobody copies an identifier
            one = await said("restore", NAMES["campaign:spring"], "--notify", "ada@example.com")
            assert "campaign:spring: completed, available again" in one
            assert "campaign:spring: available until 20" in one
            assert (await said("hold", "campaign:spring", "--reason", "法務")).endswith(
                "campaign:spring: stays available: held by "
                f"{(await facts('status', '--state', 'held'))['sources'][0]['held']['by']}: 法務\n"
            )
            several = await facts("restore", "campaign:summer", "canvas:welcome")
            assert [
                (part["name"], part["outcome"], part["available_until"] is not None)
                for part in several["sources"].values()
            ] == [(NAMES["campaign:summer"], "completed", True),
                  (NAMES["canvas:welcome"], "completed", True)]  # fmt: skip
            # what is restored expires again after another time without use
            await until(State.EXPIRED, "campaign:summer", "canvas:welcome")
            await server.until(lambda: len(server.mails) == 1)

            tagged = await facts("restore", "--tag", "2026", "--notify", "bob@example.com")
            parts = tagged["sources"]
            assert parts["campaign:spring"]["already"]
            assert parts["campaign:spring"]["available_because"] == "it is held"
            assert parts["campaign:summer"]["outcome"] == "completed"
            await server.until(lambda: len(server.mails) == 2)
            listed = (await said("restores")).splitlines()
            assert len(listed) == 4
            assert "tag 2026" in listed[-1]
            followed = await facts("restores", tagged["request_id"][:8], "--follow")
            assert followed["outcome"] == "completed"
            audit = await said("audit", "campaign:spring")
            assert NAMES["campaign:spring"] in audit
        assert [mail["To"] for mail in server.mails] == ["ada@example.com", "bob@example.com"]


async def _define(said: Any) -> None:
    for source, name in NAMES.items():
        kind, _, own = source.partition(":")
        event = {"id": own, "user_id": "u", "time": LONG_AGO, f"{kind}_id": own, "channel": "EMAIL"}
        if kind == "canvas":
            event["canvas_step_id"] = "s"
        record = {
            "key": source,
            "status": "STOPPED",
            "name": name,
            "stopped_at": LONG_AGO,
            "tags": ["2026"] if kind == "campaign" else [],
        }
        for what, found in (("send", event), ("definition", record)):
            await said("send", what, json.dumps(found))
