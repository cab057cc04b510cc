"""One source's rows from all shards: of one version, from all or from none."""

from functools import partial
from typing import Self

import polars as pl

from agents.http.problems import legacy_deleted, shards_unavailable, source_hidden, unknown_source
from agents.scatter.context import Context
from agents.scatter.gatherer import Gatherer, Open, Unavailable
from agents.scatter.parts import rows_of
from schemas.records.lifecycle import SourceState

__all__ = ["Gathered", "visible"]


def visible(context: Context, source: str) -> SourceState:
    """The source's record, if its data may take part in answers.

    Raises Problem: not ready (503), unknown (404), legacy-deleted (410), hidden (409).
    """
    if not context.states.caught_up.is_set():
        raise shards_unavailable("This worker has not read the state of the sources yet")
    record = context.states.get(source)
    if record is None:
        raise unknown_source(source)
    if record.legacy_deleted:
        raise legacy_deleted(source)
    if record.hidden:
        raise source_hidden(source, record.state.value)
    return record


class Gathered(Gatherer[pl.DataFrame]):
    """The folded rows of one source, from all shards. Entering raises Problem."""

    wait_s = 10.0

    def __init__(self, context: Context, source: str) -> None:
        super().__init__(context)
        self._source = source

    async def __aenter__(self) -> Self:
        try:
            return await super().__aenter__()
        except Unavailable as error:
            raise shards_unavailable(f"{self._source} cannot be read now: {error}") from error

    def _asked(self) -> Open[pl.DataFrame]:
        version = visible(self._context, self._source).version
        return partial(rows_of, self._context, source=self._source, version=version)
