"""Sources that people name on the command line: their keys, from the topics, without a worker."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from agents.names.index import NameIndex
from agents.names.resolve import check_request, described, resolve
from agents.terminal.say import say
from schemas.records.lifecycle import CommandType, SourceState, is_source
from streams.kafka.topic_specs import Topics
from streams.settings import Settings

__all__ = ["Named", "named", "read_states"]


@dataclass(frozen=True, slots=True)
class Named:
    """The keys of a command, each once; and what texts that were no keys were taken for."""

    keys: tuple[str, ...]
    understood: dict[str, SourceState] = field(default_factory=dict)

    def say(self) -> None:
        """Say for people what was understood."""
        for text, record in self.understood.items():
            say(f"{text}: {described(record)}", err=True)

    def facts(self) -> list[dict[str, str]]:
        """The same for programs, as answers over HTTP have it."""
        return [
            {"given": text, "source": record.source, "name": record.name}
            for text, record in self.understood.items()
        ]


async def named(settings: Settings, kind: str, texts: Sequence[str]) -> Named:
    """The keys that a command of this kind is written with. `cancel` takes ids of requests too.

    Keys are taken as they are: only if there is anything else the states of the sources are read.
    Raises AmbiguousSource, UnknownName, and as `read_table`.
    """
    if all(map(is_source, texts)):
        return Named(tuple(dict.fromkeys(texts)))
    names = NameIndex((await read_states(settings)).values())
    requests = await _requests(settings) if kind == CommandType.CANCEL else set()
    keys: dict[str, None] = {}
    understood: dict[str, SourceState] = {}
    for text in texts:
        if is_source(text):
            keys[text] = None
        elif text in requests:
            check_request(text, names)
            keys[text] = None
        else:
            found = understood[text] = resolve(text, names, changes=True)
            keys[found.source] = None
    return Named(tuple(keys), understood)


async def read_states(settings: Settings) -> dict[str, SourceState]:
    """The sources as the coordinator has last written them. Raises as `read_table`."""
    # Kafka, which only a command that runs needs
    from streams.kafka.kafka_log import KafkaLog
    from streams.kafka.topic_reader import read_table

    table = await read_table(KafkaLog(settings), Topics(settings.prefix).state, "state")
    return {source: SourceState.from_record(record) for source, record in table.items()}


async def _requests(settings: Settings) -> set[str]:
    """The ids of the requests of the last 30 days."""
    from streams.kafka.kafka_log import KafkaLog
    from streams.kafka.topic_reader import read_each, records_of

    found: set[str] = set()
    async for located in read_each(KafkaLog(settings), Topics(settings.prefix).control_results):
        found.update(_id(result) for result in records_of([located], "result"))
    return found


def _id(result: dict[str, Any]) -> str:
    return str(result["request_id"])
