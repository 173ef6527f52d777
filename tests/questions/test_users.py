"""The list of users: search, order, columns and filters."""

import csv
import io
import json
from typing import Any

import pytest

from tests.support import Json, Project, Server

# Eva is known last and was seen last; Ümit has the same device as she; Bob paid most.
LOG: list[Json] = [
    {"event": "$pageview", "a": "phone", "t": "01T10:00", "source": "facebook"},
    {"event": "$identify", "a": "phone", "u": "u-1", "t": "02T10:00",
     "p": {"email": "Ada@Example.com", "plan": "free"}},
    {"event": "$identify", "a": "phone", "u": "u-1", "t": "03T10:00", "p": {"plan": "pro \"x\""}},
    {"event": "purchase", "a": "phone", "u": "u-1", "t": "04T10:00", "p": {"value": 10}},
    {"event": "$pageview", "a": "laptop", "t": "01T09:00", "source": "google"},
    {"event": "$identify", "a": "laptop", "u": "bob", "t": "05T10:00", "p": {"email": "bob@x.org"}},
    {"event": "purchase", "a": "laptop", "u": "bob", "t": "05T11:00", "p": {"value": 7.5}},
    {"event": "purchase", "a": "laptop", "u": "bob", "t": "05T12:00", "p": {"value": 7.5}},
    {"event": "purchase", "a": "laptop", "u": "bob", "t": "05T13:00",
     "p": {"value": 1, "currency": "USD"}},
    {"event": "$pageview", "a": "laptop", "t": "20T10:00"},
    {"event": "$identify", "a": "kiosk", "u": "Ümit", "t": "06T10:00", "p": {"city": "Köln"}},
    {"event": "$identify", "a": "kiosk", "u": "eva", "t": "07T10:00",
     "p": {"city": "Ulm", "age": 33}},
    {"event": "$pageview", "a": "kiosk", "t": "08T10:00"},
]  # fmt: skip


@pytest.fixture(scope="module")
def shop(server: Server) -> Project:
    project = Project(server)
    project.batch(
        [
            {
                "event": row["event"],
                "anonymous_id": row["a"],
                "user_id": row.get("u"),
                "timestamp": f"2026-05-{row['t']}:00Z",
                "url": f"https://shop.example/?utm_source={row['source']}&utm_medium=x"
                if "source" in row
                else "https://shop.example/",
                "properties": row.get("p", {}),
            }
            for row in LOG
        ]
    )
    return project


def found(project: Project, **params: Any) -> list[str]:
    """Page by page."""
    return [row["user_id"] for row in project.pages("/v1/users", limit=2, **params)]


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        ("bob", ["bob"]),
        ("BOB@X", ["bob"]),
        ("u-", ["u-1"]),
        ("example.COM", ["u-1"]),
        ("kÖLN", ["Ümit"]),
        ("ümi", ["Ümit"]),
        ("33", ["eva"]),
        ('pro "x', ["u-1"]),
        ("free", []),  # which she was
        ("plan", []),  # is the name of a trait
        ("%", []),
        ("a", ["eva", "u-1"]),
        ("nobody", []),
    ],
)
def test_a_search_looks_at_ids_and_at_traits_as_they_are(
    shop: Project, search: str, expected: list[str]
) -> None:
    assert sorted(found(shop, search=search)) == expected


def test_a_search_finds_who_has_another_id_now(server: Server) -> None:
    project = Project(server)
    project.track("$identify", anonymous_id="a", user_id="old", properties={"email": "x@y.org"})
    project.track("$identify", anonymous_id="b", user_id="new", properties={"name": "Zoe"})
    joined = project.change("PUT", "/v1/identity/aliases", {"user_id": "old", "alias_of": "new"})
    assert joined.status == 200
    assert found(project, search="x@y") == found(project, search="zoe") == ["new"]


def test_a_search_says_who_of_everybody_it_is_under_every_policy(shop: Project) -> None:
    """The devices of few are looked up; their touches are those of the whole list."""
    for more in (
        {},
        {"order": "last_seen"},
        {"as_of": "2026-06-01T00:00:00Z"},
        {"source": "google"},
    ):
        for stitch in ("any", "next"):
            given = {"stitch": stitch, "include_bots": "true", **more}
            listed = shop.ask("/v1/users", limit=100, **given)["rows"]
            searched = shop.ask("/v1/users", limit=100, search="u", **given)["rows"]
            # Eva is from Ulm.
            assert searched == [row for row in listed if row["user_id"] in ("u-1", "eva")]


def test_a_search_that_finds_many_gives_all_of_them(project: Project) -> None:
    """More than are named one by one (`user_list.MANY`)."""
    for first in (1, 1001):
        project.batch([_bulk(n) for n in range(first, min(first + 1000, 1102))])
    for order in ("-known_since", "first_seen"):
        rows = project.pages("/v1/users", limit=1000, search="acme", order=order)
        assert len({row["user_id"] for row in rows}) == len(rows) == 1101
    few = project.pages("/v1/users", limit=2, search="acme", filters="traits.plan==pro")
    assert [row["user_id"] for row in few] == [f"user {n:02}00" for n in range(11, 0, -1)]


def _bulk(n: int) -> Json:
    return {
        "event": "$identify",
        "anonymous_id": f"device {n}",
        "user_id": f"user {n:04}",
        "timestamp": f"2026-05-01T00:{n // 60 % 60:02}:{n % 60:02}Z",
        "properties": {"plan": "pro" if n % 100 == 0 else "free", "of": "Acme"},
    }


def test_what_somebody_said_is_forgotten_with_the_device_they_said_it_on(project: Project) -> None:
    for day, device, traits in (
        (1, "laptop", {"plan": "pro", "phone": "555"}),
        (2, "old phone", {"plan": "free"}),
    ):
        at = f"2026-05-0{day}T00:00:00Z"
        about = {"user_id": "bob", "timestamp": at, "properties": traits}
        project.track("$identify", anonymous_id=device, **about)
    assert found(project, search="free") == ["bob"]
    assert project.post("/v1/forget", {"anonymous_id": "old phone"}).status == 200
    assert found(project, search="free") == []
    assert found(project, filters="traits.plan==pro") == found(project, search="555") == ["bob"]


def test_what_was_said_once_stays_beside_what_is_said_on_every_page(project: Project) -> None:
    """Browsers say who it is again and again: of each trait the last counts, however long ago."""
    said: list[Json] = [
        {"properties": {"plan": "pro", "seats": 7, "pages": 0}, "timestamp": "2026-05-01T00:00Z"},
        {"properties": {"score": 1.50, "big": 10**30}, "timestamp": "2026-05-01T00:01Z"},
        {"properties": {"plan": "free"}, "timestamp": "2026-05-01T00:02Z"},
    ]
    said += [
        {
            "properties": {"pages": page},
            "timestamp": f"2026-05-02T0{page // 60 % 10}:{page % 60:02}Z",
        }
        for page in range(1, 600)
    ] * 2
    about = {"event": "$identify", "anonymous_id": "laptop", "user_id": "dan"}
    of = [{**about, "event_id": f"i{number}", **each} for number, each in enumerate(said)]
    for first in range(0, len(of), 1000):
        project.batch(of[first : first + 1000])
    traits = project.ask("/v1/users/dan")["traits"]
    assert traits == {"plan": "free", "seats": 7, "pages": 599, "score": 1.5, "big": 10**30}


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("known_since", ["u-1", "bob", "Ümit", "eva"]),
        ("first_seen", ["bob", "u-1", "Ümit", "eva"]),
        ("last_seen", ["u-1", "Ümit", "eva", "bob"]),
        ("value", ["eva", "Ümit", "u-1", "bob"]),
    ],
)
def test_orders_go_both_ways(shop: Project, order: str, expected: list[str]) -> None:
    on: Json = {"stitch": "next"}
    if order == "value":
        on |= {"conversion": "purchase", "value_property": "value"}
    assert found(shop, order=order, **on) == expected
    backwards = expected[::-1]
    if order == "value":
        backwards = ["bob", "u-1", "eva", "Ümit"]  # who paid nothing, by id
    assert found(shop, order=f"-{order}", **on) == backwards


@pytest.mark.parametrize("policy", ["any", "first", "next", "last", "none"])
def test_last_seen_is_the_last_event_that_is_theirs(shop: Project, policy: str) -> None:
    rows = shop.ask("/v1/users", columns="user_id,last_seen", stitch=policy)["rows"]
    for row in rows:
        last = shop.journey(row["user_id"], stitch=policy)[-1]
        assert row["last_seen"] == last["timestamp"], row


def test_columns_of_choice(shop: Project) -> None:
    columns = "user_id,traits.plan,traits.age,first.source,last.source,devices,value,known"
    on = {"conversion": "purchase", "value_property": "value", "stitch": "next"}
    rows = shop.ask("/v1/users", columns=columns, order="known_since", **on)["rows"]
    assert list(rows[0]) == columns.split(",")
    assert [list(row.values()) for row in rows] == [
        ["u-1", 'pro "x"', None, "facebook", "direct", 1, {"none": 10.0}, True],
        ["bob", None, None, "google", "direct", 1, {"USD": 1.0, "none": 15.0}, True],
        ["Ümit", None, None, "direct", "direct", 1, {}, True],
        ["eva", None, "33", "direct", "direct", 1, {}, True],
    ]
    body = shop.get("/v1/users", columns=columns, format="csv", **on).body.decode()
    table = list(csv.DictReader(io.StringIO(body)))
    assert table[0]["user_id"] == "eva"
    assert table[0]["traits.age"] == "33"
    assert list(table[0])[6:] == ["value.USD", "value.none", "known"]
    assert [row["value.none"] for row in table] == ["", "", "15.0", "10.0"]
    empty = shop.get("/v1/users", columns="user_id,traits.plan", format="csv", search="nobody")
    assert empty.body == b"user_id,traits.plan\r\n"


def test_what_an_order_needs_is_shown(shop: Project) -> None:
    row = shop.ask("/v1/users", order="-last_seen", stitch="next")["rows"][0]
    assert row["last_seen"] == "2026-05-20T10:00:00.000Z"
    assert "last_seen" not in shop.ask("/v1/users")["rows"][0]
    answer = shop.ask(
        "/v1/users", order="-value", conversion="purchase", value_property="value", limit=1
    )
    assert [warning["code"] for warning in answer["warnings"]] == ["several_currencies"]


def test_filters_are_of_people(shop: Project) -> None:
    assert found(shop, filters="traits.plan=@pro") == ["u-1"]
    assert found(shop, filters="did(,2)==purchase", order="last_seen") == ["bob"]
    assert found(shop, filters="did!=purchase", search="L", order="first_seen") == ["Ümit", "eva"]
    assert found(shop, conversion="purchase{value>8}", columns="user_id,converted_at")
    rows = shop.ask("/v1/users", conversion="purchase{value>8}", order="known_since")["rows"]
    assert [row["converted_at"] is not None for row in rows] == [True, False, False, False]


@pytest.mark.parametrize(
    ("params", "parameter", "said"),
    [
        ({"columns": "user_id,trait.plan"}, "columns", "did you mean"),
        ({"columns": "converted_at"}, "columns", "goes with conversion"),
        ({"columns": "value", "conversion": "purchase"}, "columns", "goes with value_property"),
        ({"columns": "last.source"}, "columns", "choose stitch=next"),
        ({"order": "value"}, "order", "goes with conversion and value_property"),
        ({"order": "name"}, "order", "choose one of"),
        ({"currency": "EUR"}, "currency", "goes with conversion and value_property"),
        ({"conversion": "purchase{"}, "conversion", "cannot read"),
    ],
)
def test_what_cannot_be_asked_is_said(
    shop: Project, params: Json, parameter: str, said: str
) -> None:
    reply = shop.get("/v1/users", **params)
    assert reply.status == 400
    assert said in reply.json["details"]["fieldErrors"][parameter][0]


def test_a_cursor_holds_for_its_order(shop: Project) -> None:
    cursor = shop.ask("/v1/users", order="last_seen", limit=1)["next_cursor"]
    assert shop.get("/v1/users", order="-last_seen", cursor=cursor).status == 400
    assert shop.get("/v1/users", cursor=cursor).status == 400
    assert shop.get("/v1/users", order="last_seen", cursor=cursor).status == 200


OF_ALL: list[dict[str, str]] = [
    {},
    {"order": "known_since", "from": "2026-05-01T09:30:00Z"},
    {"order": "-last_seen", "source": "facebook"},
    {"conversion": "purchase", "value_property": "value"},
    {"conversion": "purchase{value>7}", "order": "first_seen", "filters": "first.source!=google"},
    {"columns": "user_id,traits.plan,first.source,devices,first_seen"},
    {"search": "a", "order": "-known_since"},
    {"search": "nobody"},
]


@pytest.mark.parametrize("policy", ["any", "next"])
@pytest.mark.parametrize("params", OF_ALL, ids=str)
def test_files_hold_all_users_as_a_page_does(
    shop: Project, policy: str, params: dict[str, str]
) -> None:
    asked = {**params, "stitch": policy}
    paged = shop.ask("/v1/users", **asked)["rows"]
    lines = shop.get("/v1/users", format="ndjson", **asked).body.splitlines()
    assert [json.loads(line) for line in lines] == paged
    limited = shop.get("/v1/users", format="csv", limit=1000, **asked)
    assert shop.get("/v1/users", format="csv", **asked).body == limited.body


def test_files_go_on_behind_a_cursor_and_say_what_there_is_to_know(shop: Project) -> None:
    first = shop.get("/v1/users", format="ndjson", limit=1)
    rest = shop.get("/v1/users", format="csv", cursor=first.headers["Threadline-Next-Cursor"])
    assert [line.split(b",")[0] for line in rest.body.splitlines()[1:]] == [
        "Ümit".encode(),
        b"bob",
        b"u-1",
    ]
    paid = {"conversion": "purchase", "value_property": "value", "order": "-value"}
    for limit in (None, 2):
        reply = shop.get("/v1/users", format="csv", limit=limit, **paid)
        assert "several currencies" in reply.headers["Threadline-Warnings"], reply.headers


def test_who_goes_away_in_the_middle_keeps_nothing(shop: Project) -> None:
    for _ in range(6):  # more than files are written at once
        headers = {"Authorization": f"Bearer {shop.keys['rk']}"}
        assert shop.send("HEAD", "/v1/users?format=ndjson", headers=headers).status == 200


@pytest.mark.parametrize(
    "params",
    [
        {"conversion": "purchsae"},
        {"source": "facebok"},
        {"filters": "did==purchsae"},
        {"filters": "traits.plann==pro"},
    ],
    ids=str,
)
def test_files_say_of_names_that_never_came_what_pages_say(
    shop: Project, params: dict[str, str]
) -> None:
    said = [warning["message"] for warning in shop.ask("/v1/users", **params)["warnings"]]
    assert said
    for limit in (None, 1000):
        reply = shop.get("/v1/users", format="csv", limit=limit, **params)
        assert json.loads(reply.headers["Threadline-Warnings"]) == said


def test_files_of_accounts_say_it_too(shop: Project) -> None:
    params = {"filters": "did==purchsae"}
    said = [warning["message"] for warning in shop.ask("/v1/accounts", **params)["warnings"]]
    assert said
    reply = shop.get("/v1/accounts", format="ndjson", **params)
    assert json.loads(reply.headers["Threadline-Warnings"]) == said


def test_users_who_are_named_are_found_without_looking_at_everybody(shop: Project) -> None:
    """Each as among everybody, also with another filter beside."""
    every = shop.ask("/v1/users", columns="user_id,last_seen,devices", stitch="next")["rows"]
    for row in every:
        for policy in ("next", "any", "first", "none"):
            whole = shop.ask("/v1/users", columns="user_id,last_seen,first_touch", stitch=policy)
            (named,) = shop.ask(
                "/v1/users",
                columns="user_id,last_seen,first_touch",
                filters=f"user_id=={row['user_id']};known==true",
                stitch=policy,
            )["rows"]
            assert named in whole["rows"]
    two = "|".join(row["user_id"] for row in every[:2])
    assert len(shop.ask("/v1/users", filters=f"user_id=={two}")["rows"]) == 2
    assert shop.ask("/v1/users", filters="user_id==nobody")["rows"] == []
    assert shop.ask("/v1/users", filters=f"user_id=={two};known==false")["rows"] == []
    assert len(shop.ask("/v1/users", filters=f"user_id!={two}")["rows"]) == len(every) - 2
