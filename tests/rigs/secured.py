"""One secured broker for the whole session, its users, and their rights."""

import asyncio
import base64
import json
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import (
    CreateAclsRequest_v1,
    DeleteAclsRequest_v1,
    DescribeAclsRequest_v1,
)
from aiokafka.protocol.api import Request

from agents.reference.rights import Right
from streams.devbroker import jars
from streams.devbroker.secured import SecuredBroker
from streams.kafka import clients
from streams.settings import Settings, load

__all__ = ["USERS", "Acl", "change_rights", "secured", "secured_settings", "token"]

USERS = {
    name: f"{name}-secret"
    for name in ("worker", "producer", "consumer", "operator", "setup", "importer", "bridge")
}
_RESOURCES = {"topic": 2, "group": 3, "cluster": 4, "transactional-id": 5}
_OPERATIONS = {"Read": 3, "Write": 4, "Create": 5, "Delete": 6, "Alter": 7, "Describe": 8,
               "DescribeConfigs": 10, "AlterConfigs": 11}  # fmt: skip
_ANY, _ALLOW, _LITERAL, _PREFIXED = 1, 3, 3, 4

Acl = tuple[str, Right]
"""A principal and what it may do."""


@pytest.fixture(scope="session")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredBroker]:
    """The broker; tests that use it are skipped where none can be run."""

    if jars.find_java(os.environ) is None or shutil.which("openssl") is None:
        pytest.skip("a secured broker needs Java and openssl")
    folder = tmp_path_factory.mktemp("secured")
    with SecuredBroker(folder, USERS, heap="512m", deadline_s=240) as broker:
        yield broker


def secured_settings(given: dict[str, object], folder: Path, **more: object) -> Settings:
    """Settings of a client, with nothing from outside."""
    return load({"data_dir": folder / "data", "http_port": 0, **given, **more}, {}, folder / "none")


async def change_rights(
    broker: SecuredBroker, acls: Iterable[Acl], *, remove: bool = False
) -> None:
    """Grant or take rights; returns when the broker acts accordingly."""
    settings = load({"bootstrap_servers": broker.bootstrap_servers}, {}, broker.folder / "none")
    rows = {row for principal, right in acls for row in _rows(principal, right)}
    admin = clients.admin(settings, "rights", 30.0)
    await admin.start()
    try:
        answer = await admin._send_request(_Changed(sorted(rows), remove=remove))
        given = answer.filter_responses if remove else answer.creation_responses
        assert not any(one[0] for one in given), answer
        async with asyncio.timeout(60):
            # the controller has them first
            while (rows & await _granted(admin)) != (set() if remove else rows):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
    finally:
        await admin.close()


def _rows(principal: str, right: Right) -> Iterator[tuple[Any, ...]]:
    pattern = _PREFIXED if right.prefixed else _LITERAL
    for operation in right.operations:
        yield (_RESOURCES[right.resource], right.name, pattern, f"User:{principal}", "*",
               _OPERATIONS[operation], _ALLOW)  # fmt: skip


async def _granted(admin: AIOKafkaAdminClient) -> set[tuple[Any, ...]]:
    answer = await admin._send_request(_Described())
    assert answer.error_code == 0, answer
    return {
        (kind, name, pattern, *one)
        for kind, name, pattern, acls in answer.resources
        for one in acls
    }


class _Changed(Request[CreateAclsRequest_v1]):  # type: ignore[misc]  # untyped
    """Many at a time."""

    API_KEY = 30

    def __init__(self, rows: list[tuple[Any, ...]], *, remove: bool) -> None:
        self._rows = rows
        self.API_KEY = 31 if remove else 30
        self._CLASSES = (DeleteAclsRequest_v1 if remove else CreateAclsRequest_v1,)

    def build(self, request_struct_class: Any) -> Any:
        return request_struct_class(self._rows)


class _Described(Request[DescribeAclsRequest_v1]):  # type: ignore[misc]  # untyped
    """All of them."""

    API_KEY = 29

    def build(self, request_struct_class: Any) -> Any:
        return request_struct_class(_ANY, None, _ANY, None, None, _ANY, _ANY)


def token(user: str, life_s: float = 3600.0) -> str:
    """An unsecured JSON web token, as brokers take in tests."""
    now = time.time()
    claims = {"sub": user, "iat": int(now) - 10, "exp": now + life_s}

    def part(content: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()

    return f"{part({'alg': 'none'})}.{part(claims)}."
