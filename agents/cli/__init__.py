"""The command line, `emberline`.

A command is a click command in a module of this package, which is listed below. Its module is
imported only when the command is used, so one command does not slow down the others. A module that
is not part of an installation is not listed in the help.

For a command use `settings_of(ctx)` for the settings with all flags, `json_option` and `emit` for
`--json`, `run` for coroutines. Raise errors instead of printing them. Begin with `audit`.
"""

from agents.cli.group import Group
from agents.cli.options import global_options

__all__ = ["COMMANDS", "SECTIONS", "main"]

COMMANDS = {
    "demo": (
        "agents.cli.demo:command",
        "Play a day: events in, expiry to the archive, restore; every claim is checked.",
    ),
    "worker": ("agents.cli.worker:command", "Run a worker until SIGTERM or Ctrl-C."),
    "broker": ("agents.cli.broker:command", "Run a Kafka broker on this machine until Ctrl-C."),
    "topics": ("agents.cli.topics:command", "Make, compare and read emberline's topics."),
    "import": (
        "agents.cli.importing:command",
        "Send the records of files: Avro, JSON lines, CSV, exports of Braze.",
    ),
    "bridge": (
        "agents.cli.bridge:command",
        "Write the Currents events of TOPICS to emberline's topics.",
    ),
    "send": (
        "agents.cli.send:command",
        "Send records of TYPE: send, open, click, variant, conversion, signal, definition, user.",
    ),
    "schemas": (
        "agents.cli.schemas:command",
        "Put our schemas into a schema registry, and check mappings.",
    ),
    "restore": ("agents.cli.requests:restore", "Bring archived sources back from the archive."),
    "restores": (
        "agents.cli.restores:command",
        "List restore requests and how far they are; or show one, source by source.",
    ),
    "cancel": (
        "agents.cli.requests:cancel",
        "Cancel restores under way, by source or request id; or an expiry, by source: also one "
        "that hangs in a shard.",
    ),
    "hold": (
        "agents.cli.requests:hold",
        "Keep sources hot until they are released; with --legal as evidence.",
    ),
    "unhold": ("agents.cli.requests:unhold", "Release sources from a hold."),
    "expire": (
        "agents.cli.requests:expire",
        "Move sources to the archive now, whatever their date.",
    ),
    "pause": ("agents.cli.requests:pause", "Pause the sweep: nothing expires by itself."),
    "resume": ("agents.cli.requests:resume", "Let a paused sweep go on."),
    "confirm": (
        "agents.cli.requests:confirm",
        "Let a large sweep expire exactly what it asked about.",
    ),
    "erase": (
        "agents.cli.erasing:erase",
        "Erase users for ever: from every answer at once, then from hot data and from the archive.",
    ),
    "erasures": (
        "agents.cli.erasing:erasures",
        "List requests that erase users; or show the receipt of one: what is gone from where, and "
        "what remains until when.",
    ),
    "status": ("agents.cli.status:command", "Show every source's state, when it is due and why."),
    "audience": (
        "agents.cli.audience:command",
        "Write the users that match FILTER, as JSON or @FILE (- is stdin).",
    ),
    "profile": (
        "agents.cli.profile:command",
        "Show what USER received and did, and what expired sources hide.",
    ),
    "explain": (
        "agents.cli.explain:command",
        "Say why SOURCE is hot, through what, what would change it, and when.",
    ),
    "audit": (
        "agents.cli.audit:command",
        "Show the decisions made on a source, or on all, oldest first.",
    ),
    "rejected": ("agents.cli.rejected:command", "Look at records that were rejected."),
    "export": ("agents.cli.export:command", "Write all rows of SOURCE, such as campaign:ID."),
    "verify": (
        "agents.cli.verify:command",
        "Prove that the data is whole: compare archive, changelog and manifest, record by record.",
    ),
    "bench": (
        "agents.cli.bench:command",
        "Measure ingest, lifecycle, latency, recovery, queries, listeners, pages and a long load.",
    ),
    "keys": (
        "agents.cli.keys:command",
        "Give out, list and revoke the keys of the HTTP interface.",
    ),
    "notify": ("agents.cli.notify:command", "Show, repeat and test mail and webhooks."),
    "settings": (
        "agents.cli.settings:command",
        "Print every setting, its value, and where that came from.",
    ),
    "help": (
        "agents.cli.helping:command",
        "Explain TOPIC, a page of the reference such as filters or states, or a command.",
    ),
    "completion": (
        "agents.cli.completion:command",
        "Print the program that completes commands, sources, tags and states in SHELL.",
    ),
    "version": ("agents.cli.version:command", "Print the version."),
}
"""Name -> `module:attribute` and the first words of its help, in the order of the list. The words
stand here too, so that the list of commands imports none of them; a test holds them equal."""

SECTIONS = {
    "Begin": ("demo", "broker", "topics", "worker", "settings", "keys"),
    "Send": ("send", "import", "bridge", "schemas"),
    "Look": ("status", "explain", "audience", "profile", "export", "audit", "rejected"),
    "Operate": (
        *("restore", "restores", "cancel", "hold", "unhold", "expire"),
        *("pause", "resume", "confirm", "erase", "erasures", "notify", "verify"),
    ),
    "More": ("help", "version", "completion", "bench"),
}
"""The headings of the help and their commands. A command under no heading comes last."""

main = global_options(
    Group(
        "emberline",
        COMMANDS,
        SECTIONS,
        help="Keeps engagement data hot as long as it is used, archives the rest, "
        "and brings it back on request.",
    )
)
