"""Sessions of browsers: a signed text that stands for a key for some hours.

    v1.KEY.UNTIL.NONCE.MAC

KEY is the stored hash of the key in hex, UNTIL UTC milliseconds, NONCE 32 random hex digits. MAC is
the HMAC-SHA256, in hex, over the part before it. The key itself is in no session, so who reads a
session cannot learn the key. Each worker that shares the keys file accepts a session; a session
ends when its time is over, when its key is revoked, and when it was ended, which the worker that
ends it tells the others (agents/web/sign_out.py).
"""

import hmac
import re
import secrets
from dataclasses import dataclass, field

from agents.http.keys import Key, Keys

__all__ = ["SESSION_S", "EndedSessions", "Session", "begin", "end_of", "find"]

SESSION_S = 12 * 3600
"""So long a session lasts."""
MOST_ENDED = 10_000

_SHAPE = re.compile(r"(v1\.([0-9a-f]{64})\.([0-9]{1,15})\.([0-9a-f]{32}))\.([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Session:
    """A session that is valid now. `until`: UTC milliseconds."""

    key: Key
    until: int
    nonce: str


@dataclass
class EndedSessions:
    """The sessions that were ended before their time, until that time. If there are more than
    `most`, those that were ended first are forgotten.
    """

    most: int = MOST_ENDED
    _until: dict[str, int] = field(default_factory=dict)

    def end(self, nonce: str, until: int) -> None:
        """Refuse this session from now on."""
        self._until[nonce] = until
        while len(self._until) > self.most:
            del self._until[next(iter(self._until))]

    def __contains__(self, nonce: str) -> bool:
        return nonce in self._until


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
    if int(until) <= now_ms or nonce in ended:
        return None
    key = next((one for one in keys.keys if one.hash == key_hash), None)
    return None if key is None else Session(key, int(until), nonce)


def _mac(keys: Keys, signed: str) -> str:
    return hmac.digest(keys.session_key, signed.encode(), "sha256").hex()
