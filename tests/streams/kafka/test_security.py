"""Connections to a secured broker: each mechanism, right, wrong and expired."""

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from streams.devbroker.certificates import Authority
from streams.devbroker.secured import ADMIN, SecuredBroker
from streams.kafka import bootstrap
from streams.kafka.kafka_log import KafkaLog
from streams.kafka.refusal import BrokerRefuses
from streams.settings import SET, Settings, describe
from tests.rigs.secured import secured_settings, token
from tests.rigs.token_server import SECRET, serving

pytestmark = pytest.mark.connected

ANSWER_S = 20.0


def written(folder: Path, name: str, text: str) -> str:
    file = folder / name
    file.touch(mode=0o600)
    file.write_text(text)
    return str(file)


async def connects(settings: Settings) -> None:
    assert await bootstrap.answers(settings, "test", ANSWER_S)


def mutual(broker: SecuredBroker, folder: Path) -> dict[str, object]:
    found = broker.client_certificate("client")
    files = {"kafka_cert_file": str(found.chain), "kafka_key_file": str(found.key)}
    return broker.security("MUTUAL") | files


def with_password(broker: SecuredBroker, folder: Path) -> dict[str, object]:
    found = broker.authority.issue("locked", (), password="key-secret")
    files = {"kafka_cert_file": str(found.chain), "kafka_key_file": str(found.key)}
    word = {"kafka_key_password_file": written(folder, "key-password", "key-secret\n")}
    return broker.security("MUTUAL") | files | word


def bearer(broker: SecuredBroker, folder: Path) -> dict[str, object]:
    file = written(folder, "token", token(ADMIN))
    return broker.security("SASL", "OAUTHBEARER") | {"kafka_token_file": file}


GOOD: dict[str, Callable[[SecuredBroker, Path], dict[str, object]]] = {
    "tls": lambda broker, _: broker.security("TLS"),
    "mutual tls": mutual,
    "a key with a password": with_password,
    "plain": lambda broker, _: broker.as_user(ADMIN, "PLAIN"),
    "scram-sha-256": lambda broker, _: broker.as_user(ADMIN, "SCRAM-SHA-256"),
    "scram-sha-512": lambda broker, _: broker.as_user(ADMIN, "SCRAM-SHA-512"),
    "scram without tls": lambda broker, _: broker.as_user(ADMIN, listener="OPEN"),
    "oauthbearer": bearer,
    "another host allowed": lambda broker, _: (
        broker.security("MISNAMED") | {"kafka_check_hostname": False}
    ),
}


@pytest.mark.parametrize("kind", GOOD)
async def test_each_way_to_connect(kind: str, secured: SecuredBroker, tmp_path: Path) -> None:
    await connects(secured_settings(GOOD[kind](secured, tmp_path), tmp_path))


def with_client(broker: SecuredBroker, authority: Authority, **more: Any) -> dict[str, object]:
    found = authority.issue("stranger", (), **more)
    files = {"kafka_cert_file": str(found.chain), "kafka_key_file": str(found.key)}
    return broker.security("MUTUAL") | files


BAD: dict[str, tuple[Callable[[SecuredBroker, Path, Authority], dict[str, object]], str, str]] = {
    "another authority": (
        lambda broker, _, other: broker.security("TLS") | {"kafka_ca_file": str(other.certificate)},
        "comes from no authority in",
        "kafka_ca_file",
    ),
    "expired": (
        lambda broker, *_: broker.security("EXPIRED"), "certificate has expired", "Renew",
    ),
    "another host": (
        lambda broker, *_: broker.security("MISNAMED"), "for another host", "advertised.listeners",
    ),
    "no certificate of the client": (
        lambda broker, *_: broker.security("MUTUAL"),
        "certificate of this client",
        "kafka_cert_file",
    ),
    "expired certificate of the client": (
        lambda broker, *_: with_client(broker, broker.authority, expired=True),
        "certificate of this client",
        "kafka_cert_file",
    ),
    "certificate of the client from elsewhere": (
        lambda broker, _, other: with_client(broker, other),
        "certificate of this client",
        "kafka_cert_file",
    ),
    "plain with a wrong password": (
        lambda broker, folder, _: (
            broker.as_user(ADMIN, "PLAIN")
            | {"kafka_sasl_password_file": written(folder, "wrong", "no-secret")}
        ),
        "does not accept user admin",
        "kafka_sasl_password_file",
    ),
    "scram with a wrong password": (
        lambda broker, folder, _: (
            broker.as_user(ADMIN)
            | {"kafka_sasl_password_file": written(folder, "wrong", "no-secret")}
        ),
        "does not accept user admin",
        "kafka_sasl_password_file",
    ),
    "an unknown user": (
        lambda broker, *_: broker.as_user(ADMIN) | {"kafka_sasl_user": "nobody"},
        "does not accept user nobody",
        "kafka-configs.sh",
    ),
    "a mechanism that is not offered": (
        lambda broker, *_: broker.as_user(ADMIN, "SCRAM-SHA-256", "OPEN"),
        "does not offer SCRAM-SHA-256",
        "kafka_sasl_mechanism",
    ),
    "an expired token": (
        lambda broker, folder, _: (
            bearer(broker, folder) | {"kafka_token_file": written(folder, "old", token(ADMIN, -5))}
        ),
        "does not accept the token",
        "kafka_token_file",
    ),
    "no token": (
        lambda broker, folder, _: (
            bearer(broker, folder) | {"kafka_token_file": written(folder, "none", "")}
        ),
        "is empty",
        "Write the token",
    ),
    "no file with a password": (
        lambda broker, folder, _: (
            broker.as_user(ADMIN) | {"kafka_sasl_password_file": str(folder / "gone")}
        ),
        "cannot be read",
        "Name a file",
    ),
    "plaintext at a port with tls": (
        lambda broker, *_: broker.security("TLS") | {"kafka_security": "plaintext"},
        "speaks TLS at this port",
        "kafka_security",
    ),
    "tls at a port without": (
        lambda broker, *_: (
            broker.security("TLS") | {"bootstrap_servers": broker.bootstrap_servers}
        ),
        "does not speak TLS",
        "bootstrap_servers",
    ),
    "a user at a port without users": (
        lambda broker, *_: (
            broker.as_user(ADMIN) | {"bootstrap_servers": broker.listeners["TLS"]}
        ),
        "asks for no user",
        "kafka_security",
    ),
    "no user at a port with users": (
        lambda broker, *_: (
            broker.security("TLS") | {"bootstrap_servers": broker.listeners["SASL"]}
        ),
        "asks for a user",
        "SCRAM-SHA-512",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
async def test_what_is_refused_has_its_reason_and_its_remedy(
    kind: str, secured: SecuredBroker, authority: Authority, tmp_path: Path
) -> None:
    make, reason, remedy = BAD[kind]
    settings = secured_settings(make(secured, tmp_path, authority), tmp_path)
    begun = time.monotonic()
    with pytest.raises(BrokerRefuses) as caught:
        await bootstrap.answers(settings, "test", ANSWER_S)
    assert reason in caught.value.message, caught.value
    assert remedy in caught.value.remedy
    assert time.monotonic() - begun < ANSWER_S
    told = f"{caught.value!r} {caught.value.__cause__!r}"
    assert not [word for word in ("no-secret", *secured.users.values()) if word in told]


async def test_a_token_server_is_asked_once_and_again_when_its_token_ends(
    secured: SecuredBroker, tmp_path: Path
) -> None:
    with serving(lambda: token(ADMIN)) as server:
        given = secured.security("SASL", "OAUTHBEARER") | {
            "kafka_token_url": server.url,
            "kafka_token_client_id": "emberline",
            "kafka_token_client_secret_file": written(tmp_path, "client-secret", SECRET),
        }
        settings = secured_settings(given, tmp_path)
        for _ in range(3):
            await connects(settings)
        assert server.asked == 1
        wrong = secured_settings(
            given | {"kafka_token_client_secret_file": written(tmp_path, "wrong", "no-secret")},
            tmp_path,
        )
        with pytest.raises(BrokerRefuses, match=r"status 401: invalid_client") as caught:
            await connects(wrong)
    assert "kafka_token_client_id" in caught.value.remedy


async def test_files_that_change_are_read_for_the_next_connection(
    secured: SecuredBroker, authority: Authority, tmp_path: Path
) -> None:
    """Certificates, passwords and tokens are renewed without a restart."""
    ca = written(tmp_path, "ca.pem", authority.certificate.read_text())
    word = written(tmp_path, "password", "no-secret")
    files = {"kafka_ca_file": ca, "kafka_sasl_password_file": word}
    settings = secured_settings(secured.as_user(ADMIN) | files, tmp_path)
    with pytest.raises(BrokerRefuses, match="comes from no authority"):
        await connects(settings)
    written(tmp_path, "ca.pem", secured.authority.certificate.read_text())
    with pytest.raises(BrokerRefuses, match="does not accept user"):
        await connects(settings)
    written(tmp_path, "password", secured.users[ADMIN])
    await connects(settings)
    # half of a file that another program writes at this moment
    written(tmp_path, "ca.pem", "-----BEGIN CERT")
    await connects(settings)


async def test_a_session_that_ends_costs_no_request(secured: SecuredBroker, tmp_path: Path) -> None:
    """The broker closes a connection at the first request after its session."""
    settings = secured_settings(secured.as_user(ADMIN, "SCRAM-SHA-256"), tmp_path)
    client = bootstrap.client(settings, "sessions", ANSWER_S)
    await client.bootstrap()
    try:
        (node,) = [broker.nodeId for broker in client.cluster.brokers()]
        used: set[Any] = set()
        async with asyncio.timeout(60):
            while len(used) < 2:
                assert await client.ready(node)
                used.add(client._conns[node, 0])
                await client.ask_any(_question())
                await asyncio.sleep(0.05)
    finally:
        await client.close()


def _question() -> Any:
    from aiokafka.protocol.metadata import MetadataRequest

    return MetadataRequest([])


async def test_no_secret_is_shown(
    secured: SecuredBroker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Not by settings, not by what the library logs, at any level."""
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "aiokafka")  # which a command has silenced
    given = secured.as_user(ADMIN, "PLAIN") | {
        "kafka_sasl_password_file": "",
        "kafka_sasl_password": secured.users[ADMIN],
    }
    settings = secured_settings(given, tmp_path)
    await connects(settings)
    assert "SaslAuthenticateRequest(hidden)" in caplog.text
    lines = {line.name: line.value for line in describe(settings)}
    assert lines["kafka_sasl_password"] == SET
    shown = f"{caplog.text} {settings!r} {lines} {KafkaLog(settings)!r}"
    assert secured.users[ADMIN] not in shown
