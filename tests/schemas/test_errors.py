"""The error tree."""

import pytest

from schemas.errors import EmberlineError, Fatal, Recoverable, UsageError


def test_the_tree() -> None:
    assert issubclass(Recoverable, EmberlineError)
    assert issubclass(Fatal, EmberlineError)
    assert issubclass(UsageError, Fatal)
    assert not issubclass(Recoverable, Fatal)


@pytest.mark.parametrize("message", ["topic x is missing", "topic x is missing."])
def test_an_error_says_what_and_what_to_do(message: str) -> None:
    error = Fatal(message, remedy="Create it")
    assert str(error) == "topic x is missing. Create it"
    assert (error.message, error.remedy) == (message, "Create it")


def test_a_remedy_is_not_a_must() -> None:
    assert str(Recoverable("fenced")) == "fenced"
