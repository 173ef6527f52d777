"""The states that make identity fast: are they what the events say, and if not, make them so.

`threadline.store.states` defines them; `relation` is what questions read a state from."""

import uuid
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

from threadline.identity.compose import fill
from threadline.store import REBUILD, Params, Row, Statements, begin, finish
from threadline.store.derived import State
from threadline.store.states import OLDER_TABLES, STATES, relation, state

__all__ = ["STATES", "Difference", "State", "add", "rebuild", "relation", "state", "verify"]

DIFFERENCES = """
    SELECT count() AS compared, countIf(in_events = 0) AS beyond, countIf(in_state = 0) AS missing,
        countIf(in_events = 1 AND in_state = 1 AND from_events != from_state) AS wrong
    FROM (
        SELECT $key, max(stored) AS in_state, max(NOT stored) AS in_events,
            groupArrayIf(($values), stored) AS from_state,
            groupArrayIf(($values), NOT stored) AS from_events
        FROM (
            SELECT $key, $values, TRUE AS stored
            FROM (
                SELECT $key, $merged FROM $table AS s WHERE $sample_of_state GROUP BY $key
            )
            UNION ALL
            SELECT $key, $values, FALSE AS stored FROM ($raw)
        )
        GROUP BY $key
    )"""

# Of the parts that the hash of a key falls into, these are looked at.
SAMPLED = ("user_id", "visitor", "traffic_source", "event_name")
SAMPLE = "sipHash64($of) % {parts:UInt32} = 0"

# Parts of events are numbered as they come, and a merged one has the numbers of all that are in it.
# No clock has a say in that.
NEWEST_BLOCK = """
    SELECT max(max_block_number) AS block FROM system.parts
    WHERE database = currentDatabase() AND table = 'events' AND active"""
NEWEST_BLOCKS = """
    SELECT partition_id AS month, max(max_block_number) AS block FROM system.parts
    WHERE database = currentDatabase() AND table = 'events' AND active
    GROUP BY month
    ORDER BY month"""
CAME_SINCE = "toInt64(splitByChar('_', e._part)[3]) > {block:Int64}"
# Of any state, also under a name that it had in an older version.
LEFTOVERS = """
    SELECT name FROM system.tables
    WHERE database = currentDatabase()
        AND arrayExists(table -> startsWith(name, concat(table, '_new')), {tables:Array(String)})"""


# What says whose devices are and where people came from first: it may outlive the events.
TOUCHES = ("links", "device_users", "visitor_touches", "user_touches")


class Difference(NamedTuple):
    """Rows of a state against the events: compared, too many, too few, and with other values."""

    table: str
    compared: int
    beyond: int
    missing: int
    wrong: int


def verify(
    store: Statements,
    parts: int = 1,
    outliving: Collection[str] = (),
    tables: Collection[str] = (),
) -> list[Difference]:
    """Recompute every state, or only some, from the events, of one in `parts` users, visitors and
    traffic sources, and compare. `outliving`: projects whose `TOUCHES` are left out, because they
    outlive the events that they follow from."""
    found = []
    for each in STATES:
        if tables and each.table not in tables:
            continue
        of = next(column for column in each.key if column.name in SAMPLED)
        is_left_out = bool(outliving) and each.table in (*TOUCHES, "traffic_sources")
        left_out = " AND $of.project_id NOT IN {outliving:Array(String)}" if is_left_out else ""
        slots = {
            "table": each.table,
            "key": each.key_columns,
            "values": each.compared,
            "merged": each.merged,
            "raw": each.from_events(fill(SAMPLE, {"of": of.sql}) + left_out.replace("$of", "e")),
            "sample_of_state": fill(SAMPLE, {"of": f"s.{of.name}"}) + left_out.replace("$of", "s"),
        }
        sql = fill(DIFFERENCES, slots)
        values: dict[str, object] = {"outliving": sorted(outliving)} if is_left_out else {}
        # Those of a node follow from the events there.
        rows = [node.query(sql, {"parts": parts, **values})[0] for node in store.nodes]
        counted = [sum(row[name] for row in rows) for name in Difference._fields[1:]]
        found.append(Difference(each.table, *counted))
    return found


def rebuild(
    store: Statements,
    tables: Sequence[str] = (),
    forgotten: Callable[[], object] = lambda: None,
    progressed: Callable[[str], None] = lambda table: None,
    no_inserts: Callable[[], AbstractContextManager[object]] = nullcontext,
    outliving: Collection[str] = (),
) -> None:
    """Make every state anew from the events, or only some, while events come and questions are
    answered. Of the projects `outliving`, what there is in `TOUCHES` stays besides.

    It is written down first and struck off state by state, so that an interrupted one is found in
    `unfinished`; doing it once more is how it is finished. Two of them must not run at the same
    time. `forgotten` answers who was forgotten up to now: whoever was while a state was made may be
    in it again, so that one is made once more. `progressed` is called with each state to come.
    `no_inserts`: no events get into the store as long as the block lasts; needed for moments only,
    for an insert that a table is taken from fails, and is in some states and not in others then.
    """
    chosen = [each for each in STATES if not tables or each.table in tables]
    names = [each.table for each in chosen]
    begin(store, REBUILD, names)
    for node in store.nodes:
        for left in node.query(LEFTOVERS, {"tables": [*names, *OLDER_TABLES]}):
            node.execute(f"DROP TABLE IF EXISTS {left['name']} SYNC")
    for each in chosen:
        progressed(each.table)
        before = forgotten()
        _make_anew(store, each, no_inserts, outliving)
        while (after := forgotten()) != before:
            before = after
            _make_anew(store, each, no_inserts, outliving)
        finish(store, REBUILD, each.table)


def _make_anew(
    store: Statements,
    chosen: State,
    no_inserts: Callable[[], AbstractContextManager[object]],
    outliving: Collection[str],
) -> None:
    """A new table is filled, then takes the old one's place, on each node.

    It has a name that was never used: a statement that a killed process left on its way cannot
    touch this one.
    """
    stays = outliving if chosen.table in (*TOUCHES, "traffic_sources") else ()
    made = f"{chosen.table}_new_{uuid.uuid4().hex}"
    if chosen.has_sums:
        _make_exactly(store.nodes, chosen, made, no_inserts)
        return
    for node in store.nodes:
        _make_beside_inserts(node, chosen, made, no_inserts, stays)


def _make_beside_inserts(
    store: Statements,
    chosen: State,
    made: str,
    no_inserts: Callable[[], AbstractContextManager[object]],
    stays: Collection[str],
) -> None:
    """What came meanwhile is added, also of parts whose events are there already: that changes
    nothing."""
    table = chosen.table
    newest = _newest_block(store)
    store.execute(f"CREATE TABLE {made} AS {table}")
    _fill(store, made, chosen, "TRUE", {})
    if stays:
        store.execute(
            f"INSERT INTO {made} ({chosen.columns}) SELECT {chosen.columns} FROM {table}"
            " WHERE project_id IN {outliving:Array(String)}",
            {"outliving": sorted(stays)},
        )
    # Most of what came meanwhile, so that inserts wait for as little as may be.
    before, newest = newest, _newest_block(store)
    _fill(store, made, chosen, CAME_SINCE, {"block": before})
    with no_inserts():
        _fill(store, made, chosen, CAME_SINCE, {"block": newest})
        store.execute(f"EXCHANGE TABLES {table} AND {made}")
    store.execute(f"DROP TABLE {made} SYNC")


def _make_exactly(
    nodes: Sequence[Statements],
    chosen: State,
    made: str,
    no_inserts: Callable[[], AbstractContextManager[object]],
) -> None:
    """Each event once, on whichever node. Months that got events meanwhile, mostly one, are made
    again while nothing is inserted. The state is divided by month as the events are."""
    table = chosen.table
    before = [_newest_blocks(node.query) for node in nodes]
    for node in nodes:
        node.execute(f"CREATE TABLE {made} AS {table}")
        _fill(node, made, chosen, "TRUE", {})
    with no_inserts():
        for node, known in zip(nodes, before, strict=True):
            for month, newest in _newest_blocks(node.look).items():
                if known.get(month) != newest:
                    node.execute(f"ALTER TABLE {made} DROP PARTITION ID '{month}'")
                    of_month = "e._partition_id = {month:String}"
                    _fill(node, made, chosen, of_month, {"month": month})
        for node in nodes:
            node.execute(f"EXCHANGE TABLES {table} AND {made}")
    for node in nodes:
        node.execute(f"DROP TABLE {made} SYNC")


def _newest_blocks(ask: Callable[[str, Params], list[Row]]) -> dict[str, int]:
    """Of each month of events."""
    found = ask(NEWEST_BLOCKS, {})
    return {str(row["month"]): int(row["block"]) for row in found}


def _newest_block(store: Statements) -> int:
    (found,) = store.query(NEWEST_BLOCK, {})
    return int(found["block"])


def add(store: Statements, table: str, where: str, params: dict[str, object]) -> None:
    """Add to a state what follows from these events `e`, after its rows of them were deleted."""
    for node in store.nodes:
        _fill(node, table, state(table), where, params)


def _fill(
    store: Statements, table: str, chosen: State, where: str, params: dict[str, object]
) -> None:
    columns = chosen.columns
    store.execute(
        f"INSERT INTO {table} ({columns}) SELECT {columns} FROM ({chosen.from_events(where)})",
        params,
    )
