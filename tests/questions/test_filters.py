"""Filters: every dimension, every operator, on a log small enough to count by hand."""

from typing import Any

import pytest

from tests.support import Json, Project, Server

# Ann came from facebook, read, signed up on her phone, and bought on her laptop as well; Ben came
# from google and never signed up, but is known; nobody knows the third, who came directly.
PHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 Safari/604.1"
FACEBOOK = "?utm_source=facebook&utm_medium=paid&utm_campaign=spring"
LOG: list[Json] = [
    {"event": "$pageview", "a": "phone", "t": "2026-05-01T10:00", "url": "/lp" + FACEBOOK},
    {"event": "$pageview", "a": "phone", "t": "2026-05-01T10:01", "url": "/docs/x"},
    {"event": "$identify", "a": "phone", "u": "ann", "t": "2026-05-01T10:02", "p": {"plan": "pro"}},
    {"event": "signup", "a": "phone", "u": "ann", "t": "2026-05-01T10:02:01", "p": {"plan": "pro"}},
    {"event": "$pageview", "a": "laptop", "u": "ann", "t": "2026-05-03T10:00", "url": "/"},
    {"event": "purchase", "a": "laptop", "u": "ann", "t": "2026-05-03T10:01",
     "p": {"value": 30, "n": "7"}},
    {"event": "purchase", "a": "laptop", "u": "ann", "t": "2026-05-03T10:02", "p": {"value": 5}},
    {"event": "$pageview", "a": "desk", "t": "2026-05-02T10:00", "url": "/docs/y",
     "r": "https://www.google.com/"},
    {"event": "$identify", "a": "desk", "u": "ben", "t": "2026-05-02T10:01", "p": {"plan": None}},
    {"event": "$pageview", "a": "cafe", "t": "2026-05-04T10:00", "url": "/docs/a;b|c"},
]  # fmt: skip


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
                "url": f"https://shop.example{row['url']}" if "url" in row else None,
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


EVENTS = [
    ("event==signup", 1),
    ("event_name==signup|purchase", 3),
    ("event!=$pageview", 5),
    ("path=^/docs/*", 3),
    ("path=^/docs/?", 2),
    ("path==/docs/a\\;b\\|c", 1),
    ("path==(none)", 5),
    ("path!=(none)", 5),
    ("path=@ocs/", 3),
    ("path=@x|y", 2),
    ("path=~^/docs/(x|y)$", 2),
    ("url=@utm_source", 1),
    ("host==shop.example", 5),
    ("referrer!=(none)", 1),
    ("source==facebook", 1),
    ("medium==organic|paid", 2),
    ("campaign==spring", 1),
    ("properties.plan==pro", 2),
    ("properties.plan==(none)", 8),
    ("properties.plan!=pro", 8),
    ("properties.value>5", 1),
    ("properties.value>=5", 2),
    ("properties.value<=5;event==purchase", 1),
    ("properties.value==30", 1),
    ("properties.n>6", 1),
    ("event == purchase ; properties.value == 5", 1),
]
PERSONS = [
    ("first.source==facebook", 7),
    ("properties.value==5.0", 1),
    ("properties.value==5e0|31", 1),
    ("properties.value==05", 0),
    ("properties.value!=5.0;event==purchase", 1),
    ("first.source!=facebook", 3),
    ("first.medium==paid;did==purchase", 7),
    ("first.campaign==spring", 7),
    ("first.channel==Paid Social", 7),
    ("first.path==/lp", 7),
    ("first.path=^/docs/*", 3),
    ("last.source==facebook", 0),
    ("last.source==direct", 8),
    ("last.source==google", 2),
    ("last.path==/", 7),
    ("known==true", 9),
    ("known==false", 1),
    ("user_id==ann", 7),
    ("user_id!=ann", 3),
    ("user_id=^b*", 2),
    ("user_id==(none)", 1),
    ("traits.plan==pro", 7),
    ("traits.plan!=pro", 3),
    ("traits.plan==(none)", 3),
    ("traits.plan!=(none)", 7),
    ("devices==2", 7),
    ("devices<2", 3),
    ("did==signup", 7),
    ("did!=signup", 3),
    ("did(,2)==purchase", 7),
    ("did(,3)==purchase", 0),
    ("did(,3)==purchase|signup", 7),
    ("did(1d)==signup", 0),
    ("did(9999w)==signup", 7),
]
VISITS = [
    ("visit.source==facebook", 4),
    ("visit.source!=facebook", 6),
    ("visit.entry_path==/lp", 4),
    ("visit.exit_path=^/docs/*", 7),
    ("visit.bounce==true", 1),
    ("visit.source==direct;event==purchase", 2),
]


@pytest.mark.parametrize(("filters", "expected"), EVENTS + PERSONS + VISITS)
def test_a_filter_keeps_what_it_says(shop: Project, filters: str, expected: int) -> None:
    assert count(shop, filters) == expected
    assert count(shop, filters, stitch="first") == expected


@pytest.mark.parametrize(
    ("filters", "said"),
    [
        ("plan==pro", "there is no dimension 'plan'"),
        ("sorce==x", "did you mean source?"),
        ("source=x", "write == for equal"),
        ("source", "is not a condition"),
        ("source==", "a value is empty"),
        ("source==a|", "a value is empty"),
        ("source>3", "source takes =="),
        ("devices==two", "is a number"),
        ("properties.value>x", "takes a number or a time"),
        ("known==yes", "true or false"),
        ("did=~sign", "did takes =="),
        ("source(30d)==x", "only did takes brackets"),
        ("did(x)==signup", "only did takes brackets"),
        ("path=~(", "the regular expression cannot be read"),
        ("segment==nobody", "there is no segment 'nobody'"),
        ("did==goal:none", "there is no goal 'none'"),
    ],
)
def test_what_cannot_be_read_is_said(shop: Project, filters: str, said: str) -> None:
    reply = shop.get("/v1/stats", filters=filters)
    assert reply.status == 400
    assert said in reply.json["details"]["fieldErrors"]["filters"][0]


def test_whole_numbers_are_compared_to_their_last_digit(project: Project) -> None:
    """Beyond 2^53 neighbours are one number for floats."""
    ids = [2**53, 2**53 + 1, 10**25, 10**25 + 1]
    for number in ids:
        project.track("x", anonymous_id="a", properties={"id": number})
    project.track("x", anonymous_id="a", properties={"id": 1e300})
    project.track("x", anonymous_id="a", properties={"id": "none"})
    for threshold in ids:
        for sign, many in ((">", sum(id > threshold for id in ids) + 1), ("<=", None)):
            wanted = sum(id <= threshold for id in ids) if many is None else many
            filters = f"properties.id{sign}{threshold}"
            (row,) = project.ask("/v1/stats", filters=filters)["rows"]
            assert row["value"] == wanted, filters
