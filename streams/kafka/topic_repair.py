"""Changes single settings of topics and keeps all others (Kafka 2.3 and newer).

The client library has only the older request, which resets every setting that it does not name.
"""

from collections.abc import Mapping
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResourceType
from aiokafka.errors import for_code
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Boolean, Int8, Int16, Int32, Schema, String

from schemas.errors import Fatal

__all__ = ["set_configs"]

_SET = 0


async def set_configs(admin: AIOKafkaAdminClient, configs: Mapping[str, Mapping[str, str]]) -> None:
    """Set `configs` (topic -> setting -> value). Raises Fatal where the broker refuses."""
    if not configs:
        return
    resources = [
        (ConfigResourceType.TOPIC, topic, [(name, _SET, value) for name, value in values.items()])
        for topic, values in configs.items()
    ]
    answer: Any = await admin._send_request(_Alter(resources))
    for code, message, _, topic in answer.responses:
        if code:
            named = ", ".join(f"{name}={value}" for name, value in configs[topic].items())
            raise Fatal(
                f"The broker does not let this client set {named} for topic {topic}: "
                f"{message or for_code(code).__name__}",
                remedy="Give it the right to alter the topic's settings, or set that yourself: "
                "`emberline topics check` prints how",
            )


class _AlterResponse(Response):  # type: ignore[misc]  # untyped
    API_KEY = 44
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "responses",
            Array(
                ("error_code", Int16),
                ("error_message", String("utf-8")),
                ("resource_type", Int8),
                ("resource_name", String("utf-8")),
            ),
        ),
    )


class _AlterStruct(RequestStruct):  # type: ignore[misc]  # untyped
    API_KEY = 44
    API_VERSION = 0
    RESPONSE_TYPE = _AlterResponse
    SCHEMA = Schema(
        (
            "resources",
            Array(
                ("resource_type", Int8),
                ("resource_name", String("utf-8")),
                (
                    "configs",
                    Array(
                        ("name", String("utf-8")),
                        ("config_operation", Int8),
                        ("value", String("utf-8")),
                    ),
                ),
            ),
        ),
        ("validate_only", Boolean),
    )


class _Alter(Request[_AlterStruct]):  # type: ignore[misc]  # untyped
    """IncrementalAlterConfigs."""

    API_KEY = 44

    def __init__(self, resources: list[tuple[int, str, list[tuple[str, int, str]]]]) -> None:
        self._resources = resources

    def build(self, request_struct_class: type[_AlterStruct]) -> _AlterStruct:
        return request_struct_class(self._resources, False)
