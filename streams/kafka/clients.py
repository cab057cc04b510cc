"""Makes the library's clients: the only module that does, so that each connects as the settings
say, with the time limits of `bootstrap.py`.
"""

from typing import TYPE_CHECKING, Any

from streams.kafka import bootstrap
from streams.settings import Settings

if TYPE_CHECKING:
    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
    from aiokafka.admin import AIOKafkaAdminClient

__all__ = ["PATIENT_S", "admin", "consumer", "producer"]

PATIENT_S = 40.0
"""For tools whose own work stops the event loop for seconds."""

# a command that needs one kind of client does not load the others


def producer(
    settings: Settings, client_id: str, request_s: float = bootstrap.WRITE_S, **options: Any
) -> "AIOKafkaProducer":
    """A producer that is not connected yet; `client_id` is shown in the brokers' logs, `request_s`
    limits the time for an answer. Raises UsageError.
    """
    from aiokafka import AIOKafkaProducer

    made = AIOKafkaProducer(
        bootstrap_servers=settings.bootstrap_servers, client_id=client_id, **options
    )
    bootstrap.adopt(made.client, settings, request_s)
    return made


def consumer(
    settings: Settings, client_id: str, request_s: float = bootstrap.READ_S, **options: Any
) -> "AIOKafkaConsumer":
    """As `producer`."""
    from aiokafka import AIOKafkaConsumer

    made = AIOKafkaConsumer(
        bootstrap_servers=settings.bootstrap_servers, client_id=client_id, **options
    )
    bootstrap.adopt(made._client, settings, request_s)
    return made


def admin(
    settings: Settings, client_id: str, request_s: float = bootstrap.READ_S
) -> "AIOKafkaAdminClient":
    """As `producer`."""
    from aiokafka.admin import AIOKafkaAdminClient

    made = AIOKafkaAdminClient(bootstrap_servers=settings.bootstrap_servers, client_id=client_id)
    bootstrap.adopt(made._client, settings, request_s)
    return made
