"""Naming the sources of stored events anew, after rules have changed.

The verdict depends on url and referrer only, and both are stored; without either, on whether a
visitor's agent was seen. Month by month, the visits that another version of the rules has named are
named again; what comes out differently is laid into a table, from which one mutation takes it into
the events' source columns. It marks all it has looked at with the version, so after a crash the
same command goes on where it was. The same mutation mends what older versions made of user agents
(`old_agents`). The first touches that identity keeps are made anew at the end.

What is about to be done is written down first (`store.begin`): that events are named anew, and
before the first of them changes, that first touches have to follow.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from threadline.classify import Site, classify
from threadline.identity import states
from threadline.ingest.old_agents import IS_REWORDED, OFF_PAGE, OLD_WORDS, SENDERS_OWN, words
from threadline.ingest.source_changes import (
    COLUMNS,
    IN_SLICE,
    OUTDATED,
    SourceChanges,
    reach,
    settle,
)
from threadline.ingest.steps import NO_PAGE
from threadline.store import RECLASSIFY, Row, Statements, finish

# Different visits that are in memory at the same time, and changes that one mutation takes over.
SLICE_VISITS = 50_000
MAX_CHANGES = 500_000

MONTHS = f"""
    SELECT _partition_id AS month, count() AS events, uniqCombined(url, referrer) AS visits,
        countIf(is_bot AND {SENDERS_OWN}) AS freed,
        {OLD_WORDS}
    FROM events
    WHERE {OUTDATED}
    GROUP BY month
    ORDER BY month"""

REWORDED = f"""
    SELECT countIf({IS_REWORDED}) AS reworded
    FROM events
    WHERE {OUTDATED} AND _partition_id = {{month:String}}"""

VISITS = f"""
    SELECT url, referrer, {OFF_PAGE} AS off_page, {", ".join(COLUMNS)}, count() AS events
    FROM events
    WHERE {OUTDATED} AND {IN_SLICE}
    GROUP BY url, referrer, off_page, {", ".join(COLUMNS)}"""

# What no longer counts as a bot's is in none of them yet.
ALL_STATES = tuple(state.table for state in states.STATES)
NOWHERE = dict.fromkeys(COLUMNS, "") | dict(
    zip(("source", "medium", "source_confidence", "source_rule_id"), NO_PAGE, strict=True)
)


class TrafficSource(NamedTuple):
    """Where visits come from."""

    source: str
    medium: str


class Outcome(NamedTuple):
    """`events` looked at; how many of them get another source in any part of it; and how many come
    from another traffic source now. `before`, `after`: events by traffic source. `freed`: how many
    were taken for bots' because of the agent of the server that sent them, and count now;
    `reworded`: how many get another word for their device, browser or system."""

    events: int
    changed: int
    moved: int
    before: dict[TrafficSource, int]
    after: dict[TrafficSource, int]
    freed: int = 0
    reworded: int = 0


class _Counts:
    def __init__(self) -> None:
        self.changed = 0
        self.moved = 0
        self.before: Counter[TrafficSource] = Counter()
        self.after: Counter[TrafficSource] = Counter()

    def name_again(self, visits: list[Row], site: Site) -> list[Row]:
        """Count the visits, and return those that are named differently."""
        changes = []
        for visit in visits:
            named = _named(visit, site)
            before = TrafficSource(visit["source"], visit["medium"])
            after = TrafficSource(named["source"], named["medium"])
            self.before[before] += visit["events"]
            self.after[after] += visit["events"]
            if before != after:
                self.moved += visit["events"]
            if named != {name: visit[name] for name in COLUMNS}:
                self.changed += visit["events"]
                key = {name: visit[name] for name in ("url", "referrer", "off_page")}
                changes.append({**key, "changed": True, **named})
        return changes


def _named(visit: Row, site: Site) -> Row:
    """What its columns are to be."""
    if visit["off_page"]:
        return NOWHERE
    # What else it finds, parameters of the link, is in the events' properties already.
    return dict(zip(COLUMNS, classify(visit["url"], visit["referrer"], site), strict=False))


def outdated(store: Statements, project_id: str, site: Site, since_ms: int) -> int:
    """About how many different visits were named by another version."""
    return sum(month["visits"] for month in store.query(MONTHS, _bound(project_id, site, since_ms)))


def reclassify(
    store: Statements,
    project_id: str,
    site: Site,
    since_ms: int,
    write: bool,
    progressed: Callable[[int], None],
    rebuild: Callable[[Sequence[str]], None],
    writing: Callable[[int], None] = lambda parts: None,
) -> Outcome:
    """Name the sources of events since then anew; without `write` only count what would change.

    `progressed` is called with every so many visits, `writing` with the parts of the table that
    are still to be written, again and again; `rebuild` with the states that have to be made anew.
    Raises `StoreError`.
    """
    bound = _bound(project_id, site, since_ms)
    counts = _Counts()
    freed = reworded = 0
    if write:
        settle(store, writing)
    months = store.query(MONTHS, bound)
    changed = SourceChanges(store, writing) if write else None
    if changed and months:
        changed.begin(project_id, since_ms)
    for month in months:
        slices = month["visits"] // SLICE_VISITS + 1
        bound |= {"month": month["month"], "slices": slices, **words(month)}
        freed += month["freed"]
        reworded += store.query(REWORDED, bound)[0]["reworded"]
        if changed and month["freed"]:
            changed.have_follow(ALL_STATES)
        changes: list[Row] = []
        begun = 0
        for number in range(slices):
            visits = store.query(VISITS, {**bound, "first": number, "last": number})
            changes += counts.name_again(visits, site)
            progressed(len(visits))
            if changed and (len(changes) > MAX_CHANGES or number == slices - 1):
                changed.write(changes, {**bound, "first": begun, "last": number})
                changes, begun = [], number + 1
    if changed:
        changed.end(rebuild)
        finish(store, RECLASSIFY, project_id, reach(since_ms))
    before, after = dict(counts.before), dict(counts.after)
    total = counts.before.total()
    return Outcome(total, counts.changed, counts.moved, before, after, freed, reworded)


def _bound(project_id: str, site: Site, since_ms: int) -> dict[str, object]:
    return {"project_id": project_id, "version": site.version, "since_ms": since_ms}
