"""Webhooks by the Standard Webhooks specification, one attempt at a time.

The signature is over id, time of the attempt and body. With two secrets there are two signatures,
so a receiver may change from one to the other at any moment.
"""

import asyncio
import base64
import binascii
import hashlib
import hmac
import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import aiohttp

from agents.notify.outbox import Attempt, Notice, Result
from schemas.errors import UsageError
from streams.secret_file import secret_of
from streams.settings import Settings
from streams.trusted import check_file, check_target, is_loopback

__all__ = ["Hooks", "body_of", "headers_of", "secrets_of"]

ATTEMPT_S = 15.0
"""For one attempt, from the connection to the status of the answer."""
MOST_SECRETS = 2
_LEAST_BYTES = 24
_PREFIX = "whsec_"
_GONE = 410
_UNREACHABLE = (502, 503, 504)
_MOST_AFTER_S = 3_600
_NO_ADDRESS = Attempt(Result.REFUSED, "this address cannot be called: correct webhook_urls")
"""It only looks like an address. The errors are not quoted: they quote it with its password."""


def body_of(notice: Notice, prefix: str) -> bytes:
    """The body: `type`, `timestamp` of the fact in ISO 8601, `data`; the same in each attempt."""
    found = {
        "type": notice.kind.value,
        "timestamp": datetime.fromtimestamp(notice.time / 1000, UTC).isoformat(),
        "data": {"prefix": prefix, **notice.data},
    }
    return json.dumps(found, separators=(",", ":")).encode()


def headers_of(
    message_id: str, now_ms: int, body: bytes, secrets: Sequence[bytes]
) -> dict[str, str]:
    """The headers of an attempt."""
    seconds = str(now_ms // 1000)
    signed = f"msg_{message_id}.{seconds}.".encode() + body
    made = (hmac.digest(secret, signed, hashlib.sha256) for secret in secrets)
    return {
        "Content-Type": "application/json",
        "User-Agent": "emberline",
        "webhook-id": f"msg_{message_id}",
        "webhook-timestamp": seconds,
        "webhook-signature": " ".join(f"v1,{base64.b64encode(one).decode()}" for one in made),
    }


def secrets_of(settings: Settings) -> tuple[bytes, ...]:
    """The secrets. Raises UsageError if one of them is none, and if there are more than two."""
    written = secret_of(settings, "webhook_secrets", lines=MOST_SECRETS)
    found = [part.strip() for part in written.replace("\n", ",").split(",") if part.strip()]
    if len(found) > MOST_SECRETS:
        raise UsageError("webhook_secrets has more than two", remedy="Name the new and the old one")
    return tuple(map(_secret, found))


def _secret(text: str) -> bytes:
    remedy = f"Write {_PREFIX} and 24 to 64 random bytes in base64"
    try:
        if not text.startswith(_PREFIX):
            raise ValueError
        made = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
    except (ValueError, binascii.Error):
        raise UsageError("webhook_secrets: this is no secret of a webhook", remedy=remedy) from None
    if len(made) < _LEAST_BYTES:
        raise UsageError("webhook_secrets: a secret is too short", remedy=remedy)
    return made


class Hooks:
    """Sends to the webhooks of the settings. Raises UsageError for settings that cannot work."""

    def __init__(self, settings: Settings) -> None:
        self._prefix = settings.prefix
        self._secrets = secrets_of(settings)
        self._urls = frozenset(map(str, settings.webhook_urls))
        if settings.webhook_urls and not self._secrets:
            raise UsageError(
                "webhook_urls is set and webhook_secrets is not",
                remedy=f"Set webhook_secrets to {_PREFIX} and 24 to 64 random bytes in base64",
            )
        hosts = [urlsplit(str(url)).hostname or "" for url in settings.webhook_urls]
        if not all(map(is_loopback, hosts)):
            check_target(settings, "webhook_secrets", "webhook_urls")
            check_file(settings, "webhook_secrets_file", "webhook_urls")

    async def send(self, notice: Notice, url: str, message_id: str, now_ms: int) -> Attempt:
        """One attempt, of at most ATTEMPT_S; follows no redirect, reads no body of an answer."""
        if url not in self._urls:
            return Attempt(Result.REFUSED, "this webhook is not in webhook_urls any more")
        body = body_of(notice, self._prefix)
        headers = headers_of(message_id, now_ms, body, self._secrets)
        try:
            async with (
                asyncio.timeout(ATTEMPT_S),
                aiohttp.ClientSession(trust_env=False, cookie_jar=aiohttp.DummyCookieJar()) as http,
                http.post(url, data=body, headers=headers, allow_redirects=False) as answer,
            ):
                return _judged(answer.status, answer.headers, now_ms)
        except TimeoutError:
            return Attempt(Result.UNREACHABLE, f"no answer for {ATTEMPT_S:.0f} s")
        except aiohttp.InvalidURL:
            return _NO_ADDRESS
        except (aiohttp.ClientError, OSError) as error:
            return Attempt(Result.UNREACHABLE, str(error) or type(error).__name__)
        except ValueError:
            return _NO_ADDRESS


def _judged(status: int, headers: Mapping[str, str], now_ms: int) -> Attempt:
    if 200 <= status < 300:
        return Attempt(Result.SENT)
    detail = f"status {status}"
    if status == _GONE:
        return Attempt(Result.REFUSED, f"{detail}: the receiver takes no more")
    if 300 <= status < 400:
        detail += ": redirects are not followed"
    after = _after_s(headers.get("Retry-After", ""), now_ms)
    result = Result.UNREACHABLE if status in _UNREACHABLE else Result.RETRY
    return Attempt(result, detail, after * 1000)


def _after_s(written: str, now_ms: int) -> int:
    """Seconds that a `Retry-After` asks for, from 0 to an hour: it is a number, or a date."""
    if written.isascii() and written.isdecimal() and len(written) < 8:
        return min(int(written), _MOST_AFTER_S)
    try:
        at = parsedate_to_datetime(written)
    except (ValueError, OverflowError):
        return 0
    zoned = at if at.tzinfo else at.replace(tzinfo=UTC)
    return min(max(0, math.ceil(zoned.timestamp() - now_ms / 1000)), _MOST_AFTER_S)
