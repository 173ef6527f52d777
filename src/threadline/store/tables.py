"""The schema of the event store: its files, with the states that `states` defines."""

from collections.abc import Mapping
from dataclasses import replace

from threadline import migrations
from threadline.migrations import Migration, Schema
from threadline.store.states import STATES, State, create_table, create_view, state

# What the `$name`s of the files are. A cluster has other engines, another way to know a block
# again, and statements that are carried out on every node.
ONE_NODE: Mapping[str, str] = {
    "on_cluster": "",
    "engine": "MergeTree",
    "engine_aggregating": "AggregatingMergeTree",
    "settings": "non_replicated_deduplication_window = 1000,"
    " fsync_after_insert = 1, fsync_part_directory = 1",
}
# What the schema before the newest did not have, or otherwise.
CHANGED_STATES = ("half_hours", "visitor_touches", "user_touches")


def read(values: Mapping[str, str] = ONE_NODE) -> Schema:
    """All of it. The last statements of whatever leads to the newest schema make its views; of a
    step to it, those before fill what it changes. Nothing is inserted until the views are there."""
    schema = migrations.read("threadline.store", values)
    tables = [create_table(each, each.table, values) for each in STATES]
    views = [create_view(each, values) for each in STATES]
    filled = [_fill(state(table), values) for table in CHANGED_STATES]
    *steps, last = schema.steps
    return Schema(_and(schema.baseline, tables + views), (*steps, _and(last, filled + views)))


def _fill(changed: State, values: Mapping[str, str]) -> str:
    """The table as it follows from the events, in the place of one that may be there already."""
    create = create_table(changed, changed.table, values)
    create = create.replace("CREATE TABLE IF NOT EXISTS", "CREATE OR REPLACE TABLE", 1)
    return f"{create}\nAS {changed.from_events()}"


def _and(migration: Migration, statements: list[str]) -> Migration:
    return replace(migration, statements=(*migration.statements, *statements))
