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
EXAMPLES = int(os.environ.get("THREADLINE_TEST_EXAMPLES", "6"))

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


Decision = tuple[str, str, str]
Step = list[oracle.Event] | Decision

USERS = ["ada", "bob", "Ada"]
decision = st.one_of(
    st.tuples(
        st.sampled_from(["unlink", "unlink", "link"]),
        st.sampled_from(["phone", "laptop", "kiosk"]),
        st.sampled_from(USERS),
    ),
    st.tuples(
        st.sampled_from(["alias", "alias", "unalias"]),
        st.sampled_from(USERS),
        st.sampled_from(USERS),
    ),
)
steps = st.lists(st.one_of(st.lists(event, min_size=1, max_size=12), decision), max_size=6)
DETOUR = [("alias", "ada", "cy"), ("alias", "bob", "cy"), ("alias", "ada", "bob")]
SWITCH = [("unlink", "kiosk", "ada"), ("alias", "bob", "cy"), ("alias", "cy", "bob")]


@settings(max_examples=EXAMPLES)
@example(steps=[TIES], back=0)
@example(steps=[TIES[::-1][:5], TIES[::-1][5:]], back=1)
@example(steps=[TIES, *SWITCH, ("unalias", "bob", "cy"), ("link", "kiosk", "ada")], back=2)
@example(steps=[TIES, *DETOUR], back=1)
@given(steps=steps, back=st.integers(0, 6))
def test_every_answer_is_the_oracles(server: Server, steps: list[Step], back: int) -> None:
    """Now, and as it would have been given before the last steps."""
    project = Project(server)
    log: list[oracle.Event] = []
    decided = oracle.NONE
    history = [(_tick(), list(log), decided)]
    for step in steps:
        if isinstance(step, list):
            project.batch([wire(event) for event in step])
            log += step
        else:
            decided = _decide(project, decided, step)
        history.append((_tick(), list(log), decided))

    assert sorted(ids(project.stored())) == sorted(event["id"] for event in oracle.once(log))
    then, log_then, decided_then = history[max(0, len(history) - 1 - back)]
    for policy in ("any", "first", "next"):
        _compare(project, log, decided, policy)
        _compare(project, log_then, decided_then, policy, iso(then))


def _tick() -> dt.datetime:
    """A moment that everything before is not after, and everything to come is after."""
    moment = dt.datetime.now(dt.UTC)
    moment = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    while dt.datetime.now(dt.UTC) < moment + dt.timedelta(milliseconds=1):
        pass
    return moment


def _decide(project: Project, decided: oracle.Decisions, step: Decision) -> oracle.Decisions:
    """Carry the decision out, and say what it should lead to."""
    what, one, other = step
    path = "/v1/identity/links" if what in ("unlink", "link") else "/v1/identity/aliases"
    method = "DELETE" if what.startswith("un") else "PUT"
    bodies = {
        "alias": {"user_id": one, "alias_of": other},
        "unalias": {"user_id": one},
    }
    reply = project.change(method, path, bodies.get(what, {"anonymous_id": one, "user_id": other}))
    if what == "alias" and not decided.takes(one, other):
        assert (reply.status, reply.error) == (409, "alias_cycle")
        return decided
    after = {
        "unlink": lambda: oracle.Decisions(decided.unlinked | {(one, other)}, decided.aliases),
        "link": lambda: oracle.Decisions(decided.unlinked - {(one, other)}, decided.aliases),
        "alias": lambda: decided.aliased(one, other),
        "unalias": lambda: decided.aliased(one, None),
    }[what]()
    changed = (after.unlinked, dict(after.aliases)) != (decided.unlinked, dict(decided.aliases))
    assert (reply.status, reply.json) == (200, {"ok": True, "changed": changed})
    return after


def _compare(
    project: Project,
    log: list[oracle.Event],
    decided: oracle.Decisions,
    policy: str,
    as_of: str | None = None,
) -> None:
    expected = oracle.users(log, policy, decided)
    on = {"stitch": policy, "as_of": as_of}
    listed = project.pages("/v1/users", conversion="signup", **on)
    newest_first = sorted(
        expected, key=lambda user: (-expected[user].known_since.timestamp(), user)
    )
    assert [row["user_id"] for row in listed] == newest_first

    seconds = []
    owned: set[str] = set()
    for row in listed:
        user = expected[row["user_id"]]
        journey = ids(project.journey(row["user_id"], **on))
        assert journey == [event["id"] for event in user.events]
        assert ids(project.journey(row["user_id"], phase="before", **on)) == user.before
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

    answer = project.ask("/v1/time-to-conversion", conversion="signup", **on)
    if seconds:
        (row,) = answer["rows"]
        assert row["persons"] == len(seconds)
        assert row["mean_seconds"] == pytest.approx(statistics.fmean(seconds))
        assert row["p50"] == pytest.approx(statistics.median(seconds))
        assert sum(bucket["persons"] for bucket in row["histogram"]) == len(seconds)
    else:
        assert answer["rows"] == []

    untouched = {event["id"] for event in log} - owned
    assert untouched == oracle.anonymous_events(log, policy, decided)
