import pytest

from threadline.control import Control
from threadline.control.on_sqlite import SqliteDatabase

# A test that is one of both databases: see `each_database` in conftest.
both = pytest.mark.usefixtures("each_database")


def connection(control: Control) -> SqliteDatabase:
    """The one that writes, of a `control.db`."""
    assert isinstance(control._db, SqliteDatabase)
    return control._db
