"""Sessions of browsers: a signed text that stands for a key for some hours.

    v1.KEY.UNTIL.NONCE.MAC

KEY is the stored hash of the key in hex, UNTIL UTC milliseconds, NONCE 32 random hex digits. MAC is
the HMAC-SHA256, in hex, over the part before it. The key itself is in no session, so who reads a
session cannot learn the key. Each worker that shares the keys file accepts a session; a session
ends when its time is over, when its key is revoked, and when it was ended, which the worker that
ends it tells the others (agents/web/sign_out.py). A session that was ended is not valid again.
"""

import hmac
import re
import secrets
from dataclasses import dataclass, field

from agents.http.keys import Key, Keys

__all__ = ["SESSION_S", "EndedSessions", "Session", "begin", "end_of", "find"]

SESSION_S = 12 * 3600
"""So long a session lasts."""
MOST_ENDED = 1_000

_SHAPE = re.compile(r"(v1\.([0-9a-f]{64})\.([0-9]{1,15})\.([0-9a-f]{32}))\.([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Session:
    """A session that is valid now. `until`: UTC milliseconds."""

    key: Key
    until: int
    nonce: str


@dataclass(slots=True)
class _Ended:
    """Of one key: ended sessions with their ends. Those with an end up to `all_until` all ended."""

    nonces: dict[str, int] = field(default_factory=dict)
    all_until: int = 0


@dataclass
class EndedSessions:
    """The sessions that were ended before their time, until that time.

    Of each key `most` are kept. If there are more, all sessions of this key that began no later
    than the oldest of them have ended too. So no ended session is forgotten, and who ends very many
    ends only those of the same key.
    """

    most: int = MOST_ENDED
    before: int = 0
    """Sessions of every key with an end up to this, in UTC milliseconds, have ended."""
    _by_key: dict[str, _Ended] = field(default_factory=dict)

    def end(self, key_hash: str, nonce: str, until: int, now_ms: int) -> None:
        """Refuse this session from now on. `until`: its end; `now_ms`: UTC milliseconds too."""
        self._forget(now_ms)
        found = self._by_key.setdefault(key_hash, _Ended())
        found.nonces[nonce] = until
        while len(found.nonces) > self.most:
            # all sessions last equally long: the one that ends first began first
            oldest = min(found.nonces, key=found.nonces.__getitem__)
            found.all_until = max(found.all_until, found.nonces.pop(oldest))

    def has(self, key_hash: str, nonce: str, until: int) -> bool:
        """Whether this session was ended."""
        if until <= self.before:
            return True
        found = self._by_key.get(key_hash)
        return found is not None and (until <= found.all_until or nonce in found.nonces)

    def put(self, key_hash: str, nonces: dict[str, int], all_until: int) -> None:
        """What is known of a key, as `facts` gave it."""
        self._by_key[key_hash] = _Ended(nonces, all_until)

    def facts(self) -> list[tuple[str, dict[str, int], int]]:
        """Of each key its hash, the ends of its ended sessions by nonce, and the end up to which
        all have ended.
        """
        return [
            (key_hash, dict(one.nonces), one.all_until) for key_hash, one in self._by_key.items()
        ]

    def _forget(self, now_ms: int) -> None:
        """Forget sessions that are over anyway."""
        for key_hash, found in list(self._by_key.items()):
            found.nonces = {nonce: end for nonce, end in found.nonces.items() if end > now_ms}
            if not found.nonces and found.all_until <= now_ms:
                del self._by_key[key_hash]


def end_of(now_ms: int) -> int:
    """When a session that begins now is over, in UTC milliseconds."""
    return now_ms + SESSION_S * 1000


def begin(keys: Keys, key: Key, now_ms: int) -> str:
    """A new session of this key. Raises ValueError if the keys file has no secret."""
    if not keys.session_key:
        raise ValueError("the keys file has no secret")
    signed = f"v1.{key.hash}.{end_of(now_ms)}.{secrets.token_hex(16)}"
    return f"{signed}.{_mac(keys, signed)}"


def find(keys: Keys, text: str, ended: EndedSessions, now_ms: int) -> Session | None:
    """The session of this text; None if it is not valid, or not any more."""
    found = _SHAPE.fullmatch(text)
    if found is None or not keys.session_key:
        return None
    signed, key_hash, until, nonce, mac = found.groups()
    if not hmac.compare_digest(_mac(keys, signed), mac):
        return None
    if int(until) <= now_ms or ended.has(key_hash, nonce, int(until)):
        return None
    key = next((one for one in keys.keys if one.hash == key_hash), None)
    return None if key is None else Session(key, int(until), nonce)


def _mac(keys: Keys, signed: str) -> str:
    return hmac.digest(keys.session_key, signed.encode(), "sha256").hex()
