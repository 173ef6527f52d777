"""`GET /v1/paths/people`: who is behind a step, or a way, of `paths`?"""

from typing import Annotated

import msgspec

from threadline.contract.times import format_utc
from threadline.questions.context import Context
from threadline.questions.cursors import CursorText, question_of, read_cursor, write_cursor
from threadline.questions.filters import MAX_CHARS, NONE, plain, refused, split
from threadline.questions.parameters import Limit
from threadline.questions.people import people
from threadline.questions.warned import Warned, noted
from threadline.questions.ways import END, MORE, WAYS, PathsAsked, Walked, names, walked
from threadline.store import Row

LEFT_OUT = "…"


class PathsPeopleParams(PathsAsked, kw_only=True):
    """The parameters of the paths, and which of its people. Without `node` and `way` those of all
    its paths."""

    node: (
        Annotated[
            str,
            msgspec.Meta(
                min_length=1,
                max_length=MAX_CHARS,
                description="Who did this on their way, as `flow` names it.",
            ),
        ]
        | None
    ) = None
    step: (
        Annotated[
            int, msgspec.Meta(ge=1, le=11, description="With `node`: in this step of the flow.")
        ]
        | None
    ) = None
    way: (
        Annotated[
            str,
            msgspec.Meta(
                max_length=12 * MAX_CHARS,
                description="Who went just this way: what a row of `/v1/paths` has in `path`, by "
                "commas; a comma in one is `\\,`. `(none)`: who did nothing there.",
            ),
        ]
        | None
    ) = None
    limit: Limit = 100
    cursor: CursorText | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.node is not None and self.way is not None:
            raise refused("way", "goes without node; leave out one of them")
        if self.step is not None and self.node is None:
            raise refused("step", "goes with node, which says what was done in this step")


class PathsPerson(msgspec.Struct):
    """A user, or a visitor who is nobody's. `did_at`: when they did the event that paths begin, or
    end, with. `path`: their own way, as far as `steps`. `first_…`: of their first event."""

    user_id: str | None
    anonymous_id: str | None
    did_at: str
    path: list[str]
    first_source: str
    first_medium: str
    first_campaign: str | None
    first_channel: str | None


class PathsPeople(Warned):
    """`persons`: how many there are, as the paths say. Newest first."""

    event: str
    stitch: str
    persons: int
    rows: list[PathsPerson]
    next_cursor: str | None


# The people of `ways` are few where they are shown: one page is named, and nobody else.
WHO = "\n        e.person AS person, any(a.anchor) AS did_ms,"
SQL = f"""{WAYS}, asked_for AS (
    SELECT person, did_ms, path, count() OVER () AS persons
    FROM ways
    WHERE $conditions
)
SELECT toString(w.person) AS id, fromUnixTimestamp64Milli(w.did_ms, 'UTC') AS did_at,
    w.path AS path, w.persons AS persons, fn.source AS first_source, fn.medium AS first_medium,
    fn.campaign AS first_campaign, fn.channel AS first_channel
FROM asked_for AS w
LEFT ANY JOIN (
    SELECT person, first_touch.traffic_source AS traffic_source FROM first_events
) AS ft ON ft.person = w.person
LEFT ANY JOIN named_sources AS fn ON fn.traffic_source = ft.traffic_source
WHERE $behind
ORDER BY did_at DESC, id
LIMIT $limit"""
BEHIND = (
    "(did_at < {cursor_at:DateTime64(3, 'UTC')}"
    " OR (did_at = {cursor_at:DateTime64(3, 'UTC')} AND id > {cursor_id:String}))"
)


def ask(context: Context, params: PathsPeopleParams) -> PathsPeople:
    """As many people as `paths` counts there. Raises `InvalidParams`."""
    walk = walked(context, params)
    question = question_of("paths_people", context.project_id, params)
    values = dict(walk.values)
    conditions = _conditions(params, walk, values)
    behind = "1"
    if params.cursor is not None:
        values |= read_cursor(question, params.cursor)
        behind = BEHIND
    slots = {
        **walk.slots,
        "who": WHO,
        "conditions": " AND ".join(conditions) or "1",
        "behind": behind,
        "limit": params.limit + 1,
    }
    found = context.ask(SQL, values, slots, visits=walk.visits)
    page = found[: params.limit]
    more = len(found) > params.limit
    return PathsPeople(
        event=walk.asked.anchor.text,
        stitch=context.resolution.policy,
        persons=page[0]["persons"] if page else 0,
        rows=_named(context, params, walk, page),
        next_cursor=write_cursor(question, page[-1], "did_at", "id") if more else None,
        warnings=noted([] if page else walk.unknown(context, params)),
    )


def _conditions(params: PathsPeopleParams, walk: Walked, values: dict[str, object]) -> list[str]:
    """Which of `ways` are asked for."""
    is_to_end = walk.asked.end is not None
    conditions = ["ended > 0"] if is_to_end else []
    if params.node is not None:
        values["node_name"] = params.node
        nodes = ["cityHash64({node_name:String})"]
        if is_to_end and params.node == LEFT_OUT:
            nodes.append(str(MORE))
        if walk.asked.end and params.node == walk.asked.end.text:
            nodes.append(str(END))
        if params.step is None:
            conditions.append(f"hasAny(way, [{', '.join(nodes)}])")
        else:
            # The event itself is the first of a way, or the last.
            values["node_step"] = params.step + 1
            at = "{node_step:Int8}" if walk.asked.is_after else "-{node_step:Int8}"
            conditions += [
                "length(way) >= {node_step:Int8}",
                f"way[{at}] IN ({', '.join(nodes)})",
            ]
    if params.way is not None:
        parts = [] if params.way == NONE else [plain(part) for part in split(params.way, ",")]
        values["way_names"] = parts
        wanted = "arrayMap(name -> cityHash64(name), {way_names:Array(String)})"
        if is_to_end and parts[-1:] == [LEFT_OUT]:
            cut = f"arrayPushBack(arraySlice({wanted}, 1, -1), {MORE})"
            conditions.append(f"path IN ({wanted}, {cut})")
        else:
            conditions.append(f"path = {wanted}")
    return conditions


def _named(
    context: Context, params: PathsPeopleParams, walk: Walked, page: list[Row]
) -> list[PathsPerson]:
    """The people as they go out."""
    if not page:
        return []
    who = people(context, [int(row["id"]) for row in page])
    named = names(context, params, walk, {node for row in page for node in row["path"]})
    return [
        PathsPerson(
            user_id=person.user_id,
            anonymous_id=person.anonymous_id,
            did_at=format_utc(row["did_at"]),
            path=[named[node] for node in row["path"]],
            first_source=row["first_source"],
            first_medium=row["first_medium"],
            first_campaign=row["first_campaign"] or None,
            first_channel=row["first_channel"] or None,
        )
        for person, row in zip(who, page, strict=True)
    ]
