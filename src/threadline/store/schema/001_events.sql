-- Every event as it was accepted. Rows are never updated; only `forget` removes some.
--
-- Ordered by visitor, so that one person's journey is a handful of granules at any size, and all
-- questions that follow people through time read each of them in one stretch.
CREATE TABLE IF NOT EXISTS events (
    project_id LowCardinality(String),
    timestamp DateTime64(3, 'UTC') CODEC(Delta, ZSTD),
    event_id String CODEC(ZSTD),
    event_name LowCardinality(String),
    anonymous_id String CODEC(ZSTD),
    -- The id was made by the server: it never links, because no device carries it.
    anonymous_id_made Bool,
    user_id Nullable(String) CODEC(ZSTD),
    session_id String CODEC(ZSTD),
    source LowCardinality(String),
    medium LowCardinality(String),
    campaign LowCardinality(String),
    source_confidence LowCardinality(String),
    source_rule_id LowCardinality(String),
    url String CODEC(ZSTD),
    path String CODEC(ZSTD),
    referrer String CODEC(ZSTD),
    country LowCardinality(String),
    device_type LowCardinality(String),
    browser LowCardinality(String),
    os LowCardinality(String),
    properties String CODEC(ZSTD),
    ip_hash FixedString(16),
    received_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD),
    -- The join key: 64 bits join four times faster than the ids themselves. An event that carries
    -- a user but no device of its own lies at the user's own place, where `user_home` finds it.
    visitor UInt64 MATERIALIZED if(
        anonymous_id_made AND user_id IS NOT NULL,
        sipHash64('user', assumeNotNull(user_id)),
        sipHash64(anonymous_id)
    ) CODEC(Delta, ZSTD)
)
ENGINE = MergeTree
-- By month, but all before 2020 together: a forged clock must not be able to make hundreds of
-- partitions.
PARTITION BY toYYYYMM(greatest(timestamp, toDateTime64('2020-01-01 00:00:00', 3, 'UTC')))
ORDER BY (project_id, visitor, timestamp)
-- The window makes a block that is sent again after a crash land once.
SETTINGS non_replicated_deduplication_window = 1000;
