"""The states that make identity fast: are they what the events say, and if not, make them so."""

import uuid
from collections.abc import Callable, Sequence
from typing import NamedTuple

from threadline.identity.resolution import HOUR_MS, OBSERVED, TOUCH
from threadline.store import REBUILD, Statements, begin, finish


class State(NamedTuple):
    """A state and how it follows from the events. `values`: what is compared of each key, and
    `merged`: the same of rows that lie in several parts."""

    table: str
    columns: str
    key: str
    values: str
    merged: str
    from_events: str


STATES = (
    State(
        "links",
        "project_id, user_id, visitor, is_bot, anonymous_id, first_seen, last_seen",
        "project_id, user_id, visitor, is_bot",
        "first_seen, last_seen",
        "min(s.first_seen) AS first_seen, max(s.last_seen) AS last_seen",
        f"""
        SELECT e.project_id AS project_id, assumeNotNull(e.user_id) AS user_id,
            e.visitor AS visitor, e.is_bot AS is_bot, any(e.anonymous_id) AS anonymous_id,
            min(e.timestamp) AS first_seen, max(e.timestamp) AS last_seen
        FROM events AS e
        WHERE {OBSERVED} AND {{sample}}
        GROUP BY e.project_id, e.user_id, e.visitor, e.is_bot""",
    ),
    State(
        "device_users",
        "project_id, is_bot, visitor, least, greatest",
        "project_id, is_bot, visitor",
        "least, greatest",
        "min(s.least) AS least, max(s.greatest) AS greatest",
        f"""
        SELECT e.project_id AS project_id, e.is_bot AS is_bot, e.visitor AS visitor,
            min(e.user_hash) AS least, max(e.user_hash) AS greatest
        FROM events AS e
        WHERE {OBSERVED} AND {{sample}}
        GROUP BY e.project_id, e.is_bot, e.visitor""",
    ),
    State(
        "activity",
        "project_id, is_bot, known, visitor, user_hash, hour, first_ms, last_ms",
        "project_id, is_bot, known, visitor, user_hash, hour",
        "first_ms, last_ms",
        "min(s.first_ms) AS first_ms, max(s.last_ms) AS last_ms",
        f"""
        SELECT e.project_id AS project_id, e.is_bot AS is_bot,
            e.user_hash != 0 AS known, e.visitor AS visitor, e.user_hash AS user_hash,
            toUInt32(intDiv(toUnixTimestamp64Milli(e.timestamp), {HOUR_MS})) AS hour,
            toUInt32(min(toUnixTimestamp64Milli(e.timestamp) % {HOUR_MS})) AS first_ms,
            toUInt32(max(toUnixTimestamp64Milli(e.timestamp) % {HOUR_MS})) AS last_ms
        FROM events AS e
        WHERE {{sample}}
        GROUP BY e.project_id, e.is_bot, e.visitor, e.user_hash, hour""",
    ),
    State(
        "visitor_touches",
        "project_id, visitor, is_bot, first_touch",
        "project_id, visitor, is_bot",
        "first_touch",
        "min(s.first_touch) AS first_touch",
        """
        SELECT e.project_id AS project_id, e.visitor AS visitor, e.is_bot AS is_bot,
            min((e.timestamp, e.event_id, e.place)) AS first_touch
        FROM events AS e
        WHERE e.user_id IS NULL AND {sample}
        GROUP BY e.project_id, e.visitor, e.is_bot""",
    ),
    State(
        "user_touches",
        "project_id, user_id, is_bot, first_touch",
        "project_id, user_id, is_bot",
        "first_touch",
        "min(s.first_touch) AS first_touch",
        f"""
        SELECT e.project_id AS project_id, assumeNotNull(e.user_id) AS user_id,
            e.is_bot AS is_bot, min({TOUCH}) AS first_touch
        FROM events AS e
        WHERE e.user_id IS NOT NULL AND {{sample}}
        GROUP BY e.project_id, e.user_id, e.is_bot""",
    ),
    State(
        "places",
        "project_id, place, source, medium, campaign",
        "project_id, place",
        "source, medium, campaign",
        "any(s.source) AS source, any(s.medium) AS medium, any(s.campaign) AS campaign",
        """
        SELECT e.project_id AS project_id, e.place AS place, toString(any(e.source)) AS source,
            toString(any(e.medium)) AS medium, toString(any(e.campaign)) AS campaign
        FROM events AS e
        WHERE {sample}
        GROUP BY e.project_id, e.place""",
    ),
)

DIFFERENCES = """
    SELECT count() AS compared, countIf(in_events = 0) AS beyond, countIf(in_state = 0) AS missing,
        countIf(in_events = 1 AND in_state = 1 AND from_events != from_state) AS wrong
    FROM (
        SELECT {key}, max(stored) AS in_state, max(NOT stored) AS in_events,
            groupArrayIf(({values}), stored) AS from_state,
            groupArrayIf(({values}), NOT stored) AS from_events
        FROM (
            SELECT {key}, {values}, TRUE AS stored
            FROM (
                SELECT {key}, {merged} FROM {table} AS s WHERE {sample_of_state} GROUP BY {key}
            )
            UNION ALL
            SELECT {key}, {values}, FALSE AS stored FROM ({raw})
        )
        GROUP BY {key}
    )"""

# Of the parts that the hash of a key falls into, these are looked at.
SAMPLED = ("user_id", "visitor", "place")
SAMPLE = "sipHash64({of}) % {{parts:UInt32}} = 0"


# Parts of events are numbered as they come, and a merged one has the numbers of all that are in it.
# No clock has a say in that.
NEWEST_BLOCK = """
    SELECT max(max_block_number) AS block FROM system.parts
    WHERE database = currentDatabase() AND table = 'events' AND active"""
CAME_SINCE = "toInt64(splitByChar('_', e._part)[3]) > {block:Int64}"
LEFTOVERS = """
    SELECT name FROM system.tables
    WHERE database = currentDatabase()
        AND arrayExists(table -> startsWith(name, concat(table, '_new')), {tables:Array(String)})"""


class Difference(NamedTuple):
    """Rows of a state against the events: compared, too many, too few, and with other values."""

    table: str
    compared: int
    beyond: int
    missing: int
    wrong: int


def verify(store: Statements, parts: int = 1) -> list[Difference]:
    """Recompute every state from the events, of one in `parts` users, visitors and places, and
    compare."""
    found = []
    for state in STATES:
        of = next(name for name in SAMPLED if name in state.key)
        sql = DIFFERENCES.format(
            **state._asdict() | {"from_events": ""},
            raw=state.from_events.format(sample=SAMPLE.format(of=f"assumeNotNull(e.{of})")),
            sample_of_state=SAMPLE.format(of=f"s.{of}"),
        )
        (row,) = store.query(sql, {"parts": parts})
        found.append(Difference(state.table, **row))
    return found


def rebuild(
    store: Statements,
    tables: Sequence[str] = (),
    forgotten: Callable[[], object] = lambda: None,
    progressed: Callable[[str], None] = lambda table: None,
) -> None:
    """Make every state anew from the events, or only some, while events come and questions are
    answered.

    It is written down first and struck off state by state, so that an interrupted one is found in
    `unfinished`; doing it once more is how it is finished. Two of them must not run at the same
    time. `forgotten` answers who was forgotten up to now: whoever was while a state was made may be
    in it again, so that one is made once more. `progressed` is called with each state to come.
    """
    chosen = [state for state in STATES if not tables or state.table in tables]
    names = [state.table for state in chosen]
    begin(store, REBUILD, names)
    for left in store.query(LEFTOVERS, {"tables": names}):
        store.execute(f"DROP TABLE IF EXISTS {left['name']} SYNC")
    for state in chosen:
        progressed(state.table)
        before = forgotten()
        _make_anew(store, state)
        while (after := forgotten()) != before:
            before = after
            _make_anew(store, state)
        finish(store, REBUILD, state.table)


def _make_anew(store: Statements, state: State) -> None:
    """A new table is filled, then takes the old one's place. What came meanwhile went into the old
    one, the last of it perhaps even now: dropping it waits for that. Then it is added once more,
    which changes nothing that is there already.

    The new table has a name that was never used: a statement that a killed process left on its way
    cannot touch this one.
    """
    table = state.table
    made = f"{table}_new_{uuid.uuid4().hex}"
    newest = _newest_block(store)
    store.execute(f"CREATE TABLE {made} AS {table}")
    _fill(store, made, state, "TRUE", {})
    # Most of what came meanwhile, so that as little as may be is missing for a moment.
    before, newest = newest, _newest_block(store)
    _fill(store, made, state, CAME_SINCE, {"block": before})
    store.execute(f"EXCHANGE TABLES {table} AND {made}")
    store.execute(f"DROP TABLE {made} SYNC")
    _fill(store, table, state, CAME_SINCE, {"block": newest})


def _newest_block(store: Statements) -> int:
    (found,) = store.query(NEWEST_BLOCK, {})
    return int(found["block"])


def add(store: Statements, table: str, where: str, bound: dict[str, object]) -> None:
    """Add to a state what follows from these events `e`, after its rows of them were deleted."""
    (state,) = (state for state in STATES if state.table == table)
    _fill(store, table, state, where, bound)


def _fill(
    store: Statements, table: str, state: State, where: str, bound: dict[str, object]
) -> None:
    raw = state.from_events.format(sample=where)
    store.execute(
        f"INSERT INTO {table} ({state.columns}) SELECT {state.columns} FROM ({raw})", bound
    )
