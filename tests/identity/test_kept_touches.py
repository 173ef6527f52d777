"""First touches that are kept in memory are those that follow from the states, whatever happens in
between."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.clickhouse_cluster import ClickHouse
from tests.identity.test_kept import do, event, insert, steps
from tests.width import EXAMPLES
from threadline.identity import large_tables
from threadline.identity.kept import Keeper
from threadline.identity.large_tables import LargeKeeper
from threadline.questions.context import Context
from threadline.questions.filters import read_filters
from threadline.store import Store, store_url

# Each relation, all of its columns.
ASKED = [
    f"""
SELECT groupArray(({columns})) AS found
FROM (
    SELECT *
    FROM {relation}
    ORDER BY 1, 2
)"""
    for relation, columns in {
        "first_touches": "user_id, first_touch, known_since",
        "first_touch_times": "user_id, first_touched_at, known_since",
        "first_events": "person, first_touch",
        "nobodys_touches": "person, first_touch",
    }.items()
]

_projects = count(1)


def keeping(store: Store) -> Keeper:
    """One that has made what it keeps when it says so."""
    return Keeper(store, beside=lambda work: work())


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with Store(store_url("chdb", tmp_path_factory.mktemp("kept touches"))) as opened:
        yield opened


@pytest.fixture(autouse=True, scope="module")
def of_any_size() -> Iterator[None]:
    """Also those of few people, as often as they change."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(large_tables, "FEWEST", 0)
        patch.setattr(large_tables, "AGAIN_S", 0.0)
        yield


def said(
    store: Store, project: str, keeper: Keeper | None, bots: bool = False, filters: str = ""
) -> list[Any]:
    found = []
    for policy in ("first", "next", "last", "none"):
        context = Context(
            store,
            project,
            policy,
            bots=bots,
            keeper=keeper,
            filters=read_filters(filters),
        )
        asked = [context.query(sql) for sql in ASKED]
        if keeper:
            assert all("{older_touches:" in sql for sql, _ in asked) == (policy != "none")
        found += [store.query(*each) for each in asked]
    return found


@settings(max_examples=2 * EXAMPLES)
@given(steps=steps, bots=st.booleans())
def test_they_are_those_of_the_states_after_every_step(
    store: Store, steps: list[Any], bots: bool
) -> None:
    project, keeper = f"project {next(_projects)}", keeping(store)
    for step in steps:
        do(store, project, step)
        assert said(store, project, keeper, bots) == said(store, project, None, bots), step


@settings(max_examples=EXAMPLES)
@given(events=st.lists(event, min_size=1, max_size=12))
def test_they_are_narrowed_as_others_are(store: Store, events: list[Any]) -> None:
    project, keeper = f"project {next(_projects)}", keeping(store)
    insert(store, project, *events)
    for filters in ("known==true", "first.source==direct", "devices>1"):
        narrowed = said(store, project, keeper, filters=filters)
        assert narrowed == said(store, project, None, filters=filters), filters


def test_people_of_what_changed_are_looked_at_alone(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, keeper = "looked", keeping(store)
    made: list[object] = []
    make = LargeKeeper._made

    def counting(self: LargeKeeper, *given: Any) -> Any:
        made.append(len(given[1]) if len(given) > 1 else "all")
        return make(self, *given)

    monkeypatch.setattr(LargeKeeper, "_made", counting)

    def asked() -> list[object]:
        """Of one of the policies; the others keep their own."""
        found = Context(store, project, "last", keeper=keeper).ask(ASKED[2])
        assert found == Context(store, project, "last").ask(ASKED[2])
        done = made.copy()
        made.clear()
        return done

    insert(store, project, ("phone", "ada", 10, False), ("laptop", "bob", 20, False))
    assert asked() == ["all", 0]
    insert(store, "another", ("phone", "ada", 3, False))
    assert asked() == []
    insert(store, project, ("till", None, 4000, False))
    assert asked() == [1]
    insert(store, project, ("phone", None, 5, False))
    assert asked() == [3], "the till, the phone and who was seen there"
    do(store, project, ("unlink", "phone", "ada"))
    assert asked() == ["all", 0]
    insert(store, project, ("phone", "ada", 1, False))
    assert asked() == [2], "what she says there herself is hers"
    insert(store, project, ("", "bob", 2, False))
    assert asked() == [3], "without a device"


def test_what_the_states_lose_is_noticed(store: Store) -> None:
    """Reclassifying and forgetting write the states of touches alone, too."""
    project, keeper = "lost", keeping(store)
    insert(store, project, ("phone", None, 1, False), ("till", None, 2, False))
    assert len(said(store, project, keeper)) == len(said(store, project, None))
    store.delete("visitor_touches", "visitor = sipHash64('till')", {})
    assert said(store, project, keeper) == said(store, project, None)


def test_a_server_that_was_started_again_has_them_no_more(tmp_path: Path) -> None:
    with ClickHouse(tmp_path) as server, Store(server.start().url("kept_touches")) as store:
        keeper = keeping(store)
        insert(store, "served", ("phone", "ada", 1, False), ("kiosk", "ada", 2, False))
        insert(store, "served", ("kiosk", "bob", 9, False), ("till", None, 9, False))
        assert said(store, "served", keeper) == said(store, "served", None)
        insert(store, "served", ("till", "cy", 4000, False), ("phone", None, 0, False))
        assert said(store, "served", keeper) == said(store, "served", None)
        server.kill()
        server.start()
        assert said(store, "served", keeper) == said(store, "served", None)
