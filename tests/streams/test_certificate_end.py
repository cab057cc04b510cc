"""The end of the certificates of a PEM file, as openssl says it, and files with other content."""

import ssl
import subprocess
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import UsageError
from streams.certificate_end import certificate_ends
from tests.rigs.certificates import Authority, authority

__all__ = ["authority"]


def said_by_openssl(file: Path) -> int:
    done = subprocess.run(
        ["openssl", "x509", "-noout", "-enddate", "-in", str(file)],
        capture_output=True,
        text=True,
        check=True,
    )
    return int(ssl.cert_time_to_seconds(done.stdout.strip().removeprefix("notAfter="))) * 1000


def test_each_certificate_in_the_order_of_the_file(authority: Authority, tmp_path: Path) -> None:
    worker = authority.issue("ends")
    old = authority.issue("ended", expired=True)
    expected = [said_by_openssl(one) for one in (worker.chain, old.chain, authority.certificate)]
    assert expected[1] == int(datetime(2020, 1, 2, tzinfo=UTC).timestamp() * 1000)
    # with a key before it, words between, and the other end of line
    content = b"\r\n".join(
        one.read_bytes() for one in (worker.key, worker.chain, old.chain, authority.certificate)
    )
    assert certificate_ends(content) == expected
    assert certificate_ends(content.replace(b"\n", b"\r\n")) == expected


@pytest.mark.parametrize("days", [10, 40_000])
def test_an_end_in_this_century_and_one_after_2049(tmp_path: Path, days: int) -> None:
    # they are written differently
    file = tmp_path / "c.pem"
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    rest = ["-nodes", "-keyout", str(tmp_path / "k"), "-subj", "/CN=x", "-days", str(days)]
    subprocess.run([*made, *rest, "-out", str(file)], check=True, capture_output=True)
    assert certificate_ends(file.read_bytes()) == [said_by_openssl(file)]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no certificate"),
        (b"nonsense", "no certificate"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "damaged"),
        (b"-----BEGIN CERTIFICATE-----\nA\n-----END CERTIFICATE-----\n", "no PEM file"),
    ],
)
def test_a_file_without_one_that_can_be_read(content: bytes, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        certificate_ends(content)


@given(st.data())
def test_a_damaged_certificate_has_an_end_or_a_reason(
    authority: Authority, data: st.DataObject
) -> None:
    der = bytearray(ssl.PEM_cert_to_DER_cert(authority.certificate.read_text()))
    for _ in range(data.draw(st.integers(1, 4))):
        der[data.draw(st.integers(0, min(len(der) - 1, 200)))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(1, len(der)))
    pem = ssl.DER_cert_to_PEM_cert(bytes(der[:cut]))
    # an end, or the error for people: nothing else
    with suppress(UsageError):
        assert len(certificate_ends(pem.encode())) == 1
