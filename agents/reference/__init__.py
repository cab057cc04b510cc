"""The reference: what the contract contains, as pages and as documents for programs. Pure.

Each page is made from the code: filters, states, codes, definitions, commands, settings, topics,
decisions, records. `pages.page(NAME)` returns a `Page` of paragraphs and tables, for two programs:

- `python -m agents.reference` (`make reference`) writes the pages to `docs/reference/`;
- `emberline help TOPIC` prints a page: `pages.NAMES` are its topics.

`asyncapi.document` describes the same topics and records for programs: workers serve it, and
`emberline topics asyncapi` prints it.

Imports the rooms whose contract it describes. A page is imported only when it is used. No I/O
except in `__main__`. Begin with `page`, then `pages`.
"""
