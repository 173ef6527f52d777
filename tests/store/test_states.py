"""A state is defined once: its table, its view, what a check compares and what questions read with
`as_of` say the same."""

import json
from collections.abc import Iterator

import pytest

from tests.dying import wrong
from tests.store.older import EXPECTED, unpack
from threadline.contract.times import parse_ms
from threadline.store import Store, bound_ms, store_url
from threadline.store.derived import State
from threadline.store.states import STATES, relation

COPY = "copy of "
FIELDS = (
    "timestamp, event_id, event_name, anonymous_id, anonymous_id_generated, user_id, source,"
    " medium, campaign, channel, source_rule_id, path, is_bot, properties"
)
RECEIVED = "e.received_at <= {at:DateTime64(3, 'UTC')}"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    folder = unpack(tmp_path_factory.mktemp("older"))
    with Store(store_url("chdb", folder)) as store:
        # An interrupted rebuild left it without some rows.
        store.execute(
            "INSERT INTO traffic_sources (project_id, source, medium, campaign)"
            " SELECT DISTINCT project_id, source, medium, campaign FROM events"
        )
        # That version's events say no accounts, and no traits.
        copied = "project_id, received_at, " + FIELDS
        said = "concat('{\"account_id\": \"', substring(e.anonymous_id, 1, 2), '\"}')"
        name = "if(e.user_id IS NULL, e.event_name, '$identify')"
        saying = FIELDS.replace("properties", said).replace("event_name", name)
        store.execute(
            f"INSERT INTO events ({copied})"
            f" SELECT concat('accounts of ', e.project_id), e.received_at, {saying}"
            " FROM events AS e"
        )
        store.execute(
            f"INSERT INTO events ({copied})"
            f" SELECT concat('{COPY}', e.project_id), e.received_at, {FIELDS}"
            f" FROM events AS e WHERE {RECEIVED}",
            {"at": bound_ms(middle(store))},
        )
        yield store


def rows(store: Store, state: State, source: str, at_ms: int = 0) -> list[list[object]]:
    """Of a state's relation, a row for each key."""
    compared = ", ".join(f"{value.function}(s.{value.name})" for value in state.values)
    sql = f"SELECT {state.key_columns}, {compared} FROM {source} AS s GROUP BY {state.key_columns}"
    found = store.query(f"SELECT * FROM ({sql}) ORDER BY ALL", {"at": bound_ms(at_ms)})
    return [list(row.values()) for row in found]


def middle(store: Store) -> int:
    """Since 1970, when half of the events had been received."""
    sql = f"""
        SELECT toUnixTimestamp64Milli(quantileExact(received_at)) AS ms FROM events
        WHERE NOT startsWith(project_id, '{COPY}')"""
    return int(store.query(sql, {})[0]["ms"])


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.table)
def test_the_relation_of_all_events_is_the_table(store: Store, state: State) -> None:
    assert wrong(store) == set()
    everything = rows(store, state, state.table)
    assert len(everything) > 10
    assert rows(store, state, f"({relation(state.table, 'TRUE')})") == everything
    assert rows(store, state, f"({relation(state.table, RECEIVED)})", 10**13) == everything


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.table)
def test_the_relation_of_some_events_is_what_the_view_makes_of_them(
    store: Store, state: State
) -> None:
    """Copies, in projects of their own, of the events that had been received by the middle."""
    original = f"{RECEIVED} AND NOT startsWith(e.project_id, '{COPY}')"
    expected = rows(store, state, f"({relation(state.table, original)})", middle(store))
    assert 1 < len(expected) < len(rows(store, state, state.table))
    copies = f"(SELECT * FROM {state.table} WHERE startsWith(project_id, '{COPY}'))"
    found = rows(store, state, copies)
    assert [[str(row[0]).removeprefix(COPY), *row[1:]] for row in found] == expected


def test_answers_as_of_a_time_say_the_same(store: Store) -> None:
    """Since when users are known, as schema 12 answered it: before anybody was an alias, but after
    it carried out the request to forget that was waiting, and wrote the dead letter."""
    asked = "/v1/users?limit=100&stitch=first&as_of="
    (answer,) = (answer for answer in EXPECTED["answers"] if answer["path"].startswith(asked))
    (project, *_) = store.query(
        "SELECT project_id, count() AS n FROM events GROUP BY 1 ORDER BY n DESC", {}
    )
    received = f"e.project_id = {{project_id:String}} AND NOT e.is_bot AND {RECEIVED}"
    found = store.query(
        "SELECT user_id, toUnixTimestamp64Milli(first_touch.timestamp) AS since"
        f" FROM ({relation('user_touches', received)}) WHERE user_id != 'user4'",
        {
            "project_id": project["project_id"],
            "at": bound_ms(parse_ms(answer["path"].removeprefix(asked))),
        },
    )
    rows = json.loads(answer["body"])["rows"]
    known = {row["user_id"]: parse_ms(row["known_since"]) for row in rows}
    assert known.pop("dead1")
    assert {row["user_id"]: row["since"] for row in found} == known
    assert len(known) > 3
