"""The ZIP file of a segment's users."""

from pathlib import Path
from zipfile import ZipFile

import pytest

from agents.users.user_archive import USERS_A_FILE, UserArchive


def lines(first: int, count: int) -> bytes:
    return b"".join(b'{"braze_id":"u%d"}\n' % number for number in range(first, first + count))


@pytest.mark.parametrize("groups", [[], [3], [100] * 50, [100] * 51, [99] * 60])
def test_every_user_is_in_one_file_of_at_most_so_many(tmp_path: Path, groups: list[int]) -> None:
    path, written = tmp_path / "users.zip", 0
    with UserArchive(path, "p-1") as archive:
        for count in groups:
            archive.add(lines(written, count), count)
            written += count
    with ZipFile(path) as found:
        assert found.testzip() is None
        files = [found.read(name) for name in found.namelist()]
        assert found.namelist() == [f"p-1-{number:05d}.json" for number in range(len(files))]
    assert b"".join(files) == lines(0, written)
    counts = [file.count(b"\n") for file in files]
    assert max(counts, default=0) <= USERS_A_FILE
    assert len(files) == -(-written // USERS_A_FILE) or min(groups) != 100


def test_an_error_inside_is_the_error_outside_and_the_file_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "users.zip"

    def fail() -> None:
        with UserArchive(path, "p") as archive:
            archive.add(lines(0, 1), 1)
            raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        fail()
    with pytest.raises(FileExistsError):
        UserArchive(path, "p")
