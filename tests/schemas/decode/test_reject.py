"""The reject of a record: its parts, and that it always fits into a record."""

from schemas.decode.batch import unpack
from schemas.decode.reject import reject
from tests.rigs.record_batches import Produced, batch


def test_headers_say_where_the_record_lay_and_why() -> None:
    found = batch([Produced(b"v", b"k")], topic="t.users", partition=3, base_offset=7)
    (record,) = unpack(found)
    made = reject(found, record, "bad_json", "why")
    assert (made.key, made.value) == (b"k", b"v")
    assert dict(made.headers) == {
        "topic": b"t.users",
        "partition": b"3",
        "offset": b"7",
        "code": b"bad_json",
        "detail": b"why",
    }


def test_a_detail_is_cut_and_can_always_be_written() -> None:
    found = batch([Produced(b"v" * 600_000, b"k" * 600_000)])
    (record,) = unpack(found)
    made = reject(found, record, "undecodable", "\ud800" + "\U0001f600" * 5_000)
    assert len(made.detail) == 1_000
    headers = dict(made.headers)
    assert headers["detail"].startswith(b"?")
    size = sum(map(len, headers.values())) + len(made.key or b"") + len(made.value or b"")
    assert size < 910_000
