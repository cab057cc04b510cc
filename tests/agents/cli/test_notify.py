"""`emberline notify`: what waits and failed, trying again, and a test message."""

import base64
import json

import pytest

from agents.notify import outbox_log
from agents.notify.outbox import Channel, Delivery, DeliveryState, NoticeKind
from streams.kafka.kafka_log import KafkaLog
from streams.kafka.topic_reader import read_all
from streams.kafka.topics import Topics
from streams.settings import Settings
from tests.rigs.command_line import emberline
from tests.rigs.mail_server import serving_mail

NOW = 1_767_225_600_000
TO = "ada@example.com"


def delivery(key: str, state: DeliveryState, error: str = "") -> Delivery:
    made = (key, "n", NoticeKind.REQUEST, Channel.MAIL, TO, "en", NOW, NOW)
    return Delivery(*made, state=state, error=error, next_at=NOW)


@pytest.mark.connected
async def test_what_failed_is_listed_and_tried_again(settings: Settings, topics: Topics) -> None:
    appender = KafkaLog(settings).appender("test")
    for one in (
        delivery("d1", DeliveryState.FAILED, "550 no such user"),
        delivery("d2", DeliveryState.PENDING),
        delivery("d3", DeliveryState.SENT),
    ):
        await appender.append(outbox_log.record(topics.notifications, f"d/{one.id}", one))
    await appender.close()
    listed = await emberline(settings, "notify", "list")
    assert "550 no such user" in listed.stdout
    assert "d3" not in listed.stdout
    found = json.loads((await emberline(settings, "notify", "list", "--all", "--json")).stdout)
    assert [one["id"] for one in found["deliveries"]] == ["d1", "d2", "d3"]
    assert found["deliveries"][0]["state"] == "failed"
    status = json.loads((await emberline(settings, "status", "--json")).stdout)
    assert status["notifications_failed"] == 1
    unknown = await emberline(settings, "notify", "retry", "d2")
    assert unknown.exit_code == 2
    assert "emberline notify list" in unknown.stderr
    assert (await emberline(settings, "notify", "retry")).exit_code == 2
    done = await emberline(settings, "notify", "retry", "d1", "--json")
    assert json.loads(done.stdout) == {"retried": ["d1"]}
    _, _, last = (await read_all(KafkaLog(settings), topics.notifications))[-1]
    assert last.key == b"q/d1"


async def test_a_test_message_is_sent_at_once_and_says_what_the_server_answered() -> None:
    async with serving_mail() as server:
        pairs = {"smtp_host": "127.0.0.1", "smtp_port": server.port, "smtp_tls": "none"}
        pairs |= {"notify_language": "ko", "mail_from": "emberline@example.com"}
        options = [part for name, one in pairs.items() for part in ("--set", f"{name}={one}")]
        server.answers = ["250 OK", "550 no"]
        sent = await emberline(Settings(), "notify", "test", TO, *options)
        assert (sent.exit_code, sent.stdout) == (0, f"{TO}: sent\n")
        refused = await emberline(Settings(), "notify", "test", TO, *options)
        assert refused.exit_code == 1
        assert "550 no" in refused.stdout
    (found,) = server.mails
    assert (found["To"], found["Content-Language"]) == (TO, "ko")
    nobody = await emberline(Settings(), "notify", "test")
    assert "notify_to" in nobody.stderr


async def test_a_test_of_a_webhook_shows_no_password() -> None:
    pairs = {"webhook_urls": "http://u:hidden@127.0.0.1:1/hook"}
    pairs["webhook_secrets"] = f"whsec_{base64.b64encode(bytes(32)).decode()}"
    options = [part for name, one in pairs.items() for part in ("--set", f"{name}={one}")]
    for form in ((), ("--json",)):
        found = await emberline(Settings(), "notify", "test", *options, *form)
        assert "http://(set)@127.0.0.1:1/hook" in found.stdout
        assert "hidden" not in found.stdout + found.stderr
