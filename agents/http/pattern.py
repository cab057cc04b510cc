"""The route of a request, for logs and metrics."""

from aiohttp import web

__all__ = ["pattern_of"]


def pattern_of(request: web.Request) -> str:
    """The pattern of the request's route, such as `/users/{id}`: a path may have a user in it.
    Empty if there is no such route.
    """
    resource = request.match_info.route.resource
    return "" if resource is None else resource.canonical
