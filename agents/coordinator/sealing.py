"""Seals the users of commands before the rules see them: no record of ours names an erased user."""

from collections.abc import Sequence
from dataclasses import replace

from agents.coordinator.rules.inputs import CommandRead, Input
from schemas.errors import Fatal
from schemas.records.lifecycle import Command, CommandType
from schemas.tables.erased import ErasureKey
from streams.erasure_key import erasure_key
from streams.settings import Settings

__all__ = ["is_erasure", "key_or_fault", "sealed", "sealed_inputs"]

NO_KEY = (
    "there is no erasure key, under which erased users are kept (setting erasure_key_file): make "
    "one with `emberline keys erasure`, give the file to every worker, and keep a backup of it"
)


def is_erasure(item: Input) -> bool:
    """Whether an input is a command that erases users."""
    return isinstance(item, CommandRead) and item.command.type == CommandType.ERASE


def sealed(command: Command, key: ErasureKey, partitions: int) -> Command:
    """The command with its users sealed."""
    return replace(command, users=tuple(key.sealed(command.users, partitions)))


def key_or_fault(settings: Settings) -> ErasureKey | str:
    """The erasure key, or why there is none that can be used. Blocking."""
    try:
        return erasure_key(settings) or NO_KEY
    except Fatal as error:
        return f"{error.message}. {error.remedy}"


def sealed_inputs(inputs: Sequence[Input], settings: Settings) -> list[Input]:
    """The inputs, with the users of commands sealed. Blocking.

    Without a key, or with one that cannot be used, such a command is to be refused.
    """
    if not any(map(is_erasure, inputs)):
        return list(inputs)
    key = key_or_fault(settings)

    def one(item: Input) -> Input:
        if not isinstance(item, CommandRead) or item.command.type != CommandType.ERASE:
            return item
        if isinstance(key, str):
            return replace(item, command=replace(item.command, users=()), fault=key)
        return replace(item, command=sealed(item.command, key, settings.partitions))

    return [one(item) for item in inputs]
