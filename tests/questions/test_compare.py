"""`compare` on every question that has numbers of a time: the numbers of the other time are those
that the question gives of it, group by group."""

import datetime as dt
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from tests.support import Json, Project, Server
from threadline.questions.registry import QUESTIONS

MONDAY = dt.datetime(2026, 3, 2, 12, tzinfo=dt.UTC)
# Week by week: user, source, and what each did, an hour apart.
WEEKS = [
    [
        ("ann", "facebook", ["$pageview", "signup", "purchase"]),
        ("ben", "google", ["$pageview", "signup"]),
        ("cyd", "facebook", ["$pageview", "about", "signup", "purchase"]),
    ],
    [
        ("dan", "facebook", ["$pageview", "signup", "signup"]),
        ("eve", "newsletter", ["$pageview", "signup", "purchase"]),
        ("ann", "facebook", ["$pageview"]),
    ],
]
THEN = {"from_": "2026-03-02", "to": "2026-03-09"}
NOW = {"from_": "2026-03-09", "to": "2026-03-16"}


@pytest.fixture(scope="module")
def shop(server: Server) -> Project:
    project = Project(server)
    project.batch(
        [
            {
                "event": event,
                "anonymous_id": f"{user}s phone",
                "user_id": user if event == "signup" else None,
                "timestamp": (MONDAY + dt.timedelta(weeks=week, hours=nth)).isoformat(),
                "url": f"https://shop.example/{event}?utm_source={source}&utm_medium=x",
                "properties": {"value": 10 * (week + 1)},
            }
            for week, people in enumerate(WEEKS)
            for user, source, events in people
            for nth, event in enumerate(events)
        ]
    )
    return project


Numbers = Callable[[Json], dict[Any, Json]]


def _by(*groups: str, of: str = "rows") -> Numbers:
    """Of each row of an answer its numbers, by these columns."""

    def numbers(answer: Json) -> dict[Any, Json]:
        return {str([row[name] for name in groups]): row for row in answer[of]}

    return numbers


def _steps(answer: Json) -> dict[Any, Json]:
    return {
        (row.get("source"), step["step"]): step for row in answer["rows"] for step in row["steps"]
    }


ATTRIBUTION = {"conversion": "signup", "value_property": "value", "group_by": "source"}
MODELS = {**ATTRIBUTION, "model": "first_touch,linear"}
FUNNEL = {"steps": "$pageview,signup,purchase"}
CASES: list[tuple[str, Json, Numbers]] = [
    ("/v1/funnel", {**FUNNEL, "percentiles": "true"}, _steps),
    ("/v1/funnel", {**FUNNEL, "group_by": "source"}, _steps),
    ("/v1/retention", {"periods": 2}, lambda answer: {0: answer["rows"][0]}),
    ("/v1/retention", {"periods": 2, "group_by": "first.source"}, _by("first.source")),
    ("/v1/attribution", ATTRIBUTION, _by("source")),
    ("/v1/attribution", MODELS, lambda answer: {0: answer["total"]}),
    ("/v1/time-to-conversion", {"conversion": "signup", "group_by": "source"}, _by("source")),
    ("/v1/paths", {"event": "$pageview"}, _by("path")),
    ("/v1/paths", {"event": "$pageview"}, _by("step", "from", "to", of="flow")),
    ("/v1/paths", {"start": "$pageview", "end": "purchase"}, lambda answer: {0: answer}),
]


@pytest.mark.parametrize(("path", "params", "numbers"), CASES)
def test_what_was_is_what_the_question_says_of_that_time(
    shop: Project, path: str, params: Json, numbers: Numbers
) -> None:
    both = shop.ask(path, compare="previous_period", **params, **NOW)
    now, then = (numbers(shop.ask(path, **params, **time)) for time in (NOW, THEN))
    assert (both["previous_from"], both["previous_to"]) == (
        "2026-03-02T00:00:00.000Z",
        "2026-03-09T00:00:00.000Z",
    )
    answer = QUESTIONS[path.removeprefix("/v1/").replace("-", "_")].answer
    msgspec.convert(both, answer)  # raises where it is not what the reference says
    rows = numbers(both)
    assert rows.keys() == now.keys() | then.keys()
    for key, row in rows.items():
        previous, change = row.pop("previous"), row.pop("change")
        if not isinstance(previous, dict):
            previous, change = {"persons": previous}, {"persons": change}
        assert previous
        if key in now:
            # Rows of the answer itself hold others, which have their own.
            assert {name: now[key][name] for name in previous} == {
                name: row[name] for name in previous
            }
        for name, was in previous.items():
            if key in then:
                assert was == then[key][name]
            assert change[name] == _change(row[name], was)


def _change(now: Any, then: Any) -> Any:
    if isinstance(now, list):
        return [_change(each, then[n] if n < len(then) else None) for n, each in enumerate(now)]
    if isinstance(now, dict):
        return {name: _change(each, then[name]) for name, each in now.items()}
    return (now - then) / then if then and now is not None else None


def test_what_only_the_other_time_had_is_there_with_nothing(shop: Project) -> None:
    compared = {"compare": "previous_period", **NOW}
    rows = shop.ask("/v1/attribution", **ATTRIBUTION, **compared)["rows"]
    (google,) = (row for row in rows if row["source"] == "google")
    assert (google["conversions"], google["change"]["conversions"]) == (0, -1)
    assert (google["value"], google["previous"]["value"]) == (0, 10)
    by_source = {"periods": 2, "group_by": "first.source", **compared}
    rows = shop.ask("/v1/retention", **by_source)["rows"]
    assert [(row["first.source"], row["cohort"][:10], row["retained"]) for row in rows] == [
        ("facebook", "2026-03-09", [1, 0]),
        ("newsletter", "2026-03-09", [1, 0]),
        ("google", "2026-03-09", [0, 0]),
    ]
    few = shop.ask("/v1/retention", limit=1, **by_source)
    assert (len(few["rows"]), few["truncated"]) == (1, True)


@pytest.mark.parametrize("path", ["/v1/users", "/v1/accounts", "/v1/funnel/people", "/v1/query"])
def test_what_has_nothing_to_compare_says_what_has(project: Project, path: str) -> None:
    said = project.get(path, compare="previous_period").json["details"]["fieldErrors"]["compare"][0]
    assert said.startswith("this question takes no compare; those that do are /v1/stats")
    assert said.endswith("/v1/paths")


@pytest.fixture(scope="module")
def steady(server: Server) -> Project:
    """One event a day, always the same."""
    project = Project(server)
    began = dt.datetime(2025, 10, 1, 12, tzinfo=dt.UTC)
    days = [(began + dt.timedelta(days=nth)).isoformat() for nth in range(300)]
    event = {"event": "seen", "anonymous_id": "a"}
    project.batch([{**event, "event_id": at, "timestamp": at} for at in days])
    return project


def weeks_of(project: Project, from_: str, to: str, compare: str) -> Json:
    times = {"from_": from_, "to": to, "compare": compare}
    return project.ask("/v1/stats", interval="week", event="seen", **times)


def test_parts_of_intervals_have_no_change_beside_other_parts(steady: Project) -> None:
    answer = weeks_of(steady, "2026-03-09", "2026-03-19", "previous_period")
    rows = [
        (row["value"], row["previous"], row["change"], row.get("partial", False))
        for row in answer["rows"]
    ]
    assert rows == [(7, 3, None, False), (3, 7, None, True)]
    (warning,) = answer["warnings"]
    assert (warning["code"], warning["parameter"]) == ("unequal_intervals", "compare")
    # Weeks beside weeks, and parts of the same length at the same place.
    for from_, to in (("2026-03-09", "2026-03-23"), ("2026-03-11", "2026-03-25")):
        answer = weeks_of(steady, from_, to, "previous_period")
        assert "warnings" not in answer
        assert {row["change"] for row in answer["rows"]} == {0}


def test_parts_are_compared_by_the_clocks(steady: Project) -> None:
    """On 29 March clocks in Berlin are put forward."""
    asked = {"interval": "day", "event": "seen", "tz": "Europe/Berlin"}
    times = {"from_": "2026-03-29T13:00:00+02:00", "to": "2026-03-31T20:30:00+02:00"}
    alike = steady.ask(
        "/v1/stats", **asked, **times, compare="2026-03-22T12:00Z..2026-03-24T19:30Z"
    )
    assert {row["change"] for row in alike["rows"]} == {0}
    assert "warnings" not in alike
    other = steady.ask(
        "/v1/stats", **asked, **times, compare="2026-03-22T12:00Z..2026-03-24T19:00Z"
    )
    assert [row["change"] for row in other["rows"]] == [0, 0, None]
    hours = {**asked, "interval": "hour", "from_": "2026-03-10T12:00Z", "to": "2026-03-10T14:00Z"}
    parts = steady.ask("/v1/stats", **hours, compare="2026-03-09T11:40Z..2026-03-09T13:40Z")
    assert parts["warnings"][-1]["code"] == "unequal_intervals"


def test_what_has_nothing_beside_it_is_said(steady: Project) -> None:
    answer = weeks_of(steady, "2026-03-16", "2026-03-23", "2026-02-18..2026-03-04")
    assert [(row["value"], row["previous"]) for row in answer["rows"]] == [(7, 5)]
    said = {warning["code"]: warning["message"] for warning in answer["warnings"]}
    assert set(said) == {"unequal_times", "unequal_intervals"}
    assert "they have 7 and 14 days." in said["unequal_times"]
    assert "Of the other time, 2 weeks have none beside them." in said["unequal_intervals"]


def test_a_time_that_is_not_over_is_compared_as_far_as_it_is(project: Project) -> None:
    now = dt.datetime.now(dt.UTC)
    began = now - dt.timedelta(days=10)
    event = {"event": "seen", "anonymous_id": "a"}
    hours = [(began - dt.timedelta(hours=nth)).isoformat() for nth in range(-239, 1000)]
    for first in (hours[:1000], hours[1000:]):
        project.batch([{**event, "timestamp": at} for at in first])
    times = {"from_": began.isoformat(), "to": (now + dt.timedelta(days=10)).isoformat()}
    answer = project.ask("/v1/stats", **times, event="seen", compare="previous_period")
    (row,) = answer["rows"]
    assert abs(row["change"]) < 0.01
    assert [warning["code"] for warning in answer["warnings"]] == ["not_over"]
    until = dt.datetime.fromisoformat(answer["previous_to"])
    assert abs(until - (began - dt.timedelta(days=10))) < dt.timedelta(minutes=5)
