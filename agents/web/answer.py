"""Answers of JSON: about users, and of what changes now and then."""

import hashlib
from typing import Any

import orjson
from aiohttp import web

__all__ = ["json_answer", "tagged"]


def json_answer(found: Any) -> web.Response:
    """200; caches must not store it, because it contains personal data."""
    return web.json_response(body=orjson.dumps(found), headers={"Cache-Control": "no-store"})


def tagged(request: web.Request, found: Any) -> web.Response:
    """200 with an ETag; 304 without a body where the client has this very answer."""
    body = orjson.dumps(found)
    tag = hashlib.sha256(body).hexdigest()[:32]
    headers = {"ETag": f'"{tag}"', "Cache-Control": "no-cache"}
    asked = request.if_none_match or ()
    if any(one.value in (tag, "*") for one in asked):
        return web.Response(status=304, headers=headers)
    return web.json_response(body=body, headers=headers)
