"""A real mail server (aiosmtpd) in the test's event loop, whose answers a test chooses."""

import asyncio
import email
import email.policy
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from email.message import EmailMessage
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope, Session

__all__ = ["MailServer", "serving_mail"]

DEADLINE_S = 60.0


class MailServer:
    """Takes mail. `answers` are the next answers to DATA, 250 after those; None: never.

    `offered` are all messages that came, `mails` those that were accepted.
    """

    def __init__(self) -> None:
        self.answers: list[str | None] = []
        self.recipients_refused: dict[str, str] = {}
        self.offered: list[EmailMessage] = []
        self.mails: list[EmailMessage] = []
        self.encrypted: list[bool] = []
        self.port = 0
        self._came = asyncio.Condition()

    async def handle_RCPT(  # noqa: N802  # the name that the server calls
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Accept a recipient, or say what the test has set."""
        if address in self.recipients_refused:
            return self.recipients_refused[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        """Keep the message, and answer."""
        content = envelope.content
        assert isinstance(content, bytes)
        found = email.message_from_bytes(content, policy=email.policy.default)
        assert isinstance(found, EmailMessage)
        answer = self.answers.pop(0) if self.answers else "250 OK"
        async with self._came:
            self.offered.append(found)
            self.encrypted.append(session.ssl is not None)
            if answer is not None and answer.startswith("250"):
                self.mails.append(found)
            self._came.notify_all()
        if answer is None:
            await asyncio.Event().wait()
        return str(answer)

    async def until(self, found: Callable[[], bool]) -> None:
        """Wait until what has come is enough."""
        async with asyncio.timeout(DEADLINE_S), self._came:
            await self._came.wait_for(found)


@asynccontextmanager
async def serving_mail(**options: Any) -> AsyncIterator[MailServer]:
    """A server at a free port of this machine; `options` as of aiosmtpd's SMTP.

    `implicit_tls`: a context for TLS from the first byte.
    """
    context = options.pop("implicit_tls", None)
    made = MailServer()
    loop = asyncio.get_running_loop()
    connections: list[SMTP] = []

    def connected() -> SMTP:
        connections.append(SMTP(made, hostname="mail.test", loop=loop, **options))
        return connections[-1]

    server = await loop.create_server(connected, "127.0.0.1", 0, ssl=context)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        for one in connections:
            if one.transport is not None:
                one.transport.close()
            handler = one._handler_coroutine
            if handler is not None:
                handler.cancel()
                await asyncio.gather(handler, return_exceptions=True)
