"""Answers of JSON about users."""

from typing import Any

import orjson
from aiohttp import web

__all__ = ["json_answer"]


def json_answer(found: Any) -> web.Response:
    """200; caches must not store it, because it contains personal data."""
    return web.json_response(body=orjson.dumps(found), headers={"Cache-Control": "no-store"})
