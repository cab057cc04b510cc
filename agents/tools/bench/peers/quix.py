"""Quix Streams, exactly once, with its RocksDB state: one process of the group.

Run as `python -m agents.tools.bench.peers.quix` with the arguments of `job.arguments`; needs the
extra `bench`.
"""

from collections.abc import Callable
from typing import Any

from quixstreams import Application, State
from quixstreams.models import Deserializer, SerializationContext, TopicConfig

from agents.tools.bench.peers.job import TOPICS, PeerArguments, arguments, decoder, keys
from agents.tools.bench.peers.progress import Progress

__all__ = ["run"]


class _Avro(Deserializer):  # type: ignore[misc]  # the package has no complete types
    def __init__(self, event: str) -> None:
        super().__init__()
        self._decode = decoder(event)

    def __call__(self, value: bytes, ctx: SerializationContext) -> dict[str, Any]:
        return self._decode(value)


def _remember(event: str) -> Callable[[dict[str, Any], State], None]:
    def remember(record: dict[str, Any], state: State) -> None:
        time = record["time"]
        for key in keys(event, record):
            name = list(key)
            known = state.get(name)
            state.set(
                name,
                [time, time] if known is None else [min(known[0], time), max(known[1], time)],
            )

    return remember


def run(given: PeerArguments) -> None:
    """Consume until the process is stopped."""
    progress = Progress(given.progress)
    app = Application(
        broker_address=given.bootstrap,
        consumer_group=f"{given.prefix}quix",
        auto_offset_reset="earliest",
        processing_guarantee="exactly-once",
        state_dir=given.data,
        loglevel="WARNING",
        on_message_processed=lambda topic, partition, offset: progress.add(),
    )
    config = TopicConfig(num_partitions=given.partitions, replication_factor=1)
    for event in TOPICS:
        topic = app.topic(
            f"{given.prefix}interactions.{event}", value_deserializer=_Avro(event), config=config
        )
        app.dataframe(topic).update(_remember(event), stateful=True)
    app.run()


if __name__ == "__main__":
    run(arguments())
