"""Which ends of certificates a worker tells, and when it looks for them."""

import logging
from pathlib import Path

import pytest

from agents.http.certificate_watch import LOOK_AGAIN_S, MOST_BYTES, CertificateWatch
from streams.certificate_end import certificate_ends
from streams.settings import Settings, load
from tests.rigs.certificates import Authority, authority

__all__ = ["authority"]


def settings(folder: Path, **files: str) -> Settings:
    return load({"data_dir": folder, **files}, {}, folder / "none")


def ends(file: Path) -> list[int]:
    return certificate_ends(file.read_bytes())


def test_the_first_own_certificate_and_the_last_authority_count(
    authority: Authority, tmp_path: Path
) -> None:
    worker, old = authority.issue("watched"), authority.issue("outdated", expired=True)
    chain, both = tmp_path / "chain.pem", tmp_path / "both.pem"
    # an authority that was cross-signed long ago does no harm in a chain
    chain.write_bytes(worker.both.read_bytes() + old.chain.read_bytes())
    both.write_bytes(old.chain.read_bytes() + authority.certificate.read_bytes())
    watch = CertificateWatch(
        settings(tmp_path, http_certificate_file=str(chain), kafka_ca_file=str(both))
    )
    assert watch.found() == {
        "http_certificate_file": ends(worker.chain)[0],
        "kafka_ca_file": ends(authority.certificate)[0],
    }


def test_a_file_is_read_when_it_has_changed_and_a_wrong_one_leaves_the_former_end(
    authority: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    worker, old = authority.issue("watched"), authority.issue("outdated", expired=True)
    file = tmp_path / "kafka.pem"
    now = 0.0
    watch = CertificateWatch(settings(tmp_path, kafka_cert_file=str(file)), lambda: now)
    assert watch.found() == {}
    assert f"kafka_cert_file: {file}: it cannot be read" in caplog.text
    file.write_bytes(old.chain.read_bytes())
    now += LOOK_AGAIN_S / 2
    assert watch.found() == {}
    now += LOOK_AGAIN_S
    assert watch.found() == {"kafka_cert_file": ends(old.chain)[0]}
    for wrong, said in ((b"nonsense", "no certificate"), (b" " * (MOST_BYTES + 1), "larger")):
        caplog.clear()
        file.write_bytes(wrong)
        for _ in range(3):
            now += LOOK_AGAIN_S
            assert watch.found() == {"kafka_cert_file": ends(old.chain)[0]}
        assert caplog.text.count("its end is not known") == 1
        assert said in caplog.text
    file.write_bytes(worker.chain.read_bytes())
    now += LOOK_AGAIN_S
    assert watch.found() == {"kafka_cert_file": ends(worker.chain)[0]}
