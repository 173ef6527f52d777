"""Which names of events, properties and traits ever came to a project, and which was meant by one
that never did. It reads the state `names`, so it may be asked with every question."""

from collections.abc import Sequence
from typing import NamedTuple

from threadline.identity.compose import fill
from threadline.identity.reading import Reading
from threadline.identity.resolution import PROJECT
from threadline.questions.named_values import IDENTIFY
from threadline.questions.near import nearest

# Names to guess from.
MOST = 1000


class Name(NamedTuple):
    """`key`: of properties; None: the event itself. `events`: of only these, as far as they came;
    none: of any."""

    key: str | None
    events: tuple[str, ...]


CAME = f"""
SELECT DISTINCT toString(event_name) AS event, name, type = 0 AS is_event
FROM names
WHERE {PROJECT} AND (
    (type = 0 AND event_name IN {{events:Array(String)}})
    OR (type != 0 AND name IN {{keys:Array(String)}})
)"""
FREQUENT = f"""
SELECT $named AS called, sum(events) AS count
FROM names
WHERE {PROJECT} AND $kind
GROUP BY called
ORDER BY count DESC, called
LIMIT {MOST}"""
OF_EVENTS = "AND event_name IN {events:Array(String)}"


def never_came(reading: Reading, project_id: str, wanted: Sequence[Name]) -> list[Name]:
    """Those that no event ever came with, bots' included."""
    values = {
        "project_id": project_id,
        "events": [event for name in wanted for event in name.events],
        "keys": [name.key for name in wanted if name.key is not None],
    }
    rows = reading.query(CAME, values)
    events = {row["event"] for row in rows if row["is_event"]}
    having: dict[str, set[str]] = {}
    for row in rows:
        if not row["is_event"]:
            having.setdefault(row["name"], set()).add(row["event"])
    return [name for name in wanted if not _is_there(name, events, having)]


def _is_there(name: Name, events: set[str], having: dict[str, set[str]]) -> bool:
    if name.key is None:
        return set(name.events) <= set(events)
    of = having.get(name.key, set())
    if not name.events or name.events == (IDENTIFY,):
        return bool(of & set(name.events or of))
    # Of an event that never came itself that is all there is to say.
    return bool(of & set(name.events)) or not events & set(name.events)


class Guess(NamedTuple):
    """`near`: the one that was probably meant. `frequent`: those there are, the most frequent
    first; none if nothing ever came."""

    near: str | None
    frequent: list[str]


def guess(reading: Reading, project_id: str, name: Name) -> Guess:
    """What may have been meant by a name that never came."""
    of_event = name.key is None
    kind = "type = 0" if of_event else "type != 0"
    values: dict[str, object] = {"project_id": project_id}
    if not of_event and name.events:
        kind = f"{kind} {OF_EVENTS}"
        values["events"] = list(name.events)
    sql = fill(FREQUENT, {"named": "toString(event_name)" if of_event else "name", "kind": kind})
    frequent = [row["called"] for row in reading.query(sql, values)]
    meant = name.events[0] if of_event else name.key or ""
    return Guess(nearest(meant, frequent), frequent)
