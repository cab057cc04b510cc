"""The reference: what the contract contains, as pages and as documents for programs. Pure.

Each page is made from the code: filters, states, codes, definitions, commands, settings.
`pages.page(NAME)` returns a `Page` of paragraphs and tables, and two programs use it:

- `python -m agents.reference` (`make reference`) writes the pages to `docs/reference/`;
- `emberline help TOPIC` prints a page: `pages.NAMES` are its topics.

Imports the rooms whose contract it describes. A page is imported only when it is used. No I/O
except in `__main__`. Begin with `page`, then `pages`.
"""
