"""Keys of the HTTP interface with their scopes, stored as hashes in a file that all workers share.

The file also holds a random secret. From it workers derive the key that signs their requests to
each other. Keys are long and random, so one round of SHA-256 protects them.
"""

import hashlib
import hmac
import json
import secrets
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from agents.http import keys_file
from schemas.errors import Fatal, UsageError

__all__ = ["ISSUED", "Key", "Keys", "Scope"]

_FORMAT = 1
_SECRET_CHARS = 32


class Scope(StrEnum):
    """The permissions of a key. `admin` allows everything except routes between workers."""

    READ = "read"
    EXPORT = "users.export"
    OPERATE = "operate"
    METRICS = "metrics"
    ADMIN = "admin"
    WORKER = "worker"


ISSUED = (Scope.READ, Scope.EXPORT, Scope.OPERATE, Scope.METRICS, Scope.ADMIN)
"""The scopes that a key can be given."""


@dataclass(frozen=True, slots=True)
class Key:
    """A stored key: `hash` is SHA-256 in hex, `created_at` UTC milliseconds. `email`: the address
    that is told when a request of this key is over; empty for none.
    """

    name: str
    scopes: tuple[Scope, ...]
    hash: str
    created_at: int
    email: str = ""

    def allows(self, scope: Scope) -> bool:
        """Whether the holder of this key may call routes of `scope`."""
        return scope in self.scopes or (Scope.ADMIN in self.scopes and scope is not Scope.WORKER)


@dataclass(frozen=True)
class Keys:
    """The content of a keys file. Changes make a new value; `save` writes it as a whole."""

    keys: tuple[Key, ...] = ()
    secret: str = ""

    @classmethod
    def load(cls, file: Path) -> "Keys | None":
        """None if the file does not exist. Raises Fatal for a file that cannot be read, or that
        others than its owner may write.
        """
        try:
            content = keys_file.read(file)
            if content is None:
                return None
            found = json.loads(content)
            if found["format"] != _FORMAT:
                raise Fatal(
                    f"The keys file {file} has format {found['format']!r:.40}, this version reads "
                    f"{_FORMAT}",
                    remedy="Run the version of emberline that wrote it, or a newer one",
                )
            secret = str(found["secret"])
            if secret and len(secret) < _SECRET_CHARS:
                raise ValueError(f"its secret has less than {_SECRET_CHARS} characters")
            secret.encode()  # half of a surrogate pair, which JSON lets pass, is no text
            return cls(tuple(map(_key, found["keys"])), secret)
        except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            raise Fatal(
                f"The keys file {file} cannot be read: {error}",
                remedy="Restore it from a copy, or remove it and give out new keys",
            ) from error

    def save(self, file: Path) -> None:
        """Write the file atomically, see keys_file.replace. Raises Fatal.

        To change an existing file use `change`: between load and save another process may write.
        """
        content = {
            "format": _FORMAT,
            "secret": self.secret or secrets.token_hex(32),
            "keys": [asdict(key) for key in self.keys],
        }
        keys_file.replace(file, json.dumps(content, indent=2).encode())

    @classmethod
    def change(cls, file: Path, change: "Callable[[Keys], Keys]") -> "Keys":
        """Replace the file's content by the result of `change`, while no other process changes it.

        Raises the errors of `change`, and Fatal.
        """
        with keys_file.locked(file):
            former = cls.load(file) or cls()
            changed = change(former)
            if changed != former:
                changed.save(file)
        return changed

    def add(
        self, name: str, scopes: Iterable[Scope], now_ms: int, email: str = ""
    ) -> "tuple[Keys, str]":
        """The keys with an additional one, and that key: it is shown only once. Raises
        UsageError.
        """
        if any(key.name == name for key in self.keys):
            raise UsageError(
                f"There is a key {name!r} already",
                remedy=f"Take another name, or `emberline keys revoke {name}` first",
            )
        given = tuple(dict.fromkeys(scopes))
        if not name or not given or not set(given) <= set(ISSUED):
            offered = ", ".join(ISSUED)
            raise UsageError("A key has a name and a scope", remedy=f"Scopes are {offered}")
        token = f"emb_{secrets.token_urlsafe(32)}"
        key = Key(name, given, _hash(token), now_ms, email)
        return replace(self, keys=(*self.keys, key)), token

    def revoke(self, name: str) -> "Keys":
        """The keys without the one of that name. Raises UsageError if there is none."""
        left = tuple(key for key in self.keys if key.name != name)
        if len(left) == len(self.keys):
            raise UsageError(
                f"There is no key {name!r}", remedy="`emberline keys list` shows them all"
            )
        return replace(self, keys=left)

    def email_of(self, name: str) -> str:
        """The address of the key of this name; empty if there is none."""
        return next((key.email for key in self.keys if key.name == name), "")

    def find(self, token: str) -> Key | None:
        """The stored entry of this key."""
        hashed = _hash(token)
        return next((key for key in self.keys if hmac.compare_digest(key.hash, hashed)), None)

    @property
    def signing_key(self) -> bytes:
        """The key with which workers that share the file sign requests to each other; empty if the
        file has no secret. It is never sent.
        """
        return self._derived(b"emberline request between workers")

    @property
    def command_key(self) -> bytes:
        """The key with which workers prove the actor of a command, see agents/coordinator/proof.py;
        empty if the file has no secret. It is never sent.
        """
        return self._derived(b"emberline command of a key")

    @property
    def session_key(self) -> bytes:
        """The key with which workers sign the sessions of browsers, see agents/http/session.py;
        empty if the file has no secret. It is never sent.
        """
        return self._derived(b"emberline session of a browser")

    def _derived(self, purpose: bytes) -> bytes:
        return hmac.digest(self.secret.encode(), purpose, "sha256") if self.secret else b""


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode(errors="surrogateescape")).hexdigest()


def _key(found: dict[str, Any]) -> Key:
    scopes = tuple(Scope(scope) for scope in found["scopes"])
    if Scope.WORKER in scopes:
        raise ValueError(f"the key {found['name']!r} has the scope of workers")
    hashed = str(found["hash"])
    if not hashed.isascii():
        raise ValueError(f"the hash of the key {found['name']!r} is none")
    email = str(found.get("email", ""))
    return Key(str(found["name"]), scopes, hashed, int(found["created_at"]), email)
