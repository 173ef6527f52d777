-- What people decided about identity, with who (the key's prefix) and when. Rows are only added; the
-- newest counts.

-- Whether a user's observations on a device are to be ignored.
CREATE TABLE IF NOT EXISTS unlinks (
    project_id LowCardinality(String),
    anonymous_id String,
    visitor UInt64 MATERIALIZED sipHash64(anonymous_id),
    user_id String,
    unlinked Bool,
    decided_at DateTime64(6, 'UTC'),
    decided_by String
)
ENGINE = MergeTree
ORDER BY (project_id, visitor, user_id, decided_at)
SETTINGS non_replicated_deduplication_window = 1000,
    fsync_after_insert = 1, fsync_part_directory = 1;

-- Who was declared the same person as whom; empty: taken back.
CREATE TABLE IF NOT EXISTS alias_decisions (
    project_id LowCardinality(String),
    user_id String,
    alias_of String,
    decided_at DateTime64(6, 'UTC'),
    decided_by String
)
ENGINE = MergeTree
ORDER BY (project_id, user_id, decided_at)
SETTINGS non_replicated_deduplication_window = 1000,
    fsync_after_insert = 1, fsync_part_directory = 1;

-- What follows from them, chains resolved: the person each user is.
CREATE TABLE IF NOT EXISTS aliases (
    project_id LowCardinality(String),
    user_id String,
    canonical String,
    decided_at DateTime64(6, 'UTC'),
    decided_by String
)
ENGINE = MergeTree
ORDER BY (project_id, user_id, decided_at)
SETTINGS non_replicated_deduplication_window = 1000,
    fsync_after_insert = 1, fsync_part_directory = 1;
