"""A stock Faust agent with a RocksDB table, as in its documentation.

Run as `python -m agents.tools.bench.peers.faust_table` with the arguments of `job.arguments`.
"""

import faust
from faust.types import StreamT

from agents.tools.bench.peers.job import TOPICS, PeerArguments, arguments, decoder, keys
from agents.tools.bench.peers.progress import Progress

__all__ = ["app"]


def app(given: PeerArguments) -> faust.App:
    """The application: one agent, one table, the framework's defaults."""
    name = given.prefix.replace(".", "-") + "faust"
    built = faust.App(
        name,
        broker=f"kafka://{given.bootstrap}",
        store="rocksdb://",
        datadir=str(given.data),
        topic_partitions=given.partitions,
        topic_replication_factor=1,
        value_serializer="raw",
        web_enabled=False,
    )
    names = {f"{given.prefix}interactions.{event}": event for event in TOPICS}
    decoders = {topic: decoder(event) for topic, event in names.items()}
    events = built.topic(
        *names, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw"
    )
    table = built.Table("interactions", partitions=given.partitions)
    progress = Progress(given.progress)

    @built.agent(events)
    async def remember(stream: StreamT[bytes]) -> None:
        async for event in stream.events():
            topic = event.message.topic
            record = decoders[topic](event.value)
            time = record["time"]
            for key in keys(names[topic], record):
                known = table.get(key)
                table[key] = (
                    [time, time] if known is None else [min(known[0], time), max(known[1], time)]
                )
            progress.add()

    return built


if __name__ == "__main__":
    faust.Worker(app(arguments()), loglevel="WARN").execute_from_commandline()
