"""Answers do not depend on the zone of the machine, dates are those of `tz`, and no time is out of
the calendar."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.support import Json, Project, Server, row_values
from threadline.contract.times import Timestamp
from threadline.ingest import row
from threadline.questions import journey, retention, stats, stats_shapes
from threadline.questions.context import Context
from threadline.store import Store, store_url

HOSTS = ["America/New_York", "Pacific/Kiritimati"]

# Every question that speaks of times, and some of each kind.
EVERY_QUESTION: list[tuple[str, Json]] = [
    ("/v1/query", {}),
    ("/v1/stats", {"interval": "hour", "to": "2026-05-03"}),
    ("/v1/stats", {"interval": "day", "group_by": "source", "to": "2026-05-03"}),
    (
        "/v1/stats",
        {"interval": "day", "metric": "persons", "tz": "Europe/Berlin", "to": "2026-05-03"},
    ),
    (
        "/v1/stats",
        {"interval": "week", "metric": "uniques", "tz": "Asia/Kolkata", "to": "2026-06-01"},
    ),
    ("/v1/stats", {"interval": "month", "metric": "persons", "to": "2026-06-01"}),
    ("/v1/sources", {}),
    ("/v1/sessions", {"interval": "day", "group_by": "source", "to": "2026-05-03"}),
    ("/v1/users", {"conversion": "signup"}),
    ("/v1/users/ada", {}),
    ("/v1/users/ada/events", {}),
    ("/v1/time-to-conversion", {"conversion": "signup"}),
    ("/v1/time-to-conversion", {"conversion": "signup", "user_id": "ada"}),
    ("/v1/attribution", {"conversion": "signup", "model": "time_decay"}),
    ("/v1/funnel", {"steps": "$pageview,signup"}),
    ("/v1/retention", {"interval": "day", "tz": "Europe/Berlin"}),
    ("/v1/retention", {"interval": "month", "cohort": "signup"}),
    ("/v1/paths", {"event": "signup", "direction": "before"}),
    ("/v1/identity/shared-devices", {}),
    ("/v1/identity/stats", {}),
    ("/v1/identity/explain", {"event_id": "e1"}),
]


def a_story() -> list[Json]:
    """Around two midnights, on a shared device."""
    times = ["04-30T23:10", "05-01T00:30", "05-01T12:00", "05-01T23:30", "05-02T00:00"]
    events: list[Json] = [
        {
            "event": "$pageview",
            "event_id": f"e{number}",
            "anonymous_id": "kiosk",
            "timestamp": f"2026-{at}:00Z",
            "url": "https://shop.example/?utm_source=mail",
        }
        for number, at in enumerate(times)
    ]
    for number, user in enumerate(("ada", "bob"), start=1):
        signup = {"event": "signup", "event_id": user, "anonymous_id": "kiosk", "user_id": user}
        events.append({**signup, "timestamp": f"2026-05-0{number}T13:00:00Z"})
    return events


class Told(NamedTuple):
    """A folder that was served in UTC, and what it answered there."""

    folder: Path
    project: Project
    answers: list[Json]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    folder = tmp_path_factory.mktemp("told") / "data"
    with Server(folder, TZ="UTC") as server:
        project = Project(server)
        project.batch(a_story())
        answers = [project.ask(path, **params) for path, params in EVERY_QUESTION]
        assert server.stop() == 0
    return Told(folder, project, answers)


@pytest.fixture(scope="module")
def host(told: Told, request: pytest.FixtureRequest) -> Iterator[Server]:
    """The same folder, served on a machine in another zone."""
    with Server(told.folder, TZ=request.param) as server:
        yield server
        assert server.stop() == 0


@pytest.mark.parametrize("host", HOSTS, indirect=True, scope="module")
def test_no_answer_depends_on_the_hosts_zone(told: Told, host: Server) -> None:
    there = told.project.again(host)
    for (path, params), answer in zip(EVERY_QUESTION, told.answers, strict=True):
        assert there.ask(path, **params) == answer, (path, params)
    # Nothing had been received by the time of the last event, in whatever zone.
    as_of = told.answers[0]["rows"][0]["timestamp"]
    assert there.ask("/v1/stats", as_of=as_of)["rows"] == [{"value": 0}]


@pytest.mark.parametrize("host", ["UTC", *HOSTS], indirect=True, scope="module")
def test_intervals_on_a_host_in_another_zone(host: Server) -> None:
    project = Project(host)
    for number, at in enumerate(("2026-05-01T00:30:00Z", "2026-05-01T23:30:00Z")):
        page = "https://shop.example/"
        project.track("a", anonymous_id=f"d{number}", timestamp=at, url=page)
    for params, starts in (
        ({"interval": "day"}, ["2026-05-01T00:00:00.000Z"]),
        (
            {"interval": "day", "tz": "Europe/Berlin"},
            ["2026-04-30T22:00:00.000Z", "2026-05-01T22:00:00.000Z"],
        ),
        ({"metric": "persons", "interval": "month"}, ["2026-05-01T00:00:00.000Z"]),
        ({"metric": "persons", "interval": "week"}, ["2026-04-27T00:00:00.000Z"]),
        (
            {"metric": "uniques", "interval": "hour"},
            ["2026-05-01T00:00:00.000Z", "2026-05-01T23:00:00.000Z"],
        ),
    ):
        for path in ("/v1/stats", "/v1/sessions"):
            if path == "/v1/sessions":
                params = {name: params[name] for name in params if name != "metric"}
            rows = project.ask(path, to="2026-05-02T00:00Z", **params)["rows"]
            some = [row for row in rows if row.get("value", row.get("visits"))]
            assert [row["bucket"] for row in some] == starts, (path, params)
            assert [row["time"] for row in some] == starts
    (cohort,) = project.ask("/v1/retention", interval="day")["rows"]
    assert (cohort["cohort"], cohort["persons"]) == ("2026-05-01T00:00:00.000Z", 2)


def counted(project: Project, **params: Any) -> int:
    (row,) = project.ask("/v1/stats", **params)["rows"]
    return int(row["value"])


def test_dates_are_those_of_the_zone(project: Project) -> None:
    """Berlin's 1 May is from 22:00Z to 22:00Z."""
    project.track("v", timestamp="2026-04-30T23:00:00Z")
    project.track("v", timestamp="2026-05-01T22:30:00Z")
    day = {"from": "2026-05-01", "to": "2026-05-02", "tz": "Europe/Berlin"}
    (row,) = project.ask("/v1/stats", interval="day", **day)["rows"]
    assert (row["bucket"], row["value"]) == ("2026-04-30T22:00:00.000Z", 1)
    assert counted(project, **day) == 1
    assert counted(project, **{**day, "tz": "UTC"}) == 1
    assert counted(project, **{**day, "from": "2026-04-30"}) == 1
    # With a time, and without an offset, it is UTC as ever.
    assert counted(project, **{**day, "to": "2026-05-02T00:00"}) == 2


@pytest.mark.parametrize(
    ("day", "end", "zone", "inside", "outside"),
    [
        # 23 hours, and 25.
        *[
            ("2026-03-29", "2026-03-30", "Europe/Berlin", inside, outside)
            for inside, outside in (
                ("2026-03-28T23:00:00Z", "2026-03-28T22:59:59.999Z"),
                ("2026-03-29T21:59:59.999Z", "2026-03-29T22:00:00Z"),
            )
        ],
        *[
            ("2026-10-25", "2026-10-26", "Europe/Berlin", inside, outside)
            for inside, outside in (
                ("2026-10-24T22:00:00Z", "2026-10-24T21:59:59.999Z"),
                ("2026-10-25T22:59:59.999Z", "2026-10-25T23:00:00Z"),
            )
        ],
        # It begins at one o'clock: there is no midnight.
        (
            *("2025-09-07", "2025-09-08", "America/Santiago"),
            *("2025-09-07T04:00:00Z", "2025-09-07T03:59:59.999Z"),
        ),
        ("20260501", "20260502", "Pacific/Kiritimati", "2026-04-30T10:00Z", "2026-05-01T10:00Z"),
    ],
)
def test_days_by_their_clocks(
    project: Project, day: str, end: str, zone: str, inside: str, outside: str
) -> None:
    project.track("in", timestamp=inside)
    project.track("out", timestamp=outside)
    given = {"from": day, "to": end, "tz": zone}
    rows = project.ask("/v1/stats", group_by="event_name", **given)["rows"]
    assert rows == [{"event_name": "in", "value": 1}]
    rows = project.ask("/v1/stats", interval="day", **given)["rows"]
    assert [row["value"] for row in rows] == [1]


def test_dates_are_the_zones_in_every_question(project: Project) -> None:
    visit = {"anonymous_id": "d", "user_id": "u", "url": "https://shop.example/"}
    project.track("signup", **visit, timestamp="2026-04-30T23:00:00Z")
    for path, params, found in (
        ("/v1/sources", {}, lambda answer: len(answer["rows"])),
        ("/v1/sessions", {}, lambda answer: len(answer["rows"])),
        ("/v1/users", {}, lambda answer: len(answer["rows"])),
        ("/v1/attribution", {"conversion": "signup"}, lambda a: a["total"]["conversions"]),
        ("/v1/time-to-conversion", {"conversion": "signup"}, lambda a: len(a["rows"])),
        ("/v1/funnel", {"steps": "signup,x"}, lambda a: a["rows"][0]["steps"][0]["persons"]),
        ("/v1/retention", {}, lambda answer: len(answer["rows"])),
        ("/v1/paths", {"event": "signup"}, lambda answer: answer["persons"]),
    ):
        given = {"from": "2026-05-01", "to": "2026-05-02", **params}
        assert found(project.ask(path, tz="Europe/Berlin", **given)) == 1, path
        assert found(project.ask(path, **given)) == 0, path


def test_as_of_a_date_is_when_it_begins_in_the_zone(project: Project) -> None:
    project.track("x")
    # It is tomorrow, or today, there as here: what came is known or not, but it is no error.
    for zone in ("UTC", *HOSTS):
        assert counted(project, as_of="2999-01-01", tz=zone) == 1
        assert counted(project, as_of="2020-01-01", tz=zone) == 0


FAR = [
    "0001-01-01T00:00:00+23:59",
    "0001-01-01",
    "9999-12-31T23:59:59.999999+00:00",
    "9999-12-31T23:59:59-23:59",
    "9999-12-31",
]
BESIDES: Json = {
    "/v1/query": {},
    "/v1/export": {},
    "/v1/stats": {"interval": "month", "metric": "persons"},
    "/v1/sources": {},
    "/v1/sessions": {"interval": "day"},
    "/v1/users": {"conversion": "signup"},
    "/v1/users/u": {},
    "/v1/users/u/events": {},
    "/v1/attribution": {"conversion": "signup"},
    "/v1/funnel": {"steps": "signup,x"},
    "/v1/retention": {"interval": "day"},
    "/v1/paths": {"event": "signup", "window": "99999w"},
    "/v1/time-to-conversion": {"conversion": "signup"},
    "/v1/identity/stats": {},
    "/v1/identity/shared-devices": {},
    "/v1/identity/explain": {"anonymous_id": "d", "at": "2026-05-01"},
}
NAMES: Json = {
    "/v1/query": ["from", "to"],
    "/v1/export": ["from", "to"],
    **{path: ["as_of"] for path in ("/v1/users/u", "/v1/users/u/events", "/v1/identity/stats")},
    "/v1/identity/shared-devices": ["as_of"],
    "/v1/identity/explain": ["as_of", "at"],
}


@pytest.mark.parametrize("path", BESIDES)
def test_no_time_is_out_of_the_calendar(project: Project, path: str) -> None:
    project.track("signup", anonymous_id="d", user_id="u", timestamp="2026-05-01")
    for name in NAMES.get(path, ["from", "to", "as_of"]):
        for at in FAR:
            reply = project.get(path, **{**BESIDES[path], name: at})
            ever = at < "2000" if name == "from" else at > "2000"
            if path in ("/v1/users/u", "/v1/users/u/events") and not ever:
                assert reply.status == 404
            else:
                assert reply.status == 200, (name, at, reply)
            if path == "/v1/query":
                assert len(reply.json["rows"]) == ever, (name, at)
            if path == "/v1/sources":
                assert sum(row["events"] for row in reply.json["rows"]) == ever, (name, at)


@pytest.mark.parametrize("zone", HOSTS)
def test_nor_is_a_date_in_any_zone(project: Project, zone: str) -> None:
    project.track("x", timestamp="2026-05-01")
    ever = {"from": "0001-01-01", "to": "9999-12-31", "as_of": "9999-12-31"}
    assert counted(project, tz=zone, **ever) == 1
    for name, at in (("from", "9999-12-31"), ("to", "0001-01-01"), ("as_of", "0001-01-01")):
        assert counted(project, tz=zone, **{name: at}) == 0


ZERO_MS, HOUR_MS, MAY_MS = 0, 3_600_000, 1_777_644_000_000


def test_time_zero_is_a_time_like_any_other(folder: Path) -> None:
    """No event of now is let in with it, but an older store may hold some."""
    events = [
        row_values(event_id="e1", event_name="v", anonymous_id="d", timestamp=ZERO_MS),
        row_values(event_id="e2", event_name="v", anonymous_id="e", timestamp=MAY_MS),
        row_values(event_id="e3", event_name="w", anonymous_id="e", timestamp=MAY_MS + HOUR_MS),
        row_values(event_id="e4", anonymous_id="kiosk", timestamp=ZERO_MS),
        row_values(event_id="e5", anonymous_id="kiosk", timestamp=ZERO_MS, user_id="ada"),
        row_values(event_id="e6", anonymous_id="kiosk", timestamp=HOUR_MS, user_id="bob"),
    ]
    with Store(store_url("chdb", folder)) as store:
        body = b"".join(row.encode(values) for values in events)
        store.insert("events", row.COLUMNS, "MsgPack", body, "token")
        context = Context(store, "p", "next")
        persons = stats.ask(context, stats_shapes.StatsParams(metric="persons"))
        assert [found.value for found in persons.rows] == [4]
        for cohort, many in (("first_seen", 4), ("v", 2), ("w", 1), ("known", 2)):
            for zone in ("UTC", *HOSTS):
                params = retention.RetentionParams(cohort=cohort, tz=zone)
                rows = retention.ask(context, params).rows
                assert sum(found.persons for found in rows) == many, (cohort, zone)
        # Ada's turn on the kiosk ends then; what was there before is hers.
        for user, ids in (("ada", ["e4", "e5"]), ("bob", ["e6"])):
            events_of = journey.ask(context, journey.JourneyParams(user_id=user))
            assert [event.event_id for event in events_of.rows] == ids
        assert events_of.known_since == "1970-01-01T01:00:00.000Z"
        assert by_hour(context) == [
            ("1970-01-01T00:00:00.000Z", 3),
            ("1970-01-01T01:00:00.000Z", 1),
        ]


def by_hour(context: Context) -> list[tuple[object, object]]:
    params = stats_shapes.StatsParams(interval="hour", to=Timestamp(2 * HOUR_MS))
    return [(found.bucket, found.value) for found in stats.ask(context, params).rows]


def test_what_has_not_been_yet_is_not_nobody(project: Project) -> None:
    """A cohort of today has no tomorrow; one that has is followed to the end."""
    project.track("x", anonymous_id="today")
    project.track("x", anonymous_id="long ago", timestamp="2020-01-01")
    rows = project.ask("/v1/retention", interval="month", periods=6)["rows"]
    assert [row["retained"] for row in rows] == [[1, 0, 0, 0, 0, 0], [1]]
