"""Certificates of an authority of one's own: who trusts them, and until when."""

import ssl
from pathlib import Path

import pytest

from streams.devbroker.certificates import Authority, Certificate


def outcome(authority: Authority, server: Certificate, host: str = "localhost") -> str:
    """What a client that trusts the authority says of the server; empty if it is content."""
    here = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    here.load_cert_chain(server.chain, server.key)
    there = ssl.create_default_context(cafile=authority.certificate)
    there.verify_flags |= ssl.VERIFY_X509_STRICT  # as newer versions of Python do
    # two ends in memory; what one writes, the other reads
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = there.wrap_bio(to_client, to_server, server_hostname=host)
    serving = here.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(3):
        for end in (client, serving):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLCertVerificationError as error:
                return error.verify_message
    return ""


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def test_a_certificate_holds_for_its_hosts(authority: Authority) -> None:
    server = authority.issue("broker")
    assert outcome(authority, server) == ""
    assert "Hostname mismatch" in outcome(authority, server, "elsewhere.example")


def test_one_that_has_expired_is_refused(authority: Authority) -> None:
    assert outcome(authority, authority.issue("old", expired=True)) == "certificate has expired"


def test_one_of_another_authority_is_refused(authority: Authority, tmp_path: Path) -> None:
    other = Authority(tmp_path)
    assert "unable to get local issuer" in outcome(authority, other.issue("broker"))


def test_a_key_may_have_a_password(authority: Authority) -> None:
    locked = authority.issue("locked", password="secret")
    context = ssl.create_default_context()
    context.load_cert_chain(locked.chain, locked.key, "secret")
    with pytest.raises(ssl.SSLError):
        context.load_cert_chain(locked.chain, locked.key, "wrong")
