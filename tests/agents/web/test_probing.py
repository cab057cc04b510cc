"""Who probes a worker that has keys, and has none itself, finds nothing but its health and the page
to sign in with.
"""

import re
from importlib.metadata import version
from pathlib import Path

import pytest

from agents.http.keys import Scope
from agents.http.route import Route
from agents.web.openapi import document
from agents.web.server import ROUTES
from tests.rigs.given import Given
from tests.rigs.site import SHARDS, A, Site, active, serving

OPEN = {
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    # the page, the same for everybody, and how its user gives a key
    ("GET", "/"),
    ("GET", "/assets/boot.js"),
    ("GET", "/assets/{version}/{name}"),
    ("GET", "/session"),
}
"""What is answered to anybody."""
VALUES = {"source": A, "partition": "0", "id": "ann", "key": A}


def filled(route: Route) -> str:
    """The path of the route with values that exist."""
    return re.sub(r"{(\w+)}", lambda part: VALUES.get(part[1], "x"), route.path)


def test_every_route_is_in_the_document_or_between_workers() -> None:
    paths = document(ROUTES)["paths"]
    for route in ROUTES:
        assert (route.path in paths) == (route.scope is not Scope.WORKER), route.path
        assert route.path.startswith("/internal/") == (route.scope is Scope.WORKER), route.path


@pytest.mark.parametrize("key", [None, "emb_guessed", "v1 1 0 0 0"])
async def test_without_a_key_all_but_health_and_the_way_to_sign_in_is_refused(
    tmp_path: Path, key: str | None
) -> None:
    given = Given(tmp_path)
    site = Site(given.settings, set(range(SHARDS)), active(name="Spring"))
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    headers |= {"Emberline-Signature": key or ""}
    answered = set()
    async with serving(site) as session:
        for route in ROUTES:
            methods = {route.method, "HEAD"} if route.method == "GET" else {route.method}
            for method in methods:
                async with session.request(
                    method, site.context.address + filled(route), headers=headers
                ) as answer:
                    told = await answer.text() + str(answer.headers)
                    assert answer.headers["Server"] == "emberline"
                # which key would do is no secret; whose data there is, and which program, is one
                for secret in (site.context.address, "Spring", A, version("aiohttp"), "Python"):
                    assert secret not in told, (method, route.path)
                if answer.status not in (401, 403, 405):
                    answered.add((route.method, route.path))
        for method in ("PUT", "PATCH", "OPTIONS", "TRACE", "PROPFIND"):
            async with session.request(method, site.context.address + "/sources") as answer:
                assert answer.status in (401, 403, 405), method
    assert answered == OPEN
