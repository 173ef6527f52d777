"""Random stories of visits, sent over HTTP: always the oracle's numbers."""

import datetime as dt

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.identity.steps import EXAMPLES, Step, iso, live
from tests.support import Server
from tests.visits import oracle
from tests.visits.compare import VISIT_GROUPS, Asked, owned, why
from tests.visits.steps import TIMEOUTS, Stored, set_timeout, shop, stories, wire
from threadline.contract.policies import PARTITIONS, POLICIES

SCOPES = ["source", "visit.source", "first.source", "event_source", "visit.medium", "channel"]
CREDIT_GROUPS = ["source,medium", "source,campaign,channel", "landing_path", "first_country"]


@settings(max_examples=EXAMPLES)
@given(
    steps=stories(),
    back=st.integers(0, 3),
    minutes=st.sampled_from(TIMEOUTS),
    cut=st.tuples(st.integers(0, 39), st.integers(0, 39)),
    interval=st.sampled_from(["day", "hour"]),
    models=st.lists(st.sampled_from(oracle.MODELS), min_size=1, max_size=6, unique=True),
    lookback_days=st.sampled_from([None, None, 1, 30]),
)
def test_every_answer_is_the_oracles(
    server: Server,
    steps: list[Step],
    back: int,
    minutes: int,
    cut: tuple[int, int],
    interval: str,
    models: list[str],
    lookback_days: int | None,
) -> None:
    project = shop(server)
    history = live(project, steps, wire)
    world = Stored(server, project).world(set_timeout(server, project, minutes))
    stored = Stored(server, project)
    _, sent, decided = history[-1]
    then, sent_then, decided_then = history[max(0, len(history) - 1 - back)]
    log, log_then = stored.known(sent), stored.known(sent_then)
    times = sorted(event["t"] for event in log)
    start, end = sorted(times[min(place, len(times) - 1)] for place in cut)
    for policy in PARTITIONS:
        now = Asked(project, world, log, policy, decided)
        past = Asked(project, world, log_then, policy, decided_then, iso(then))
        millisecond = dt.timedelta(milliseconds=1)
        part = Asked(project, world, log, policy, decided, None, start, end + millisecond)
        for asked in (now, past, part):
            for number, group_by in enumerate(VISIT_GROUPS):
                asked.visits(group_by, interval if number < 2 else None)
            for group_by in CREDIT_GROUPS:
                asked.attribution(group_by, models, lookback_days)
            asked.attribution("source", ["first_touch"], lookback_days)
            asked.attribution("source", ["last_non_direct"], lookback_days)
            for breakdown in ("source_medium", "channel", "campaign"):
                asked.sources(breakdown)
            for scope in SCOPES:
                asked.persons(scope)


@settings(max_examples=EXAMPLES)
@given(
    steps=stories(),
    back=st.integers(0, 3),
    minutes=st.sampled_from(TIMEOUTS),
    lookback_days=st.sampled_from([None, None, 1, 30]),
)
def test_each_person_is_the_oracles(
    server: Server, steps: list[Step], back: int, minutes: int, lookback_days: int | None
) -> None:
    project = shop(server)
    history = live(project, steps, wire)
    world = Stored(server, project).world(set_timeout(server, project, minutes))
    stored = Stored(server, project)
    then, sent_then, decided_then = history[max(0, len(history) - 1 - back)]
    for sent, decided, as_of in (
        (history[-1].log, history[-1].decided, None),
        (sent_then, decided_then, iso(then)),
    ):
        log = stored.known(sent)
        users = {decided.person(event["u"]) for event in log if event["u"] is not None}
        for policy in POLICIES:
            asked = Asked(project, world, log, policy, decided, as_of) if policy != "any" else None
            for user in users:
                events = owned(log, user, policy, decided)
                one = asked or Asked(project, world, [], policy, decided, as_of)
                one.of_user(user, events)
                why(project, world, log, decided, user, policy, lookback_days, as_of)
