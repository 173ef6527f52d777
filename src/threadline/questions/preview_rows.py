"""Whom a decision about identity would change, and the same in one sentence."""

from collections.abc import Iterator, Mapping, Sequence

import msgspec

# Of people and of sources each; a sentence with more of them says nothing.
MOST_PEOPLE, MOST_SOURCES = 3, 3

NOTHING = {
    "unlink": "Nothing would change: {user_id} owns nothing by way of the device {anonymous_id}.",
    "link_again": "Nothing would change: {user_id} is not unlinked from the device {anonymous_id}, "
    "or has nothing there.",
    "alias": "Nothing would change: {user_id} and {alias_of} are one person already, or one of them"
    " was never seen.",
    "unalias": "Nothing would change: {user_id} is nobody's alias.",
}


class FirstSource(msgspec.Struct, frozen=True):
    """The traffic source of somebody's first touch."""

    timestamp: str
    source: str
    medium: str
    campaign: str | None
    channel: str | None


class PreviewSide(msgspec.Struct, frozen=True):
    """What somebody has, before or after. `conversions`: of each goal of the project that they
    reached, how often. `first_touch` is null where there is no event."""

    events: int
    devices: int
    first_touch: FirstSource | None
    conversions: dict[str, int]


class PreviewedPerson(msgspec.Struct, frozen=True):
    """One person who changes: a user, or the anonymous visitor of a device."""

    user_id: str | None
    anonymous_id: str | None
    before: PreviewSide
    after: PreviewSide


class PreviewedSource(msgspec.Struct, frozen=True):
    """By how much the conversions of a goal that are credited to a first touch would change."""

    source: str
    medium: str
    goal: str
    change: int


NOBODY = PreviewSide(0, 0, None, {})


def summary(
    decision: str,
    given: Mapping[str, str],
    persons: Sequence[PreviewedPerson],
    sources: Sequence[PreviewedSource],
) -> str:
    """`user_728 loses 41 events; google / paid loses one signup.`"""
    if not persons:
        return NOTHING[decision].format_map(given)
    people = [*_people(persons)]
    credited = [*map(_of_source, sources)]
    said = [*people[:MOST_PEOPLE], *credited[:MOST_SOURCES]]
    if len(people) > MOST_PEOPLE:
        said.append(f"{_many(len(people) - MOST_PEOPLE, 'more person', 'more people')} change")
    return f"{'; '.join(said)}."


def _people(persons: Sequence[PreviewedPerson]) -> Iterator[str]:
    for one in persons:
        who = one.user_id or f"the anonymous visitor of {one.anonymous_id}"
        events = one.after.events - one.before.events
        touched, touches = one.before.first_touch, one.after.first_touch
        devices = one.after.devices - one.before.devices
        if not one.after.events:
            yield f"{who} is no person of their own any more"
        elif events:
            yield f"{who} {_moves(events)} {_many(abs(events), 'event', 'events')}"
        elif (
            touched
            and touches
            and (touched.source, touched.medium)
            != (
                touches.source,
                touches.medium,
            )
        ):
            came, comes = (
                _named(touched.source, touched.medium),
                _named(touches.source, touches.medium),
            )
            yield f"{who} came by {comes} in the place of {came}"
        elif devices:
            yield f"{who} {_moves(devices)} {_many(abs(devices), 'device', 'devices')}"
        else:
            yield f"{who} has other events"


def _of_source(row: PreviewedSource) -> str:
    many = _many(abs(row.change), row.goal, f"{row.goal} conversions")
    return f"{_named(row.source, row.medium)} {_moves(row.change)} {many}"


def _named(source: str, medium: str) -> str:
    return source if source == medium else f"{source} / {medium}"


def _moves(change: int) -> str:
    return "gains" if change > 0 else "loses"


def _many(number: int, one: str, more: str) -> str:
    return f"one {one}" if number == 1 else f"{number:,} {more}"
