"""Without keys only programs of this machine are served: checks of the request's origin.

A worker without keys listens to the loopback address. Requests from elsewhere can still arrive in
two ways: through a proxy on this machine, and from a page in a browser on this machine. Both add
headers that neither the page nor the client of the proxy can remove.
"""

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from aiohttp import hdrs, web

from agents.http.problems import Problem
from streams.trusted import is_loopback

__all__ = ["check_origin", "check_site"]

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
    """Raise Problem (403) if the request comes from another machine or from a page of another site.

    `own_host` is the host name that the worker listens at, `address` the address to use instead.
    """
    _check_host(request, own_host.lower(), address)
    _check_proxy(request.headers)
    check_site(request, f", and a worker without keys refuses other sites: {_REMEDY}")


def _check_host(request: web.Request, own_host: str, address: str) -> None:
    """A page in a browser here may send requests to the host name of its own site, whose owner can
    make the name resolve to this machine; but the browser sends the name in the header. A request
    line with a whole address says it there, and then that counts (RFC 9112, 3.2.2).
    """
    hosts = [*request.headers.getall(hdrs.HOST, ())]
    if not request.raw_path.startswith(("/", "*")):
        hosts.append(_netloc(request.raw_path))
    own = {own_host, (urlsplit(address).hostname or "").lower()}
    for host in hosts:
        name = _PORT.sub("", host).strip("[]").lower()
        if name not in own and not is_loopback(name):
            raise Problem(
                "foreign_host",
                f"Without keys a worker refuses requests to the host {name[:80]!r}: use "
                f"{address}, or {_REMEDY}",
            )


def _check_proxy(headers: Mapping[str, str]) -> None:
    for name in map(str.lower, headers):
        if name in _PROXY or name.startswith(_PROXY_PREFIX):
            raise Problem(
                "proxied",
                f"The header {name[:40]} shows that the request came through a proxy, and a worker "
                f"without keys refuses proxies: {_REMEDY}",
            )


def check_site(request: web.Request, why: str = "") -> None:
    """Raise Problem (403) if a page of another site sends the request; `why` ends its sentence.

    Only browsers set `Origin` and `Sec-Fetch-*`; no script of a page can change them.
    """
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
            f"The request comes from a page of {(foreign or [site])[0][:80]!r}{why}",
        )


def _netloc(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""
