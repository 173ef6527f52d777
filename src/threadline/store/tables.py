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
# What the schema before the newest did not have.
NEW_STATES = ("half_hours",)


def read(values: Mapping[str, str] = ONE_NODE) -> Schema:
    """All of it. The last statements of whatever leads to the newest schema make the views, and
    fill the states that it brings."""
    schema = migrations.read("threadline.store", values)
    tables = [create_table(each, each.table, values) for each in STATES]
    views = [create_view(each, values) for each in STATES]
    new = [state(table) for table in NEW_STATES]
    brought = [create_table(each, each.table, values) for each in new]
    *steps, last = schema.steps
    return Schema(
        _and(schema.baseline, tables + views),
        (*steps, _and(last, brought + views + [_fill(each) for each in new])),
    )


def _fill(new: State) -> str:
    """What of it follows from the events there are. Bears being done twice, as any state does."""
    return f"INSERT INTO {new.table} ({new.columns})\n{new.from_events()}"


def _and(migration: Migration, statements: list[str]) -> Migration:
    return replace(migration, statements=(*migration.statements, *statements))
