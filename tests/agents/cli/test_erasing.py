"""`emberline erase`: what it refuses before anything is sent, and what it reads."""

import json
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner

from agents.cli import erasing, main
from schemas.errors import UsageError
from streams import erasure_key
from streams.settings import load


def test_wrong_use_is_told_before_anything_is_sent(tmp_path: Path) -> None:
    many = tmp_path / "many"
    many.write_text("\n".join(f"u{number}" for number in range(10_001)))
    bad = tmp_path / "bad"
    bad.write_bytes(b"\xff\xfe")
    for given, said in (
        ((), "no user is named"),
        (("ada",), "nobody can be asked for a confirmation"),
        (("--file", str(many), "--yes"), "10001 users are more than 10000"),
        (("--file", str(bad), "--yes"), "no UTF-8"),
        (("--file", str(tmp_path / "none"), "--yes"), "No such file"),
        (("ada", "--yes", "--request-id", "campaign:a"), "is the name of a source"),
        (("a" * 2_000, "--yes"), "longer than 1000 characters"),
    ):
        result = CliRunner().invoke(main, ["erase", *given])
        assert result.exit_code == 2, result.output
        assert said in result.stderr
    result = CliRunner().invoke(main, ["erase", "--json"])
    assert json.loads(result.stdout)["error"]["exit_code"] == 2


def test_users_of_a_file_are_lines(tmp_path: Path) -> None:
    file = tmp_path / "users"
    file.write_text("ada\n\n  bob \r\né\n")
    assert erasing._lines(file) == ["ada", "bob", "é"]


def test_the_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "erasure.key"
    given = ["keys", "erasure", "--set", f"erasure_key_file={file}"]
    result = CliRunner().invoke(main, [*given, "--json"])
    assert result.exit_code == 0, result.output
    settings = load({"erasure_key_file": file}, env={}, file=tmp_path / "none.toml")
    key = erasure_key.erasure_key(settings)
    assert key is not None
    assert json.loads(result.stdout) == {"file": str(file), "key_id": key.id}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    result = CliRunner().invoke(main, given)
    assert result.exit_code == 2
    assert "There is a key" in result.stderr
    with pytest.raises(UsageError):
        erasure_key.make(file)
