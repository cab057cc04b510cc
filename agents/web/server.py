"""Faust's web server with our routes and none of its own."""

import asyncio
import socket

from aiohttp import web
from faust.types import AppT
from faust.web.drivers import aiohttp as driver

from agents.web.audience import audience
from agents.web.context import CONTEXT, Context
from agents.web.health import healthz, readyz, status
from agents.web.interactions import interactions
from agents.web.internal import shard_audience, shard_interactions, shard_sizes
from agents.web.problems import problems
from agents.web.sources import list_sources, one_source
from schemas.errors import Fatal

__all__ = ["Web", "routes"]

SHUTDOWN_S = 2.0
_EVERYWHERE = {"0.0.0.0", "::"}


def routes(app: web.Application, context: Context) -> None:
    """Add all routes to an application that has none."""
    app[CONTEXT] = context
    app.middlewares.append(problems)
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/status", status)
    app.router.add_get("/sources", list_sources)
    app.router.add_get("/sources/{source}", one_source)
    app.router.add_get("/sources/{source}/interactions", interactions)
    app.router.add_post("/audience", audience)
    app.router.add_get("/internal/shards/{partition}/interactions", shard_interactions)
    app.router.add_post("/internal/shards/{partition}/audience", shard_audience)
    app.router.add_post("/internal/sizes", shard_sizes)


class Web(driver.Web):
    """The driver; Faust starts and stops it with the app."""

    mundane_level = "debug"

    def __init__(self, app: AppT, context: Context) -> None:
        super().__init__(app)
        self._context = context
        self._runner = web.AppRunner(self.web_app, access_log=None, shutdown_timeout=SHUTDOWN_S)

    def init_server(self) -> None:
        """Our routes only: Faust's pages show tables and graphs to anybody."""
        routes(self.web_app, self._context)

    async def start_server(self) -> None:
        """Listen, and find out at which address others reach this worker.

        Raises Fatal where the port is taken.
        """
        settings = self._context.settings
        await self._runner.setup()
        site = web.TCPSite(self._runner, settings.http_host, settings.http_port)
        try:
            await site.start()
        except OSError as error:
            raise Fatal(
                f"The worker cannot listen at {settings.http_host}:{settings.http_port}: "
                f"{error.strerror or error}",
                remedy="Stop what listens there, or set --http-port (0: any free port)",
            ) from error
        port = self._runner.addresses[0][1]
        host = settings.http_host
        if host in _EVERYWHERE:
            host = await asyncio.to_thread(socket.gethostname)
        self._context.address = f"http://{f'[{host}]' if ':' in host else host}:{port}"

    async def stop_server(self) -> None:
        """Break off what is still being sent after a moment."""
        await self._context.close()
        await self._runner.cleanup()
