"""What of a statement is asked of each shard, as text; `store/test_cluster.py` asks a cluster."""

import re

from threadline.contract.policies import POLICIES
from threadline.identity.compose import compose
from threadline.identity.resolution import Resolution
from threadline.identity.shards import BY_VISITOR, on_shards
from threadline.identity.stitch import relations
from threadline.identity.visits import Wanted, visits
from threadline.questions.traffic_sources import NAMED_SOURCES

RELATIONS = {
    "counted_events": "SELECT * FROM events",
    "user_links": "SELECT * FROM links",
    "considered": "SELECT e.visitor AS visitor FROM counted_events AS e",
    "owners": "SELECT visitor, any(user_hash) AS person FROM user_links GROUP BY visitor",
    "person_events": """\
SELECT o.person AS person
FROM considered AS e
LEFT ANY JOIN owners AS o ON o.visitor = e.visitor""",
    "people": "SELECT person, count() AS n FROM person_events GROUP BY person",
}


def test_what_is_by_visitor_is_made_where_it_lies() -> None:
    sql = compose("SELECT max(n)\nFROM people", RELATIONS)
    assert on_shards(sql, "shop", "db_local") == (
        """\
WITH people AS (
    SELECT person, count() AS n FROM cluster('shop', view(
        WITH counted_events AS (
            SELECT * FROM db_local.events
        ), considered AS (
            SELECT e.visitor AS visitor FROM counted_events AS e
        ), user_links AS (
            SELECT * FROM db_local.links
        ), owners AS (
            SELECT visitor, any(user_hash) AS person FROM user_links GROUP BY visitor
        ), person_events AS (
            SELECT o.person AS person
            FROM considered AS e
            LEFT ANY JOIN owners AS o ON o.visitor = e.visitor
        )
        SELECT * FROM person_events
    )) AS person_events GROUP BY person
)
SELECT max(n)
FROM people
SETTINGS distributed_product_mode = 'deny'"""
    )


def test_what_stands_on_people_is_made_where_it_is_asked() -> None:
    """Whatever its name; then what it stands on is asked of the shards, and joined here."""
    some = "SELECT visitor FROM counted_events WHERE user_hash IN (SELECT person FROM people)"
    known = {**RELATIONS, "met": some, "people": "SELECT person FROM accounts"}
    found = on_shards(compose("SELECT count() FROM met", known), "shop", "db_local")
    assert "met AS (" in found.split("cluster(")[0]
    assert "GLOBAL IN (SELECT person FROM people)" in found
    joined = compose("SELECT count() FROM person_events AS p JOIN people AS q USING person", known)
    assert re.search(r"FROM \(SELECT \* FROM cluster\(", on_shards(joined, "shop", "db_local"))


def test_what_reads_no_table_would_be_the_same_on_every_shard() -> None:
    known = {**RELATIONS, "shared_devices": "SELECT arrayJoin({shared:Array(UInt64)}) AS visitor"}
    sql = on_shards(compose("SELECT count() FROM shared_devices", known), "shop", "db_local")
    assert "cluster(" not in sql


def test_the_names_are_those_of_relations() -> None:
    """A relation under another name would still be right, and all of its rows would travel."""
    found = {"considered", "all_visits", "met", "events_met", "decided_devices", "in_visits"}
    found |= {"chosen_visits", "met_visits", "events_of_visits", "counted", "begun", *NAMED_SOURCES}
    found |= {"people_here", "ways_here", "walks_here", "finished"}
    for policy in POLICIES:
        for as_of in (False, True):
            on = Resolution(policy, {"project_id": "p"}, as_of=as_of)
            known = relations(on)
            found |= {*known, *visits(on, known, 1, Wanted(()))}
    assert found >= BY_VISITOR
