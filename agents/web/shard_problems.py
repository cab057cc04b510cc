"""What keeps a question to the shards from its answer, as problems."""

from aiohttp import web

from agents.http.problems import (
    Problem,
    legacy_deleted,
    shards_unavailable,
    source_hidden,
    unknown_source,
)
from agents.http.route import Handler
from agents.scatter.errors import (
    AmbiguousUser,
    DeletedSource,
    HiddenSource,
    Unavailable,
    UnknownSource,
)

__all__ = ["shard_problems"]


@web.middleware
async def shard_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Middleware: the errors of `agents.scatter` become problems (404, 409, 410, 503)."""
    try:
        return await handler(request)
    except Unavailable as error:
        raise shards_unavailable(str(error)) from error
    except UnknownSource as error:
        raise unknown_source(error.source) from error
    except HiddenSource as error:
        raise source_hidden(error.source, error.state.value) from error
    except DeletedSource as error:
        raise legacy_deleted(error.source) from error
    except AmbiguousUser as error:
        raise Problem("ambiguous_user", str(error), users=list(error.users)) from error
