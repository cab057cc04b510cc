"""A segment's export shows each source for all users, or for none."""

import json
from typing import Any, cast

import polars as pl
import pytest

from agents.users.facts import UserFacts, UsersRead
from agents.users.names import Names
from agents.web.routes.export_lines import UserLines
from agents.web.routes.export_request import Fields
from schemas.errors import Recoverable
from tests.rigs.dummies import rows

A, B = "campaign:a", "campaign:b"


def read(*facts: UserFacts, archived: tuple[str, ...] = ()) -> UsersRead:
    return UsersRead({each.user: each for each in facts}, archived)


def facts(user: str, *visible: str, **hidden: int) -> UserFacts:
    frame = pl.concat([rows("campaign:x", user).clear(), *(rows(each, user) for each in visible)])
    return UserFacts(user, None, frame, {f"campaign:{name}": n for name, n in hidden.items()}, 0)


class NoNames:
    """Sources are called as their keys."""

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


@pytest.fixture
def written() -> UserLines:
    return UserLines(cast(Names, NoNames()), Fields(frozenset({"braze_id"}), ("shoe_size",)))


def test_an_unchanged_source_is_exported(written: UserLines) -> None:
    written.lines(read(facts("u1", A, b=2), archived=("campaign:c",)))
    written.lines(read(facts("u2", A, b=1), facts("u3"), archived=("campaign:c",)))
    last = json.loads(written.completion())
    assert (last["complete"], last["count"], last["unknown_fields"]) == (True, 3, ["shoe_size"])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (read(facts("u1", A)), read(facts("u2", a=1))),
        (read(facts("u1", A)), read(facts("u2"), archived=(A,))),
        (read(facts("u1", a=1)), read(facts("u2", A))),
        (read(facts("u1"), archived=(A,)), read(facts("u2", A, B))),
    ],
    ids=["hidden", "archived", "back", "back from the archive"],
)
def test_a_source_that_comes_or_goes_breaks_the_export_off(
    written: UserLines, before: UsersRead, after: UsersRead
) -> None:
    written.lines(before)
    with pytest.raises(Recoverable, match="campaign:a expired or came back"):
        written.lines(after)
