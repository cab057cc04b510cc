"""The command line, `emberline`.

A command is a module of this package with a click command in it, named below. It is imported
when it is used, so one command costs nothing to the others; a module that is not part of an
installation is not listed.

In a command: `settings_of(ctx)` for the settings with all flags in them, `json_option` and
`emit` for `--json`, `run` for coroutines. Errors are raised, not printed. Begin with `audit`.
"""

from agents.cli.group import Group
from agents.cli.options import global_options

__all__ = ["COMMANDS", "main"]

COMMANDS = {
    "demo": "agents.cli.demo:command",
    "worker": "agents.cli.worker:command",
    "broker": "agents.cli.broker:command",
    "topics": "agents.cli.topics:command",
    "import": "agents.cli.importing:command",
    "send": "agents.cli.send:command",
    "restore": "agents.cli.requests:restore",
    "restores": "agents.cli.restores:command",
    "cancel": "agents.cli.requests:cancel",
    "hold": "agents.cli.requests:hold",
    "unhold": "agents.cli.requests:unhold",
    "expire": "agents.cli.requests:expire",
    "pause": "agents.cli.requests:pause",
    "resume": "agents.cli.requests:resume",
    "confirm": "agents.cli.requests:confirm",
    "status": "agents.cli.status:command",
    "audience": "agents.cli.audience:command",
    "profile": "agents.cli.profile:command",
    "explain": "agents.cli.explain:command",
    "audit": "agents.cli.audit:command",
    "rejected": "agents.cli.rejected:command",
    "export": "agents.cli.export:command",
    "bench": "agents.cli.bench:command",
    "keys": "agents.cli.keys:command",
    "settings": "agents.cli.settings:command",
}
"""Name -> `module:attribute`, in the order of the help."""

main = global_options(
    Group(
        "emberline",
        COMMANDS,
        help="Keeps engagement data hot as long as it is used, archives the rest, "
        "and brings it back on request.",
    )
)
