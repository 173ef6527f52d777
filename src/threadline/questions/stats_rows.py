"""Which rows stats count: events, the half hours in which visitors were active, or visits."""

from collections.abc import Mapping, Sequence

from threadline.identity.activity import Told, active
from threadline.identity.compose import fill, where
from threadline.questions.context import Context
from threadline.questions.finished import also_nobodys
from threadline.questions.intervals import bucket, differ
from threadline.questions.scoped import TOLD_TO_JOIN, Scoped
from threadline.questions.stats_metrics import METRICS
from threadline.questions.stats_shapes import StatsParams
from threadline.questions.stats_visits import in_visits, visits_tell
from threadline.store.states import HALF_HOUR_MS

EVENTS = """
SELECT e.visitor AS visitor, e.user_hash AS user_hash, e.timestamp AS timestamp$columns
FROM counted_events AS e
$where"""


def looked_at_by(
    context: Context,
    params: StatsParams,
    by: Scoped,
    values: dict[str, object],
    conditions: list[str],
    divided: bool,
) -> tuple[dict[str, object], Scoped, Sequence[str]]:
    """Slots for the rows that are counted, the groups over these, and what they take of visits
    besides."""
    metric, also = METRICS[params.metric], also_nobodys(divided)
    of_people = by.of_people or context.narrowing.of_people
    slots: dict[str, object] = {
        "relation": "person_events" if of_people else metric.relation,
        "joins": by.joins,
    }
    if not _half_hours_tell(context, params, by):
        columns = [*(f"{sql} AS {name}" for name, sql in by.columns.items()), *metric.columns]
        each = "".join(f",\n    {column}" for column in columns)
        considered = fill(EVENTS, {"columns": each, "where": where(conditions)})
        return {**slots, "considered": considered}, by, ()
    if visits_tell(context, params, by):
        of_visits, by = in_visits(params, by, values, also)
        return {**slots, **of_visits}, by, also
    considered, by = _active(context, params, by, values)
    return {**slots, "considered": considered}, by, ()


def _half_hours_tell(context: Context, params: StatsParams, by: Scoped) -> bool:
    """Whether it is enough to know in which half hours people did anything, whatever it was: in
    groups of people, or of visits, which begin with a half hour unless they time out within one."""
    at_all = params.event is None and not context.narrowing.events
    of_events = by.own.keys() - {"bucket"}
    are_whole = "visit" not in by.scopes or context.visit_timeout_ms >= HALF_HOUR_MS
    is_told = params.metric == "persons" and params.interval != "hour"
    return is_told and at_all and not of_events and are_whole


def _active(
    context: Context, params: StatsParams, by: Scoped, values: dict[str, object]
) -> tuple[str, Scoped]:
    """SQL for `considered` by half hours, and the groups over that."""
    changes = [differ(params.kind)] if params.kind else []
    more: Mapping[str, Told] = {}
    if "visit" in by.scopes:
        # What happens on no page keeps its own source, which half hours do not have.
        changes.append("page = 0")
        more = TOLD_TO_JOIN
    if params.kind:
        by = by._replace(joined={**by.joined, "bucket": bucket(params.kind, "p.timestamp")})
    return active(context.resolution, values, changes, more=more), by
