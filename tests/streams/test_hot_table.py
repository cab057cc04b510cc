"""What entries leave in the hot table."""

from streams.hot_table import HotTable


def test_hashes_of_a_former_version_are_no_hashes_but_keys_to_delete() -> None:
    table = HotTable()
    table.apply([(b"w/0000000000000001/000", b"whatever it was"), (b"w/2/000", b"")])
    assert table.former == {b"w/0000000000000001/000", b"w/2/000"}
    assert not table.window
    table.apply([(b"w/2/000", None)])
    assert table.former == {b"w/0000000000000001/000"}
