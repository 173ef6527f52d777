"""What a decision would change, against the oracle, and against what it does change once made."""

from typing import Any

import pytest
from hypothesis import example, settings
from hypothesis import given as drawn
from hypothesis import strategies as st

from tests.identity import oracle
from tests.identity.steps import TIES, Decision, decide, decision, event, iso, wire
from tests.support import Json, Project, Reply, Server
from tests.width import EXAMPLES, also
from threadline.contract.policies import POLICIES

PATH = "/v1/identity/preview"
GOAL = {"event": "signup"}


def body(step: Decision) -> Json:
    what, one, other = step
    return {
        "unlink": {"unlink": {"anonymous_id": one, "user_id": other}},
        "link": {"link_again": {"anonymous_id": one, "user_id": other}},
        "alias": {"alias": {"user_id": one, "alias_of": other}},
        "unalias": {"unalias": {"user_id": one}},
    }[what]


def preview(project: Project, given: Json, **more: str) -> Json:
    reply = project.post(PATH, {**given, **more}, key="rk")
    assert reply.status == 200, reply
    return reply.json


def side(
    user: str | None, device: str | None, log: list[oracle.Event], policy: str, of: oracle.Decisions
) -> Json:
    """What the oracle says one has."""
    if user is not None:
        known = oracle.users(log, policy, of).get(user)
        events = known.events if known else []
        devices = len(known.devices) if known else 0
    else:
        nobodys = oracle.anonymous_events(log, policy, of)
        events = [e for e in oracle.once(log) if e["id"] in nobodys and e["a"] == device]
        events.sort(key=lambda event: (event["t"], event["id"]))
        devices = 1 if events else 0
    signups = sum(event["event"] == "signup" for event in events)
    first = events[0] if events else None
    return {
        "events": len(events),
        "devices": devices,
        "first_touch": first and {"timestamp": iso(first["t"]), "source": first["source"]},
        "conversions": {"signup": signups} if signups else {},
    }


def shown(found: Json) -> Json:
    touch = found["first_touch"]
    kept = touch and {name: touch[name] for name in ("timestamp", "source")}
    return {**found, "first_touch": kept}


SWITCH: list[Decision] = [("alias", "bob", "cy"), ("unlink", "kiosk", "ada")]


@settings(max_examples=EXAMPLES)
@also(log=TIES, made=SWITCH, step=("link", "kiosk", "ada"))
@example(log=TIES, made=SWITCH, step=("unalias", "bob", "cy"))
@also(log=TIES, made=[], step=("unlink", "kiosk", "bob"))
@example(log=TIES, made=[("alias", "ada", "bob")], step=("alias", "bob", "cy"))
@drawn(
    log=st.lists(event, min_size=1, max_size=15), made=st.lists(decision, max_size=3), step=decision
)
def test_a_preview_is_the_oracles(
    server: Server, log: list[oracle.Event], made: list[Decision], step: Decision
) -> None:
    """Everybody who changes is there, with what they have before and after; nobody else."""
    project = Project(server)
    assert project.change("PUT", "/v1/goals/signup", GOAL).status == 200
    project.batch([wire(event) for event in log])
    before = oracle.NONE
    for each in made:
        before = decide(project, before, each, log)
    log = oracle.once(log)
    what, one, other = step
    if what == "alias" and not before.takes(one, other):
        reply = project.post(PATH, body(step))
        assert (reply.status, reply.error) == (409, "alias_cycle")
        return
    found = {policy: preview(project, body(step), stitch=policy) for policy in POLICIES}
    # Nothing was changed by asking: the same decision still is one.
    after = decide(project, before, step, log)
    users: set[Any] = {
        user
        for of in (before, after)
        for user in (of.person(e["u"]) for e in log if e["u"] is not None)
    }
    everybody: list[tuple[str | None, str | None]] = [(user, None) for user in sorted(users)]
    if what in ("unlink", "link"):
        everybody.append((None, one))
    for policy, answer in found.items():
        expected = {}
        for who in everybody:
            sides = [side(*who, log, policy, of) for of in (before, after)]
            if sides[0] != sides[1]:
                expected[who] = sides
        rows = {
            (row["user_id"], row["anonymous_id"]): [shown(row["before"]), shown(row["after"])]
            for row in answer["persons"]
        }
        assert rows == expected, policy
        assert answer["changes"] == bool(expected)
        assert answer["stitch"] == policy
        assert answer["summary"].endswith(".")
        credited: dict[tuple[str, str], int] = {}
        for sides in expected.values():
            for sign, found_side in zip((-1, 1), sides, strict=True):
                for goal, times in found_side["conversions"].items():
                    at = (found_side["first_touch"]["source"], goal)
                    credited[at] = credited.get(at, 0) + sign * times
        changes = {(r["source"], r["goal"]): r["change"] for r in answer["sources"]}
        assert changes == {at: change for at, change in credited.items() if change}


@pytest.fixture
def shop(project: Project) -> Project:
    """An ad brought somebody on a phone, who signed up on a laptop, and signed in on the phone."""
    ad = "https://shop.example/?utm_source=google&utm_medium=cpc"
    project.change("PUT", "/v1/goals/signup", GOAL)
    events = [
        ("$pageview", "phone", None, "2026-05-01T10:00:00Z", ad),
        ("$pageview", "phone", None, "2026-05-01T10:01:00Z", "https://shop.example/pricing"),
        ("signup", "laptop", "user_728", "2026-05-02T10:00:00Z", "https://shop.example/signup"),
        ("$identify", "phone", "user_728", "2026-05-03T10:00:00Z", "https://shop.example/"),
    ]
    project.batch(
        [
            {"event": e, "anonymous_id": a, "user_id": u, "timestamp": t, "url": url}
            for e, a, u, t, url in events
        ]
    )
    return project


UNLINK = {"unlink": {"anonymous_id": "phone", "user_id": "user_728"}}


def test_a_preview_in_words_and_what_it_says_comes_true(shop: Project) -> None:
    answer = preview(shop, UNLINK)
    assert answer["summary"] == (
        "user_728 loses 2 events; the anonymous visitor of phone gains 2 events; "
        "google / paid loses one signup; direct gains one signup."
    )
    assert answer["stitch"] == "next"
    (row,) = [row for row in answer["persons"] if row["user_id"]]
    before, after = shop.ask("/v1/users/user_728"), None
    assert row["before"]["first_touch"]["source"] == before["first_touch"]["source"] == "google"
    assert shop.change("DELETE", "/v1/identity/links", UNLINK["unlink"]).json["changed"]
    after = shop.ask("/v1/users/user_728", stitch="next")
    assert row["after"]["first_touch"]["source"] == after["first_touch"]["source"] == "direct"
    assert row["after"]["events"] == len(shop.journey("user_728", stitch="next"))
    assert row["after"]["devices"] == len(after["devices"]) == 1
    # The way back is previewed as the way there.
    back = preview(shop, {"link_again": UNLINK["unlink"]})
    assert [(r["before"], r["after"]) for r in back["persons"]] == [
        (r["after"], r["before"]) for r in answer["persons"]
    ]
    assert "google / paid gains one signup" in back["summary"]


def test_two_who_are_one(shop: Project) -> None:
    shop.track("x", anonymous_id="tablet", user_id="old-7", timestamp="2026-05-04")
    answer = preview(shop, {"alias": {"user_id": "old-7", "alias_of": "user_728"}})
    assert answer["summary"] == (
        "old-7 is no person of their own any more; user_728 gains one event."
    )
    rows = {row["user_id"]: row["after"] for row in answer["persons"]}
    assert (rows["old-7"]["events"], rows["old-7"]["first_touch"]) == (0, None)
    assert (rows["user_728"]["events"], rows["user_728"]["devices"]) == (5, 3)


def test_what_would_change_nothing_says_so(shop: Project) -> None:
    for given, said in [
        ({"unlink": {"anonymous_id": "phone", "user_id": "nobody"}}, "nobody owns nothing"),
        ({"unlink": {"anonymous_id": "never", "user_id": "user_728"}}, "owns nothing"),
        ({"link_again": UNLINK["unlink"]}, "is not unlinked"),
        ({"unalias": {"user_id": "user_728"}}, "is nobody's alias"),
        ({"alias": {"user_id": "never", "alias_of": "user_728"}}, "was never seen"),
    ]:
        answer = preview(shop, given)
        assert (answer["changes"], answer["persons"], answer["sources"]) == (False, [], [])
        assert said in answer["summary"]
    assert preview(shop, UNLINK, stitch="none")["persons"][0]["after"]["devices"] == 1


def refused(reply: Reply) -> tuple[int, str]:
    return reply.status, reply.error


def test_what_is_no_preview_is_refused(shop: Project) -> None:
    wrong: tuple[Any, ...] = (
        {},
        [],
        {"unlink": None},
        {**UNLINK, "unalias": {"user_id": "user_728"}},
        {"unlink": {"anonymous_id": "phone"}},
        {"unlink": {"anonymous_id": "", "user_id": "a"}},
        {**UNLINK, "stitch": "best"},
        {**UNLINK, "as_of": "2026-05-01"},
        {"forget": {"user_id": "a"}},
    )
    for given in wrong:
        assert refused(shop.post(PATH, given)) == (400, "invalid_payload"), given
    for key in ("sk", "rk"):
        assert shop.post(PATH, UNLINK, key=key).status == 200
    assert refused(shop.post(PATH, UNLINK, key="pk")) == (403, "insufficient_scope")
    itself = {"alias": {"user_id": "user_728", "alias_of": "user_728"}}
    assert refused(shop.post(PATH, itself)) == (409, "alias_cycle")
    placeholder = {"alias": {"user_id": "user_728", "alias_of": "undefined"}}
    assert refused(shop.post(PATH, placeholder)) == (400, "placeholder_id")


def test_a_preview_knows_nothing_of_other_projects(server: Server, shop: Project) -> None:
    other = Project(server)
    assert not preview(other, UNLINK)["changes"]
    other.track("x", anonymous_id="phone", user_id="user_728")
    (row,) = preview(other, UNLINK)["persons"]
    assert (row["before"]["events"], row["after"]["events"]) == (1, 1)
    assert (row["before"]["devices"], row["after"]["devices"]) == (1, 0)
