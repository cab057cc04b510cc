"""Without keys only programs of this machine are served: what tells that somebody else asks.

A worker without keys listens to the loopback address. Others still get at it in two ways: by a
proxy that runs on this machine, and by a page that a browser on this machine shows. Both say so
in headers that neither a page nor who asks a proxy can leave out.
"""

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from aiohttp import hdrs, web

from agents.http.problems import Problem
from streams.trusted import is_loopback

__all__ = ["check_origin"]

_PORT = re.compile(r":\d*$")
_PROXY = frozenset(
    {
        *("via", "x-real-ip", "x-client-ip", "client-ip", "true-client-ip", "cdn-loop"),
        *("x-cluster-client-ip", "x-remote-addr", "x-remote-ip"),
    }
)
_PROXY_PREFIX = (
    *("forwarded", "x-forwarded", "x-original-", "x-envoy-", "cf-", "proxy-", "x-proxy"),
    *("x-amz", "x-azure-", "x-arr-", "x-goog-", "x-cloud-trace-", "fastly-", "akamai-"),
)
_OWN_SITE = frozenset({"same-origin", "none"})
_REMEDY = "make a key with `emberline keys add`"


def check_origin(request: web.Request, own_host: str, address: str) -> None:
    """Raise Problem (403) where the request comes from another machine or from another's page.

    `own_host` is the name that the worker was told to listen at, `address` what to ask instead.
    """
    _check_host(request, own_host.lower(), address)
    _check_proxy(request.headers)
    _check_site(request)


def _check_host(request: web.Request, own_host: str, address: str) -> None:
    """A page in a browser here may ask what its own name leads to, and whoever holds that
    name can let it lead to this machine; but the browser tells the name."""
    for host in request.headers.getall(hdrs.HOST, ()):
        name = _PORT.sub("", host).strip("[]").lower()
        if name != own_host and not is_loopback(name):
            raise Problem(
                "foreign_host",
                f"Without keys a worker is not asked by the name {name[:80]!r}: ask "
                f"{address}, or {_REMEDY}",
            )


def _check_proxy(headers: Mapping[str, str]) -> None:
    for name in map(str.lower, headers):
        if name in _PROXY or name.startswith(_PROXY_PREFIX):
            raise Problem(
                "proxied",
                f"The header {name[:40]} says that a proxy asks for somebody else, and without "
                f"keys nobody can be told from anybody: {_REMEDY}",
            )


def _check_site(request: web.Request) -> None:
    """`Origin` and `Sec-Fetch-*` are set by browsers alone; no script of a page can change them."""
    site = request.headers.get("Sec-Fetch-Site", "none").lower()
    own = request.headers.get(hdrs.HOST, "").lower()
    foreign = [
        origin
        for origin in request.headers.getall(hdrs.ORIGIN, ())
        if _netloc(origin) != own or not own
    ]
    if site not in _OWN_SITE or foreign:
        raise Problem(
            "cross_site",
            f"A page of {(foreign or [site])[0][:80]!r} asks, and without keys none may: {_REMEDY}",
        )


def _netloc(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""
