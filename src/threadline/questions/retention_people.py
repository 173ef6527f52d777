"""`GET /v1/retention/people`: who is behind one number of `retention`?"""

from typing import Annotated
from zoneinfo import ZoneInfo

import msgspec

from threadline.contract.times import Timestamp, format_ms, format_utc
from threadline.questions.cohorts import COHORTS, IS_BACK, Cohorts, CohortsRequest, begun, read
from threadline.questions.context import Context
from threadline.questions.cursors import CursorText, question_of, read_cursor, write_cursor
from threadline.questions.filters import refused
from threadline.questions.intervals import start
from threadline.questions.parameters import Limit
from threadline.questions.people import people
from threadline.questions.per_account import Per
from threadline.questions.warned import AnswerWarning, Warned, noted, unknown_events
from threadline.store import bound_ms


class RetentionPeopleParams(Cohorts, kw_only=True):
    """The parameters of the table, and which of its numbers."""

    cohort_start: Annotated[
        Timestamp, msgspec.Meta(description="`cohort` of the row, or any time of that interval.")
    ]
    period: Annotated[
        int, msgspec.Meta(ge=0, le=59, description="Which interval, 0 being the cohort's own.")
    ]
    returned: Annotated[
        bool, msgspec.Meta(description="Those who were back; `false`: those who were not.")
    ] = True
    per: Per = "person"
    limit: Limit = 100
    cursor: CursorText | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.cohort_start = self.cohort_start.in_zone(ZoneInfo(self.tz))


class CohortPerson(msgspec.Struct):
    """A user, or a visitor who is nobody's; with `per=account` an account. `began`: the event that
    brought them into the cohort."""

    user_id: str | None
    anonymous_id: str | None
    began: str
    account_id: str | msgspec.UnsetType | None = msgspec.UNSET


class RetentionPeople(Warned):
    """`persons`: how many there are, as the table says. Who began first comes first."""

    stitch: str
    cohort: str
    period: int
    returned: bool
    persons: int
    rows: list[CohortPerson]
    next_cursor: str | None


SQL = f"""{COHORTS}, cell AS (
    SELECT person, began, count() OVER () AS persons
    FROM cohorts
    WHERE cohort = {{cohort_start:DateTime64(3, 'UTC')}} AND $is_asked_for
)
SELECT person, began, persons
FROM cell
$behind
ORDER BY began, person
LIMIT $limit"""
BEHIND = "(began, person) > ({cursor_at:DateTime64(3, 'UTC')}, toUInt64({cursor_id:String}))"


def ask(context: Context, params: RetentionPeopleParams) -> RetentionPeople:
    """The people of a cohort who came back in an interval, or who did not. Raises
    `InvalidParams`."""
    asked = read(context, params)
    cohort_ms = start(params.kind, params.cohort_start.ms, ZoneInfo(params.tz))
    if params.period >= begun(params, context.now_ms, cohort_ms):
        raise refused("period", "this interval has not begun, so nobody knows who will be back")
    question = question_of("retention_people", context.project_id, params)
    values = {**asked.values, "cohort_start": bound_ms(cohort_ms), "period": params.period}
    behind = ""
    if params.cursor is not None:
        values |= read_cursor(question, params.cursor)
        behind = f"WHERE {BEHIND}"
    is_back = IS_BACK[params.mode].substitute(k="{period:UInt16}")
    slots = {
        **asked.slots,
        "columns": "people.person AS person, began, ",
        "is_asked_for": is_back if params.returned else f"NOT {is_back}",
        "behind": behind,
        "limit": params.limit + 1,
    }
    found = context.ask(SQL, values, slots)
    page = found[: params.limit]
    who = people(context, [row["person"] for row in page])
    more = len(found) > params.limit
    return RetentionPeople(
        stitch=context.resolution.policy,
        cohort=format_ms(cohort_ms),
        period=params.period,
        returned=params.returned,
        persons=page[0]["persons"] if page else 0,
        rows=[
            CohortPerson(
                person.user_id, person.anonymous_id, format_utc(row["began"]), person.account_id
            )
            for person, row in zip(who, page, strict=True)
        ],
        next_cursor=write_cursor(question, page[-1], "began", "person") if more else None,
        warnings=noted([] if page else _unknown(context, asked)),
    )


def _unknown(context: Context, asked: CohortsRequest) -> list[AnswerWarning]:
    named = {"cohort": asked.begins, "event": asked.returns}
    return unknown_events(
        context, {name: [event.event] for name, event in named.items() if event is not None}
    )
