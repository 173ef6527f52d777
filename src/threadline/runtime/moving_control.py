"""Moving the control plane of a data folder from one database into another."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from threadline.control.address import is_postgres, without_password
from threadline.control.copying import copy
from threadline.control.database import Database
from threadline.control.errors import ControlError
from threadline.control.on_sqlite import FILE, MOVED, SqliteDatabase
from threadline.control.opened import open_database
from threadline.control.pepper import pepper_problem
from threadline.ingest.undoing import id_key


class MovedTables(NamedTuple):
    """`rows`: of each table. `aside`: where the file is that nothing uses any more, if it was one.
    `forgets_ids`: event_ids that came before are not known any more."""

    rows: dict[str, int]
    aside: Path | None
    forgets_ids: bool


def move(folder: Path, source: str, target: str) -> MovedTables:
    """Each as THREADLINE_CONTROL names it. No server may run. A file is put aside once all of it is
    in PostgreSQL: keys that were revoked there would still work here. Raises `ControlError` and
    `SchemaError`."""
    if source == target:
        raise ControlError(f"FROM and TO are the same, {without_password(source)}.")
    path = folder / FILE
    with (
        closing(open_database(folder, source, create=False)) as have,
        _opened(folder, target) as to,
    ):
        with have.reading() as statements:
            problem = pepper_problem(folder, statements, have.pepper_way_out)
        if problem:
            raise ControlError(problem)
        key = have.event_id_key()
        if key is None and (folder / "log.db").exists():
            key = id_key(folder, None)
        rows = copy(have, to, key)
        forgets_ids = have.is_shared and not to.is_shared
    if not is_postgres(source):
        path.rename(folder / MOVED)
        return MovedTables(rows, folder / MOVED, forgets_ids)
    return MovedTables(rows, None, forgets_ids)


@contextmanager
def _opened(folder: Path, target: str) -> Iterator[Database]:
    if is_postgres(target):
        database = open_database(folder, target)
    else:
        database = SqliteDatabase(folder, create=True, anew=True)
    with closing(database):
        yield database
