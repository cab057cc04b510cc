"""Commands that a worker writes for a key carry a proof of whose they are.

    header emberline-actor    the name of the key, UTF-8
    header emberline-proof    v1 TIME MAC

TIME is UTC milliseconds, and MAC the HMAC-SHA256, in hex, over the lines `v1`, topic, TIME, the
name in hex, and the SHA-256 of the record's value in hex. The secret never travels, so who may
write to the topic cannot make such a record, nor change one; a copy holds for some minutes, and
then names the same request, which is done once.
"""

import hashlib
import hmac
import re

from schemas.decode.batch_records import KafkaRecord

__all__ = ["ACTOR", "PROOF", "proven", "sign"]

ACTOR = "emberline-actor"
PROOF = "emberline-proof"
WINDOW_MS = 600_000
"""How far a proof's time and the broker's stamp of the record may be apart."""

Headers = tuple[tuple[str, bytes], ...]
_SHAPE = re.compile(rb"v1 ([0-9]{1,15}) ([0-9a-f]{64})")


def sign(key: bytes, topic: str, actor: str, value: bytes, now_ms: int) -> Headers:
    """The headers for a command's record with this value. `key`: `Keys.command_key`."""
    mac = _mac(key, topic, now_ms, actor.encode(), value)
    return (ACTOR, actor.encode()), (PROOF, f"v1 {now_ms} {mac}".encode())


def proven(key: bytes, topic: str, record: KafkaRecord) -> str | None:
    """Whose command the record is by its proof; None without one, or by a wrong one."""
    headers = dict(record.headers)
    actor, proof = headers.get(ACTOR), headers.get(PROOF)
    shape = _SHAPE.fullmatch(proof or b"")
    if not key or not actor or shape is None:
        return None
    time_ms = int(shape[1])
    mac = _mac(key, topic, time_ms, actor, record.value or b"")
    if not hmac.compare_digest(mac.encode(), shape[2]):
        return None
    if abs(record.timestamp - time_ms) > WINDOW_MS:
        return None
    return actor.decode(errors="replace")


def _mac(key: bytes, topic: str, time_ms: int, actor: bytes, value: bytes) -> str:
    parts = ("v1", topic, str(time_ms), actor.hex(), hashlib.sha256(value).hexdigest())
    return hmac.new(key, "\n".join(parts).encode(), hashlib.sha256).hexdigest()
