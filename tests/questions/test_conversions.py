"""Attribution and time to conversion: of which conversions, by what, and what is left out."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from tests.support import Json, Project, Server, row_values
from threadline.ingest import row
from threadline.questions.context import Context
from threadline.questions.filters import read_filters
from threadline.questions.named import Goal, Names
from threadline.questions.registry import QUESTIONS
from threadline.runtime.params import parse_params
from threadline.store import Store, store_url

# Person, source of their visit, plan, and what they paid.
BUYERS = [
    ("ann", "facebook", "pro", [30, 5]),
    ("ben", "google", "pro", [8]),
    ("cyd", "google", "free", [1]),
    ("dan", "bing", "free", [2]),
]


@pytest.fixture(scope="module")
def shop(server: Server) -> Project:
    project = Project(server)
    for nth, (user, source, plan, paid) in enumerate(BUYERS):
        at = {"anonymous_id": f"{user}s phone", "timestamp": f"2026-05-0{nth + 1}T10:00:00Z"}
        url = f"https://shop.example/{user}?utm_source={source}&utm_medium=x"
        project.track("$pageview", url=url, **at)
        at["timestamp"] = f"2026-05-0{nth + 1}T10:01:00Z"
        project.track("$identify", user_id=user, properties={"plan": plan}, **at)
        for minute, value in enumerate(paid, start=2):
            at["timestamp"] = f"2026-05-0{nth + 1}T10:{minute * 2:02}:00Z"
            project.track("purchase", user_id=user, properties={"value": value}, **at)
    return project


def credited(project: Project, **params: Any) -> list[list[Any]]:
    groups = params.get("group_by", "source").split(",")
    answer = project.ask("/v1/attribution", **{"group_by": "source", **params})
    return [[row[name] for name in (*groups, "conversions")] for row in answer["rows"]]


def test_attribution_of_one_group_has_the_people_behind_its_row(shop: Project) -> None:
    asked = {"conversion": "purchase", "model": "last_touch,linear"}
    whole = shop.ask("/v1/attribution", **asked)
    for of_all in whole["rows"]:
        group = f"{of_all['source']},{of_all['medium']}"
        people = shop.ask("/v1/attribution", **asked, group_by="source,medium,user_id", group=group)
        assert people["total"] == whole["total"]
        assert {each["source"] for each in people["rows"]} == {of_all["source"]}
        for model, credit in of_all["models"].items():
            parts = [each["models"][model]["conversions"] for each in people["rows"]]
            assert sum(parts) == pytest.approx(credit["conversions"])
        assert len(people["rows"]) == of_all["models"]["last_touch"]["persons"]


@pytest.mark.parametrize(
    ("group_by", "group", "users"),
    [
        ("source,user_id", "google", {"ben", "cyd"}),
        ("source,user_id", "google,cyd", {"cyd"}),
        ("campaign,user_id", "(none)", {"ann", "ben", "cyd", "dan"}),
        ("traits.plan,user_id", "pro", {"ann", "ben"}),
        ("source,user_id", "go\\,ogle", set()),
    ],
)
def test_a_group_is_given_by_the_first_of_its_names(
    shop: Project, group_by: str, group: str, users: set[str]
) -> None:
    found = shop.ask("/v1/attribution", conversion="purchase", group_by=group_by, group=group)
    assert {row["user_id"] for row in found["rows"]} == users
    assert found["total"]["conversions"] == 5


def test_a_group_has_no_more_values_than_names(shop: Project) -> None:
    asked = {"conversion": "purchase", "group_by": "source", "group": "a,b"}
    reply = shop.get("/v1/attribution", **asked)
    assert (reply.status, list(reply.json["details"]["fieldErrors"])) == (400, ["group"])


def test_conversions_pass_conditions_in_braces(shop: Project) -> None:
    assert credited(shop, conversion="purchase{value>5}") == [["facebook", 1], ["google", 1]]
    assert credited(shop, conversion="purchase{value=5|2}") == [["bing", 1], ["facebook", 1]]
    (found,) = shop.ask("/v1/time-to-conversion", conversion="purchase{value<6}")["rows"]
    # Of Ann the second one.
    assert (found["persons"], found["p99"], found["p25"]) == (3, 357.6, 240)
    one = shop.ask("/v1/time-to-conversion", conversion="purchase{value<6}", user_id="ann")
    assert one["seconds"] == 360


def test_groups_are_of_people_too(shop: Project) -> None:
    assert credited(shop, conversion="purchase", group_by="traits.plan") == [
        ["pro", 3],
        ["free", 2],
    ]
    assert credited(shop, conversion="purchase", group_by="first.path,known") == [
        ["/ann", True, 2],
        ["/ben", True, 1],
        ["/cyd", True, 1],
        ["/dan", True, 1],
    ]
    both = credited(shop, conversion="purchase", group_by="traits.plan,source")
    assert both[0] == ["pro", "facebook", 2]
    assert len(both) == 4
    for policy in ("any", "next"):
        rows = shop.ask(
            "/v1/time-to-conversion", conversion="purchase", group_by="traits.plan", stitch=policy
        )["rows"]
        assert [[row["traits.plan"], row["persons"]] for row in rows] == [["free", 2], ["pro", 2]]
    rows = shop.ask(
        "/v1/time-to-conversion", conversion="purchase", group_by="source,devices", limit=1
    )
    assert [[row["source"], row["devices"], row["persons"]] for row in rows["rows"]] == [
        ["google", 1, 2]
    ]
    assert (rows["truncated"], rows["other"]) == (True, {"persons": 2})


def test_what_is_left_out_is_summed(shop: Project) -> None:
    on = {"conversion": "purchase", "value_property": "value", "group_by": "source"}
    answer = shop.ask("/v1/attribution", limit=1, order="-value", **on)
    assert [[row["source"], row["value"]] for row in answer["rows"]] == [["facebook", 35]]
    assert answer["other"] == {"conversions": 3, "touches": 3, "value": 11}
    assert answer["truncated"] is True
    assert [warning["code"] for warning in answer["warnings"]] == ["truncated"]
    every = shop.ask("/v1/attribution", order="value", limit=3, **on)
    assert [row["value"] for row in every["rows"]] == [2, 9, 35]
    assert "other" not in every
    assert "truncated" not in every
    assert every["total"]["value"] == 46


@pytest.mark.parametrize(
    ("path", "params", "parameter", "said"),
    [
        ("attribution", {"conversion": "a{b}"}, "conversion", "is not a condition"),
        ("attribution", {"conversion": "goal:x"}, "conversion", "there is no goal 'x'"),
        ("attribution", {"conversion": "a", "order": "value"}, "order", "goes with value_property"),
        ("time-to-conversion", {"conversion": "a{}"}, "conversion", "cannot read"),
        (
            "time-to-conversion",
            {"conversion": "a", "user_id": "ann", "group_by": "known"},
            "group_by",
            "of one user",
        ),
        (
            "time-to-conversion",
            {"conversion": "a", "stitch": "any", "group_by": "last.source"},
            "group_by",
            "choose stitch=next",
        ),
    ],
)
def test_what_cannot_be_asked_is_said(
    shop: Project, path: str, params: Json, parameter: str, said: str
) -> None:
    reply = shop.get(f"/v1/{path}", **params)
    assert reply.status == 400
    assert said in reply.json["details"]["fieldErrors"][parameter][0]


def test_names_in_braces_that_never_came_are_said(shop: Project) -> None:
    for path in ("attribution", "time-to-conversion"):
        (warning,) = shop.ask(f"/v1/{path}", conversion="purchas{value>1}")["warnings"]
        assert "did you mean 'purchase'?" in warning["message"]


# --- goals, as a project's names have them ---

GOALS = {
    "big": Goal("purchase", tuple(read_filters("properties.value>5")), "value", "money"),
    "typo": Goal("purchas"),
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with Store(store_url("chdb", tmp_path_factory.mktemp("goals"))) as opened:
        rows = [
            row_values(
                event_id=str(nth),
                event_name="purchase",
                anonymous_id=f"a{nth % 2}",
                user_id=f"u{nth % 2}",
                timestamp=1_777_636_800_000 + nth * 60_000,
                properties=msgspec.json.encode({"value": value, "money": "EUR"}).decode(),
            )
            for nth, value in enumerate([10, 3, 7])
        ]
        body = b"".join(row.encode(one) for one in rows)
        opened.insert("events", row.COLUMNS, "MsgPack", body, "goals")
        yield opened


def of_goal(store: Store, question: str, **params: str) -> Json:
    context = Context(store, "p", "next", names=Names(goal=GOALS.get))
    asked = QUESTIONS[question]
    answer = asked.ask(context, parse_params(params, asked.params))
    found: Json = msgspec.json.decode(msgspec.json.encode(answer))
    return found


def test_a_goal_stands_for_its_conversions_and_what_they_are_worth(store: Store) -> None:
    found = of_goal(store, "attribution", conversion="goal:big")
    assert found["conversion"] == "goal:big"
    assert (found["total"]["conversions"], found["total"]["value"]) == (2, {"EUR": 17})
    plain = {"value_property": "value", "currency_property": "none"}
    assert of_goal(store, "attribution", conversion="goal:big", **plain)["total"]["value"] == 17
    assert of_goal(store, "time_to_conversion", conversion="goal:big")["rows"][0]["persons"] == 1
    users = of_goal(store, "users", conversion="goal:big", order="-value")["rows"]
    assert [(user["user_id"], user["value"]) for user in users] == [("u0", {"EUR": 17}), ("u1", {})]
    assert (
        of_goal(store, "retention", cohort="goal:big", event="goal:big")["rows"][0]["retained"][0]
        == 1
    )
    assert of_goal(store, "paths", start="goal:big")["persons"] == 1
    (warning,) = of_goal(store, "attribution", conversion="goal:typo")["warnings"]
    assert "did you mean 'purchase'?" in warning["message"]
