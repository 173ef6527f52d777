"""Shared devices of one user: all of them, however many busier ones others have; and what the user
owns there."""

from pathlib import Path

from tests.identity.test_kept import insert
from tests.support import Project
from threadline.questions import profile
from threadline.questions.context import Context
from threadline.store import Store, store_url


def test_of_one_user_come_only_theirs_and_all_of_them(project: Project) -> None:
    """Others' devices have more events, so that a list of three holds none of hers."""
    seen = [
        {"event": "visit", "anonymous_id": f"{home} {n}", "user_id": user}
        for home, users, visits in (("busy", ("bob", "cem"), 3), ("quiet", ("ada", "bob"), 1))
        for n in range(3)
        for user in users
        for _ in range(visits)
    ]
    project.batch([*seen, {"event": "visit", "anonymous_id": "alone", "user_id": "ada"}])
    project.stored()

    def devices(**params: object) -> list[str]:
        answer = project.ask("/v1/identity/shared-devices", **params)
        return sorted(row["anonymous_id"] for row in answer["rows"])

    assert devices(limit=3) == ["busy 0", "busy 1", "busy 2"]
    assert devices(user_id="ada", limit=3) == ["quiet 0", "quiet 1", "quiet 2"]
    assert len(devices(user_id="bob")) == 6
    nobody = project.get("/v1/identity/shared-devices", user_id="nobody")
    assert (nobody.status, nobody.error) == (404, "not_found")
    assert "There is no user 'nobody'" in nobody.body.decode()
    whole = project.ask("/v1/identity/shared-devices")["rows"]
    of_ada = project.ask("/v1/identity/shared-devices", user_id="ada")["rows"]
    assert of_ada == [row for row in whole if row["anonymous_id"].startswith("quiet")]


def test_whoever_is_the_same_person_is_asked_for_by_either_id(project: Project) -> None:
    project.batch(
        [
            {"event": "visit", "anonymous_id": "shared", "user_id": "ada@old.example"},
            {"event": "visit", "anonymous_id": "shared", "user_id": "bob"},
        ]
    )
    same = {"user_id": "ada@old.example", "alias_of": "ada"}
    assert project.change("PUT", "/v1/identity/aliases", same).status == 200
    for user in ("ada", "ada@old.example"):
        (row,) = project.ask("/v1/identity/shared-devices", user_id=user)["rows"]
        assert sorted(seen["user_id"] for seen in row["users"]) == ["ada", "bob"]


def test_a_first_touch_that_outlives_its_event_is_not_that_of_who_was_there_before(
    tmp_path: Path,
) -> None:
    """On a device that went from hand to hand, under the policy that gives each a stretch of it."""
    with Store(store_url("chdb", tmp_path)) as store:
        seen = [("till", None, 1), ("till", "bob", 2), ("till", None, 3), ("till", "ada", 4)]
        insert(store, "shop", *((*event, False) for event in seen))
        for outlives in (False, True):
            context = Context(store, "shop", "next", touches_outlive=outlives)
            for user, first in (("bob", "-0"), ("ada", "-2")):
                found = profile.ask(context, profile.ProfileParams(user_id=user))
                assert found.first_touch.event_id.endswith(first), (user, outlives)
