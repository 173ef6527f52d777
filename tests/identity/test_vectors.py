"""The worked logs of the specification, sent over HTTP in any order: always the same answers."""

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import Json, Project, Server, ids
from tests.width import WIDE, wide

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "identity.json").read_text())


SITE = "https://site.example/"
ORDERS: dict[str, Callable[[list[Json]], list[Json]]] = {
    "given": lambda events: events,
    "reversed": lambda events: events[::-1],
    "shuffled": lambda events: random.Random(7).sample(events, len(events)),
}


def wire(event: Json) -> Json:
    """A vector's event as a browser would send it: the source is in the URL."""
    query = ""
    if event["source"] != "direct":
        medium = "cpc" if event["medium"] == "paid" else event["medium"]
        query = f"?utm_source={event['source']}&utm_medium={medium}"
    return {
        "event": event["event"],
        "event_id": event["id"],
        "timestamp": event["t"],
        "anonymous_id": event["a"],
        "user_id": event["u"],
        "url": SITE + query,
    }


def by_log() -> list[list[dict[str, Any]]]:
    """The entries of each log: one for each policy."""
    names = dict.fromkeys(entry["name"] for entry in VECTORS)
    return [[entry for entry in VECTORS if entry["name"] == name] for name in names]


def cases() -> Iterator[Any]:
    """Each log by each policy, in one of the orders: the states that a log leaves depend on its
    order, and five policies read them. In a wide run, in all orders. What is asked of one user at a
    time is asked where the order is the given one: of each policy five logs, and in a wide run all.
    """
    for number, entries in enumerate(by_log()):
        for nth, entry in enumerate(entries):
            for order in wide([list(ORDERS)[(number + nth) % len(ORDERS)]], ORDERS):
                yield pytest.param(entry, order, id=f"{entry['name']}-{entry['policy']}-{order}")


def test_each_log_comes_in_each_order() -> None:
    came = {(entry["name"], order) for entry, order in (case.values for case in cases())}
    assert came == {(entry["name"], order) for entry in VECTORS for order in ORDERS}


@pytest.fixture(scope="module")
def told(server: Server) -> dict[tuple[str, str], Project]:
    """Each log in each order, in a project of its own, which is only read from then on."""
    projects = {}
    for entry, *_ in by_log():
        for order in ORDERS:
            projects[entry["name"], order] = project = Project(server)
            tell(project, entry, order)
    return projects


def tell(project: Project, entry: dict[str, Any], order: str) -> None:
    for event in ORDERS[order](entry["events"]):
        assert project.post("/v1/track", wire(event)).status == 202
    for anonymous_id, user_id in entry.get("unlinked", []):
        pair = {"anonymous_id": anonymous_id, "user_id": user_id}
        assert project.change("DELETE", "/v1/identity/links", pair).json["changed"]


def test_policies_are_of_the_same_logs() -> None:
    for first, *others in by_log():
        for other in others:
            assert other["events"] == first["events"]
            assert other.get("unlinked") == first.get("unlinked")


@pytest.mark.parametrize(("entry", "order"), list(cases()))
def test_vector(told: dict[tuple[str, str], Project], entry: dict[str, Any], order: str) -> None:
    fully = WIDE or order == "given"
    check(told[entry["name"], order], entry, one_by_one=fully, backwards=fully)


def check(
    project: Project, entry: dict[str, Any], one_by_one: bool = True, backwards: bool = False
) -> None:
    """What the entry says of its log. `one_by_one`: what a list of users says is asked of each of
    them, too. `backwards`: journeys from their end, too."""
    policy, expected = entry["policy"], entry["expect"]

    listed = {
        row["user_id"]: row
        for row in project.pages("/v1/users", stitch=policy, conversion="signup")
    }
    assert sorted(listed) == sorted(expected["users"])

    owned: set[str] = set()
    for user_id, user in expected["users"].items():
        journey = ids(project.journey(user_id, stitch=policy))
        assert journey == user["events"]
        if backwards:
            assert ids(project.journey(user_id, stitch=policy, order="desc")) == journey[::-1]
        assert ids(project.journey(user_id, stitch=policy, phase="before")) == user["before_login"]
        owned |= set(journey)

        assert_touched(listed[user_id]["first_touch"], user)
        assert listed[user_id]["devices"] == len(user["devices"])
        assert listed[user_id]["seconds_to_conversion"] == user["seconds_to_conversion"]
        if one_by_one:
            check_one(project, user_id, user, policy)

    strangers = {row["anonymous_id"] for row in project.stored() if row["event_id"] not in owned}
    assert sorted(strangers) == expected["anonymous_persons"]
    if "persons" in expected:
        assert len(listed) + len(strangers) == expected["persons"]


def check_one(project: Project, user_id: str, user: dict[str, Any], policy: str) -> None:
    profile = project.ask(f"/v1/users/{user_id}", stitch=policy)
    assert_touched(profile["first_touch"], user)
    devices = [device["anonymous_id"] for device in profile["devices"]]
    assert sorted(devices) == user["devices"]
    waited = project.ask(
        "/v1/time-to-conversion", conversion="signup", user_id=user_id, stitch=policy
    )
    assert waited["seconds"] == user["seconds_to_conversion"]


def assert_touched(touch: Json, user: dict[str, Any]) -> None:
    found = {key: touch[key] for key in ("source", "medium")}
    found |= {"id": touch["event_id"], "t": touch["timestamp"]}
    assert found == user["first_touch"]
