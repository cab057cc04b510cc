"""Webhooks: signatures that the reference implementation accepts, and what answers mean."""

import base64
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from agents.notify.outbox import Attempt, Notice, NoticeKind, Result
from agents.notify.webhook import Hooks
from schemas.errors import UsageError
from streams.settings import Settings, load

NEW, OLD, OTHER = (f"whsec_{base64.b64encode(bytes([n]) * 32).decode()}" for n in range(3))
NOTICE = Notice("n1", NoticeKind.REQUEST, 1_767_225_600_000, {"request_id": "r", "name": "é\n"})


class Receiver:
    """Keeps what is posted, and answers with `status`."""

    def __init__(self) -> None:
        self.status = 204
        self.headers: dict[str, str] = {}
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        self.got.append((dict(request.headers), await request.read()))
        return web.Response(status=self.status, headers=self.headers)


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    made = Receiver()
    app = web.Application()
    app.router.add_post("/{name}", made.take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    try:
        yield made
    finally:
        await runner.cleanup()


def settings(url: str = "http://127.0.0.1:1/", secrets: str = NEW, **more: object) -> Settings:
    given: dict[str, Any] = {"webhook_urls": url, "webhook_secrets": secrets, "prefix": "p."}
    return load({**given, **more}, env={}, file=Path("none.toml"))


async def post(receiver: Receiver, secrets: str = NEW) -> Attempt:
    hooks = Hooks(settings(receiver.url, secrets))
    return await hooks.send(NOTICE, receiver.url, "d1", int(time.time() * 1000))


async def test_the_reference_implementation_verifies_it() -> None:
    async with receiving() as receiver:
        assert await post(receiver) == Attempt(Result.SENT)
    ((headers, body),) = receiver.got
    found = Webhook(NEW).verify(body, headers)
    assert found == json.loads(body)
    assert found["type"] == "request.finished"
    assert found["timestamp"] == "2026-01-01T00:00:00+00:00"
    assert found["data"] == {"prefix": "p.", "request_id": "r", "name": "é\n"}
    assert headers["webhook-id"] == "msg_d1"
    for secret, changed in ((OTHER, body), (NEW, body.replace(b"r", b"s"))):
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(changed, headers)


async def test_while_secrets_change_both_verify_it() -> None:
    async with receiving() as receiver:
        await post(receiver, f"{NEW},{OLD}")
    ((headers, body),) = receiver.got
    for secret in (NEW, OLD):
        assert Webhook(secret).verify(body, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(OTHER).verify(body, headers)


async def test_each_attempt_has_the_same_id_and_body() -> None:
    async with receiving() as receiver:
        receiver.status = 500
        assert (await post(receiver)).result is Result.RETRY
        await post(receiver)
    (first, body), (second, again) = receiver.got
    assert (first["webhook-id"], body) == (second["webhook-id"], again)


@pytest.mark.parametrize(
    ("status", "result"),
    [
        (200, Result.SENT),
        (302, Result.RETRY),
        (404, Result.RETRY),
        (410, Result.REFUSED),
        (429, Result.RETRY),
        (503, Result.UNREACHABLE),
    ],
)
async def test_the_status_decides(status: int, result: Result) -> None:
    async with receiving() as receiver:
        receiver.status = status
        receiver.headers = {"Location": "/other", "Retry-After": "30"}
        found = await post(receiver)
    assert found.result is result
    assert len(receiver.got) == 1, "redirects are not followed"
    if result is not Result.SENT:
        assert found.after_ms == (0 if status == 410 else 30_000)


@pytest.mark.parametrize(
    ("written", "after_ms"),
    [
        ("30", 30_000),
        ("99999", 3_600_000),
        ("Thu, 01 Jan 2026 00:02:00 GMT", 120_000),
        ("Thu, 01 Jan 2026 05:02:00 +0500", 120_000),
        ("Wed, 31 Dec 2025 00:00:00 GMT", 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 3_600_000),
        ("Thu, 01 Jan 2026 00:02:00 -9999", 0),
        ("Thu, 01 Jan 99999999999999999999 00:00:00 GMT", 0),
        ("\u0663", 0),
        ("soon", 0),
        ("-1", 0),
    ],
)
async def test_a_pause_is_a_number_or_a_date(written: str, after_ms: int) -> None:
    async with receiving() as receiver:
        receiver.status, receiver.headers = 429, {"Retry-After": written}
        hooks = Hooks(settings(receiver.url))
        found = await hooks.send(NOTICE, receiver.url, "d1", NOTICE.time)
    assert (found.result, found.after_ms) == (Result.RETRY, after_ms)


@pytest.mark.parametrize(
    "url", ["http://u:secret@127.0.0.1:99999/", "http://u:secret@a..b/", "http://u:s\u20acret@a/"]
)
async def test_an_address_that_cannot_be_called_is_refused_without_its_password(url: str) -> None:
    found = await Hooks(settings(url)).send(NOTICE, url, "d1", NOTICE.time)
    assert found.result is Result.REFUSED
    assert "cannot be called" in found.detail
    assert not [part for part in ("secret", "20ac", "\u20ac") if part in found.detail]


async def test_an_address_that_is_not_in_the_settings_is_not_called() -> None:
    async with receiving() as receiver:
        found = await Hooks(settings()).send(NOTICE, receiver.url, "d1", NOTICE.time)
        assert found.result is Result.REFUSED
        assert receiver.got == []


async def test_nobody_there_is_unreachable() -> None:
    async with receiving() as receiver:
        pass
    assert (await post(receiver)).result is Result.UNREACHABLE


@pytest.mark.parametrize(
    "secrets", ["", "short", "whsec_c2hvcnQ=", "whsec_%%", ",".join([NEW] * 3)]
)
def test_secrets_that_are_none_are_refused_without_being_shown(secrets: str) -> None:
    with pytest.raises(UsageError, match="webhook_secrets") as caught:
        Hooks(settings(secrets=secrets))
    assert not secrets or secrets not in str(caught.value)


def test_secrets_may_be_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "secrets"
    file.write_text(f"{NEW}\n{OLD}\n")
    Hooks(settings(secrets="", webhook_secrets_file=str(file)))
