"""Tokens of OAUTHBEARER: from a file that another program renews, or from a token server."""

import asyncio
import json
import threading
import time
from collections.abc import Callable
from typing import Protocol
from urllib.parse import quote, urlencode, urlsplit

from aiokafka.abc import AbstractTokenProvider

from schemas.errors import Recoverable, UsageError
from streams.kafka.bounded_http import Caller, CallFailed, HttpAnswer, Media, basic
from streams.secret_file import first_line, secret_of
from streams.settings import Settings
from streams.tls import ClientTls, TlsFiles
from streams.trusted import check_file, check_target, is_loopback

__all__ = ["TokenUnavailable", "Tokens", "token_source"]

_FORM = Media("application/json", "application/x-www-form-urlencoded")
_CALL_S = 8.0
#: The share of its life for which a token is used again.
_USED_FOR = 0.8
#: The life of a token whose server does not tell it.
_UNTOLD_S = 60.0
_MOST_S = 86_400.0


class TokenUnavailable(Recoverable):
    """The token server gives no token now."""


class Tokens(Protocol):
    """Gives the token for the next connection."""

    async def token(self) -> str:
        """Raises UsageError for a file that cannot be used, TokenUnavailable."""
        ...


def token_source(settings: Settings) -> Tokens:
    """The tokens of the settings. Raises UsageError if they name none."""
    if settings.kafka_token_file:
        return _File(settings)
    url = str(settings.kafka_token_url)
    if not url or not settings.kafka_token_client_id:
        raise UsageError(
            "kafka_sasl_mechanism is OAUTHBEARER, and nothing says where tokens come from",
            remedy="Set kafka_token_file; or kafka_token_url, kafka_token_client_id and "
            "kafka_token_client_secret_file",
        )
    parts = urlsplit(url)
    if not is_loopback(parts.hostname or ""):
        check_target(settings, "kafka_token_client_secret", "kafka_token_url")
        check_file(settings, "kafka_token_client_secret_file", "kafka_token_url")
        if parts.scheme != "https":
            raise UsageError(
                "kafka_token_url: the secret would be sent without encryption",
                remedy="Write https://",
            )
    return _Server(settings)


class _File(AbstractTokenProvider):  # type: ignore[misc]  # untyped
    def __init__(self, settings: Settings) -> None:
        self._file = settings.kafka_token_file

    async def token(self) -> str:
        found = await asyncio.to_thread(first_line, self._file, "kafka_token_file")
        if not found:
            raise UsageError(
                f"kafka_token_file: {self._file} is empty", remedy="Write the token into it"
            )
        return found


class _Server(AbstractTokenProvider):  # type: ignore[misc]  # untyped
    """One token for all connections of the process, until most of its life is over."""

    def __init__(self, settings: Settings, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._now = monotonic
        self._lock = threading.Lock()
        self._token = ""
        self._until = float("-inf")
        files = TlsFiles(ca=settings.kafka_token_ca_file, ca_name="kafka_token_ca_file")
        self._caller = Caller(
            str(settings.kafka_token_url),
            authorization=self._authorization,
            tls=ClientTls(files),
            media=_FORM,
            deadline_s=_CALL_S,
        )

    async def token(self) -> str:
        return await asyncio.to_thread(self._found)

    def _found(self) -> str:
        with self._lock:
            if self._now() >= self._until:
                asked = self._now()
                self._token, life_s = self._asked()
                self._until = asked + life_s * _USED_FOR
            return self._token

    def _authorization(self) -> str:
        secret = secret_of(self._settings, "kafka_token_client_secret")
        client = self._settings.kafka_token_client_id
        return basic(quote(client, safe=""), quote(secret, safe=""))

    def _asked(self) -> tuple[str, float]:
        form = {"grant_type": "client_credentials"}
        if self._settings.kafka_token_scope:
            form["scope"] = self._settings.kafka_token_scope
        try:
            answer = self._caller.post(urlencode(form).encode())
        except CallFailed as error:
            raise self._unavailable(str(error)) from error
        return self._read(answer)

    def _read(self, answer: HttpAnswer) -> tuple[str, float]:
        try:
            content = json.loads(answer.body)
        except (ValueError, RecursionError):
            content = None
        if not isinstance(content, dict):
            raise self._unavailable(f"status {answer.status}, and no JSON object")
        token = content.get("access_token")
        if answer.status != 200 or not isinstance(token, str) or not token.isprintable():
            reason = str(content.get("error_description") or content.get("error") or "no token")
            raise self._unavailable(f"status {answer.status}: {reason[:200]}")
        life = content.get("expires_in")
        life_s = float(life) if isinstance(life, int | float) else _UNTOLD_S
        return token, min(max(life_s, 0.0), _MOST_S)

    def _unavailable(self, why: str) -> TokenUnavailable:
        return TokenUnavailable(
            f"The token server {self._caller.url} gives no token: {why}",
            remedy="Correct kafka_token_url, kafka_token_client_id and "
            "kafka_token_client_secret_file, or start the server",
        )
