"""`GET /v1/identity/suspicious`: users on unusually many devices, devices of unusually many users.

Behind one is mostly a mistake in tracking: an id that stands for nobody, a server that sends all
its events with one device's id, a test account that everybody uses.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec

from threadline.contract.times import format_utc
from threadline.identity.stitch import OF_USERS
from threadline.questions.context import Context
from threadline.questions.cursors import CursorText, question_of, read_number, write_number
from threadline.questions.parameters import Limit, Stitched
from threadline.questions.warned import Warned
from threadline.store import Row

# Where nothing is asked for, unusual is more than so many times the median: a family shares a
# tablet, and browsers forget who they were.
TIMES_DEVICES, TIMES_USERS = 10, 5
EXAMPLES = 5

Over = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]


class SuspiciousParams(Stitched, kw_only=True):
    """From how many on it is unusual."""

    kind: Annotated[
        Literal["all", "user", "device"],
        msgspec.Meta(description="Users on many devices, devices of many users, or both."),
    ] = "all"
    devices_over: (
        Annotated[
            Over,
            msgspec.Meta(
                description="Users seen on more devices than this. Default: "
                f"{TIMES_DEVICES} times as many as the median user."
            ),
        ]
        | None
    ) = None
    users_over: (
        Annotated[
            Over,
            msgspec.Meta(
                description="Devices that more users than this were seen on. Default: "
                f"{TIMES_USERS} times as many as on the median device."
            ),
        ]
        | None
    ) = None
    limit: Limit = 100
    cursor: CursorText | None = None


class SuspiciousRow(msgspec.Struct):
    """A user and how many devices, or a device and how many users. `id`: of the user, or of the
    device. `examples`: the last few of those devices or users."""

    kind: Literal["user", "device"]
    id: str
    count: int
    first_seen: str
    last_seen: str
    examples: list[str]


class Thresholds(msgspec.Struct):
    """More than so many are unusual."""

    devices_over: int
    users_over: int


class Suspicious(Warned):
    """Those with most first. `thresholds`: what was asked for, else what follows from the
    project's own users and devices."""

    rows: list[SuspiciousRow]
    next_cursor: str | None
    thresholds: Thresholds


COUNTED = """
WITH of_users AS (
    SELECT user_id AS id, uniqExact(visitor) AS number, min(first_seen) AS since,
        max(last_seen) AS until
    FROM user_links
    GROUP BY user_id
), of_devices AS (
    SELECT any(anonymous_id) AS id, uniqExact(user_hash) AS number, min(first_seen) AS since,
        max(last_seen) AS until
    FROM user_links
    GROUP BY visitor
)"""
USUAL = f"""{COUNTED}
SELECT
    (SELECT quantileExact(0.5)(number) FROM of_users) AS devices,
    (SELECT quantileExact(0.5)(number) FROM of_devices) AS users"""
UNUSUAL = f"""{COUNTED.removesuffix(")")}), both AS (
    SELECT 'user' AS kind, id, number, since, until
    FROM of_users
    WHERE number > {{devices_over:UInt64}} AND {{kind:String}} != 'device'
    UNION ALL
    SELECT 'device' AS kind, id, number, since, until
    FROM of_devices
    WHERE number > {{users_over:UInt64}} AND {{kind:String}} != 'user'
)
SELECT kind, id, number, since, until, concat(kind, ' ', id) AS place
FROM both
WHERE TRUE $behind
ORDER BY number DESC, place
LIMIT $limit"""
BEHIND = (
    "AND (number < {cursor_number:Float64}"
    " OR (number = {cursor_number:Float64} AND place > {cursor_id:String}))"
)

LAST_DEVICES = f"""
SELECT user_id AS id, arrayMap(
        seen -> seen.2, arraySlice(arrayReverseSort(groupArray((at, device))), 1, {EXAMPLES})
    ) AS examples
FROM (
    SELECT user_id, visitor, any(anonymous_id) AS device, max(last_seen) AS at
    FROM user_links
    WHERE user_id IN {{user_ids:Array(String)}}
    GROUP BY user_id, visitor
)
GROUP BY user_id"""
LAST_USERS = f"""
SELECT any(device) AS id, arrayMap(
        seen -> seen.2, arraySlice(arrayReverseSort(groupArray((at, user))), 1, {EXAMPLES})
    ) AS examples
FROM (
    SELECT visitor, any(anonymous_id) AS device, any(user_id) AS user, max(last_seen) AS at
    FROM user_links
    WHERE $near
    GROUP BY visitor, user_hash
)
GROUP BY visitor"""
NEAR_DEVICES = "visitor IN (SELECT sipHash64(arrayJoin({device_ids:Array(String)})))"


def ask(context: Context, params: SuspiciousParams) -> Suspicious:
    """Raises `InvalidParams` for a cursor of another question."""
    question = question_of("suspicious", context.project_id, params)
    over = _thresholds(context, params)
    values: dict[str, object] = {
        "kind": params.kind,
        "devices_over": over.devices_over,
        "users_over": over.users_over,
    }
    if params.cursor is not None:
        values |= read_number(question, params.cursor)
    slots = {"behind": BEHIND if params.cursor is not None else "", "limit": params.limit + 1}
    rows = context.ask(UNUSUAL, values, slots)
    page, cursor = rows[: params.limit], None
    if len(rows) > params.limit:
        cursor = write_number(question, page[-1]["number"], page[-1]["place"])
    examples = _examples(context, page)
    return Suspicious([_row(row, examples) for row in page], cursor, over)


def _thresholds(context: Context, params: SuspiciousParams) -> Thresholds:
    devices, users = params.devices_over, params.users_over
    if devices is None or users is None:
        (usual,) = context.ask(USUAL)
        devices = devices or TIMES_DEVICES * max(1, usual["devices"])
        users = users or TIMES_USERS * max(1, usual["users"])
    return Thresholds(devices, users)


def _examples(context: Context, page: list[Row]) -> Mapping[tuple[str, str], list[str]]:
    """By kind and id."""
    users = [row["id"] for row in page if row["kind"] == "user"]
    devices = [row["id"] for row in page if row["kind"] == "device"]
    if not page:
        return {}
    values = {"user_ids": context.resolution.same_people(users), "device_ids": devices}
    of_users, of_devices = context.reading.query_all(
        context.query(LAST_DEVICES, values, near=f"r.{OF_USERS}"),
        context.query(LAST_USERS, values, {"near": NEAR_DEVICES}, near=f"r.{NEAR_DEVICES}"),
    )
    found = {("user", row["id"]): row["examples"] for row in of_users}
    return {**found, **{("device", row["id"]): row["examples"] for row in of_devices}}


def _row(row: Row, examples: Mapping[tuple[str, str], list[str]]) -> SuspiciousRow:
    return SuspiciousRow(
        row["kind"],
        row["id"],
        row["number"],
        format_utc(row["since"]),
        format_utc(row["until"]),
        examples.get((row["kind"], row["id"]), []),
    )
