"""HTTPS: certificates that change while a worker runs, certificates of clients, other workers."""

import asyncio
import json
import shutil
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from agents.cli.calling import NoWorker, asked
from agents.http import connections, handshake, reloaded
from agents.http.connections import ConnectionLimits
from agents.http.keys import Scope
from agents.http.listener_tls import ListenerTls
from agents.http.own_address import advertised, check_advertised
from agents.http.tls import client_context
from agents.scatter import retry
from agents.scatter.client import ask
from agents.scatter.sizes import SizesQuery
from agents.scatter.wire import Truncated
from agents.web.sign_in import COOKIE
from agents.web.worker_metrics import worker_metrics
from schemas.errors import Fatal, Recoverable
from streams.metrics.names import CERTIFICATE_UNUSABLE
from streams.settings import load
from tests.rigs.certificates import Authority, Certificate
from tests.rigs.dummies import until
from tests.rigs.given import Given
from tests.rigs.site import SHARDS, A, Site, active, serving, settings

LOCAL = ("localhost", "127.0.0.1")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority that nobody here trusts."""
    return Authority(tmp_path_factory.mktemp("stranger"), "stranger")


@pytest.fixture(scope="module")
def worker(authority: Authority) -> Certificate:
    return authority.issue("worker", LOCAL)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reloaded, "LOOK_AGAIN_S", 0.0)
    monkeypatch.setattr(retry, "PAUSE_S", 0.01)
    monkeypatch.setattr(retry, "RETRY_S", 0.1)


def https(authority: Authority, certificate: Certificate, **more: Any) -> dict[str, Any]:
    return {
        "http_certificate_file": str(certificate.chain),
        "http_key_file": str(certificate.key),
        "http_ca_file": str(authority.certificate),
        **more,
    }


def client(authority: Authority, own: Certificate | None = None) -> aiohttp.TCPConnector:
    context = ssl.create_default_context(cafile=authority.certificate)
    if own is not None:
        context.load_cert_chain(own.chain, own.key)
    return aiohttp.TCPConnector(ssl=context)


@asynccontextmanager
async def asking(
    site: Site, authority: Authority, own: Certificate | None = None
) -> AsyncIterator[aiohttp.ClientSession]:
    connector = client(authority, own)
    async with aiohttp.ClientSession(site.context.address, connector=connector) as session:
        yield session


@dataclass(frozen=True, slots=True)
class Line:
    """One connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @property
    def serial(self) -> str:
        """The number of the certificate that it was given."""
        return str(self.writer.get_extra_info("peercert")["serialNumber"])

    async def get(self, path: str) -> Any:
        """The JSON of an answer 200."""
        async with asyncio.timeout(10):
            self.writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = head.partition("content-length: ")[2].partition("\r\n")[0]
            body = await self.reader.readexactly(int(length))
        assert " 200 " in head.partition("\r\n")[0], head
        return json.loads(body)


@asynccontextmanager
async def connected(site: Site, authority: Authority) -> AsyncIterator[Line]:
    """One connection, with a handshake of its own."""
    context = ssl.create_default_context(cafile=authority.certificate)
    port = int(site.context.address.rpartition(":")[2])
    async with asyncio.timeout(10):
        line = Line(*await asyncio.open_connection("localhost", port, ssl=context))
    try:
        yield line
    finally:
        line.writer.close()


def put(certificate: Certificate, folder: Path) -> Certificate:
    """A copy of its files under names of its own, which replaces the one that was there."""
    folder.mkdir(exist_ok=True)
    found = Certificate(folder / "chain.pem", folder / "key.pem", folder / "both.pem")
    for source, target in zip(
        (certificate.chain, certificate.key), (found.chain, found.key), strict=True
    ):
        shutil.copyfile(source, target.with_suffix(".new"))
        target.with_suffix(".new").replace(target)
    return found


async def test_a_new_certificate_is_taken_and_open_connections_go_on(
    tmp_path: Path, authority: Authority, worker: Certificate
) -> None:
    files = put(worker, tmp_path / "tls")
    site = Site(settings(tmp_path, **https(authority, files)), set(range(SHARDS)), active())
    async with serving(site), connected(site, authority) as kept:
        await kept.get("/healthz")
        put(authority.issue("worker", LOCAL, file="second"), tmp_path / "tls")
        async with connected(site, authority) as anew:
            assert anew.serial != kept.serial
            await anew.get("/healthz")
        await kept.get("/healthz")


def metrics(site: Site) -> dict[str, float]:
    """What the worker tells Prometheus of its certificates."""
    found = worker_metrics(site.context)
    return {one.labels[0]: one.value for one in found if one.metric is CERTIFICATE_UNUSABLE}


@pytest.mark.parametrize("broken", ["nonsense", "another key", "gone", "expired", "other host"])
async def test_a_broken_new_certificate_changes_nothing_and_is_told(
    tmp_path: Path,
    authority: Authority,
    worker: Certificate,
    broken: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    files = put(worker, tmp_path / "tls")
    site = Site(settings(tmp_path, **https(authority, files)), set(range(SHARDS)), active())
    async with serving(site):

        async def told() -> tuple[str, Any, Any]:
            async with connected(site, authority) as line:
                warning = (await line.get("/readyz")).get("warning")
                return line.serial, warning, (await line.get("/status"))["certificate"]

        number, warning, facts = await told()
        assert (warning, facts["trouble"]) == (None, None)
        assert facts["until"] > site.context.clock.now_ms()
        if broken == "nonsense":
            files.chain.write_text("nonsense")
        elif broken == "another key":
            shutil.copyfile(authority.issue("other", LOCAL).key, files.key)
        elif broken == "gone":
            files.key.unlink()
        elif broken == "expired":
            put(authority.issue("worker", LOCAL, expired=True, file="old"), tmp_path / "tls")
        else:
            put(authority.issue("worker", ("elsewhere.example",), file="other"), tmp_path / "tls")
        again, warning, facts = await told()
        assert again == number
        assert warning == "the certificate of the worker, or a new one, cannot be used"
        assert str(files.chain) in facts["trouble"]
        assert "the former certificate stays in use" in caplog.text
        assert metrics(site) == {"listener": 1, "workers": 0}
        put(worker, tmp_path / "tls")
        assert (await told())[1:] == (None, facts | {"trouble": None})
        assert metrics(site) == {"listener": 0, "workers": 0}


def test_files_that_cannot_be_used_are_named_at_the_start(
    tmp_path: Path, authority: Authority, worker: Certificate
) -> None:
    locked = authority.issue("locked", LOCAL, password="secret")
    password = tmp_path / "password"
    password.write_text("wrong\n")
    other = authority.issue("other", LOCAL)
    for files, said in (
        (https(authority, worker, http_certificate_file=str(tmp_path / "none")), "no such file"),
        (https(authority, worker, http_key_file=str(other.key)), "belongs to another certificate"),
        (https(authority, worker, http_key_file=""), "no PEM file with a certificate and a key"),
        (https(authority, locked), "http_certificate_file.*encrypted.*http_key_password_file"),
        (https(authority, locked, http_key_password_file=str(password)), "password.*is wrong"),
        (https(authority, worker, http_client_ca_file=str(worker.key)), "http_client_ca_file"),
    ):
        with pytest.raises(Fatal, match=said):
            ListenerTls(settings(tmp_path, **files))
    password.write_text("secret\n")
    given = https(authority, locked, http_key_password_file=str(password))
    assert ListenerTls(settings(tmp_path, **given)).trouble == ""
    # without a valid one the worker still has its work to do
    expired = authority.issue("expired", LOCAL, expired=True)
    late = ListenerTls(settings(tmp_path, **https(authority, expired)))
    assert (late.until, "certificate has expired" in late.trouble) == (None, True)
    told = settings(tmp_path, **https(authority, worker, advertised_url="https://other.example"))
    assert "Hostname mismatch" in ListenerTls(told).trouble


def test_no_version_below_1_2_is_spoken(
    tmp_path: Path, authority: Authority, worker: Certificate
) -> None:
    given = settings(tmp_path, **https(authority, worker))
    assert ListenerTls(given).present().minimum_version == ssl.TLSVersion.TLSv1_2
    assert client_context(given).minimum_version == ssl.TLSVersion.TLSv1_2
    assert client_context(given).check_hostname
    assert client_context(given).verify_mode == ssl.CERT_REQUIRED


async def test_with_an_authority_for_clients_only_health_is_answered_without_a_certificate(
    tmp_path: Path, authority: Authority, stranger: Authority, worker: Certificate
) -> None:
    mutual = https(authority, worker, http_client_ca_file=str(authority.certificate))
    site = Site(settings(tmp_path, **mutual), set(range(SHARDS)), active())
    async with serving(site):
        async with asking(site, authority) as session:
            for path, wanted in (("/healthz", 200), ("/readyz", 200), ("/status", 403), ("/", 403),
                                 ("/session", 403), ("/none", 403)):  # fmt: skip
                async with session.get(path) as answer:
                    assert answer.status == wanted, path
                    if wanted == 403:
                        assert (await answer.json())["code"] == "no_certificate"
        ann = asking(site, authority, authority.issue("ann", ()))
        async with ann as session, session.get("/status") as answer:
            assert answer.status == 200
        async with asking(site, authority, stranger.issue("eve", ())) as session:
            with pytest.raises(aiohttp.ClientError):
                async with session.get("/status"):
                    pass


@pytest.mark.parametrize("mutual", [False, True])
async def test_workers_ask_each_other_over_https(
    tmp_path: Path, authority: Authority, stranger: Authority, mutual: bool
) -> None:
    given = Given(tmp_path, http_rate=0)
    more = {"http_client_ca_file": str(authority.certificate)} if mutual else {}

    def site(certificate: Certificate, shards: set[int], **other: Any) -> Site:
        flags = {"partitions": SHARDS, "data_dir": tmp_path, "http_rate": 0,
                 "keys_file": given.settings.keys_file,
                 **https(authority, certificate, **more), **other}  # fmt: skip
        return Site(load(flags, env={}, file=tmp_path / "none"), shards, active())

    one = site(authority.issue("one", LOCAL), {0})
    two = site(authority.issue("two", LOCAL), {1})
    elsewhere = site(authority.issue("three", ("elsewhere.example",)), {2})
    foreign = site(stranger.issue("four", LOCAL), {3}, http_client_ca_file="")
    async with serving(one, two, elsewhere, foreign):
        assert await ask(one.context, 1, SizesQuery([A]))
        assert await ask(two.context, 0, SizesQuery([A]))
        with pytest.raises(Truncated, match=r"certificate is not accepted: .*127\.0\.0\.1"):
            await ask(one.context, 2, SizesQuery([A]))
        with pytest.raises(
            Truncated, match="certificate is not accepted: unable to get local issuer"
        ):
            await ask(one.context, 3, SizesQuery([A]))
        # a member of the group may claim any address
        one.manager.directory.shards[1] = two.context.address.replace("https", "http")
        with pytest.raises(Recoverable, match="does not serve https"):
            await ask(one.context, 1, SizesQuery([A]))


async def test_commands_ask_over_https(
    tmp_path: Path, authority: Authority, worker: Certificate
) -> None:
    given = Given(tmp_path, **https(authority, worker))
    site = Site(given.settings, set(range(SHARDS)), active())
    async with serving(site):
        key = given.tokens[Scope.READ]

        def by(**flags: Any) -> Any:
            flags = {"url": site.context.address, "api_key": key, **flags}
            return asked(load(flags, env={}, file=tmp_path / "none"), "GET", "/status")

        found = await by(http_ca_file=str(authority.certificate))
        assert found["address"] == site.context.address
        with pytest.raises(Fatal, match=r"not trusted: .*: unable to get local.*http_ca_file"):
            await by()
        with pytest.raises(NoWorker, match=r"closed|incomplete"):
            await by(url=site.context.address.replace("https", "http"))


async def test_cookies_over_https_are_secure(
    tmp_path: Path, authority: Authority, worker: Certificate
) -> None:
    given = Given(tmp_path, **https(authority, worker, public_url="https://hot.example"))
    site = Site(given.settings, set(range(SHARDS)), active())
    async with serving(site), asking(site, authority) as session:
        # as a proxy that speaks TLS to the worker may send it
        headers = {"Origin": "http://hot.example", "Host": "hot.example"}
        body = {"key": given.tokens[Scope.READ]}
        async with session.post("/session", json=body, headers=headers) as answer:
            assert answer.status == 200
            assert answer.cookies[COOKIE]["secure"]
            assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
        # an address with other ports and other programs
        async with session.get("/healthz") as answer:
            assert "Strict-Transport-Security" not in answer.headers


async def test_connections_that_never_end_their_handshake_keep_no_client_out(
    tmp_path: Path,
    authority: Authority,
    worker: Certificate,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level("INFO", connections.__name__)
    more = https(authority, worker, http_connections=40)
    site = Site(settings(tmp_path, **more), set(range(SHARDS)), active())
    most = ConnectionLimits.of(site.context.settings).total
    async with serving(site):
        port = int(site.context.address.rpartition(":")[2])
        opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(100)]
        async with connected(site, authority) as line:
            await line.get("/healthz")
        await until(lambda: sum(not reader.at_eof() for reader, _ in opened) <= most, 5.0)
        for _, writer in opened:
            writer.close()
        monkeypatch.setattr(handshake, "HANDSHAKE_S", 0.1)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        async with asyncio.timeout(5):
            assert await reader.read() == b""
        writer.close()
        assert "TLS handshakes have failed" in caplog.text


def test_the_address_that_others_are_told(tmp_path: Path, worker: Certificate) -> None:
    tls = {"http_certificate_file": str(worker.chain)}
    for more, told in (
        ({}, "http://127.0.0.1:7000"),
        (tls, "https://127.0.0.1:7000"),
        ({"http_host": "::1"}, "http://[::1]:7000"),
        ({"advertised_url": "https://w1.example"}, "https://w1.example:443"),
        ({"advertised_url": "http://w1.example:80"}, "http://w1.example:80"),
        ({"advertised_url": "https://[2001:db8::1]:1"}, "https://[2001:db8::1]:1"),
    ):
        assert advertised(settings(tmp_path, **more), 7000) == told
    for wrong, said in (
        ({"advertised_url": "http://w1.example", **tls}, "serves https"),
        ({"advertised_url": "http://127.0.0.1:1", "http_host": "0.0.0.0"}, "this machine alone"),
        ({"http_client_ca_file": "ca.pem"}, "no https without"),
    ):
        with pytest.raises(Fatal, match=said):
            check_advertised(settings(tmp_path, **wrong))
    for none in ("w1:1", "https://w1/path", "https://user@w1", "ftp://w1", "https://w1:x"):
        with pytest.raises(Fatal, match="advertised_url"):
            settings(tmp_path, advertised_url=none)
