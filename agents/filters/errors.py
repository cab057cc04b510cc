"""The error of a filter, with its position."""

from schemas.errors import UsageError

__all__ = ["CODES", "FilterError"]

CODES = (
    "bad_node",
    "unknown_filter",
    "missing_argument",
    "unknown_argument",
    "bad_argument",
    "bad_time",
    "no_bound",
    "both_bounds",
    "impossible_range",
    "too_deep",
    "too_large",
)
"""Every `FilterError.code`."""


class FilterError(UsageError):
    """A filter that cannot be understood or can never be decided.

    `path` is the JSON path of the wrong node or argument (`$.and[0].campaign`), `code` is one of
    `CODES`, `detail` says what is wrong there, `remedy` what is allowed.
    """

    def __init__(self, path: str, code: str, detail: str, *, remedy: str) -> None:
        super().__init__(f"{path}: {detail}", remedy=remedy)
        self.path = path
        self.code = code
        self.detail = detail
