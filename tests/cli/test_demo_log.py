"""The demo log is believable, and the same for the same numbers."""

from threadline.cli.demo_log import DAYS, DemoLog
from threadline.contract.times import DAY_MS, parse_ms

UNTIL_MS = 1_790_812_800_000


def test_same_seed_same_log() -> None:
    def log(seed: int) -> list[object]:
        return [tuple(p.sent) for p in DemoLog(2000, 100, 20, seed, UNTIL_MS).people()]

    assert log(1) == log(1)
    assert log(1) != log(2)


def test_its_numbers_are_what_was_asked_for() -> None:
    events, visitors, users = 40_000, 2000, 400
    people = list(DemoLog(events, visitors, users, 1, UNTIL_MS).people())
    sent = [event for person in people for _, event in person.sent]
    assert len(sent) == events
    assert abs(len({event["anonymous_id"] for event in sent}) - visitors) < visitors * 0.02
    assert abs(len({person.user_id for person in people} - {None}) - users) < users * 0.02
    repeated = events - len({event["event_id"] for event in sent})
    assert 0.005 < repeated / events < 0.015
    owners: dict[str, set[str]] = {}
    for event in sent:
        if "user_id" in event:
            owners.setdefault(event["anonymous_id"], set()).add(event["user_id"])
    assert sum(len(found) > 1 for found in owners.values()) > 0, "shared devices"
    times = [parse_ms(event["timestamp"]) for event in sent]
    assert min(times) > UNTIL_MS - (DAYS + 1) * DAY_MS
    assert max(times) < UNTIL_MS
