"""The schema of the event store: its files, with the states that `states` defines."""

from collections.abc import Mapping
from dataclasses import replace

from threadline import migrations
from threadline.migrations import Migration, Schema
from threadline.store.derived import State, create_table, create_view
from threadline.store.states import STATES, state

# What the `$name`s of the files are. A cluster has other engines, another way to know a block
# again, and statements that are carried out on every node.
ONE_NODE: Mapping[str, str] = {
    "on_cluster": "",
    "engine": "MergeTree",
    "engine_aggregating": "AggregatingMergeTree",
    "settings": "non_replicated_deduplication_window = 1000,"
    " fsync_after_insert = 1, fsync_part_directory = 1",
}
# What each schema has that the one before it did not have, or otherwise.
CHANGED_STATES = {
    14: ("half_hours", "visitor_touches", "user_touches"),
    15: ("names", "account_links"),
    16: ("traits",),
}


def read(values: Mapping[str, str] = ONE_NODE) -> Schema:
    """All of it. The last statements of each step fill what it changes, those of whatever leads to
    the newest schema make its views. Nothing is inserted until the views are there."""
    schema = migrations.read("threadline.store", values)
    tables = [create_table(each, each.table, values) for each in STATES]
    views = [create_view(each, values) for each in STATES]
    *steps, last = [_and(step, _filled(step.number, values)) for step in schema.steps]
    return Schema(_and(schema.baseline, tables + views), (*steps, _and(last, views)))


def _filled(number: int, values: Mapping[str, str]) -> list[str]:
    return [_fill(state(table), values) for table in CHANGED_STATES.get(number, ())]


def _fill(changed: State, values: Mapping[str, str]) -> str:
    """The table as it follows from the events, in the place of one that may be there already."""
    create = create_table(changed, changed.table, values)
    create = create.replace("CREATE TABLE IF NOT EXISTS", "CREATE OR REPLACE TABLE", 1)
    return f"{create}\nAS {changed.from_events()}"


def _and(migration: Migration, statements: list[str]) -> Migration:
    return replace(migration, statements=(*migration.statements, *statements))
