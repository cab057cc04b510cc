"""Mail: a letter as a message, and one attempt to send it. `Mailer` has the server's settings."""

import asyncio
import logging
import ssl
from datetime import UTC, datetime
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from socket import getfqdn
from typing import Any

import aiosmtplib

from agents.notify.letter import Letter, to_html, to_text
from agents.notify.outbox import Attempt, Result
from schemas.errors import UsageError
from schemas.words.mail_address import is_address
from streams.secret_file import secret_of
from streams.settings import Settings
from streams.trusted import check_file, check_target, is_loopback

__all__ = ["Mailer", "message_of"]

ATTEMPT_S = 30.0
"""For one attempt, from the connection until the server asks for the message."""
DATA_S = 600.0
"""For the answer to the message, as RFC 5321 asks (4.5.3.2.6): a server that was left too early may
have taken it, and it would come twice."""
_STEP_S = 10.0
_QUIT_S = 2.0
_NO_SERVICE = (421, 530, 534, 535, 538)
"""The server takes no message for now, or none with this login and encryption: this message is not
the cause."""

log = logging.getLogger(__name__)


def message_of(
    letter: Letter, *, sender: str, to: str, message_id: str, now_ms: int
) -> EmailMessage:
    """The message: text and HTML. Raises ValueError if an address is none, so that no header can
    hold more than it should.
    """
    if not is_address(to) or not is_address(sender):
        raise ValueError(f"{to[:80]!r} is no mail address")
    made = EmailMessage(policy=SMTP)
    try:
        made["From"] = Address("emberline", addr_spec=sender)
        made["To"] = Address(addr_spec=to)
    except MessageError as error:
        raise ValueError(f"{to[:80]!r} is no mail address: {error}") from error
    made["Subject"] = letter.subject
    made["Date"] = format_datetime(datetime.fromtimestamp(now_ms / 1000, UTC))
    made["Message-ID"] = f"<{message_id}@emberline>"
    made["Auto-Submitted"] = "auto-generated"
    made.set_content(to_text(letter))
    made.add_alternative(to_html(letter), subtype="html")
    # only now: content moves such headers to its first part
    made["Content-Language"] = letter.language
    return made


class Mailer:
    """Sends by the mail server of the settings. Raises UsageError for settings that cannot work."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._sender = settings.mail_from
        self._password = ""
        self._context: ssl.SSLContext | None = None
        if not settings.smtp_host:
            return
        _check(settings)
        self._password = secret_of(settings, "smtp_password")
        if settings.smtp_tls != "none":
            self._context = _context(settings.smtp_ca_file)

    async def send(self, letter: Letter, to: str, message_id: str, now_ms: int) -> Attempt:
        """One attempt, of at most ATTEMPT_S. Raises nothing that a server causes."""
        if not self._settings.smtp_host:
            return Attempt(Result.REFUSED, "no mail server: set smtp_host, then retry")
        if not self._sender:
            self._sender = await _own_sender()
        try:
            message = message_of(
                letter, sender=self._sender, to=to, message_id=message_id, now_ms=now_ms
            )
        except ValueError as error:
            return Attempt(Result.REFUSED, str(error))
        client = _Client(
            hostname=self._settings.smtp_host,
            port=self._settings.smtp_port,
            timeout=_STEP_S,
            use_tls=self._settings.smtp_tls == "tls",
            start_tls=self._settings.smtp_tls == "starttls",
            tls_context=self._context,
        )
        try:
            attempt = await self._in_time(client, message, to)
            if attempt.result is not Result.UNREACHABLE:
                await _quit(client)
            return attempt
        finally:
            client.close()

    async def _in_time(self, client: "_Client", message: EmailMessage, to: str) -> Attempt:
        silent = f"the mail server said nothing for {ATTEMPT_S:.0f} s"
        try:
            async with asyncio.timeout(ATTEMPT_S) as client.limit:
                return await self._talk(client, message, to)
        except TimeoutError:
            if client.offered:
                silent = f"the mail server did not answer to the message for {DATA_S:.0f} s"
            return Attempt(Result.UNREACHABLE, silent)

    async def _talk(self, client: "_Client", message: EmailMessage, to: str) -> Attempt:
        settings = self._settings
        try:
            await client.connect()
            if settings.smtp_user:
                await client.login(settings.smtp_user, self._password)
            return await self._offer(client, message, to)
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            return Attempt(Result.UNREACHABLE, _said(error))

    async def _offer(self, client: aiosmtplib.SMTP, message: EmailMessage, to: str) -> Attempt:
        try:
            await client.send_message(message, sender=self._sender, recipients=[to])
        except aiosmtplib.SMTPRecipientsRefused as error:
            (first,) = error.recipients[:1]
            return _refused(first.code, first.message)
        except aiosmtplib.SMTPResponseException as error:
            return _refused(error.code, error.message)
        except (aiosmtplib.SMTPNotSupported, ValueError) as error:
            # an address that this server cannot take
            return Attempt(Result.REFUSED, _said(error))
        except (aiosmtplib.SMTPException, OSError) as error:
            return Attempt(Result.UNREACHABLE, _said(error))
        return Attempt(Result.SENT)


async def _own_sender() -> str:
    """The sender of this machine; a resolver that does not answer gives it no name."""
    name = ""
    try:
        async with asyncio.timeout(_STEP_S):
            name = await asyncio.to_thread(getfqdn)
    except TimeoutError:
        log.warning("mail: this machine's name is not known: set mail_from")
    return f"emberline@{name if is_address(f'a@{name}') else 'localhost'}"


class _Client(aiosmtplib.SMTP):
    """Has a deadline of its own for the answer to a message; `limit` is the one of the attempt."""

    limit: asyncio.Timeout | None = None
    offered = False

    async def data(self, message: str | bytes, /, **_: Any) -> aiosmtplib.SMTPResponse:
        """Sends the message, and waits for the answer for up to DATA_S."""
        self.offered = True
        if self.limit is not None:
            self.limit.reschedule(asyncio.get_running_loop().time() + DATA_S)
        return await super().data(message, timeout=None)


async def _quit(client: aiosmtplib.SMTP) -> None:
    """Say goodbye: what the server has answered holds, whatever it says to that."""
    try:
        async with asyncio.timeout(_QUIT_S):
            await client.quit()
    except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
        log.debug("mail server: %s", error)


def _refused(code: int, message: str) -> Attempt:
    result = Result.RETRY if code < 500 else Result.REFUSED
    if code in _NO_SERVICE:
        result = Result.UNREACHABLE
    return Attempt(result, f"{code} {_text(message)}")


def _said(error: Exception) -> str:
    return _text(str(error)) or type(error).__name__


def _text(words: str) -> str:
    """A server's words in one line. Bytes that are no UTF-8 came as halves of surrogate pairs: such
    words are read as Latin-1, which is what they mean as a rule.
    """
    raw = words.encode(errors="surrogateescape")
    try:
        found = raw.decode()
    except UnicodeDecodeError:
        found = raw.decode("latin-1")
    return " ".join(found.split())


def _check(settings: Settings) -> None:
    if is_loopback(settings.smtp_host):
        return
    check_target(settings, "smtp_password", "smtp_host", "smtp_port", "smtp_tls")
    check_file(settings, "smtp_password_file", "smtp_host", "smtp_port", "smtp_tls")
    if settings.smtp_user and settings.smtp_tls == "none":
        raise UsageError(
            "smtp_user: the password would be sent without encryption",
            remedy="Set smtp_tls to starttls or tls",
        )


def _context(file: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=file or None)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(
            f"smtp_ca_file: {file} cannot be read: {type(error).__name__}",
            remedy="Name a file with certificates in PEM format",
        ) from error
