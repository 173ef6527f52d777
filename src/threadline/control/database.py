"""What the control plane is kept in, behind one interface: `control.db` or PostgreSQL.

All statements are written once, in what SQLite and PostgreSQL both understand, with `?` for values.
What only one of them has is in `on_sqlite` and `on_postgres`.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol


class Conflict(Exception):
    """There is a row already that there may be one of, or none that is referred to."""


class Result(Protocol):
    """What a statement found, or how many rows it changed."""

    @property
    def rowcount(self) -> int: ...
    @property
    def description(self) -> Sequence[Any] | None: ...
    def fetchone(self) -> Any: ...
    def fetchall(self) -> list[Any]: ...
    def __iter__(self) -> Iterator[Any]: ...


class ControlStatements(Protocol):
    """Where statements are run. Raises `Conflict`."""

    def execute(self, sql: str, values: Sequence[Any] = (), /) -> Result: ...
    def executemany(self, sql: str, rows: Sequence[Sequence[Any]], /) -> object: ...


class Database(Protocol):
    """A control plane that is open, with its newest schema. Whatever cannot be done now, and may
    be later, raises `ControlFileError`, which says what to do.

    `name`: what sentences call it, without a password. `Error`: what its library raises.
    `look_every_s`: how old what is known may be. `is_shared`: folders of several machines use it,
    so that asking it takes time. `pepper_way_out`: what to do in a folder that has not the pepper
    that goes with the keys.
    """

    name: str
    Error: type[Exception]
    look_every_s: float
    is_shared: bool
    pepper_way_out: str

    def version(self) -> int:
        """Another number than before: somebody has committed since."""

    def reading(self) -> AbstractContextManager[ControlStatements]:
        """Everything as it is at one moment. One thread at a time."""

    def writing(self) -> AbstractContextManager[ControlStatements]:
        """One transaction: all of it, or after any error nothing. Nobody else writes meanwhile, so
        what is read in it is what it was. One thread at a time."""

    def write_at_once(self, step: Callable[[ControlStatements], None]) -> bool:
        """A transaction on a request's way: only where that waits for nobody. Whether it was."""

    def never_wait(self) -> None:
        """From now on whoever reads is told where that would have to wait."""

    def erase_deleted(self) -> bool:
        """Overwrite what was deleted, as far as that is ours to do; whether something is left."""

    def event_id_key(self) -> int | None:
        """What hashes of event_ids are made with on every node; None: each log has its own."""

    def set_event_id_key(self, db: ControlStatements, key: int) -> None:
        """Inside a transaction, of a control plane that is new: ids that a log knew stay known."""

    def close(self) -> None: ...


# All tables, those first that others refer to.
TABLES = (
    "projects",
    "members",
    "deleted_projects",
    "origins",
    "sites",
    "keys",
    "pepper",
    "salts",
    "clock",
    "placeholder_ids",
    "segments",
    "goals",
    "annotations",
    "sessions",
    "one_time_links",
    "share_links",
    "insights",
    "boards",
)
