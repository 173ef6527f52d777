"""What a store is told and what it answers."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from threadline.contract.times import format_ms

Params = Mapping[str, object]
Query = tuple[str, Params]
Row = dict[str, Any]


class Deletion(NamedTuple):
    """One the engine has under way; `node`: of a cluster, counted from 0."""

    table: str
    mutation_id: str
    node: int = 0


class Statements(Protocol):
    """What identity needs of a store, wherever that is open."""

    @property
    def nodes(self) -> "Sequence[Statements]":
        """As `Store.nodes`."""
        ...

    def query(self, sql: str, params: Params) -> list[Row]: ...

    def look(self, sql: str, params: Params) -> list[Row]:
        """As `query`, of what is there now: nobody waits for what was acknowledged before."""
        ...

    def execute(self, sql: str, params: Params | None = None) -> None: ...

    def insert(
        self, table: str, columns: Sequence[str], format: str, body: bytes, token: str
    ) -> None: ...


def bound_ms(ms: int) -> str:
    """Milliseconds since 1970 as the text that a `DateTime64(3, 'UTC')` parameter takes."""
    return format_ms(ms).replace("T", " ").removesuffix("Z")
