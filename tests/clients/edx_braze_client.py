"""Runs in the folder of PyPI `edx-braze-client`: prints what its calls give as JSON.

Arguments: the worker's address, a key, a wrong key, and how often to ask at once.
"""

import json
import sys
from typing import Any

from braze.client import BrazeClient
from braze.exceptions import (
    BrazeBadRequestError,
    BrazeNotFoundError,
    BrazeRateLimitError,
    BrazeUnauthorizedError,
)


def refused(kind: type[Exception], call: Any, *asked: Any) -> Any:
    """The problem document in the error that a call raises."""
    try:
        call(*asked)
    except kind as error:
        return json.loads(str(error))
    raise AssertionError("no error")


def main(address: str, key: str, wrong: str, times: int) -> dict[str, Any]:
    """All calls, by what they show."""
    client = BrazeClient(key, address, "app")
    stranger = BrazeClient(wrong, address, "app")
    aliases = {"user_aliases": [{"alias_name": "ada@example.com", "alias_label": "email"}]}
    found = {
        "users": client._make_request(aliases, "/users/export/ids", "post"),
        "batch": client.get_braze_external_id_batch(["ada@example.com"] * 60, "email"),
        "email": refused(BrazeBadRequestError, client.get_braze_external_id, "ada@example.com"),
        "unauthorized": refused(
            BrazeUnauthorizedError, stranger.get_braze_external_id_batch, ["a@b"], "email"
        ),
        "elsewhere": refused(BrazeNotFoundError, client.unsubscribe_user_email, "ada@example.com"),
    }
    try:
        for _ in range(times):
            client._make_request(aliases, "/users/export/ids", "post")
    except BrazeRateLimitError as error:
        return {**found, "reset": error.reset_epoch_s}
    raise AssertionError("no limit")


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))))
