"""Accounts: who belongs to them, and questions that count them in the place of people."""

from typing import Any

import pytest

from tests.support import Json, Project, Server
from tests.width import wide

# Ann found acme through facebook before anybody knew her; Ben works for acme, too, and came first,
# from google. Cy works for globex, and once for acme; Dee for nobody.
ACME, GLOBEX = {"account_id": "acme"}, {"account_id": "globex"}
LOG: list[Json] = [
    {"e": "$pageview", "a": "phone", "t": "02T10:00", "url": "/?utm_source=facebook"},
    {"e": "$identify", "a": "phone", "u": "ann", "t": "02T10:10"},
    {"e": "$group", "a": "phone", "u": "ann", "t": "02T10:11", "p": {**ACME, "plan": "pro"}},
    {"e": "signup", "a": "phone", "u": "ann", "t": "02T10:12"},
    {"e": "$pageview", "a": "desk", "t": "01T10:00", "url": "/?utm_source=google"},
    {"e": "$identify", "a": "desk", "u": "ben", "t": "01T10:01"},
    {"e": "purchase", "a": "desk", "u": "ben", "t": "05T10:00", "p": {**ACME, "value": 5}},
    {"e": "$pageview", "a": "mac", "t": "03T10:00", "url": "/?utm_source=bing"},
    {"e": "$identify", "a": "mac", "u": "cy", "t": "03T10:01"},
    {"e": "signup", "a": "mac", "u": "cy", "t": "03T10:02", "p": GLOBEX},
    {"e": "signup", "a": "mac", "u": "cy", "t": "03T10:04", "p": ACME},
    {"e": "read", "a": "mac", "u": "cy", "t": "03T10:05"},
    {"e": "purchase", "a": "mac", "u": "cy", "t": "03T10:06", "p": GLOBEX},
    {"e": "$pageview", "a": "tab", "t": "04T10:00", "url": "/?utm_source=ads"},
    {"e": "signup", "a": "tab", "u": "dee", "t": "04T10:10"},
    {"e": "$group", "a": "tv", "t": "06T10:00", "p": {"account_id": 42, "plan": "free"}},
    {"e": "$group", "a": "bug", "t": "06T10:00", "p": {"account_id": "undefined"}},
    {"e": "$group", "a": "bug", "t": "06T10:00", "p": {"account_id": " "}},
    {"e": "$group", "a": "bug", "t": "06T10:00", "p": {"account_id": ["acme"]}},
]


def sent(row: Json) -> Json:
    return {
        "event": row["e"],
        "anonymous_id": row["a"],
        "user_id": row.get("u"),
        "timestamp": f"2026-05-{row['t']}:00Z",
        "url": f"https://shop.example{row['url']}" if "url" in row else None,
        "properties": row.get("p", {}),
    }


def fill(project: Project) -> Project:
    project.batch([sent(row) for row in LOG])
    return project


@pytest.fixture(scope="module")
def shop(server: Server) -> Project:
    return fill(Project(server))


def persons(project: Project, **params: Any) -> int:
    answer = project.ask("/v1/stats", metric="persons", **params)
    return int(answer["rows"][0]["value"])


def codes(answer: Json) -> list[str]:
    return [warning["code"] for warning in answer.get("warnings", [])]


def test_stats_count_accounts(shop: Project) -> None:
    assert persons(shop) == 6
    assert persons(shop, per="account") == 3
    assert persons(shop, per="account", event="signup") == 2
    assert persons(shop, per="account", event="read") == 1
    assert persons(shop, per="account", event="read", filters="account==globex") == 1
    rate = shop.ask(
        "/v1/stats", metric="conversion_rate", per="account", event="signup", conversion="purchase"
    )
    assert rate["rows"][0]["value"] == 1
    grouped = shop.ask(
        "/v1/stats", metric="persons", per="account", event="signup", group_by="first.source"
    )
    assert {row["first.source"]: row["value"] for row in grouped["rows"]} == {
        "google": 1,
        "bing": 1,
    }


def test_groups_by_account(shop: Project) -> None:
    """Of people by the account they were seen in last; of accounts by themselves."""

    def groups(**params: Any) -> Json:
        rows = shop.ask("/v1/stats", metric="persons", group_by="account", **params)["rows"]
        return {row["account"]: row["value"] for row in rows}

    assert groups(event="signup") == {"acme": 1, "globex": 1, None: 1}
    assert groups(event="signup", per="account") == {"acme": 1, "globex": 1}
    answer = shop.ask(
        "/v1/funnel", steps="signup,purchase", window="7d", per="account", group_by="account"
    )
    steps = {row["account"]: [s["persons"] for s in row["steps"]] for row in answer["rows"]}
    assert steps == {"acme": [1, 1], "globex": [1, 1]}


def test_whoever_belongs_to_none_is_left_out_and_the_answer_says_so(shop: Project) -> None:
    answer = shop.ask("/v1/stats", metric="persons", per="account", event="signup")
    (warning,) = answer["warnings"]
    assert warning["code"] == "without_account"
    assert warning["message"].startswith("One person who did this belongs to no account")
    assert "warnings" not in shop.ask(
        "/v1/stats", metric="persons", per="account", event="purchase"
    )


def test_funnel_of_accounts(shop: Project) -> None:
    """One signs up, another buys: the account does both."""
    alone = shop.ask("/v1/funnel", steps="signup,purchase", window="7d")
    assert [step["persons"] for step in alone["rows"][0]["steps"]] == [3, 1]
    answer = shop.ask("/v1/funnel", steps="signup,purchase", window="7d", per="account")
    assert [step["persons"] for step in answer["rows"][0]["steps"]] == [2, 2]
    assert codes(answer) == ["without_account"]


def test_who_is_behind_numbers_of_accounts(shop: Project) -> None:
    steps = {"steps": "signup,purchase", "window": "7d", "per": "account"}
    reached = shop.ask("/v1/funnel/people", step=2, **steps)
    assert [(row["account_id"], row["user_id"]) for row in reached["rows"]] == [
        ("acme", None),
        ("globex", None),
    ]
    assert reached["rows"][0]["first_source"] == "google"
    assert "account_id" not in shop.ask("/v1/funnel/people", step=1, steps="signup,read")["rows"][0]
    cell = {"interval": "day", "cohort_start": "2026-05-01", "period": 2, "per": "account"}
    back = shop.ask("/v1/retention/people", **cell)
    assert (back["persons"], [row["account_id"] for row in back["rows"]]) == (1, ["acme"])


def test_of_retention_those_are_left_out_who_are_in_its_cohorts(shop: Project) -> None:
    """Dee is in one; whoever only had the bug in none, because they did not sign up."""
    by = {"interval": "day", "per": "account", "periods": 2}
    (warning,) = shop.ask("/v1/retention", cohort="signup", **by)["warnings"]
    assert warning["message"].startswith("One person who did this")
    assert "warnings" not in shop.ask(
        "/v1/retention", cohort="signup", from_="2026-05-01", to="2026-05-04", **by
    )


def test_accounts_by_when_they_were_first_seen(shop: Project) -> None:
    def ids(**params: Any) -> list[str]:
        return [row["account_id"] for row in shop.ask("/v1/accounts", **params)["rows"]]

    assert ids(from_="2026-05-02", to="2026-05-06") == ["globex"]
    assert ids(to="2026-05-02", order="first_seen") == ["acme"]


def test_the_first_touch_of_an_account_is_of_whom_it_knew_first(shop: Project) -> None:
    answer = shop.ask("/v1/attribution", conversion="signup", model="first_touch", per="account")
    found = {row["source"]: row["conversions"] for row in answer["rows"]}
    # Of the three conversions of accounts, two are acme's: Ann's and one of Cy's.
    assert found == {"google": 2, "bing": 1}
    landed = shop.ask(
        "/v1/attribution",
        conversion="signup",
        model="first_touch",
        per="account",
        group_by="landing_path",
    )
    assert [row["landing_path"] for row in landed["rows"]] == ["/"]


def test_time_to_conversion_of_accounts(shop: Project) -> None:
    answer = shop.ask("/v1/time-to-conversion", conversion="purchase", per="account")
    (row,) = answer["rows"]
    assert row["persons"] == 2
    # Ben's first page to his purchase, four days later; Cy's, six minutes.
    assert row["mean_seconds"] == (4 * 86_400 + 6 * 60) / 2
    assert answer["stitch"] == "next"


def test_retention_of_accounts(shop: Project) -> None:
    answer = shop.ask("/v1/retention", interval="day", per="account", periods=6)
    retained = {row["cohort"][:10]: row["retained"] for row in answer["rows"]}
    assert retained == {
        "2026-05-01": [1, 1, 1, 0, 1, 0],
        "2026-05-03": [1, 0, 0, 0, 0, 0],
        "2026-05-06": [1, 0, 0, 0, 0, 0],
    }


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ("account==acme", {"ann", "ben", "cy"}),
        ("account==globex", {"cy"}),
        ("account!=globex", {"ann", "ben", "dee"}),
        ("account==(none)", {"dee"}),
        ("account!=(none)", {"ann", "ben", "cy"}),
        ("account==globex|(none)", {"cy", "dee"}),
        ("account=^a*", {"ann", "ben", "cy"}),
        ("account=@lob", {"cy"}),
    ],
)
@pytest.mark.parametrize("stitch", ["any", "next", "none"])
def test_filters_by_account(shop: Project, filters: str, expected: set[str], stitch: str) -> None:
    rows = shop.ask("/v1/users", filters=filters, stitch=stitch)["rows"]
    assert {row["user_id"] for row in rows} == expected


def test_unlinked_people_do_not_count(server: Server) -> None:
    shop = fill(Project(server))
    link = {"account_id": "acme", "user_id": "cy"}

    def of_acme() -> set[str]:
        rows = shop.ask("/v1/users", filters="account==acme")["rows"]
        return {row["user_id"] for row in rows}

    assert of_acme() == {"ann", "ben", "cy"}
    assert shop.change("DELETE", "/v1/identity/accounts", link).json["changed"] is True
    assert shop.change("DELETE", "/v1/identity/accounts", link).json["changed"] is False
    assert of_acme() == {"ann", "ben"}
    # What Cy did counts for the other account.
    assert persons(shop, per="account", event="read", filters="account==globex") == 1
    assert shop.change("PUT", "/v1/identity/accounts", link).json["changed"] is True
    assert of_acme() == {"ann", "ben", "cy"}
    device = {"account_id": "42", "anonymous_id": "tv"}
    assert persons(shop, per="account") == 3
    assert shop.change("DELETE", "/v1/identity/accounts", device).json["changed"] is True
    assert persons(shop, per="account") == 2


@pytest.mark.parametrize(
    "whom", [{}, {"user_id": "cy", "anonymous_id": "mac"}, {"user_id": ""}], ids=str
)
def test_unlinking_says_whom(shop: Project, whom: Json) -> None:
    reply = shop.change("DELETE", "/v1/identity/accounts", {"account_id": "acme", **whom})
    assert (reply.status, reply.error) == (400, "invalid_payload")


def test_what_cannot_be_asked_of_accounts_is_refused(shop: Project) -> None:
    for path, params in (
        ("/v1/stats", {"metric": "count"}),
        ("/v1/stats", {"metric": "per_person", "property": "value"}),
        ("/v1/time-to-conversion", {"conversion": "purchase", "user_id": "cy"}),
    ):
        reply = shop.get(path, per="account", **params)
        assert (reply.status, reply.error) == (400, "invalid_params")
        assert list(reply.json["details"]["fieldErrors"]) == ["per"]
    for group in ("devices", "last.source", "traits.plan"):
        reply = shop.get("/v1/stats", metric="persons", per="account", group_by=group)
        assert list(reply.json["details"]["fieldErrors"]) == ["group_by"]
    reply = shop.get("/v1/paths", event="signup", per="account")
    assert (reply.status, reply.error) == (400, "invalid_params")
    reply = shop.get("/v1/funnel", steps="signup,purchase", per="account", stitch="any")
    assert reply.error == "stitch_not_a_partition"


def test_the_list_of_accounts(shop: Project) -> None:
    rows = shop.ask("/v1/accounts")["rows"]
    assert [(row["account_id"], row["people"], row["events"]) for row in rows] == [
        ("42", 1, 1),
        ("acme", 3, 9),
        ("globex", 1, 4),
    ]
    acme = rows[1]
    assert acme["first_seen"] == "2026-05-01T10:00:00.000Z"
    assert acme["last_seen"] == "2026-05-05T10:00:00.000Z"
    assert (acme["first_touch"]["source"], acme["first_touch"]["anonymous_id"]) == (
        "google",
        "desk",
    )


def names(answer: Json) -> list[str]:
    return [row["account_id"] for row in answer["rows"]]


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"order": "-people"}, ["acme", "42", "globex"]),
        ({"order": "events"}, ["42", "globex", "acme"]),
        ({"order": "first_seen"}, ["acme", "globex", "42"]),
        ({"search": "ACM"}, ["acme"]),
        ({"search": "free"}, ["42"]),
        ({"search": "nobody"}, []),
        ({"filters": "did==signup"}, ["acme", "globex"]),
        ({"filters": "first.source==bing", "order": "last_seen"}, ["acme", "globex"]),
        ({"filters": "user_id==cy;account==globex"}, ["acme", "globex"]),
    ],
    ids=str,
)
def test_accounts_are_searched_filtered_and_ordered(
    shop: Project, params: Json, expected: list[str]
) -> None:
    if "filters" in params and "order" not in params:
        params = {**params, "order": "-people"}
    assert names(shop.ask("/v1/accounts", **params)) == expected


ORDERS = ["-last_seen", "people", "last_seen", "-events"]


@pytest.mark.parametrize("order", wide(ORDERS[:2], ORDERS))
def test_pages_of_accounts(shop: Project, order: str) -> None:
    whole = shop.ask("/v1/accounts", order=order)["rows"]
    assert shop.pages("/v1/accounts", order=order, limit=1) == whole
    cursor = shop.ask("/v1/accounts", order=order, limit=1)["next_cursor"]
    reply = shop.get("/v1/accounts", order="first_seen", limit=1, cursor=cursor)
    assert (reply.status, reply.error) == (400, "invalid_params")


def test_accounts_as_files(shop: Project) -> None:
    found = shop.get("/v1/accounts", format="csv", limit=1)
    lines = found.body.decode().splitlines()
    assert lines[0].startswith(
        "account_id,people,events,first_seen,last_seen,first_touch.timestamp"
    )
    assert lines[1].startswith("42,1,1,2026-05-06T10:00:00.000Z")
    assert found.headers["Threadline-Next-Cursor"]
    nobody = shop.get("/v1/accounts", format="csv", search="nobody").body.decode().splitlines()
    assert nobody == lines[:1]
    assert shop.get("/v1/accounts", format="ndjson").body.count(b"\n") == 3


def test_what_was_said_once_of_an_account_stays(server: Server) -> None:
    """Whatever is said of it on every page since, and by whom."""
    project = Project(server)
    by_server = {"account_id": "acme", "plan": "pro", "language": "COBOL"}
    on_page = {"account_id": "acme", "seats": 3, "language": "en-GB", "viewport": "390x844"}
    about = {"event": "$group", "anonymous_id": "laptop", "user_id": "dan"}
    said = [by_server, *[on_page] * 1100]
    of = [
        {**about, "event_id": f"g{n}", "timestamp": f"2026-05-01T12:{n // 60:02}:{n % 60:02}Z"}
        | {"properties": each}
        for n, each in enumerate(said)
    ]
    for first in range(0, len(of), 1000):
        project.batch(of[first : first + 1000])
    traits = project.ask("/v1/accounts/acme")["traits"]
    assert traits == {"plan": "pro", "language": "COBOL", "seats": 3}


def test_one_account(shop: Project) -> None:
    acme = shop.ask("/v1/accounts/acme")
    assert acme["traits"] == {"plan": "pro"}
    assert [member["user_id"] for member in acme["members"]] == ["ben", "cy", "ann"]
    assert acme["members"][1] == {
        "user_id": "cy",
        "anonymous_id": None,
        "first_seen": "2026-05-03T10:04:00.000Z",
        "last_seen": "2026-05-03T10:04:00.000Z",
    }
    tv = shop.ask("/v1/accounts/42")
    assert [member["anonymous_id"] for member in tv["members"]] == ["tv"]
    few = shop.ask("/v1/accounts/acme", limit=1)
    assert (few["people"], len(few["members"]), codes(few)) == (3, 1, ["truncated"])
    reply = shop.get("/v1/accounts/undefined")
    assert (reply.status, reply.error) == (404, "not_found")


def test_a_project_without_accounts_says_so(server: Server) -> None:
    project = Project(server)
    project.track("x", anonymous_id="a")
    assert codes(project.ask("/v1/accounts")) == ["no_accounts"]
    assert persons_or_none(project) == []


def persons_or_none(project: Project) -> list[Json]:
    rows: list[Json] = project.ask("/v1/stats", metric="persons", per="account")["rows"]
    return [row for row in rows if row["value"]]


def test_accounts_as_they_were_known_then(server: Server) -> None:
    shop = fill(Project(server))
    received = shop.ask("/v1/accounts")["rows"]
    then = shop.stored(event="$group")[0]
    assert then
    shop.change("DELETE", "/v1/identity/accounts", {"account_id": "globex", "user_id": "cy"})
    assert names(shop.ask("/v1/accounts")) == ["42", "acme"]
    at = "2026-01-01"
    assert names(shop.ask("/v1/accounts", as_of=at)) == []
    assert shop.ask("/v1/accounts", as_of="2290-01-01")["rows"] != received
    shop.change("PUT", "/v1/identity/accounts", {"account_id": "globex", "user_id": "cy"})
    assert shop.ask("/v1/accounts")["rows"] == received
    # Computed from the events instead of the state.
    assert shop.ask("/v1/accounts", as_of="2290-01-01")["rows"] == received


def test_whoever_is_forgotten_is_of_no_account(server: Server) -> None:
    shop = fill(Project(server))
    assert shop.change(
        "DELETE", "/v1/identity/accounts", {"account_id": "acme", "user_id": "cy"}
    ).json["changed"]
    for user_id in ("ann", "cy"):
        assert shop.post("/v1/forget", {"user_id": user_id}).status == 200
    rows = shop.ask("/v1/accounts")["rows"]
    assert [(row["account_id"], row["people"]) for row in rows] == [("42", 1), ("acme", 1)]
    assert shop.ask("/v1/accounts/acme")["traits"] == {}


def test_group_calls_of_segments_libraries(server: Server) -> None:
    shop = Project(server)
    group = {"type": "group", "userId": "ann", "groupId": "acme", "traits": {"plan": "pro"}}
    track = {"type": "track", "userId": "ben", "event": "x", "context": {"groupId": "acme"}}
    call = {"batch": [group, track], "context": {"locale": "de"}}
    assert shop.post("/v1/batch", call).status == 200
    acme = shop.ask("/v1/accounts/acme")
    assert {member["user_id"] for member in acme["members"]} == {"ann", "ben"}
    assert acme["traits"] == {"plan": "pro"}


@pytest.mark.parametrize(
    ("event", "properties", "is_account"),
    [
        ("$group", {"account_id": "acme"}, True),
        ("$group", {"group_id": "acme"}, True),
        ("$group", {}, False),
        ("x", {"group_id": ["no account here"]}, True),
        ("x", {"account_id": None}, True),
        ("x", {"account_id": 7}, True),
        ("x", {"account_id": 0}, False),
        ("x", {"account_id": " Undefined "}, False),
        ("x", {"account_id": 1.5}, False),
        ("x", {"account_id": True}, False),
        ("x", {"account_id": "a" * 257}, False),
    ],
    ids=str,
)
def test_what_is_no_account_is_said(
    shop: Project, event: str, properties: Json, is_account: bool
) -> None:
    reply = shop.track(event, properties=properties, user_id="zoe", timestamp="2025-01-01")
    assert ("no_account" in codes(reply)) != is_account


def test_accounts_change_within_half_an_hour(server: Server) -> None:
    """Each event counts for the one of its time, though people are looked at by the half hour."""
    shop = Project(server)
    # In one batch, so that they are one row of their half hour.
    shop.batch(
        [
            {
                "event": "$pageview",
                "user_id": "cy",
                "anonymous_id": "mac",
                "timestamp": f"2026-05-01T10:{minute:02}:00Z",
                "url": f"https://shop.example/?utm_source=s{minute}",
                "properties": {"account_id": account_id} if account_id else {},
            }
            for minute, account_id in ((0, "acme"), (10, "globex"), (20, None))
        ]
    )
    assert persons(shop, per="account") == 2
    rows = shop.ask("/v1/accounts", order="first_seen")["rows"]
    assert [(row["account_id"], row["events"], row["last_seen"][11:16]) for row in rows] == [
        ("acme", 1, "10:00"),
        ("globex", 2, "10:20"),
    ]
    answer = shop.ask(
        "/v1/attribution", conversion="$pageview", model="linear", group_by="source", per="account"
    )
    assert {row["source"]: row["conversions"] for row in answer["rows"]} == {
        "s0": 1,
        "s10": 1.5,
        "s20": 0.5,
    }
