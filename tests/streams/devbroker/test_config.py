"""The configuration of a local broker."""

import socket
from pathlib import Path

import yaml

from streams.devbroker.config import compose_file, free_ports, server_properties


def test_ports_are_free_and_the_wanted_one_if_it_can_be() -> None:
    first, second = free_ports()
    assert first != second
    assert free_ports(first)[0] == first
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert free_ports(port)[0] != port


def test_properties() -> None:
    lines = server_properties(Path("/data"), 1000, 2000).splitlines()
    found = dict(line.split("=", 1) for line in lines)
    assert found["advertised.listeners"] == "PLAINTEXT://127.0.0.1:1000"
    assert found["controller.quorum.voters"] == "1@127.0.0.1:2000"
    assert found["log.dirs"] == "/data"
    assert found["auto.create.topics.enable"] == "false"


def test_the_compose_file_says_the_same() -> None:
    kafka = yaml.safe_load(compose_file(1000))["services"]["kafka"]
    assert kafka["image"] == "apache/kafka:4.3.1"
    assert kafka["ports"] == ["127.0.0.1:1000:9092"]
    environment = kafka["environment"]
    assert environment["KAFKA_ADVERTISED_LISTENERS"] == "PLAINTEXT://127.0.0.1:1000"
    assert environment["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"
    assert environment["KAFKA_NODE_ID"] == "1"
