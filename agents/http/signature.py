"""Signs requests between workers with a secret that is never sent.

    Emberline-Signature: v1 TIME NONCE BODY MAC

TIME is UTC milliseconds, NONCE 32 random hex digits, BODY the SHA-256 of the body in hex. MAC is
the HMAC-SHA256, in hex, over the lines `v1`, method, host and port of the receiver, path with
query, TIME, NONCE, BODY. So a request is valid once, for half a minute, at the one worker for which
it was made. A process that sees or receives the request cannot make another one from it, nor
forward it.
"""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field

from yarl import URL

__all__ = [
    "HEADER",
    "WINDOW_MS",
    "Nonces",
    "SignatureRefused",
    "Signed",
    "Stale",
    "netloc",
    "sign",
    "verify",
]

HEADER = "Emberline-Signature"
WINDOW_MS = 30_000
"""How much older, or younger, than the receiver's clock a request may be."""
MOST_NONCES = 200_000

_VERSION = "v1"
_SHAPE = re.compile(r"v1 ([0-9]{1,15}) ([0-9a-f]{32}) ([0-9a-f]{64}) ([0-9a-f]{64})")


class SignatureRefused(Exception):
    """Why a request does not come from another worker."""


class Stale(SignatureRefused):
    """A worker has signed the request, but it is too early, too late or repeated."""


@dataclass(frozen=True, slots=True)
class Signed:
    """The signed parts; `host` as returned by `netloc`, `target` is path and query as sent."""

    method: str
    host: str
    target: str
    time_ms: int
    nonce: str
    body_hash: str

    def mac(self, key: bytes) -> str:
        """HMAC-SHA256 in hex."""
        signed_text = (_VERSION, self.method, self.host, self.target, str(self.time_ms), self.nonce)
        return hmac.new(
            key, "\n".join((*signed_text, self.body_hash)).encode(), hashlib.sha256
        ).hexdigest()


@dataclass
class Nonces:
    """The nonces of requests that could be repeated. Their number is limited: above the limit no
    request is accepted.
    """

    most: int = MOST_NONCES
    _until: dict[str, int] = field(default_factory=dict)

    def take(self, nonce: str, now_ms: int) -> None:
        """Raises Stale for a known nonce, and while there is no space to store it."""
        # in the order in which they were taken, so also that of their ends
        while self._until and (oldest := next(iter(self._until.items())))[1] < now_ms:
            del self._until[oldest[0]]
        if nonce in self._until:
            raise Stale("the request was made before")
        if len(self._until) >= self.most:
            raise Stale(f"more than {self.most} requests within a minute")
        # one of the future is good until its time has come and the window has passed
        self._until[nonce] = now_ms + 2 * WINDOW_MS


def netloc(url: str) -> str:
    """Host and port of an address, in normalised form."""
    found = URL(url)
    return f"{(found.raw_host or '').lower()}:{found.port}"


def sign(key: bytes, method: str, url: URL, body: bytes, now_ms: int) -> str:
    """The header for one request."""
    signed = Signed(
        method,
        netloc(str(url)),
        url.raw_path_qs,
        now_ms,
        secrets.token_hex(16),
        hashlib.sha256(body).hexdigest(),
    )
    signed_text = f"{_VERSION} {signed.time_ms} {signed.nonce} {signed.body_hash}"
    return f"{signed_text} {signed.mac(key)}"


def verify(
    key: bytes, header: str, method: str, host: str, target: str, nonces: Nonces, now_ms: int
) -> str:
    """The hash that the body must have. `host` is the receiver's own, independent of the request's
    header.

    Raises SignatureRefused.
    """
    found = _SHAPE.fullmatch(header)
    if not key or found is None:
        raise SignatureRefused("it is not signed")
    time_ms, nonce, body_hash, mac = found.groups()
    signed = Signed(method, host, target, int(time_ms), nonce, body_hash)
    if not hmac.compare_digest(signed.mac(key), mac):
        raise SignatureRefused("the signature is of another secret, request or worker")
    # only after the MAC: an unsigned time proves nothing
    off_ms = now_ms - signed.time_ms
    if abs(off_ms) > WINDOW_MS:
        raise Stale(
            f"it was signed {abs(off_ms) / 1000:.0f} s {'ago' if off_ms > 0 else 'ahead'}: "
            "the clocks of the workers' machines differ, or it was kept and sent again"
        )
    nonces.take(nonce, now_ms)
    return body_hash
