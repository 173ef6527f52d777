"""Random stories of visits, sent over HTTP: always the oracle's numbers."""

import datetime as dt
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.identity import oracle as identity
from tests.identity.steps import Step, iso, live
from tests.support import Json, Project, Server
from tests.visits import oracle
from tests.visits.compare import VISIT_GROUPS, Asked, owned, why
from tests.visits.steps import (
    STARTS,
    TIMEOUTS,
    Stored,
    log_of,
    set_timeout,
    shop,
    stories,
    wire,
)
from tests.width import EXAMPLES
from threadline.contract.policies import PARTITIONS, POLICIES

HOUR = 3_600_000
SCOPES = ["source", "visit.source", "first.source", "event_source", "visit.medium", "channel"]
CREDIT_GROUPS = ["source,medium", "source,campaign,channel", "landing_path", "first_country"]


# Of everything that can be asked, something else under each policy.
choice = st.fixed_dictionaries(
    {
        "when": st.sampled_from(["now", "then", "part"]),
        "visits": st.sampled_from(list(VISIT_GROUPS)),
        "interval": st.sampled_from([None, "day", "hour"]),
        "credit": st.sampled_from(CREDIT_GROUPS),
        "models": st.lists(st.sampled_from(oracle.MODELS), min_size=1, max_size=6, unique=True),
        "lookback_days": st.sampled_from([None, None, 1, 30]),
        "breakdown": st.sampled_from(["source_medium", "channel", "campaign"]),
        "scope": st.sampled_from(SCOPES),
    }
)


@settings(max_examples=EXAMPLES)
@given(
    steps=stories(),
    back=st.integers(0, 3),
    minutes=st.sampled_from(TIMEOUTS),
    cut=st.tuples(st.integers(0, 39), st.integers(0, 39)),
    choices=st.fixed_dictionaries(dict.fromkeys(PARTITIONS, choice)),
)
def test_every_answer_is_the_oracles(
    server: Server,
    steps: list[Step],
    back: int,
    minutes: int,
    cut: tuple[int, int],
    choices: dict[str, dict[str, Any]],
) -> None:
    """Now, as it would have been given before the last steps, and of a part of the time."""
    project = shop(server)
    history = live(project, steps, wire)
    stored = Stored(server, project)
    world = stored.world(set_timeout(server, project, minutes))
    _, sent, decided = history[-1]
    then, sent_then, decided_then = history[max(0, len(history) - 1 - back)]
    log, log_then = stored.known(sent), stored.known(sent_then)
    times = sorted(event["t"] for event in log)
    start, end = sorted(times[min(place, len(times) - 1)] for place in cut)
    end += dt.timedelta(milliseconds=1)
    for policy, chosen in choices.items():
        asked = {
            "now": Asked(project, world, log, policy, decided),
            "then": Asked(project, world, log_then, policy, decided_then, iso(then)),
            "part": Asked(project, world, log, policy, decided, None, start, end),
        }[chosen["when"]]
        asked.visits(chosen["visits"], chosen["interval"])
        asked.attribution(chosen["credit"], chosen["models"], chosen["lookback_days"])
        asked.sources(chosen["breakdown"])
        asked.persons(chosen["scope"])


@settings(max_examples=EXAMPLES)
@given(
    steps=stories(),
    back=st.integers(0, 3),
    minutes=st.sampled_from(TIMEOUTS),
    stitch=st.sampled_from(POLICIES),
    lookback_days=st.sampled_from([None, None, 1, 30]),
)
def test_each_person_is_the_oracles(
    server: Server,
    steps: list[Step],
    back: int,
    minutes: int,
    stitch: str,
    lookback_days: int | None,
) -> None:
    """Their last touch, and the reasons of their latest conversion under all five policies; which
    are what `/v1/attribution` says, where this is the only one."""
    project = shop(server)
    history = live(project, steps, wire)
    stored = Stored(server, project)
    world = stored.world(set_timeout(server, project, minutes))
    then, sent, decided = history[max(0, len(history) - 1 - back)]
    as_of = iso(then) if back else None
    log = stored.known(sent)
    users = sorted({decided.person(event["u"]) for event in log if event["u"] is not None})
    for user in users[:2]:
        one = Asked(project, world, [], stitch, decided, as_of)
        one.of_user(user, owned(log, user, stitch, decided))
        reasons = why(project, world, log, decided, user, stitch, lookback_days, as_of)
        if reasons and sum(event["event"] == "signup" for event in log) == 1:
            for policy in PARTITIONS:
                check_same_credit(project, reasons, policy, lookback_days, as_of)


def check_same_credit(
    project: Project, reasons: Json, policy: str, lookback_days: int | None, as_of: str | None
) -> None:
    """Of the only conversion there is."""
    answer = project.ask(
        "/v1/attribution",
        conversion="signup",
        model=",".join(oracle.MODELS),
        group_by="source,medium,campaign,channel",
        lookback_days=lookback_days,
        stitch=policy,
        as_of=as_of,
    )
    names = ("source", "medium", "campaign", "channel")
    expected: dict[tuple[str, ...], dict[str, float]] = {}
    for touch in reasons["touches"]:
        if policy in touch["credit"]:
            credit = expected.setdefault(
                tuple(touch[name] for name in names), dict.fromkeys(oracle.MODELS, 0.0)
            )
            for model, share in touch["credit"][policy].items():
                credit[model] += share
    if not expected:  # it is somebody else's, or has no touch
        return
    for row in answer["rows"]:
        found = {model: credit["conversions"] for model, credit in row["models"].items()}
        key = tuple(row[name] for name in names)
        if key in expected:
            assert found == pytest.approx(expected[key])
    for model in oracle.MODELS:
        shares = sum(credit[model] for credit in expected.values())
        assert shares == pytest.approx(1) or policy in reasons["without_touches"]


def test_one_conversion_has_the_same_credit_in_both_answers(server: Server) -> None:
    project = shop(server)
    log = log_of(
        STARTS[2],
        [
            (0, "ad", "$pageview", "/a", "phone", None, 1),
            (5 * HOUR, "page", "$pageview", "/", "phone", "ada", 1),
            (50 * HOUR, "search", "$pageview", "/", "kiosk", "ada", 1),
            (1 * HOUR, "campaign", "$pageview", "/b", "kiosk", None, 1),
            (1 * HOUR, "page", "$pageview", "/b", "kiosk", "bob", 1),
            (1 * HOUR, "page", "signup", "/b", "phone", "ada", 1),
        ],
    )
    project.batch([wire(event) for event in log])
    stored = Stored(server, project)
    world = stored.world(dt.timedelta(minutes=30))
    known = stored.known(log)
    reasons = why(project, world, known, identity.NONE, "ada", "any", None)
    assert reasons
    assert {policy for touch in reasons["touches"] for policy in touch["credit"]} == set(POLICIES)
    for policy in PARTITIONS:
        check_same_credit(project, reasons, policy, None, None)
