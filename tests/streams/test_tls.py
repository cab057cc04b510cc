"""A context of TLS: made of files, made again after they have changed, and errors with remedies."""

import logging
import shutil
from pathlib import Path

import pytest

from schemas.errors import UsageError
from streams.devbroker.certificates import Authority
from streams.tls import ClientTls, TlsFiles


def refused(**files: object) -> str:
    with pytest.raises(UsageError) as caught:
        ClientTls(TlsFiles(**files)).context()  # type: ignore[arg-type]
    assert caught.value.remedy
    return str(caught.value)


def test_what_is_wrong_with_a_file_is_said(authority: Authority, tmp_path: Path) -> None:
    ca = str(authority.certificate)
    one, other = authority.issue("one"), authority.issue("other")
    locked = authority.issue("locked", password="secret")
    text = tmp_path / "text"
    text.touch(mode=0o600)
    text.write_text("no PEM")
    shown = tmp_path / "shown.key"
    shutil.copy(one.key, shown)
    shown.chmod(0o644)

    assert "kafka_ca_file: " in refused(ca=str(tmp_path / "none"))
    assert "cannot be read: No such file" in refused(ca=str(tmp_path / "none"))
    assert "no certificate in" in refused(ca=str(text))
    assert "openssl pkcs12" in refused(ca=str(text))
    chain = str(one.chain)
    assert "kafka_key_file: " in refused(ca=ca, cert=chain, key=str(tmp_path / "none"))
    assert f"chmod 600 {shown}" in refused(cert=chain, key=str(shown))
    assert "does not belong to the certificate" in refused(cert=chain, key=str(other.key))
    assert "no private key and certificate" in refused(cert=chain, key=str(text))
    assert "kafka_cert_file is not" in refused(key=str(one.key))
    chain, key = str(locked.chain), str(locked.key)
    assert "kafka_key_password_file" in refused(cert=chain, key=key)
    wrong = refused(cert=chain, key=key, password=lambda: "not-it")
    assert "the password of the key" in wrong
    assert "not-it" not in wrong


def test_a_file_that_changes_gives_a_new_context_and_one_that_is_broken_does_not(
    authority: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    one, other = authority.issue("one"), authority.issue("other")
    both = tmp_path / "client.pem"
    shutil.copy(one.both, both)
    tls = ClientTls(TlsFiles(ca=str(authority.certificate), cert=str(both)))
    first = tls.context()
    assert tls.context() is first
    both.write_text(other.chain.read_text())  # its key is written next
    assert tls.context() is first
    assert tls.context() is first
    assert len([one for one in caplog.records if one.levelno == logging.WARNING]) == 1
    shutil.copy(other.both, both)
    second = tls.context()
    assert second is not first
    assert "read again" in caplog.text
    both.unlink()
    assert tls.context() is second


def test_the_host_is_checked_unless_the_settings_say_otherwise(authority: Authority) -> None:
    ca = str(authority.certificate)
    assert ClientTls(TlsFiles(ca=ca)).context().check_hostname
    assert not ClientTls(TlsFiles(ca=ca, check_hostname=False)).context().check_hostname
