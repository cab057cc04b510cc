"""GET /sources: what a page of it has beside the states."""

from pathlib import Path

from schemas.records.lifecycle import Exemption, SourceState, State
from tests.rigs.site import SHARDS, A, Site, define, serving, settings


async def test_a_page_names_what_uses_its_sources_and_the_segments_between(tmp_path: Path) -> None:
    used = (Exemption("canvas:c", ("segment:s", "segment:gone"), "in_segment"),)
    site = Site(
        settings(tmp_path),
        set(range(SHARDS)),
        SourceState(A, State.EXEMPT, 2, status="STOPPED", exempt_by=used),
        SourceState("campaign:other", State.ACTIVE, 1, status="ACTIVE"),
    )
    define(site, "canvas:c", name="Winback")
    define(site, "segment:s", name="Welcomed")
    define(site, "campaign:other", name="Other")
    async with (
        serving(site) as session,
        session.get(f"{site.context.address}/sources") as answer,
    ):
        page = await answer.json()
    # what has no definition is not named: its key stays
    assert page["names"] == {"canvas:c": "Winback", "segment:s": "Welcomed"}
