"""`GET /v1/accounts/{account_id}`: one account, its traits, its people and what brought it."""

from typing import Annotated

import msgspec

from threadline.contract.errors import NotFound
from threadline.contract.times import format_utc
from threadline.identity.resolution import PROJECT
from threadline.questions.account_list import ONE, AccountRow, account_rows, listed
from threadline.questions.answers import Touch
from threadline.questions.context import Context
from threadline.questions.parameters import Limit, Stitched
from threadline.questions.traits import latest_said
from threadline.questions.warned import AnswerWarning, Warned, cut_off, noted
from threadline.store import Row
from threadline.store.states import ACCOUNT_ID

MAX_LIMIT = 1000


class AccountParams(Stitched, kw_only=True):
    """The policy that decides whose events count for the account."""

    account_id: Annotated[str, msgspec.Meta(min_length=1, description="Its id, percent-encoded.")]
    limit: Limit = 100


class AccountMember(msgspec.Struct):
    """One of its people: a user, else a visitor whom nobody knows. When they were seen in it."""

    user_id: str | None
    anonymous_id: str | None
    first_seen: str
    last_seen: str


class Account(Warned):
    """One account. `traits`: of each the latest value that a group call said. `people`: how many
    there are; `members`: those seen in it last, as many as `limit`."""

    account_id: str
    stitch: str
    traits: dict[str, msgspec.Raw]
    people: int
    events: int
    first_seen: str
    last_seen: str
    first_touch: Touch
    members: list[AccountMember]


MEMBERS = """
SELECT p.person AS person, u.user_id AS user_id, p.first_seen AS first_seen,
    p.last_seen AS last_seen
FROM account_people AS p
LEFT ANY JOIN (
    SELECT sipHash64('user', user_id) AS person, user_id FROM tagged_touches
) AS u ON u.person = p.person
WHERE p.account_id = {account_id:String}
ORDER BY last_seen DESC, person
LIMIT {limit:UInt32}"""
VISITORS = f"""
SELECT visitor, any(anonymous_id) AS anonymous_id
FROM events
WHERE {PROJECT} AND visitor IN {{visitors:Array(UInt64)}}
GROUP BY visitor"""
# Of each trait the call that said it last, newest first, and the last of a browser's: what that
# says beside traits has the names of some.
TRAITS = f"""
WITH said AS (
    SELECT e.timestamp AS timestamp, e.event_id AS event_id, e.properties AS properties,
        JSONExtractKeys(e.properties) AS names
    FROM counted_events AS e
    WHERE e.event_name = '$$group' AND {ACCOUNT_ID.replace("$", "$$")} = {{account_id:String}}
        AND e.visitor IN (
            SELECT visitor FROM account_sightings WHERE account_id = {{account_id:String}}
        )
){latest_said("names", ", hasAny(names, ['group_id', 'viewport'])")}"""
# What such an event says beside traits; the last three of the browser that sent it, where a library
# of Segment's spec did, or our own in a page.
NO_TRAITS = ("account_id", "group_id")
OF_BROWSERS = ("language", "timezone", "viewport")


def ask(context: Context, params: AccountParams) -> Account:
    """One account. Raises `NotFound` if nobody was seen in it."""
    values: dict[str, object] = {"account_id": params.account_id, "limit": params.limit}
    found: list[AccountRow] = account_rows(context, listed(context, [ONE], values))
    if not found:
        raise NotFound(f"Nobody was seen in an account {params.account_id!r}.")
    (row,) = found
    groups, members = context.reading.query_all(
        context.query(TRAITS, values), context.query(MEMBERS, values)
    )
    warnings: list[AnswerWarning] = []
    if row.people > len(members):
        warnings.append(cut_off(params.limit, MAX_LIMIT))
    return Account(
        row.account_id,
        context.resolution.policy,
        _traits(groups),
        row.people,
        row.events,
        row.first_seen,
        row.last_seen,
        row.first_touch,
        _members(context, members),
        warnings=noted(warnings),
    )


def _members(context: Context, rows: list[Row]) -> list[AccountMember]:
    unknown = [row["person"] for row in rows if not row["user_id"]]
    visitors: dict[int, str] = {}
    if unknown:
        found = context.ask(VISITORS, {"visitors": unknown})
        visitors = {row["visitor"]: row["anonymous_id"] for row in found}
    return [
        AccountMember(
            row["user_id"] or None,
            visitors.get(row["person"]),
            format_utc(row["first_seen"]),
            format_utc(row["last_seen"]),
        )
        for row in rows
    ]


def _traits(groups: list[Row]) -> dict[str, msgspec.Raw]:
    merged: dict[str, msgspec.Raw] = {}
    for row in reversed(groups):
        said = msgspec.json.decode(row["properties"], type=dict[str, msgspec.Raw])
        from_browser = "group_id" in said or "viewport" in said
        besides = (*NO_TRAITS, *(OF_BROWSERS if from_browser else ()))
        merged |= {name: value for name, value in said.items() if name not in besides}
    return merged
