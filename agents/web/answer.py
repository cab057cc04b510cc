"""Answers of JSON: about users, and of what changes now and then."""

import hashlib
from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import web

__all__ = ["Prepared", "json_answer", "tagged"]


def json_answer(found: Any) -> web.Response:
    """200; caches must not store it, because it contains personal data."""
    return web.json_response(body=orjson.dumps(found), headers={"Cache-Control": "no-store"})


def tagged(request: web.Request, found: Any) -> web.Response:
    """200 with an ETag; 304 without a body where the client has this very answer."""
    return Prepared.of(found).answer(request)


@dataclass(frozen=True, slots=True)
class Prepared:
    """An answer as it is sent, with its ETag: what does not change is made once."""

    body: bytes
    tag: str

    @classmethod
    def of(cls, found: Any) -> "Prepared":
        """The answer of a value that has a JSON form."""
        body = orjson.dumps(found)
        return cls(body, hashlib.sha256(body).hexdigest()[:32])

    def answer(self, request: web.Request) -> web.Response:
        """As `tagged`."""
        headers = {"ETag": f'"{self.tag}"', "Cache-Control": "private, no-cache"}
        asked = request.if_none_match or ()
        if any(one.value in (self.tag, "*") for one in asked):
            return web.Response(status=304, headers=headers)
        return web.json_response(body=self.body, headers=headers)
