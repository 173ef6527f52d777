"""Which users, in which order: the first of the statements of `users`.

It goes over everybody's first touch, and joins to it only what the order, the search and the
columns need.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from textwrap import indent

from threadline.identity.activity import active
from threadline.identity.compose import fill, where
from threadline.identity.resolution import PROJECT, USERS
from threadline.identity.stitch import WHERE_USERS_LIE
from threadline.questions import amounts
from threadline.questions.amounts import Amounts
from threadline.questions.context import Context
from threadline.questions.dimensions import DIMENSIONS
from threadline.questions.scoped import shown
from threadline.questions.user_search import search
from threadline.store import Query

SQL = """
$own
SELECT t.user_id AS user_id, t.first_touch AS first_touch, t.known_since AS known_since,
    n.source AS source, n.medium AS medium, n.campaign AS campaign, n.channel AS channel$columns
FROM first_touches AS t
LEFT ANY JOIN named_sources AS n ON n.traffic_source = t.first_touch.traffic_source
$joins
$where
ORDER BY $order
$limit"""
PERSON = "sipHash64('user', t.user_id)"

# When people were last seen. Under `any` an untagged event is of all users of its device.
LAST_SEEN = """
SELECT person, max(timestamp) AS last_seen
FROM active_people
GROUP BY person"""
LAST_SEEN_OF_ANY = """
SELECT person, max(ended) AS last_seen
FROM (
    SELECT $person_hash AS person, r.ended AS ended
    FROM stretches AS r
    WHERE r.known
        $near
    UNION ALL
    SELECT l.user_hash AS person, r.ended AS ended
    FROM stretches AS r
    INNER JOIN user_links AS l ON l.visitor = r.visitor
    WHERE NOT r.known
        $near
)
GROUP BY person"""
ACTIVE_NEAR = """
SELECT *
FROM (
    $active
)
WHERE $near"""
# Of those on a page, where nobody is put in order by it.
THEIR_LAST_SEEN = """
$own
SELECT u.user_id AS user_id, l.last_seen AS last_seen
FROM (SELECT arrayJoin({on_page:Array(String)}) AS user_id) AS u
INNER JOIN last_seen AS l ON l.person = sipHash64('user', u.user_id)"""

# What events of a kind were worth, by their owners.
PAID = """
SELECT e.visitor AS visitor, e.user_hash AS user_hash, e.timestamp AS timestamp,
    e.user_id AS user_id, $money AS money
FROM counted_events AS e
WHERE $condition"""
PAID_BY = f"""
SELECT owner, money.amount AS amount, money.counted AS counted, {amounts.CURRENCY} AS currency,
    toDate32(timestamp) AS day, money.skipped AS skipped, money.rounded AS rounded,
    money.counted AND {amounts.MISCODED} AS miscoded
FROM paid_by_users"""
WORTH = """
SELECT p.owner AS user_id, $sums,
    countIf(p.skipped) AS skipped, countIf(p.rounded) AS rounded, countIf(p.miscoded) AS miscoded
FROM paid_by AS p
$join
GROUP BY p.owner"""

# What else is said of users, of those on a page or of everybody. The states hold no addresses: the
# few that go out are fetched from where the events lie.
DETAILS = f"""
SELECT event_id, anonymous_id, url, referrer
FROM events
WHERE {PROJECT} AND $touches"""
COUNTS = """
SELECT user_id, uniqExact(visitor) AS devices
FROM user_links
$where
GROUP BY user_id"""
CONVERTING = """
SELECT e.visitor AS visitor, e.user_hash AS user_hash, e.timestamp AS timestamp,
    e.user_id AS user_id
FROM counted_events AS e
WHERE $condition"""
THEIR_TOUCHES = """visitor IN {visitors:Array(UInt64)}
    AND event_id IN {event_ids:Array(String)}"""
TOUCH_DETAILS = fill(DETAILS, {"touches": THEIR_TOUCHES})
DEVICE_COUNTS = fill(COUNTS, {"where": f"WHERE {USERS}"})
ALL_TOUCHES = """(visitor, event_id) IN (
    SELECT (first_touch.visitor, first_touch.event_id)
    FROM first_touches
)"""
CONVERTED = """
SELECT owner AS user_id, toNullable(min(timestamp)) AS converted_at
FROM converted_by_users
GROUP BY owner"""

# Of a search that finds more, they are not named one by one.
MANY = 1000
IS_FOUND = "t.user_id IN {found:Array(String)}"
IS_SEARCHED = "t.user_id IN (SELECT user_id FROM searched_users)"

# Of each order the number that it goes by.
ORDERS = {
    "known_since": "toUnixTimestamp64Milli(t.known_since)",
    "first_seen": "toUnixTimestamp64Milli(t.first_touch.timestamp)",
    "last_seen": "toUnixTimestamp64Milli(l.last_seen)",
    "value": "toFloat64($value)",
}


@dataclass
class UserList:
    """What the statement is put together of. `own`: its own relations, by name. `near`: as for
    `context.query`."""

    own: dict[str, str] = field(default_factory=dict)
    columns: list[str] = field(default_factory=list)
    joins: list[str] = field(default_factory=list)
    conditions: list[str] = field(default_factory=list)
    values: dict[str, object] = field(default_factory=dict)
    near: str = ""

    def search(self, context: Context, text: str, most: int | None, behind: list[str]) -> None:
        """Only users whose id, or any trait, has the text somewhere, in capitals or not. Of few the
        devices are looked up, in the place of everybody's. `most`: of those known last, and
        `behind` a cursor, no more are needed, because nothing else is asked of them."""
        found = search(context, text, most or MANY, behind if most else [], self.values)
        if found.is_cut and not most:
            self.conditions.append(IS_SEARCHED)
            return
        self.only(context, found.users)

    def only(self, context: Context, persons: list[str]) -> None:
        """Only these users, whose devices are looked up in the place of everybody's."""
        self.values["found"] = persons
        self.values["user_ids"] = context.resolution.same_people(persons)
        self.conditions.append(IS_FOUND)
        self.near = f"r.{WHERE_USERS_LIE}"

    def last_seen(self, context: Context) -> None:
        self.own |= _last_seen(context)
        self.joins.append(f"LEFT ANY JOIN last_seen AS l ON l.person = {PERSON}")
        self.columns.append("l.last_seen AS last_seen")

    def value(self, context: Context, asked: Amounts, condition: str) -> None:
        """What the events were worth that pass the condition."""
        slots = {"money": amounts.read(asked), "condition": condition}
        self.own |= {
            "paid": fill(PAID, slots),
            "paid_by_users": context.owned("paid", "owned_events"),
            "paid_by": PAID_BY,
            "worth": fill(
                WORTH,
                {"sums": amounts.sums(asked, "p"), "join": amounts.join_rates(asked, "p")},
            ),
        }
        self.values |= asked.values
        self.joins.append("LEFT ANY JOIN worth AS w ON w.user_id = t.user_id")
        names = ["amounts", "skipped", "rounded", "miscoded"]
        names += ["converted", "have_rate"] if asked.currency else []
        self.columns += [f"w.{name} AS {name}" for name in names]

    def facts(self, context: Context, names: Sequence[str]) -> None:
        """Dimensions of people, as `fact_1`, `fact_2`, …"""
        for nth, name in enumerate(names, start=1):
            relation, column = context.facts.of(name, "columns")
            kind = DIMENSIONS[name].kind if name in DIMENSIONS else "text"
            self.columns.append(f"{shown(f'{relation}.{column}', kind)} AS fact_{nth}")
            join = f"LEFT ANY JOIN {relation} AS {relation} ON {relation}.person = {PERSON}"
            if join not in self.joins:
                self.joins.append(join)

    def details(self, context: Context, condition: str | None) -> None:
        """What a page has of its users besides: of the touch, how many devices, and when they
        converted, if there is a condition for that."""
        self.own |= {
            "touch_details": fill(DETAILS, {"touches": ALL_TOUCHES}),
            "device_counts": fill(COUNTS, {"where": ""}),
        }
        self.joins += [
            "LEFT ANY JOIN touch_details AS d ON d.event_id = t.first_touch.event_id",
            "LEFT ANY JOIN device_counts AS c ON c.user_id = t.user_id",
        ]
        self.columns += ["d.anonymous_id AS anonymous_id", "d.url AS url"]
        self.columns += ["d.referrer AS referrer", "c.devices AS devices"]
        if condition:
            self.own |= {
                "converting": fill(CONVERTING, {"condition": condition}),
                "converted_by_users": context.owned("converting", "owned_events"),
                "conversions": CONVERTED,
            }
            self.joins.append("LEFT ANY JOIN conversions AS v ON v.user_id = t.user_id")
            self.columns.append("v.converted_at AS converted_at")

    def query(
        self, context: Context, order: str, asked: Amounts | None, limit: int | None, behind: bool
    ) -> Query:
        """The statement for so many rows, or all. `order`: of `ORDERS`, `-` before it: descending.
        `behind`: those that the cursor in `values` is before."""
        name, is_descending = order.removeprefix("-"), order.startswith("-")
        if order == "-known_since":
            ordered = "known_since DESC, user_id"
        else:
            worth = "w.converted" if asked and asked.currency else "arraySum(w.amounts.2)"
            self.columns.append(f"{ORDERS[name].replace('$value', worth)} AS order_number")
            ordered = f"order_number {'DESC' if is_descending else 'ASC'}, user_id"
            if behind:
                side = "<" if is_descending else ">"
                self.conditions.append(
                    f"(order_number {side} {{cursor_number:Float64}} OR (order_number = "
                    "{cursor_number:Float64} AND user_id > {cursor_id:String}))"
                )
        slots = {
            "own": _own(self.own),
            "columns": "".join(f",\n{column}" for column in self.columns),
            "joins": "\n".join(self.joins),
            "where": where(self.conditions),
            "order": ordered,
            "limit": "" if limit is None else f"LIMIT {limit}",
        }
        return context.query(SQL, self.values, slots, self.near)


def _last_seen(context: Context, near: str = "") -> dict[str, str]:
    """`last_seen`, and what it stands on. `near`: a condition on visitors."""
    if context.resolution.policy == "any":
        slots = {**context.resolution.slots, "near": f"AND r.{near}" if near else ""}
        return {"last_seen": fill(LAST_SEEN_OF_ANY, slots)}
    events = active(context.resolution, {}, everything=True)
    return {
        "active_events": fill(ACTIVE_NEAR, {"active": events, "near": near}) if near else events,
        "active_people": context.owned("active_events"),
        "last_seen": LAST_SEEN,
    }


def their_last_seen(context: Context, values: Mapping[str, object]) -> Query:
    """When the users `on_page` were last seen; `user_ids` are all their ids."""
    own = {"own": _own(_last_seen(context, WHERE_USERS_LIE))}
    return context.query(THEIR_LAST_SEEN, values, own, near=f"r.{WHERE_USERS_LIE}")


def _own(relations: Mapping[str, str]) -> str:
    """The relations as a statement has its own."""
    if not relations:
        return ""
    texts = [f"{name} AS (\n{indent(text.strip(), '    ')}\n" for name, text in relations.items()]
    return f"WITH {'), '.join(texts)})"
