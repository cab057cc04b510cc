"""Raw bytes to a worker's web server: no request hides in another, no path leaves its folder.

Each case is followed by a request for `/healthz` on the same connection. Where the framing of the
first is in doubt, the connection ends with one refusal; otherwise both are answered, in order.
"""

import asyncio
import re
from pathlib import Path

import pytest

from tests.rigs.site import SHARDS, Site, active, serving, settings

ANSWER_S = 10.0
NEXT = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3}) ")


def get(
    target: bytes, *headers: bytes, host: bytes = b"localhost", line: bytes = b"GET %b HTTP/1.1"
) -> bytes:
    return b"\r\n".join([line % target, b"Host: " + host, *headers, b"", b""])


def post(*headers: bytes, content: bytes, line: bytes = b"POST /audience HTTP/1.1") -> bytes:
    fixed = (line, b"Host: localhost", b"Content-Type: application/json")
    return b"\r\n".join([*fixed, *headers, b"", b""]) + content


CHUNKED = b"Transfer-Encoding: chunked"
EMPTY = b"0\r\n\r\n"
DOUBTFUL = {
    "length and chunks": post(b"Content-Length: 6", CHUNKED, content=EMPTY),
    "chunks and length": post(CHUNKED, b"Content-Length: 6", content=EMPTY),
    "space before the colon": post(b"Transfer-Encoding : chunked", content=EMPTY),
    "unknown coding": post(b"Transfer-Encoding: xchunked", content=EMPTY),
    "chunked is not last": post(b"Transfer-Encoding: chunked, identity", content=EMPTY),
    "identity and length": post(
        b"Transfer-Encoding: identity", b"Content-Length: 5", content=EMPTY
    ),
    "two codings": post(CHUNKED, CHUNKED, content=EMPTY),
    "a control character": post(b"Transfer-Encoding:\x0bchunked", content=EMPTY),
    "chunks in HTTP/1.0": post(CHUNKED, content=EMPTY, line=b"POST /audience HTTP/1.0"),
    "two lengths": post(b"Content-Length: 0", b"Content-Length: 60", content=b""),
    "two equal lengths": post(b"Content-Length: 2", b"Content-Length: 2", content=b"{}"),
    "a list of lengths": post(b"Content-Length: 0, 60", content=b""),
    "a signed length": post(b"Content-Length: +2", content=b"{}"),
    "a hexadecimal length": post(b"Content-Length: 0x2", content=b"{}"),
    "a negative length": post(b"Content-Length: -2", content=b"{}"),
    "a giant length": post(b"Content-Length: 99999999999999999999999", content=b"{}"),
    "digits of another script": post(b"Content-Length: \xef\xbc\x92", content=b"{}"),
    "a folded header": get(b"/status", b"X-A: 1", b" folded: 2"),
    "a folded coding": post(b"Content-Length: 2", b"X: y", b"\t" + CHUNKED, content=b"{}"),
    "a folded value": post(b"Transfer-Encoding:", b" chunked", content=EMPTY),
    "line feeds alone": b"GET /status HTTP/1.1\nHost: localhost\n\n",
    "carriage returns alone": b"GET /status HTTP/1.1\rHost: localhost\r\r",
    "a line feed in a header": get(b"/status", b"X: a\nY: b"),
    "a carriage return in a header": get(b"/status", b"X: a\rY: b"),
    "NUL in a header": get(b"/status", b"X: a\0b"),
    "a space in a name": get(b"/status", b"X Y: a"),
    "no colon": get(b"/status", b"XY"),
    "no name": get(b"/status", b": a"),
    "two hosts": get(b"/status", b"Host: evil.example"),
    "no host": b"GET /status HTTP/1.1\r\n\r\n",
    "no path": get(b"evil.example:80"),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/0.9": b"GET /status\r\n",
    "a version to come": get(b"/status", line=b"GET %b HTTP/1.2"),
    "a space in the path": get(b"/ status"),
    "bytes in the path": get(b"/sources\xff\xfe"),
    "a giant chunk": post(CHUNKED, content=b"FFFFFFFFFFFFFFFFF\r\n{}"),
    "a negative chunk": post(CHUNKED, content=b"-2\r\n{}\r\n" + EMPTY),
    "a chunk with 0x": post(CHUNKED, content=b"0x2\r\n{}\r\n" + EMPTY),
    "chunks with line feeds": post(CHUNKED, content=b"2\n{}\n0\n\n"),
    "a chunk longer than it says": post(CHUNKED, content=b"1\r\n{}\r\n" + EMPTY),
    "an extension with a return": post(CHUNKED, content=b"2;a\rb\r\n{}\r\n" + EMPTY),
    "a length among the trailers": post(
        CHUNKED, content=b"2\r\n{}\r\n0\r\nContent-Length: 5\r\n\r\n"
    ),
    "many trailers": post(CHUNKED, content=b"2\r\n{}\r\n0\r\n" + b"X: y\r\n" * 50_000 + b"\r\n"),
    "many headers": get(b"/status", *(b"X-%d: y" % number for number in range(20_000))),
    "a long header": get(b"/status", b"X: " + b"y" * 200_000),
    "a long name": get(b"/status", b"X" * 200_000 + b": y"),
    "a long path": get(b"/" + b"y" * 200_000),
    "a long method": get(b"/status", line=b"G" * 200_000 + b" %b HTTP/1.1"),
    "zeros": bytes(300_000),
}
SECOND = b"GET /sources HTTP/1.1\r\nHost: localhost\r\n\r\n"
CLEAR = {
    "a request as the body of another": get(b"/status", b"Content-Length: %d" % len(SECOND))
    + SECOND,
    "web socket": get(b"/status", b"Upgrade: websocket", b"Connection: Upgrade"),
    "a long extension": post(CHUNKED, content=b"2;" + b"a" * 100_000 + b"\r\n{}\r\n" + EMPTY),
    "empty lines before": b"\r\n" * 1_000 + get(b"/status"),
    "the same host twice": get(b"http://localhost/status"),
}
H2C = get(
    b"/status",
    b"Upgrade: h2c",
    b"Connection: Upgrade, HTTP2-Settings",
    b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA",
)
PATHS = (
    b"/sources/%2e%2e/%2e%2e/etc/passwd",
    b"/page/..%2f..%2f..%2f..%2fetc%2fpasswd",
    b"/page/%2e%2e/server.py",
    b"/page/../server.py",
    b"/../../etc/passwd",
    b"/page/..\\..\\server.py",
    b"/page/app.js%00.html",
    b"/%00",
    b"/page/%c0%ae%c0%ae/server.py",
    b"/page/%252e%252e/server.py",
    b"/page//etc/passwd",
    b"/page/%2fetc%2fpasswd",
    b"/users/export/segment/files/%2e%2e%2f%2e%2e%2fkeys.json",
    b"/sources/%0d%0aX-Evil:%201",
    b"/users/%0d%0aX-Evil:%201",
    b"/%0d%0aX-Evil:1",
    b"/sources/campaign:a%0d%0aX-Evil:1/users.csv",
    b"/sources/%",
    b"/sources/%zz",
    b"/sources/%ff%fe",
    b"//evil.example/%2e%2e",
    b"/internal/shards/%2e%2e/rows",
    b"/sources/campaign:a/interactions?format=..%2f..",
)
ELSEWHERE = {
    "another host": get(b"/status", host=b"evil.example"),
    "a host with a user": get(b"/status", host=b"localhost@evil.example"),
    "a whole address": get(b"http://evil.example/status"),
    "a whole address with a user": get(b"http://localhost@evil.example/status"),
    "a whole address, and another host": get(b"http://localhost/status", host=b"evil.example"),
}


async def statuses(site: Site, sent: bytes) -> tuple[list[int], bytes]:
    """The statuses of all answers until the connection ends, and the bytes."""
    host, port = site.context.address.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    found = b""
    try:
        async with asyncio.timeout(ANSWER_S):
            writer.write(sent)
            while piece := await reader.read(1 << 16):
                found += piece
    except ConnectionError:
        pass  # it ended while it was still being written to
    finally:
        writer.close()
    return [int(one) for one in _STATUS.findall(found)], found


@pytest.fixture
async def site(tmp_path: Path) -> Site:
    return Site(settings(tmp_path), set(range(SHARDS)), active())


async def test_doubtful_framing_is_refused_and_ends_the_connection(site: Site) -> None:
    async with serving(site):
        for name, sent in DOUBTFUL.items():
            found, _ = await statuses(site, sent + NEXT)
            # a client that is still writing may see the end before the answer
            assert found in ([400], []), f"{name}: {found}"
            assert found or len(sent) > 50_000, name


async def test_clear_framing_is_answered_in_order(site: Site) -> None:
    async with serving(site):
        for name, sent in CLEAR.items():
            found, _ = await statuses(site, sent + NEXT)
            assert len(found) == 2, f"{name}: {found}"
            assert found[1] == 200, name


async def test_what_follows_an_upgrade_that_is_not_made_is_no_request(tmp_path: Path) -> None:
    site = Site(settings(tmp_path, http_idle="PT0.3S"), set(range(SHARDS)), active())
    async with serving(site):
        assert (await statuses(site, H2C + NEXT))[0] == [200]


async def test_no_path_leaves_what_is_served(site: Site) -> None:
    async with serving(site):
        for path in PATHS:
            found, answer = await statuses(site, get(path) + NEXT)
            assert found in ([404, 200], [400, 200]), f"{path!r}: {found}"
            heads = [part.partition(b"\r\n\r\n")[0] for part in answer.split(b"HTTP/1.1 ")]
            assert not any(b"x-evil" in head.lower() for head in heads), path
            assert not any(b"location:" in head.lower() for head in heads), path
            assert b"root:" not in answer, path
            assert b"import " not in answer, path


async def test_a_request_for_another_host_is_refused_however_it_names_it(site: Site) -> None:
    async with serving(site):
        for name, sent in ELSEWHERE.items():
            found, _ = await statuses(site, sent + NEXT)
            assert found == [403, 200], f"{name}: {found}"


async def test_a_header_that_drips_ends_with_the_idle_time(tmp_path: Path) -> None:
    site = Site(settings(tmp_path, http_idle="PT0.3S"), set(range(SHARDS)), active())
    async with serving(site), asyncio.timeout(ANSWER_S):
        host, port = site.context.address.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        ended = asyncio.create_task(reader.read())
        writer.write(b"GET /status HTTP/1.1\r\nHost: localhost\r\nX: ")
        while not ended.done():
            writer.write(b"y")
            await asyncio.wait([ended], timeout=0.05)
        assert await ended == b""
        writer.close()
