"""Where a secret may be sent: never to an address from a settings file of the current folder."""

import ipaddress

from schemas.errors import UsageError
from streams.settings import Settings

__all__ = ["FOLDERS_FILE", "check_file", "check_target", "is_loopback"]

FOLDERS_FILE = "emberline.toml"
"""The origin of settings that are read without being asked for."""


def check_target(settings: Settings, secret: str, *targets: str) -> None:
    """Raise UsageError if the current folder's file has set one of `targets`, and `secret` comes
    from another origin: a person who unpacks an archive and runs a command in it must not reveal a
    key.
    """
    if settings.origins[secret] != FOLDERS_FILE:
        check_file(settings, secret, *targets)


def check_file(settings: Settings, secret: str, *targets: str) -> None:
    """The same if `secret` names a file: the current folder's settings could name any file that the
    user can read.
    """
    if not getattr(settings, secret):
        return
    for target in targets:
        if settings.origins[target] == FOLDERS_FILE:
            variable = f"EMBERLINE_{target.upper()}"
            raise UsageError(
                f"{secret} would be sent to an address that {FOLDERS_FILE} of the current folder "
                f"sets ({target})",
                remedy=f"If this is intended, set {variable} or --set {target}=VALUE, or "
                f"give --config {FOLDERS_FILE}",
            )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() in ("localhost", "ip6-localhost")
