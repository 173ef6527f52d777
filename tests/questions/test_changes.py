"""`/v1/changes`: what is out of the usual, what carries it, and nothing where nothing happened."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from statistics import median
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import Json, Project, Server
from threadline.questions.contributions import Whole, breakdown, carrier
from threadline.questions.variation import LIMIT, usual

START = datetime(2026, 3, 2, tzinfo=UTC)  # a Monday
WEEKS = 9
END = "2026-05-04"
SOURCES = ["facebook", "google", "newsletter"]


def log(lost: str = "", growing: bool = False) -> Iterator[Json]:
    """Nine weeks of visits, of which most sign up. `lost`: the source whose signups stop in the
    last week. `growing`: more of all in the last week."""
    random = Random(3)
    for day in range(WEEKS * 7):
        last = day >= (WEEKS - 1) * 7
        many = 48 if growing and last else 24
        for number in range(many):
            at = START + timedelta(days=day, minutes=number * 1300 / many + random.random())
            source = SOURCES[number % 3]
            device = f"d{day}-{number}"
            yield {
                "event": "$pageview",
                "event_id": f"p{day}-{number}",
                "anonymous_id": device,
                "timestamp": at.isoformat(),
                "url": f"https://shop.example/?utm_source={source}&utm_medium=cpc",
            }
            if number % 5 == 4 or (last and source == lost):
                continue
            yield {
                "event": "signup",
                "event_id": f"s{day}-{number}",
                "anonymous_id": device,
                "user_id": f"u-{device}",
                "timestamp": (at + timedelta(minutes=2)).isoformat(),
                "url": "https://shop.example/signup",
                "properties": {"app_version": "2" if day > 40 else "1", "plan": "pro"},
            }


@pytest.fixture(scope="module")
def quiet(server: Server) -> Project:
    return filled(server)


@pytest.fixture(scope="module")
def dropped(server: Server) -> Project:
    project = filled(server, lost="facebook")
    goal = {"event": "signup", "filters": "properties.plan==pro"}
    assert project.change("PUT", "/v1/goals/paying", goal).status == 200
    return project


def filled(server: Server, **of_log: Any) -> Project:
    project = Project(server)
    events = [*log(**of_log)]
    for start in range(0, len(events), 1000):
        project.batch(events[start : start + 1000])
    return project


def changes(project: Project, **params: Any) -> Json:
    return project.ask("/v1/changes", **{"to": END, **params})


def test_it_is_quiet_where_nothing_happened(quiet: Project) -> None:
    answer = changes(quiet)
    assert (answer["quiet"], answer["rows"]) == (True, [])
    assert answer["looked_at"] == ["persons", "visits", "pageviews", "signup"]
    assert answer["week"] == {"from": "2026-04-27T00:00:00.000Z", "to": "2026-05-04T00:00:00.000Z"}
    assert answer["weeks"] == WEEKS - 1
    assert "warnings" not in answer
    # Whichever day weeks end on, and by whatever clocks.
    for params in (
        {"to": "2026-04-30"},
        {"tz": "Pacific/Auckland"},
        {"to": "2026-05-03T17:00:00Z"},
    ):
        assert changes(quiet, **params)["rows"] == [], params


def test_what_was_not_looked_at_is_counted(server: Server) -> None:
    project = Project(server)
    days = [(START + timedelta(days=day)).isoformat() for day in range(WEEKS * 7)]
    names = [f"event {number:02}" for number in range(13)]
    for name in names:
        project.batch([{"event": name, "anonymous_id": "a", "timestamp": at} for at in days])
    answer = changes(project)
    assert answer["looked_at"][3:] == names[:10]
    (warning,) = answer["warnings"]
    assert warning["code"] == "not_looked_at"
    assert "and 3 others were not" in warning["message"]


def test_a_drop_is_found_and_who_carries_it(dropped: Project) -> None:
    answer = changes(dropped)
    rows = {row["metric"]: row for row in answer["rows"]}
    # The people came as ever; they did not sign up.
    assert set(rows) == {"goal:paying", "signup"}
    assert answer["quiet"] is False
    row = rows["signup"]
    series = dropped.ask(
        "/v1/stats", event="signup", interval="week", **{"from": "2026-03-02", "to": END}
    )["rows"]
    assert [*row["past"], row["value"]] == [each["value"] for each in series]
    assert row["usual"] == median(row["past"])
    assert row["value"] < row["low"] <= row["usual"] <= row["high"]
    carried = row["carried_by"]
    assert (carried["dimension"], carried["value"]) == ("visit.source", "facebook")
    assert carried["now"] == 0
    assert carried["share"] == pytest.approx(1)
    names = [each["dimension"] for each in row["breakdowns"]]
    expected = ["visit.source", "visit.channel", "country", "device_type", "path"]
    assert names == [*expected, "properties.app_version"]


def test_parts_sum_to_the_move(dropped: Project) -> None:
    for limit, groups in ((5, None), (1, "event,visit.source,first.source")):
        for row in changes(dropped, limit=limit, group_by=groups)["rows"]:
            assert row["breakdowns"]
            for each in row["breakdowns"]:
                for column, whole in (("change", "move"), ("now", "value"), ("average", "average")):
                    parts = [part[column] for part in each["rows"]] + [each["rest"][column]]
                    assert sum(parts) == pytest.approx(row[whole], abs=1e-4), each["dimension"]
                assert len(each["rows"]) <= limit


def test_what_grows_in_proportion_is_carried_by_nobody(server: Server) -> None:
    project = filled(server, growing=True)
    rows = changes(project, group_by="visit.source,first.source")["rows"]
    found = {row["metric"]: row for row in rows}
    assert {"persons", "visits", "pageviews", "signup"} == set(found)
    for row in rows:
        assert row["change"] > 0
        assert row["carried_by"] is None
    # People have one first source, and may have visits from several.
    assert [each["dimension"] for each in found["persons"]["breakdowns"]] == ["first.source"]


def test_filters_and_times(dropped: Project) -> None:
    assert changes(dropped, filters="visit.source==google")["rows"] == []
    (row,) = changes(dropped, filters="visit.source==facebook", **{"from": "2026-03-30"})["rows"][
        :1
    ]
    assert len(row["past"]) == 4
    assert row["value"] == 0
    early = changes(dropped, to="2026-03-20")
    assert (early["rows"], early["looked_at"]) == ([], [])
    assert [each["code"] for each in early["warnings"]] == ["little_history"]
    assert changes(dropped, to="2026-04-27")["rows"] == [], "the week before it all was well"


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"to": "2100-01-01"}, "invalid_params"),
        ({"group_by": "sorce"}, "invalid_group_by"),
        ({"group_by": "did"}, "invalid_group_by"),
        ({"limit": 51}, "invalid_params"),
        ({"stitch": "any"}, "stitch_not_a_partition"),
        ({"tz": "Mars"}, "invalid_params"),
        ({"interval": "day"}, "invalid_params"),
    ],
)
def test_what_it_does_not_take(quiet: Project, params: Json, code: str) -> None:
    reply = quiet.get("/v1/changes", **params)
    assert (reply.status, reply.error) == (400, code)


def test_a_project_without_events(project: Project) -> None:
    answer = project.ask("/v1/changes")
    assert (answer["quiet"], answer["rows"], answer["weeks"]) == (True, [], 0)


# --- The statistics, alone ---

VALUES = st.integers(0, 100_000)


@given(st.lists(VALUES, min_size=4, max_size=20), st.integers(0, 3))
def test_strange_weeks_in_the_past_do_not_count(past: list[int], strange: int) -> None:
    """The median of what is usual stays among the usual values, whatever a minority is."""
    if strange * 2 >= len(past):
        return
    found = usual([*past, *[10**9] * strange])
    assert min(past) <= found.value <= max(past)
    assert found.spread >= 1
    assert found.low <= found.value <= found.high


def test_the_formula() -> None:
    found = usual([100, 110, 90, 105, 95, 100, 300, 98])
    assert found.value == 100
    assert found.spread == pytest.approx(10)  # chance alone: sqrt(100)
    assert found.high == pytest.approx(100 + LIMIT * 10)
    wide = usual([100, 200, 300, 400, 500])
    assert wide.spread == pytest.approx(1.4826 * 100)
    assert wide.score(300 + 1.4826 * 350) == pytest.approx(LIMIT)
    assert usual([0, 0, 0, 0]).high == LIMIT


PARTS = st.dictionaries(
    st.one_of(st.none(), st.text(max_size=3)), st.tuples(VALUES, VALUES.map(lambda n: n / 8)),
    max_size=12,
)  # fmt: skip


@given(PARTS, st.integers(1, 5))
def test_any_parts_sum(parts: dict[str | None, tuple[float, float]], named: int) -> None:
    whole = Whole(
        sum(now for now, _ in parts.values()), sum(average for _, average in parts.values())
    )
    found = breakdown("source", whole, parts, named)
    for column, total in (("change", whole.move), ("now", whole.now), ("average", whole.average)):
        each = [getattr(row, column) for row in (*found.rows, found.rest)]
        assert sum(each) == pytest.approx(total, abs=1e-4)
    one = carrier(whole, [found])
    if one:
        assert one.change * whole.move > 0
        assert 0.5 <= one.share < 2
