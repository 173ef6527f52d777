"""Accounts over random logs with shared devices, people of several accounts, unlinks and aliases:
always what plain Python says of the same log."""

import datetime as dt
from collections import defaultdict

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.identity import oracle as identity
from tests.identity.steps import START, Step, decision, iso, live
from tests.questions import oracle
from tests.questions.test_counting import check_funnel, check_retention
from tests.questions.test_counting import wire as plain_wire
from tests.support import Json, Project, Server
from tests.visits import oracle as visits
from tests.visits.steps import Stored
from tests.width import EXAMPLES, WIDE

Unlinks = frozenset[tuple[str, str]]  # of an account and a user


event = st.fixed_dictionaries(
    {
        "id": st.sampled_from([f"e{n:02}" for n in range(60)]),
        "t": st.integers(0, 300).map(lambda n: START + n * dt.timedelta(minutes=7)),
        "event": st.sampled_from(["$pageview", "signup", "purchase", "refund"]),
        "a": st.sampled_from([None, "phone", "laptop", "kiosk", "kiosk"]),
        "u": st.sampled_from([None, None, None, "ada", "bob"]),
        "source": st.sampled_from(["facebook", "google", "direct"]),
        "value": st.integers(0, 9),
        "account": st.sampled_from([None, None, None, "acme", "globex", "Acme"]),
    }
).map(lambda e: {**e, "medium": e["source"] if e["source"] == "direct" else "x"})
steps = st.lists(
    st.one_of(st.lists(event, min_size=1, max_size=20), decision), min_size=1, max_size=4
)


def wire(event: oracle.Event) -> Json:
    sent = plain_wire(event)
    if event["account"]:
        sent["properties"] |= {"account_id": event["account"]}
    return sent


def observations(
    pairs: oracle.Owned, decided: identity.Decisions, unlinked: Unlinks
) -> dict[str, dict[dt.datetime, str]]:
    """Of each person when they were seen in which account; of several at once in the greatest."""
    left = {(account, f"user {decided.person(user)}") for account, user in unlinked}
    found: dict[str, dict[dt.datetime, str]] = defaultdict(dict)
    for person, event in pairs:
        if event["account"] and (event["account"], person) not in left:
            before = found[person].get(event["t"], "")
            found[person][event["t"]] = max(before, event["account"])
    return found


def of_accounts(
    pairs: oracle.Owned, decided: identity.Decisions, unlinked: Unlinks
) -> oracle.Owned:
    """The events of people with accounts, each with the one that it counts for."""
    seen = observations(pairs, decided, unlinked)
    found = []
    for person, event in pairs:
        if person in seen:
            times = sorted(seen[person])
            before = [t for t in times if t <= event["t"]]
            found.append((seen[person][before[-1] if before else times[0]], event))
    return found


@settings(max_examples=EXAMPLES)
@given(
    steps=steps,
    back=st.integers(0, 3),
    left=st.frozensets(
        st.tuples(st.sampled_from(["acme", "globex"]), st.sampled_from(["ada", "bob"])), max_size=2
    ),
)
def test_accounts_are_the_oracles(
    server: Server, steps: list[Step], back: int, left: Unlinks
) -> None:
    project = Project(server)
    history = live(project, steps, wire)
    for account_id, user_id in sorted(left):
        body = {"account_id": account_id, "user_id": user_id}
        assert project.change("DELETE", "/v1/identity/accounts", body).status == 200
    stored = Stored(server, project)
    world = stored.world(dt.timedelta(minutes=30))
    _, log, decided = history[-1]
    then, log_then, decided_then = history[max(0, len(history) - 1 - back)]
    for number, policy in enumerate(("first", "next", "none")):
        now: Json = {"stitch": policy}
        past = {**now, "as_of": iso(then)}
        of_now = oracle.owned(stored.known(log), policy, decided)
        check(project, of_now, decided, left, now)
        if WIDE or number == back % 3:  # one of them a time: each looks at all that is asked
            check_attribution(project, of_accounts(of_now, decided, left), world, now)
        if number == back % 3:
            of_then = oracle.owned(stored.known(log_then), policy, decided_then)
            check(project, of_then, decided_then, frozenset(), past)


def check(
    project: Project,
    people: oracle.Owned,
    decided: identity.Decisions,
    unlinked: Unlinks,
    on: Json,
) -> None:
    pairs = of_accounts(people, decided, unlinked)
    counting = {**on, "per": "account"}
    check_funnel(project, pairs, counting, None)
    check_retention(project, pairs, counting, "first_seen", None)
    check_retention(project, pairs, counting, "signup", "purchase")
    for name in (None, "signup"):
        rows = project.ask("/v1/stats", metric="persons", event=name, **counting)["rows"]
        counted = {account for account, e in pairs if name in (None, e["event"])}
        assert [row["value"] for row in rows] == [len(counted)]
    check_list(project, people, pairs, decided, unlinked, on)
    check_times(project, pairs, counting)


def check_list(
    project: Project,
    people: oracle.Owned,
    pairs: oracle.Owned,
    decided: identity.Decisions,
    unlinked: Unlinks,
    on: Json,
) -> None:
    left = {(account, f"user {decided.person(user)}") for account, user in unlinked}
    members = defaultdict(set)
    for person, event in people:
        if event["account"] and (event["account"], person) not in left:
            members[event["account"]].add(person)
    expected = {}
    for account, events in oracle.by_person(pairs).items():
        first = min(events, key=lambda event: (event["t"], event["id"]))
        expected[account] = (
            len(members[account]),
            len(events),
            iso(events[0]["t"]),
            iso(events[-1]["t"]),
            first["id"],
        )
    rows = project.ask("/v1/accounts", **on)["rows"]
    assert {
        row["account_id"]: (
            row["people"],
            row["events"],
            row["first_seen"],
            row["last_seen"],
            row["first_touch"]["event_id"],
        )
        for row in rows
    } == expected


def check_times(project: Project, pairs: oracle.Owned, on: Json) -> None:
    """From the first event of the account, whoever's, to its first purchase."""
    times = []
    for events in oracle.by_person(pairs).values():
        bought = [event["t"] for event in events if event["event"] == "purchase"]
        if bought:
            times.append((min(bought) - events[0]["t"]).total_seconds())
    rows = project.ask("/v1/time-to-conversion", conversion="purchase", **on)["rows"]
    assert [(row["persons"], round(row["mean_seconds"], 3)) for row in rows] == (
        [(len(times), round(sum(times) / len(times), 3))] if times else []
    )


MODELS = ["first_touch", "last_touch", "linear"]


def check_attribution(project: Project, pairs: oracle.Owned, world: visits.World, on: Json) -> None:
    """Visits are cut of what all people of an account did on a device for it."""
    people = {name: world.person(events) for name, events in oracle.by_person(pairs).items()}
    expected = visits.attribution(
        people, "purchase", MODELS, None, lambda touch, names, person: names[0], None, None
    )
    answer = project.ask(
        "/v1/attribution",
        conversion="purchase",
        model=",".join(MODELS),
        group_by="source",
        per="account",
        **on,
    )
    assert {
        row["source"]: {
            model: (round(row["models"][model]["conversions"], 6), row["models"][model]["persons"])
            for model in MODELS
        }
        for row in answer["rows"]
    } == {
        source: {
            model: (round(row.conversions[model], 6), len(row.persons[model])) for model in MODELS
        }
        for source, row in expected.items()
        if any(row.conversions.values())
    }
