"""What a local single-node broker is started with: server.properties, or a compose file."""

import contextlib
import socket
from collections.abc import Mapping
from pathlib import Path

from streams.devbroker.jars import KAFKA_VERSION

__all__ = ["compose_file", "free_ports", "listener_ports", "server_properties"]

_ONE_NODE = {
    "node.id": "1",
    "process.roles": "broker,controller",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    # one node: internal topics cannot have more replicas, and need few partitions
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    # no other member will join: do not wait
    "group.initial.rebalance.delay.ms": "0",
    # a misspelt topic must be an error
    "auto.create.topics.enable": "false",
    # the default of 128 MB is too much of a small heap
    "log.cleaner.dedupe.buffer.size": "33554432",
    "num.network.threads": "2",
    "num.io.threads": "4",
}


def free_ports(wanted: int | None = None) -> tuple[int, int]:
    """Two free ports, for clients and for the controller; the first is `wanted` if that is free."""
    with socket.socket() as first, socket.socket() as second:
        first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            first.bind(("127.0.0.1", wanted or 0))
        except OSError:  # in use by another program: any other will do
            first.bind(("127.0.0.1", 0))
        second.bind(("127.0.0.1", 0))
        return first.getsockname()[1], second.getsockname()[1]


def listener_ports(count: int) -> list[int]:
    """So many free ports."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def server_properties(
    data: Path,
    port: int,
    controller_port: int,
    more: Mapping[str, str] | None = None,
    listeners: Mapping[str, str] | None = None,
) -> str:
    """Text of server.properties for a broker on 127.0.0.1. `listeners` are addresses by name,
    besides that for plaintext; `more` are further settings.
    """
    listen = ",".join(
        [
            f"PLAINTEXT://127.0.0.1:{port}",
            *(f"{name}://{address}" for name, address in (listeners or {}).items()),
        ]
    )
    properties = _ONE_NODE | {
        "controller.quorum.voters": f"1@127.0.0.1:{controller_port}",
        "listeners": f"{listen},CONTROLLER://127.0.0.1:{controller_port}",
        "advertised.listeners": listen,
        "log.dirs": str(data),
        **(more or {}),
    }
    return "".join(f"{name}={value}\n" for name, value in properties.items())


def compose_file(port: int) -> str:
    """Text of a compose file for the same broker in a container, on 127.0.0.1."""
    properties = _ONE_NODE | {
        "controller.quorum.voters": "1@localhost:9093",
        "listeners": "PLAINTEXT://:9092,CONTROLLER://:9093",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
    }
    variables = "".join(
        f'      KAFKA_{name.upper().replace(".", "_")}: "{value}"\n'
        for name, value in properties.items()
    )
    return (
        "services:\n"
        "  kafka:\n"
        f"    image: apache/kafka:{KAFKA_VERSION}\n"
        "    ports:\n"
        f'      - "127.0.0.1:{port}:9092"\n'
        f"    environment:\n{variables}"
    )
