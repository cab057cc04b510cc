"""A connection to a broker: as aiokafka's, and it knows how long the broker accepts it.

A broker with `connections.max.reauth.ms`, or with tokens, ends a session after some time: it closes
the connection at the next request. The library does not know that. Here a connection tells when its
session is about to end, and `bootstrap.py` uses a new one from then on, so no request is lost.

It also reads large answers faster (`streams/kafka/frames.py`).
"""

import asyncio
import time
import weakref
from typing import Any

from aiokafka import errors as kafka_errors
from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.protocol.admin import (
    SaslAuthenticateRequest,
    SaslAuthenticateRequest_v0,
    SaslAuthenticateRequest_v1,
    SaslHandShakeRequest,
)

from streams.kafka.frames import Frames

__all__ = ["Connection"]

#: The share of a session after which a new connection is made; Java clients take 0.85 to 0.95.
_RENEWED_AT = 0.85
_HIDDEN = "SaslAuthenticateRequest(hidden)"


class Connection(AIOKafkaConnection):  # type: ignore[misc]  # untyped
    """`renew_at` and `ends_at` are moments of `time.monotonic`: from when on another connection
    should be used, and from when on the broker takes no request any more.
    """

    renew_at = float("inf")
    ends_at = float("inf")

    @property
    def is_busy(self) -> bool:
        """Whether requests are under way."""
        return bool(self._requests)

    async def connect(self) -> tuple[Frames, Frames]:
        """Connect and authenticate. Returns what stands for reader and writer.

        Raises OSError, TimeoutError and KafkaError.
        """
        tls = self._ssl_context if self._security_protocol.endswith("SSL") else None
        handle = weakref.WeakMethod(self._handle_frame)

        def take(frame: bytearray) -> None:
            # the library ends connections that nobody refers to any more
            if (method := handle()) is not None:
                method(frame)

        async with asyncio.timeout(self._request_timeout):
            _, frames = await self._loop.create_connection(
                lambda: Frames(take), self.host, self.port, ssl=tls
            )
        self._reader = self._writer = self._protocol = frames
        self._closed_fut = frames.closed
        self._read_task = self._create_reader_task()
        if self._max_idle_ms is not None:
            self._idle_handle = self._loop.call_soon(self._idle_check, weakref.ref(self))
        try:
            await self._do_version_lookup()
            if self._security_protocol.startswith("SASL"):
                await self._do_sasl_handshake()
        except BaseException:
            self.close()
            raise
        return frames, frames

    @staticmethod
    async def _read(self_ref: "weakref.ref[Connection]") -> None:
        """The library's task that reads: it ends with the connection, and with its error."""
        connection = self_ref()
        if connection is not None:
            ended = connection._reader.ended
            del connection
            await ended

    async def _do_sasl_handshake(self) -> None:
        begun = time.monotonic()
        mechanism = self._sasl_mechanism
        answer = await self.send(SaslHandShakeRequest(mechanism))
        refusal = kafka_errors.for_code(answer.error_code)
        if refusal is kafka_errors.UnsupportedSaslMechanismError:
            offered = ", ".join(sorted(answer.enabled_mechanisms))
            raise self._given_up(refusal(f"only {offered}"))
        if refusal is not kafka_errors.NoError:
            raise self._given_up(refusal())
        lifetime_ms = await self._authenticate(self._authenticator(mechanism))
        if lifetime_ms > 0:
            self.renew_at = begun + lifetime_ms / 1000 * _RENEWED_AT
            self.ends_at = begun + lifetime_ms / 1000

    async def _authenticate(self, authenticator: Any) -> int:
        """The lifetime of the session in ms; 0 if it does not end."""
        said: bytes | None = None
        lifetime_ms = 0
        while True:
            try:
                step = await authenticator.step(said)
            except (ValueError, KeyError, AssertionError) as error:
                # a broker that does not know the password cannot sign its last message
                wrong = kafka_errors.SaslAuthenticationFailed("its own proof is wrong")
                raise self._given_up(wrong) from error
            if step is None:
                return lifetime_ms
            payload, _ = step
            answer = await self.send(_Authenticate(payload))
            refusal = kafka_errors.for_code(answer.error_code)
            if refusal is not kafka_errors.NoError:
                raise self._given_up(refusal(answer.error_message or ""))
            said = answer.sasl_auth_bytes
            lifetime_ms = getattr(answer, "session_lifetime_ms", 0)

    def _authenticator(self, mechanism: str) -> Any:
        if mechanism == "OAUTHBEARER":
            return _Bearer(self._sasl_oauth_token_provider)
        return self.authenticator_plain() if mechanism == "PLAIN" else self.authenticator_scram()

    def _given_up(self, error: Exception) -> Exception:
        self.close(reason=CloseReason.AUTH_FAILURE, exc=error)
        return error


class _Bearer:
    """RFC 7628. The library's own takes a broker's refusal for its consent: the broker answers
    first with the reason, as JSON and without an error code, and waits for one byte.
    """

    def __init__(self, tokens: Any) -> None:
        self._tokens = tokens
        self._reason = b""
        self._sent = False

    async def step(self, said: bytes | None) -> tuple[bytes, bool] | None:
        if not self._sent:
            self._sent = True
            return f"n,,\x01auth=Bearer {await self._tokens.token()}\x01\x01".encode(), True
        if said and not self._reason:
            self._reason = said
            return b"\x01", True
        if self._reason:
            raise ValueError(self._reason.decode(errors="replace")[:200])
        return None


class _HiddenV0(SaslAuthenticateRequest_v0):  # type: ignore[misc]  # untyped
    """The library logs every request at level debug."""

    def __repr__(self) -> str:
        return _HIDDEN


class _HiddenV1(SaslAuthenticateRequest_v1):  # type: ignore[misc]  # untyped
    def __repr__(self) -> str:
        return _HIDDEN


class _Authenticate(SaslAuthenticateRequest):  # type: ignore[misc]  # untyped
    def build(self, request_struct_class: Any) -> Any:
        hidden = {SaslAuthenticateRequest_v0: _HiddenV0, SaslAuthenticateRequest_v1: _HiddenV1}
        return hidden[request_struct_class](self._payload)
