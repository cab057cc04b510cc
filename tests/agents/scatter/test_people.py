"""What the worker that is asked makes of the answers of shards about users."""

from collections.abc import Sequence
from typing import Any, cast

import polars as pl
import pytest

from agents.scatter import people
from agents.scatter.context import WorkerContext
from agents.users.facts import UserFacts, UsersRead
from agents.views.state_view import StateView
from schemas.records import codec
from schemas.records.lifecycle import SourceState, State
from schemas.tables.interaction import SCHEMA
from streams.settings import Settings

EXPIRING, ACTIVE = "campaign:expiring", "campaign:active"


class Asked:
    """A worker that knows that one source expires; the shard is with another worker."""

    def __init__(self) -> None:
        self.settings = Settings()
        self.states = StateView()
        for source, state in ((EXPIRING, State.EXPIRING), (ACTIVE, State.ACTIVE)):
            record = SourceState(source, state, 2).to_record()
            self.states.apply(source.encode(), codec.encode("state", record))


async def test_rows_of_a_source_that_is_hidden_here_are_left_out_though_the_shard_does_not_know(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = pl.DataFrame(
        [
            [source, "u", "received", "EMAIL", None, None, None, 1, 1]
            for source in (ACTIVE, EXPIRING)
        ],
        schema=SCHEMA,
        orient="row",
    )

    async def gathered(context: object, queries: Sequence[object], failing: str) -> list[Any]:
        return [UsersRead({"u": UserFacts("u", None, rows, {}, 0)}, ()) for _ in queries]

    monkeypatch.setattr(people, "gather", gathered)
    monkeypatch.setattr(people, "states_read", lambda context: None)
    found = await people.read(cast(WorkerContext, Asked()), ["u"])
    assert found.facts["u"].rows["source"].to_list() == [ACTIVE]
    assert found.facts["u"].hidden == {EXPIRING: 1}
