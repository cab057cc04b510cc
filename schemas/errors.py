"""Every error that emberline raises on purpose.

EmberlineError          root: has a message and a remedy
├── Recoverable         dropping the state and starting again may help
└── Fatal               trying again does not help: a person has to act
    └── UsageError      an argument, a record or a setting is wrong
"""

__all__ = ["CorruptSegment", "EmberlineError", "Fatal", "Recoverable", "UsageError"]


class EmberlineError(Exception):
    """Root of all errors raised on purpose.

    `message` says what is wrong and where, `remedy` says what to do (may be empty).
    """

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        """One line: what is wrong, then what to do."""
        return f"{self.message.rstrip('.')}. {self.remedy}" if self.remedy else self.message


class Recoverable(EmberlineError):
    """Dropping the in-memory state and starting again may help (fenced, lost connection)."""


class Fatal(EmberlineError):
    """Trying again does not help: a person has to act."""


class UsageError(Fatal):
    """An argument, a record or a setting is wrong. The command line exits with 2."""


class CorruptSegment(Fatal):
    """The bytes of a segment are damaged, or have a format that this version cannot read.

    `segment` is its id, if its bytes are not those that its index names; else empty.
    """

    def __init__(self, message: str, *, remedy: str = "", segment: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.segment = segment
