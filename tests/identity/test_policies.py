"""Random logs, sent over HTTP, against the oracle: every answer, under every policy."""

import statistics

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.identity import oracle
from tests.identity.steps import TIES, Step, decision, event, iso, live, wire
from tests.support import Project, Server, ids, side_by_side
from tests.width import EXAMPLES, also
from threadline.contract.policies import POLICIES

steps = st.lists(st.one_of(st.lists(event, min_size=1, max_size=12), decision), max_size=6)
DETOUR = [("alias", "ada", "cy"), ("alias", "bob", "cy"), ("alias", "ada", "bob")]
SWITCH = [("unlink", "kiosk", "ada"), ("alias", "bob", "cy"), ("alias", "cy", "bob")]


@settings(max_examples=EXAMPLES)
@also(steps=[TIES], back=0)
@example(steps=[TIES[::-1][:5], TIES[::-1][5:]], back=1)
@example(steps=[TIES, *SWITCH, ("unalias", "bob", "cy"), ("link", "kiosk", "ada")], back=2)
@also(steps=[TIES, *DETOUR], back=1)
@given(steps=steps, back=st.integers(0, 6))
def test_every_answer_is_the_oracles(server: Server, steps: list[Step], back: int) -> None:
    """Now, and as it would have been given before the last steps."""
    project = Project(server)
    history = live(project, steps, wire)
    _, log, decided = history[-1]
    assert sorted(ids(project.stored())) == sorted(event["id"] for event in oracle.once(log))
    then, log_then, decided_then = history[max(0, len(history) - 1 - back)]

    def compare(project: Project, policy: str) -> None:
        _compare(project, log, decided, policy)
        _compare(project, log_then, decided_then, policy, iso(then))

    side_by_side(compare, project, POLICIES)


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
