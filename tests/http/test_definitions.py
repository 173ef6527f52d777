"""Segments, goals and annotations over HTTP: kept, answered, refused, and used by questions."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any
from urllib.parse import quote

import pytest

from tests.questions.test_filters import LOG, PHONE
from tests.support import Json, Project, Reply, Server
from tests.width import wide
from threadline import Client
from threadline.contract.definitions import Segment
from threadline.contract.times import format_ms, now_ms, parse_ms
from threadline.control import Control
from threadline.questions.definitions import put_segment
from threadline.sqlite import connect


def put(project: Project, path: str, body: object, key: str = "sk") -> Json:
    reply = project.change("PUT", path, body, key)
    assert reply.status == 200, reply
    return reply.json


def delete(project: Project, path: str, key: str = "sk") -> Reply:
    return project.send("DELETE", path, headers={"Authorization": f"Bearer {project.keys[key]}"})


def refused(reply: Reply, field: str) -> str:
    """What a 400 says of this field."""
    assert (reply.status, reply.error) == (400, "invalid_payload"), reply
    (message,) = reply.json["details"]["fieldErrors"][field]
    assert (
        message in reply.json["details"]["message"] or "fields" in reply.json["details"]["message"]
    )
    return str(message)


@pytest.fixture(scope="module")
def empty(server: Server) -> Project:
    return Project(server)


@pytest.fixture(scope="module")
def shop(server: Server) -> Project:
    project = Project(server)
    project.batch(
        [
            {
                "event": row["event"],
                "anonymous_id": row["a"],
                "user_id": row.get("u"),
                "timestamp": row["t"] + ("Z" if row["t"].count(":") > 1 else ":00Z"),
                "url": row.get("url"),
                "referrer": row.get("r"),
                "user_agent": PHONE,
                "properties": row.get("p", {}),
            }
            for row in LOG
        ]
    )
    return project


def count(project: Project, filters: str, **params: Any) -> int:
    answer = project.ask("/v1/stats", filters=filters, **params)
    return int(answer["rows"][0]["value"]) if answer["rows"] else 0


# -- kept and answered --------------------------------------------------------------------------

KEPT: list[tuple[str, Json, Json]] = [
    ("/v1/segments/paid", {"filters": "first.medium==paid"}, {"name": "paid"}),
    ("/v1/segments/Paying customers 🛒", {"filters": "did(30d,2)==purchase"}, {}),
    ("/v1/segments/a%2Fb", {"filters": "known==true", "name": "a%2Fb"}, {}),
    ("/v1/segments/a/b?#%", {"filters": "traits.plan!=(none);devices>1"}, {"name": "a/b?#%"}),
    (
        "/v1/goals/sale",
        {"event": "purchase{plan=pro}", "filters": "country==DE", "value_property": "value",
         "currency_property": "currency", "description": "Someone pays."},
        {"name": "sale"},
    ),
    (
        "/v1/goals/signup",
        {"event": "signup"},
        {"filters": "", "value_property": "", "currency_property": "", "description": ""},
    ),
    (
        "/v1/annotations/launch-1",
        {"at": "2026-05-01", "text": " New prices ", "link": "https://shop.example/blog"},
        {"annotation_id": "launch-1", "text": "New prices"},
    ),
    (
        "/v1/annotations/a",
        {"at": "2026-05-01T14:00:00+02:00", "text": "Sent to 20,000"},
        {"at": "2026-05-01T12:00:00.000Z", "link": ""},
    ),
    (
        "/v1/insights/Signups, by week",
        {"question": "stats", "params": {"event": "signup", "from": "30d", "tz": "Asia/Tokyo"},
         "chart": "line", "description": "<b>How many</b>"},
        {"name": "Signups, by week"},
    ),
    ("/v1/insights/a/b?#%", {"question": "sources"}, {"params": {}, "chart": ""}),
    ("/v1/boards/Monday 🧵", {}, {"insights": [], "description": ""}),
]  # fmt: skip


@pytest.mark.parametrize(("path", "body", "more"), KEPT)
def test_what_is_put_is_there_until_it_is_deleted(
    project: Project, path: str, body: Json, more: Json
) -> None:
    listed, _, name = path[1:].partition("/")[2].partition("/")
    listed, path = f"/v1/{listed}", f"/v1/{listed}/{quote(name, safe='')}"
    assert project.ask(listed) == {"rows": []}
    kept = put(project, path, body)
    assert kept == {**kept, **body, **more}
    assert kept.get("name", kept.get("annotation_id")) == name
    assert project.ask(path) == kept
    assert project.ask(listed) == {"rows": [kept]}
    # What is answered can be put back.
    assert put(project, path, kept) == kept
    assert delete(project, path).json == {"changed": True, "ok": True}
    assert project.get(path).status == delete(project, path).status == 404
    assert project.ask(listed) == {"rows": []}


def test_a_put_replaces_and_lists_are_in_order(project: Project) -> None:
    for name in ("b", "a", "c"):
        put(project, f"/v1/segments/{name}", {"filters": "known==true"})
        put(project, f"/v1/goals/{name}", {"event": name, "filters": "country==DE"})
    put(project, "/v1/segments/a", {"filters": "known==false"})
    put(project, "/v1/goals/a", {"event": "other"})
    rows = project.ask("/v1/segments")["rows"]
    assert [row["name"] for row in rows] == ["a", "b", "c"]
    assert rows[0]["filters"] == "known==false"
    goals = project.ask("/v1/goals")["rows"]
    assert (goals[0]["event"], goals[0]["filters"]) == ("other", "")
    for number, at in enumerate(("2026-05-02", "2026-05-01T23:00Z", "2026-05-01", "2027-01-01")):
        put(project, f"/v1/annotations/{number}", {"at": at, "text": "x"})
    assert [r["annotation_id"] for r in project.ask("/v1/annotations")["rows"]] == list("2103")


def test_what_never_came_is_said_when_it_is_kept(project: Project) -> None:
    project.track("signup", anonymous_id="a", properties={"plan": "pro"})
    goal = put(project, "/v1/goals/slip", {"event": "sign_up{plan=pro}"})
    (warning,) = goal["warnings"]
    assert (warning["code"], warning["parameter"]) == ("unknown_event", "event")
    assert warning["message"].endswith("did you mean 'signup'?")
    assert put(project, "/v1/goals/slip", goal) == goal
    segment = put(project, "/v1/segments/slip", {"filters": "did==signup;did!=purchse"})
    assert [each["parameter"] for each in segment["warnings"]] == ["filters"]
    assert "warnings" not in put(project, "/v1/goals/right", {"event": "signup{plan=pro}"})


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_an_annotation_is_added_once(project: Project, method: str) -> None:
    note = {"at": "2026-05-01", "text": "New prices"}
    first = project.change(method, "/v1/annotations", note)
    assert first.status == 200
    again = project.change(method, "/v1/annotations", {**note, "link": "https://shop.example/"})
    assert again.json["annotation_id"] == first.json["annotation_id"]
    other = project.change(method, "/v1/annotations", {**note, "at": "2026-05-02"})
    assert other.json["annotation_id"] != first.json["annotation_id"]
    named = project.change(method, "/v1/annotations", {**note, "annotation_id": "mine"})
    assert named.json["annotation_id"] == "mine"
    rows = project.ask("/v1/annotations")["rows"]
    assert len(rows) == 3
    assert {row["link"] for row in rows} == {"", "https://shop.example/"}


def test_projects_have_their_own(server: Server) -> None:
    one, other = Project(server), Project(server)
    put(one, "/v1/segments/mine", {"filters": "known==true"})
    assert other.ask("/v1/segments") == {"rows": []}
    assert other.get("/v1/segments/mine").status == 404
    assert delete(other, "/v1/segments/mine").status == 404
    reply = other.get("/v1/stats", filters="segment==mine")
    assert (reply.status, reply.error) == (400, "invalid_params")
    assert "no segments yet" in reply.json["details"]["message"]


# -- who may, and how ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["segments", "goals", "annotations", "insights", "boards"])
def test_rk_reads_and_sk_writes(project: Project, kind: str) -> None:
    path = f"/v1/{kind}/x"
    body = {"filters": "known==true", "event": "x", "at": "2026-05-01", "text": "x"}
    body |= {"question": "stats", "description": "x"}
    fields = {
        "segments": ["filters"],
        "goals": ["event"],
        "annotations": ["at", "text"],
        "insights": ["question"],
        "boards": ["description"],
    }[kind]
    body = {field: body[field] for field in fields}
    for key in ("rk", "pk"):
        assert project.change("PUT", path, body, key).error == "insufficient_scope"
        assert delete(project, path, key).error == "insufficient_scope"
    put(project, path, body)
    for key in ("rk", "sk"):
        assert (
            project.get(path, key=key).status == project.get(f"/v1/{kind}", key=key).status == 200
        )
    assert project.send("GET", path).error == "missing_bearer_token"
    assert project.get(path, limit=3).error == "invalid_params"
    assert project.get(path, _x=3).status == 200
    reply = project.send("HEAD", path, headers={"Authorization": f"Bearer {project.keys['rk']}"})
    assert (reply.status, reply.body) == (200, b"")
    allowed = {*project.send("OPTIONS", path).headers["Allow"].split(", ")}
    assert allowed == {"GET", "HEAD", "PUT", "DELETE", "OPTIONS"}
    reply = project.post(path, body)
    assert (reply.status, reply.headers["Allow"]) == (405, "GET, PUT, DELETE, HEAD, OPTIONS")


@pytest.mark.parametrize(
    ("path", "body", "field", "said"),
    [
        ("segments/x", {}, "filters", "Required"),
        ("segments/x", {"filters": 3}, "filters", "text"),
        ("segments/x", {"filters": ""}, "filters", "at least one condition"),
        ("segments/x", {"filters": " ; "}, "filters", "at least one condition"),
        ("segments/x", {"filters": "frist.source==a"}, "filters", "did you mean first.source?"),
        ("segments/x", {"filters": "source==a"}, "filters", "did you mean first.source?"),
        ("segments/x", {"filters": "known==true;path=^/a"}, "filters", "did you mean first.path?"),
        ("segments/x", {"filters": "visit.source==a"}, "filters", "mean first.source?"),
        ("segments/x", {"filters": "visit.bounce==true"}, "filters", "is of visits"),
        ("segments/x", {"filters": "properties.plan==pro"}, "filters", "is of events"),
        ("segments/x", {"filters": "event==signup"}, "filters", "did you mean did==…?"),
        ("segments/x", {"filters": "user_id=~("}, "filters", "cannot be read"),
        ("segments/x", {"filters": "traits.a=~(?=x)"}, "filters", "cannot be read"),
        ("segments/x", {"filters": "devices>many"}, "filters", "number"),
        ("segments/x", {"filters": "did==goal:sale"}, "filters", "no goals yet"),
        ("segments/x", {"filters": "segment==y"}, "filters", "no segment 'y'"),
        ("segments/x", {"filters": "segment==x"}, "filters", "in a circle: x → x"),
        ("segments/x", {"filters": "known==true", "filter": ""}, "filter", "mean filters?"),
        ("segments/x", {"filters": "known==true", "name": "y"}, "name", "as in the path"),
        ("segments/a;b", {"filters": "known==true"}, "name", "holds none of"),
        ("segments/a|b", {"filters": "known==true"}, "name", "holds none of"),
        ("segments/ x", {"filters": "known==true"}, "name", "no spaces around"),
        ("segments/a\nb", {"filters": "known==true"}, "name", "control"),
        ("segments/(none)", {"filters": "known==true"}, "name", "(none)"),
        (f"segments/{'x' * 101}", {"filters": "known==true"}, "name", "100 characters"),
        ("segments/x", {"filters": "known==true" + ";known==true" * 400}, "filters", "4000"),
        ("goals/x", {}, "event", "Required"),
        ("goals/x", {"event": ""}, "event", "1"),
        ("goals/x", {"event": "a{b=c"}, "event", "is not an event"),
        ("goals/x", {"event": "a{b}"}, "event", "is not a condition"),
        ("goals/x", {"event": "goal:y"}, "event", "is a goal"),
        ("goals/x", {"event": "x" * 129}, "event", "128 characters"),
        ("goals/x", {"event": "a{known=true}"}, "event", "is of persons"),
        ("goals/x", {"event": "a", "filters": "did==x"}, "filters", "is of persons"),
        ("goals/x", {"event": "a", "filters": "plan==x"}, "filters", "no dimension"),
        ("goals/x", {"event": "a", "filters": "cuontry==DE"}, "filters", "did you mean country?"),
        ("goals/x", {"event": "a", "filters": "path=~*"}, "filters", "cannot be read"),
        ("goals/x", {"event": "a", "currency_property": "c"}, "currency_property", "needs"),
        ("goals/x", {"event": "a", "value": "v"}, "value", "no field 'value'"),
        ("goals/a,b", {"event": "a"}, "name", "holds none of"),
        ("annotations/x", {"text": "a"}, "at", "Required"),
        ("annotations/x", {"at": "2026-05-01"}, "text", "Required"),
        ("annotations/x", {"at": "May", "text": "a"}, "at", "ISO 8601"),
        ("annotations/x", {"at": "1777644000", "text": "a"}, "at", "Unix seconds"),
        ("annotations/x", {"at": "2026-05-01", "text": "  "}, "text", "what happened"),
        ("annotations/x", {"at": "2026-05-01", "text": "a\nb"}, "text", "one line"),
        ("annotations/x", {"at": "2026-05-01", "text": "a", "link": "data:x"}, "link", "http"),
        ("annotations/x", {"at": "2026-05-01", "text": "a", "link": "https://"}, "link", "http"),
        ("annotations/ü", {"at": "2026-05-01", "text": "a"}, "annotation_id", "letters"),
        ("insights/x", {}, "question", "Required"),
        ("insights/x", {"question": "stat"}, "question", "did you mean stats?"),
        ("insights/x", {"question": "export"}, "question", "there is no question 'export'"),
        ("insights/x", {"question": "/v1/stats"}, "question", "there is no question"),
        ("insights/x", {"question": "stats", "params": []}, "params", "object"),
        ("insights/x", {"question": "stats", "params": {"limit": 3}}, "params", "text"),
        ("insights/x", {"question": "stats", "params": {"evnt": "a"}}, "params", "mean event?"),
        ("insights/x", {"question": "stats", "params": {"from_": "7d"}}, "params", "mean from?"),
        ("insights/x", {"question": "funnel"}, "params", "needs the parameter steps"),
        ("insights/x", {"question": "stats", "params": {"event": "x" * 4001}}, "params", "4000"),
        ("insights/x", {"question": "stats", "chart": "<b>"}, "chart", "matching"),
        ("insights/x", {"question": "stats", "description": "a\nb"}, "description", "one line"),
        ("insights/a\nb", {"question": "stats"}, "name", "control"),
        ("insights/ x", {"question": "stats"}, "name", "the name of an insight"),
        ("insights/x", {"question": "stats", "param": {}}, "param", "mean params?"),
        ("boards/x", {"insights": [{"insight": "y"}]}, "insights", "no insights yet"),
        ("boards/x", {"insights": [{"insight": "y", "width": 13}]}, "insights", "12"),
        ("boards/x", {"insights": [{"insight": "y", "width": "6"}]}, "insights", "whole number"),
        ("boards/x", {"insights": ["y"]}, "insights", "object"),
        ("boards/x", {"insights": [{"part": "figure"}]}, "insights", "did you mean figures?"),
        ("boards/x", {"insights": [{"width": 6}]}, "insights", "either an insight or a part"),
        ("boards/x", {"insights": [{"insight": "y", "part": "people"}]}, "insights", "either"),
        ("boards/x", {"insights": [{"insight": "y"}] * 101}, "insights", "100"),
        ("boards/x", {"tiles": []}, "tiles", "no field 'tiles'"),
        (f"boards/{'x' * 101}", {}, "name", "100 characters"),
    ],
)  # fmt: skip
def test_what_cannot_be_kept_is_refused_by_field(
    empty: Project, path: str, body: Json, field: str, said: str
) -> None:
    kind, _, name = path.partition("/")
    reply = empty.change("PUT", f"/v1/{kind}/{quote(name, safe='')}", body)
    assert said in refused(reply, field)
    assert empty.ask(f"/v1/{kind}") == {"rows": []}


def test_what_is_not_there_names_what_is_near(project: Project) -> None:
    put(project, "/v1/segments/paying", {"filters": "known==true"})
    put(project, "/v1/goals/purchase", {"event": "purchase"})
    for path, near in (("/v1/segments/payng", "paying"), ("/v1/goals/purchse", "purchase")):
        for reply in (project.get(path), delete(project, path)):
            assert (reply.status, reply.error) == (404, "not_found")
            assert f"did you mean {near}?" in reply.json["details"]["message"]
    for filters, near in (("segment==payng", "paying"), ("did==goal:purchse", "purchase")):
        reply = project.get("/v1/stats", filters=filters)
        assert reply.error == "invalid_params"
        assert f"did you mean {near}?" in reply.json["details"]["message"]
        said = refused(project.change("PUT", "/v1/segments/x", {"filters": filters}), "filters")
        assert f"did you mean {near}?" in said
    assert "there are paying" in project.get("/v1/segments/zzz").json["details"]["message"]


def test_what_is_used_is_not_deleted(project: Project) -> None:
    put(project, "/v1/goals/sale", {"event": "purchase"})
    put(project, "/v1/segments/buyers", {"filters": "did==signup|goal:sale"})
    put(project, "/v1/segments/German%20buyers", {"filters": "segment==buyers;first.country==DE"})
    for path, user in (("/v1/segments/buyers", "German buyers"), ("/v1/goals/sale", "buyers")):
        reply = delete(project, path)
        assert (reply.status, reply.error) == (409, "in_use")
        assert user in reply.json["details"]["message"]
        assert reply.json["details"]["used_by"] == [user]
        assert project.get(path).status == 200
    for path in ("/v1/segments/German%20buyers", "/v1/segments/buyers", "/v1/goals/sale"):
        assert delete(project, path).status == 200


def test_the_overview_is_a_board_of_parts(project: Project) -> None:
    tiles = [{"part": "figures", "width": 12}, {"part": "sources"}]
    board = put(project, "/v1/boards/Overview", {"insights": tiles})
    assert board["insights"] == [{"part": "figures", "width": 12}, {"part": "sources", "width": 6}]
    assert project.ask("/v1/boards/Overview") == board


def test_an_insight_on_a_board_is_not_deleted(project: Project) -> None:
    insight = {"question": "funnel", "params": {"steps": "visit,signup"}}
    put(project, "/v1/insights/Ways%20in", insight)
    tiles = [{"insight": "Ways in", "width": 12}, {"insight": "Ways in"}]
    board = put(project, "/v1/boards/Week", {"insights": tiles})
    assert [tile["width"] for tile in board["insights"]] == [12, 6]
    reply = delete(project, "/v1/insights/Ways%20in")
    assert (reply.status, reply.error) == (409, "in_use")
    assert reply.json["details"]["used_by"] == ["Week"]
    said = refused(
        project.change("PUT", "/v1/boards/Week", {"insights": [{"insight": "Ways inn"}]}),
        "insights",
    )
    assert "did you mean Ways in?" in said
    assert project.ask("/v1/boards/Week") == board
    # What is kept can be asked as it is, whatever the names of its parameters.
    kept = project.ask("/v1/insights/Ways%20in")
    assert project.ask("/v1/funnel", **kept["params"])["rows"]
    assert delete(project, "/v1/boards/Week").status == 200
    assert delete(project, "/v1/insights/Ways%20in").status == 200


def test_segments_do_not_go_in_circles(project: Project) -> None:
    put(project, "/v1/segments/a", {"filters": "known==true"})
    put(project, "/v1/segments/b", {"filters": "segment==a"})
    put(project, "/v1/segments/c", {"filters": "segment!=b|a"})
    reply = project.change("PUT", "/v1/segments/a", {"filters": "segment==c"})
    assert "in a circle: a → c → b → a" in refused(reply, "filters")
    assert project.ask("/v1/segments/a")["filters"] == "known==true"


def test_segments_of_segments_stay_small_enough_to_ask(project: Project) -> None:
    put(project, "/v1/segments/s0", {"filters": "devices>1"})
    for number in range(1, 5):
        before = f"segment==s{number - 1};" * 2
        put(project, f"/v1/segments/s{number}", {"filters": before})
    reply = project.change("PUT", "/v1/segments/s5", {"filters": "segment==s4;" * 3})
    assert "over 100 conditions" in refused(reply, "filters")
    # Nor by what another one refers to.
    reply = project.change("PUT", "/v1/segments/s0", {"filters": "devices>1;" * 9})
    assert "segment s4 " in refused(reply, "filters")
    assert project.get("/v1/stats", filters="segment==s4", stitch="next").status == 200


def test_puts_at_once_leave_all_and_no_circle(server: Server) -> None:
    """Each is decided on what is there when it is written."""
    project = Project(server)
    for name in "ab":
        put(project, f"/v1/segments/{name}", {"filters": "known==true"})
    own = {name: project.again() for name in "ab"}

    def point(name: str, other: str) -> int:
        return (
            own[name].change("PUT", f"/v1/segments/{name}", {"filters": f"segment=={other}"}).status
        )

    with ThreadPoolExecutor(2) as threads:
        assert sorted(threads.map(point, "ab", "ba")) == [200, 400]


def test_a_locked_file_is_an_answer(server: Server) -> None:
    """Whoever holds control.db for long is named, and everything else goes on."""
    project = Project(server)
    with closing(connect(server.folder / "control.db")) as db:
        db.execute("BEGIN IMMEDIATE")
        reply = project.change("PUT", "/v1/segments/x", {"filters": "known==true"})
        db.execute("ROLLBACK")
    assert (reply.status, reply.error) == (503, "unavailable")
    assert "is locked" in reply.json["details"]["message"]
    assert project.ask("/v1/segments") == {"rows": []}


# -- used by questions --------------------------------------------------------------------------

SEGMENTS = {
    "paid": "first.medium==paid",
    "buyers": "did==goal:sale",
    "paid buyers": "segment==paid;segment==buyers",
    "either": "segment==paid|organic",
    "organic": "first.medium==organic",
    "others": "segment!=paid|organic",
}
GOALS: dict[str, Json] = {
    "sale": {"event": "purchase"},
    "big sale": {"event": "purchase{value>5}"},
    "bigger": {"event": "purchase{value>5}", "filters": "properties.value>100"},
    "docs": {"event": "$pageview{path=^/docs/*}"},
    "pro": {"event": "signup{plan=pro}", "filters": "properties.plan!=(none)"},
    "odd": {"event": "sign\\,up{a\\;b=c}"},
}
COUNTS = [
    ("segment==paid", 7),
    ("segment!=paid", 3),
    ("segment==buyers", 7),
    ("segment==paid buyers", 7),
    ("segment==either", 9),
    ("segment==organic|paid", 9),
    ("segment==others", 1),
    ("segment==paid;event==signup", 1),
    ("did==goal:sale", 7),
    ("did!=goal:sale", 3),
    ("did==goal:big sale", 7),
    ("did==goal:bigger", 0),
    ("did==goal:bigger|goal:docs", 10),
    ("did==goal:docs;did!=goal:sale", 3),
    ("did==goal:pro", 7),
    ("did==goal:odd", 0),
]


@pytest.fixture(scope="module")
def named(shop: Project) -> Project:
    for name, goal in GOALS.items():
        put(shop, f"/v1/goals/{quote(name)}", goal)
    for name in ("paid", "organic", "buyers", "paid buyers", "either", "others"):
        put(shop, f"/v1/segments/{quote(name)}", {"filters": SEGMENTS[name]})
    return shop


def test_segments_and_goals_in_filters(named: Project) -> None:
    for filters, expected in COUNTS:
        assert count(named, filters) == expected, filters


# Each with what its answer is compared by.
QUESTIONS: dict[str, Json] = {
    "/v1/stats": {"metric": "persons", "group_by": "event_name"},
    "/v1/sources": {},
    "/v1/visits": {},
    "/v1/users": {},
    "/v1/attribution": {"conversion": "purchase"},
    "/v1/time-to-conversion": {"conversion": "purchase"},
    "/v1/funnel": {"steps": "$pageview,signup"},
    "/v1/retention": {},
    "/v1/paths": {"event": "$pageview"},
}
SAME = [
    ("segment==paid", "first.medium==paid"),
    ("segment==paid buyers", "first.medium==paid;did==purchase"),
    ("segment!=paid buyers", "first.medium!=paid"),
    ("segment!=paid buyers;known==true", "first.medium!=paid;known==true"),
    ("segment==either;did!=goal:big sale", "first.medium==organic;did!=purchase"),
]


@pytest.mark.parametrize("path", QUESTIONS)
def test_every_question_takes_segments_as_what_they_stand_for(named: Project, path: str) -> None:
    """In a usual run two kinds of filters, the next question the next ones."""
    first = list(QUESTIONS).index(path)
    some = [SAME[(first + more) % len(SAME)] for more in (0, 2)]
    for stitch in wide(("next",), ("next", "last")):
        for by_name, written in wide(some, SAME):
            params = {**QUESTIONS[path], "stitch": stitch}
            answer = named.ask(path, filters=by_name, **params)
            assert answer == named.ask(path, filters=written, **params), (by_name, stitch)


def test_a_segment_is_of_now_or_of_as_of(project: Project) -> None:
    put(project, "/v1/segments/buyers", {"filters": "did==purchase"})
    project.track("$pageview", anonymous_id="a", user_id="ann", timestamp="2026-05-01T10:00:00Z")
    project.track("purchase", anonymous_id="b", user_id="ben", timestamp="2026-05-01T10:00:00Z")
    assert count(project, "segment==buyers") == 1
    seen = format_ms(now_ms() + 1)
    while now_ms() <= parse_ms(seen):
        pass  # what comes next comes later
    project.track("purchase", anonymous_id="a", user_id="ann", timestamp="2026-05-01T11:00:00Z")
    assert count(project, "segment==buyers") == 3
    assert count(project, "segment!=buyers") == 0
    assert count(project, "segment==buyers", as_of=seen) == 1
    assert count(project, "segment!=buyers", as_of=seen) == 1
    # The definition that counts is today's.
    put(project, "/v1/segments/buyers", {"filters": "did!=purchase"})
    assert count(project, "segment==buyers") == 0
    assert count(project, "segment==buyers", as_of=seen) == 1


def test_definitions_made_elsewhere_count_at_once(server: Server) -> None:
    project = Project(server)
    project.track("x", user_id="ann")
    with Control(server.folder) as control:
        segment = Segment(name="all", filters="known==true")
        control.define(project.project_id, lambda before: put_segment(before, segment))
    assert project.ask("/v1/segments")["rows"] == [{"name": "all", "filters": "known==true"}]
    assert count(project, "segment==all") == 1


@pytest.mark.parametrize("path", ["/v1/stats", "/v1/visits"])
def test_series_come_with_the_annotations_of_their_time(shop: Project, path: str) -> None:
    for day in range(1, 32):
        put(shop, f"/v1/annotations/day-{day}", {"at": f"2026-05-{day:02}", "text": f"Day {day}"})
    put(shop, "/v1/annotations/noon", {"at": "2026-05-02T12:00:00Z", "text": "Noon"})

    def notes(**params: Any) -> list[str]:
        answer = shop.ask(path, **params)
        return [note["annotation_id"] for note in answer.get("annotations", [])]

    may = {"interval": "day", "from_": "2026-05-02", "to": "2026-05-04"}
    assert notes(**may) == ["day-2", "noon", "day-3"]
    # A date begins by the clocks of the question.
    assert notes(**may, tz="Asia/Kolkata") == ["day-2", "noon", "day-3"]
    kolkata = {**may, "from_": "2026-05-01T18:30:00Z", "to": "2026-05-02T18:30:00Z"}
    assert notes(**kolkata, tz="Asia/Kolkata") == ["day-2", "noon"]
    assert notes(**kolkata) == ["day-2", "noon"]
    assert notes(**{**may, "from_": "2026-05-02T06:00:00Z"}) == ["noon", "day-3"]
    assert notes(**{**may, "to": "2026-05-02T12:00:00Z"}) == ["day-2"]
    # Not before the first interval, where nobody said from when on.
    assert notes(interval="month", to="2026-05-02") == ["day-1"]
    assert notes(interval="day", to="2026-05-03")[0] == "day-1"
    assert notes(interval="day", from_="2026-07-01", to="2026-07-03") == []
    # They belong to series only.
    assert "annotations" not in shop.ask(path, from_="2026-05-02", to="2026-05-04")
    whole = shop.ask(path, **may)["annotations"][1]
    assert whole == shop.ask("/v1/annotations/noon")
    for day in range(1, 32):
        delete(shop, f"/v1/annotations/day-{day}")
    delete(shop, "/v1/annotations/noon")


def test_the_sdk_reads_them(project: Project) -> None:
    put(project, "/v1/segments/known", {"filters": "known==true"})
    put(project, "/v1/goals/sale", {"event": "purchase"})
    put(project, "/v1/annotations/a", {"at": "2026-05-01", "text": "New prices"})
    with Client(project.keys["rk"], project.url) as client:
        for kind in ("segments", "goals", "annotations"):
            assert getattr(client, kind)().rows == project.ask(f"/v1/{kind}")["rows"] != []


def test_a_goal_stands_where_an_event_does(server: Server) -> None:
    shop = Project(server)
    shop.batch(
        [
            {"event": "purchase", "anonymous_id": "d", "properties": {"plan": plan, "value": 7}}
            for plan in ("pro", "pro", "free")
        ]
    )
    goal = {"event": "purchase{plan=pro}", "value_property": "value"}
    assert shop.change("PUT", "/v1/goals/sale", goal).status == 200
    for asked in (
        {"event": "goal:sale"},
        {"filters": "event==goal:sale"},
        {"event": "purchase{plan=pro}"},
    ):
        answer = shop.ask("/v1/stats", **asked)
        assert (answer["rows"], "warnings" in answer) == ([{"value": 2}], False), asked
    others = shop.ask("/v1/stats", filters="event!=goal:sale")
    assert others["rows"] == [{"value": 1}]
    assert shop.ask("/v1/stats", metric="sum", event="goal:sale")["rows"] == [{"value": 14}]
    did = shop.ask("/v1/stats", metric="persons", filters="did==goal:sale")
    assert (did["rows"], "warnings" in did) == ([{"value": 1}], False)
