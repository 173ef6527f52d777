"""What an answer says beside itself, and that nothing is left out without it."""

import json
from typing import Any

import pytest

from tests import forked
from tests.http.test_definitions import put
from tests.support import Json, Project, Server
from threadline import Client


def codes(answer: Json) -> list[tuple[str, str | None]]:
    return [(warning["code"], warning["parameter"]) for warning in answer.get("warnings", [])]


def said(answer: Json) -> str:
    (warning,) = answer["warnings"]
    return str(warning["message"])


def purchases(project: Project, values: list[Any]) -> None:
    """One of each; a value of Ellipsis: without the property."""
    project.batch(
        [
            {
                "event": "purchase",
                "anonymous_id": "d",
                "timestamp": f"2026-05-01T10:00:00.{number:03}Z",
                "properties": {} if value is ... else {"value": value},
            }
            for number, value in enumerate(values)
        ]
    )


HUGE = [1e308, -1e308, "1e308", "1e400", "NaN", "nan", "-nan", "inf", "-Infinity", "Infinity"]
NO_NUMBERS = ["abc", "", " 5 ", "1,5", "0x10", True, False, [1], {"a": 1}]


@pytest.mark.parametrize("bad", [*HUGE, *NO_NUMBERS], ids=repr)
def test_what_is_no_number_counts_as_none(project: Project, bad: object) -> None:
    purchases(project, [10, "5", bad, bad, 0, "0", -0.5, None, ...])
    answer = project.ask("/v1/stats", metric="sum", property="value")
    assert (answer["rows"], answer["skipped"]) == ([{"value": 14.5}], 2)
    assert codes(answer) == [("skipped_values", "property")]
    answer = project.ask("/v1/attribution", conversion="purchase", value_property="value")
    assert (answer["total"]["value"], answer["skipped"]) == (14.5, 2)
    assert sum(row["value"] for row in answer["rows"]) == 14.5
    assert codes(answer) == [("skipped_values", "value_property")]
    by_day = project.ask(
        "/v1/stats", metric="sum", property="value", interval="day", to="2026-05-02"
    )
    assert (by_day["rows"][0]["value"], by_day["skipped"]) == (14.5, 2)


def test_a_number_in_properties_that_cannot_be_read_is_counted(project: Project) -> None:
    """One number out of all bounds makes the whole object unreadable to the engine."""
    raw = '{"event":"purchase","anonymous_id":"d","properties":{"rate":1e400,"value":7}}'
    assert project.post("/v1/track", raw.encode()).status == 202
    purchases(project, [1])
    answer = project.ask("/v1/stats", metric="sum", property="value")
    assert (answer["rows"], answer["skipped"]) == ([{"value": 1.0}], 1)


def test_numbers_alone_need_no_warning(project: Project) -> None:
    purchases(project, [1, 2.5, "3", None, ..., 123456789012345678901234567890])
    answer = project.ask("/v1/stats", metric="sum", property="value")
    assert answer["skipped"] == 0
    assert answer["rows"] == [{"value": pytest.approx(123456789012345678901234567896.5)}]
    assert "warnings" not in answer
    assert "skipped" not in project.ask("/v1/stats")
    assert "skipped" not in project.ask("/v1/attribution", conversion="purchase")


NAMED: list[tuple[str, Json, str]] = [
    ("/v1/query", {"event": "singup"}, "event"),
    ("/v1/stats", {"event": "singup"}, "event"),
    (
        "/v1/stats",
        {"event": "singup", "interval": "day", "metric": "persons", "to": "2026-05-02"},
        "event",
    ),
    ("/v1/stats", {"event": "singup", "metric": "sum", "property": "value"}, "event"),
    ("/v1/users", {"conversion": "singup"}, "conversion"),
    ("/v1/users", {"conversion": "singup", "source": "direct"}, "conversion"),
    ("/v1/time-to-conversion", {"conversion": "singup"}, "conversion"),
    ("/v1/time-to-conversion", {"conversion": "singup", "user_id": "u"}, "conversion"),
    ("/v1/attribution", {"conversion": "singup"}, "conversion"),
    ("/v1/funnel", {"steps": "visit,singup"}, "steps"),
    ("/v1/funnel", {"steps": "visit,signup", "exclude": "singup"}, "exclude"),
    ("/v1/retention", {"cohort": "singup"}, "cohort"),
    ("/v1/retention", {"event": "singup"}, "event"),
    ("/v1/paths", {"event": "singup"}, "event"),
    ("/v1/paths", {"start": "singup{plan!=x}"}, "start"),
    ("/v1/paths", {"start": "visit", "end": "singup{plan!=x}"}, "end"),
    ("/v1/attribution", {"conversion": "singup{plan!=x}"}, "conversion"),
    ("/v1/retention", {"cohort": "singup{plan!=x}"}, "cohort"),
    ("/v1/users", {"conversion": "singup{plan!=x}", "columns": "converted_at"}, "conversion"),
]


@pytest.mark.parametrize(("path", "params", "parameter"), NAMED)
def test_an_event_that_never_came(
    project: Project, path: str, params: Json, parameter: str
) -> None:
    for event in ("visit", "signup", "signup"):
        project.track(event, anonymous_id="d", user_id="u", timestamp="2026-05-01")
    answer = project.ask(path, **params)
    assert codes(answer) == [("unknown_event", parameter)]
    assert said(answer) == (
        "No event named 'singup' ever came to this project; did you mean 'signup'?"
    )
    right = {name: str(value).replace("singup", "signup") for name, value in params.items()}
    if path != "/v1/funnel":
        assert "warnings" not in project.ask(path, **right)
    project.track("singup", anonymous_id="other", user_id="other")
    assert "unknown_event" not in [code for code, _ in codes(project.ask(path, **params))]


def test_an_event_that_never_came_where_none_did(project: Project) -> None:
    assert said(project.ask("/v1/stats", event="x")) == (
        "No event named 'x' ever came to this project; none of any name did."
    )
    project.track("something else")
    assert said(project.ask("/v1/stats", event="x")) == (
        "No event named 'x' ever came to this project; the most frequent is 'something else'."
    )
    assert said(project.ask("/v1/stats", event="SOMETHING ELSE ")).endswith("'something else'?")
    # It came, only not then.
    assert "warnings" not in project.ask("/v1/stats", event="something else", to="2020-01-01")


def test_names_are_the_projects_own(project: Project, server: Server) -> None:
    other = Project(server)
    other.track("secret plan")
    project.track("visit")
    assert "secret plan" not in said(project.ask("/v1/stats", event="secret plam"))


GOOGLEBOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"


def test_bots_that_were_left_out_are_said(project: Project) -> None:
    fields = {"anonymous_id": "b", "user_id": "robo", "timestamp": "2026-05-01"}
    event = {"event": "crawl", "user_agent": GOOGLEBOT, **fields}
    project.post("/v1/batch", {"events": [event, {**event, "event_id": "2"}]})
    project.track("visit", anonymous_id="d", timestamp="2026-05-02")
    for path, params in (
        ("/v1/query", {"event": "crawl"}),
        ("/v1/stats", {"event": "crawl"}),
        (
            "/v1/stats",
            {"event": "crawl", "metric": "persons", "interval": "day", "to": "2026-05-03"},
        ),
        ("/v1/stats", {"to": "2026-05-02", "metric": "persons"}),
        ("/v1/query", {"user_id": "robo"}),
    ):
        answer = project.ask(path, **params)
        assert codes(answer) == [("bots_left_out", "include_bots")], (path, params)
        assert said(answer).startswith("2 events are left out")
        assert "warnings" not in project.ask(path, include_bots="true", **params)
    assert "warnings" not in project.ask("/v1/stats", event="visit")
    assert "warnings" not in project.ask("/v1/stats", event="visit", to="2026-05-02")
    reply = project.get("/v1/users/robo")
    assert reply.status == 404
    assert "2 events that are left out" in reply.json["details"]["message"]
    assert "include_bots=true" in reply.json["details"]["message"]
    assert project.get("/v1/users/robo", include_bots="true").status == 200
    assert "left out" not in project.get("/v1/users/nobody").json["details"]["message"]


def days(project: Project, many: int, **more: object) -> None:
    project.batch(
        [
            {
                "event": f"e{n % 3}",
                "anonymous_id": f"d{n}",
                "timestamp": f"2026-{1 + n // 28:02}-{1 + n % 28:02}T12:00:00Z",
                "url": "https://shop.example/",
                **more,
            }
            for n in range(many)
        ]
    )


@pytest.mark.parametrize("path", ["/v1/stats", "/v1/sessions"])
def test_a_series_keeps_its_newest_end(project: Project, path: str) -> None:
    days(project, 150)
    until = {"to": "2026-06-11"}
    answer = project.ask(path, interval="day", limit=100, **until)
    starts = [row["bucket"] for row in answer["rows"]]
    assert len(starts) == 100
    assert starts == sorted(starts)
    assert starts[-1] == "2026-06-10T00:00:00.000Z"
    assert answer["truncated"] is True
    assert codes(answer) == [("truncated", "limit")]
    assert starts[0] in said(answer)
    whole = project.ask(path, interval="day", **until)
    assert "truncated" not in whole
    assert "warnings" not in whole
    assert len(whole["rows"]) == 161
    assert [row["bucket"] for row in whole["rows"]][-100:] == starts


def test_a_series_in_groups_keeps_its_newest_end(project: Project) -> None:
    days(project, 30)
    project.batch(
        [{"event": name, "timestamp": "2026-01-28T12:00:00Z"} for name in ("e1", "e1", "e2")]
    )
    answer = project.ask(
        "/v1/stats", interval="day", group_by="event_name", limit=8, to="2026-02-03"
    )
    assert [(row["bucket"][:10], row["event_name"], row["value"]) for row in answer["rows"]] == [
        ("2026-01-25", "e0", 1),
        ("2026-01-26", "e1", 1),
        ("2026-01-27", "e2", 1),
        ("2026-01-28", "e1", 2),
        ("2026-01-28", "e0", 1),
        ("2026-01-28", "e2", 1),
        ("2026-02-01", "e1", 1),
        ("2026-02-02", "e2", 1),
    ]
    assert answer["truncated"] is True


def test_whatever_cuts_says_so(project: Project) -> None:
    for user in ("ada", "bob"):
        for number in range(3):
            project.track(
                "signup",
                anonymous_id=f"kiosk {number}",
                user_id=user,
                url=f"https://x/?utm_source=s{number}",
                timestamp=f"2026-05-0{number + 1}",
            )
            project.track(
                f"after {number}", user_id=f"{user} {number}", timestamp="2026-05-02T00:00Z"
            )
            project.track("signup", user_id=f"{user} {number}", timestamp="2026-05-01")
    for path, params, rows in (
        ("/v1/stats", {"group_by": "source"}, "rows"),
        ("/v1/sessions", {"group_by": "source"}, "rows"),
        ("/v1/sources", {}, "rows"),
        ("/v1/identity/shared-devices", {}, "rows"),
        ("/v1/paths", {"event": "signup", "window": "2d"}, "rows"),
    ):
        whole = project.ask(path, **params)
        assert "truncated" not in whole, path
        assert "warnings" not in whole, path
        many = len(whole[rows])
        assert many >= 2, path
        assert "truncated" not in project.ask(path, limit=many, **params), path
        cut = project.ask(path, limit=many - 1, **params)
        assert cut["truncated"] is True, path
        assert codes(cut) == [("truncated", "limit")], path
        assert cut[rows] == whole[rows][:-1], path


def test_more_shared_devices_than_are_named(project: Project) -> None:
    project.batch(
        [
            {"event": "signup", "anonymous_id": f"d{n}", "user_id": user}
            for n in range(101)
            for user in ("ada", "bob")
        ]
    )
    answer = project.ask("/v1/time-to-conversion", conversion="signup")
    assert len(answer["shared_devices"]) == 100
    assert codes(answer) == [("truncated", None)]


def test_what_an_event_came_without_is_null(project: Project) -> None:
    project.track("bare", event_id="e", anonymous_id="d", user_id="u")
    absent = ["campaign", "referrer", "url", "path", "country", "device_type", "os"]
    (row,) = project.stored()
    assert {name: row[name] for name in absent} == dict.fromkeys(absent)
    assert (row["source"], row["medium"]) == ("direct", "direct")
    (row,) = project.journey("u")
    assert {name: row[name] for name in absent} == dict.fromkeys(absent)
    touch_absent = {"campaign": None, "url": None, "referrer": None}
    profile = project.ask("/v1/users/u")
    (user,) = project.ask("/v1/users")["rows"]
    for touch in (profile["first_touch"], profile["last_touch"], user["first_touch"]):
        assert touch.items() >= touch_absent.items()
    for group in ("campaign", "country", "device_type", "os", "path"):
        assert project.ask("/v1/stats", group_by=group)["rows"] == [{group: None, "value": 1}]
    for breakdown in ("campaign", "term", "content"):
        (row,) = project.ask("/v1/sources", breakdown=breakdown)["rows"]
        assert row[breakdown] is None
    # A page says where it is, or it is none, and makes no visit.
    project.track("bare", event_id="f", anonymous_id="d", user_id="u", url="https://shop.example")
    for path, params in (
        ("/v1/visits", {}),
        ("/v1/attribution", {"conversion": "bare"}),
        ("/v1/time-to-conversion", {"conversion": "bare"}),
        ("/v1/funnel", {"steps": "bare,x"}),
    ):
        (row,) = project.ask(path, group_by="campaign", **params)["rows"]
        assert row["campaign"] is None, path
    csv = project.get("/v1/users", format="csv").body.decode()
    assert "None" not in csv


def funnel(project: Project, steps: str, **params: object) -> list[tuple[str, int]]:
    (row,) = project.ask("/v1/funnel", steps=steps, **params)["rows"]
    return [(step["step"], step["persons"]) for step in row["steps"]]


def test_steps_may_have_spaces_around_and_commas_within(project: Project) -> None:
    names = ["cart", "Clicked, CTA", "checkout", "a {b} \\ c", " padded "]
    for minute, name in enumerate(names):
        project.track(
            name,
            anonymous_id="d",
            timestamp=f"2026-05-01T10:0{minute}:00Z",
            properties={"plan": "a,b", "k=": "}"},
        )
    assert funnel(project, "cart, checkout") == [("cart", 1), ("checkout", 1)]
    assert funnel(project, " cart ,\tcheckout\n") == [("cart", 1), ("checkout", 1)]
    assert funnel(project, r"cart, Clicked\, CTA , checkout") == [
        ("cart", 1),
        ("Clicked, CTA", 1),
        ("checkout", 1),
    ]
    assert funnel(project, r"cart,a \{b\} \\ c,\ padded\ ") == [
        ("cart", 1),
        ("a {b} \\ c", 1),
        (" padded ", 1),
    ]
    assert funnel(project, r"cart, checkout{ plan = a,b } ")[1] == ("checkout{plan=a,b}", 1)
    assert funnel(project, r"cart,checkout{k\==\}}")[1] == ("checkout{k==}}", 1)
    for steps in ("cart,", "cart, ", ",cart", "cart,,x", r"cart\,x", "cart{a},x"):
        assert project.get("/v1/funnel", steps=steps).error == "invalid_params", steps
    assert project.get("/v1/funnel", steps="x" * 129 + ",cart").error == "invalid_params"


def test_a_condition_on_a_column_that_is_no_dimension_looks_among_properties(
    project: Project,
) -> None:
    for minute, path in enumerate(("", "pricing")):
        project.track(
            "$pageview" if path else "start",
            anonymous_id="d",
            url=f"https://shop.example/{path}",
            timestamp=f"2026-05-01T10:0{minute}:00Z",
        )
    answer = project.ask("/v1/funnel", steps="start,$pageview{session_id=s}")
    assert codes(answer) == [("property_condition", "steps")]
    assert "$pageview{session_id=s} looks for a property named 'session_id'" in said(answer)
    for steps in ("$pageview{path=/pricing}", "$pageview{plan=pro}"):
        assert "warnings" not in project.ask("/v1/funnel", steps=f"start,{steps}")
    assert funnel(project, "start,$pageview{path=/pricing}")[1] == ("$pageview{path=/pricing}", 1)


def test_answers_that_leave_nothing_out_say_nothing(project: Project) -> None:
    project.track("visit", anonymous_id="d", user_id="u")
    for path, params in (
        ("/v1/query", {}),
        ("/v1/stats", {}),
        ("/v1/sources", {}),
        ("/v1/sessions", {}),
        ("/v1/users", {"conversion": "visit"}),
        ("/v1/users/u", {}),
        ("/v1/users/u/events", {}),
        ("/v1/attribution", {"conversion": "visit"}),
        ("/v1/retention", {}),
        ("/v1/paths", {"event": "visit"}),
        ("/v1/time-to-conversion", {"conversion": "visit"}),
        ("/v1/identity/shared-devices", {}),
    ):
        answer = project.ask(path, **params)
        assert "warnings" not in answer, (path, json.dumps(answer))
        assert "truncated" not in answer


def test_the_sdk_escapes_commas_in_steps(project: Project) -> None:
    for minute, name in enumerate(("Clicked, CTA", "a, b")):
        at = f"2026-05-01T10:0{minute}:00Z"
        project.track(name, anonymous_id="d", timestamp=at, properties={"plan": "x,y"})
    project.stored()
    with Client(project.keys["rk"], project.url) as client:
        table = client.funnel(["Clicked, CTA", r"a\, b{plan=x,y}"])
        assert [row["persons"] for row in table] == [1, 1]
        (event,) = client.events(event="a, b")
        assert (event.campaign, event.url, event.country) == (None, None, None)


def test_the_timeline_of_events_without_a_page(server: Server, project: Project) -> None:
    project.track("bare", anonymous_id="d", user_id="u")
    project.stored()
    options = ["--data", str(server.folder), "--project", project.project_id]
    ran = forked.run("user", "u", *options)
    assert ran.returncode == 0, ran.stderr
    assert "bare" in ran.stdout
    assert "None" not in ran.stdout


@pytest.mark.parametrize("path", ["/v1/users", "/v1/query"])
def test_a_source_that_nobody_came_by_is_named(project: Project, path: str) -> None:
    ad = "https://shop.example/?utm_source=facebook&utm_medium=cpc"
    project.track("signup", anonymous_id="d", user_id="u", url=ad)
    assert not codes(project.ask(path, source="facebook"))
    answer = project.ask(path, source="facebok", medium="paid")
    assert (answer["rows"], codes(answer)) == ([], [("unknown_source", "source")])
    assert "did you mean 'facebook'?" in said(answer)
    # One that somebody may have come by, but nobody did.
    assert not codes(project.ask(path, source="direct"))
    exported = project.get("/v1/export", source="facebok")
    assert "did you mean 'facebook'?" in exported.headers["Threadline-Warnings"]


@pytest.mark.parametrize("path", ["/v1/stats", "/v1/users", "/v1/query", "/v1/export"])
def test_a_time_that_holds_nothing_is_refused(project: Project, path: str) -> None:
    for from_, to in (("2026-05-02", "2026-05-01"), ("2026-05-01", "2026-05-01")):
        reply = project.get(path, from_=from_, to=to)
        assert (reply.status, reply.error) == (400, "invalid_params")
        assert "to is exclusive" in reply.json["details"]["fieldErrors"]["to"][0]


@pytest.mark.parametrize(
    ("path", "params", "code", "near"),
    [
        ("/v1/stats", {"filters": "channel==Organic Serach"}, "unknown_source", "Organic Search"),
        ("/v1/stats", {"filters": "source==gogle"}, "unknown_source", "google"),
        ("/v1/stats", {"filters": "host==shop.exmaple"}, "unknown_value", "shop.ex"),
        ("/v1/stats", {"filters": "properties.plan==por"}, "unknown_value", "pro"),
        ("/v1/stats", {"filters": "path==/pricng", "interval": "day"}, "unknown_value", "/pricing"),
        ("/v1/users", {"filters": "first.source==gogle"}, "unknown_source", "google"),
        ("/v1/users", {"filters": "traits.role==amdin"}, "unknown_value", "admin"),
        ("/v1/visits", {"filters": "visit.channel==Paid Serch"}, "unknown_source", "Paid Search"),
        ("/v1/sources", {"filters": "source==gogle"}, "unknown_source", "google"),
        ("/v1/retention", {"filters": "source==gogle", "interval": "week"}, "unknown_source", "g"),
        ("/v1/funnel", {"steps": "go,go{path=/pricng}"}, "", ""),
        ("/v1/funnel", {"steps": "go{path=/pricng},go"}, "unknown_value", "/pricing"),
        ("/v1/paths", {"start": "go{source=gogle}"}, "unknown_source", "google"),
        ("/v1/attribution", {"conversion": "go{source=gogle}"}, "unknown_source", "google"),
        ("/v1/time-to-conversion", {"conversion": "go{source=gogle}"}, "unknown_source", "google"),
        # What may come yet, what is there, and what is as it should be.
        ("/v1/stats", {"filters": "channel==Paid Search"}, "", ""),
        ("/v1/stats", {"filters": "source==direct"}, "", ""),
        ("/v1/stats", {"filters": "properties.seats==10.0;source==(none)"}, "", ""),
        ("/v1/stats", {"filters": "source==google|gogle"}, "", ""),
        ("/v1/stats", {"filters": "source!=gogle"}, "", ""),
        ("/v1/stats", {"filters": "segment==ours;did==buy"}, "", ""),
    ],
)
def test_a_value_that_never_came_is_named(
    project: Project, path: str, params: Json, code: str, near: str
) -> None:
    project.track("$identify", user_id="u", properties={"role": "admin"}, timestamp="2026-05-01")
    project.track(
        "go",
        user_id="u",
        timestamp="2026-05-01",
        url="https://shop.example/pricing",
        referrer="https://www.google.com/",
        properties={"plan": "pro", "seats": 10},
    )
    put(project, "/v1/segments/ours", {"filters": "known==true"})
    answer = project.ask(path, **params)
    if not code:
        assert not {"unknown_source", "unknown_value"} & {each for each, _ in codes(answer)}
    else:
        parameter = next(iter(params))
        assert codes(answer) == [(code, parameter)]
        assert f"did you mean '{near}" in said(answer)


def test_a_user_who_never_came_is_said(project: Project) -> None:
    project.track("go", user_id="u", timestamp="2026-05-01")
    for path in ("/v1/users", "/v1/stats"):
        answer = project.ask(path, filters="user_id==nobody")
        assert codes(answer) == [("unknown_value", "filters")]
        assert "carries the user_id 'nobody'" in said(answer)
    for filters in ("user_id==u", "user_id==u|nobody", "user_id==u;event==buy", "user_id!=u"):
        answer = project.ask("/v1/stats", filters=filters)
        assert "unknown_value" not in [code for code, _ in codes(answer)], filters


def test_a_property_that_nothing_looks_at_is_said(project: Project) -> None:
    purchases(project, [1, 2])
    asked = {"event": "purchase", "property": "value"}
    for metric in ("count", "persons"):
        answer = project.ask("/v1/stats", metric=metric, **asked)
        assert codes(answer) == [("unused_parameter", "property")]
        assert "choose sum" in said(answer)
    for metric in ("sum", "per_person"):
        assert "warnings" not in project.ask("/v1/stats", metric=metric, **asked)
