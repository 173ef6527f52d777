"""Why is it whose? And what is known about devices and people as a whole?"""

import datetime as dt
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.identity import oracle
from tests.identity.steps import (
    START,
    TIES,
    Step,
    decide,
    decision,
    event,
    iso,
    wire,
)
from tests.support import Project, Server
from tests.width import EXAMPLES
from threadline.contract.policies import POLICIES


@settings(max_examples=EXAMPLES)
@given(
    log=st.lists(event, min_size=1, max_size=15),
    decisions=st.lists(decision, max_size=3),
    hours=st.integers(0, 12),
)
def test_explanations_are_the_oracles(
    server: Server, log: list[oracle.Event], decisions: list[Step], hours: int
) -> None:
    project = Project(server)
    project.batch([wire(event) for event in log])
    decided = oracle.NONE
    for step in decisions:
        assert not isinstance(step, list)
        decided = decide(project, decided, step, log)
    log = oracle.once(log)
    moment = {"id": "", "t": START + dt.timedelta(hours=hours), "a": "kiosk", "u": None}
    for asked in (*log[:5], moment):
        given = {"event_id": asked["id"]} if asked["id"] else {}
        if not given:
            given = {"anonymous_id": "kiosk", "at": iso(asked["t"])}
        answer = project.ask("/v1/identity/explain", **given)
        assert tuple(answer["policies"]) == POLICIES
        for policy, owner in answer["policies"].items():
            assert set(owner["owners"]) == oracle.owners(asked, log, policy, decided)
            assert owner["because"].endswith(".")


def test_an_explanation_in_words(project: Project) -> None:
    project.batch([wire(event) for event in TIES])
    answer = project.ask("/v1/identity/explain", event_id="e03")["policies"]
    assert answer["next"]["because"] == (
        "The first to be seen here from then on is 'ada', at 2026-05-01T04:00:00.000Z: "
        "the interval before that login is theirs."
    )
    assert [o["event_id"] for o in answer["next"]["decided_by"]] == ["e06"]
    assert answer["any"]["owners"] == ["ada", "bob", "cy"]
    assert answer["last"]["because"] == (
        "The last ever seen on this device is 'bob', at 2026-05-01T08:00:00.000Z."
    )
    assert [o["event_id"] for o in answer["last"]["decided_by"]] == ["e10"]
    assert (answer["none"]["owners"], answer["none"]["decided_by"]) == ([], [])
    assert answer["none"]["because"] == (
        "The event carries no user: where nothing is stitched it is the anonymous visitor's."
    )
    after = project.ask("/v1/identity/explain", event_id="e12")["policies"]["next"]
    assert after["owners"] == ["bob"]
    assert "Nobody was seen here afterwards" in after["because"]
    assert project.get("/v1/identity/explain", event_id="none").status == 404
    assert project.get("/v1/identity/explain", anonymous_id="a").error == "invalid_params"


def test_shared_devices_and_how_much_the_policy_matters(project: Project) -> None:
    project.batch([wire(event) for event in TIES])
    project.track("x", anonymous_id="phone", user_id="ada")
    (device,) = project.ask("/v1/identity/shared-devices")["rows"]
    assert device["anonymous_id"] == "kiosk"
    seen = {user["user_id"]: user["observations"] for user in device["users"]}
    assert seen == {"ada": 3, "bob": 2, "cy": 1}
    log = oracle.once(TIES)
    moved = {
        policy: sum(oracle.owners(e, log, policy) != oracle.owners(e, log, "next") for e in log)
        for policy in ("first", "last", "none")
    }
    assert moved == {"first": 2, "last": 6, "none": 7}
    shares = {policy: events / len(log) for policy, events in moved.items()}
    assert (device["events"], device["moving_shares"]) == (len(log), shares)
    assert device["moving_share"] == shares["first"]

    numbers = project.ask("/v1/identity/stats")
    assert (numbers["persons"], numbers["users"], numbers["shared_devices"]) == (3, 3, 1)
    assert (numbers["links"], numbers["most_devices_of_a_user"]) == (4, 2)
    assert numbers["known_share"] == 1


def test_numbers_of_nobody(project: Project) -> None:
    numbers = project.ask("/v1/identity/stats")
    assert (numbers["persons"], numbers["known_share"]) == (0, 0)
    assert numbers["median_seconds_to_known"] is None
    assert numbers["placeholder_ids"] == 0
    assert project.ask("/v1/identity/shared-devices")["rows"] == []


def test_ids_that_are_none_are_counted_and_the_count_survives(folder: Path) -> None:
    with Server(folder) as server:
        project, other = Project(server), Project(server)
        project.track("x", anonymous_id="undefined", user_id="null")
        body = {"anonymous_id": "phone", "user_id": "undefined"}
        assert project.post("/v1/identify", body).error == "placeholder_id"
        assert project.ask("/v1/identity/stats")["placeholder_ids"] == 3
        assert other.ask("/v1/identity/stats")["placeholder_ids"] == 0
        server.stop()
    with Server(folder) as server:
        project = project.again(server)
        project.track("x", anonymous_id="phone", user_id="nobody ")
        project.track("x", anonymous_id="phone", user_id="N/A ")
        project.track("x", anonymous_id="phone", user_id=" NaN")
        assert project.ask("/v1/identity/stats")["placeholder_ids"] == 5
        server.stop()


def test_more_people_on_a_device_than_anybody_reads(project: Project) -> None:
    at = iso(START)
    users = [f"guest {number:04}" for number in range(1001)]
    on_kiosk = {"event": "x", "anonymous_id": "kiosk", "timestamp": at}
    for part in (users[:1000], users[1000:]):
        project.batch([{**on_kiosk, "user_id": user} for user in part])
    asked = {"anonymous_id": "kiosk", "at": at}
    policies = project.ask("/v1/identity/explain", **asked)["policies"]
    assert policies["any"]["owners"] == users[:1000]
    assert ", and more than these 1,000, who are left out here. It" in policies["any"]["because"]
    # Whose it is by the others is found among all.
    assert policies["last"]["owners"] == users[-1:]
