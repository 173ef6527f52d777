"""What naming the sources of stored events anew changes, as people and programs see it."""

import msgspec

from threadline.classify import Site
from threadline.contract.errors import InvalidPayload
from threadline.ingest.reclassify import Outcome, outdated, reclassify
from threadline.store import Statements

# So many different visits are named in some seconds; whoever waits for more wants a progress bar.
MOST_VISITS = 200_000


class TrafficSourceChange(msgspec.Struct):
    """Events that come from here, before and after."""

    source: str
    medium: str
    before: int
    after: int


class DryRun(msgspec.Struct):
    """What would change; nothing was. `events`: named by other rules than those of now. `changed`:
    how many of them would get another source in any part of it, `moved`: another source or medium.
    `freed`: how many were taken for bots' because of the agent of the server that sent them;
    `reworded`: how many would get another word for device, browser or system. `rows`: by traffic
    source, those that change most first."""

    events: int
    changed: int
    moved: int
    freed: int
    reworded: int
    rows: list[TrafficSourceChange]
    summary: str
    dry_run: bool = True


def dry_run(store: Statements, project_id: str, site: Site, since_ms: int) -> DryRun:
    """Raises `InvalidPayload` where there is too much to look at, and `StoreError`."""
    visits = outdated(store, project_id, site, since_ms)
    if visits > MOST_VISITS:
        message = (
            f"about {visits:,} different visits would be looked at; give a later since, or run "
            "`threadline reclassify --dry-run`"
        )
        raise InvalidPayload(f"since: {message}.", fieldErrors={"since": [message]})
    outcome = reclassify(
        store, project_id, site, since_ms, False, lambda visits: None, lambda tables: None
    )
    return DryRun(
        outcome.events,
        outcome.changed,
        outcome.moved,
        outcome.freed,
        outcome.reworded,
        by_source(outcome),
        summary(outcome, would=True),
    )


def by_source(outcome: Outcome) -> list[TrafficSourceChange]:
    """All traffic sources, those that change most first."""
    rows = [
        TrafficSourceChange(*at, outcome.before.get(at, 0), outcome.after.get(at, 0))
        for at in outcome.before.keys() | outcome.after.keys()
    ]
    return sorted(rows, key=lambda row: (-abs(row.after - row.before), row.source, row.medium))


def summary(outcome: Outcome, would: bool) -> str:
    """In one or two sentences."""
    if not outcome.events:
        return "Nothing to do: all events were named by the rules of today."
    gets = "would get" if would else "got"
    return (
        f"{outcome.events:,} events were named by other rules. {outcome.changed:,} {gets} another"
        f" source, rule or campaign, {outcome.moved:,} of them another source or medium."
    )
