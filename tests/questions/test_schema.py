"""Which names there are, and what an answer says of a name that never came."""

from pathlib import Path

import pytest

from tests.ingest.leftovers import traces, until_erased
from tests.questions.test_warned import codes, said
from tests.support import Json, Project, Server
from threadline.questions.schema import MOST_PROPERTIES

SECRET = "ada.lovelace.1815"
GOOGLEBOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"


def tell(project: Project) -> None:
    plans = ["pro", "pro", "free", "pro", "team"]
    project.batch(
        [
            {
                "event": "signup",
                "anonymous_id": f"d{number}",
                "user_id": f"u{number}",
                "timestamp": f"2026-05-0{number + 1}",
                "url": f"https://shop.example/{plan}/?utm_source=mail&utm_medium=email",
                "properties": {"plan": plan, "seats": number if number % 2 else str(number)},
            }
            for number, plan in enumerate(plans)
        ]
    )
    every = {"yes": True, "list": [1, 2], "object": {"a": "b"}, "nothing": None, "": "empty key"}
    project.track("odd", anonymous_id="d1", timestamp="2026-06-01", properties=every)
    project.post("/v1/identify", {"user_id": "u1", "anonymous_id": "d1", "traits": {"team": "red"}})
    crawled = {"event": "crawl", "anonymous_id": "b", "user_agent": GOOGLEBOT}
    assert project.post("/v1/track", {**crawled, "properties": {"depth": 1}}).status == 202


def by_name(rows: list[Json], key: str) -> dict[str, Json]:
    return {row[key]: row for row in rows}


def test_events_with_their_properties(project: Project) -> None:
    tell(project)
    answer = project.ask("/v1/schema")
    assert [row["event"] for row in answer["events"]] == ["signup", "$identify", "odd"]
    signup = answer["events"][0]
    assert (signup["count"], signup["first_seen"], signup["last_seen"]) == (
        5,
        "2026-05-01T00:00:00.000Z",
        "2026-05-05T00:00:00.000Z",
    )
    plan, seats = signup["properties"]
    assert (plan["name"], plan["types"], plan["count"]) == ("plan", ["string"], 5)
    assert plan["examples"] == ["pro", "free", "team"]
    assert (seats["name"], seats["types"]) == ("seats", ["string", "number"])
    odd = by_name(answer["events"], "event")["odd"]
    assert {row["name"]: row["types"] for row in odd["properties"]} == {
        "yes": ["boolean"],
        "list": ["array"],
        "object": ["object"],
        "nothing": ["null"],
        "": ["string"],
    }
    assert [(row["name"], row["examples"]) for row in answer["traits"]] == [("team", ["red"])]
    with_bots = project.ask("/v1/schema", include_bots="true")
    assert "crawl" in by_name(with_bots["events"], "event")
    assert "warnings" not in answer
    assert "other" not in answer


def test_narrowed_to_an_event_or_to_how_names_begin(project: Project) -> None:
    tell(project)
    answer = project.ask("/v1/schema", event="signup")
    assert [row["event"] for row in answer["events"]] == ["signup"]
    assert codes(project.ask("/v1/schema", event="sign_up")) == [("unknown_event", "event")]
    answer = project.ask("/v1/schema", search="SI")
    assert [row["event"] for row in answer["events"]] == ["signup"]
    assert len(answer["events"][0]["properties"]) == 2
    answer = project.ask("/v1/schema", search="se")
    assert [(row["event"], row["properties"][0]["name"]) for row in answer["events"]] == [
        ("signup", "seats")
    ]
    assert project.ask("/v1/schema", search="nothing like that")["events"] == []


def test_what_limits_leave_out_is_said(project: Project) -> None:
    tell(project)
    answer = project.ask("/v1/schema", limit=1)
    assert [row["event"] for row in answer["events"]] == ["signup"]
    assert (answer["truncated"], answer["other"]) == (True, {"names": 2, "count": 2})
    assert codes(answer) == [("truncated", "limit")]
    many = {f"key{number:04}": number for number in range(MOST_PROPERTIES)}
    project.track("hostile", anonymous_id="h", properties=many)
    project.track("hostile", anonymous_id="h", properties={"key0007": 1, "another": 1})
    answer = project.ask("/v1/schema", event="hostile")
    (hostile,) = answer["events"]
    assert hostile["properties"][0]["name"] == "key0007"
    assert len(hostile["properties"]) == MOST_PROPERTIES
    assert hostile["other"] == {"names": 1, "count": 1}
    assert answer["truncated"] is True


VALUES = [
    ("properties.plan", {}, [("pro", 3), ("free", 1), ("team", 1)]),
    ("properties.plan", {"search": "T"}, [("team", 1)]),
    ("properties.plan", {"event": "odd"}, []),
    ("properties.yes", {}, [("true", 1)]),
    ("traits.team", {}, [("red", 1)]),
    ("source", {"event": "signup"}, [("mail", 5)]),
    ("first.source", {"event": "signup"}, [("mail", 5)]),
    ("path", {"search": "/p"}, [("/pro/", 3)]),
    ("visit.entry_path", {"search": "/p"}, [("/pro/", 3)]),
    ("event", {"search": "s"}, [("signup", 5)]),
    ("did", {"search": "s"}, [("signup", 5)]),
]


@pytest.mark.parametrize(("of", "params", "expected"), VALUES)
def test_values_by_how_frequent_they_are(
    project: Project, of: str, params: Json, expected: list[tuple[str, int]]
) -> None:
    tell(project)
    values = project.ask("/v1/schema", values_of=of, **params)["values"]
    assert [(row["value"], row["count"]) for row in values["rows"]] == expected
    assert (values["of"], values["share"]) == (of, 1.0)


def test_values_of_what_there_is_not(project: Project) -> None:
    tell(project)
    reply = project.get("/v1/schema", values_of="sourse")
    assert reply.status == 400
    assert "did you mean source?" in reply.json["details"]["fieldErrors"]["values_of"][0]
    for of in ("segment", "known", "devices", "properties."):
        assert project.get("/v1/schema", values_of=of).status == 400, of
    answer = project.ask("/v1/schema", values_of="properties.x")
    assert answer["values"]["rows"] == []
    assert codes(answer) == [("unknown_property", "values_of")]


NEVER = [
    ("/v1/stats", {"filters": "event==sign_up|odd"}, "unknown_event", "filters", "'signup'"),
    ("/v1/stats", {"filters": "event!=sign_up"}, "unknown_event", "filters", "'signup'"),
    ("/v1/stats", {"filters": "did==sign_up"}, "unknown_event", "filters", "'signup'"),
    ("/v1/stats", {"filters": "did(30d)!=sign_up"}, "unknown_event", "filters", "'signup'"),
    ("/v1/stats", {"filters": "properties.plann==x"}, "unknown_property", "filters", "'plan'"),
    (
        "/v1/stats",
        {"filters": "properties.plan==x", "event": "odd"},
        "unknown_property",
        "filters",
        "they have",
    ),
    ("/v1/users", {"filters": "traits.teem==x"}, "unknown_trait", "filters", "'team'"),
    ("/v1/users", {"filters": "traits.plan==x"}, "unknown_trait", "filters", "there are 'team'"),
    (
        "/v1/attribution",
        {"conversion": "signup", "value_property": "seets"},
        "unknown_property",
        "value_property",
        "'seats'",
    ),
    ("/v1/funnel", {"steps": "odd,sign_up"}, "unknown_event", "steps", "'signup'"),
]


@pytest.mark.parametrize(("path", "params", "code", "parameter", "hint"), NEVER)
def test_names_that_never_came(
    project: Project, path: str, params: Json, code: str, parameter: str, hint: str
) -> None:
    tell(project)
    answer = project.ask(path, **params)
    about = [each for each in answer["warnings"] if each["code"].startswith("unknown")]
    assert [(each["code"], each["parameter"]) for each in about] == [(code, parameter)]
    assert hint in about[0]["message"]


def test_names_that_came_need_no_warning(project: Project) -> None:
    tell(project)
    for path, params in (
        ("/v1/stats", {"filters": "event==signup;properties.plan==pro;traits.team==red"}),
        ("/v1/stats", {"filters": "did==signup;did!=odd", "event": "signup"}),
        ("/v1/funnel", {"steps": "signup{plan=pro},odd"}),
        ("/v1/retention", {"cohort": "known"}),
        ("/v1/schema", {"values_of": "properties.plan"}),
    ):
        assert "warnings" not in project.ask(path, **params), (path, params)


def test_names_are_the_projects_own(project: Project, server: Server) -> None:
    other = Project(server)
    tell(other)
    project.track("visit", anonymous_id="d", properties={"x": 1})
    assert [row["event"] for row in project.ask("/v1/schema")["events"]] == ["visit"]
    answer = project.ask("/v1/stats", filters="properties.plan==x")
    assert said(answer) == "No event has a property 'plan'; they have 'x'."


def test_a_repeated_batch_counts_once(project: Project) -> None:
    event = {"event": "x", "event_id": "e1", "anonymous_id": "d", "properties": {"a": 1}}
    for _ in range(2):
        project.batch([event, {**event, "event_id": "e2"}])
    (row,) = project.ask("/v1/schema")["events"]
    assert (row["count"], row["properties"][0]["count"]) == (2, 2)


def test_nothing_of_the_forgotten_is_left_among_names(folder: Path) -> None:
    with Server(folder) as server:
        _forget_in(server)
    assert traces(folder, SECRET) == []


def _forget_in(server: Server) -> None:
    project = Project(server)
    for user in ("ada", "bob"):
        project.track(
            "signup",
            anonymous_id=f"{user}-phone",
            user_id=user,
            properties={SECRET: 1, "mine": SECRET} if user == "ada" else {"plan": "free"},
        )
    project.track(f"hello {SECRET}", anonymous_id="ada-phone", user_id="ada")
    assert SECRET in project.get("/v1/schema").body.decode()
    assert project.post("/v1/forget", {"user_id": "ada"}).status == 200
    (signup,) = project.ask("/v1/schema")["events"]
    assert (signup["event"], signup["count"]) == ("signup", 1)
    assert [row["name"] for row in signup["properties"]] == ["plan"]
    until_erased(project)
    assert server.stop() == 0
