"""Groups by any dimension, every metric, orders and rests, on a log small enough to count by hand:
that of `test_filters`."""

from typing import Any

import pytest

from tests.questions.test_filters import shop
from tests.support import Json, Project

__all__ = ["shop"]


def by(answer: Json, *names: str, column: str = "value") -> dict[Any, Any]:
    """The rows by their groups."""
    rows = {tuple(row[name] for name in names): row[column] for row in answer["rows"]}
    assert len(rows) == len(answer["rows"])
    return {key[0] if len(key) == 1 else key: value for key, value in rows.items()}


GROUPED: list[tuple[str, dict[Any, int]]] = [
    ("event", {"$pageview": 5, "purchase": 2, "$identify": 2, "signup": 1}),
    ("host", {"shop.example": 5, None: 5}),
    ("referrer", {"https://www.google.com/": 1, None: 9}),
    ("properties.plan", {"pro": 2, None: 8}),
    ("properties.n", {"7": 1, None: 9}),
    ("properties.value", {"30": 1, "5": 1, None: 8}),
    ("properties.none", {None: 10}),
    ("visit.source", {"facebook": 4, "direct": 4, "google": 2}),
    ("visit.entry_path", {"/lp": 4, "/": 3, "/docs/y": 2, "/docs/a;b|c": 1}),
    ("visit.exit_path", {"/docs/x": 4, "/": 3, "/docs/y": 2, "/docs/a;b|c": 1}),
    ("visit.bounce", {False: 9, True: 1}),
    ("first.source", {"facebook": 7, "google": 2, "direct": 1}),
    ("first.path", {"/lp": 7, "/docs/y": 2, "/docs/a;b|c": 1}),
    ("first.country", {None: 10}),
    ("last.source", {"direct": 8, "google": 2}),
    ("last.path", {"/": 7, "/docs/y": 2, "/docs/a;b|c": 1}),
    ("known", {True: 9, False: 1}),
    ("user_id", {"ann": 7, "ben": 2, None: 1}),
    ("devices", {2: 7, 1: 3}),
    ("traits.plan", {"pro": 7, None: 3}),
    ("traits.none", {None: 10}),
]


@pytest.mark.parametrize(("group", "expected"), GROUPED)
def test_any_dimension_is_a_group(shop: Project, group: str, expected: dict[Any, int]) -> None:
    assert by(shop.ask("/v1/stats", group_by=group), group) == expected
    # The same with a filter of each kind, and each group is what a filter on it leaves.
    filters = "first.source!=(none);visit.source!=nothing;event!=nothing"
    assert by(shop.ask("/v1/stats", group_by=group, filters=filters), group) == expected
    for value, many in expected.items():
        said = str(value).lower() if isinstance(value, bool) else value or "(none)"
        text = str(said).replace(";", "\\;").replace("|", "\\|")
        answer = shop.ask("/v1/stats", group_by=group, filters=f"{group}=={text}")
        assert by(answer, group) == {value: many}


def test_several_dimensions_and_a_comma_in_a_key(project: Project) -> None:
    project.track("a", anonymous_id="d", properties={"x,y": 1, "z": "2"})
    answer = project.ask("/v1/stats", group_by="properties.x\\,y,properties.z,known")
    assert answer["rows"] == [
        {"properties.x,y": "1", "properties.z": "2", "known": False, "value": 1}
    ]


def test_persons_are_grouped_by_what_is_known_of_them(shop: Project) -> None:
    answer = shop.ask("/v1/stats", metric="persons", group_by="known,first.medium")
    assert by(answer, "known", "first.medium") == {
        (True, "paid"): 1,
        (True, "organic"): 1,
        (False, "direct"): 1,
    }
    answer = shop.ask("/v1/stats", group_by="last.source", as_of="2026-05-01")
    assert answer["rows"] == []


@pytest.mark.parametrize(
    ("path", "group", "said"),
    [
        ("/v1/stats", "pth", "did you mean path? Allowed"),
        ("/v1/stats", "did", "Cannot group by 'did'"),
        ("/v1/stats", "segment", "Cannot group by 'segment'"),
        ("/v1/stats", "plan", "properties.KEY"),
        ("/v1/stats", "properties.", "properties.KEY"),
        ("/v1/visits", "event", "Cannot group by 'event'"),
        ("/v1/visits", "properties.plan", "Cannot group by 'properties.plan'"),
        ("/v1/sources", "sorce", "did you mean source? Allowed"),
    ],
)
def test_what_is_no_group(shop: Project, path: str, group: str, said: str) -> None:
    reply = shop.get(path, group_by=group)
    assert (reply.status, reply.error) == (400, "invalid_group_by")
    assert said in reply.json["details"]["message"]


NUMBERS: list[tuple[Json, float | None]] = [
    ({"metric": "visits"}, 4),
    ({"metric": "visits", "event": "purchase"}, 1),
    ({"metric": "visits", "event": "purchase", "exact": "false"}, 1),
    ({"metric": "avg", "property": "value"}, 17.5),
    ({"metric": "median", "property": "value"}, 17.5),
    ({"metric": "min", "property": "value"}, 5),
    ({"metric": "max", "property": "value"}, 30),
    ({"metric": "p90", "property": "value"}, 27.5),
    ({"metric": "avg", "property": "n"}, 7),
    ({"metric": "avg", "property": "value", "event": "signup"}, None),
    ({"metric": "per_person"}, 10 / 3),
    ({"metric": "per_person", "event": "purchase"}, 2),
    ({"metric": "per_person", "event": "nothing"}, None),
    ({"metric": "per_person", "property": "value"}, 35 / 3),
    ({"metric": "per_person", "property": "value", "filters": "did==purchase"}, 35),
    ({"metric": "conversion_rate", "conversion": "purchase"}, 1 / 3),
    ({"metric": "conversion_rate", "conversion": "$identify"}, 2 / 3),
    ({"metric": "conversion_rate", "conversion": "purchase", "event": "signup"}, 1),
    ({"metric": "conversion_rate", "conversion": "purchase", "filters": "known==true"}, 1 / 2),
    ({"metric": "conversion_rate", "conversion": "purchase", "to": "2026-05-03"}, 0),
    ({"metric": "conversion_rate", "conversion": "purchase", "event": "nothing"}, None),
]


@pytest.mark.parametrize(("params", "expected"), NUMBERS)
def test_a_metric(shop: Project, params: Json, expected: float | None) -> None:
    (row,) = shop.ask("/v1/stats", **params)["rows"]
    assert row["value"] == (None if expected is None else pytest.approx(expected, rel=1e-12))


def test_metrics_in_groups_and_intervals(shop: Project) -> None:
    of_value = {"property": "value", "group_by": "known"}
    for metric, expected in (("avg", 17.5), ("max", 30), ("per_person", 17.5)):
        answer = shop.ask("/v1/stats", metric=metric, **of_value)
        assert by(answer, "known") == {True: expected, False: None}
    converted = {"metric": "conversion_rate", "conversion": "purchase"}
    answer = shop.ask("/v1/stats", group_by="first.source", **converted)
    assert by(answer, "first.source") == {"facebook": 1, "google": 0, "direct": 0}
    days = {"interval": "day", "from_": "2026-05-01", "to": "2026-05-06"}
    rows = shop.ask("/v1/stats", **converted, **days)["rows"]
    # Of those who were there on a day, who bought on the same.
    assert [row["value"] for row in rows] == [0, 0, 1, 0, None]
    rows = shop.ask("/v1/stats", metric="visits", **days)["rows"]
    assert [row["value"] for row in rows] == [1, 1, 1, 1, 0]
    rows = shop.ask("/v1/stats", metric="avg", property="value", **days)["rows"]
    assert [row["value"] for row in rows] == [None, None, 17.5, None, None]


def test_figures_of_amounts_in_currencies(project: Project) -> None:
    for value, code in ((1, "EUR"), (2, "EUR"), (9, "EUR"), (5, "USD"), (4, None)):
        money = {"value": value} | ({"currency": code} if code else {})
        project.track("buy", anonymous_id="d", user_id="u", properties=money)
    of_value = {"property": "value"}
    for metric, expected in {
        "avg": {"EUR": 4, "USD": 5, "none": 4},
        "median": {"EUR": 2, "USD": 5, "none": 4},
        "max": {"EUR": 9, "USD": 5, "none": 4},
        "per_person": {"EUR": 12, "USD": 5, "none": 4},
    }.items():
        (row,) = project.ask("/v1/stats", metric=metric, **of_value)["rows"]
        assert row["value"] == expected, metric
        answer = project.ask("/v1/stats", metric=metric, currency="EUR", **of_value)
        assert answer["rows"] == [{"value": expected["EUR"]}], metric
        assert answer["unconverted"] == {"USD": 5, "none": 4}
        plain = project.ask("/v1/stats", metric=metric, currency_property="none", **of_value)
        assert isinstance(plain["rows"][0]["value"], float)


def test_a_figure_says_what_it_left_out(project: Project) -> None:
    for value in (1, "x", 3):
        project.track("buy", anonymous_id="d", properties={"value": value})
    answer = project.ask("/v1/stats", metric="avg", property="value")
    assert (answer["rows"], answer["skipped"]) == ([{"value": 2}], 1)
    assert answer["warnings"][0]["code"] == "skipped_values"
    answer = project.ask("/v1/stats", metric="median", property="vlue")
    assert answer["rows"] == [{"value": None}]
    assert "did you mean 'value'?" in answer["warnings"][0]["message"]


def test_a_conversion_needs_its_metric_and_a_name_that_is(shop: Project) -> None:
    for params, said in (
        ({"metric": "conversion_rate"}, "goes with metric=conversion_rate"),
        ({"conversion": "purchase"}, "goes with metric=conversion_rate"),
        ({"metric": "conversion_rate", "conversion": "goal:x"}, "there is no goal 'x'"),
    ):
        reply = shop.get("/v1/stats", **params)
        assert reply.status == 400
        assert said in reply.json["details"]["fieldErrors"]["conversion"][0]
    answer = shop.ask("/v1/stats", metric="conversion_rate", conversion="purchse")
    assert "did you mean 'purchase'?" in answer["warnings"][0]["message"]


@pytest.mark.parametrize(
    ("path", "params", "order", "expected"),
    [
        ("/v1/stats", {"group_by": "event"}, "value",
         ["signup", "$identify", "purchase", "$pageview"]),
        ("/v1/stats", {"group_by": "event"}, "-event",
         ["signup", "purchase", "$pageview", "$identify"]),
        ("/v1/stats", {"group_by": "event", "metric": "sum", "property": "value"}, "-value",
         ["purchase", "$identify", "$pageview", "signup"]),
        ("/v1/visits", {"group_by": "first.source"}, "-page_views_per_visit",
         ["facebook", "direct", "google"]),
        ("/v1/sources", {"breakdown": "source"}, "events", ["google", "direct", "facebook"]),
        ("/v1/sources", {"group_by": "event"}, "-visits",
         ["$pageview", "$identify", "purchase", "signup"]),
    ],
)  # fmt: skip
def test_an_order(shop: Project, path: str, params: Json, order: str, expected: list[str]) -> None:
    rows = shop.ask(path, order=order, **params)["rows"]
    names = params.get("group_by", "source")
    assert [row[names] for row in rows] == expected
    reply = shop.get(path, order="-evnts", **params)
    assert "there is no column 'evnts'" in reply.json["details"]["fieldErrors"]["order"][0]


@pytest.mark.parametrize(
    ("path", "params", "order", "said"),
    [
        ("/v1/stats", {}, "value", "goes with group_by"),
        ("/v1/stats", {}, "nonsense", "goes with group_by"),
        ("/v1/stats", {}, "-bucket", "goes with group_by"),
        ("/v1/stats", {"metric": "sum", "property": "value"}, "-value", "goes with group_by"),
        ("/v1/stats", {"compare": "previous_period", "from_": "2026-05-01"}, "change",
         "goes with group_by"),
        ("/v1/stats", {"interval": "day"}, "-value", "choose bucket or -bucket"),
        ("/v1/visits", {}, "visits", "goes with group_by"),
        ("/v1/visits", {"interval": "day"}, "visits", "choose bucket or -bucket"),
    ],
)  # fmt: skip
def test_an_order_of_one_row(shop: Project, path: str, params: Json, order: str, said: str) -> None:
    reply = shop.get(path, order=order, **params)
    assert reply.status == 400, reply.json
    assert said in reply.json["details"]["fieldErrors"]["order"][0]


def test_what_is_left_out_is_summed(shop: Project) -> None:
    answer = shop.ask("/v1/stats", group_by="event", limit=1)
    assert (answer["truncated"], answer["other"]) == (True, 5)
    of_value = {"group_by": "properties.value", "metric": "sum", "property": "value"}
    assert shop.ask("/v1/stats", limit=2, **of_value)["other"] == 0
    assert shop.ask("/v1/stats", limit=1, **of_value)["other"] == 5
    assert "other" not in shop.ask("/v1/stats", group_by="event", limit=1, metric="persons")
    assert "other" not in shop.ask("/v1/stats", group_by="event")
    assert shop.ask("/v1/visits", group_by="source", limit=1)["other"] == {"visits": 2}
    assert shop.ask("/v1/sources", limit=1)["other"] == {"events": 6, "visits": 2}
    assert shop.ask("/v1/sources", breakdown="term", limit=1).get("other") is None


def test_visits_are_grouped_by_whose_they_are(shop: Project) -> None:
    for group, expected in {
        "known": {True: 3, False: 1},
        "visit.bounce": {False: 3, True: 1},
        "visit.source": {"facebook": 1, "direct": 2, "google": 1},
        "visit.entry_path": {"/lp": 1, "/": 1, "/docs/y": 1, "/docs/a;b|c": 1},
        "traits.plan": {"pro": 2, None: 2},
        "first.path": {"/lp": 2, "/docs/y": 1, "/docs/a;b|c": 1},
    }.items():
        assert by(shop.ask("/v1/visits", group_by=group), group, column="visits") == expected
    both = shop.ask("/v1/visits", group_by="source,known,exit_path,first.channel")
    assert sum(row["visits"] for row in both["rows"]) == 4


def test_sources_take_every_filter(shop: Project) -> None:
    for filters, expected in {
        "event==purchase": {"direct": 2},
        "event==$pageview": {"facebook": 2, "direct": 2, "google": 1},
        "visit.bounce==true": {"direct": 1},
        "visit.source==facebook": {"facebook": 4},
        "event==$pageview;known==true": {"facebook": 2, "direct": 1, "google": 1},
        "properties.plan==pro": {"facebook": 2},
    }.items():
        answer = shop.ask("/v1/sources", breakdown="source", filters=filters)
        assert by(answer, "source", column="events") == expected, filters
        assert answer["source_scope"] == "visit"
    narrowed = shop.ask("/v1/sources", filters="event!=nothing")
    assert narrowed["rows"] == shop.ask("/v1/sources")["rows"]


def test_sources_by_any_dimension(shop: Project) -> None:
    answer = shop.ask("/v1/sources", group_by="visit.entry_path,source")
    assert by(answer, "visit.entry_path", "source", column="visits") == {
        ("/lp", "facebook"): 1,
        ("/", "direct"): 1,
        ("/docs/y", "google"): 1,
        ("/docs/a;b|c", "direct"): 1,
    }
    assert "breakdown" not in answer
    reply = shop.get("/v1/sources", group_by="source", breakdown="source")
    assert "leave one of them out" in reply.json["details"]["fieldErrors"]["group_by"][0]


def test_sources_name_every_column_as_it_was_asked_for(shop: Project) -> None:
    """Also those that an answer has no column of its own for, and several of these at once."""
    allowed = shop.get("/v1/sources", group_by="?").json["details"]["allowed"]
    for group in [name for name in allowed if "KEY" not in name]:
        rows = shop.ask("/v1/sources", group_by=group)["rows"]
        assert {next(iter(row)) for row in rows} == {group}
    both = {"group_by": "first.source,country", "from_": "2026-04-01", "to": "2027-01-01"}
    several = shop.ask("/v1/sources", **both, compare="previous_period")
    assert list(several["rows"][0])[:3] == ["first.source", "country", "events"]
    assert several["source_scope"] == "first"
