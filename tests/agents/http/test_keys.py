"""Keys: stored as hashes, found, revoked; also on the command line."""

import json
import os
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from agents.cli import main
from agents.http import keyring, keys_file
from agents.http.keyring import KeyRing, KeysLost, check_exposure
from agents.http.keys import Keys, Scope
from schemas.errors import Fatal, UsageError
from streams.settings import load
from streams.trusted import is_loopback
from tests.rigs.worker import running


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def test_a_key_is_known_again_and_kept_nowhere(file: Path) -> None:
    keys, reader = Keys().add("reader", [Scope.READ, Scope.EXPORT], 5)
    keys, admin = keys.add("boss", [Scope.ADMIN], 6)
    keys.save(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert reader not in file.read_text()
    assert admin not in file.read_text()
    again = Keys.load(file)
    assert again is not None
    found, boss = again.find(reader), again.find(admin)
    assert found is not None
    assert boss is not None
    assert [scope for scope in Scope if found.allows(scope)] == [Scope.READ, Scope.EXPORT]
    assert [scope for scope in Scope if not boss.allows(scope)] == [Scope.WORKER]
    for wrong in ("", reader[:-1], f"{reader}x", found.hash, "\udcff"):
        assert again.find(wrong) is None
    # by what workers sign, nobody is let in who sends it
    assert again.find(again.signing_key.hex()) is None
    assert again.find(again.secret) is None
    assert again.revoke("reader").find(reader) is None
    assert Keys().signing_key == b""


def test_workers_that_share_the_file_share_their_key_whatever_is_added(file: Path) -> None:
    keys, _ = Keys().add("one", [Scope.READ], 5)
    keys.save(file)
    first = Keys.load(file)
    assert first is not None
    first.add("two", [Scope.READ], 6)[0].save(file)
    second = Keys.load(file)
    assert second is not None
    assert first.signing_key == second.signing_key != b""


def test_names_and_scopes_are_checked(file: Path) -> None:
    keys, _ = Keys().add("one", [Scope.READ], 5)
    for name, scopes in (
        ("one", [Scope.READ]),
        ("", [Scope.READ]),
        ("x", []),
        ("x", [Scope.WORKER]),
    ):
        with pytest.raises(UsageError):
            keys.add(name, scopes, 6)
    with pytest.raises(UsageError):
        keys.revoke("two")
    assert Keys.load(file) is None
    key = '{"name": "n", "scopes": ["read"], "hash": "%s", "created_at": %s}'
    made = '{"format": 1, "secret": "%s", "keys": [%s]}'
    for content in (
        *("{", "[]", "[" * 100_000, '{"format": 2}', made % ("s", "{}")),
        *(made % ("s", key % ("ü", "1")), made % ("s", key % ("00", "1e999"))),
        made % (r"\ud800", key % ("00", "1")),
    ):
        file.write_text(content)
        with pytest.raises(Fatal):
            Keys.load(file)


def test_a_ring_follows_its_file_and_never_opens(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyring, "LOOK_AGAIN_S", 0.0)
    ring = KeyRing(file)
    assert ring.keys is None
    keys, token = Keys().add("one", [Scope.READ], 5)
    keys.save(file)
    assert ring.keys is not None
    assert ring.keys.find(token)
    file.write_text("broken")
    assert ring.keys.find(token)
    file.unlink()
    assert ring.keys.find(token)
    file.write_text("broken")
    fresh = KeyRing(file).keys
    assert fresh is not None
    assert fresh.find(token) is None
    monkeypatch.setattr(keyring, "KEEP_S", 0.0)
    with pytest.raises(KeysLost):
        _ = KeyRing(file).keys


def _gone(file: Path) -> None:
    file.unlink()


def _damaged(file: Path) -> None:
    file.write_text("broken")


def _emptied(file: Path) -> None:
    file.write_bytes(b"")


def _a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def _endless(file: Path) -> None:
    file.unlink()
    file.symlink_to("/dev/zero")


def _open_to_a_group(file: Path) -> None:
    file.chmod(0o660)


def _open_to_all(file: Path) -> None:
    file.chmod(0o606)


def _in_an_open_folder(file: Path) -> None:
    file.parent.chmod(0o777)


def _a_link_in_an_open_folder(file: Path) -> None:
    safe = file.parent / "safe"
    safe.mkdir(mode=0o700)
    file.symlink_to(file.rename(safe / file.name))
    file.parent.chmod(0o777)


def _of_anybody_in_a_shared_folder(file: Path) -> None:
    """As in /tmp, where any user can create the file first."""
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    os.chown(file, 12345, -1)
    file.parent.chmod(0o1777)


@pytest.mark.parametrize(
    "spoil",
    [_gone, _damaged, _emptied, _a_folder, _endless, _open_to_a_group, _open_to_all,
     _in_an_open_folder, _a_link_in_an_open_folder, _of_anybody_in_a_shared_folder],
)  # fmt: skip
def test_a_file_that_is_lost_closes_the_door_after_a_while(
    file: Path, spoil: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyring, "LOOK_AGAIN_S", 0.0)
    now = [1_000.0]
    keys, token = Keys().add("one", [Scope.READ], 5)
    keys.save(file)
    content = file.read_bytes()
    ring = KeyRing(file, lambda: now[0])
    assert (ring.trouble, ring.lost) == ("", False)
    spoil(file)
    kept = ring.keys
    assert kept is not None
    assert kept.find(token)
    assert "60 s more" in ring.trouble
    now[0] += keyring.KEEP_S - 1
    assert not ring.lost
    now[0] += 1
    with pytest.raises(KeysLost, match=str(file)):
        _ = ring.keys
    assert ring.lost
    file.parent.chmod(0o755)
    if file.is_dir():
        file.rmdir()
    file.unlink(missing_ok=True)
    file.write_bytes(content)
    file.chmod(0o600)
    again = ring.keys
    assert again is not None
    assert again.find(token)
    assert ring.trouble == ""


def test_a_corrected_mode_is_noticed(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the file's content or time of writing changes."""
    monkeypatch.setattr(keyring, "LOOK_AGAIN_S", 0.0)
    Keys().add("one", [Scope.READ], 5)[0].save(file)
    ring = KeyRing(file)
    file.chmod(0o662)
    assert "chmod 600" in ring.trouble
    file.chmod(0o640)
    assert ring.trouble == ""


def test_a_worker_does_not_start_with_a_file_that_others_may_write(file: Path) -> None:
    Keys().add("one", [Scope.READ], 5)[0].save(file)
    settings = load({"keys_file": file}, env={}, file=file.with_name("none"))
    check_exposure(settings)
    file.chmod(0o620)
    with pytest.raises(Fatal, match="chmod 600"):
        check_exposure(settings)


def test_who_could_read_the_file_still_can(file: Path) -> None:
    Keys().add("one", [Scope.READ], 5)[0].save(file)
    file.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(file, 12_345, 12_346)
    before = file.stat()
    Keys.change(file, lambda keys: keys.revoke("one"))
    after = file.stat()
    assert stat.S_IMODE(after.st_mode) == 0o640
    assert (after.st_uid, after.st_gid) == (before.st_uid, before.st_gid)
    lock = file.with_name(f"{file.name}.lock").stat()
    assert lock.st_uid == before.st_uid
    assert after.st_ino != before.st_ino


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a file away, as root alone can")
def test_roots_first_file_is_for_the_owner_of_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "theirs"
    folder.mkdir()
    os.chown(folder, 12_345, 12_346)
    file = folder / "keys.json"
    Keys.change(file, lambda keys: keys.add("one", [Scope.READ], 5)[0])
    assert (file.stat().st_uid, stat.S_IMODE(file.stat().st_mode)) == (12_345, 0o600)


def test_a_link_to_the_file_stays_a_link(file: Path) -> None:
    link = file.with_name("link.json")
    link.symlink_to(file)
    Keys.change(link, lambda keys: keys.add("one", [Scope.READ], 5)[0])
    assert link.is_symlink()
    assert not file.is_symlink()
    found = Keys.load(file)
    assert found is not None
    assert [key.name for key in found.keys] == ["one"]


def test_changes_at_the_same_time_lose_nothing(file: Path) -> None:
    Keys().add("gone", [Scope.READ], 5)[0].save(file)

    def added(name: str) -> None:
        Keys.change(file, lambda keys: keys.add(name, [Scope.READ], 5)[0])

    names = [f"key-{n}" for n in range(40)]
    with ThreadPoolExecutor(8) as threads:
        revoked = threads.submit(Keys.change, file, lambda keys: keys.revoke("gone"))
        list(threads.map(added, names))
        revoked.result()
    found = Keys.load(file)
    assert found is not None
    assert sorted(key.name for key in found.keys) == sorted(names)


def test_a_change_that_cannot_get_the_lock_ends_with_an_error(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys_file, "LOCK_S", 0.05)
    Keys().save(file)
    with keys_file.locked(file), pytest.raises(Fatal, match="changed by somebody"):
        Keys.change(file, lambda keys: keys)


def test_only_loopback_is_served_without_keys(file: Path) -> None:
    def bound(host: str) -> None:
        flags = {"http_host": host, "keys_file": file}
        check_exposure(load(flags, env={}, file=file.with_name("none")))

    bound("127.0.0.1")
    with pytest.raises(Fatal, match="emberline keys add"):
        bound("0.0.0.0")
    Keys().save(file)
    with pytest.raises(Fatal):
        bound("0.0.0.0")
    Keys().add("one", [Scope.READ], 5)[0].save(file)
    bound("0.0.0.0")
    assert [host for host in ("::1", "127.3.4.5", "localhost", "::", "10.0.0.1", "host")
            if is_loopback(host)] == ["::1", "127.3.4.5", "localhost"]  # fmt: skip


def test_the_command_shows_a_key_once(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(file.parent)
    runner = CliRunner()

    def said(*args: str, code: int = 0) -> str:
        result = runner.invoke(main, ["keys", *args, "--set", f"keys_file={file}"])
        assert result.exit_code == code, result.output
        return result.stdout

    token = said("add", "ci", "--scope", "read", "--scope", "operate").strip()
    assert said("add", "ci", "--scope", "read", "--if-missing") == ""
    said("add", "ci", "--scope", "read", code=2)
    said("add", "x", "--scope", "worker", code=2)
    (listed,) = json.loads(said("list", "--json"))["keys"]
    assert (listed["name"], listed["scopes"]) == ("ci", ["read", "operate"])
    assert token not in said("list")
    keys = Keys.load(file)
    assert keys is not None
    assert keys.find(token)
    said("revoke", "ci")
    said("revoke", "ci", code=2)
    assert json.loads(said("list", "--json")) == {"keys": []}


async def test_a_worker_without_keys_does_not_start_on_a_network(tmp_path: Path) -> None:
    flags = {"http_host": "0.0.0.0", "data_dir": tmp_path / "data", "keys_file": tmp_path / "none"}
    async with running(load(flags, env={}, file=tmp_path / "none.toml")) as worker:
        assert await worker.ended() == 1
        assert "emberline keys add" in worker.log.read_text()


def test_a_key_is_written_to_a_file_and_not_shown(tmp_path: Path) -> None:
    file, out = tmp_path / "keys.json", tmp_path / "prometheus.key"
    runner = CliRunner()

    def add(*more: str) -> Result:
        words = ["keys", "add", "prometheus", "--scope", "metrics", "--out", str(out), *more]
        return runner.invoke(main, [*words, "--set", f"keys_file={file}"])

    done = add()
    assert done.exit_code == 0, done.output
    token = out.read_text().strip()
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert token not in done.output
    assert (Keys.load(file) or Keys()).find(token) is not None

    again = add()
    assert again.exit_code == 2
    assert f"there is a file {out} already" in again.output
    missing = add("--if-missing", "--json")
    assert (missing.exit_code, json.loads(missing.stdout)["out"]) == (0, None)
    assert out.read_text().strip() == token


def test_no_key_is_made_for_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    words = ["keys", "add", "a", "--scope", "read", "--out", str(tmp_path / "none" / "a.key")]
    done = CliRunner().invoke(main, [*words, "--set", f"keys_file={file}"])
    assert done.exit_code == 1
    assert "cannot be written: No such file or directory" in done.output
    assert not file.exists()
