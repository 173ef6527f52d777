"""`GET /v1/funnel/people`: who got to a step of a funnel, or dropped off before it."""

from collections.abc import Sequence
from typing import Annotated

import msgspec

from threadline.contract.times import format_utc
from threadline.questions.answers import Grouped
from threadline.questions.context import Context
from threadline.questions.cursors import CursorText, read_cursor, write_cursor
from threadline.questions.filters import NONE, plain, refused, split
from threadline.questions.funnel import FunnelAsk, FunnelAsked, understood
from threadline.questions.funnel_groups import grouped_by
from threadline.questions.funnel_slips import slips
from threadline.questions.funnel_steps import MAX_STEPS
from threadline.questions.parameters import Limit
from threadline.questions.people import people
from threadline.questions.warned import Warned, noted
from threadline.store import Row


class FunnelPeopleParams(FunnelAsked, kw_only=True):
    """The funnel's parameters, and which of its people."""

    step: Annotated[
        int, msgspec.Meta(ge=1, le=MAX_STEPS, description="Who got to this step, 1 the first.")
    ]
    dropped: Annotated[
        bool,
        msgspec.Meta(
            description="Instead, who got to the step before and not to this one: of an optional "
            "step, to the last before it that is not."
        ),
    ] = False
    group: (
        Annotated[
            str,
            msgspec.Meta(
                description="Only people of this group: a value for each name in `group_by`, by "
                "commas; `(none)`: absent."
            ),
        ]
        | None
    ) = None
    limit: Limit = 100
    cursor: CursorText | None = None


class FunnelPerson(Grouped, kw_only=True):
    """`user_id` is null of who is nobody's, and `anonymous_id` of users; both are of accounts, whom
    `per=account` lists. `reached_at`: when they did the step; of who dropped off, the one before.
    `first_…`: of their first event."""

    account_id: str | msgspec.UnsetType | None = msgspec.UNSET
    user_id: str | None
    anonymous_id: str | None
    reached_at: str
    first_source: str
    first_medium: str
    first_campaign: str | None
    first_channel: str | None


class FunnelPeople(Warned):
    """Rows: the group's columns and one person each, newest first."""

    stitch: str
    step: str
    rows: list[FunnelPerson]
    next_cursor: str | None


SQL = """
$starts
)
SELECT $groups
    toString(w.person) AS id,
    fromUnixTimestamp64Milli($at, 'UTC') AS reached_at,
    fn.source AS first_source, fn.medium AS first_medium, fn.campaign AS first_campaign,
    fn.channel AS first_channel
FROM $walks AS w
$joins
LEFT ANY JOIN (
    SELECT person, first_touch.traffic_source AS traffic_source FROM first_events
) AS ft ON ft.person = w.person
LEFT ANY JOIN named_sources AS fn ON fn.traffic_source = ft.traffic_source
WHERE $conditions
ORDER BY reached_at DESC, id
LIMIT $limit"""
BEHIND_CURSOR = (
    "(reached_at < {cursor_at:DateTime64(3, 'UTC')}"
    " OR (reached_at = {cursor_at:DateTime64(3, 'UTC')} AND id > {cursor_id:String}))"
)


def ask(context: Context, params: FunnelPeopleParams) -> FunnelPeople:
    """As many people as the funnel counts at this step, or as it loses before it. Raises
    `InvalidParams`, `InvalidGroupBy`."""
    asked = understood(context, params)
    if params.step > len(asked.steps):
        raise refused("step", f"the funnel has {len(asked.steps)} steps")
    if params.dropped and params.step == 1:
        raise refused("step", "nobody drops off before the first step; with dropped=true write 2")
    # Whatever decides who comes after whom; the rest of the funnel decides who is there.
    question = f"funnel people {context.project_id} {params.step} {params.dropped}"
    rows = _people(context, params, asked, question)
    page = rows[: params.limit]
    warnings = []
    if not page:
        passed = asked.steps[: params.step]
        warnings = slips(context, passed, asked.excluded, passed, asked.values, asked.others)
    return FunnelPeople(
        context.resolution.policy,
        asked.text(params.step, params.order),
        grouped_by(FunnelPerson, asked.grouping.names, _named(context, asked, page)),
        write_cursor(question, page[-1], "reached_at", "id") if len(rows) > len(page) else None,
        warnings=noted(warnings),
    )


def _people(
    context: Context, params: FunnelPeopleParams, asked: FunnelAsk, question: str
) -> list[Row]:
    """One row more than wanted, if there are so many."""
    chosen, grouping = asked.walk, asked.grouping
    values = dict(asked.values)
    at, conditions = params.step, [chosen.did(params.step)]
    if params.dropped:
        at = chosen.back(params.step)
        conditions = [chosen.did(at), f"NOT ({chosen.did(params.step)})"]
    if params.group is not None:
        conditions += _of_group(grouping.names, grouping.aliases, params.group, values)
    if params.cursor is not None:
        values |= read_cursor(question, params.cursor)
        conditions.append(BEHIND_CURSOR)
    slots = {
        **chosen.slots,
        **grouping.slots(chosen.first),
        "groups": grouping.selected,
        "at": chosen.at(at),
        "joins": grouping.joins,
        "conditions": " AND ".join(conditions),
        "limit": params.limit + 1,
    }
    return context.ask(f"{chosen.sql}{SQL}", values, slots, grouping.visits(values))


def _of_group(
    names: Sequence[str], aliases: Sequence[str], text: str, values: dict[str, object]
) -> list[str]:
    wanted = list(split(text, ","))
    if not names:
        raise refused("group", "it goes with group_by, which says what the group is of")
    if len(wanted) != len(names):
        many = "one value" if len(names) == 1 else f"{len(names)} values separated by commas"
        raise refused("group", f"write {many}, for {', '.join(names)}; a comma in one is \\,")
    for nth, value in enumerate(wanted, start=1):
        values[f"of_group_{nth}"] = "" if value.strip() == NONE else plain(value)
    return [f"{alias} = {{of_group_{n}:String}}" for n, alias in enumerate(aliases, start=1)]


def _named(context: Context, asked: FunnelAsk, page: list[Row]) -> list[Row]:
    """The people as they go out."""
    who = people(context, [int(row["id"]) for row in page])
    return [
        {
            **asked.grouping.row(row),
            "account_id": person.account_id,
            "user_id": person.user_id,
            "anonymous_id": person.anonymous_id,
            "reached_at": format_utc(row["reached_at"]),
            "first_source": row["first_source"],
            "first_medium": row["first_medium"],
            "first_campaign": row["first_campaign"] or None,
            "first_channel": row["first_channel"] or None,
        }
        for person, row in zip(who, page, strict=True)
    ]
