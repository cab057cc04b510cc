"""Where a secret may be sent: not where a file says that merely lies in the present folder."""

from schemas.errors import UsageError
from streams.settings import Settings

__all__ = ["FOLDERS_FILE", "check_target"]

FOLDERS_FILE = "emberline.toml"
"""The origin of settings that are read without being asked for."""


def check_target(settings: Settings, secret: str, *targets: str) -> None:
    """Raise UsageError where the folder's file has set one of `targets`, and `secret` comes from
    elsewhere: who unpacks an archive and runs a command in it must not give away a key."""
    if not getattr(settings, secret) or settings.origins[secret] == FOLDERS_FILE:
        return
    for target in targets:
        if settings.origins[target] == FOLDERS_FILE:
            variable = f"EMBERLINE_{target.upper()}"
            raise UsageError(
                f"{secret} would be sent where {FOLDERS_FILE} of the present folder says "
                f"({target})",
                remedy=f"If that is meant, set {variable} or --{target.replace('_', '-')}, or "
                f"give --config {FOLDERS_FILE}",
            )
