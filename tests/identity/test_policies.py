"""Random logs, sent over HTTP, against the oracle: every answer, under every policy."""

import datetime as dt
import os
import statistics

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.identity import oracle
from tests.support import Json, Project, Server, ids

START = dt.datetime(2026, 5, 1, tzinfo=dt.UTC)
EXAMPLES = int(os.environ.get("THREADLINE_TEST_EXAMPLES", "40"))

# Few values each, so that ties, shared devices and repeats are the rule, not the exception.
event = st.fixed_dictionaries(
    {
        "id": st.sampled_from([f"e{n:02}" for n in range(40)]),
        "t": st.integers(0, 12).map(lambda hours: START + dt.timedelta(hours=hours)),
        "event": st.sampled_from(["$pageview", "$identify", "signup", "feature_used"]),
        "a": st.sampled_from([None, "phone", "laptop", "kiosk", "kiosk", "Kiosk"]),
        "u": st.sampled_from([None, None, None, "ada", "bob", "Ada"]),
        "source": st.sampled_from(["facebook", "google"]),
    }
)


def at_the_kiosk(number: int, hours: int, event: str, user: str | None) -> oracle.Event:
    moment = START + dt.timedelta(hours=hours)
    names = ("id", "t", "event", "a", "u", "source")
    return dict(zip(names, (f"e{number:02}", moment, event, "kiosk", user, "google"), strict=True))


# Everything at the very moments of the logins, where a bound that is off by one shows.
TIES = [
    at_the_kiosk(number, *event)
    for number, event in enumerate(
        [
            *((1, "signup", None), (2, "signup", None), (2, "$identify", "ada")),
            *((3, "$pageview", None), (4, "signup", None), (4, "$identify", "bob")),
            *((4, "$identify", "ada"), (6, "$identify", "cy"), (6, "signup", None)),
            *((8, "$identify", "ada"), (8, "$identify", "bob"), (8, "signup", None)),
            (9, "signup", None),
        ]
    )
]


def wire(event: oracle.Event) -> Json:
    return {
        "event": event["event"],
        "event_id": event["id"],
        "timestamp": event["t"].isoformat(),
        "anonymous_id": event["a"],
        "user_id": event["u"],
        "url": f"https://site.example/?utm_source={event['source']}",
    }


def iso(moment: dt.datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@settings(max_examples=EXAMPLES)
@example(log=TIES, cut=0)
@example(log=TIES[::-1], cut=5)
@given(log=st.lists(event, min_size=1, max_size=25), cut=st.integers(0, 25))
def test_every_answer_is_the_oracles(server: Server, log: list[oracle.Event], cut: int) -> None:
    project = Project(server)
    # In two requests, so that links and repeats fall into different blocks, too.
    for part in (log[:cut], log[cut:]):
        if part:
            project.batch([wire(event) for event in part])

    assert sorted(ids(project.stored())) == sorted(event["id"] for event in oracle.once(log))
    for policy in ("any", "first", "next"):
        _compare(project, log, policy)


def _compare(project: Project, log: list[oracle.Event], policy: str) -> None:
    expected = oracle.users(log, policy)
    listed = project.pages("/v1/users", stitch=policy, conversion="signup")
    newest_first = sorted(
        expected, key=lambda user: (-expected[user].known_since.timestamp(), user)
    )
    assert [row["user_id"] for row in listed] == newest_first

    seconds = []
    owned: set[str] = set()
    for row in listed:
        user = expected[row["user_id"]]
        journey = ids(project.journey(row["user_id"], stitch=policy))
        assert journey == [event["id"] for event in user.events]
        assert ids(project.journey(row["user_id"], stitch=policy, phase="before")) == user.before
        owned |= set(journey)

        touch = row["first_touch"]
        assert touch["event_id"] == user.first_touch["id"]
        assert touch["timestamp"] == iso(user.first_touch["t"])
        assert touch["source"] == user.first_touch["source"]
        assert row["known_since"] == iso(user.known_since)
        assert row["devices"] == len(user.devices)

        converted = user.converted_at("signup")
        assert row["converted_at"] == (converted and iso(converted))
        if converted:
            seconds.append((converted - user.first_touch["t"]).total_seconds())
            assert row["seconds_to_conversion"] == seconds[-1]

    answer = project.ask("/v1/time-to-conversion", conversion="signup", stitch=policy)
    if seconds:
        (row,) = answer["rows"]
        assert row["persons"] == len(seconds)
        assert row["mean_seconds"] == pytest.approx(statistics.fmean(seconds))
        assert row["p50"] == pytest.approx(statistics.median(seconds))
        assert sum(bucket["persons"] for bucket in row["histogram"]) == len(seconds)
    else:
        assert answer["rows"] == []

    untouched = set(ids(project.stored())) - owned
    assert untouched == oracle.anonymous_events(log, policy)
