"""Runs in the folder of PyPI `braze-client`: prints what its calls give as JSON.

Arguments: the worker's address, a key, a wrong key, and how often to ask at once.
"""

import asyncio
import json
import sys
import time
import types
from typing import Any

# the release of tenacity that the client asks for decorates with what Python 3.11 has no more
asyncio.coroutine = types.coroutine  # type: ignore[attr-defined]

from braze.client import BrazeClient, BrazeClientError  # noqa: E402


def refused(client: Any, **asked: Any) -> str:
    """The message of the error that a call raises."""
    try:
        client.user_export(**asked)
    except BrazeClientError as error:
        return str(error.args[0])
    raise AssertionError("no error")


def main(address: str, key: str, wrong: str, times: int) -> dict[str, Any]:
    """All calls, by what they show."""
    client = BrazeClient(api_key=key, api_url=address)
    fields = ["external_id", "campaigns_received", "shoe_size"]
    found = {
        "users": client.user_export(external_ids=["ext-1", "nobody"], fields_to_export=fields),
        "email": refused(client, email="ada@example.com"),
        "unauthorized": refused(BrazeClient(wrong, address), external_ids=["ext-1"]),
    }
    begun = time.monotonic()
    for _ in range(times):
        assert client.user_export(external_ids=["ext-1"])["success"]
    return {**found, "seconds": time.monotonic() - begun}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))))
