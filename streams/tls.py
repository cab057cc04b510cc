"""TLS of clients: a context made of files, and made again after a file has changed."""

import logging
import os
import ssl
import stat
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from schemas.errors import UsageError

__all__ = ["ClientTls", "TlsFiles", "stamp_of"]

log = logging.getLogger(__name__)

_PEM = "Write PEM: `openssl pkcs12 -in FILE.p12 -out FILE.pem -nodes` makes it of PKCS #12"


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """The files of a context, empty where there is none, and the names of the settings that have
    them.

    `password` returns that of the key, from the setting `password_name`, or nothing.
    """

    ca: str = ""
    cert: str = ""
    key: str = ""
    password: Callable[[], str] = lambda: ""
    check_hostname: bool = True
    ca_name: str = "kafka_ca_file"
    cert_name: str = "kafka_cert_file"
    key_name: str = "kafka_key_file"
    password_name: str = "kafka_key_password"


class ClientTls:
    """Makes contexts for connections. May be used from any thread."""

    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        self._lock = threading.Lock()
        self._context: ssl.SSLContext | None = None
        self._stamps: object = None
        self._said = ""

    @property
    def trouble(self) -> str:
        """Why the former files are used on; empty if the present ones are."""
        return self._said

    def context(self) -> ssl.SSLContext:
        """The context for the next connection: a new one if a file has changed since. Blocking.

        If files have changed and cannot be used, the former context stays, with a warning: another
        program may write them at this moment. Raises UsageError if there is no former one.
        """
        with self._lock:
            files = self._files
            stamps = tuple(stamp_of(name) for name in (files.ca, files.cert, files.key) if name)
            if self._context is not None and stamps == self._stamps:
                return self._context
            try:
                made = _made(files)
            except UsageError as error:
                if self._context is None:
                    raise
                if self._said != error.message:
                    log.warning("%s; the former files are used on", error)
                self._said = error.message
                return self._context
            if self._context is not None:
                log.info("the files of TLS have changed and are read again")
            self._context, self._stamps, self._said = made, stamps, ""
            return made


def stamp_of(file: str) -> object:
    """Changes whenever the file does; also None if there is none."""
    try:
        found = Path(file).expanduser().stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _made(files: TlsFiles) -> ssl.SSLContext:
    if files.key and not files.cert:
        raise UsageError(
            f"{files.key_name} is set and {files.cert_name} is not",
            remedy=f"Set {files.cert_name} to the certificate of this key",
        )
    try:
        context = ssl.create_default_context(cafile=_path(files.ca, files.ca_name))
    except ssl.SSLError as error:
        raise _no_pem(files.ca_name, files.ca, "certificate") from error
    context.check_hostname = files.check_hostname
    if files.cert:
        _load(context, files)
    return context


def _load(context: ssl.SSLContext, files: TlsFiles) -> None:
    cert = _path(files.cert, files.cert_name)
    key = _path(files.key, files.key_name)
    name, file = (files.key_name, files.key) if key else (files.cert_name, files.cert)
    asked = False

    def password() -> str:
        # asked for only if the key is encrypted; without an answer openssl asks the terminal
        nonlocal asked
        asked = True
        found = files.password()
        if not found:
            raise UsageError(
                f"{name}: the key in {file} has a password",
                remedy=f"Set {files.password_name}_file to a file with the password",
            )
        return found

    _check_private(name, key or cert or "")
    try:
        context.load_cert_chain(cert or "", key, password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise UsageError(
                f"{name}: the key in {file} does not belong to the certificate in {files.cert}",
                remedy="Write both files of one certificate; the first in the file must be the "
                "client's own",
            ) from error
        if asked:
            raise UsageError(
                f"{name}: the password of the key in {file} is wrong",
                remedy=f"Correct {files.password_name}_file",
            ) from error
        raise _no_pem(name, file, "private key and certificate") from error


def _path(file: str, name: str) -> str | None:
    """The file, once it can be read; None for an empty name."""
    if not file:
        return None
    path = Path(file).expanduser()
    try:
        with path.open("rb") as opened:
            opened.read(1)
    except OSError as error:
        raise UsageError(
            f"{name}: {file} cannot be read: {error.strerror}",
            remedy=f"Correct the setting {name}, or let this user read the file",
        ) from error
    return str(path)


def _check_private(name: str, path: str) -> None:
    mode = os.stat(path).st_mode
    if mode & stat.S_IRWXO:
        raise UsageError(
            f"{name}: everybody on this machine may read the private key in {path}",
            remedy=f"chmod 600 {path}, or 640 for a group of the worker's own (in Kubernetes "
            "defaultMode: 0440)",
        )


def _no_pem(name: str, file: str, what: str) -> UsageError:
    return UsageError(f"{name}: there is no {what} in {file}", remedy=_PEM)
