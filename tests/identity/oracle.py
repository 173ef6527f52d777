"""`identity.md` in plain Python, event by event. Slow and obvious; shares nothing with the SQL."""

from dataclasses import dataclass, field
from typing import Any

Event = dict[str, Any]  # id, t (any ordered value), event, a (or None), u (or None)


@dataclass(frozen=True)
class Decisions:
    """Pairs of device and user that are unlinked, and users declared the same as another."""

    unlinked: frozenset[tuple[str, str]] = frozenset()
    aliases: tuple[tuple[str, str], ...] = ()

    def person(self, user: str) -> str:
        of = dict(self.aliases)
        while user in of:
            user = of[user]
        return user

    def takes(self, user: str, other: str) -> bool:
        """Whether the alias can be made: not if it ran in a circle."""
        of = dict(self.aliases)
        while other in of and other != user:
            other = of[other]
        return other != user

    def aliased(self, user: str, other: str | None) -> "Decisions":
        kept = [(u, o) for u, o in self.aliases if u != user]
        return Decisions(self.unlinked, tuple(kept + ([(user, other)] if other else [])))


NONE = Decisions()


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


def owners(event: Event, log: list[Event], policy: str, decided: Decisions = NONE) -> set[str]:
    """The persons an event belongs to; none: the anonymous visitor."""
    if event["u"] is not None:
        return {decided.person(event["u"])}
    if policy == "none":
        return set()
    seen = [
        (other["t"], decided.person(other["u"]))
        for other in log
        if other["u"] is not None
        and other["a"] is not None
        and other["a"] == event["a"]
        and (other["a"], other["u"]) not in decided.unlinked
    ]
    if not seen:
        return set()
    if policy == "any":
        return {user for _, user in seen}
    if policy == "first":
        return {min(seen)[1]}
    if policy == "last":
        return {max(seen)[1]}
    later = [(t, user) for t, user in seen if t >= event["t"]]
    return {min(later)[1]} if later else {max(seen)[1]}


def users(log: list[Event], policy: str, decided: Decisions = NONE) -> dict[str, User]:
    """Every person of the log that has a user id, under a policy."""
    log = once(log)
    found = {}
    for user_id in {decided.person(event["u"]) for event in log if event["u"] is not None}:
        tagged = [
            event
            for event in log
            if event["u"] is not None and decided.person(event["u"]) == user_id
        ]
        found[user_id] = User(
            events=[event for event in log if user_id in owners(event, log, policy, decided)],
            known_since=min(event["t"] for event in tagged),
            devices=sorted(
                {
                    event["a"]
                    for event in tagged
                    if event["a"] is not None and (event["a"], event["u"]) not in decided.unlinked
                }
            ),
        )
    return found


def anonymous_events(log: list[Event], policy: str, decided: Decisions = NONE) -> set[str]:
    """Ids of the events that belong to no user."""
    log = once(log)
    return {event["id"] for event in log if not owners(event, log, policy, decided)}


def person(event: Event, log: list[Event], policy: str, decided: Decisions = NONE) -> str:
    """The one owner, under every policy but `any`: a user or an anonymous visitor. An event without
    any id is a visitor of its own."""
    for user in owners(event, log, policy, decided):
        return f"user {user}"
    return f"visitor {event['a'] or event['id']}"
