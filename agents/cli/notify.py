"""`emberline notify`: what operators are told, what failed, and a test."""

import click

from agents.cli.group import Words
from agents.cli.options import emit, json_option, run, settings_of
from agents.notify import retrying
from agents.notify.deliveries import deliveries, facts
from agents.notify.outbox import (
    Attempt,
    Channel,
    Delivery,
    DeliveryState,
    Notice,
    NoticeKind,
    Result,
    identity,
)
from agents.notify.recipients import language_of, of_webhooks
from agents.notify.retrying import Retried
from agents.notify.sending import Sender
from agents.terminal.say import say
from agents.terminal.table import show, when
from schemas.errors import Fatal, UsageError
from schemas.words.mail_address import is_address
from streams.clock import SYSTEM_CLOCK
from streams.kafka.kafka_log import KafkaLog
from streams.settings import Settings
from streams.settings_values import Address

__all__ = ["command"]


@click.group("notify", cls=Words, help="Show, repeat and test mail and webhooks.")
def command() -> None:
    """Deliveries are in the topic `notifications`; the notifier of a worker sends them."""


@command.command("list", help="What waits and what failed, oldest first.")
@click.option("--all", "every", is_flag=True, help="Also what was sent in the last 7 days.")
@json_option
@click.pass_context
def list_(ctx: click.Context, every: bool, as_json: bool) -> None:
    """Failed deliveries are kept for 30 days."""
    found = run(_deliveries(settings_of(ctx)))
    listed = [one for one in found if every or one.state is not DeliveryState.SENT]
    if as_json:
        emit({"deliveries": [facts(one) for one in listed]})
        return
    show(
        ("time", "id", "state", "type", "channel", "to", "tries", "next", "error"),
        [
            (
                when(one.created), one.id, one.state.value, one.kind.value, one.channel.value,
                one.shown, one.attempts,
                when(one.next_at) if one.state is DeliveryState.PENDING else "", one.error,
            )
            for one in listed
        ],
    )  # fmt: skip


@command.command("retry", help="Try failed deliveries again: some by their id, or --all.")
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--all", "every", is_flag=True, help="All that failed.")
@json_option
@click.pass_context
def retry(ctx: click.Context, ids: tuple[str, ...], every: bool, as_json: bool) -> None:
    """The notifier tries them at once, as if they were new."""
    if bool(ids) is every:
        raise UsageError("Name deliveries, or --all", remedy="`emberline notify list` shows ids")
    settings = settings_of(ctx)
    done = run(_retry(settings, None if every else ids))
    if done.not_failed:
        raise UsageError(
            f"No failed delivery has the id {done.not_failed[0][:80]!r}",
            remedy="`emberline notify list` shows those that failed",
        )
    if as_json:
        emit({"retried": list(done.retried)})
    else:
        say(f"{len(done.retried)} will be tried again by the worker that has the notifier.")


@command.command("test", help="Send a test to ADDRESS, or to the recipients of the settings.")
@click.argument("address", required=False)
@json_option
@click.pass_context
def test(ctx: click.Context, address: str | None, as_json: bool) -> None:
    """Sent from this machine with these settings, at once; prints what each server answered."""
    settings = settings_of(ctx)
    if address is not None and not is_address(address):
        raise UsageError(f"{address[:80]!r} is no mail address", remedy="Write one like ada@host")
    mails = settings.notify_to if address is None else (address,)
    hooks = of_webhooks(settings) if address is None else []
    to = [(Channel.MAIL, one) for one in mails]
    to += [(one.channel, one.to) for one in hooks]
    if not to:
        raise UsageError("Nobody is told", remedy="Name an address, or set notify_to")
    results = run(_test(settings, to))
    named = [
        (channel, one if channel is Channel.MAIL else Address(one).shown) for channel, one in to
    ]
    if as_json:
        emit(
            {
                "results": [
                    {"channel": channel, "to": name, "result": one.result, "detail": one.detail}
                    for (channel, name), one in zip(named, results, strict=True)
                ]
            }
        )
    else:
        for (_, name), one in zip(named, results, strict=True):
            say(f"{name}: {one.result}{f', {one.detail}' if one.detail else ''}")
    if any(one.result is not Result.SENT for one in results):
        raise Fatal("Not all were sent", remedy="See docs/notifications.md for the settings")


async def _deliveries(settings: Settings) -> list[Delivery]:
    return await deliveries(KafkaLog(settings), settings.prefix)


async def _retry(settings: Settings, ids: tuple[str, ...] | None) -> Retried:
    return await retrying.retry(KafkaLog(settings), settings.prefix, SYSTEM_CLOCK, ids)


async def _test(settings: Settings, to: list[tuple[Channel, str]]) -> list[Attempt]:
    send, now = Sender(settings, SYSTEM_CLOCK), SYSTEM_CLOCK.now_ms()
    notice = Notice(identity(settings.prefix, NoticeKind.TEST, now), NoticeKind.TEST, now, {})
    results = []
    for channel, name in to:
        language = language_of(settings, name)
        key = identity(notice.id, channel, name)
        made = Delivery(key, notice.id, notice.kind, channel, name, language, now, now)
        results.append(await send(notice, made))
    return results
