"""Certificates for tests, of an authority of their own: `streams/devbroker/certificates.py`."""

import pytest

from streams.devbroker.certificates import Authority, Certificate

__all__ = ["Authority", "Certificate", "authority"]


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority that the whole session shares."""
    return Authority(tmp_path_factory.mktemp("authority"))
