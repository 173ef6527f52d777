"""Threadlines that write into one store: a real PostgreSQL, and a real ClickHouse."""

import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.clickhouse_cluster import ClickHouse
from tests.postgres import Postgres
from tests.support import Project, Server

Start = Callable[..., Server]


@pytest.fixture(scope="module")
def clickhouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouse]:
    with ClickHouse(tmp_path_factory.mktemp("clickhouse")) as running:
        yield running.start()


@pytest.fixture
def store_url(clickhouse: ClickHouse) -> str:
    return clickhouse.url(f"threadline_{uuid.uuid4().hex}")


@pytest.fixture
def postgres_database(postgres: Postgres) -> str:
    """Another one than `control_url`."""
    return postgres.database()


@pytest.fixture
def start(tmp_path: Path, control_url: str, store_url: str) -> Iterator[Start]:
    """Start the node of this name: the first one makes the pepper, which all others have."""
    environ = {"THREADLINE_CONTROL": control_url, "THREADLINE_STORE": store_url}
    with ExitStack() as running:

        def begin(name: str, **more: str) -> Server:
            folder = tmp_path / name
            peppers = [*tmp_path.glob("*/pepper")]
            if peppers and not (folder / "pepper").exists():
                folder.mkdir(exist_ok=True)
                shutil.copy2(peppers[0], folder / "pepper")
            return running.enter_context(Server(folder, **{**environ, **more}))

        yield begin


@pytest.fixture
def two(start: Start) -> tuple[Server, Server, Project, Project]:
    """Two nodes, and the same project on each."""
    one, other = start("one"), start("other")
    here = Project(one)
    there = here.again(other)
    return one, other, here, there
