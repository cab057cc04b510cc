"""The programs of examples/ on a secured cluster: each way in, and the least rights of a role."""

import asyncio
import sys
from pathlib import Path

import pytest

from agents.reference.rights import rights
from schemas.records import codec
from streams.devbroker.secured import SecuredBroker
from streams.kafka import topics as topic_admin
from streams.kafka.kafka_log import KafkaLog
from streams.kafka.topic_reader import read_all
from streams.settings import Settings, load
from tests.rigs.example_story import TYPES, Consumer, Stage, expired_fact, sent
from tests.rigs.examples import LANGUAGES, Missing, build
from tests.rigs.secured import USERS, change_rights, token

pytestmark = pytest.mark.connected

PARTITIONS = 2
WAYS = ("mutual", "PLAIN", "SCRAM-SHA-512", "OAUTHBEARER")
SIGNED_ONLY = "java"
"""Its client takes signed tokens alone, and the broker of tests unsigned ones alone: a token comes
as far as the broker, which refuses it."""


def variables(
    broker: SecuredBroker, folder: Path, way: str, user: str, signature: str = ""
) -> dict[str, str]:
    """What docs/secured-kafka.md has a user of this way set."""
    if way == "mutual":
        certificate = broker.client_certificate(user)
        given = broker.security("MUTUAL") | {
            "kafka_cert_file": str(certificate.chain),
            "kafka_key_file": str(certificate.key),
        }
    elif way == "OAUTHBEARER":
        file = folder / f"{user}.token"
        file.write_text(f"{token(user)}{signature}\n")
        given = broker.security("SASL", way) | {"kafka_token_file": str(file)}
    else:
        given = broker.as_user(user, way)
    bootstrap = str(given.pop("bootstrap_servers"))
    named = {f"EMBERLINE_{name.upper()}": str(value) for name, value in given.items()}
    return named | {"KAFKA_BOOTSTRAP_SERVERS": bootstrap}


@pytest.fixture
async def settings(secured: SecuredBroker, prefix: str, tmp_path: Path) -> Settings:
    """Of somebody who may do everything."""
    given = {"bootstrap_servers": secured.bootstrap_servers, "prefix": prefix}
    settings = load({**given, "partitions": PARTITIONS}, env={}, file=tmp_path / "none.toml")
    await topic_admin.create(settings)
    return settings


@pytest.mark.parametrize("language", LANGUAGES)
async def test_each_way_into_a_secured_cluster(
    language: str,
    secured: SecuredBroker,
    settings: Settings,
    tmp_path: Path,
    pytestconfig: pytest.Config,
) -> None:
    cache = pytestconfig.rootpath / ".pytest_cache/examples"
    try:
        programs = await asyncio.to_thread(build, language, cache, sys.executable)
    except Missing as missing:
        pytest.skip(str(missing))
    stage = Stage(settings, tmp_path, {language: programs})
    group = f"{settings.prefix}{language}"
    names = {"producer": ("producer", "CN=producer"), "consumer": ("consumer",)}
    acls = [
        (principal, right)
        for role, principals in names.items()
        for principal in principals
        for right in rights(settings, role, group)
    ]
    await change_rights(secured, acls)
    await _produced(language, secured, stage)
    await sent(settings, stage.topics.expired, expired_fact("campaign:spring", 1))
    consumer = Consumer(stage, language)
    try:
        await consumer.start(group, **variables(secured, tmp_path, "SCRAM-SHA-256", "consumer"))
        await consumer.printed("expired campaign:spring 1")
        await consumer.end()
    finally:
        await consumer.kill()


async def _produced(language: str, broker: SecuredBroker, stage: Stage) -> None:
    """Events come in by each way; a wrong password is told without a secret."""
    signature = "c2lnbmVk" if language == SIGNED_ONLY else ""
    by_way = {way: variables(broker, stage.folder, way, "producer", signature) for way in WAYS}
    (stage.folder / "wrong").write_text("not-this\n")
    wrong = {"EMBERLINE_KAFKA_SASL_PASSWORD_FILE": str(stage.folder / "wrong")}
    by_way["wrong"] = by_way["PLAIN"] | wrong
    producer = stage.programs[language]["producer"]
    ran = [stage.ran(producer, "spring", way, **env) for way, env in by_way.items()]
    done = dict(zip(by_way, await asyncio.gather(*ran), strict=True))
    refused = {"wrong", "OAUTHBEARER"} if language == SIGNED_ONLY else {"wrong"}
    for way, one in done.items():
        if way in refused:
            assert (one.code, one.out) == (1, ""), f"{way}: {one}"
            assert "ot all events were sent" in one.error
            secrets = ("not-this", *USERS.values(), token("producer").partition(".")[0])
            assert not [word for word in secrets if word in one.error], one.error
        else:
            assert (one.code, one.out) == (0, f"{len(TYPES)} events acknowledged\n"), (
                f"{way}: {one}"
            )
    if language == SIGNED_ONLY:
        assert "invalid_token" in done["OAUTHBEARER"].error, done["OAUTHBEARER"]
    found = await read_all(KafkaLog(stage.settings), f"{stage.settings.prefix}interactions.send")
    users = {codec.decode(record.value or b"", "send")["user_id"] for _, _, record in found}
    assert users == set(by_way) - refused
