"""Every error that emberline raises on purpose.

EmberlineError          root: has a message and a remedy
├── Recoverable         dropping the state and starting again can mend it
└── Fatal               trying again cannot mend it: a person has to act
    └── UsageError      what was typed, sent or configured is wrong
"""

__all__ = ["CorruptSegment", "EmberlineError", "Fatal", "Recoverable", "UsageError"]


class EmberlineError(Exception):
    """Root of all errors raised on purpose.

    `message` says what is wrong and where, `remedy` what to do about it (may be empty).
    """

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        """One line: what is wrong, then what to do about it."""
        return f"{self.message.rstrip('.')}. {self.remedy}" if self.remedy else self.message


class Recoverable(EmberlineError):
    """Dropping the in-memory state and starting again can mend it (fenced, lost connection)."""


class Fatal(EmberlineError):
    """Trying again cannot mend it: a person has to act."""


class UsageError(Fatal):
    """What was typed, sent or configured is wrong. The command line exits with 2."""


class CorruptSegment(Fatal):
    """Bytes that should be a segment are not one, or are of a format this version cannot read."""
