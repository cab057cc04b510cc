"""How `emberline restores` lists requests for people."""

from typing import Any

import pytest

from agents.cli.restores import done_of, what
from schemas.records.lifecycle import SourceState, State

SPRING = "campaign:spring"
STATES = {SPRING: SourceState(SPRING, State.STOPPED, 1, name="Spring")}


def part(source: str, outcome: str = "completed", code: str | None = None) -> dict[str, Any]:
    return {"source": source, "outcome": outcome, "code": code}


def request(*sources: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"tag": None, "dry_run": False, "sources": sources, "done": 1, "total": 2, **more}


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        (request(part(SPRING)), "Spring"),
        (request(part("campaign:gone")), "campaign:gone"),
        (request(part(SPRING), tag="2026"), "tag 2026"),
        (request(part(SPRING), part("canvas:a")), "2 sources"),
        (request(part(SPRING), dry_run=True), "Spring (dry run)"),
    ],
)
def test_what_a_request_is_about(asked: dict[str, Any], text: str) -> None:
    assert what(asked, STATES) == text


def test_what_is_so_already_counts_as_done() -> None:
    parts = part(SPRING, "refused", "not_expired"), part("canvas:a"), part("canvas:b", "failed")
    assert done_of(request(*parts, total=3)) == "2 of 3"
    # the coordinator tells no parts of a large request yet
    assert done_of(request(total=10_000, done=700)) == "700 of 10,000"
    assert done_of(request(total=0)) == ""
