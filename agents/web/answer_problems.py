"""Turns errors of queries into problems: of the filter, of a source, of the shards."""

from aiohttp import web

from agents.audience.audience import RefusedAnswer
from agents.filters.errors import FilterError
from agents.http.problems import (
    Problem,
    legacy_deleted,
    shards_unavailable,
    source_hidden,
)
from agents.http.route import Handler
from agents.scatter.context import CONTEXT
from agents.scatter.errors import (
    AmbiguousUser,
    DeletedSource,
    HiddenSource,
    UnknownSource,
)
from agents.views.protocol import SourceStates
from agents.web.refusals import filter_problem, refused_problem
from agents.web.source_names import unknown_key
from schemas.errors import Recoverable

__all__ = ["answer_problems"]


@web.middleware
async def answer_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Middleware: errors of filters, audiences and `agents.scatter` become problems (400, 404, 409,
    410); Recoverable errors become 503, after which the client may ask again.
    """
    try:
        return await handler(request)
    except FilterError as error:
        raise filter_problem(error) from error
    except RefusedAnswer as error:
        raise refused_problem(error.refused, _states(request).names) from error
    except UnknownSource as error:
        raise unknown_key(request.app[CONTEXT], error.source) from error
    except HiddenSource as error:
        name = _name(request, error.source)
        raise source_hidden(error.source, error.state.value, name) from error
    except DeletedSource as error:
        raise legacy_deleted(error.source, _name(request, error.source)) from error
    except AmbiguousUser as error:
        raise Problem("ambiguous_user", str(error), users=list(error.users)) from error
    except Recoverable as error:
        raise shards_unavailable(str(error)) from error


def _states(request: web.Request) -> SourceStates:
    return request.app[CONTEXT].states


def _name(request: web.Request, source: str) -> str:
    record = _states(request).get(source)
    return "" if record is None else record.name
