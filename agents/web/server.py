"""Faust's web server with our routes only. A module of `agents/web/routes` is served if it is
listed here.
"""

import asyncio
import secrets

from aiohttp import web
from faust.types import AppT
from faust.web.drivers import aiohttp as driver

from agents.http.connections import ConnectionLimits, Runner, listen, raise_descriptors
from agents.http.own_address import advertised
from agents.http.parameters import known_parameters
from agents.http.problems import problems
from agents.http.route import Route
from agents.scatter.context import CONTEXT, WorkerContext
from agents.scatter.self_check import check_self
from agents.web import openapi
from agents.web.answer_problems import answer_problems
from agents.web.guard import Guard
from agents.web.measured import measured
from agents.web.routes import (
    analytics,
    asyncapi,
    audience,
    erasures,
    events,
    explain,
    export_file,
    export_size,
    filters,
    health,
    imports,
    interactions,
    internal,
    metrics,
    notifications,
    page,
    records,
    replay,
    requests,
    session,
    sources,
    sweep,
    users,
    workers,
)
from agents.web.source_names import resolved_sources
from schemas.errors import Fatal
from streams.ending import end_all

__all__ = ["ROUTES", "Web", "routes"]

ROUTES: tuple[Route, ...] = (
    *health.ROUTES,
    *metrics.ROUTES,
    *workers.ROUTES,
    *imports.ROUTES,
    *notifications.ROUTES,
    *sources.ROUTES,
    *interactions.ROUTES,
    *analytics.ROUTES,
    *explain.ROUTES,
    *export_size.ROUTES,
    *requests.ROUTES,
    *erasures.ROUTES,
    *sweep.ROUTES,
    *events.ROUTES,
    *records.ROUTES,
    *replay.ROUTES,
    *session.ROUTES,
    *page.ROUTES,
    *audience.ROUTES,
    *filters.ROUTES,
    *users.ROUTES,
    *export_file.ROUTES,
    *openapi.ROUTES,
    *asyncapi.ROUTES,
    *internal.ROUTES,
)
"""Everything that is served."""

#: Answers that are under way have so long, and twice so long if they do not heed that.
SHUTDOWN_S = 1.0


def routes(app: web.Application, context: WorkerContext) -> None:
    """Add all routes to an application without routes."""
    app[CONTEXT] = context
    app.middlewares.append(measured(ROUTES))
    app.middlewares.append(problems)
    Guard(context, ROUTES).install(app)
    app.middlewares.append(known_parameters(ROUTES))
    app.middlewares.append(answer_problems)
    app.middlewares.append(resolved_sources(ROUTES))
    for route in ROUTES:
        app.router.add_route(route.method, route.pattern, route.handler)
    app.on_startup.append(page.read_files)
    openapi.install(app, ROUTES)
    asyncapi.install(app, context.settings)


class Web(driver.Web):
    """The driver; Faust starts and stops it with the app."""

    mundane_level = "debug"

    def __init__(self, app: AppT, context: WorkerContext) -> None:
        super().__init__(app)
        self._context = context
        raise_descriptors()
        self._checking: asyncio.Task[None] | None = None
        self._runner = Runner(
            self.web_app,
            ConnectionLimits.of(context.settings),
            shutdown_s=SHUTDOWN_S,
            context=None if context.tls is None else context.tls.present,
        )

    def init_server(self) -> None:
        """Our routes only: Faust's pages would show tables and graphs to everybody."""
        routes(self.web_app, self._context)

    async def start_server(self) -> None:
        """Listen, and determine the address at which other workers reach this one.

        Raises Fatal if the port is in use.
        """
        settings = self._context.settings
        await self._runner.setup()
        try:
            await listen(self._runner, settings.http_host, settings.http_port)
        except OSError as error:
            raise Fatal(
                f"The worker cannot listen at {settings.http_host}:{settings.http_port}: "
                f"{error.strerror or error}",
                remedy="Stop what listens there, or set --http-port (0: any free port)",
            ) from error
        port = self._runner.addresses[0][1]
        self._context.address = await asyncio.to_thread(advertised, settings, port)
        self._context.name = secrets.token_hex(8)
        if settings.advertised_url:
            self._checking = asyncio.create_task(check_self(self._context))

    async def stop_server(self) -> None:
        """Wait a moment, then close the connections of answers that are still being sent."""
        await end_all([self._checking] if self._checking else [])
        await self._context.commands.close()
        await self._context.exports.close()
        await self._context.largest.close()
        await self._context.peers.close()
        await self._runner.cleanup()
