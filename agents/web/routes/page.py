"""GET / and /assets: the page for browsers, and where to find everything for programs."""

import asyncio

from aiohttp import hdrs, web

from agents.http.problems import Problem
from agents.http.route import Route, path, ref
from agents.web.assets import Asset, assets

__all__ = ["ROUTES", "read_files"]

_HTML = "text/html"
_POLICY = "; ".join(
    (
        *("default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self'"),
        *("connect-src 'self'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"),
        *("require-trusted-types-for 'script'", "trusted-types 'none'"),
    )
)
_OWN = {"Cross-Origin-Resource-Policy": "same-origin", "X-Content-Type-Options": "nosniff"}
_SECURE = _OWN | {
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
}
_DOCUMENTS = frozenset({_HTML, "image/svg+xml"})
"""What a browser may show by itself: only there a policy counts, and 50 files need not have it."""
_FOR_EVER = "public, max-age=31536000, immutable"


async def read_files(app: web.Application) -> None:
    """Read and compress all files before the first visit, beside the event loop."""
    await asyncio.to_thread(assets)


async def root(request: web.Request) -> web.Response:
    """The page if the caller accepts HTML; otherwise where all calls are described."""
    if _HTML in request.headers.get(hdrs.ACCEPT, "").lower():
        answer = _answer(request, assets().index, "no-cache")
        answer.headers[hdrs.VARY] = f"{hdrs.ACCEPT}, {hdrs.ACCEPT_ENCODING}"
        return answer
    return web.json_response(
        {"name": "emberline", "openapi": "/openapi.json", "asyncapi": "/asyncapi.json"},
        headers={"Link": '</openapi.json>; rel="service-desc"', hdrs.VARY: hdrs.ACCEPT},
    )


async def boot(request: web.Request) -> web.Response:
    """What loads the files of the page, whichever worker has them."""
    return _answer(request, assets().boot, "no-cache")


async def asset(request: web.Request) -> web.Response:
    """One file of the page."""
    found = assets().get(request.match_info["version"], request.match_info["name"])
    if found is None:
        raise Problem("not_found", f"There is nothing at {request.path[:200]}")
    return _answer(request, found, _FOR_EVER)


def _answer(request: web.Request, found: Asset, cached: str) -> web.Response:
    packed = "gzip" in request.headers.get(hdrs.ACCEPT_ENCODING, "").lower()
    secure = _SECURE if found.media in _DOCUMENTS else _OWN
    headers = {hdrs.CACHE_CONTROL: cached, hdrs.VARY: hdrs.ACCEPT_ENCODING, **secure}
    if packed:
        headers[hdrs.CONTENT_ENCODING] = "gzip"
    body = found.packed if packed else found.body
    return web.Response(body=body, content_type=found.media, charset="utf-8", headers=headers)


ROUTES = (
    Route(
        method="GET",
        path="/",
        handler=root,
        summary="Where to find everything; the page for browsers",
        scope=None,
        answers={"application/json": ref("Root"), _HTML: {"type": "string"}},
    ),
    Route(
        method="GET",
        path="/assets/boot.js",
        handler=boot,
        summary="The first file of the page, which loads the others",
        scope=None,
        answers={"text/javascript": {"type": "string"}},
    ),
    Route(
        method="GET",
        path="/assets/{version}/{name}",
        handler=asset,
        summary="A file of the page",
        scope=None,
        parameters=(
            path("version", "The hash of all files", pattern="^[0-9a-f]{16}$"),
            path("name", "The file's name", pattern="^[A-Za-z-]{1,40}[.][a-z]{2,4}$"),
        ),
        answers={
            media: {"type": "string"}
            for media in ("text/javascript", "text/css", "application/json", "image/svg+xml")
        },
        problems=("not_found",),
    ),
)
