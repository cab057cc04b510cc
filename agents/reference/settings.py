"""The page of the settings."""

from agents.reference.page import Page, Section, Table
from agents.reference.pages import ABOUT
from streams.settings import Settings, describe

__all__ = ["page"]


def page() -> Page:
    """Every setting with its default."""
    return Page(
        "settings",
        "Settings",
        ABOUT["settings"],
        (
            Section(
                text=(
                    "A setting has its default, or the value from the file `emberline.toml` "
                    '(`retention = "P3M"`), from the environment (`EMBERLINE_RETENTION=P3M`), or '
                    "from a flag (`--retention P3M`); the last of these counts. "
                    "`KAFKA_BOOTSTRAP_SERVERS` sets `bootstrap_servers` too. "
                    "`emberline settings` prints each value and its origin.",
                    "Periods are ISO 8601 (`P3M`, `PT20S`); sizes are `800MB`, `1GB` or a number "
                    "of bytes. A misspelt name is an error.",
                ),
                table=Table(
                    ("setting", "default", "meaning"),
                    tuple(
                        (f"`{line.name}`", f"`{line.value}`" if line.value else "", line.doc)
                        for line in describe(Settings())
                    ),
                ),
            ),
        ),
    )
