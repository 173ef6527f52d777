CREATE TABLE events (
    event_id String, timestamp DateTime64(3, 'UTC'), event LowCardinality(String),
    anonymous_id Nullable(String), user_id Nullable(String), on_page Bool,
    path LowCardinality(String), url String, referrer String, source LowCardinality(String),
    medium LowCardinality(String), campaign LowCardinality(String), channel LowCardinality(String),
    properties String
)
ENGINE = MergeTree
ORDER BY timestamp
