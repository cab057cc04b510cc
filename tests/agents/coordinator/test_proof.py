import pytest

from agents.coordinator.proof import ACTOR, PROOF, WINDOW_MS, proven, sign
from schemas.decode.batch_records import KafkaRecord

KEY, TOPIC, VALUE, NOW = b"k" * 32, "e.control", b"the command", 1_700_000_000_000


def record(
    headers: tuple[tuple[str, bytes], ...], value: bytes | None = VALUE, at: int = NOW
) -> KafkaRecord:
    return KafkaRecord(0, at, b"r", value, list(headers))


def test_a_signed_command_proves_its_actor() -> None:
    signed = sign(KEY, TOPIC, "björn", VALUE, NOW)
    assert proven(KEY, TOPIC, record(signed)) == "björn"
    assert proven(KEY, TOPIC, record(signed, at=NOW + WINDOW_MS)) == "björn"


@pytest.mark.parametrize("key", [b"", b"another" * 5])
def test_of_another_secret_it_proves_nothing(key: bytes) -> None:
    assert proven(key, TOPIC, record(sign(KEY, TOPIC, "ann", VALUE, NOW))) is None
    assert proven(key, TOPIC, record(sign(key, TOPIC, "ann", VALUE, NOW))) in (
        None if not key else "ann",
    )


def test_whatever_is_changed_proves_nothing() -> None:
    signed = sign(KEY, TOPIC, "ann", VALUE, NOW)
    headers = dict(signed)
    assert proven(KEY, "other.control", record(signed)) is None
    assert proven(KEY, TOPIC, record(signed, b"another command")) is None
    assert proven(KEY, TOPIC, record(signed, None)) is None
    assert proven(KEY, TOPIC, record(signed, at=NOW + WINDOW_MS + 1)) is None
    assert proven(KEY, TOPIC, record(((ACTOR, b"bob"), (PROOF, headers[PROOF])))) is None
    assert proven(KEY, TOPIC, record(((PROOF, headers[PROOF]),))) is None
    assert proven(KEY, TOPIC, record(((ACTOR, b"ann"),))) is None
    for proof in (b"", b"v1", headers[PROOF][:-1], headers[PROOF] + b" ", b"v2" + headers[PROOF]):
        assert proven(KEY, TOPIC, record(((ACTOR, b"ann"), (PROOF, proof)))) is None
