"""Visits that are kept in memory are those that follow from the half hours, whatever happens in
between."""

from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.clickhouse_cluster import ClickHouse
from tests.identity.test_kept import do, event, insert, steps
from tests.width import EXAMPLES, wide
from threadline.identity import large_tables
from threadline.identity.kept import Keeper
from threadline.identity.large_tables import LargeKeeper
from threadline.identity.resolution import Policy
from threadline.identity.visits import Wanted
from threadline.questions.context import Context
from threadline.questions.filters import read_filters
from threadline.store import Store, store_url

WANTED = Wanted(("events", "page_views", "actions", "arrival", "arrivals"))
VISITS = """
SELECT groupArray((person, device, started, ended, resumed, events, page_views, actions, arrival,
    arrivals)) AS visits
FROM (
    SELECT *
    FROM visits
    ORDER BY person, device, started
)"""
TOUCHES = """
SELECT groupArray((person, touches)) AS touched
FROM (
    SELECT *
    FROM touches
    ORDER BY person
)"""
MINUTE = 60_000
POLICIES: tuple[Policy, ...] = ("first", "next", "last", "none")

_projects = count(1)


def keeping(store: Store) -> Keeper:
    """One that has made what it keeps when it says so."""
    return Keeper(store, beside=lambda work: work())


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with Store(store_url("chdb", tmp_path_factory.mktemp("kept visits"))) as opened:
        yield opened


@pytest.fixture(autouse=True, scope="module")
def of_any_size() -> Iterator[None]:
    """Also those of few events, as often as they change."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(large_tables, "FEWEST", 0)
        patch.setattr(large_tables, "AGAIN_S", 0.0)
        yield


def some(turn: int) -> Sequence[Policy]:
    """Two policies, with the next turn others; in a wide run all."""
    return wide((*POLICIES, *POLICIES)[turn % 4 :][:2], POLICIES)


def said(
    store: Store,
    project: str,
    keeper: Keeper | None,
    bots: bool = False,
    filters: str = "",
    policies: Sequence[Policy] = POLICIES,
) -> list[Any]:
    found = []
    for policy in policies:
        context = Context(
            store,
            project,
            policy,
            bots=bots,
            keeper=keeper,
            filters=read_filters(filters),
        )
        asked = [context.query(sql, visits=WANTED) for sql in (VISITS, TOUCHES)]
        if keeper:
            assert all("{older_visits:" in sql for sql, _ in asked) == (policy != "none")
        found += [store.query(*each) for each in asked]
    return found


@settings(max_examples=2 * EXAMPLES)
@given(steps=steps, bots=st.booleans())
def test_they_are_those_of_the_half_hours_after_every_step(
    store: Store, steps: list[Any], bots: bool
) -> None:
    project, keeper = f"project {next(_projects)}", keeping(store)
    for turn, step in enumerate(steps):
        do(store, project, step)
        of: dict[str, Any] = {"bots": bots, "policies": some(turn)}
        assert said(store, project, keeper, **of) == said(store, project, None, **of), step


@settings(max_examples=EXAMPLES)
@given(events=st.lists(event, min_size=1, max_size=12))
def test_they_are_narrowed_as_others_are(store: Store, events: list[Any]) -> None:
    project, keeper = f"project {next(_projects)}", keeping(store)
    insert(store, project, *events)
    narrowing = ("known==true", "first.source==direct", "visit.source==direct", "devices>1")
    for turn, filters in enumerate(narrowing):
        of: dict[str, Any] = {"filters": filters, "policies": some(turn)}
        assert said(store, project, keeper, **of) == said(store, project, None, **of), filters


def test_what_changed_is_looked_at_alone(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    project, keeper = "looked", keeping(store)
    made: list[object] = []
    make = LargeKeeper._made

    def counting(self: LargeKeeper, *given: Any) -> Any:
        made.append(len(given[1]) if len(given) > 1 else "all")
        return make(self, *given)

    monkeypatch.setattr(LargeKeeper, "_made", counting)

    def asked() -> list[object]:
        made.clear()
        assert said(store, project, keeper) == said(store, project, None)
        return made.copy()

    insert(store, project, ("phone", "ada", 1, False), ("laptop", "bob", 2, False))
    assert asked() == ["all", 0]
    insert(store, "another", ("phone", "ada", 3, False))
    assert asked() == []
    insert(store, project, ("phone", None, 4000, False))
    assert asked() == [1]
    insert(store, project, ("laptop", "ada", 5, False), ("till", None, 5, False))
    assert asked() == [3], "one of them goes from hand to hand now"
    monkeypatch.setattr(large_tables, "MOST_NEWER", 3)
    insert(store, project, ("kiosk", None, 5, False))
    assert asked() == ["all", 0]
    do(store, project, ("alias", "ada", "bob"))
    assert asked() == ["all", 0]


def test_as_many_are_kept_as_there_is_room_for(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(large_tables, "MOST", 3)
    keeper = keeping(store)

    def is_kept(project: str) -> bool:
        context = Context(store, project, "next", keeper=keeper)
        return "{older_visits:" in context.query(VISITS, visits=WANTED)[0]

    for project in ("one", "other"):
        insert(store, project, ("phone", "ada", 1, False), ("laptop", "bob", 2, False))
    assert is_kept("one")
    assert not is_kept("other")
    keeper.let_go("one")
    assert is_kept("other")
    monkeypatch.setattr(large_tables, "FEWEST", 3)
    assert not is_kept("one")


def test_they_are_not_made_all_the_time(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where rows go, nothing is known of what was kept. Answers do not wait for it."""
    now = [0.0]
    monkeypatch.setattr(large_tables, "AGAIN_S", 60.0)
    monkeypatch.setattr(large_tables, "monotonic", lambda: now[0])
    project, keeper = "often", keeping(store)

    def is_kept() -> bool:
        context = Context(store, project, "next", keeper=keeper)
        sql, values = context.query(VISITS, visits=WANTED)
        plain = Context(store, project, "next").ask(VISITS, visits=WANTED)
        assert store.query(sql, values) == plain
        return "{older_visits:" in sql

    insert(store, project, ("phone", "ada", 1, False), ("laptop", "bob", 2, False))
    assert is_kept()
    do(store, project, ("delete", "phone", ""))
    now[0] = 59.0
    assert not is_kept()
    insert(store, project, ("till", None, 9, False))
    now[0] = 61.0
    assert is_kept()


def test_a_server_that_was_started_again_has_them_no_more(tmp_path: Path) -> None:
    with ClickHouse(tmp_path) as server, Store(server.start().url("kept_visits")) as store:
        keeper = keeping(store)
        insert(store, "served", ("phone", "ada", 1, False), ("kiosk", "ada", 2, False))
        insert(store, "served", ("kiosk", "bob", 9, False), ("till", None, 9, False))
        assert said(store, "served", keeper, policies=some(1)) == said(
            store, "served", None, policies=some(1)
        )
        insert(store, "served", ("till", "cy", 4000, False), ("phone", None, 4000, False))
        assert said(store, "served", keeper, policies=some(1)) == said(
            store, "served", None, policies=some(1)
        )
        server.kill()
        server.start()
        assert said(store, "served", keeper, policies=some(1)) == said(
            store, "served", None, policies=some(1)
        )
