"""The entries of a changelog that say who was erased, and how far a shard is with it.

g/<digest, 32 hex digits>   an erased user: what is sealed of the token, erased_at, returned_at,
                            returned_from, generation, each 8 bytes, big-endian. Never deleted
z                           `ErasureMarks`, as JSON. Never deleted
j/<request id>              `ErasureWork`, as JSON: until the coordinator closes the request
"""

import json
import struct
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TypeVar

from schemas.tables.erased import DIGEST_BYTES, TOKEN_BYTES, ErasedUser
from streams.state import keys
from streams.state.stored_value import stored_value

__all__ = ["ErasureMarks", "ErasureWork", "erased_user", "puts_of"]

Put = tuple[bytes, bytes | None]
_USER = struct.Struct(">8sqqqq")


@dataclass(frozen=True, slots=True)
class ErasureMarks:
    """The key under which users are hashed, the generation of the mask, and up to which generation
    no delta, segment or run of an auxiliary table has rows of erased users (`hot`).

    Below the archive offset `dead` lie copies that have such rows and count no more; 0 for none.
    """

    key: str
    generation: int
    hot: int = 0
    dead: int = 0

    def put(self) -> Put:
        """As a changelog entry."""
        return keys.ERASURE_MARKS, json.dumps(asdict(self)).encode()

    @classmethod
    def of(cls, value: bytes) -> "ErasureMarks":
        """Read what `put` wrote. Raises ValueError, TypeError."""
        return _not_negative(stored_value(cls, value))


@dataclass(frozen=True, slots=True)
class ErasureWork:
    """One shard's part of a request. `users` were erased by `generation`, which is 0 if there are
    none; `rows` and `archived` count the rows that were removed from hot data and from archived
    segments since. `merges` records of the roster named users of the request, of any shard, as the
    ones whom others became; `apart`: none does any more.
    """

    generation: int
    users: int
    rows: int = 0
    archived: int = 0
    merges: int = 0
    apart: bool = False

    def put(self, request_id: str) -> Put:
        """As a changelog entry."""
        return keys.erasure(request_id), json.dumps(asdict(self)).encode()

    @classmethod
    def of(cls, value: bytes) -> "ErasureWork":
        """Read what `put` wrote. Raises ValueError, TypeError."""
        return _not_negative(stored_value(cls, value))


_Value = TypeVar("_Value", ErasureMarks, ErasureWork)


def _not_negative(found: _Value) -> _Value:
    """Raises ValueError for a number that is negative."""
    for name, value in asdict(found).items():
        if isinstance(value, int) and value < 0:
            raise ValueError(f"{name} is negative")
    return found


def puts_of(users: Iterable[ErasedUser]) -> list[Put]:
    """Erased users as changelog entries."""
    return [
        (
            keys.erased(user.token[:DIGEST_BYTES]),
            _USER.pack(
                user.token[DIGEST_BYTES:],
                user.erased_at,
                user.returned_at,
                user.returned_from,
                user.generation,
            ),
        )
        for user in users
    ]


def erased_user(key: bytes, value: bytes) -> ErasedUser:
    """Read what `puts_of` wrote. Raises ValueError, struct.error."""
    sealed, erased_at, returned_at, returned_from, generation = _USER.unpack(value)
    token = keys.erased_digest(key) + sealed
    if len(token) != TOKEN_BYTES or generation < 1:
        raise ValueError("no erased user")
    return ErasedUser(token, erased_at, generation, returned_at, returned_from)
