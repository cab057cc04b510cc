"""The reference: what the contract contains, as pages and as documents for programs. Pure.

Each page is made from the code: filters, states, codes, definitions, commands, settings, topics,
decisions, records. `pages.page(NAME)` returns a `Page` of paragraphs and tables, for two programs:

- `python -m agents.cli.reference` (`make reference`) writes the pages to `docs/reference/`, with
  those of the HTTP calls (`agents/web/http_reference.py`) and of the commands
  (`agents/cli/cli_reference.py`), which this room may not import;
- `emberline help TOPIC` prints a page: `pages.NAMES` are its topics.

`asyncapi.document` describes the same topics and records for programs: workers serve it, and
`emberline topics asyncapi` prints it.

Imports the rooms whose contract it describes. A page is imported only when it is used. No I/O.
Begin with `page`, then `pages`.
"""
