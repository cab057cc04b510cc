"""A settings file of the current folder cannot choose the address that a key is sent to."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from agents.cli import main
from agents.cli.options import key_header
from schemas.errors import UsageError
from streams.kafka.remote_registry import registry_of
from streams.settings import Settings, load

KEY = {"EMBERLINE_API_KEY": "emb_mine"}


def folders(text: str, env: dict[str, str], **flags: str) -> Settings:
    Path("emberline.toml").write_text(text)
    return load(flags, env=env, file=Path("emberline.toml"))


@pytest.fixture(autouse=True)
def somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_key_goes_where_it_was_meant_to() -> None:
    sent = {"Authorization": "Bearer emb_mine"}
    elsewhere = "http_host = 'evil.example'"
    for text, env, flags in (
        ("", KEY | {"EMBERLINE_HTTP_HOST": "prod.example"}, {}),
        ("http_host = '0.0.0.0'\nhttp_port = 7000", KEY, {}),
        ("http_host = '127.0.0.1'", KEY, {}),
        (elsewhere, KEY | {"EMBERLINE_HTTP_HOST": "prod.example"}, {}),
        (elsewhere, KEY, {"http_host": "prod.example"}),
        # who gives the key says where it goes
        (f"{elsewhere}\napi_key = 'emb_mine'", {}, {}),
    ):
        assert key_header(folders(text, env, **flags)) == sent
    assert key_header(folders(elsewhere, {})) == {}
    for text, env in (
        (elsewhere, KEY),
        ("http_port = 7000", KEY | {"EMBERLINE_HTTP_HOST": "prod.example"}),
        ("http_host = '127.0.0.1.evil.example'", KEY),
    ):
        with pytest.raises(UsageError, match="--config"):
            key_header(folders(text, env))


@pytest.mark.parametrize(
    "args", [["audience", "{}"], ["export", "campaign:a"], ["profile", "ann"], ["explain", "x:a"]]
)
def test_no_command_sends_it(args: list[str]) -> None:
    Path("emberline.toml").write_text("http_host = 'evil.invalid'")
    found = CliRunner().invoke(main, args, env=KEY)
    assert found.exit_code == 2, found.output
    assert "emberline.toml" in found.stderr
    # one that was asked for is meant
    found = CliRunner().invoke(main, [*args, "--config", "emberline.toml"], env=KEY)
    assert "would be sent" not in found.stderr


URL = "schema_registry_url = 'http://evil.example:8081'"


def test_nor_where_the_password_of_a_registry_goes() -> None:
    """Nor may it name a file: whose first line would go there, too."""
    secret = {"EMBERLINE_SCHEMA_REGISTRY_PASSWORD": "s3cret"}
    by_file = {"EMBERLINE_SCHEMA_REGISTRY_PASSWORD_FILE": "/etc/hostname"}
    for text, env in (
        (URL, secret),
        (URL, by_file),
        (f"{URL}\nschema_registry_password_file = '/etc/hostname'", {}),
    ):
        with pytest.raises(UsageError, match=r"password.* would be sent .*--config"):
            registry_of(folders(text, env))
    for text, env in (
        (URL, {}),
        (f"{URL}\nschema_registry_password = 'theirs'", {}),
        (URL, secret | {"EMBERLINE_SCHEMA_REGISTRY_URL": "http://prod.example"}),
        ("schema_registry_url = 'http://127.0.0.1:8081'", secret),
    ):
        assert registry_of(folders(text, env)) is not None


def _endless() -> None:
    Path("emberline.toml").symlink_to("/dev/zero")


def _a_pipe() -> None:
    os.mkfifo("emberline.toml")


def _large() -> None:
    Path("emberline.toml").write_bytes(b"#" * 1_000_001)


def _no_text() -> None:
    Path("emberline.toml").write_bytes(b"prefix = '\xff'")


def _deep() -> None:
    Path("emberline.toml").write_text(f"prefix = {'[' * 100_000}")


@pytest.mark.parametrize("make", [_endless, _a_pipe, _large, _no_text, _deep])
def test_a_file_of_the_folder_neither_delays_a_command_nor_takes_its_memory(
    make: Callable[[], None],
) -> None:
    make()
    with pytest.raises(UsageError, match=r"emberline\.toml.*Mend the file"):
        load({}, env={}, file=Path("emberline.toml"))
