"""How questions read the store: one project's, and each row says which question it answers.

A handle that was left with half an answer could give it to whoever asks next, perhaps another
project. Handles on which anything failed are thrown away; should that ever not be enough, the
mistake is noticed here instead of being shown.
"""

import re
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from itertools import count
from typing import Protocol

from threadline.identity.compose import read_once
from threadline.identity.shards import on_shards
from threadline.store import Params, Query, Row, Store, StoreError

# The SELECT of a statement, which stands behind its WITH clause (see `compose`): it gets one more
# column, which comes back in every row.
SELECT = re.compile(r"(?:\s*|WITH .*?^\)\s)SELECT( DISTINCT)?\b", re.DOTALL | re.MULTILINE)
ASKED = "{asked_by:String} AS asked_by"

_numbers = count(1)


class WrongAnswer(StoreError):
    """The store answered something else than it was asked. None of it is shown."""


class Reads(Protocol):
    """What can be asked."""

    def query(self, sql: str, params: Params) -> list[Row]: ...


class Reading:
    """One project's questions to the store. Safe to use from several threads."""

    def __init__(self, store: Store, project_id: str) -> None:
        self._store = store
        self._project_id = project_id

    def query(self, sql: str, params: Params) -> list[Row]:
        """As `Store.query`. Raises `WrongAnswer` for rows that answer another query."""
        with self._store.asking():
            asked_by, query = self._ask_back(sql, params)
            return answered(self._store.query(*query), asked_by)

    def query_all(self, *queries: Query) -> list[list[Row]]:
        """As `Store.query_all`, and raises the same."""
        with self._store.asking():
            asked = [self._ask_back(*query) for query in queries]
            found = self._store.query_all(*(query for _, query in asked))
        return [answered(rows, by) for (by, _), rows in zip(asked, found, strict=True)]

    def stream(self, sql: str, params: Params) -> Generator[list[Row]]:
        """As `Store.stream`. Raises `WrongAnswer` in the middle, too."""
        with self._store.asking():
            asked_by, query = self._ask_back(sql, params)
            with closing(self._store.stream(*query)) as blocks:
                for rows in blocks:
                    yield answered(rows, asked_by)

    def _ask_back(self, sql: str, params: Params) -> tuple[str, Query]:
        if params.get("project_id", self._project_id) != self._project_id:
            raise WrongAnswer("A question to one project was about to be asked of another.")
        if self._store.cluster:
            sql = on_shards(sql, *self._store.cluster)
        if self._store.reads_once:
            sql = read_once(sql)
        asked_by = f"{self._project_id} {next(_numbers)}"
        start = SELECT.match(sql)
        assert start, sql
        sql = f"{start[0]} {ASKED},{sql[start.end() :]}"
        return asked_by, (sql, {**params, "asked_by": asked_by})


def answered(rows: list[Row], asked_by: str) -> list[Row]:
    """The rows without their column `asked_by`. Raises `WrongAnswer` if that says otherwise."""
    for row in rows:
        if row.pop("asked_by", None) != asked_by:
            raise WrongAnswer("The store gave the answer to another question.")
    return rows


def of_project(rows: Sequence[Mapping[str, object]], project_id: object) -> None:
    """Rows that carry events say whose these are. Raises `WrongAnswer`."""
    if any(row["project_id"] != project_id for row in rows):
        raise WrongAnswer("The store gave events of another project.")
