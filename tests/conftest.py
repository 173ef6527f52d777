import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests import forked, in_memory
from tests.e2e.launching import launch, playwright, windowed_path
from tests.postgres import Postgres
from tests.support import Project, Server

__all__ = ["launch", "playwright", "windowed_path"]

# What tests make in a data folder themselves is as private as what commands make.
os.umask(0o077)

# Before anything asks where temporary files go.
in_memory.use_memory()

# Modules of tests are rewritten for what they assert. Where nothing is kept of that, each process
# that tests does it again for all of them, which takes ten seconds.
sys.dont_write_bytecode = False

# In the background this may be ignored, and programs that tests start would inherit it.
signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile(
    "default",
    deadline=None,
    derandomize=True,
    print_blob=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("default")


# Tests that take longest begin first, or all wait for the last of them in the end.
LONGEST = (
    "tests/visits/",
    "tests/accounts/test_random.py",
    "tests/identity/test_states.py",
    "tests/ingest/test_reclassify.py",
    "tests/cli/test_migrate_store.py",
    "tests/store/test_cluster.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not item.nodeid.startswith(LONGEST))


def pytest_sessionfinish() -> None:
    forked.stop()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests that do not stop it; each test takes a project of its own."""
    with Server(tmp_path_factory.mktemp("server")) as running:
        yield running
        assert running.stop() == 0
        failures = [line for line in running.lines if '"error"' in line]
        assert not failures, failures


@pytest.fixture
def project(server: Server) -> Project:
    return Project(server)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One for all tests of a process; each takes databases of its own."""
    with Postgres() as running:
        yield running


@pytest.fixture
def control_url(postgres: Postgres) -> str:
    """Of a new database."""
    return postgres.database()
