"""`GET /v1/visits`: how many visits, how long, and where they came from."""

from typing import Annotated, NamedTuple

import msgspec

from threadline.identity.compose import where
from threadline.questions.answers import Group, grouped_rows
from threadline.questions.compare import compared
from threadline.questions.compared_rows import ComparedRows
from threadline.questions.context import Context
from threadline.questions.finished import COUNT, also_nobodys, counting, mean, people, summed
from threadline.questions.ordering import order_by
from threadline.questions.parameters import any_dimension, between, in_time
from threadline.questions.scoped import join_facts, person_sql, read_dimensions
from threadline.questions.series import (
    OverTime,
    Series,
    Timed,
    kept,
    newest_first,
    noted_in,
    over_time,
)
from threadline.questions.traffic_sources import GROUPS
from threadline.questions.warned import noted
from threadline.store import Row

PATHS = ("entry_path", "exit_path")


class VisitsParams(OverTime, kw_only=True):
    """`from` and `to` speak of when visits begin."""

    group_by: Annotated[
        str,
        any_dimension(*GROUPS, *PATHS, of="Of the visit, or of whose it is, not of events: "),
    ] = ""


class VisitsRow(Timed, kw_only=True):
    """`sessions`: the same as `visits`, and deprecated; so is `events_per_session`.
    `mean_seconds`: from a visit's first event to its last. `bounce_share`: visits of one page view
    and nothing else that the visitor did, shorter than ten seconds."""

    entry_path: Group = msgspec.UNSET
    exit_path: Group = msgspec.UNSET
    visits: int
    sessions: int
    persons: int
    events_per_visit: float
    events_per_session: float
    page_views_per_visit: float
    mean_seconds: float
    bounce_share: float


class Visits(Series):
    """Rows: `bucket` (start of the interval; `time` is the same, and deprecated), the group's
    columns, visits, persons, events_per_visit, page_views_per_visit, mean_seconds and bounce_share.
    A visit's source is that of its first touch, else direct. In order of time, then most visits
    first. A series has every interval from `from`, else the first with visits, to now, or `to`, and
    the one that is running is `partial`; where there are more rows than `limit`, the newest are
    here. Of other answers that are `truncated`, `other` is how many visits the rows left out have.
    `visit_timeout_minutes`: the pause that ends a visit."""

    stitch: str
    visit_timeout_minutes: int
    rows: list[VisitsRow]
    other: dict[str, int] | msgspec.UnsetType = msgspec.UNSET


SQL = f"""
WITH begun AS (
    SELECT person, fromUnixTimestamp64Milli(started, 'UTC') AS begins, ended - started AS took_ms,
        events, page_views, actions$columns
    FROM visits
    $narrowed
)$finished{COUNT}
$having
ORDER BY $order
LIMIT $limit"""
MEASURED = """$visits AS visits, visits AS sessions, $persons AS persons,
    $events AS events_per_visit, events_per_visit AS events_per_session,
    $page_views AS page_views_per_visit, $took_ms / 1000 AS mean_seconds,
    $bounced / visits AS bounce_share"""
FIGURES = {
    "visits": summed("visits", "count()"),
    "events": mean("events", "events"),
    "page_views": mean("page_views", "page_views"),
    "took_ms": mean("took_ms", "took_ms"),
    "bounced": summed("bounced", "countIf(page_views = 1 AND actions = 0 AND took_ms < 10000)"),
}

# Where the visit came from, by name.
NAMED = "LEFT ANY JOIN named_sources AS n ON n.traffic_source = v.traffic_source"
NEEDED = ("events", "page_views", "actions")
MEASURES = (
    "visits",
    "persons",
    "events_per_visit",
    "page_views_per_visit",
    "mean_seconds",
    "bounce_share",
)
ALSO = ("sessions", "events_per_session")
EMPTY = dict.fromkeys((*MEASURES, *ALSO), 0)
# Of `begun`, whose columns are others.
IS_BOUNCE = "toBool(page_views = 1 AND actions = 0 AND took_ms < 10000)"


class By(NamedTuple):
    """`groups`: SQL of the columns to group by. `titles`: what some are called in the answer.
    `paths`: which of these visits need. `by_source`: and where they came from. `facts`: what is
    joined of people."""

    groups: dict[str, str]
    titles: dict[str, str]
    paths: list[str]
    by_source: bool
    facts: list[str]


@compared(ComparedRows(VisitsRow, MEASURES, ALSO))
def ask(context: Context, params: VisitsParams) -> Visits:
    """Visits by where they came from, or began and ended, or by whose they are. Raises
    `InvalidGroupBy`, `InvalidParams`."""
    by = _by(context, params)
    rows = _rows(context, params, by)
    groups = [name for name in by.groups if name != "bucket"]
    found = kept(context, params, rows, groups, EMPTY)
    answer = Visits(
        context.resolution.policy,
        context.visit_timeout_ms // 60_000,
        grouped_rows(VisitsRow, found.rows, by.titles),
        truncated=found.truncated,
        warnings=noted(found.warnings),
    )
    answer.annotations = noted_in(context, params, answer.rows)
    if found.is_cut and params.kind is None:
        every = _rows(context, params, By({}, {}, [], False, []))
        answer.other = {"visits": every[0]["visits"] - sum(row["visits"] for row in found.rows)}
    return answer


def _by(context: Context, params: VisitsParams) -> By:
    by = By({}, {}, [], False, [])
    for group in read_dimensions(params.group_by, (*GROUPS, *PATHS), ("visit", "person")):
        part = group.removeprefix("visit.")
        name = group
        if group not in (*GROUPS, *PATHS):
            name = f"group_{len(by.groups) + 1}"
            by.titles[name] = group
        if part in GROUPS:
            by.groups[name] = f"n.{part}"
            by = by._replace(by_source=True)
        elif part in PATHS:
            by.groups[name] = f"v.{part}"
            by.paths.append(part)
        elif part == "bounce":
            by.groups[name] = IS_BOUNCE
        else:
            relation, by.groups[name] = person_sql(group, context.facts)
            by.facts.append(relation)
    return by._replace(groups=over_time(params, "begins", by.groups))


def _rows(context: Context, params: VisitsParams, by: By) -> list[Row]:
    values: dict[str, object] = {"tz": params.tz}
    paths = list(dict.fromkeys(by.paths))
    names = [name for name in by.groups if name != "bucket"]
    columns = {by.titles.get(name, name): name for name in by.groups}
    columns |= {name: name for name in (*MEASURES, *ALSO)}
    order = order_by(params.order if by.groups else "", columns, ["visits DESC", *names])
    divided = context.is_divided and not by.facts
    needed = [*paths, *also_nobodys(divided)]
    rows = [
        "begun AS v",
        NAMED if by.by_source else "",
        *join_facts(list(dict.fromkeys(by.facts)), "v"),
    ]
    slots = {
        "narrowed": where(context.narrowing.visits),
        "columns": "".join(f", {name}" for name in needed)
        + (", arrival.2 AS traffic_source" if by.by_source else ""),
        "having": "" if by.groups else "HAVING visits > 0",
        "order": newest_first(by.groups, *order),
        "limit": params.most + 1,
        **counting(
            divided,
            [*by.groups],
            "".join(f"{expression} AS {name}, " for name, expression in by.groups.items()),
            MEASURED,
            {**FIGURES, "persons": people("persons", "v." if by.facts else "")},
            "\n".join([*filter(None, rows), where(between(params, values, "begins"))]).strip(),
        ),
    }
    needed = [*NEEDED, *needed, *(["arrival"] if by.by_source else [])]
    return context.ask(SQL, values, slots, visits=in_time(tuple(needed), values))
