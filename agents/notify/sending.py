"""One attempt to deliver: a notice becomes a letter, and the letter a mail; or it is a webhook."""

from agents.notify.catalogue import texts
from agents.notify.letter import letter_of
from agents.notify.mail import Mailer
from agents.notify.outbox import Attempt, Channel, Delivery, Notice
from agents.notify.webhook import Hooks
from streams.clock import Clock
from streams.settings import Settings

__all__ = ["Sender"]


class Sender:
    """Sends by the settings of one worker. Raises UsageError for settings that cannot work."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._mailer = Mailer(settings)
        self._hooks = Hooks(settings)

    async def __call__(self, notice: Notice, delivery: Delivery) -> Attempt:
        """One attempt, of limited time; raises nothing that a server causes."""
        settings, now = self._settings, self._clock.now_ms()
        if delivery.channel is Channel.WEBHOOK:
            return await self._hooks.send(notice, delivery.to, delivery.id, now)
        letter = letter_of(notice, texts(delivery.language), settings.prefix, settings.public_url)
        return await self._mailer.send(letter, delivery.to, delivery.id, now)
