"""What keeps a question to the shards from its answer."""

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
    """Not all shards hold what the question needs, in one generation; after some patience."""


class ShardFailed(Fatal):
    """A shard's answer ended in what is no ordinary error: a native library panicked, or what it
    waited for was cancelled. Asking again gives the same."""


class UnknownSource(UsageError):
    """No event and no definition names `source`."""

    def __init__(self, source: str) -> None:
        super().__init__(f"No event and no definition names {source!r}")
        self.source = source


class HiddenSource(UsageError):
    """The data of `source` takes part in no answer in this `state`."""

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
    """More users bear an identifier than are looked at; `users` are some of them."""

    def __init__(self, message: str, users: Sequence[str]) -> None:
        super().__init__(message)
        self.users = tuple(users)
