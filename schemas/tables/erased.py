"""The mask: which rows belong to erased users. Pure.

A user is kept as a keyed hash. So a reader of the changelog who does not have the key cannot find
out whether somebody was erased. A token of 24 bytes stands for a user:

    digest   16 bytes   BLAKE2b of the user under the key
    sealed    8 bytes   `stable_hash` of the user, big-endian, XOR 8 bytes that key and digest give

The stable hash of a whole column costs a few nanoseconds a row: it finds candidates. The digest
decides.

A row of an erased user is hidden if its `first` lies before the user's return; without a return,
every row is hidden. Rows have to be masked before they are folded: a fold of hidden and other rows
would be hidden as a whole.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import blake2b
from hmac import compare_digest
from typing import Any

import polars as pl

from schemas.tables.counts import COUNT_SCHEMA, add_up
from schemas.tables.placement import partition_of
from schemas.tables.stable_hash import stable_hash

__all__ = ["NEVER", "NO_MASK", "TOKEN_BYTES", "ErasedUser", "ErasureKey", "Mask"]

DIGEST_BYTES = 16
_SEALED_BYTES = 8
TOKEN_BYTES = DIGEST_BYTES + _SEALED_BYTES
NEVER = (1 << 63) - 1
"""The return of a user who has not come back: later than any row."""
_LEAST_KEY_BYTES = 32
_DIGEST = b"erased user"
_PAD = b"erased pad"
_NAME = b"erasure key"
_SEALED = b"sealed user"
_SEAL = "erased"


@dataclass(frozen=True)
class ErasureKey:
    """The secret under which users are hashed. Two keys give hashes that have nothing in common."""

    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if not _LEAST_KEY_BYTES <= len(self.secret) <= blake2b.MAX_KEY_SIZE:
            raise ValueError(f"a key has {_LEAST_KEY_BYTES} to {blake2b.MAX_KEY_SIZE} bytes")

    @cached_property
    def id(self) -> str:
        """16 hex digits that name the key and do not tell it."""
        return self._hash(b"", 8, _NAME).hex()

    def digest(self, user: str) -> bytes:
        """The keyed hash of a user."""
        return self._hash(user.encode(), DIGEST_BYTES, _DIGEST)

    def tokens(self, users: Iterable[str]) -> list[bytes]:
        """The token of each user."""
        named = list(users)
        hashes = stable_hash(pl.Series(named, dtype=pl.String)).to_list()
        found = []
        for user, hashed in zip(named, hashes, strict=True):
            digest = self.digest(user)
            found.append(digest + (hashed ^ self._pad(digest)).to_bytes(_SEALED_BYTES, "big"))
        return found

    def sealed(self, users: Sequence[str], partitions: int) -> list[str]:
        """Users as texts that only holders of the key can make: the shard, of so many, and the
        token. Each once, sorted; a text that is sealed already stays.
        """
        texts = {user for user in users if self.opened(user) is not None}
        named = sorted(set(users) - texts)
        shards = partition_of(pl.Series(named, dtype=pl.String), partitions).to_list()
        for shard, token in zip(shards, self.tokens(named), strict=True):
            body = b"%d/%d:%b" % (shard, partitions, urlsafe_b64encode(token))
            texts.add(f"{_SEAL}:{body.decode()}:{self._hash(body, 8, _SEALED).hex()}")
        return sorted(texts)

    def opened(self, text: str) -> tuple[int, bytes] | None:
        """Shard and token of a sealed text; None for any other text."""
        parts = text.split(":")
        if len(parts) != 4 or parts[0] != _SEAL:
            return None
        body = f"{parts[1]}:{parts[2]}".encode()
        if not compare_digest(self._hash(body, 8, _SEALED).hex(), parts[3]):
            return None
        return int(parts[1].partition("/")[0]), urlsafe_b64decode(parts[2])

    def hash_of(self, token: bytes) -> int:
        """The stable hash that a token seals."""
        return int.from_bytes(token[DIGEST_BYTES:], "big") ^ self._pad(token[:DIGEST_BYTES])

    def _pad(self, digest: bytes) -> int:
        return int.from_bytes(self._hash(digest, _SEALED_BYTES, _PAD), "big")

    def _hash(self, data: bytes, size: int, person: bytes) -> bytes:
        return blake2b(data, key=self.secret, digest_size=size, person=person).digest()


@dataclass(frozen=True, slots=True)
class ErasedUser:
    """One erased user. Times are UTC milliseconds.

    `generation` is that of the mask with which the user was erased. `returned_at` is the time of
    the record of the users topic by which the user came back, and `returned_from` that record's
    sequence; both are `NEVER` before.
    """

    token: bytes
    erased_at: int
    generation: int
    returned_at: int = NEVER
    returned_from: int = NEVER


class Mask:
    """Erased users, and the expressions that leave their rows out. Never changed.

    `generation` counts the erasures of a shard; `version` counts every change, returns too. Counts
    have no user who was erased up to the generation `counted`, but those of who has come back.
    """

    def __init__(
        self,
        key: ErasureKey | None = None,
        users: Mapping[bytes, ErasedUser] | None = None,
        generation: int = 0,
        version: int = 0,
        counted: int = 0,
    ) -> None:
        """`users` by digest; the caller does not change it afterwards. Without a key there are
        none.
        """
        self.counted = counted
        self.key = key
        self.users: Mapping[bytes, ErasedUser] = users or {}
        self.generation = generation
        self.version = version

    def __len__(self) -> int:
        return len(self.users)

    @cached_property
    def _hashes(self) -> pl.Series:
        key = self.key
        found = [] if key is None else [key.hash_of(user.token) for user in self.users.values()]
        return pl.Series(found, dtype=pl.UInt64).implode()

    def find(self, user: str) -> ErasedUser | None:
        """The entry of a user who was erased, whether the user has come back or not."""
        if not self.users or self.key is None:
            return None
        return self.users.get(self.key.digest(user))

    def hides(self, user: str) -> bool:
        """Whether the user is erased and has not come back."""
        found = self.find(user)
        return found is not None and found.returned_at == NEVER

    def among(self, users: pl.Series) -> dict[str, ErasedUser]:
        """The erased users in a column (String, none null), with their entries."""
        if not self.users or not len(users):
            return {}
        candidates = users.filter(stable_hash(users).is_in(self._hashes))
        found = ((user, self.find(user)) for user in candidates.unique().to_list())
        return {user: entry for user, entry in found if entry is not None}

    def rows(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Interactions, not folded with others, without hidden rows. Needs `user` and `first`."""
        return self._kept(frame, "first", "returned_at")

    def roster(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Rows of the roster without those of erased users from before their return."""
        return self._kept(frame, "sequence", "returned_from")

    def externals(self, frame: pl.DataFrame) -> pl.DataFrame:
        """External ids of events without those of erased users from before their return."""
        return self._kept(frame, "time", "returned_at")

    def counts(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Counts from before the mask, of which those of erased users lose the user: the sums
        stay. Users who have come back and whose former counts are gone already keep theirs.
        """
        return self._uncounted(frame, lambda one: one.generation > self.counted)

    def new_counts(self, frame: pl.DataFrame) -> pl.DataFrame:
        """New counts: the same, but users who have come back keep theirs."""
        return self._uncounted(frame, lambda one: False)

    def _uncounted(
        self, frame: pl.DataFrame, returned: Callable[[ErasedUser], bool]
    ) -> pl.DataFrame:
        if not self.users or frame["user"].null_count() == frame.height:
            return frame
        entries = self.among(frame["user"].drop_nulls()).items()
        found = [user for user, one in entries if one.returned_at == NEVER or returned(one)]
        if not found:
            return frame
        erased = pl.col("user").is_in(found)
        nobody = pl.lit(None, COUNT_SCHEMA["user"])
        return add_up(frame.with_columns(user=pl.when(erased).then(nobody).otherwise("user")))

    def _kept(self, frame: pl.DataFrame, when: str, since: str) -> pl.DataFrame:
        found = self.among(frame["user"])
        if not found:
            return frame
        begins = {user: getattr(entry, since) for user, entry in found.items()}
        gone = [user for user, begin in begins.items() if begin == NEVER]
        kept = ~pl.col("user").is_in(gone)
        back = {user: begin for user, begin in begins.items() if begin != NEVER}
        if back:
            begin = pl.col("user").replace_strict(back, default=None, return_dtype=pl.Int64)
            kept &= begin.is_null() | (pl.col(when) >= begin)
        return frame.filter(kept)

    def erased(self, tokens: Iterable[bytes], at: int) -> list[ErasedUser]:
        """The entries for these users, erased at `at` by the next generation."""
        return [ErasedUser(token, at, self.generation + 1) for token in tokens]

    def returned(self, times: pl.DataFrame) -> list[ErasedUser]:
        """The changed entries of users who come back.

        `times` has `user`, `deleted`, `sequence` and `time` (of the record) of records of the users
        topic, in their order. A record brings a user back if it is no deletion and is later than
        the erasure; only the first one of a user counts.
        """
        found: dict[str, ErasedUser] = {}
        entries = self.among(times["user"])
        away = {user for user, entry in entries.items() if entry.returned_at == NEVER}
        if not away:
            return []
        said = times.filter(pl.col("user").is_in(list(away)) & ~pl.col("deleted"))
        for user, sequence, time in said.select("user", "sequence", "time").iter_rows():
            if user not in found and time > entries[user].erased_at:
                found[user] = replace(entries[user], returned_at=time, returned_from=sequence)
        return list(found.values())

    def changed(self, entries: Iterable[ErasedUser], counted: int | None = None) -> "Mask":
        """The mask with these entries in place of those of the same users."""
        users: dict[bytes, Any] = dict(self.users)
        generation = self.generation
        for entry in entries:
            users[entry.token[:DIGEST_BYTES]] = entry
            generation = max(generation, entry.generation)
        counted = self.counted if counted is None else counted
        return Mask(self.key, users, generation, self.version + 1, counted)


NO_MASK = Mask()
"""Hides nothing."""
