"""The states that make questions about people fast, each defined once, as `derived` says how.

A state is an aggregate of the events, kept up to date as they arrive. From its definition come its
table and its materialised view (part of the schema), what it says of any events (`from_events`:
what a rebuild adds and a check compares with), and the relation that questions read (`relation`).
Order does not matter. But for sums, all are minima, maxima or any of equal values, so adding an
event twice changes nothing; a state with sums has to meet each event once.
"""

from string import Template
from textwrap import indent

from threadline.contract.ids import OF_ACCOUNTS
from threadline.store.derived import DerivedColumn, State, Value

HALF_HOUR_MS = 1_800_000

# An app's screens are its pages. What else begins with $ a page or a server does by itself.
IS_PAGE_VIEW = "e.event_name IN ('$pageview', '$screen')"
IS_ACTION = "NOT startsWith(e.event_name, '$')"
NO_TOUCH = "('internal', 'return', 'spam')"
# Events `e` that show a user on a device. No device carries a generated id, so it links nobody.
OBSERVED = "e.user_id IS NOT NULL AND NOT e.anonymous_id_generated"
# A visitor with a user, as both names of it are written in `events`.
USER = "assumeNotNull(e.user_id)"
MS = "toUnixTimestamp64Milli(e.timestamp)"
TIME = "DateTime64(3, 'UTC')"
# Not with %, which the driver takes for its own where nothing is bound.
INTO_HALF_HOUR = f"toUInt32(modulo({MS}, {HALF_HOUR_MS}))"
# A server that says what somebody did, without a page or an agent of theirs, makes no visit.
ON_PAGE = "e.source_rule_id != 'no_page'"
OFF_PAGE = "e.source_rule_id = 'no_page'"
# Back from where people are sent in the middle of a visit.
IS_RETURN = "e.medium = 'return'"
# Touches are arrivals from somewhere else. Spam comes from nowhere.
IS_TOUCH = f"(e.source NOT IN ('direct', 'internal') AND e.medium NOT IN {NO_TOUCH})"
# 0: on no page. 1: on one that says no path, such as an app's. 2: on a page with a path.
PAGE = f"multiIf(NOT ({ON_PAGE}), 0, e.path = '', 1, 2)"
MOMENT = "Tuple(at UInt32, path String)"

# Where an event lies, for what is counted of all people together: in which month, as the events are
# divided, and of which sixteenth of all visitors, which is one stretch of a project's events.
MONTH = "toYYYYMM(greatest(e.timestamp, toDateTime64('2020-01-01 00:00:00', 3, 'UTC')))"
SHARE = "toUInt8(bitShiftRight(e.visitor, 60))"
# Keys of an event's properties, each with the character that its value begins with in JSON.
SHAPE = "arrayMap(each -> (each.1, ascii(each.2)), JSONExtractKeysAndValuesRaw(e.properties))"
# Of an object with more keys the first are named.
MOST_KEYS = 200
# The event itself has no key and the type 0. All numbers are 0 in JSON, both booleans t.
KEYS = f"arrayJoin(arrayPushFront(arraySlice(e.shape, 1, {MOST_KEYS}), ('', 0)))"
TYPE = f"toUInt8(multiIf({KEYS}.2 BETWEEN 45 AND 57, 48, {KEYS}.2 = 102, 116, {KEYS}.2))"

# Traits: what an identify call said, each as it stands in JSON.
SAID = "arrayJoin(JSONExtractKeysAndValuesRaw(e.properties))"
LAST_SAID = f"Tuple(at {TIME}, event_id String, value String)"

# The account that an event says: a text or a whole number among its properties. Of `group` calls
# of Segment's libraries it is the id of the group. What is no id of a user is none of an account.
MAX_ACCOUNT_ID = 256
_SAID = Template(
    "multiIf(JSONType(e.properties, '$key') = 'String', JSONExtractString(e.properties, '$key'),"
    " JSONType(e.properties, '$key') IN ('Int64', 'UInt64'),"
    " JSONExtractRaw(e.properties, '$key'), '')"
)
ACCOUNT_ID = (
    f"if(e.event_name = '$group' AND {_SAID.substitute(key='account_id')} = '',"
    f" {_SAID.substitute(key='group_id')}, {_SAID.substitute(key='account_id')})"
)
_NO_IDS = ", ".join(f"'{name}'" for name in sorted(OF_ACCOUNTS))
# Most events say none, and looking for the name of the property costs next to nothing.
SAYS_ACCOUNT = (
    "(e.event_name = '$group' OR position(e.properties, '\"account_id\"') > 0)"
    f" AND lengthUTF8({ACCOUNT_ID}) <= {MAX_ACCOUNT_ID}"
    f" AND lowerUTF8(trimBoth({ACCOUNT_ID})) NOT IN ({_NO_IDS})"
)


PROJECT = DerivedColumn("project_id", "LowCardinality(String)", "e.project_id")
BOT = DerivedColumn("is_bot", "Bool", "e.is_bot")
EVENT_NAME = DerivedColumn("event_name", "LowCardinality(String)", "e.event_name")
USER_ID = DerivedColumn("user_id", "String", USER)
VISITOR = DerivedColumn("visitor", "UInt64", "e.visitor")
PACKED_VISITOR = DerivedColumn("visitor", "UInt64", "e.visitor", "ZSTD")
# What was named before there were channels keeps its number.
SOURCE_HASH = (
    "if(channel = '', cityHash64(source, medium, campaign),"
    " cityHash64(source, medium, campaign, channel)) * 2 + (source = 'direct')"
)

# Readers of few rows read no more of these tables than they need.
SMALL_GRANULES = ", index_granularity = 1024"


def _touch(*names: str) -> Value:
    """The first event of a key: one on a page if there is any, the smallest in time, ties by
    event_id. Then where it lies and where it came from, as numbers."""
    types = {"off_page": "Bool", "timestamp": TIME, "event_id": "String"}  # the others are numbers
    names = ("off_page", "timestamp", "event_id", *names)
    declared = ", ".join(f"{name} {types.get(name, 'UInt64')}" for name in names)
    selected = f"NOT ({ON_PAGE}), " + ", ".join(f"e.{name}" for name in names[1:])
    return Value("first_touch", f"Tuple({declared})", f"({selected})::Tuple({declared})")


STATES = (
    # Who was seen on which device: from events that carry both ids.
    State(
        "links",
        key=(PROJECT, DerivedColumn("user_id", "String", USER, "ZSTD"), VISITOR, BOT),
        values=(
            Value("anonymous_id", "String", "e.anonymous_id", "ZSTD", "", "any", compared=False),
            Value("first_seen", TIME, "e.timestamp", "T64, ZSTD"),
            Value("last_seen", TIME, "e.timestamp", "T64, ZSTD", "", "max"),
        ),
        where=OBSERVED,
        # A join on numbers is faster than on ids.
        derived=(DerivedColumn("user_hash", "UInt64", "sipHash64('user', user_id)", "ZSTD"),),
        order="project_id, is_bot, user_id, visitor",
        index="INDEX by_visitor visitor TYPE bloom_filter(0.01) GRANULARITY 1",
        settings=SMALL_GRANULES,
    ),
    # Whose a device is: the least and the greatest of its users' numbers, which differ where there
    # are several. One row for a device, where `links` has one for every pair.
    State(
        "device_users",
        key=(PROJECT, BOT, PACKED_VISITOR),
        values=(
            Value("least", "UInt64", "e.user_hash", "ZSTD"),
            Value("greatest", "UInt64", "e.user_hash", "ZSTD", "", "max"),
        ),
        where=OBSERVED,
        order="project_id, is_bot, visitor",
    ),
    # What happened within half an hour: of every visitor and user one row, about as many as there
    # are visits. Neighbours in it are never further apart than a visit may pause, so from rows that
    # lie close enough together follow visits, exactly. Of known users they lie together: whose a
    # shared device is, is read from them. `half_hour` counts from 1970; times are milliseconds
    # into it.
    State(
        "half_hours",
        key=(
            PROJECT,
            BOT,
            DerivedColumn("known", "Bool", "e.user_hash != 0"),
            PACKED_VISITOR,
            DerivedColumn("user_hash", "UInt64", "e.user_hash", "ZSTD"),
            DerivedColumn(
                "half_hour", "UInt32", f"toUInt32(intDiv({MS}, {HALF_HOUR_MS}))", "T64, ZSTD"
            ),
            DerivedColumn("page", "UInt8", PAGE),
        ),
        values=(
            # Twice the time, and one more unless it is a return: of the same time, that is first.
            Value("first", MOMENT, f"({INTO_HALF_HOUR} * 2 + NOT ({IS_RETURN}), e.path)::{MOMENT}"),
            Value("last", MOMENT, f"({INTO_HALF_HOUR}, e.path)::{MOMENT}", function="max"),
            Value("events", "UInt64", "toUInt64(1)", "T64, ZSTD", function="sum"),
            Value("page_views", "UInt64", f"toUInt64({IS_PAGE_VIEW})", "T64, ZSTD", function="sum"),
            # What visitors did besides.
            Value("actions", "UInt64", f"toUInt64({IS_ACTION})", "T64, ZSTD", function="sum"),
            # Of each traffic source that is a touch, when it was first.
            Value(
                "touches",
                "Tuple(Array(UInt64), Array(UInt32))",
                f"(if({IS_TOUCH}, [e.traffic_source], emptyArrayUInt64()), "
                f"if({IS_TOUCH}, [{INTO_HALF_HOUR}], emptyArrayUInt32()))",
                "ZSTD",
                function="minMap",
            ),
        ),
        order="project_id, is_bot, known, visitor, half_hour, user_hash, page",
        partition="toYYYYMM(greatest("
        "toDateTime(half_hour * 1800, 'UTC'), toDateTime('2020-01-01 00:00:00', 'UTC')))",
    ),
    # The first event without a user, per device. Where it lies is the row's own visitor.
    State(
        "visitor_touches",
        key=(PROJECT, VISITOR, BOT),
        values=(_touch("traffic_source"),),
        where="e.user_id IS NULL",
        order="project_id, is_bot, visitor",
    ),
    # The first event with the user on it, and since when the user is known.
    State(
        "user_touches",
        key=(PROJECT, USER_ID, BOT),
        values=(
            _touch("visitor", "traffic_source"),
            Value("known_since", TIME, "e.timestamp", "T64, ZSTD"),
        ),
        where="e.user_id IS NOT NULL",
        order="project_id, is_bot, user_id",
        settings=SMALL_GRANULES,
    ),
    # Which events there are, and which keys their properties have: names and numbers, no values. It
    # tells of nobody, but a name may; so where somebody was forgotten, their share is counted anew.
    State(
        "names",
        key=(
            PROJECT,
            BOT,
            EVENT_NAME,
            DerivedColumn("name", "String", f"{KEYS}.1", "ZSTD"),
            DerivedColumn("type", "UInt8", TYPE),
            DerivedColumn("month", "UInt32", "e.month", "T64, ZSTD"),
            DerivedColumn("share", "UInt8", "e.share"),
        ),
        values=(
            Value("events", "UInt64", "toUInt64(1)", "T64, ZSTD", function="sum"),
            Value("first_seen", TIME, "e.timestamp", "T64, ZSTD"),
            Value("last_seen", TIME, "e.timestamp", "T64, ZSTD", function="max"),
        ),
        folded=(
            PROJECT,
            BOT,
            EVENT_NAME,
            DerivedColumn("shape", "Array(Tuple(String, UInt8))", SHAPE),
            DerivedColumn("month", "UInt32", MONTH),
            DerivedColumn("share", "UInt8", SHARE),
        ),
        order="project_id, is_bot, event_name, name, type, share, month",
        partition="month",
    ),
    # When a visitor or user was seen in which account: a row for every event that says one.
    State(
        "account_links",
        key=(
            PROJECT,
            BOT,
            DerivedColumn("account_id", "String", ACCOUNT_ID, "ZSTD"),
            PACKED_VISITOR,
            DerivedColumn("user_hash", "UInt64", "e.user_hash", "ZSTD"),
            DerivedColumn("timestamp", TIME, "e.timestamp", "T64, ZSTD"),
        ),
        values=(Value("user_id", "String", "ifNull(e.user_id, '')", "ZSTD", "", "any"),),
        where=SAYS_ACCOUNT,
        derived=(DerivedColumn("account", "UInt64", "sipHash64('account', account_id)", "ZSTD"),),
        order="project_id, is_bot, account_id, visitor, user_hash, timestamp",
        settings=SMALL_GRANULES,
    ),
    # What every user said last of each trait. A row is its user's, so it goes with them.
    State(
        "traits",
        key=(PROJECT, BOT, USER_ID, DerivedColumn("trait", "String", f"{SAID}.1", "ZSTD")),
        values=(
            Value(
                "said",
                LAST_SAID,
                f"(e.timestamp, e.event_id, {SAID}.2)::{LAST_SAID}",
                "ZSTD",
                function="max",
            ),
        ),
        where="e.event_name = '$identify' AND e.user_id IS NOT NULL",
        derived=(DerivedColumn("user_hash", "UInt64", "sipHash64('user', user_id)", "ZSTD"),),
        order="project_id, is_bot, user_id, trait",
        settings=SMALL_GRANULES,
    ),
    # The names behind the numbers of where people come from.
    State(
        "traffic_sources",
        key=(
            PROJECT,
            DerivedColumn(
                "traffic_source", "UInt64", "e.traffic_source", default=f"DEFAULT {SOURCE_HASH}"
            ),
        ),
        values=tuple(
            Value(name, "String", f"toString(e.{name})", function="any")
            for name in ("source", "medium", "campaign", "channel")
        ),
        order="project_id, traffic_source",
    ),
)

# Tables of states of older schemas.
OLDER_TABLES = ("places", "activity")


def state(table: str) -> State:
    """The state with this table."""
    (found,) = (state for state in STATES if state.table == table)
    return found


def relation(table: str, where: str, events: str = "events") -> str:
    """SELECT with a state's columns from only those events `e` that a condition holds for, such as
    what had been received by some time. `events`: what they are read from, for example a named
    relation of a question.

    A key may come in several rows of the state's table, as long as parts are not merged; here not.
    """
    chosen = state(table)
    derived = "".join(f", {column.sql} AS {column.name}" for column in chosen.derived)
    return f"SELECT *{derived}\nFROM (\n{indent(chosen.from_events(where, events), '    ')}\n)"
