"""Who is told: mail addresses of a request, of its key and of the settings, and webhooks."""

from collections.abc import Callable

from agents.coordinator.rules.state import Request
from agents.notify.facts import MOVES
from agents.notify.outbox import Channel, Recipient
from streams.settings import Settings

__all__ = ["EmailOf", "language_of", "of_request", "of_settings"]

EmailOf = Callable[[str], str]
"""The address of the key of this name; empty if it has none."""

MOST = 100
"""Mail addresses of one notice, and webhooks."""


def language_of(settings: Settings, address: str) -> str:
    """The language of an address: its own, that of its domain, or the default."""
    by = {name.lower(): language for name, language in settings.notify_languages.items()}
    whole = address.lower()
    domain = whole.rpartition("@")[2]
    return by.get(whole) or by.get(domain) or settings.notify_language


def of_request(settings: Settings, request: Request, email_of: EmailOf) -> list[Recipient]:
    """Who is told that a request is over: its own recipients; of requests that take time also the
    key that asked and the recipients in the settings, once each.
    """
    found = list(request.notify)
    if request.type in MOVES and not request.dry_run:
        if request.actor is not None and (address := email_of(request.actor)):
            found.append(address)
        found += settings.notify_to
    mails = [_mail(settings, one) for one in dict.fromkeys(found)]
    return [*mails[:MOST], *of_webhooks(settings)]


def of_settings(settings: Settings) -> list[Recipient]:
    """Who is told of what nobody asked for."""
    mails = [_mail(settings, one) for one in settings.notify_to]
    return [*mails[:MOST], *of_webhooks(settings)]


def of_webhooks(settings: Settings) -> list[Recipient]:
    """Every webhook of the settings."""
    language = settings.notify_language
    return [Recipient(Channel.WEBHOOK, str(url), language) for url in settings.webhook_urls][:MOST]


def _mail(settings: Settings, address: str) -> Recipient:
    return Recipient(Channel.MAIL, address, language_of(settings, address))
