"""A settings file that merely lies in the present folder does not say where a key goes."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from agents.cli import main
from agents.cli.options import key_header
from schemas.errors import UsageError
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
