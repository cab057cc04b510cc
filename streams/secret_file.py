"""A secret of the settings: given itself, or by a file."""

from pathlib import Path

from schemas.errors import UsageError
from streams.settings import Settings

__all__ = ["first_line", "secret_of"]

_MOST_BYTES = 100_000


def secret_of(settings: Settings, name: str, *, lines: int = 1) -> str:
    """The setting `name`, or the first lines of the file that `name_file` names.

    Blocking. Raises UsageError for a file that cannot be read.
    """
    file = str(getattr(settings, f"{name}_file"))
    return _lines(file, f"{name}_file", lines) if file else str(getattr(settings, name))


def first_line(file: str, name: str) -> str:
    """The secret in the file that the setting `name` names. Blocking. Raises as `secret_of`."""
    return _lines(file, name, 1)


def _lines(file: str, name: str, lines: int) -> str:
    try:
        with Path(file).expanduser().open("rb") as opened:
            text = opened.read(_MOST_BYTES).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{name}: {file} cannot be read: {type(error).__name__}",
            remedy="Name a file with the secret in its first line",
        ) from error
    return "\n".join(line.strip() for line in text.split("\n")[:lines])
