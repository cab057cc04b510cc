"""One attempt to deliver: a notice becomes a letter, and the letter a mail."""

from agents.notify.catalogue import texts
from agents.notify.letter import letter_of
from agents.notify.mail import Mailer
from agents.notify.outbox import Attempt, Delivery, Notice
from streams.clock import Clock
from streams.settings import Settings

__all__ = ["Sender"]


class Sender:
    """Sends by the settings of one worker. Raises UsageError for settings that cannot work."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._mailer = Mailer(settings)

    async def __call__(self, notice: Notice, delivery: Delivery) -> Attempt:
        """One attempt, of limited time; raises nothing that a server causes."""
        settings = self._settings
        letter = letter_of(notice, texts(delivery.language), settings.prefix, settings.public_url)
        return await self._mailer.send(letter, delivery.to, delivery.id, self._clock.now_ms())
