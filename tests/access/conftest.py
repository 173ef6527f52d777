"""One server for all tests of who may see what; it has an owner, so that others can be added."""

from collections.abc import Iterator

import pytest

from tests.access.browser import Browser, add, signed_in
from tests.support import Project, Server


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(
        tmp_path_factory.mktemp("house"), THREADLINE_CLIENT_ADDRESS_HEADER="X-Client"
    ) as running:
        add(running, "owner", "first@people.example")
        yield running
        assert running.stop() == 0
        failures = [line for line in running.lines if '"error"' in line]
        assert not failures, failures


@pytest.fixture
def shop(house: Server) -> Project:
    return Project(house)


@pytest.fixture
def owner(house: Server, shop: Project) -> Browser:
    return signed_in(house, shop, "owner")


@pytest.fixture
def editor(house: Server, shop: Project) -> Browser:
    return signed_in(house, shop, "editor")


@pytest.fixture
def viewer(house: Server, shop: Project) -> Browser:
    return signed_in(house, shop, "viewer")
