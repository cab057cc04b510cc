"""Which settings of security go together; tokens from a file and from a server."""

from pathlib import Path

import pytest

from schemas.errors import UsageError
from streams.kafka.bearer import TokenUnavailable, token_source
from streams.kafka.security import security_of
from streams.settings import Settings, load
from tests.rigs.token_server import SECRET, serving

LOCAL = "127.0.0.1:9092"


def settings(**given: object) -> Settings:
    return load({"bootstrap_servers": LOCAL, **given}, {}, Path("none"))


async def test_without_security_nothing_is_read() -> None:
    assert await security_of(Settings()).arguments() == {"security_protocol": "PLAINTEXT"}


async def test_equal_settings_share_their_tokens_and_files() -> None:
    assert security_of(Settings()) is security_of(Settings(prefix="other."))
    assert security_of(Settings()) is not security_of(Settings(kafka_security="ssl"))


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"kafka_security": "sasl_ssl"}, "kafka_sasl_user"),
        ({"kafka_security": "sasl_ssl", "kafka_sasl_mechanism": "OAUTHBEARER"}, "kafka_token_file"),
        (
            {
                "kafka_security": "sasl_ssl",
                "kafka_sasl_mechanism": "OAUTHBEARER",
                "kafka_token_url": "http://login.example/token",
                "kafka_token_client_id": "a",
            },
            "https://",
        ),
    ],
)
def test_settings_that_do_not_go_together(given: dict[str, object], named: str) -> None:
    with pytest.raises(UsageError) as caught:
        security_of(settings(**given))
    assert named in str(caught.value)


@pytest.mark.parametrize("name", ["kafka_security", "kafka_sasl_mechanism"])
def test_a_word_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="is no value"):
        settings(**{name: "tls"})


async def test_a_user_without_a_password_is_refused() -> None:
    given = settings(kafka_security="sasl_plaintext", kafka_sasl_user="ann")
    with pytest.raises(UsageError, match="kafka_sasl_password_file"):
        await security_of(given).arguments()


def test_the_folders_settings_send_no_password_to_an_address_of_theirs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for keys: see streams/trusted.py."""
    monkeypatch.chdir(tmp_path)
    Path("emberline.toml").write_text('bootstrap_servers = "elsewhere.example:9093"\n')
    env = {
        "EMBERLINE_KAFKA_SECURITY": "sasl_ssl",
        "EMBERLINE_KAFKA_SASL_USER": "ann",
        "EMBERLINE_KAFKA_SASL_PASSWORD": "secret",
    }
    with pytest.raises(UsageError, match="bootstrap_servers") as caught:
        security_of(load(env=env))
    assert "--config" in caught.value.remedy
    named = load({"bootstrap_servers": "elsewhere.example:9093"}, env)
    assert security_of(named).uses_sasl


async def test_a_token_in_a_file_is_read_each_time(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("one\n")
    tokens = token_source(settings(kafka_token_file=str(file)))
    assert await tokens.token() == "one"
    file.write_text("two")
    assert await tokens.token() == "two"
    file.unlink()
    with pytest.raises(UsageError, match="cannot be read"):
        await tokens.token()


async def test_a_token_server_that_refuses_is_told_without_the_secret(tmp_path: Path) -> None:
    def source(url: str, secret: str) -> Settings:
        return settings(
            kafka_token_url=url,
            kafka_token_client_id="emberline",
            kafka_token_client_secret=secret,
            kafka_token_scope="kafka read",
        )

    with serving(lambda: "a-token") as server:
        tokens = token_source(source(server.url, SECRET))
        assert [await tokens.token() for _ in range(2)] == ["a-token"] * 2
        assert (server.asked, server.scopes) == (1, ["kafka read"])
        with pytest.raises(TokenUnavailable, match="status 401: invalid_client") as caught:
            await token_source(source(server.url, "not-it")).token()
        assert "not-it" not in f"{caught.value!r} {caught.value.__cause__!r}"
        url = server.url
    with pytest.raises(TokenUnavailable, match="gives no token"):
        await token_source(source(url, SECRET)).token()
