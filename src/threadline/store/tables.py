"""The schema of the event store: its files, with the states that `states` defines."""

from collections.abc import Mapping
from dataclasses import replace

from threadline import migrations
from threadline.migrations import Migration, Schema
from threadline.store.states import STATES, create_table, create_view

# What the `$name`s of the files are. A cluster has other engines, another way to know a block
# again, and statements that are carried out on every node.
ONE_NODE: Mapping[str, str] = {
    "on_cluster": "",
    "engine": "MergeTree",
    "engine_aggregating": "AggregatingMergeTree",
    "settings": "non_replicated_deduplication_window = 1000,"
    " fsync_after_insert = 1, fsync_part_directory = 1",
}


def read(values: Mapping[str, str] = ONE_NODE) -> Schema:
    """All of it. The last statements of whatever leads to the newest schema make the views."""
    schema = migrations.read("threadline.store", values)
    tables = [create_table(state, state.table, values) for state in STATES]
    views = [create_view(state, values) for state in STATES]
    *steps, last = schema.steps
    return Schema(_and(schema.baseline, tables + views), (*steps, _and(last, views)))


def _and(migration: Migration, statements: list[str]) -> Migration:
    return replace(migration, statements=(*migration.statements, *statements))
