"""Counting people, over random logs with shared devices, unlinks and aliases: always the oracle's
numbers."""

import datetime as dt
import functools
from collections import Counter
from collections.abc import Callable
from operator import ne
from statistics import median
from zoneinfo import ZoneInfo

import chdb
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.identity import oracle as identity
from tests.identity.steps import START, Step, decision, iso, live
from tests.questions import oracle
from tests.support import Json, Project, Server
from tests.width import EXAMPLES
from threadline.contract.policies import PARTITIONS

engine: Callable[[str, str], object] = chdb.query

event = st.fixed_dictionaries(
    {
        "id": st.sampled_from([f"e{n:02}" for n in range(60)]),
        "t": st.integers(0, 200).map(lambda n: START + n * dt.timedelta(minutes=20)),
        "event": st.sampled_from(["$pageview", "signup", "purchase", "refund"]),
        "a": st.sampled_from([None, "phone", "laptop", "kiosk", "kiosk"]),
        "u": st.sampled_from([None, None, None, "ada", "bob"]),
        "source": st.sampled_from(["facebook", "google", "direct", "internal"]),
        "value": st.integers(0, 9),
    }
).map(lambda e: {**e, "medium": e["source"] if e["source"] in ("direct", "internal") else "x"})
steps = st.lists(
    st.one_of(st.lists(event, min_size=1, max_size=20), decision), min_size=1, max_size=5
)


def wire(event: oracle.Event) -> Json:
    sent = {
        "event": event["event"],
        "event_id": event["id"],
        "timestamp": event["t"].isoformat(),
        "anonymous_id": event["a"],
        "user_id": event["u"],
        "properties": {"value": event["value"]},
    }
    if event["medium"] == "x":
        sent["url"] = f"https://shop.example/?utm_source={event['source']}&utm_medium=x"
    elif event["source"] == "internal":
        sent |= {"url": "https://shop.example/b", "referrer": "https://shop.example/a"}
    else:
        sent["url"] = "https://shop.example/"
    return sent


@settings(max_examples=EXAMPLES)
@given(
    steps=steps,
    back=st.integers(0, 3),
    exclude=st.sampled_from([None, "refund"]),
    cohort=st.sampled_from(
        [("first_seen", None), ("known", None), ("known", "purchase"), ("signup", None)]
    ),
)
def test_counting_is_the_oracles(
    server: Server,
    steps: list[Step],
    back: int,
    exclude: str | None,
    cohort: tuple[str, str | None],
) -> None:
    project = Project(server)
    history = live(project, steps, wire)
    _, log, decided = history[-1]
    then, log_then, decided_then = history[max(0, len(history) - 1 - back)]
    for policy in PARTITIONS:
        now: Json = {"stitch": policy}
        past = {**now, "as_of": iso(then)}
        for on, known, decisions in ((now, log, decided), (past, log_then, decided_then)):
            pairs = oracle.owned(known, policy, decisions)
            check_stats(project, pairs, on)
            check_funnel(project, pairs, on, exclude)
            check_retention(project, pairs, on, *cohort)
            check_paths(project, pairs, on)
            check_identity(project, known, decisions, on)


@functools.cache
def rank(sql: str) -> int:
    """How the engine orders what happened at the same moment: always alike, that is all that is
    promised."""
    return int(str(engine(f"SELECT {sql}", "TSV")))


def check_funnel(project: Project, pairs: oracle.Owned, on: Json, exclude: str | None) -> None:
    order = ["$pageview", "signup", "purchase"]
    (row,) = project.ask("/v1/funnel", steps=",".join(order), window="12h", exclude=exclude, **on)[
        "rows"
    ]
    counts, medians = oracle.funnel(pairs, order, dt.timedelta(hours=12), exclude)
    assert [step["persons"] for step in row["steps"]] == counts
    assert [step["median_seconds"] for step in row["steps"]] == medians


def check_retention(
    project: Project, pairs: oracle.Owned, on: Json, cohort: str, returning: str | None
) -> None:
    rows = project.ask(
        "/v1/retention", cohort=cohort, event=returning, interval="day", periods=4, **on
    )["rows"]
    assert {
        dt.date.fromisoformat(row["cohort"][:10]): (row["persons"], row["retained"]) for row in rows
    } == oracle.retention(pairs, cohort, returning, 4)


def check_paths(project: Project, pairs: oracle.Owned, on: Json) -> None:
    for direction in ("before", "after"):
        asked = {"event": "signup", "direction": direction, "by": "event", "window": "6h", **on}
        answer = project.ask("/v1/paths", limit=200, **asked)
        walk = (pairs, "signup", direction, 3, dt.timedelta(hours=6))
        ways, flows = oracle.paths(*walk, rank=node_rank)
        assert {tuple(row["path"]): row["persons"] for row in answer["rows"]} == ways
        assert answer["persons"] == ways.total()
        assert {
            (flow["step"], flow["from"], flow["to"]): flow["persons"] for flow in answer["flow"]
        } == flows
        if on["stitch"] == "next":
            check_people_of_paths(project, asked, oracle.walked(*walk, rank=node_rank))


def node_rank(name: str) -> int:
    return rank(f"cityHash64('{name}')")


def check_people_of_paths(
    project: Project, asked: Json, walked: dict[str, tuple[dt.datetime, tuple[str, ...]]]
) -> None:
    """Everybody; who did each thing, anywhere and in each step; who went each way."""

    def people(**which: object) -> dict[str, tuple[dt.datetime, tuple[str, ...]]]:
        answer = project.ask("/v1/paths/people", limit=1000, **asked, **which)
        assert answer["persons"] == len(answer["rows"])
        assert [row["did_at"] for row in answer["rows"]] == sorted(
            (row["did_at"] for row in answer["rows"]), reverse=True
        )
        return {
            f"user {row['user_id']}" if row["user_id"] else f"visitor {row['anonymous_id']}": (
                dt.datetime.fromisoformat(row["did_at"]),
                tuple(row["path"]),
            )
            for row in answer["rows"]
        }

    def those(are: Callable[[tuple[str, ...]], bool]) -> object:
        return {person: way for person, way in walked.items() if are(way[1])}

    assert people() == walked
    for node in {name for _, path in walked.values() for name in path}:
        assert people(node=node) == those(lambda path, node=node: node in path)  # type: ignore[misc]
        for step in (1, 2, 3):
            at = step - 1 if asked["direction"] == "after" else -step
            assert people(node=node, step=step) == those(
                lambda path, node=node, at=at, step=step: len(path) >= step and path[at] == node  # type: ignore[misc]
            )
    for way in {path for _, path in walked.values()}:
        assert people(way=",".join(way) or "(none)") == those(lambda path, way=way: path == way)  # type: ignore[misc]


def check_identity(
    project: Project, log: list[oracle.Event], decided: oracle.Decisions, on: Json
) -> None:
    log = identity.once(log)
    users = identity.users(log, on["stitch"], decided)
    persons = {identity.person(event, log, on["stitch"], decided) for event in log}
    devices = Counter(device for user in users.values() for device in user.devices)
    waited = [(user.known_since - user.first_touch["t"]).total_seconds() for user in users.values()]
    answer = project.ask("/v1/identity/stats", **on)
    assert (answer["persons"], answer["users"]) == (len(persons), len(users))
    assert (answer["links"], answer["shared_devices"]) == (
        devices.total(),
        sum(users > 1 for users in devices.values()),
    )
    assert answer["median_seconds_to_known"] == (median(waited) if waited else None)

    shared = {}
    for device in (device for device, users in devices.items() if users > 1):
        there = [event for event in log if event["a"] == device]
        owners = {
            policy: [identity.owners(event, log, policy, decided) for event in there]
            for policy in PARTITIONS
        }
        moving = {
            policy: sum(map(ne, owners[policy], owners["next"])) / len(there)
            for policy in ("first", "last", "none")
        }
        shared[device] = (len(there), moving)
    listed = project.ask("/v1/identity/shared-devices", **on)["rows"]
    assert {row["anonymous_id"]: (row["events"], row["moving_shares"]) for row in listed} == shared


def check_stats(project: Project, pairs: oracle.Owned, on: Json) -> None:
    by_source = project.ask("/v1/stats", metric="persons", group_by="event_source", **on)["rows"]
    assert {row["event_source"]: row["value"] for row in by_source} == oracle.persons(
        pairs, lambda event: event["source"]
    )
    until = iso(START + dt.timedelta(days=4))
    by_day = project.ask(
        "/v1/stats", metric="persons", interval="day", group_by="event_name", to=until, **on
    )["rows"]
    some = [row for row in by_day if row["value"]]
    assert {(row["bucket"][:10], row["event_name"]): row["value"] for row in some} == (
        oracle.persons(pairs, lambda event: (event["t"].date().isoformat(), event["event"]))
    )
    # Neither hours nor days of this zone begin when the store's do; nor does the range.
    zone = ZoneInfo("Asia/Kolkata")
    start, end = START + dt.timedelta(minutes=310), START + dt.timedelta(minutes=2590)
    in_zone = project.ask(
        "/v1/stats",
        **{"from": iso(start), "to": iso(end)},
        metric="persons",
        interval="day",
        tz=zone.key,
        **on,
    )["rows"]
    in_zone = [row for row in in_zone if row["value"]]
    assert {dt.datetime.fromisoformat(row["bucket"]): row["value"] for row in in_zone} == (
        oracle.persons(
            [(person, event) for person, event in pairs if start <= event["t"] < end],
            lambda event: dt.datetime.combine(event["t"].astimezone(zone), dt.time(), zone),
        )
    )
    about = project.ask("/v1/stats", metric="persons", exact="false", **on)["rows"]
    assert [row["value"] for row in about] == [len(oracle.by_person(pairs))]
    counted = project.ask("/v1/stats", metric="count", group_by="source,medium", **on)["rows"]
    assert {(row["source"], row["medium"]): row["value"] for row in counted} == Counter(
        (event["source"], event["medium"]) for _, event in pairs
    )
    (total,) = project.ask("/v1/stats", metric="sum", property="value", **on)["rows"]
    assert total["value"] == sum(event["value"] for _, event in pairs)


def test_any_is_refused_where_people_are_counted(project: Project) -> None:
    for path, params in {
        "/v1/stats": {"metric": "persons"},
        "/v1/sources": {},
        "/v1/attribution": {"conversion": "x"},
        "/v1/funnel": {"steps": "a,b"},
        "/v1/funnel/people": {"steps": "a,b", "step": "1"},
        "/v1/retention": {},
        "/v1/sessions": {},
        "/v1/paths": {"event": "x"},
        "/v1/paths/people": {"event": "x"},
        "/v1/identity/stats": {},
    }.items():
        reply = project.get(path, stitch="any", **params)
        assert (reply.status, reply.error) == (400, "stitch_not_a_partition"), path


def test_days_are_as_long_as_the_clocks_make_them(project: Project) -> None:
    """The last Sunday of March has 23 hours in Berlin, that of October 25."""
    moments = ["2026-03-28T22:59Z", "2026-03-28T23:00Z", "2026-03-29T21:59Z", "2026-03-29T22:00Z"]
    moments += ["2026-10-24T22:00Z", "2026-10-25T22:59Z", "2026-10-25T23:00Z"]
    project.batch([{"event": "x", "timestamp": at, "anonymous_id": "a"} for at in moments])
    given = {"tz": "Europe/Berlin", "to": "2026-10-27", "limit": 1000}
    rows = project.ask("/v1/stats", interval="day", **given)["rows"]
    assert [(row["bucket"], row["value"]) for row in rows if row["value"]] == [
        ("2026-03-27T23:00:00.000Z", 1),
        ("2026-03-28T23:00:00.000Z", 2),
        ("2026-03-29T22:00:00.000Z", 1),
        ("2026-10-24T22:00:00.000Z", 2),
        ("2026-10-25T23:00:00.000Z", 1),
    ]
    for interval, first in {
        "week": "2026-03-22T23:00:00.000Z",
        "month": "2026-02-28T23:00:00.000Z",
    }.items():
        rows = project.ask("/v1/stats", interval=interval, **given)["rows"]
        assert rows[0]["bucket"] == first
    hours = project.ask("/v1/stats", interval="hour", **{**given, "to": "2026-03-30"})["rows"]
    assert hours[0]["bucket"] == "2026-03-28T22:00:00.000Z"
    assert project.get("/v1/stats", tz="Mars/Base").error == "invalid_params"


def test_what_excludes_does_not_take_the_first_step_away(project: Project) -> None:
    for minute, event in enumerate(["refund", "$pageview", "refund"]):
        project.track(event, anonymous_id="a", timestamp=f"2026-05-01T10:0{minute}:00Z")
    project.track("signup", anonymous_id="a", timestamp="2026-05-01T09:00:00Z")
    for steps in ("$pageview,purchase", "$pageview,signup"):
        (row,) = project.ask("/v1/funnel", steps=steps, exclude="refund")["rows"]
        assert [step["persons"] for step in row["steps"]] == [1, 0]


def test_steps_may_ask_for_a_property_and_split_by_first_touch(project: Project) -> None:
    project.batch(
        [
            {
                "event": "$pageview",
                "anonymous_id": f"d{n}",
                "timestamp": f"2026-05-01T10:0{n}:00Z",
                "url": f"https://shop.example/?utm_source={'mail' if n < 3 else 'ads'}",
            }
            for n in range(5)
        ]
        + [
            {
                "event": "purchase",
                "anonymous_id": f"d{n}",
                "timestamp": f"2026-05-01T11:0{n}:00Z",
                "properties": {"plan": "pro" if n % 2 else "free", "seats": n},
            }
            for n in range(5)
        ]
    )
    rows = project.ask("/v1/funnel", steps="$pageview,purchase{plan=pro}", group_by="source")
    assert {row["source"]: [s["persons"] for s in row["steps"]] for row in rows["rows"]} == {
        "mail": [3, 1],
        "ads": [2, 1],
    }
    (row,) = project.ask("/v1/funnel", steps="$pageview,purchase{seats=4}")["rows"]
    assert row["steps"][1] == {
        "step": "purchase{seats=4}",
        "persons": 1,
        "share": 0.2,
        "median_seconds": 3600.0,
    }
    for steps in ("a", "a,,b", "a,b,", "a{b,c", ",".join(f"s{n}" for n in range(11))):
        assert project.get("/v1/funnel", steps=steps).error == "invalid_params", steps


def test_paths_follow_pages_by_their_path(project: Project) -> None:
    pages = [("d1", "/"), ("d1", "/pricing"), ("d1", "/pricing"), ("d1", "/docs"), ("d2", "/")]
    project.batch(
        [
            {
                "event": "$pageview",
                "anonymous_id": device,
                "timestamp": f"2026-05-01T10:{minute:02}:00Z",
                "url": f"https://shop.example{path}",
            }
            for minute, (device, path) in enumerate(pages)
        ]
        + [
            {
                "event": "signup",
                "anonymous_id": device,
                "user_id": device,
                "timestamp": "2026-05-01T11:00:00Z",
            }
            for device in ("d1", "d2", "d3")
        ]
    )
    answer = project.ask("/v1/paths", event="signup", direction="before", steps=2)
    assert (answer["persons"], len(answer["rows"])) == (3, 3)
    assert {"path": ["/pricing", "/docs"], "persons": 1, "share": 1 / 3} in answer["rows"]
    assert {"step": 1, "from": "/docs", "to": "signup", "persons": 1} in answer["flow"]
    (first,) = project.ask("/v1/paths", event="signup", direction="before", limit=1)["rows"]
    assert first["persons"] == 1
    none = project.ask("/v1/paths", event="refund")
    assert (none["persons"], none["rows"], none["flow"]) == (0, [], [])
    of_may = {"from": "2026-05-01T11:00Z", "to": "2026-05-01T11:01Z", "window": "99999w"}
    assert project.ask("/v1/paths", event="signup", direction="before", **of_may)["persons"] == 3
    assert project.ask("/v1/paths", event="signup", **of_may)["rows"] == [
        {"path": [], "persons": 3, "share": 1.0}
    ]
