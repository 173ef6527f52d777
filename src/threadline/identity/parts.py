"""What tables are made of, for whoever keeps something that follows from them: which parts are new,
and which devices are in these."""

from textwrap import indent
from typing import NamedTuple

from threadline.identity.compose import bound
from threadline.identity.reading import Reads
from threadline.identity.resolution import PROJECT
from threadline.store import Params, Store

# Devices that changed, before all are looked at anew: of small projects that costs nothing.
MOST_NEWER = 5_000
# Of more events, parts are as soon looked through.
MOST_WRITTEN = 200

# What all of it follows from, beside events.
STATES = ("links", "half_hours", "visitor_touches", "user_touches")
TABLES = [*STATES, "aliases", "unlinks"]

# A part that is merged has another name, and so has one of which rows were changed; what is still
# to be changed is among the mutations. These are looked at first (in `WITH`, which is known before
# the rest is read): looked at after the parts, one that ends in between is in neither. A table that
# took another's place has its parts elsewhere.
PARTS = """
WITH (
    SELECT groupArray(concat(table, ' ', mutation_id))
    FROM system.mutations
    WHERE NOT is_done AND database = currentDatabase()
        AND (table = 'events' OR table IN {tables:Array(String)})
) AS under_way
SELECT table AS part_of, name, path
FROM system.parts
WHERE active AND database = currentDatabase() AND table IN {tables:Array(String)}
UNION ALL
SELECT 'mutations' AS part_of, arrayJoin(under_way) AS name, '' AS path"""
ALL_PARTS = f"""
SELECT part_of, name, path
FROM (
    {indent(PARTS.strip(), "    ").strip()}
)"""
# For servers, to which others may write, too; started again, they have nothing in memory.
VERSION = f"""
SELECT groupBitXor(sipHash64(part_of, name, path)) AS version,
    (
        SELECT count()
        FROM system.tables
        WHERE concat(database, '.', name) IN {{kept_names:Array(String)}}
    ) AS there
FROM (
    {indent(PARTS.strip(), "    ").strip()}
)"""

# In parts that came, or were merged, since then.
CHANGED_OWNERS = f"""
SELECT DISTINCT visitor
FROM (
    SELECT visitor FROM links WHERE {PROJECT} AND _part NOT IN {{links:Array(String)}}
    UNION ALL
    SELECT visitor
    FROM half_hours
    WHERE {PROJECT} AND known AND _part NOT IN {{half_hours:Array(String)}}
)
LIMIT {MOST_NEWER + 1}"""
CHANGED_HALF_HOURS = f"""
SELECT DISTINCT visitor
FROM half_hours
WHERE {PROJECT} AND _part NOT IN {{half_hours:Array(String)}} AND $shared
LIMIT {MOST_NEWER + 1}"""
# What happened without a device lies at the user.
CHANGED_TOUCHES = f"""
SELECT DISTINCT visitor
FROM (
    SELECT visitor FROM links WHERE {PROJECT} AND _part NOT IN {{links:Array(String)}}
    UNION ALL
    SELECT visitor
    FROM half_hours
    WHERE {PROJECT} AND known AND _part NOT IN {{half_hours:Array(String)}}
    UNION ALL
    SELECT visitor
    FROM visitor_touches
    WHERE {PROJECT} AND _part NOT IN {{visitor_touches:Array(String)}}
    UNION ALL
    SELECT sipHash64('user', user_id) AS visitor
    FROM user_touches
    WHERE {PROJECT} AND _part NOT IN {{user_touches:Array(String)}}
)
LIMIT {MOST_NEWER + 1}"""

Part = tuple[str, str, str]  # of which table, its name and its path
Version = tuple[int, int]


class Seen(NamedTuple):
    """What there was of tables when something was made of them. `version`: that as numbers."""

    version: Version
    parts: frozenset[Part]


NOTHING = Seen((-1, 0), frozenset())


class Places(NamedTuple):
    """Where events were: on which devices, and at which users without one."""

    devices: list[str]
    users: list[str]


class PartChanges:
    """What happened in a store since something was looked at."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def version(self, reads: Reads, names: list[str]) -> Version:
        """Of the tables, and how many of these names are no more. Nobody else writes to an
        embedded store."""
        if self._store.is_embedded:
            return self._store.changes, 0
        (row,) = reads.query(VERSION, {"tables": TABLES, "kept_names": names})
        return row["version"], len(names) - row["there"]

    def written(
        self, seen: Seen, version: Version, project_id: str, known: bool = False
    ) -> Places | None:
        """Where in a project there were events since something was seen, or `known` ones; None if
        anything else may have changed."""
        if not self._store.is_embedded:
            return None
        events = self._store.written_since(seen.version[0], version[0])
        if events is None:
            return None
        here = [each for each in events if each.project_id == project_id and each.known >= known]
        devices = {each.anonymous_id for each in here if each.anonymous_id is not None}
        users = {each.user_id or "" for each in here if each.anonymous_id is None}
        if len(devices) + len(users) > MOST_WRITTEN:
            return None
        return Places(sorted(devices), sorted(users))


def parts_now(reads: Reads) -> frozenset[Part]:
    """All parts, and mutations that are under way."""
    rows = reads.query(ALL_PARTS, {"tables": TABLES})
    return frozenset((row["part_of"], row["name"], row["path"]) for row in rows)


def changed_devices(
    sql: str, before: Seen, now: Seen, reads: Reads, params: Params
) -> set[int] | None:
    """Devices in parts that were not there before; None: perhaps any, because rows were changed.
    `sql`: finds them, in tables that it binds lists of parts for."""
    tables = [table for table in STATES if f"{{{table}:" in sql]
    others = {table for table in STATES if table not in tables}
    was, is_now = _without(others, before.parts), _without(others, now.parts)
    if _state(is_now) != _state(was) or is_any_gone(was, is_now):
        return None
    known = {table: [name for of, name, _ in was if of == table] for table in tables}
    rows = reads.query(sql, bound(sql, {**params, **known}))
    return {row["visitor"] for row in rows}


def _without(tables: set[str], parts: frozenset[Part]) -> frozenset[Part]:
    """Those of other tables, and what is done to these."""
    return frozenset(
        part
        for part in parts
        if (part[1].partition(" ")[0] if part[0] == "mutations" else part[0]) not in tables
    )


def is_any_gone(before: frozenset[Part], now: frozenset[Part]) -> bool:
    """Whether a part was dropped: it is not there, nor in one that it was merged into."""
    there: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for table, name, _ in now:
        if table != "mutations":
            partition, first, last, *_ = name.split("_")
            there.setdefault((table, partition), []).append((int(first), int(last)))
    for table, name, _ in before - now:
        if table != "mutations":
            partition, first, last, *_ = name.split("_")
            covering = there.get((table, partition), [])
            if not any(a <= int(first) and int(last) <= z for a, z in covering):
                return True
    return False


def _state(parts: frozenset[Part]) -> set[tuple[str, str]]:
    """What another row than a new one shows in: mutations, the last that was made in a part, which
    is a fifth number in its name, and where a table's parts lie."""
    found = set[tuple[str, str]]()
    for table, name, path in parts:
        if table == "mutations":
            found.add((table, name))
        else:
            numbers = name.split("_")[4:]
            found |= {(table, path.removesuffix(f"{name}/")), *((table, at) for at in numbers)}
    return found
