"""What a query string may say: everything that is wrong is named, with the way out, and nothing is
ignored but what begins with `_`."""

import re
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openapi_spec_validator import validate

from tests.support import Json, Project, Reply, Server


def get(project: Project, path_and_query: str) -> Reply:
    """The address as it is written."""
    headers = {"Authorization": f"Bearer {project.keys['rk']}"}
    return project.send("GET", path_and_query, headers=headers)


WRONG: list[tuple[str, str]] = [
    # The address, and what is said: the parameter and the way out.
    ("/v1/stats?interval=year", "interval: choose one of hour, day, week, month."),
    ("/v1/stats?interval=", "interval: choose one of hour, day, week, month."),
    ("/v1/stats?interval=null", "interval: choose one of hour, day, week, month."),
    ("/v1/stats?metric=mean", "metric: choose one of count, uniques, persons, visits, sum, avg, "),
    ("/v1/stats?metric=avg", "property: required with metric=avg."),
    ("/v1/stats?metric=sum", "property: required with metric=sum."),
    ("/v1/stats?event=", "event: give it a value, or leave it out."),
    ("/v1/stats?event=" + "x" * 129, "event: write at most 128 characters."),
    ("/v1/stats?event=a&event=b", "event: given more than once; give it once."),
    ("/v1/stats?group_by=source&group_by=medium", "group_by: given more than once; give it once."),
    ("/v1/stats?evnt=a&evnt=b", "evnt: there is no such parameter; did you mean event?"),
    ("/v1/stats?zzzz=1", "zzzz: there is no such parameter; known: stitch"),
    ("/v1/stats?exact=maybe", "exact: write true or false."),
    ("/v1/stats?exact=", "exact: give it a value, or leave it out."),
    ("/v1/stats?tz=", "tz: give it a value, or leave it out."),
    ("/v1/stats?tz=Mars/Base", "tz: there is no time zone 'Mars/Base'; write a name such as"),
    ("/v1/stats?tz=localtime", "tz: there is no time zone 'localtime'"),
    ("/v1/stats?stitch=all", "stitch: choose one of any, first, next, last, none."),
    ("/v1/query?include_bots=null", "include_bots: write true or false."),
    ("/v1/query?user_id=", "user_id: give it a value, or leave it out."),
    ("/v1/query?cursor=", "cursor: give it a value, or leave it out."),
    ("/v1/query?cursor=%21%21", "cursor: this is not a valid cursor"),
    ("/v1/attribution?conversion=x&model=firsttouch", "model: choose one of first_touch, last_"),
    (
        "/v1/attribution?conversion=x&convertion=x",
        "convertion: there is no such parameter; did you mean conv",
    ),
    (
        "/v1/users/u/events?phase=befor",
        "phase: choose one of before, after, all; did you mean before?",
    ),
    ("/v1/users?format=xml", "format: choose one of json, ndjson, csv."),
    ("/v1/export?format=xml", "format: choose one of ndjson, csv, parquet."),
    ("/v1/funnel?steps=a,b&window=7", "window: write a whole number and its unit, such as 30m"),
    ("/v1/funnel?steps=a,b&window=7d%0A", "window: write a whole number and its unit"),
    ("/v1/paths", "event: required."),
    ("/v1/identity/explain", "event_id: give event_id, or anonymous_id and at."),
    ("/v1/identity/explain?anonymous_id=a", "event_id: give event_id, or anonymous_id and at."),
    ("/v1/identity/explain?at=2026-05-01", "anonymous_id: required with at."),
    ("/v1/identity/explain?event_id=a&at=2026-05-01", "event_id: give event_id, or anonymous_id"),
    *[
        (f"/v1/query?limit={number}", "limit: write a whole number from 1 to 1000.")
        for number in ("0", "1001", "many", "1e3", "1.0", "%2B5", "%2010", "1_0", "0x10", "-1")
    ],
    ("/v1/query?limit=" + "9" * 5000, "limit: write a whole number from 1 to 1000."),
    ("/v1/query?limit=" + quote("١٢"), "limit: write a whole number from 1 to 1000."),
    ("/v1/query?from=tomorrow", "from: write ISO 8601, such as 2026-05-01T14:00:00Z, or one of "),
    ("/v1/query?from=7m", "from: 7m is of no length; write 7mo for months."),
    ("/v1/query?to=all", "to: all goes with from; leave to out"),
    (
        "/v1/query?from=1764583200",
        "from: write ISO 8601, such as 2026-05-01T14:00:00Z; 1764583200 ",
    ),
    ("/v1/query?from=1764583200", "looks like Unix seconds."),
    ("/v1/query?to=1764583200123", "1764583200123 looks like Unix milliseconds."),
    # It would be read as 1712-01-01T23:45.
    ("/v1/query?from=1712010112345", "1712010112345 looks like Unix milliseconds."),
    ("/v1/query?from=2026-05-01T14:00:00+02:00", "the + of an offset is %2B in an address."),
    ("/v1/query?to=99999-01-01", "to: write ISO 8601, such as"),
]


@pytest.mark.parametrize(("address", "message"), WRONG, ids=lambda text: text[:60])
def test_what_is_wrong_is_named_with_the_way_out(
    project: Project, address: str, message: str
) -> None:
    reply = get(project, address)
    assert (reply.status, reply.error) == (400, "invalid_params"), reply
    assert message in reply.json["details"]["message"]
    assert ".." not in reply.json["details"]["message"]
    assert "?." not in reply.json["details"]["message"]
    (said,) = reply.json["details"]["fieldErrors"].values()
    assert said[0] in reply.json["details"]["message"]


def test_all_wrong_parameters_are_named_at_once(project: Project) -> None:
    reply = get(project, "/v1/stats?interval=year&limit=0&x=1&metric=sum&_=1&_=2")
    assert sorted(reply.json["details"]["fieldErrors"]) == ["interval", "limit", "x"]


def test_cache_busters_are_nobodys_business(project: Project) -> None:
    project.track("x")
    for query in ("_=123", "_=1&_=2", "_t=&__proto__=1", "_", "&&"):
        reply = get(project, f"/v1/stats?{query}")
        assert (reply.status, reply.json["rows"]) == (200, [{"value": 1}]), query


def test_spellings_that_are_taken(project: Project) -> None:
    project.track("a b+c", timestamp="2026-05-01T10:00:00Z")
    for query in (
        "event=a%20b%2Bc",
        "event=a+b%2Bc",
        "from=2026-05-01&to=2026-05-02",
        "from=20260501",
        "from=2026-05-01T12:00:00%2B02:00&to=2026-05-01T10:00:00.001Z",
        "from=2026-W18-5",
        "exact=TRUE",
        "exact=0",
        "group_by=",
    ):
        assert get(project, f"/v1/stats?{query}").json["rows"] == [{"value": 1}], query


def test_more_parameters_than_anybody_needs(project: Project) -> None:
    reply = get(project, "/v1/stats?" + "&".join(f"_{n}=1" for n in range(101)))
    assert (reply.status, reply.error) == (400, "invalid_params")


ROUTES = [
    *("/v1/query", "/v1/stats", "/v1/sources", "/v1/sessions", "/v1/users", "/v1/users/u"),
    *("/v1/users/u/events", "/v1/attribution", "/v1/funnel", "/v1/retention", "/v1/paths"),
    *("/v1/retention/people", "/v1/paths/people"),
    *("/v1/time-to-conversion", "/v1/identity/stats", "/v1/identity/shared-devices"),
    "/v1/identity/explain",
]
NAMES = (
    "from to tz as_of stitch interval metric event property group_by limit cursor conversion steps "
    "window exclude model direction by cohort periods at anonymous_id event_id user_id phase order "
    "filters search columns start end loops within cohort_start mode week_start value_property"
).split()
VALUES = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        [
            *(
                "",
                "null",
                "0",
                "-1",
                "1e3",
                "day",
                "UTC",
                "a,b",
                "a{b=c},d",
                "\\",
                "source",
                "sum",
                "a{b=~(}",
                "x{",
                "traits.\x00",
            ),
            *("0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2026-05-01", "first"),
            *(
                "WzFd",
                "WyIiLDEsIngiXQ",
                "WyJ4IiwxLCJ4Il0",
                "W251bGwsMSwiIl0",
                "\x00",
                "{tz:String}",
            ),
        ]
    ),
)


@settings(max_examples=60)
@given(
    path=st.sampled_from(ROUTES),
    params=st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=5),
)
def test_whatever_is_asked_is_answered_or_refused(server: Server, path: str, params: Json) -> None:
    project = Project(server)
    query = "&".join(
        f"{name}={quote(str(value).encode('utf-8', 'replace'))}" for name, value in params.items()
    )
    reply = get(project, f"{path}?{query}")
    assert reply.status in (200, 400, 404), (path, params, reply)
    if reply.status == 400:
        assert reply.json["details"]["message"]


def pages(project: Project, path: str, **params: Any) -> str:
    """The cursor behind the first page."""
    return str(project.ask(path, limit=1, **params)["next_cursor"])


def test_a_cursor_holds_for_its_own_question_only(server: Server, project: Project) -> None:
    other = Project(server)
    for each in (project, other):
        for number in range(3):
            each.track(
                "x", anonymous_id="d", user_id=f"u{number}", timestamp=f"2026-05-0{number + 1}"
            )
            each.track("x", anonymous_id="d", user_id="u0", timestamp=f"2026-05-0{number + 1}")
    paths = ["/v1/query", "/v1/users", "/v1/users/u0/events", "/v1/users/u1/events"]
    asked: list[tuple[str, Json]] = [(path, {}) for path in paths]
    asked.append(("/v1/users/u0/events", {"order": "desc"}))
    asked[3] = ("/v1/users/u1/events", {"stitch": "any"})
    project.track("x", anonymous_id="d", user_id="u1")
    other.track("x", anonymous_id="d", user_id="u1")
    cursors = [pages(project, path, **params) for path, params in asked]
    for at, (path, params) in enumerate(asked):
        for of, cursor in enumerate(cursors):
            reply = project.get(path, cursor=cursor, **params)
            assert reply.status == (200 if at == of else 400), (path, of)
            if at != of:
                assert list(reply.json["details"]["fieldErrors"]) == ["cursor"]
        assert other.get(path, cursor=cursors[at], **params).status == 400
        half = cursors[at][: len(cursors[at]) // 2]
        for garbage in (half, cursors[at] + "x", cursors[at][::-1], "=", "é", "A" * 5000):
            reply = project.get(path, cursor=garbage, **params)
            assert (reply.status, reply.error) == (400, "invalid_params"), garbage
    # What does not decide the order may change from page to page.
    assert project.get("/v1/query", cursor=cursors[0], limit=2).status == 200


def test_the_document_is_as_wide_as_the_server(project: Project) -> None:
    document = project.send("GET", "/openapi.json").json
    validate(document)

    def schema(path: str, name: str) -> Json:
        (found,) = (
            parameter
            for parameter in document["paths"][path]["get"]["parameters"]
            if parameter["name"] == name
        )
        if found["schema"].get("type") == "array":
            assert (found["style"], found["explode"]) == ("form", False)
        return dict(found["schema"])

    required: Json = {
        "/v1/attribution": {"conversion": "x"},
        "/v1/attribution/why": {"user_id": "u", "conversion": "x"},
        "/v1/time-to-conversion": {"conversion": "x"},
        "/v1/funnel": {"steps": "a,b"},
        "/v1/funnel/people": {"steps": "a,b", "step": "1"},
        "/v1/paths": {"event": "x"},
        "/v1/retention/people": {"cohort_start": "2026-05-01", "period": 0},
        "/v1/identity/explain": {"anonymous_id": "d", "at": "2026-05-01"},
    }
    project.track("x", user_id="u", properties={"account_id": "acme"})
    for path, methods in document["paths"].items():
        for parameter in methods.get("get", {}).get("parameters", []):
            if parameter["name"] == "stitch":
                whole = path.format(user_id="u", account_id="acme")
                reply = project.get(whole, stitch="any", **required.get(path, {}))
                assert reply.status == (200 if "any" in parameter["schema"]["enum"] else 400), path
    assert schema("/v1/users", "stitch")["enum"] == ["any", "first", "next", "last", "none"]
    assert schema("/v1/stats", "stitch")["enum"] == ["first", "next", "last", "none"]
    assert schema("/v1/identity/stats", "stitch")["enum"] == ["first", "next", "last", "none"]
    assert schema("/v1/attribution", "group_by")["items"]["anyOf"][0]["enum"][:6] == [
        *("source", "medium", "campaign", "channel"),
        *("landing_path", "first_country"),
    ]
    assert "path" in schema("/v1/stats", "group_by")["items"]["anyOf"][0]["enum"]
    cursor = pages_of_two(project)
    assert re.search(schema("/v1/query", "cursor")["pattern"], cursor)
    steps = re.compile(schema("/v1/funnel", "steps")["pattern"])
    assert steps.search("$pageview,signup,purchase")
    assert not steps.search("alone")
    stats = document["components"]["schemas"]["Stats"]["properties"]
    assert {"truncated", "warnings", "skipped"} <= set(stats)
    warning = document["components"]["schemas"]["AnswerWarning"]["properties"]
    assert list(warning) == ["code", "parameter", "message"]


def pages_of_two(project: Project) -> str:
    project.track("x")
    project.track("x")
    return pages(project, "/v1/query")


def test_the_next_cursor_may_be_read_by_pages(project: Project) -> None:
    origin = "https://shop.example"
    headers = {"Authorization": f"Bearer {project.keys['rk']}", "Origin": origin}
    for user in ("a", "b"):
        project.track("x", user_id=user)
    project.stored()
    reply = project.send("GET", "/v1/users?format=csv&limit=1", headers=headers)
    assert reply.headers["Threadline-Next-Cursor"]
    assert "Threadline-Next-Cursor" in reply.headers["Access-Control-Expose-Headers"]


def test_an_event_is_explained_alike_each_time_and_by_its_device(project: Project) -> None:
    project.track("x", event_id="e", anonymous_id="d", user_id="u")
    project.track("x", event_id="f", user_id="u")
    explained = project.ask("/v1/identity/explain", event_id="e")
    assert explained["anonymous_id"] == "d"
    assert project.ask("/v1/identity/explain", event_id="e", anonymous_id="d") == explained
    assert project.get("/v1/identity/explain", event_id="e", anonymous_id="x").status == 404
    made = project.ask("/v1/identity/explain", event_id="f")
    assert (
        project.ask("/v1/identity/explain", event_id="f", anonymous_id=made["anonymous_id"]) == made
    )
