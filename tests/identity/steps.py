"""What happens in a random story: events, unlinks and aliases, one step after the other."""

import datetime as dt
from collections.abc import Callable, Sequence
from typing import NamedTuple

from hypothesis import strategies as st

from tests.identity import oracle
from tests.support import Json, Project

START = dt.datetime(2026, 5, 1, tzinfo=dt.UTC)

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


class Timestamp(NamedTuple):
    """What had happened by then."""

    at: dt.datetime
    log: list[oracle.Event]
    decided: oracle.Decisions


def live(
    project: Project, steps: list[Step], wire: Callable[[oracle.Event], Json]
) -> list[Timestamp]:
    """Go through the steps; the moments before, between and after them."""
    log: list[oracle.Event] = []
    decided = oracle.NONE
    history = [Timestamp(tick(), [], decided)]
    for step in steps:
        if isinstance(step, list):
            project.batch([wire(event) for event in step])
            log += step
        else:
            decided = decide(project, decided, step, log)
        history.append(Timestamp(tick(), list(log), decided))
    return history


def tick() -> dt.datetime:
    """A moment that everything before is not after, and everything to come is after."""
    moment = dt.datetime.now(dt.UTC)
    moment = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    while dt.datetime.now(dt.UTC) < moment + dt.timedelta(milliseconds=1):
        pass
    return moment


def decide(
    project: Project, decided: oracle.Decisions, step: Decision, log: Sequence[oracle.Event]
) -> oracle.Decisions:
    """Carry the decision out, and say what it should lead to. `log`: what came before it."""
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
    if what in ("unlink", "link"):  # of somebody who was not seen there it changes no answer
        changed = changed and any((event["a"], event["u"]) == (one, other) for event in log)
    assert (reply.status, reply.json) == (200, {"ok": True, "changed": changed})
    return after
