"""DuckDB over the same rows, for comparison in `bench query`."""

import importlib
import importlib.util
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

__all__ = ["FIVE", "ONE", "Duck", "available"]

_OF = "SELECT user FROM interactions WHERE source = 'campaign:{}' AND {}"
ONE = f"SELECT DISTINCT user FROM ({_OF.format('big', 'kind = $$received$$')})"
_OPENED = "kind IN ('opened', 'machine_opened')"
_ANY = "kind IN ('opened', 'machine_opened', 'clicked')"
_CTA = "kind = 'clicked' AND detail = 'cta'"
FIVE = f"""
    SELECT DISTINCT user FROM ({_OF.format("a", "kind = 'received'")})
    WHERE (user IN ({_OF.format("b", _OPENED)}) OR user IN ({_OF.format("c", _CTA)}))
    AND user NOT IN ({_OF.format("d", _CTA)})
    AND user IN ({_OF.format("e", _ANY)})
"""


def available() -> bool:
    """Whether the package is installed (the extra `bench`)."""
    return importlib.util.find_spec("duckdb") is not None


class Duck:
    """A database in a folder with the rows of the folder's Parquet files; a context manager."""

    def __init__(self, folder: Path) -> None:
        duckdb: Any = importlib.import_module("duckdb")
        self._base = duckdb.connect(str(folder / "rows.duckdb"))
        # its bar would go to stdout, among what --json prints
        self._base.execute("SET enable_progress_bar = false")
        self._base.execute(f"SET threads TO {os.cpu_count() or 2}")
        files = str(folder / "*.parquet").replace("'", "''")
        self._base.execute(f"CREATE TABLE interactions AS SELECT * FROM read_parquet('{files}')")

    def answer(self, sql: str) -> tuple[float, int]:
        """Seconds until the users are in a table, and their number."""
        start = time.monotonic()
        self._base.execute(f"CREATE OR REPLACE TEMP TABLE answer AS {sql}")
        seconds = time.monotonic() - start
        (count,) = self._base.execute("SELECT count(*) FROM answer").fetchone()
        return seconds, int(count)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._base.close()
