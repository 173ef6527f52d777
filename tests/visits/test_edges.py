"""Where visits, touches and credit have an edge, each by the smallest log that shows it."""

import datetime as dt

from tests.support import Json, Project, Server
from tests.visits.steps import KINDS, SHOP, shop

DAY = dt.datetime(2026, 5, 1, tzinfo=dt.UTC)


def minute(number: float) -> str:
    return (DAY + dt.timedelta(minutes=number)).isoformat()


def seen(at: float, kind: str = "page", event: str = "$pageview", **more: object) -> Json:
    """What happens on device `d`, so many minutes after midnight."""
    about = KINDS[kind]
    sent: Json = {"event": event, "timestamp": minute(at), "anonymous_id": "d"}
    if "url" in about:
        sent["url"] = SHOP + str(more.pop("path", "/")) + about.get("query", "")
    if "referrer" in about:
        sent["referrer"] = about["referrer"]
    return {**sent, **more}


def all_day(first: str) -> list[Json]:
    """Ten hours at work, never half an hour without a page: one visit."""
    return [seen(0, first), *(seen(n, "inner") for n in range(25, 600, 25))]


def by_source(project: Project, path: str, name: str, **params: object) -> dict[str, object]:
    rows = project.ask(path, **params)["rows"]
    return {row["source"]: row[name] for row in rows}


def test_who_only_came_back_has_no_last_touch_that_is_internal(server: Server) -> None:
    """A visit that begins with a return has no touch, and a profile still says no such thing."""
    project = shop(server)
    project.batch([seen(0, "back", user_id="ada"), seen(1, "inner", user_id="ada")])
    last = project.ask("/v1/users/ada")["last_touch"]
    assert (last["source"], last["medium"]) == ("direct", "direct")


def test_a_visit_keeps_its_source_where_the_question_begins_in_its_midst(server: Server) -> None:
    project = shop(server)
    project.batch(all_day("ad"))
    for metric in ("persons", "count", "uniques"):
        rows = project.ask(
            "/v1/stats", metric=metric, group_by="visit.source", **{"from": minute(500)}
        )["rows"]
        assert [row["visit.source"] for row in rows] == ["facebook"], metric


def test_a_touch_is_no_later_where_the_question_begins_in_its_visits_midst(server: Server) -> None:
    """The same source again within one visit is the same touch, whenever that began."""
    project = shop(server)
    project.batch(
        [
            *all_day("ad"),
            seen(590, "ad"),
            seen(580 + 1440, "page", "signup", user_id="ada"),
        ]
    )
    asked: Json = {"conversion": "signup", "model": "linear", "lookback_days": 1}
    whole = project.ask("/v1/attribution", **asked)
    part = project.ask("/v1/attribution", **asked, **{"from": minute(580 + 1440)})
    assert whole["total"]["outside_window"] == part["total"]["outside_window"]
    assert by_source(project, "/v1/attribution", "conversions", **asked) == by_source(
        project, "/v1/attribution", "conversions", **asked, **{"from": minute(580 + 1440)}
    )


def test_the_landing_path_is_that_of_the_event_that_came_from_there(server: Server) -> None:
    """Other events of its millisecond may have smaller ids, and no path."""
    project = shop(server)
    project.batch(
        [
            seen(0, "ad", path="/landing", event_id="z"),
            seen(0, "inner", path="/other", event_id="a"),
            seen(0, "nowhere", "$identify", user_id="ada", event_id="b"),
            seen(1, "inner", "signup", user_id="ada"),
        ]
    )
    (row,) = project.ask("/v1/attribution", conversion="signup", group_by="landing_path")["rows"]
    assert row["landing_path"] == "/landing"


def test_nobody_is_influenced_by_a_touch_that_was_none(project: Project) -> None:
    """A conversion without any touch before it goes to direct, which influenced nobody."""
    project.batch([seen(0, "page", "signup"), seen(10, "ad")])
    (row,) = project.ask("/v1/attribution", conversion="signup", group_by="source")["rows"]
    assert (row["source"], row["conversions"]) == ("direct", 1)
    assert (row["touches"], row["influenced"]) == (0, 0)


def test_what_influenced_people_is_the_same_whatever_the_model(project: Project) -> None:
    project.batch(
        [
            seen(0, "ad"),
            seen(40 * 1440, "search"),
            seen(40 * 1440 + 1, "inner", "signup", user_id="ada"),
        ]
    )
    found = [
        by_source(project, "/v1/attribution", "influenced", conversion="signup", model=model)
        for model in ("linear", "linear,first_touch")
    ]
    assert found[0] == {name: count for name, count in found[1].items() if count}


def test_the_reasons_name_an_event_of_the_user(server: Server) -> None:
    """Not one that somebody else did on the same device in the same millisecond."""
    project = shop(server)
    project.batch(
        [
            seen(0, "page", "click", user_id="bob", event_id="e1", path="/bob"),
            seen(0, "inner", user_id="ada", event_id="e2", path="/ada"),
            seen(1, "inner", "signup", user_id="ada"),
        ]
    )
    answer = project.ask("/v1/attribution/why", user_id="ada", conversion="signup")
    (touch,) = answer["touches"]
    assert (touch["event_id"], touch["source"]) == ("e2", "direct")
    (row,) = project.ask("/v1/attribution", conversion="signup", group_by="landing_path")["rows"]
    assert row["landing_path"] == "/ada"
