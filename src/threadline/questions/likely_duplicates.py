"""`GET /v1/identity/likely-duplicates`: who may be the same person under several ids?"""

import msgspec

from threadline.contract.times import format_utc
from threadline.identity.stitch import OF_USERS, WHERE_USERS_LIE
from threadline.questions.context import Context
from threadline.questions.cursors import CursorText, question_of, read_number, write_number
from threadline.questions.dimensions import TRAITS
from threadline.questions.parameters import Limit, Stitched
from threadline.questions.user_list import DEVICE_COUNTS
from threadline.questions.warned import Warned
from threadline.store import Row

EMAIL = f"{TRAITS}email"
# Of one address. More of them are no person with a few accounts, but somebody's test.
MOST_USERS = 20


class LikelyDuplicatesParams(Stitched, kw_only=True):
    """Under which policy events are counted, and how many addresses."""

    # Of each user the events are counted, wherever they lie.
    limit: Limit = 25
    cursor: CursorText | None = None


class LikelyDuplicate(msgspec.Struct):
    """One of the users. `events`: under the policy; `first_seen` and `last_seen`: of these."""

    user_id: str
    events: int
    devices: int
    first_seen: str
    last_seen: str


class LikelySamePerson(msgspec.Struct):
    """Users whose trait `email`, as it was said last, is the same, case and spaces apart. `count`:
    how many; `users`: those seen first, no more than 20 of them."""

    email: str
    count: int
    users: list[LikelyDuplicate]


class LikelyDuplicates(Warned):
    """Nobody declared them one person by an alias. The addresses with most users come first."""

    rows: list[LikelySamePerson]
    next_cursor: str | None
    stitch: str


# Whatever has no @ is no address but a word for none.
ADDRESSES = f"""
WITH said AS (
    SELECT person, lowerUTF8(replaceRegexpAll(value, '\\\\s+', '')) AS email
    FROM $trait
), same AS (
    SELECT email, groupUniqArray(person) AS persons
    FROM said
    WHERE position(email, '@') > 0
    GROUP BY email
    HAVING length(persons) > 1
), named AS (
    SELECT s.email AS email, t.user_id AS user_id, t.known_since AS known_since
    FROM (
        SELECT user_id, sipHash64('user', user_id) AS person, min(known_since) AS known_since
        FROM tagged_touches
        GROUP BY user_id
    ) AS t
    INNER JOIN (
        SELECT email, arrayJoin(persons) AS person FROM same
    ) AS s ON s.person = t.person
)
SELECT email, count() AS number, min(user_id) AS least,
    arrayMap(
        one -> one.2, arraySlice(arraySort(groupArray((known_since, user_id))), 1, {MOST_USERS})
    ) AS users
FROM named
GROUP BY email
HAVING number > 1 $behind
ORDER BY number DESC, least
LIMIT $limit"""
BEHIND = (
    "AND (number < {cursor_number:Float64}"
    " OR (number = {cursor_number:Float64} AND least > {cursor_id:String}))"
)

WHAT_THEY_HAVE = f"""
WITH considered AS (
    SELECT e.visitor AS visitor, e.user_hash AS user_hash, e.timestamp AS timestamp,
        e.user_id AS user_id
    FROM counted_events AS e
    WHERE e.{WHERE_USERS_LIE}
)
SELECT owner AS user_id, count() AS events, min(timestamp) AS first_seen,
    max(timestamp) AS last_seen
FROM owned_events
WHERE owner IN {{user_ids:Array(String)}}
GROUP BY owner"""


def ask(context: Context, params: LikelyDuplicatesParams) -> LikelyDuplicates:
    """Raises `InvalidParams` for a cursor of another question."""
    question = question_of("likely_duplicates", context.project_id, params)
    trait, _ = context.facts.of(EMAIL)
    behind = params.cursor is not None
    values = read_number(question, params.cursor) if params.cursor is not None else {}
    slots = {"trait": trait, "behind": BEHIND if behind else "", "limit": params.limit + 1}
    rows = context.ask(ADDRESSES, values, slots)
    page, cursor = rows[: params.limit], None
    if len(rows) > params.limit:
        cursor = write_number(question, page[-1]["number"], page[-1]["least"])
    return LikelyDuplicates(_shown(context, page), cursor, context.resolution.policy)


def _shown(context: Context, page: list[Row]) -> list[LikelySamePerson]:
    if not page:
        return []
    users = [user for row in page for user in row["users"]]
    values = {"user_ids": context.resolution.same_people(users)}
    near = f"r.{OF_USERS}"
    have, counted = context.reading.query_all(
        context.query(WHAT_THEY_HAVE, values, near=near),
        context.query(DEVICE_COUNTS, values, near=near),
    )
    devices = {row["user_id"]: row["devices"] for row in counted}
    known = {
        row["user_id"]: LikelyDuplicate(
            row["user_id"],
            row["events"],
            devices.get(row["user_id"], 0),
            format_utc(row["first_seen"]),
            format_utc(row["last_seen"]),
        )
        for row in have
    }
    # Somebody may be forgotten between the two.
    return [
        LikelySamePerson(
            row["email"], row["number"], [known[user] for user in row["users"] if user in known]
        )
        for row in page
    ]
