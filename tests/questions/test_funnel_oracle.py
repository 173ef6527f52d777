"""Funnels over random logs: always the oracle's numbers, and as many people as are counted."""

import datetime as dt
from statistics import quantiles
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.identity.steps import START, Step, decision, live
from tests.questions import funnel_oracle, oracle
from tests.questions.funnel_oracle import Asked, Is, Wanted
from tests.support import Json, Project, Server
from tests.width import EXAMPLES

POLICIES = ("next", "first", "none")

event = st.fixed_dictionaries(
    {
        "id": st.sampled_from([f"e{n:02}" for n in range(60)]),
        "t": st.integers(0, 40).map(lambda n: START + n * dt.timedelta(minutes=30)),
        "event": st.sampled_from(["$pageview", "$pageview", "signup", "purchase", "$identify"]),
        "a": st.sampled_from(["phone", "laptop", "kiosk", "kiosk"]),
        "u": st.sampled_from([None, None, None, "ada", "bob"]),
        "path": st.sampled_from(["/", "/pricing", "/docs/a"]),
        "plan": st.sampled_from([None, "pro", "free"]),
        "amount": st.sampled_from([None, 5, 20]),
    }
)
stories = st.lists(
    st.one_of(st.lists(event, min_size=10, max_size=30), decision), min_size=1, max_size=4
)


def named(*names: str, **has: Any) -> Is:
    return lambda event: event["event"] in names and all(event[k] in v for k, v in has.items())


def at_least(name: str, amount: int) -> Is:
    return lambda event: event["event"] == name and (event["amount"] or 0) >= amount


# As the route takes them, and what they mean.
STEPS: dict[str, Is] = {
    "$pageview": named("$pageview"),
    "$pageview{path=/}": named("$pageview", path=["/"]),
    "$pageview{path=/pricing}": named("$pageview", path=["/pricing"]),
    "$pageview{path!=/}": named("$pageview", path=["/pricing", "/docs/a"]),
    "$pageview{path=^/docs/*}": named("$pageview", path=["/docs/a"]),
    "signup": named("signup"),
    "signup|purchase": named("signup", "purchase"),
    "purchase{plan=pro}": named("purchase", plan=["pro"]),
    "purchase{plan=pro|(none)}": named("purchase", plan=["pro", None]),
    "purchase{amount>=10}": at_least("purchase", 10),
}
# Of which no two can be the same event, unless they are the same step.
APART = [
    "$pageview{path=/}",
    "$pageview{path=/}",
    "$pageview{path!=/}",
    "signup",
    "purchase{plan=pro}",
]


@st.composite
def asked(draw: st.DrawFn) -> tuple[Json, Asked]:
    order = draw(st.sampled_from(["sequence", "sequence", "strict", "any"]))
    texts = draw(
        st.lists(st.sampled_from(APART if order == "any" else list(STEPS)), min_size=2, max_size=4)
    )
    optional = [False] + [order != "any" and draw(st.integers(0, 3)) == 0 for _ in texts[1:]]
    exclude = None
    if order != "strict":
        exclude = draw(st.sampled_from([None, None, *STEPS]))
    hours = draw(st.sampled_from([1, 3, 12]))
    params: Json = {
        "steps": ",".join(
            f"{text}?" if leave_out else text
            for text, leave_out in zip(texts, optional, strict=True)
        ),
        "window": f"{hours}h",
        "order": order,
        "exclude": exclude,
    }
    wanted = [
        Wanted(text, STEPS[text], leave_out)
        for text, leave_out in zip(texts, optional, strict=True)
    ]
    excluded = STEPS[exclude] if exclude else Asked.excluded
    return params, Asked(wanted, dt.timedelta(hours=hours), order, excluded)


def wire(event: oracle.Event) -> Json:
    said = {name: event[name] for name in ("plan", "amount") if event[name] is not None}
    return {
        "event": event["event"],
        "event_id": event["id"],
        "timestamp": event["t"].isoformat(),
        "anonymous_id": event["a"],
        "user_id": event["u"],
        "url": f"https://shop.example{event['path']}",
        "properties": said,
    }


@settings(max_examples=EXAMPLES)
@given(story=stories, funnels=st.lists(asked(), min_size=3, max_size=3))
def test_a_funnel_is_the_oracles(
    server: Server, story: list[Step], funnels: list[tuple[Json, Asked]]
) -> None:
    project = Project(server)
    _, log, decided = live(project, story, wire)[-1]
    for policy in POLICIES:
        people = oracle.by_person(oracle.owned(log, policy, decided))
        for params, meant in funnels:
            found = {
                person: got
                for person, events in people.items()
                if (got := funnel_oracle.reached(events, meant))
            }
            on = {**params, "stitch": policy}
            check_counts(project, on, meant, list(found.values()))
            if policy == "next":
                check_people(project, on, meant, found)


def check_counts(
    project: Project, params: Json, meant: Asked, found: list[funnel_oracle.Reached]
) -> None:
    (row,) = project.ask("/v1/funnel", percentiles="true", **params)["rows"]
    for k, step in enumerate(row["steps"]):
        assert step["persons"] == sum(got.at[k] is not None for got in found), (params, k)
        gaps = [gap.total_seconds() for got in found if (gap := got.gaps[k]) is not None]
        assert percentiles(step) == expected(gaps), (params, k)
    last = max(k for k, step in enumerate(meant.steps) if not step.optional)
    whole = [
        (end - start).total_seconds()
        for got in found
        if (end := got.at[last]) and (start := got.at[0])
    ]
    assert percentiles(row["total"]) == expected(whole), params


def percentiles(times: Json) -> list[float | None]:
    names = ("p25_seconds", "median_seconds", "p75_seconds", "p90_seconds")
    return [value if (value := times[name]) is None else round(value, 3) for name in names]


def expected(seconds: list[float]) -> list[float | None]:
    if not seconds:
        return [None] * 4
    cuts = quantiles(seconds * 2 if len(seconds) == 1 else seconds, n=20, method="inclusive")
    return [round(cuts[place], 3) for place in (4, 9, 14, 17)]


def check_people(
    project: Project, params: Json, meant: Asked, found: dict[str, funnel_oracle.Reached]
) -> None:
    for k, step in enumerate(meant.steps):
        got = {person: of.at[k] for person, of in found.items() if of.at[k]}
        assert people(project, step=k + 1, **params) == got, (params, k)
        if not k:
            continue
        back = max(b for b in range(k) if meant.order == "any" or not meant.steps[b].optional)
        lost = {person: of.at[back] for person, of in found.items() if of.at[back] and not of.at[k]}
        assert people(project, step=k + 1, dropped="true", **params) == lost, (params, k, step)


def people(project: Project, **params: object) -> dict[str, dt.datetime]:
    rows = project.ask("/v1/funnel/people", limit=1000, **params)["rows"]
    times = [row["reached_at"] for row in rows]
    assert times == sorted(times, reverse=True)
    named = {
        f"user {row['user_id']}" if row["user_id"] else f"visitor {row['anonymous_id']}": (
            dt.datetime.fromisoformat(row["reached_at"])
        )
        for row in rows
    }
    assert len(named) == len(rows)
    return named
