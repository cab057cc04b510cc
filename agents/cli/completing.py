"""What completes a word: sources and tags, asked of the worker, quickly and silently.

A worker that does not answer at once, or wants another key, gives no words and no error.
"""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

import click

from agents.cli.options import given_settings, key_header
from agents.names.form import folded
from schemas.errors import EmberlineError
from schemas.words.shown import shown
from streams.settings import Settings

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

__all__ = ["SOURCE", "TAG", "SourceWord", "TagWord"]

ANSWER_S = 0.5
"""A person waits for no more."""
_MOST = 50
_READ = 500
_MOST_BYTES = 4_000_000


class SourceWord(click.ParamType):
    """A source: its key, or the beginning of its id or of its name."""

    name = "source"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> "list[CompletionItem]":
        """Keys that begin so; else keys whose name or id does."""
        from click.shell_completion import CompletionItem

        small = folded(incomplete)
        found = list(_sources(ctx, name=incomplete, limit=_MOST))
        whole = [one for one in found if folded(one["source"]).startswith(small)]
        others = [
            one
            for one in found
            if folded(one["name"]).startswith(small)
            or folded(one["source"].partition(":")[2]).startswith(small)
        ]
        return [
            CompletionItem(one["source"], help=shown(f"{one['name']}, {one['state']}"))
            for one in whole or others
        ]


class TagWord(click.ParamType):
    """A tag of sources."""

    name = "tag"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> "list[CompletionItem]":
        """The tags of the first sources, as far as they begin so."""
        from click.shell_completion import CompletionItem

        tags = {tag for one in _sources(ctx, limit=_READ) for tag in one["tags"]}
        return [CompletionItem(tag) for tag in sorted(tags) if tag.startswith(incomplete)][:_MOST]


SOURCE, TAG = SourceWord(), TagWord()


def _sources(ctx: click.Context, **query: object) -> Iterator[dict[str, Any]]:
    """Sources that the worker knows; none if anything is amiss. Words with control characters are
    left out: a shell would run what it completes.
    """
    from http.client import HTTPException  # which only a completion needs

    try:
        answer = _asked(given_settings(ctx), f"/sources?{urlencode(query)}")
        for one in answer["sources"]:
            texts = (one["source"], one["name"], *one["tags"])
            if all(isinstance(text, str) and shown(text) == text for text in texts):
                yield one
    except (EmberlineError, OSError, HTTPException, ValueError, LookupError, TypeError):
        return  # whoever completes a word wants no message in the line


def _asked(settings: Settings, path: str) -> Any:
    from http.client import HTTPConnection, HTTPSConnection

    from agents.http.own_address import local
    from agents.http.tls import client_context

    base = urlsplit(settings.url.rstrip("/") or local(settings))
    host, port = base.hostname or "", base.port
    connection = (
        HTTPSConnection(host, port, timeout=ANSWER_S, context=client_context(settings))
        if base.scheme == "https"
        else HTTPConnection(host, port, timeout=ANSWER_S)
    )
    try:
        connection.request("GET", base.path + path, headers=key_header(settings))
        return json.loads(connection.getresponse().read(_MOST_BYTES))
    finally:
        connection.close()
