"""Certificates of an authority of one's own, for a local broker and for tests; by `openssl`.

Nothing here is for production: keys lie unencrypted in a folder, and certificates are valid for a
few days.
"""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from schemas.errors import Fatal

__all__ = ["Authority", "Certificate"]

_DEADLINE_S = 30.0
_LONG_AGO = ("20200101000000Z", "20200102000000Z")
_CONFIG = """
[ca]
default_ca = own
[own]
database = {folder}/index.txt
new_certs_dir = {folder}
rand_serial = yes
default_md = sha256
default_days = 7
policy = any
unique_subject = no
copy_extensions = copy
x509_extensions = issued
[any]
commonName = supplied
[issued]
basicConstraints = CA:FALSE
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""
_MAY_SIGN = "keyUsage=critical,keyCertSign,cRLSign"
"""Python 3.13 and newer ask for it."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate and its key, PEM files: `chain` and `key`, and `both` in one file."""

    chain: Path
    key: Path
    both: Path


class Authority:
    """Signs certificates with a key that it makes first; `folder` gets all files.

    `certificate` is its own. Raises Fatal without `openssl`, or with its last words.
    """

    def __init__(self, folder: Path, name: str = "emberline test authority") -> None:
        self._folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.certificate = folder / "ca.pem"
        self._key = folder / "ca.key"
        self._config = folder / "openssl.cnf"
        self._config.write_text(_CONFIG.format(folder=folder))
        (folder / "index.txt").touch()
        made = [*_NEW_KEY, "-x509", "-keyout", str(self._key), "-out", str(self.certificate)]
        openssl(*made, "-days", "7", "-subj", f"/CN={name}", "-addext", _MAY_SIGN)

    def issue(
        self,
        name: str,
        hosts: tuple[str, ...] = ("localhost", "127.0.0.1"),
        *,
        expired: bool = False,
        password: str = "",
        file: str = "",
    ) -> Certificate:
        """A certificate for `name`, valid for these hosts, or expired years ago.

        `password` encrypts its key. Files are called after `file`, or after `name`; files of that
        name are replaced.
        """
        stem = self._folder / (file or name)
        key, chain, request = (stem.with_suffix(end) for end in (".key", ".pem", ".csr"))
        both = stem.with_suffix(".both.pem")
        names = ",".join(f"IP:{h}" if _is_address(h) else f"DNS:{h}" for h in hosts)
        more = ["-addext", f"subjectAltName={names}"] if names else []
        openssl(*_NEW_KEY, "-keyout", str(key), "-out", str(request), "-subj", f"/CN={name}", *more)
        dates = ["-startdate", _LONG_AGO[0], "-enddate", _LONG_AGO[1]] if expired else []
        authority = ["-cert", str(self.certificate), "-keyfile", str(self._key)]
        signed = ["ca", "-batch", "-notext", "-config", str(self._config), *authority, *dates]
        openssl(*signed, "-in", str(request), "-out", str(chain))
        if password:
            locked = ["-v2", "aes-256-cbc", "-passout", f"pass:{password}", "-out", f"{key}.locked"]
            openssl("pkcs8", "-topk8", "-in", str(key), *locked)
            Path(f"{key}.locked").replace(key)
        key.chmod(0o600)
        both.write_text(key.read_text() + chain.read_text())
        both.chmod(0o600)
        return Certificate(chain, key, both)


_NEW_KEY = ("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def openssl(*arguments: str) -> None:
    """Run `openssl`. Raises Fatal with the end of what it says."""
    program = shutil.which("openssl")
    if program is None:
        raise Fatal(
            "There is no program openssl, which makes certificates",
            remedy="Install it (on Debian: apt-get install openssl)",
        )
    done = subprocess.run(
        [program, *arguments], capture_output=True, text=True, timeout=_DEADLINE_S, check=False
    )
    if done.returncode != 0:
        raise Fatal(f"openssl {arguments[0]} failed: {done.stderr[-300:]}", remedy="Look at it")


def _is_address(host: str) -> bool:
    return host.replace(".", "").isdigit() or ":" in host
