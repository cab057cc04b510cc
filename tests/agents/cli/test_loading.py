"""Modules are imported without the garbage collector."""

import gc

import pytest

from agents.cli.loading import importing


def test_the_collector_is_off_while_modules_are_imported_and_on_afterwards() -> None:
    assert gc.isenabled()
    try:
        with importing():
            assert not gc.isenabled()
        assert gc.isenabled()
        with pytest.raises(ImportError), importing():
            raise ImportError
        assert gc.isenabled()
    finally:
        gc.unfreeze()


def test_a_collector_that_was_off_stays_off() -> None:
    gc.disable()
    try:
        with importing():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
        gc.unfreeze()
