"""The story that all of it is for: an ad, a sign-in with Google, a payment with Stripe."""

import datetime as dt
import re
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.identity.steps import iso
from tests.support import Json, Project, Server
from tests.visits import oracle
from tests.visits.steps import SHOP, Told, log_of, shop, told, wire
from tests.width import EXAMPLES
from threadline.contract.policies import PARTITIONS, POLICIES

TEN = dt.datetime(2026, 5, 4, 10, tzinfo=dt.UTC)
# Under `none`, nothing that came before the sign-in is Ada's.
STITCHED = [policy for policy in POLICIES if policy != "none"]
AD = f"{SHOP}/sale?utm_source=facebook&utm_medium=cpc&utm_campaign=may"
GOOGLE, STRIPE = "https://accounts.google.com/", "https://checkout.stripe.com/c/pay"

# Minutes after ten, and what happens then.
PAGES: list[tuple[int, str, Json]] = [
    (20, "$pageview", {"url": AD, "referrer": "https://l.facebook.com/"}),
    (22, "$pageview", {"url": f"{SHOP}/shoes", "referrer": AD}),
    (29, "$pageview", {"url": f"{SHOP}/login", "referrer": f"{SHOP}/shoes"}),
    (31, "$pageview", {"url": f"{SHOP}/welcome", "referrer": GOOGLE}),
    (31, "$identify", {"user_id": "ada", "url": f"{SHOP}/welcome", "referrer": GOOGLE}),
    (31, "signup", {"user_id": "ada", "url": f"{SHOP}/welcome", "referrer": GOOGLE}),
    (65, "$pageview", {"user_id": "ada", "url": f"{SHOP}/thanks", "referrer": STRIPE}),
]
WEBHOOKS: list[tuple[int, str, Json]] = [
    (66, "purchase", {"user_id": "ada", "properties": {"amount": 49}}),
    (66 + 7 * 1440, "refund", {"user_id": "ada", "properties": {"amount": -49}}),
]
LATER: list[tuple[int, str, Json]] = [
    (2 * 1440, "$pageview", {"user_id": "ada", "url": f"{SHOP}/"}),
    (2 * 1440 + 5, "purchase", {"user_id": "ada", "properties": {"amount": 20}}),
]


def told_at(start: dt.datetime, later: bool = False) -> list[Json]:
    """The story, beginning twenty minutes after `start`."""
    events: list[Json] = []
    for minute, event, more in [*PAGES, *WEBHOOKS, *(LATER if later else [])]:
        on_page = "url" in more
        events.append(
            {
                "event": event,
                "event_id": f"e{len(events)}",
                "timestamp": iso(start + dt.timedelta(minutes=minute)),
                **({"anonymous_id": "d"} if on_page else {}),
                **more,
            }
        )
    return events


def by_model(project: Project, conversion: str, policy: str) -> dict[str, dict[str, float]]:
    """What each source gets from each model."""
    answer = project.ask(
        "/v1/attribution",
        conversion=conversion,
        model=",".join(oracle.MODELS),
        group_by="source",
        stitch=policy,
    )
    return {
        row["source"]: {model: credit["conversions"] for model, credit in row["models"].items()}
        for row in answer["rows"]
    }


def test_the_ad_is_credited_with_signup_and_purchase(project: Project) -> None:
    project.batch(told_at(TEN)[::-1])
    for policy in PARTITIONS:
        if policy == "none":
            continue
        for conversion in ("signup", "purchase", "refund"):
            found = by_model(project, conversion, policy)
            assert found == {"facebook": dict.fromkeys(oracle.MODELS, 1.0)}, policy
        (visit,) = project.ask("/v1/visits", group_by="source,campaign,exit_path", stitch=policy)[
            "rows"
        ]
        assert (visit["source"], visit["campaign"]) == ("facebook", "may")
        assert (visit["visits"], visit["persons"], visit["bounce_share"]) == (1, 1, 0)
        assert (visit["mean_seconds"], visit["events_per_visit"]) == (45 * 60, 7)
        assert (visit["page_views_per_visit"], visit["exit_path"]) == (5, "/thanks")
    sums = [
        project.ask(
            "/v1/attribution", conversion=conversion, value_property="amount", group_by="source"
        )["rows"][0]["value"]
        for conversion in ("purchase", "refund")
    ]
    assert sums == [49, -49]


def test_a_direct_visit_later_takes_from_the_second_purchase_only(project: Project) -> None:
    project.batch(told_at(TEN, later=True))
    answer = project.ask("/v1/attribution/why", user_id="ada", conversion="purchase")
    ad, direct = answer["touches"]
    assert (ad["source"], direct["source"]) == ("facebook", "direct")
    assert ad["timestamp"] == iso(TEN + dt.timedelta(minutes=20))
    assert (ad["event_id"], ad["source_rule_id"] != "direct") == ("e0", True)
    for policy in STITCHED:
        credit = {model: ad["credit"][policy][model] for model in oracle.MODELS}
        assert credit == {
            "first_touch": 1,
            "last_touch": 0,
            "last_non_direct": 1,
            "linear": 0.5,
            "position_based": 0.5,
            "time_decay": pytest.approx(1 - direct["credit"][policy]["time_decay"]),
        }
        assert 0 < credit["time_decay"] < 0.5
        assert direct["credit"][policy]["last_touch"] == 1
    found = by_model(project, "purchase", "next")
    assert (found["facebook"]["linear"], found["direct"]["linear"]) == (1.5, 0.5)
    assert (found["facebook"]["last_touch"], found["direct"]["last_touch"]) == (1, 1)
    assert (found["facebook"]["last_non_direct"], found["direct"]["last_non_direct"]) == (2, 0)
    profile = project.ask("/v1/users/ada")
    assert (profile["first_touch"]["source"], profile["last_touch"]["source"]) == (
        "facebook",
        "direct",
    )
    assert by_model(project, "signup", "next") == {"facebook": dict.fromkeys(oracle.MODELS, 1.0)}


def test_without_stitching_the_ad_is_the_visitors(project: Project) -> None:
    """Ada's visit begins when she comes back from Google: it has no touch, and nobody is said to
    have sent her."""
    project.batch(told_at(TEN))
    assert by_model(project, "signup", "none") == {"direct": dict.fromkeys(oracle.MODELS, 1.0)}
    rows = project.ask("/v1/visits", group_by="source", stitch="none")["rows"]
    assert {row["source"]: row["visits"] for row in rows} == {"facebook": 1, "direct": 1}
    answer = project.ask("/v1/attribution/why", user_id="ada", conversion="signup")
    assert answer["without_touches"] == {"none": "direct"}
    (touch,) = answer["touches"]
    assert sorted(touch["credit"]) == sorted(STITCHED)


QUESTIONS: list[tuple[str, Json]] = [
    ("/v1/visits", {"group_by": "source,medium,campaign"}),
    ("/v1/visits", {"group_by": "entry_path,exit_path"}),
    ("/v1/sources", {}),
    ("/v1/stats", {"metric": "persons", "group_by": "source"}),
    *(
        (
            "/v1/attribution",
            {
                "conversion": conversion,
                "group_by": group_by,
                "model": ",".join(oracle.MODELS),
                "lookback_days": 1,
            },
        )
        for conversion, group_by in (("signup", "source"), ("purchase", "landing_path"))
    ),
]
OF_ADA: list[tuple[str, Json]] = [
    ("/v1/users/ada", {}),
    ("/v1/attribution/why", {"user_id": "ada", "conversion": "purchase"}),
]
NO_TIME = dt.timedelta()
TIME = re.compile(r"\d{4}-\d{2}-\d{2}T[0-9:.]+Z")


def shifted(answer: Any, by: dt.timedelta) -> Any:
    """The same with all its times so much later. What came without a device got a random one."""
    if isinstance(answer, dict):
        return {
            name: shifted(value, by)
            for name, value in answer.items()
            if name != "anonymous_id" or value == "d"
        }
    if isinstance(answer, list):
        return [shifted(value, by) for value in answer]
    if isinstance(answer, str):  # a time, or a sentence that names one
        return TIME.sub(lambda at: iso(dt.datetime.fromisoformat(at[0]) + by), answer)
    return answer


def close(found: Any, expected: Any) -> bool:
    """Equal but for the last bits of numbers."""
    if isinstance(found, dict) and isinstance(expected, dict):
        return found.keys() == expected.keys() and all(
            close(found[name], expected[name]) for name in found
        )
    if isinstance(found, list) and isinstance(expected, list):
        return len(found) == len(expected) and all(map(close, found, expected))
    if isinstance(found, float):
        return bool(found == pytest.approx(expected))
    return bool(found == expected)


def answers(project: Project, questions: list[tuple[str, Json]]) -> list[Json]:
    return [project.ask(path, **params) for path, params in questions]


@settings(max_examples=max(1, EXAMPLES // 3))
@example(minutes=1)
@given(minutes=st.integers(-60_000, 60_000))
def test_the_minute_at_which_it_happens_changes_nothing(server: Server, minutes: int) -> None:
    by = dt.timedelta(minutes=minutes)
    there, then = Project(server), Project(server)
    there.batch(told_at(TEN, later=True))
    then.batch(told_at(TEN + by, later=True))
    questions = QUESTIONS + OF_ADA
    for asked, found, expected in zip(
        questions, answers(then, questions), answers(there, questions), strict=True
    ):
        assert close(shifted(found, -by), shifted(expected, NO_TIME)), asked


@settings(max_examples=max(1, EXAMPLES // 3))
@given(story=st.lists(told, min_size=4, max_size=30), minutes=st.integers(1, 3000))
def test_nor_does_it_of_any_story(server: Server, story: list[Told], minutes: int) -> None:
    by = dt.timedelta(minutes=minutes)
    there, then = shop(server), shop(server)
    there.batch([wire(event) for event in log_of(TEN, story)])
    then.batch([wire(event) for event in log_of(TEN + by, story)])
    for asked, found, expected in zip(
        QUESTIONS, answers(then, QUESTIONS), answers(there, QUESTIONS), strict=True
    ):
        assert close(shifted(found, -by), shifted(expected, NO_TIME)), asked
