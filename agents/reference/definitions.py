"""The page of the definitions in the catalog."""

from agents.coordinator.rules.bounds import KEY_KINDS
from agents.reference import fields
from agents.reference.page import Page, Section
from agents.reference.pages import ABOUT

__all__ = ["page"]

_EXAMPLE = (
    "emberline send definition '"
    '{"key": "campaign:spring", "kind": "campaign", "name": "Spring", "status": "ACTIVE", '
    '"tags": ["2026"], "filters": {"filter": "received_from_campaign", "campaign": "winter", '
    '"has": false}}'
    "'"
)


def page() -> Page:
    """Keys, fields, and what happens to a bad one."""
    keys = ", ".join(f"`{kind}:ID`" for kind in KEY_KINDS)
    return Page(
        "definitions",
        "Definitions",
        ABOUT["definitions"],
        (
            Section(
                text=(
                    f"A definition is a record of the topic `catalog`. Its key is one of {keys}, "
                    "the same as the field `key`. The topic is compacted: the last record of a key "
                    "counts. A record without a value deletes the definition: its source counts "
                    "as stopped at that moment.",
                    "`filters` is in the language of [filters.md](../filters.md), which also says "
                    "when a definition is unreadable and what happens then. A field that is left "
                    "out has its default.",
                ),
                table=fields.table("definition"),
            ),
            Section("An example", example=_EXAMPLE),
        ),
    )
