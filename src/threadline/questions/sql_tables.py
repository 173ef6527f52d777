"""The tables that people ask in SQL, besides `events`: statements of ours, composed when asked.

    stitched_events  every event with whose it is
    visits           a row a visit, with where it came from
    persons          a row a person, with first and last touch
    accounts         a row for each person of each account

`owner` is the same in all of them: a user id where `known`, else the id of a visitor who is
nobody's. What is absent is an empty text. Times are UTC.
"""

from collections.abc import Callable, Mapping

from threadline.identity.accounts import accounts
from threadline.identity.compose import compose
from threadline.identity.resolution import Resolution
from threadline.identity.stitch import relations, stitched_events
from threadline.identity.visits import Wanted
from threadline.identity.visits import visits as visit_relations
from threadline.questions.answers import EVENT_COLUMNS, event_columns
from threadline.questions.dimensions import IS_BOUNCE
from threadline.questions.facts import Facts, of_all
from threadline.questions.statement import ACCOUNTS, PERSONS, STITCHED, VISITS
from threadline.questions.traffic_sources import NAMED_SOURCES

ADDED = ("term", "content", "classifier_version")
OF_SOURCE = ("source", "medium", "campaign", "channel")
OF_TOUCH = (*OF_SOURCE, "path", "country")
COLUMNS: Mapping[str, tuple[str, ...]] = {
    STITCHED: ("owner", "known", *EVENT_COLUMNS, "is_bot", *ADDED),
    VISITS: (
        *("owner", "known", "anonymous_id", "started", "ended", "seconds", "entry_path"),
        *("exit_path", *OF_SOURCE, "events", "page_views", "actions", "bounce"),
    ),
    PERSONS: (
        *("owner", "known", "first_seen", "last_seen", "events", "devices"),
        *(f"first_{name}" for name in OF_TOUCH),
        *(f"last_{name}" for name in OF_TOUCH),
    ),
    ACCOUNTS: ("account_id", "owner", "known", "first_seen", "last_seen"),
}
# Each visit and each event is one person's here.
PARTITIONED = frozenset([VISITS, PERSONS, ACCOUNTS])

# The states have no ids of visitors.
NAMES: Mapping[str, str] = {
    "device_names": """
SELECT visitor, any(anonymous_id) AS anonymous_id
FROM counted_events
GROUP BY visitor""",
    "user_names": """
SELECT sipHash64('user', t.user_id) AS person, t.user_id AS user_id
FROM tagged_touches AS t""",
}

VISITS_SQL = f"""
SELECT if(u.user_id = '', d.anonymous_id, u.user_id) AS owner, toBool(u.user_id != '') AS known,
    d.anonymous_id AS anonymous_id,
    fromUnixTimestamp64Milli(v.started, 'UTC') AS started,
    fromUnixTimestamp64Milli(v.ended, 'UTC') AS ended,
    (v.ended - v.started) / 1000 AS seconds,
    v.entry_path AS entry_path, v.exit_path AS exit_path,
    n.source AS source, n.medium AS medium, n.campaign AS campaign, n.channel AS channel,
    v.events AS events, v.page_views AS page_views, v.actions AS actions,
    toBool({IS_BOUNCE}) AS bounce
FROM visits AS v
LEFT ANY JOIN named_sources AS n ON n.traffic_source = v.arrival.2
LEFT ANY JOIN user_names AS u ON u.person = v.person
LEFT ANY JOIN device_names AS d ON d.visitor = v.device"""
OF_VISITS = Wanted(("events", "page_views", "actions", "entry_path", "exit_path", "arrival"))

PERSONS_SQL = f"""
WITH considered AS (
    SELECT e.visitor AS visitor, e.user_hash AS user_hash, e.timestamp AS timestamp
    FROM counted_events AS e
), active AS (
    SELECT person, min(timestamp) AS first_seen, max(timestamp) AS last_seen, count() AS events
    FROM person_events
    GROUP BY person
)
SELECT if(p.known, p.user_id, d.anonymous_id) AS owner, toBool(p.known) AS known,
    a.first_seen AS first_seen, a.last_seen AS last_seen, a.events AS events,
    p.devices AS devices,
    {", ".join(f"f.{name} AS first_{name}" for name in OF_TOUCH)},
    {", ".join(f"l.{name} AS last_{name}" for name in OF_TOUCH)}
FROM active AS a
LEFT ANY JOIN person_facts AS p ON p.person = a.person
LEFT ANY JOIN first_facts AS f ON f.person = a.person
LEFT ANY JOIN last_facts AS l ON l.person = a.person
LEFT ANY JOIN device_names AS d ON d.visitor = a.person"""

ACCOUNTS_SQL = """
SELECT a.account_id AS account_id,
    if(u.user_id = '', d.anonymous_id, u.user_id) AS owner, toBool(u.user_id != '') AS known,
    a.first_seen AS first_seen, a.last_seen AS last_seen
FROM account_people AS a
LEFT ANY JOIN user_names AS u ON u.person = a.person
LEFT ANY JOIN device_names AS d ON d.visitor = a.person"""


def _stitched(on: Resolution, timeout_ms: int) -> str:
    more = ", ".join(f"e.{name} AS {name}" for name in ADDED)
    return stitched_events(on, f"{event_columns(bots=True)}, {more}")


def _visits(on: Resolution, timeout_ms: int) -> str:
    known = relations(on)
    made = visit_relations(on, known, timeout_ms, OF_VISITS)
    return compose(VISITS_SQL, {**known, **made, **NAMED_SOURCES, **NAMES})


def _persons(on: Resolution, timeout_ms: int) -> str:
    known = relations(on)
    facts = Facts(on, known)
    for dimension in ("devices", "first.path", "last.path"):
        facts.of(dimension)
    assert facts.visits
    every = {
        "every_first_events": known["first_events"],
        **facts.relations,
        **of_all(visit_relations(on, known, timeout_ms, facts.visits)),
    }
    return compose(PERSONS_SQL, {**known, **every, **NAMED_SOURCES, **NAMES})


def _accounts(on: Resolution, timeout_ms: int) -> str:
    known = relations(on)
    return compose(ACCOUNTS_SQL, {**known, **accounts(on, known), **NAMES})


TEXTS: Mapping[str, Callable[[Resolution, int], str]] = {
    STITCHED: _stitched,
    VISITS: _visits,
    PERSONS: _persons,
    ACCOUNTS: _accounts,
}


def table(name: str, on: Resolution, timeout_ms: int) -> str:
    """The statement behind one of `COMPOSED`. Visits end where nothing happens for longer than
    `timeout_ms`, which it binds as `visit_timeout_ms`."""
    return TEXTS[name](on, timeout_ms)
