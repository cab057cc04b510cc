"""Prints the users who match a filter, one a line, over HTTP. It needs no package.

    python audience.py FILTER [refuse | exclude | restore]

If the filter is about an expired source: `refuse` (the default) ends with an error, `exclude`
leaves that part out where this can only shorten the answer, `restore` brings the data back and asks
again.
"""

import json
import os
import ssl
import sys
import time
import urllib.error
import urllib.request
import uuid
from typing import Any

WORKER = os.environ.get("WORKER_URL", "http://127.0.0.1:6066")
KEY = os.environ.get("EMBERLINE_API_KEY")
PATIENCE_S = 600


def call(path: str, body: Any = None, **headers: str) -> Any:
    """The open answer. Raises HTTPError with a problem document (RFC 9457) as its body."""
    if KEY:
        headers["Authorization"] = f"Bearer {KEY}"
    data = None if body is None else json.dumps(body).encode()
    if data:
        headers["Content-Type"] = "application/json"
    request = urllib.request.Request(WORKER + path, data, headers)
    context = None
    if WORKER.startswith("https:"):
        context = ssl.create_default_context(cafile=os.environ.get("EMBERLINE_HTTP_CA_FILE"))
    return urllib.request.urlopen(request, timeout=120, context=context)


def users(question: dict[str, Any]) -> list[str]:
    """All users that match."""
    with call("/audience", question, Accept="application/x-ndjson") as answer:
        rows = [json.loads(line) for line in answer]
    # an answer that broke off lacks its last line; what it has is not the audience
    if not rows or not rows[-1].get("complete"):
        sys.exit("The answer broke off: ask again")
    last = rows.pop()
    if last.get("excluded_expired"):
        print("left out, expired:", *last["excluded_expired"], file=sys.stderr)
    return [row["user"] for row in rows]


def restore(body: dict[str, Any], deadline: float) -> None:
    """Bring sources back from the archive, and wait until they are there."""
    # with the same key the call may be repeated: it stays one request
    name = str(uuid.uuid4())
    with call("/restores", body, **{"Idempotency-Key": name}):
        pass
    while time.monotonic() < deadline:
        with call(f"/restores/{name}") as answer:
            found = json.load(answer)
        if found["state"] == "failed":
            refused = [one["message"] for one in found["sources"] if one["code"]]
            sys.exit(f"Not restored: {'; '.join(refused) or found['message']}")
        if found["state"] == "finished":
            return
        time.sleep(0.2)


def main(question: dict[str, Any], *, restores: bool) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            print("".join(f"{user}\n" for user in users(question)), end="")
            return
        except urllib.error.HTTPError as error:
            problem = json.load(error)
            hidden = problem["code"] == "source_hidden"
            waits = error.code == 503 or (hidden and restores)
            if not waits or time.monotonic() > deadline:
                hint = "; ask with `exclude` or `restore`" if hidden else ""
                sys.exit(f"{problem['title']}: {problem['detail']}{hint}")
            # nothing to restore: that is under way already
            if hidden and problem.get("restore"):
                print("restoring:", *problem["restore"]["sources"], file=sys.stderr)
                restore(problem["restore"], deadline)
            else:
                time.sleep(float(error.headers.get("Retry-After") or 1))


if __name__ == "__main__":
    given = sys.argv[1:]
    on_expired = given[1] if len(given) == 2 else "refuse"
    if len(given) not in (1, 2) or on_expired not in ("refuse", "exclude", "restore"):
        sys.exit("usage: python audience.py FILTER [refuse | exclude | restore]")
    asked = {
        "filter": json.loads(given[0]),
        "on_expired": "exclude" if on_expired == "exclude" else "refuse",
    }
    try:
        main(asked, restores=on_expired == "restore")
    except OSError as error:
        sys.exit(f"No answer of {WORKER}: {error}")
