"""`identity.md` in plain Python, event by event. Slow and obvious; shares nothing with the SQL."""

from dataclasses import dataclass, field
from typing import Any

Event = dict[str, Any]  # id, t (any ordered value), event, a (or None), u (or None)


@dataclass
class User:
    events: list[Event]
    known_since: Any
    devices: list[str]
    first_touch: Event = field(init=False)
    before: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.events.sort(key=lambda event: (event["t"], event["id"]))
        self.first_touch = self.events[0]
        self.before = [event["id"] for event in self.events if event["t"] < self.known_since]

    def converted_at(self, name: str) -> Any:
        return next((event["t"] for event in self.events if event["event"] == name), None)


def once(log: list[Event]) -> list[Event]:
    """Each event_id counts once: the first to arrive."""
    seen: dict[str, Event] = {}
    for event in log:
        seen.setdefault(event["id"], event)
    return list(seen.values())


def owners(event: Event, log: list[Event], policy: str) -> set[str]:
    """The users an event belongs to; none: the anonymous visitor."""
    if event["u"] is not None:
        return {event["u"]}
    seen = [
        (other["t"], other["u"])
        for other in log
        if other["u"] is not None and other["a"] is not None and other["a"] == event["a"]
    ]
    if not seen:
        return set()
    if policy == "any":
        return {user for _, user in seen}
    if policy == "first":
        return {min(seen)[1]}
    later = [(t, user) for t, user in seen if t >= event["t"]]
    return {min(later)[1]} if later else {max(seen)[1]}


def users(log: list[Event], policy: str) -> dict[str, User]:
    """Every user of the log, under a policy."""
    log = once(log)
    found = {}
    for user_id in {event["u"] for event in log if event["u"] is not None}:
        tagged = [event for event in log if event["u"] == user_id]
        found[user_id] = User(
            events=[event for event in log if user_id in owners(event, log, policy)],
            known_since=min(event["t"] for event in tagged),
            devices=sorted({event["a"] for event in tagged if event["a"] is not None}),
        )
    return found


def anonymous_events(log: list[Event], policy: str) -> set[str]:
    """Ids of the events that belong to no user."""
    log = once(log)
    return {event["id"] for event in log if not owners(event, log, policy)}
