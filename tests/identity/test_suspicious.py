"""Who is on unusually many devices, which device has unusually many users, and who may be one
person under several ids."""

from collections.abc import Iterable

import pytest

from tests.support import Json, Project
from threadline import Client
from threadline.contract.policies import POLICIES

SUSPICIOUS, DUPLICATES = "/v1/identity/suspicious", "/v1/identity/likely-duplicates"


def seen(user: str, device: str, minute: int = 0) -> Json:
    at = f"2026-05-01T{minute // 60:02}:{minute % 60:02}:00Z"
    return {"event": "x", "anonymous_id": device, "user_id": user, "timestamp": at}


@pytest.fixture
def odd(project: Project) -> Project:
    """Thirty people with one or two devices, somebody with twelve, a device of seven."""
    events = [seen(f"u{n:02}", f"d{n:02}") for n in range(30)]
    events += [seen(f"u{n:02}", f"d{n:02} too") for n in range(5)]
    events += [seen("admin", f"of admin {n:02}", n) for n in range(12)]
    events += [seen(f"u{n:02}", "kiosk", 60 + n) for n in range(7)]
    project.batch(events)
    return project


def shown(rows: Iterable[Json]) -> list[tuple[str, str, int]]:
    return [(row["kind"], row["id"], row["count"]) for row in rows]


def test_what_is_unusual_follows_from_what_is_usual(odd: Project) -> None:
    answer = odd.ask(SUSPICIOUS)
    assert shown(answer["rows"]) == [("user", "admin", 12), ("device", "kiosk", 7)]
    assert answer["thresholds"] == {"devices_over": 10, "users_over": 5}
    admin, kiosk = answer["rows"]
    assert admin["examples"] == [f"of admin {n}" for n in ("11", "10", "09", "08", "07")]
    assert kiosk["examples"] == ["u06", "u05", "u04", "u03", "u02"]
    assert (kiosk["first_seen"], kiosk["last_seen"]) == (
        "2026-05-01T01:00:00.000Z",
        "2026-05-01T01:06:00.000Z",
    )
    # Where many have many, more is usual.
    odd.batch([seen(f"u{n:02}", f"d{n:02} {m}") for n in range(30) for m in range(4)])
    answer = odd.ask(SUSPICIOUS)
    assert answer["thresholds"] == {"devices_over": 50, "users_over": 5}
    assert shown(answer["rows"]) == [("device", "kiosk", 7)]


def test_thresholds_kinds_and_pages(odd: Project) -> None:
    everything = shown(odd.ask(SUSPICIOUS, devices_over=1, users_over=1)["rows"])
    assert everything[:3] == [("user", "admin", 12), ("device", "kiosk", 7), ("user", "u00", 3)]
    assert len(everything) == 9
    users = odd.ask(SUSPICIOUS, devices_over=2, users_over=1, kind="user")
    assert shown(users["rows"])[1:] == [("user", f"u{n:02}", 3) for n in range(5)]
    assert shown(odd.ask(SUSPICIOUS, users_over=1, kind="device")["rows"]) == [everything[1]]
    paged = odd.pages(SUSPICIOUS, devices_over=1, users_over=1, limit=2)
    assert shown(paged) == everything
    cursor = odd.ask(SUSPICIOUS, devices_over=1, limit=2)["next_cursor"]
    assert odd.get(SUSPICIOUS, devices_over=2, cursor=cursor).error == "invalid_params"
    assert odd.get(SUSPICIOUS, cursor="x").error == "invalid_params"
    for wrong in ({"devices_over": 0}, {"kind": "bots"}, {"limit": 0}, {"users": 3}):
        assert odd.get(SUSPICIOUS, **wrong).error == "invalid_params"


def test_decisions_and_the_past_count(odd: Project) -> None:
    for n in range(3):
        pair = {"anonymous_id": "kiosk", "user_id": f"u{n:02}"}
        assert odd.change("DELETE", "/v1/identity/links", pair).status == 200
    assert shown(odd.ask(SUSPICIOUS)["rows"]) == [("user", "admin", 12)]
    odd.change("PUT", "/v1/identity/aliases", {"user_id": "u29", "alias_of": "admin"})
    assert shown(odd.ask(SUSPICIOUS)["rows"]) == [("user", "admin", 13)]
    assert odd.ask(SUSPICIOUS, as_of="2026-04-01")["rows"] == []


def test_an_empty_project_has_nothing_unusual(project: Project) -> None:
    answer = project.ask(SUSPICIOUS)
    assert (answer["rows"], answer["next_cursor"]) == ([], None)
    assert answer["thresholds"] == {"devices_over": 10, "users_over": 5}
    assert project.ask(DUPLICATES) == {"rows": [], "next_cursor": None, "stitch": "any"}


def identify(project: Project, user: str, email: object, device: str, minute: int) -> None:
    body = {
        "anonymous_id": device,
        "user_id": user,
        "traits": {"email": email},
        "timestamp": f"2026-05-02T10:{minute:02}:00Z",
    }
    assert project.post("/v1/identify", body).status == 200


@pytest.fixture
def twice(project: Project) -> Project:
    project.track("visit", anonymous_id="phone", timestamp="2026-05-01T09:00:00Z")
    identify(project, "user_1", "Ada@Shop.example", "phone", 0)
    identify(project, "user_2", " ada@shop.example ", "laptop", 1)
    project.track("buy", anonymous_id="laptop", user_id="user_2", timestamp="2026-05-03")
    for number, user in enumerate(("b1", "b2", "b3"), start=2):
        identify(project, user, "BOB@shop.example", user, number)
    # These are none: an address of their own now, and words for none.
    identify(project, "user_3", "ada@shop.example", "old", 10)
    identify(project, "user_3", "cy@shop.example", "old", 11)
    for user in ("n1", "n2"):
        identify(project, user, "n/a", user, 12)
        identify(project, f"{user} too", 7, user, 12)
    return project


def pairs(project: Project, **params: object) -> dict[str, list[str]]:
    rows = project.ask(DUPLICATES, **params)["rows"]
    return {row["email"]: [user["user_id"] for user in row["users"]] for row in rows}


def test_the_same_address_under_several_ids(twice: Project) -> None:
    answer = twice.ask(DUPLICATES)
    assert pairs(twice) == {
        "bob@shop.example": ["b1", "b2", "b3"],
        "ada@shop.example": ["user_1", "user_2"],
    }
    assert [row["count"] for row in answer["rows"]] == [3, 2]
    assert answer["rows"][1]["users"] == [
        {
            "user_id": "user_1",
            "events": 2,
            "devices": 1,
            "first_seen": "2026-05-01T09:00:00.000Z",
            "last_seen": "2026-05-02T10:00:00.000Z",
        },
        {
            "user_id": "user_2",
            "events": 2,
            "devices": 1,
            "first_seen": "2026-05-02T10:01:00.000Z",
            "last_seen": "2026-05-03T00:00:00.000Z",
        },
    ]
    for policy in POLICIES:
        for row in twice.ask(DUPLICATES, stitch=policy)["rows"]:
            for user in row["users"]:
                journey = twice.journey(user["user_id"], stitch=policy)
                assert user["events"] == len(journey), policy


def test_an_alias_settles_it_and_its_end_brings_it_back(twice: Project) -> None:
    alias = {"user_id": "user_2", "alias_of": "user_1"}
    assert twice.change("PUT", "/v1/identity/aliases", alias).status == 200
    assert list(pairs(twice)) == ["bob@shop.example"]
    assert twice.change("DELETE", "/v1/identity/aliases", {"user_id": "user_2"}).status == 200
    assert pairs(twice)["ada@shop.example"] == ["user_1", "user_2"]


def test_pages_of_addresses(twice: Project) -> None:
    everything = twice.ask(DUPLICATES)["rows"]
    first = twice.ask(DUPLICATES, limit=1)
    assert first["rows"] == everything[:1]
    # An address is no part of an address: cursors stand in logs.
    assert twice.pages(DUPLICATES, limit=1) == everything
    assert twice.get(DUPLICATES, cursor="x").error == "invalid_params"
    with Client(twice.keys["rk"], twice.url) as client:
        assert client.likely_duplicates().rows == everything
        assert client.suspicious().rows == []
