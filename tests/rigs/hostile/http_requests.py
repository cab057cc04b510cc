"""Seeded hostile HTTP requests, as from probes, broken clients and attackers."""

import json
from collections.abc import Iterator
from random import Random

from tests.rigs.hostile.damage import damaged_bytes, strange

__all__ = ["requests"]

PATHS = (
    "/",
    "/healthz",
    "/readyz",
    "/status",
    "/sources",
    "/sources/campaign:c0",
    "/sources/campaign:c0/interactions?format=parquet",
    "/sources/campaign:c0/users.csv",
    "/sources/campaign:c0/analytics",
    "/sources/../../etc/passwd",
    "/sources/%00%ff%0d%0aX-Evil:1",
    "/users/" + "x" * 3_000,
    "/users/%F0%9F%98%80",
    "/audience",
    "/users/export/ids",
    "/users/export/segment",
    "/users/export/segment/files/%2e%2e%2fkeys.json",
    "/users/export/segment/files/00000000-0000-0000-0000-000000000000-1.zip",
    "/internal/shards/0/rows",
    "/internal/shards/99999999999999999999/audience",
    "/table/hot",
    "/restores",
    "/restores/%00/cancel",
    "/requests?cursor=9.x&state=running",
    "/sweep/confirm",
    "/audit?cursor=999999999999999999&source=x",
    "/rejected?samples=99",
    "/events?since=x",
    "/openapi.json?" + "a=b&" * 500,
)
METHODS = ("GET", "GET", "POST", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE", "\x00", "PRI")
HEADERS = (
    "Content-Type: application/json",
    "Content-Type: text/plain",
    "Transfer-Encoding: chunked",
    "Content-Length: 99999999999999999999",
    "Content-Length: -1",
    "Content-Encoding: gzip",
    "Authorization: Bearer " + "k" * 4_000,
    "Authorization: \xff\xfe",
    "X-Forwarded-For: 10.0.0.1",
    "Origin: https://evil.example",
    "Range: bytes=0-,0-,0-",
    "Accept: " + "text/html;q=0.1," * 200,
    "Cookie: " + "a=b;" * 800,
    "Expect: 100-continue",
    "Upgrade: websocket",
    "X: " + "y" * 9_000,
)


def requests(seed: int, count: int) -> Iterator[bytes]:
    """This many requests as bytes, most of them complete."""
    rng = Random(f"http {seed}")
    for _ in range(count):
        body = json.dumps(
            rng.choice((strange(rng), {"filter": strange(rng)}, {"external_ids": [strange(rng)]}))
        ).encode()
        version = rng.choice(("1.1", "1.1", "1.0", "9"))
        head = [
            f"{rng.choice(METHODS)} {rng.choice(PATHS)} HTTP/{version}",
            f"Host: {rng.choice(('localhost', '127.0.0.1', 'evil.example', ''))}",
            *rng.sample(HEADERS, rng.choice((0, 1, 1, 2, 5))),
        ]
        if rng.random() < 0.7:
            head.append(f"Content-Length: {len(body)}")
        raw = "\r\n".join([*head, "", ""]).encode("latin-1") + body
        yield damaged_bytes(rng, raw) if rng.random() < 0.2 else raw
