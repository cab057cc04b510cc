"""A command that kills itself when it calls something for the n-th time."""

import json
import sys
from collections.abc import Mapping

__all__ = ["killed_at"]

_PROGRAM = """
import importlib, json, os, signal, sys
from agents.cli import main

place, name, left, values = sys.argv[1], sys.argv[2], int(sys.argv[3]), json.loads(sys.argv[4])
for path, value in values.items():
    module, _, constant = path.rpartition(".")
    setattr(importlib.import_module(module), constant, value)
module, _, owner = place.rpartition(".")
owner = getattr(importlib.import_module(module), owner)
call = getattr(owner, name)

def killing(*given):
    global left
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
    return call(*given)

setattr(owner, name, killing)
main(sys.argv[5:])
"""


def killed_at(
    owner: str, name: str, count: int, *command: str, values: Mapping[str, object]
) -> list[str]:
    """The program of a command of `emberline`: it dies as `owner`, a class by its whole name,
    begins `name` for the `count`-th time. `values` are constants that it sets first.
    """
    given = (owner, name, str(count), json.dumps(values), *command)
    return [sys.executable, "-c", _PROGRAM, *given]
