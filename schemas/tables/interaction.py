"""The interaction: one row of hot data.

The key `(source, user, kind, channel, step, variation, detail)` says what happened to which user;
`first` and `last` say when, in milliseconds since the epoch, UTC. A part of the key that does not
apply to a kind is null.
"""

import polars as pl

__all__ = ["CHANNELS", "COLUMNS", "KEY", "KINDS", "SCHEMA", "empty"]

# The order is part of the segment format: segments store positions. Append, never reorder.
KINDS = (
    "received",
    "opened",
    "machine_opened",
    "clicked",
    "bot_clicked",
    "entered",
    "control",
    "exited",
    "converted",
    # What signals say of a user: rows of the profile-wide table only.
    "hard_bounce",
    "spam_report",
    "invalid_phone",
    "inbound_keyword",
    "feed_view",
    "feature_flag",
    "other",
)
CHANNELS = (
    "EMAIL",
    "PUSH",
    "SMS",
    "WHATSAPP",
    "IN_APP",
    "CONTENT_CARD",
    "BANNER",
    "WEBHOOK",
    "RCS",
    "LINE",
    "LIVE_ACTIVITY",
    "OTHER",
)
KEY = ("source", "user", "kind", "channel", "step", "variation", "detail")
_TYPES: dict[str, pl.DataType | type[pl.DataType]] = {
    "source": pl.String,
    "user": pl.String,
    "kind": pl.Enum(KINDS),
    "channel": pl.Enum(CHANNELS),
    "step": pl.String,
    "variation": pl.String,
    "detail": pl.String,
    "first": pl.Int64,
    "last": pl.Int64,
}
SCHEMA = pl.Schema(_TYPES)
COLUMNS = tuple(SCHEMA.names())


def empty() -> pl.DataFrame:
    """No interactions: a frame of no rows in `SCHEMA`."""
    return pl.DataFrame(schema=SCHEMA)
