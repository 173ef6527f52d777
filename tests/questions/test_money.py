"""Amounts: exact, by currency, converted at the rates of their days, in sums and in attribution."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.cli.test_commands import ok
from tests.support import Json, Project, Server
from tests.width import wide
from threadline.runtime.socket_store import SocketStore

DAY = "2026-05-04"  # a Monday
RATES = """\
Date,USD,GBP,JPY,
2026-05-05,1.25,0.8,N/A,
2026-05-04,1.2,0.9,160,
2026-04-30,1.5,N/A,150,
"""


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with rates, which come while it runs."""
    with Server(tmp_path_factory.mktemp("bank")) as server:
        file = server.folder / "rates.csv"
        file.write_text(RATES)
        ok("rates", "import", str(file), "--data", str(server.folder))
        yield server
        assert server.stop() == 0


def sold(project: Project, *properties: object, day: str = DAY, **fields: object) -> None:
    """A purchase for each, an hour apart, of one person."""
    project.batch(
        [
            {
                "event": "purchase",
                "timestamp": f"{day}T{hour:02}:00:00Z",
                "user_id": "ada",
                "anonymous_id": "phone",
                "properties": each,
                **fields,
            }
            for hour, each in enumerate(properties, start=1)
        ]
    )


def total(project: Project, **params: Any) -> Json:
    return project.ask("/v1/stats", **{"metric": "sum", "property": "value", **params})


def value(project: Project, **params: Any) -> Any:
    (row,) = total(project, **params)["rows"]
    return row["value"]


def codes(answer: Json) -> list[str]:
    return [warning["code"] for warning in answer.get("warnings", [])]


def credited(project: Project, **params: Any) -> Json:
    given = {"conversion": "purchase", "value_property": "value", "model": "last_touch", **params}
    return project.ask("/v1/attribution", **given)


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        (
            [{"value": 49, "currency": "EUR"}, {"value": 98, "currency": "USD"}],
            {"EUR": 49, "USD": 98},
        ),
        ([{"value": 49}, {"value": 98}], 147),
        ([{"value": 49, "currency": " eur "}, {"value": 1}], {"EUR": 49, "none": 1}),
        ([{"value": 49, "currency": "EUR"}, {"value": -49, "currency": "EUR"}], {"EUR": 0}),
        ([{"value": 49, "currency": "EUR"}, {"value": -9.5, "currency": "EUR"}], {"EUR": 39.5}),
        ([{"value": 0, "currency": "EUR"}], {"EUR": 0}),
        # What has no amount does not count, so it has no currency either.
        ([{"value": 1}, {"currency": "EUR"}, {"value": None, "currency": "EUR"}], 1),
        ([{"value": 1}, {"value": "much", "currency": "EUR"}], 1),
        ([{"value": 5, "currency": None}, {"value": 5, "currency": ""}], 10),
        ([{"value": 5, "currency": "XYZ"}], {"XYZ": 5}),
    ],
)
def test_currencies_are_never_added_up(
    project: Project, properties: list[Json], expected: Any
) -> None:
    sold(project, *properties)
    assert value(project) == expected
    answer = credited(project)
    assert answer["total"]["value"] == expected
    assert [row["value"] for row in answer["rows"]] == [expected]


NUMBERS = {
    "49.90": 49.9,
    "-5": -5,
    "+5": 5,
    "1e3": 1000,
    ".5": 0.5,
    "0": 0,
    "1E-9": 1e-9,
    "999999999999999.123456789": 999999999999999.123456789,
    1e17: 1e17,
    "-9.99e29": -9.99e29,
    10**29: 1e29,
    123456789012345678: float(123456789012345678),
}


def test_a_number_in_a_text_is_one(project: Project) -> None:
    for number, sent in enumerate(NUMBERS):
        sold(project, {"value": sent}, url=f"https://shop.example/{number}")
    answer = total(project, group_by="path")
    found = {int(row["path"][1:]): row["value"] for row in answer["rows"]}
    assert found == dict(enumerate(NUMBERS.values()))
    assert answer["skipped"] == 0
    assert "warnings" not in answer


NO_NUMBERS = [
    *"NaN nan inf -inf Infinity 1e308 -1e308 1e30 1e99 1e-9e9 1.2.3 . - e5 1,5 49€".split(),
    *["0x1F", "--1", "1_0", "٣", "", " ", " 5 ", "null", "a b", True, False, [], [1], {}, {"a": 1}],
    *[1e30, -1e200, 10**30],
]


def test_what_is_no_number_is_skipped(project: Project) -> None:
    properties = [{"value": each, "currency": "EUR"} for each in NO_NUMBERS]
    for start in range(0, len(properties), 20):
        sold(project, *properties[start : start + 20])
    sold(project, {"value": 1}, {"value": None})
    for answer in (total(project), credited(project)):
        assert answer["rows"][0]["value"] == 1
        assert answer["skipped"] == len(NO_NUMBERS)
        assert codes(answer) == ["skipped_values"]


def test_a_number_out_of_all_bounds_is_skipped(project: Project) -> None:
    body = b'{"event": "purchase", "user_id": "ada", "properties": {"value": 1e400}}'
    project.post("/v1/track", body)
    sold(project, {"value": 2})
    assert (value(project), total(project)["skipped"]) == (2, 1)


def test_sums_are_exact(project: Project) -> None:
    sold(project, {"value": 0.1}, {"value": 0.2}, {"value": "0.3"}, {"value": -0.6})
    assert value(project) == 0
    sold(project, {"value": 0.1}, {"value": 0.2}, day="2026-05-05")
    assert value(project) == 0.3
    assert credited(project)["total"]["value"] == 0.3


def test_a_small_amount_beside_a_large_one(project: Project) -> None:
    """In floats, 0.01 would be lost beside 10 ** 17, and never come back."""
    sold(project, {"value": 10**17}, *({"value": "0.01"} for _ in range(10)), {"value": -(10**17)})
    assert value(project) == 0.1
    assert credited(project)["total"]["value"] == 0.1


def test_floats_are_read_as_they_were_meant(project: Project) -> None:
    """What a page adds up has such ends; none of it is a decimal too many."""
    sold(project, {"value": 0.1 + 0.2}, {"value": 4.35 * 100}, {"value": 1234567.89 * 3})
    answer = total(project)
    assert answer["rows"] == [{"value": 3704138.97}]
    assert "warnings" not in answer


def test_decimals_that_matter_are_rounded_aloud(project: Project) -> None:
    sold(project, {"value": "0.0000000015"}, {"value": 4e-10}, {"value": "0.25"})
    for answer in (total(project), credited(project)):
        assert answer["rows"][0]["value"] == 0.250000002
        assert codes(answer) == ["rounded_values"]
        assert (
            "2 events have a 'value' with more than 9 decimals" in answer["warnings"][0]["message"]
        )


def test_what_is_no_currency_is_none_aloud(project: Project) -> None:
    for_each = ["€", "Euro", "EU", "E1R", 978, ["EUR"], True, "\u0415UR"]
    sold(project, *({"value": 1, "currency": each} for each in for_each))
    sold(project, {"value": 2, "currency": "EUR"}, {"currency": "Euro"}, day="2026-05-05")
    for answer in (total(project), credited(project)):
        assert answer["rows"][0]["value"] == {"EUR": 2, "none": 8}
        assert codes(answer) == ["unknown_currency"]
        assert "8 events have a 'currency' that is not a currency code" in str(answer["warnings"])


NAMES = ["price", "null", "1", "a b", "a`b", 'a"b', "a'b", "a\\b", "é", "currency.x", "$v", "{v}"]


@pytest.mark.parametrize("name", NAMES)
def test_properties_of_any_name(project: Project, name: str) -> None:
    sold(project, {name: "5", "currency": "EUR", "money": "USD"}, {name: 1, "money": "USD"})
    assert value(project, property=name) == {"EUR": 5, "none": 1}
    assert value(project, property=name, currency_property="money") == {"USD": 6}
    assert value(project, property=name, currency_property="none") == 6
    assert value(project, property=name, currency_property=name) == 6
    sold(project, {"value": 2, name: "CHF"}, day="2026-05-05")
    assert value(project, currency_property=name) == {"CHF": 2}
    answer = credited(project, value_property=name, currency_property="money")
    assert answer["total"]["value"] == {"USD": 6}


def test_each_group_and_interval_has_its_own(project: Project) -> None:
    sold(project, {"value": 1, "currency": "EUR"}, {"value": 2, "currency": "USD"})
    sold(project, {"value": 4}, {"currency": "EUR"}, day="2026-05-05")
    project.track("look", user_id="ada", timestamp=f"{DAY}T00:00:00Z")
    answer = total(project, interval="day", group_by="event_name", to="2026-05-06")
    assert [(row["bucket"][:10], row["event_name"], row["value"]) for row in answer["rows"]] == [
        ("2026-05-04", "purchase", {"EUR": 1, "USD": 2}),
        ("2026-05-04", "look", {}),
        ("2026-05-05", "purchase", {"none": 4}),
        ("2026-05-05", "look", {}),
    ]
    greatest = total(project, group_by="event_name", limit=1)
    assert [row["event_name"] for row in greatest["rows"]] == ["purchase"]
    assert codes(greatest) == ["truncated"]


def test_groups_are_in_order_of_their_greatest_sum(project: Project) -> None:
    for path, amount in (("/a", 1), ("/b", 5), ("/c", -3), ("/d", 2.5)):
        sold(project, {"value": amount, "currency": "EUR"}, url=f"https://shop.example{path}")
    for params in ({}, {"currency": "EUR"}, {"currency_property": "none"}):
        rows = total(project, group_by="path", **params)["rows"]
        assert [row["path"] for row in rows] == ["/b", "/d", "/a", "/c"]


@pytest.mark.parametrize(
    ("day", "amount", "to", "expected"),
    [
        ("2026-05-04", (120, "USD"), "EUR", 100),
        ("2026-05-05", (120, "USD"), "EUR", 96),
        ("2026-05-04", (100, "EUR"), "USD", 120),
        ("2026-05-04", (120, "USD"), "GBP", 90),
        ("2026-05-04", (120, "USD"), "gbp", 90),
        ("2026-05-04", (7, "JPY"), "JPY", 7),
        ("2020-01-01", (7, "EUR"), "EUR", 7),
        ("2020-01-01", (7, "XYZ"), "XYZ", 7),
        # From Friday to Sunday there is only Thursday's, and Wednesday's rate ends with its week.
        ("2026-05-01", (150, "USD"), "EUR", 100),
        ("2026-05-03", (150, "USD"), "EUR", 100),
        ("2026-05-12", (125, "USD"), "EUR", 100),
        ("2026-05-06", (160, "JPY"), "EUR", 1),
        ("2026-05-11", (160, "JPY"), "EUR", 1),
        # Of the cross rate both come from one day.
        ("2026-05-05", (160, "JPY"), "USD", 1.2),
    ],
)
def test_amounts_are_converted_at_the_rate_of_their_day(
    bank: Server, day: str, amount: tuple[float, str], to: str, expected: float
) -> None:
    project = Project(bank)
    sold(project, {"value": amount[0], "currency": amount[1]}, day=day)
    for answer in (total(project, currency=to), credited(project, currency=to)):
        assert [row["value"] for row in answer["rows"]] == [expected]
        assert "unconverted" not in answer
        assert "warnings" not in answer


@pytest.mark.parametrize(
    ("day", "code", "to"),
    [
        ("2026-05-04", "XYZ", "EUR"),
        ("2026-05-04", "EUR", "XYZ"),
        ("2026-05-13", "USD", "EUR"),
        ("2026-05-12", "JPY", "EUR"),
        ("2026-04-29", "USD", "EUR"),
        ("2026-04-30", "USD", "GBP"),
        ("1971-01-01", "USD", "EUR"),
    ],
)
def test_what_has_no_rate_stands_apart(bank: Server, day: str, code: str, to: str) -> None:
    project = Project(bank)
    sold(project, {"value": 5, "currency": code}, {"value": 1, "currency": to}, day=day)
    for answer in (total(project, currency=to), credited(project, currency=to)):
        assert [row["value"] for row in answer["rows"]] == [1]
        assert answer["unconverted"] == {code: 5}
        (warning,) = answer["warnings"]
        assert (warning["code"], warning["parameter"]) == ("no_rate", "currency")
        assert f"Of some amounts in {code} there is no rate to {to}" in warning["message"]


def test_what_has_no_currency_is_not_converted(bank: Server) -> None:
    project = Project(bank)
    sold(project, {"value": 5}, {"value": 5.5, "currency": "Euro"}, {"value": 1, "currency": "EUR"})
    for answer in (total(project, currency="EUR"), credited(project, currency="EUR")):
        assert [row["value"] for row in answer["rows"]] == [1]
        assert answer["unconverted"] == {"none": 10.5}
        assert codes(answer) == ["unknown_currency", "no_rate"]


def test_groups_and_intervals_are_converted_day_by_day(bank: Server) -> None:
    project = Project(bank)
    for day in ("2026-05-04", "2026-05-05"):
        sold(project, {"value": 60, "currency": "USD"}, {"value": -2, "currency": "EUR"}, day=day)
    sold(project, {"value": 1, "currency": "CHF"}, day="2026-05-05")
    assert value(project, currency="EUR") == 50 + 48 - 4
    by_day = {"interval": "day", "tz": "America/New_York", "to": "2026-05-05"}
    rows = total(project, currency="EUR", **by_day)["rows"]
    # By the clocks of New York the first hours belong to the day before; rates go by UTC.
    assert [(row["bucket"][:10], row["value"]) for row in rows] == [
        ("2026-05-03", 48),
        ("2026-05-04", 46),
    ]
    assert total(project, currency="EUR", group_by="event_name")["unconverted"] == {"CHF": 1}


def test_large_amounts_are_converted_without_an_error(bank: Server) -> None:
    project = Project(bank)
    for amount in (9e17, 9e29):
        sold(project, *({"value": amount, "currency": "EUR"} for _ in range(20)))
        assert value(project) == {"EUR": pytest.approx(amount * 20)}
        assert value(project, currency="JPY") == pytest.approx(amount * 20 * 160)
        answer = credited(project, currency="EUR")
        assert answer["total"]["value"] == pytest.approx(amount * 20)
        sold(project, *({"value": -amount, "currency": "EUR"} for _ in range(20)))
    assert value(project, currency="JPY") == 0


def test_a_conversion_of_nothing(bank: Server) -> None:
    project = Project(bank)
    sold(project, {"total": 5, "currency": "EUR"})
    for answer in (total(project, currency="EUR"), credited(project, currency="EUR")):
        assert [row["value"] for row in answer["rows"]] == [0]
        assert codes(answer) == ["unknown_property"]


@pytest.mark.parametrize("model", ["linear", "position_based", "time_decay"])
def test_credit_in_parts_adds_up_to_the_whole(bank: Server, model: str) -> None:
    project = Project(bank)
    for hour, source in enumerate(["a", "b", "c", "d", "e", "f", "g"]):
        project.track(
            "$pageview",
            user_id="ada",
            anonymous_id="phone",
            timestamp=f"2026-05-03T{hour * 3:02}:00:00Z",
            url=f"https://shop.example/?utm_source={source}&utm_medium=cpc",
        )
    sold(
        project,
        {"value": "100.01", "currency": "EUR"},
        {"value": "-0.01", "currency": "USD"},
        {"value": "x"},
    )
    answer = credited(project, model=model)
    assert answer["total"]["value"] == {"EUR": 100.01, "USD": -0.01}
    assert answer["skipped"] == 1
    assert len(answer["rows"]) >= 7
    for code, whole in answer["total"]["value"].items():
        assert sum(nano(row["value"][code]) for row in answer["rows"]) == nano(whole)
    converted = credited(project, model=model, currency="USD")
    assert converted["total"]["value"] == 120.002
    parts = sum(row["value"] for row in converted["rows"])
    assert parts == pytest.approx(120.002, abs=1e-8)


def test_every_model_and_scope_has_its_values(bank: Server) -> None:
    project = Project(bank)
    for hour, source in enumerate(["a", "b"]):
        project.track(
            "$pageview",
            user_id="ada",
            anonymous_id="phone",
            timestamp=f"2026-05-03T{hour * 3:02}:00:00Z",
            url=f"https://shop.example/?utm_source={source}&utm_medium=cpc",
        )
    sold(project, {"value": 12, "currency": "USD"}, {"value": 10.01, "currency": "EUR"})
    answer = credited(project, model="first_touch,linear,last_touch", group_by="source")
    everything = {"EUR": 10.01, "USD": 12}
    half = {"EUR": 5.005, "USD": 6}
    assert {model: each["value"] for model, each in answer["total"]["models"].items()} == {
        "first_touch": everything,
        "linear": everything,
        "last_touch": everything,
    }
    found = {
        row["source"]: [each["value"] for each in row["models"].values()] for row in answer["rows"]
    }
    assert found == {"a": [everything, half, {}], "b": [{}, half, everything]}
    converted = credited(project, model="linear,last_touch", group_by="source", currency="EUR")
    assert {row["source"]: row["models"] for row in converted["rows"]} == {
        "a": {
            "linear": {"conversions": 1, "persons": 1, "value": 10.005},
            "last_touch": {"conversions": 0, "persons": 0, "value": 0},
        },
        "b": {
            "linear": {"conversions": 1, "persons": 1, "value": 10.005},
            "last_touch": {"conversions": 2, "persons": 1, "value": 20.01},
        },
    }
    first = total(project, group_by="first.source", event="purchase")["rows"]
    assert first == [{"first.source": "a", "value": everything}]
    rows = total(project, group_by="visit.source", event="purchase", currency="EUR")["rows"]
    assert sum(row["value"] for row in rows) == 20.01


def nano(amount: float) -> int:
    return round(amount * 10**9)


@pytest.mark.parametrize(
    "path", ["/v1/stats?metric=sum&property=value", "/v1/attribution?conversion=a"]
)
@pytest.mark.parametrize("given", ["EURO", "E", "12$", "€€€"])
def test_a_currency_is_three_letters(project: Project, path: str, given: str) -> None:
    route, _, query = path.partition("?")
    params = dict(part.split("=") for part in query.split("&"))
    reply = project.get(route, **params, currency=given)
    assert reply.status == 400
    assert reply.json["details"]["fieldErrors"] == {
        "currency": ["write the three letters of a currency, such as EUR"]
    }


def test_a_currency_without_amounts_is_refused(project: Project) -> None:
    for path, params, needs in (
        ("/v1/stats", {"metric": "count"}, "metric=sum"),
        ("/v1/attribution", {"conversion": "a"}, "value_property"),
    ):
        reply = project.get(path, currency="EUR", **params)
        assert reply.status == 400
        assert f"goes with {needs}" in reply.json["details"]["message"]


MANY = wide(100_000, 1_000_000)


def test_ever_so_many_cents_are_whole_in_the_end(bank: Server) -> None:
    """In floats a million of them are 10000.000000018848."""
    project = Project(bank)
    project.track("paid", properties={"value": 0.01, "currency": "EUR"}, timestamp=f"{DAY}T00:00Z")
    assert value(project) == {"EUR": 0.01}
    # As many as nobody wants to send: the one that is stored, over and over.
    SocketStore(bank.folder).execute(
        """INSERT INTO events (
            project_id, event_id, event_name, anonymous_id, timestamp, received_at, properties
        )
        SELECT e.project_id, toString(number), e.event_name, toString(number % 1000),
            e.timestamp, e.received_at, e.properties
        FROM events AS e, numbers({more:UInt32}) AS n
        WHERE e.project_id = {project_id:String}""",
        {"project_id": project.project_id, "more": MANY - 1},
    )
    whole = MANY // 100
    assert sum([0.01] * MANY) != whole
    assert project.ask("/v1/stats", event="paid")["rows"] == [{"value": MANY}]
    assert value(project) == {"EUR": whole}
    assert value(project, currency="USD") == whole * 1.2
    answer = credited(project, conversion="paid", model="linear")
    assert answer["total"]["value"] == {"EUR": whole}


def test_a_rare_property_is_known(bank: Server) -> None:
    """However many others there are."""
    project = Project(bank)
    for first in range(0, 1200, 100):
        project.track("many", properties={f"p{nth}": 1 for nth in range(first, first + 100)})
    project.track("many", properties={"rare": "x"})
    answer = project.ask("/v1/stats", event="many", metric="sum", property="rare")
    assert codes(answer) == ["skipped_values"]
