"""Mail at a real server: encryption, login, its answers, its silence, and its certificate."""

import asyncio
import ssl
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import AuthResult, LoginPassword

from agents.notify import mail
from agents.notify.catalogue import texts
from agents.notify.letter import Letter, letter_of
from agents.notify.mail import Mailer
from agents.notify.outbox import Notice, NoticeKind, Result
from schemas.errors import UsageError
from streams.settings import Settings, load
from tests.rigs.certificates import Authority
from tests.rigs.mail_server import MailServer, serving_mail

NOTICE = Notice("n1", NoticeKind.TEST, 1_767_225_600_000, {})
TO = "ada@example.com"


def letter() -> Letter:
    return letter_of(NOTICE, texts("ja"), "p.", "")


def settings(port: int, **more: object) -> Settings:
    given = {"smtp_host": "127.0.0.1", "smtp_port": port, "smtp_tls": "none"}
    given |= {"mail_from": "emberline@example.com"}
    return load({**given, **more}, env={}, file=Path("none.toml"))


async def sent(server: MailServer, **more: object) -> tuple[Result, str]:
    mailer = Mailer(settings(server.port, **more))
    attempt = await mailer.send(letter(), TO, "0" * 32, NOTICE.time)
    return attempt.result, attempt.detail


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an authority (ca.pem), another (other.pem), and a server's certificate with its
    key of the first (server.both.pem).
    """
    folder = tmp_path_factory.mktemp("tls")
    Authority(folder).issue("server")
    other = Authority(tmp_path_factory.mktemp("other"), "another authority")
    (folder / "other.pem").write_bytes(other.certificate.read_bytes())
    return folder


def tls(folder: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "server.both.pem")
    return context


def login(_: Any, __: Any, ___: Any, ____: Any, data: Any) -> AuthResult:
    assert isinstance(data, LoginPassword)
    success = (data.login, data.password) == (b"ember", b"secret")
    return AuthResult(success=success, handled=False)


async def test_a_message_arrives_as_it_was_written() -> None:
    async with serving_mail() as server:
        assert await sent(server) == (Result.SENT, "")
    (found,) = server.mails
    assert (found["To"], found["Content-Language"]) == (TO, "ja")
    assert found["Message-ID"] == f"<{'0' * 32}@emberline>"
    assert found["Subject"] == texts("ja")("test.subject")
    assert [part.get_content_type() for part in found.iter_parts()] == ["text/plain", "text/html"]


async def test_tls_from_the_first_byte_and_starttls(certificates: Path) -> None:
    context, authority = tls(certificates), str(certificates / "ca.pem")
    async with serving_mail(implicit_tls=context) as server:
        assert await sent(server, smtp_tls="tls", smtp_ca_file=authority) == (Result.SENT, "")
    async with serving_mail(tls_context=context, require_starttls=True) as server:
        found = await sent(server, smtp_tls="starttls", smtp_ca_file=authority)
        assert found == (Result.SENT, "")
        assert server.encrypted == [True]


async def test_a_certificate_of_another_authority_is_not_accepted(certificates: Path) -> None:
    async with serving_mail(tls_context=tls(certificates)) as server:
        other = str(certificates / "other.pem")
        result, detail = await sent(server, smtp_tls="starttls", smtp_ca_file=other)
        assert result is Result.UNREACHABLE
        assert "certificate" in detail.lower()
        assert server.offered == []


async def test_a_server_without_starttls_gets_nothing_in_the_clear() -> None:
    async with serving_mail() as server:
        result, _ = await sent(server, smtp_tls="starttls")
        assert result is Result.UNREACHABLE
        assert server.offered == []


async def test_login(certificates: Path, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("secret\nanother line\n")
    options: dict[str, Any] = {"authenticator": login, "auth_required": True}
    options |= {"tls_context": tls(certificates)}
    given = {"smtp_tls": "starttls", "smtp_ca_file": str(certificates / "ca.pem")}
    async with serving_mail(**options) as server:
        name = {"smtp_user": "ember", "smtp_password_file": str(file)}
        assert await sent(server, **given, **name) == (Result.SENT, "")
        wrong = {"smtp_user": "ember", "smtp_password": "wrong"}
        result, detail = await sent(server, **given, **wrong)
        assert result is Result.UNREACHABLE, "the settings are wrong, and not this message"
        assert "535" in detail or "uthentication" in detail


async def test_what_the_server_answers_decides() -> None:
    async with serving_mail() as server:
        server.answers = ["451 greylisted", "554 spam", "421 closing"]
        assert await sent(server) == (Result.RETRY, "451 greylisted")
        assert await sent(server) == (Result.REFUSED, "554 spam")
        assert (await sent(server))[0] is Result.UNREACHABLE
        server.recipients_refused[TO] = "550 no such user"
        assert await sent(server) == (Result.REFUSED, "550 no such user")
        server.recipients_refused[TO] = "450 mailbox busy"
        assert await sent(server) == (Result.RETRY, "450 mailbox busy")


async def test_silence_ends_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail, "ATTEMPT_S", 0.5)
    monkeypatch.setattr(mail, "DATA_S", 0.5)
    opened: list[asyncio.StreamWriter] = []

    async def silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        opened.append(writer)

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        made = MailServer()
        made.port = server.sockets[0].getsockname()[1]
        assert (await sent(made))[0] is Result.UNREACHABLE
        for writer in opened:
            writer.close()
    async with serving_mail() as heard:
        heard.answers = [None]
        assert (await sent(heard))[0] is Result.UNREACHABLE
    assert (await sent(made))[0] is Result.UNREACHABLE, "nothing listens there any more"


class Scripted:
    """A server that answers each command by `answers`, 250 by default; None says nothing."""

    def __init__(self, answers: Mapping[bytes, bytes | None], slow_s: float = 0) -> None:
        self.answers = answers
        self.slow_s = slow_s
        self.taken = 0
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 test ESMTP\r\n")
        message = False
        while line := await reader.readline():
            if message and line != b".\r\n":
                continue
            command = b"." if message else line[:4].strip().upper()
            if message:
                self.taken += 1
                await asyncio.sleep(self.slow_s)
            message = command == b"DATA"
            default = b"354 go on" if message else b"250 ok"
            answer = self.answers.get(command, default)
            if answer is not None:
                writer.write(answer + b"\r\n")
        writer.close()


@asynccontextmanager
async def scripted(
    answers: Mapping[bytes, bytes | None], slow_s: float = 0
) -> AsyncIterator[MailServer]:
    script, found = Scripted(answers, slow_s), MailServer()
    async with await asyncio.start_server(script.serve, "127.0.0.1", 0) as server:
        found.port = server.sockets[0].getsockname()[1]
        yield found


async def test_a_slow_answer_to_the_message_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever leaves sends the same message again, and it comes twice."""
    monkeypatch.setattr(mail, "ATTEMPT_S", 0.3)
    monkeypatch.setattr(mail, "_STEP_S", 0.3)
    async with scripted({b".": b"250 kept"}, slow_s=0.6) as server:
        assert await sent(server) == (Result.SENT, "")


async def test_a_server_that_says_nothing_to_the_end_has_taken_the_message(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mail, "ATTEMPT_S", 0.3)
    monkeypatch.setattr(mail, "_QUIT_S", 0.4)
    async with scripted({b"QUIT": None}) as server:
        assert await sent(server) == (Result.SENT, "")


@pytest.mark.parametrize("code", [530, 534, 535, 538])
async def test_a_server_that_wants_a_login_or_encryption_refuses_no_message_for_ever(
    code: int,
) -> None:
    """It refuses all mail until the settings are right: each message would have to be retried."""
    async with scripted({b"MAIL": b"%d 5.7.0 not like this" % code}) as server:
        assert await sent(server) == (Result.UNREACHABLE, f"{code} 5.7.0 not like this")


async def test_a_resolver_that_does_not_answer_delays_a_message_for_a_while_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answered = threading.Event()

    def name() -> str:
        answered.wait(20)
        return "late.example.com"

    monkeypatch.setattr(mail, "_STEP_S", 0.2)
    monkeypatch.setattr(mail, "getfqdn", name)
    try:
        async with asyncio.timeout(10):
            assert await mail._own_sender() == "emberline@localhost"
    finally:
        answered.set()


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        (b"550 Adresse refus\xe9e", "550 Adresse refusée"),
        ("550 Adresse refusée".encode(), "550 Adresse refusée"),
        (b"550 \xff\xfe \x1b[31m", "550 ÿþ \x1b[31m"),
    ],
)
async def test_words_of_a_server_are_text_whatever_its_encoding(answer: bytes, detail: str) -> None:
    async with scripted({b"RCPT": answer}) as server:
        result, found = await sent(server)
    assert (result, found) == (Result.REFUSED, detail)
    assert found.encode()


@pytest.mark.parametrize("to", ["a@e.", "a@.e", "a@e..org", "a..b@e.org", "=?utf-8?q?x?=@e.org"])
async def test_an_address_that_only_looks_like_one_is_refused(to: str) -> None:
    assert (await Mailer(settings(1)).send(letter(), to, "1", 0)).result is Result.REFUSED


async def test_an_address_that_is_none_and_no_server_are_refused() -> None:
    attempt = await Mailer(settings(1)).send(letter(), "a@b\r\nBcc: c@d", "1", 0)
    assert attempt.result is Result.REFUSED
    attempt = await Mailer(settings(1, smtp_host="")).send(letter(), TO, "1", 0)
    assert attempt.result is Result.REFUSED
    assert "smtp_host" in attempt.detail


def test_settings_that_cannot_work_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="smtp_password_file"):
        Mailer(settings(1, smtp_password_file=str(tmp_path / "none")))
    with pytest.raises(UsageError, match="smtp_ca_file"):
        Mailer(settings(1, smtp_tls="tls", smtp_ca_file=str(tmp_path / "none")))
    with pytest.raises(UsageError, match="without encryption"):
        Mailer(settings(1, smtp_host="mail.example.com", smtp_user="u", smtp_password="p"))
