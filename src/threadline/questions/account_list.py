"""`GET /v1/accounts`: which accounts there are, how many people they have, what brought them."""

from collections.abc import Sequence
from string import Template
from typing import Annotated, Literal

import msgspec

from threadline.contract.times import format_utc
from threadline.identity.compose import where
from threadline.questions.answers import FORGOTTEN, Touch, touch_row
from threadline.questions.context import Context
from threadline.questions.cursors import CursorText, read_number, write_number
from threadline.questions.filters import Filtered
from threadline.questions.parameters import Limit, between
from threadline.questions.user_list import TOUCH_DETAILS
from threadline.questions.warned import AnswerWarning, Warned, noted
from threadline.store import Row
from threadline.store.states import ACCOUNT_ID


class AccountsParams(Filtered, kw_only=True):
    """`from` and `to` speak of the first touch, filters of the people of accounts."""

    search: (
        Annotated[
            str,
            msgspec.Meta(
                min_length=1,
                max_length=200,
                description="Accounts with this text in their id or their traits; case does not "
                "matter.",
            ),
        ]
        | None
    ) = None
    order: Annotated[
        Literal[
            "-last_seen", "last_seen", "-first_seen", "first_seen", "-people", "people",
            "-events", "events",
        ],
        msgspec.Meta(description="With `-`, the latest or greatest come first."),
    ] = "-last_seen"  # fmt: skip
    limit: Limit = 100
    cursor: CursorText | None = None
    format: Annotated[
        Literal["json", "ndjson", "csv"],
        msgspec.Meta(
            description="For ndjson and csv the cursor is in the header `Threadline-Next-Cursor`."
        ),
    ] = "json"


class AccountRow(msgspec.Struct):
    """`people`: who was seen in it. `first_seen`, `last_seen`, `events`: of what they did for it;
    `first_touch`: the first of all that."""

    account_id: str
    people: int
    events: int
    first_seen: str
    last_seen: str
    first_touch: Touch


class Accounts(Warned):
    """In the order that was asked for; else those seen last come first."""

    rows: list[AccountRow]
    next_cursor: str | None
    stitch: str


# What people did counts for the account that it is of (see `per_account`).
SQL = """
WITH considered AS (
    SELECT s.visitor AS visitor, s.user_hash AS user_hash, s.ended AS timestamp,
        s.began AS began, s.events AS events
    FROM stretches AS s
), seen AS (
    SELECT person, min(began) AS first_seen, max(timestamp) AS last_seen, sum(events) AS events
    FROM person_events
    GROUP BY person
), members AS (
    SELECT p.account AS account, any(p.account_id) AS account_id, uniqExact(p.person) AS people
    FROM account_people AS p
    $members
    GROUP BY p.account
), listed AS (
    SELECT m.account_id AS account_id, m.people AS people, s.events AS events,
        s.first_seen AS first_seen, s.last_seen AS last_seen, f.first_touch AS first_touch,
        n.source AS source, n.medium AS medium, n.campaign AS campaign, n.channel AS channel,
        $order AS order_number
    FROM members AS m
    INNER JOIN seen AS s ON s.person = m.account
    INNER JOIN first_events AS f ON f.person = m.account
    LEFT ANY JOIN named_sources AS n ON n.traffic_source = f.first_touch.traffic_source
)
SELECT *
FROM listed
$where
ORDER BY order_number $direction, account_id
LIMIT $limit"""
SEARCH = f"""(
        positionCaseInsensitiveUTF8(p.account_id, {{search:String}}) > 0
        OR p.account_id IN (
            SELECT {ACCOUNT_ID}
            FROM counted_events AS e
            WHERE e.event_name = '$group'
                AND positionCaseInsensitiveUTF8(e.properties, {{search:String}}) > 0
        )
    )"""
BEHIND_CURSOR = Template(
    "(order_number $side {cursor_number:Float64} OR (order_number = {cursor_number:Float64}"
    " AND account_id > {cursor_id:String}))"
)
ASKED_FOR = "p.person IN (SELECT person FROM asked_people)"
ONE = "p.account_id = {account_id:String}"
ORDERS = {
    "last_seen": "toUnixTimestamp64Milli(last_seen)",
    "first_seen": "toUnixTimestamp64Milli(first_seen)",
    "people": "toInt64(people)",
    "events": "toInt64(events)",
}


def ask(context: Context, params: AccountsParams) -> Accounts:
    """Accounts with people who pass the filters. Raises `InvalidParams`, also for a cursor of
    another question."""
    question = f"accounts {context.project_id} {params.order}"
    values: dict[str, object] = {}
    members = []
    if params.search is not None:
        values["search"] = params.search
        members.append(SEARCH)
    conditions = between(params, values, "first_touch.timestamp")
    narrowed = bool(params.search or params.filters or conditions)
    if params.cursor is not None:
        values |= read_number(question, params.cursor)
        side = "<" if params.order.startswith("-") else ">"
        conditions.append(BEHIND_CURSOR.substitute(side=side))
    rows = listed(context, members, values, params.order, conditions, params.limit + 1)
    page = rows[: params.limit]
    warnings = [] if page or narrowed else [no_accounts()]
    return Accounts(
        account_rows(context, page),
        write_number(question, page[-1]["order_number"], page[-1]["account_id"])
        if len(rows) > params.limit
        else None,
        context.resolution.policy,
        warnings=noted(warnings),
    )


def listed(
    context: Context,
    members: list[str],
    values: dict[str, object],
    order: str = "last_seen",
    conditions: Sequence[str] = (),
    limit: int = 1,
) -> list[Row]:
    """Accounts of which any `account_people` AS `p` pass the conditions `members`, and which
    themselves pass `conditions`."""
    asked_for = [ASKED_FOR] if context.narrowing.of_people else []
    slots = {
        "members": where([*members, *asked_for]),
        "order": ORDERS[order.removeprefix("-")],
        "direction": "DESC" if order.startswith("-") else "",
        "where": where(conditions),
        "limit": limit,
    }
    return context.ask(SQL, values, slots)


def account_rows(context: Context, page: list[Row]) -> list[AccountRow]:
    """With the details of their first touches, which the states do not hold."""
    if not page:
        return []
    touches = [row["first_touch"] for row in page]
    values = {
        "visitors": [touch["visitor"] for touch in touches],
        "event_ids": [touch["event_id"] for touch in touches],
    }
    details = {row["event_id"]: row for row in context.ask(TOUCH_DETAILS, values)}
    return [_row(row, details.get(row["first_touch"]["event_id"], {})) for row in page]


def _row(row: Row, detail: Row) -> AccountRow:
    return AccountRow(
        row["account_id"],
        row["people"],
        row["events"],
        format_utc(row["first_seen"]),
        format_utc(row["last_seen"]),
        touch_row({**FORGOTTEN, **row, **row["first_touch"], **detail}),
    )


def no_accounts() -> AnswerWarning:
    """That there are none at all."""
    message = (
        "No event of this project says an account; send group calls, or account_id among the "
        "properties of events."
    )
    return AnswerWarning("no_accounts", None, message)
