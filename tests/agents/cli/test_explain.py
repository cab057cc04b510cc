"""`emberline explain` on a real broker."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from agents.cli import main
from agents.cli.explain import called, links_lines
from agents.tools.publish import Chunk, publish
from agents.views.catalog_view import CatalogEntry
from schemas.records import codec
from schemas.records.lifecycle import Exemption, SourceState, State
from streams.kafka.topics import Topics
from streams.settings import Settings
from tests.rigs.command_line import emberline
from tests.rigs.site import Site, alone, serving

__all__ = ["alone"]

A, C, S = "campaign:a", "canvas:c", "segment:s"
USES_A = {"filter": "received_from_campaign", "campaign": "a"}


def definition(key: str, **facts: Any) -> bytes:
    kind = key.partition(":")[0]
    record = {"key": key, "kind": kind, "name": key, "status": "ACTIVE", "tags": []} | facts
    return codec.encode("definition", record)


CATALOG = {
    A: definition(A, status="STOPPED"),
    S: definition(S, status="STOPPED", filters=json.dumps(USES_A)),
    C: definition(C, filters=json.dumps({"filter": "in_segment", "segment": "s"})),
}


@pytest.fixture
async def told(settings: Settings, topics: Topics) -> Settings:
    """A catalog, and what a coordinator has made of it."""
    used = (Exemption(C, (S,), "received_from_campaign"),)
    states = [
        SourceState(A, State.EXEMPT, 1, name="a", status="STOPPED", exempt_by=used),
        SourceState("campaign:gone", State.EXPIRED, 3, name="gone", status="STOPPED", tags=("t",)),
    ]
    await publish(
        settings,
        [
            Chunk("catalog", [key.encode() for key in CATALOG], [*CATALOG.values()]),
            Chunk(
                "lifecycle.state",
                [state.source.encode() for state in states],
                [codec.encode("state", state.to_record()) for state in states],
            ),
        ],
    )
    return settings


async def test_a_source_is_explained_by_the_worker(alone: Settings) -> None:
    used = (Exemption(C, (S,), "received_from_campaign"),)
    site = Site(alone, {0}, SourceState(A, State.EXEMPT, 1, status="STOPPED", exempt_by=used))
    for record in CATALOG.values():
        site.context.catalog.put(CatalogEntry.from_record(codec.decode(record, "definition")))
    async with serving(site):
        port = site.context.address.rpartition(":")[2]

        async def ask(*args: str) -> Result:
            flags = ("--http-port", port, "--data-dir", str(alone.data_dir))
            return await asyncio.to_thread(CliRunner().invoke, main, ["explain", *args, *flags])

        await _explained(ask)


async def _explained(ask: Callable[..., Awaitable[Result]]) -> None:
    said = await ask(A)
    assert said.exit_code == 0, said.output
    assert "hot because segment:s <- canvas:c (active); if canvas:c stopped today" in said.stdout
    assert "canvas:c uses segment:s at $.filters (in_segment)" in said.stdout
    said = await ask(A, "--json", "--as-if-without", f"{S}@$.filters")
    facts = json.loads(said.stdout)
    assert facts["as_if"]["state"] == "STOPPED"
    assert (await ask(A, "--as-if-stopped", "canvas:none")).exit_code == 2
    said = await ask("campaign:nobody")
    assert said.exit_code == 1
    assert "emberline status" in said.stderr


@pytest.mark.connected
async def test_definitions_are_checked_as_in_ci(told: Settings, tmp_path: Path) -> None:
    uses_gone = {"filter": "received_from_campaign", "campaign": "gone"}
    good = {"key": "canvas:good", "status": "ACTIVE", "filters": USES_A}
    bad = {"key": "canvas:bad", "status": "ACTIVE", "filters": {"and": [USES_A, uses_gone]}}
    own = {"key": "segment:own", "status": "ACTIVE", "filters": json.dumps(uses_gone)}
    through = {
        "key": "canvas:through",
        "status": "DRAFT",
        "filters": {"filter": "in_segment", "segment": "own"},
    }
    lines, array = tmp_path / "lines.json", tmp_path / "array.json"
    lines.write_text(f"{json.dumps(good)}\n\n{json.dumps(bad)}\n")
    array.write_text(json.dumps([own, through]))

    said = await emberline(told, "explain", "--lint", str(lines), str(array))
    assert said.exit_code == 1
    assert said.stdout.splitlines() == [
        f"{lines}: canvas:bad $.filters.and[1] campaign:gone (EXPIRED)",
        f"{array}: segment:own $.filters campaign:gone (EXPIRED)",
        f"{array}: canvas:through $.filters campaign:gone (EXPIRED) through segment:own",
    ]
    lines.write_text(json.dumps(good))
    said = await emberline(told, "explain", "--lint", "--json", str(lines))
    assert (said.exit_code, json.loads(said.stdout)) == (0, {"definitions": 1, "findings": []})
    lines.write_text("{")
    assert (await emberline(told, "explain", "--lint", str(lines))).exit_code == 2
    for empty in ("", "\n\n", "[]"):
        lines.write_text(empty)
        said = await emberline(told, "explain", "--lint", str(array), str(lines))
        assert said.exit_code == 2
        assert f"{lines}: it has no definition" in said.stderr


@pytest.mark.connected
async def test_what_an_audience_would_refuse_does_not_pass(told: Settings, tmp_path: Path) -> None:
    tagged = {"filter": "received_with_tag", "tag": "t"}
    new = {"key": "canvas:new", "status": "DRAFT", "steps": [{"id": "s"}], "tags": ["own"]}
    step = {"filter": "received_from_step", "canvas": "new"}
    filters = {
        "shorter": tagged,
        "longer": {"not": tagged},
        "before": {"filter": "last_received_with_tag", "tag": "t", "before": "P1D"},
        "own": {"filter": "received_with_tag", "tag": "own", "has": False},
        "step": {"or": [{**step, "step": "s"}, {**step, "step": "z"}]},
        "nowhere": {"and": [{"filter": "in_segment", "segment": "none"}]},
        "misspelt": {**USES_A, "campain": "a"},
    }
    file = tmp_path / "file.json"
    given = [{"key": f"canvas:{k}", "status": "DRAFT", "filters": v} for k, v in filters.items()]
    file.write_text("\n".join(map(json.dumps, [*given, new])))
    said = await emberline(told, "explain", "--lint", str(file))
    assert said.exit_code == 1
    assert said.stdout.splitlines() == [
        f"{file}: canvas:longer $.filters.not campaign:gone (EXPIRED)",
        f"{file}: canvas:before $.filters campaign:gone (EXPIRED)",
        f"{file}: canvas:step $.filters.or[1] canvas:new has no step 'z'; it has s (unknown_step)",
        f"{file}: canvas:nowhere $.filters.and[0] there is no segment:none (unknown_segment)",
        f"{file}: canvas:misspelt $.filters.campain "
        "received_from_campaign has no argument 'campain' (unreadable)",
    ]


def test_a_link_that_many_reasons_share_is_shown_once() -> None:
    links = [
        {"definition": f"segment:s{n}", "target": A, "path": "$", "filter": "in_segment"}
        for n in range(3)
    ]
    reasons = [{"links": links[:n]} for n in (1, 2, 3)]
    assert links_lines(reasons, {A: "Spring"}) == [
        f'segment:s{n} uses {A} "Spring" at $ (in_segment)' for n in range(3)
    ]


def test_names_stand_behind_keys_and_not_in_commands() -> None:
    names = {A: "春 campaign:ab", "campaign:ab": "AB", C: "", S: S}
    text = f"{A} and campaign:ab, by {C} and {S}; `emberline hold {A}` keeps xcampaign:a"
    assert called(text, names) == (
        f'{A} "春 campaign:ab" and campaign:ab "AB", by {C} and {S}; '
        f"`emberline hold {A}` keeps xcampaign:a"
    )
