"""The errors of queries to shards."""

from collections.abc import Sequence

from schemas.errors import Fatal, Recoverable, UsageError
from schemas.records.lifecycle import State

__all__ = [
    "AmbiguousUser",
    "DeletedSource",
    "HiddenSource",
    "ShardFailed",
    "Unavailable",
    "UnknownSource",
]


class Unavailable(Recoverable):
    """Within the time for attempts, the shards did not all hold the required versions in one
    generation.
    """


class ShardFailed(Fatal):
    """A shard's answer ended with an unexpected error: a native library panicked, or a task inside
    was cancelled. Repeating the query would fail again.
    """


class UnknownSource(UsageError):
    """No event and no definition names `source`."""

    def __init__(self, source: str) -> None:
        super().__init__(f"No event and no definition names {source!r}")
        self.source = source


class HiddenSource(UsageError):
    """The data of `source` is excluded from every answer in this `state`."""

    def __init__(self, source: str, state: State) -> None:
        super().__init__(f"{source} is {state.value}: its data takes part in no answer")
        self.source = source
        self.state = state


class DeletedSource(UsageError):
    """`source` was deleted for good under the older policy."""

    def __init__(self, source: str) -> None:
        super().__init__(f"{source} was deleted for good under the older policy")
        self.source = source


class AmbiguousUser(UsageError):
    """An identifier belongs to more users than are examined; `users` are some of them."""

    def __init__(self, message: str, users: Sequence[str]) -> None:
        super().__init__(message)
        self.users = tuple(users)
