-- Whose a device is: the least and the greatest of its users' numbers, which differ where there are
-- several. One row for a device, where `links` has one for every pair.
CREATE TABLE IF NOT EXISTS device_users (
    project_id LowCardinality(String),
    is_bot Bool,
    visitor UInt64 CODEC(ZSTD),
    least SimpleAggregateFunction(min, UInt64) CODEC(ZSTD),
    greatest SimpleAggregateFunction(max, UInt64) CODEC(ZSTD)
)
ENGINE = AggregatingMergeTree
ORDER BY (project_id, is_bot, visitor)
SETTINGS non_replicated_deduplication_window = 1000,
    fsync_after_insert = 1, fsync_part_directory = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS device_users_mv TO device_users AS
SELECT
    e.project_id AS project_id,
    e.is_bot AS is_bot,
    e.visitor AS visitor,
    min(e.user_hash) AS least,
    max(e.user_hash) AS greatest
FROM events AS e
WHERE e.user_id IS NOT NULL AND NOT e.anonymous_id_made
GROUP BY e.project_id, e.is_bot, e.visitor;

INSERT INTO device_users
SELECT project_id, is_bot, visitor, min(user_hash), max(user_hash)
FROM links
GROUP BY project_id, is_bot, visitor;

-- Hours of known users lie together: whose turn it is on a shared device is read from them, and from
-- the events of hours in which several were seen. That takes the place of `observations`.
DROP VIEW IF EXISTS activity_mv;
DROP TABLE IF EXISTS activity;
CREATE TABLE activity (
    project_id LowCardinality(String),
    is_bot Bool,
    known Bool,
    visitor UInt64 CODEC(ZSTD),
    user_hash UInt64 CODEC(ZSTD),
    -- Since 1970; the moments are milliseconds into it.
    hour UInt32 CODEC(T64, ZSTD),
    first_ms SimpleAggregateFunction(min, UInt32) CODEC(T64, ZSTD),
    last_ms SimpleAggregateFunction(max, UInt32) CODEC(T64, ZSTD)
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(greatest(
    toDateTime(hour * 3600, 'UTC'), toDateTime('2020-01-01 00:00:00', 'UTC')
))
ORDER BY (project_id, is_bot, known, visitor, hour, user_hash)
SETTINGS non_replicated_deduplication_window = 1000,
    fsync_after_insert = 1, fsync_part_directory = 1;

CREATE MATERIALIZED VIEW activity_mv TO activity AS
SELECT
    e.project_id AS project_id,
    e.is_bot AS is_bot,
    e.user_hash != 0 AS known,
    e.visitor AS visitor,
    e.user_hash AS user_hash,
    toUInt32(intDiv(toUnixTimestamp64Milli(e.timestamp), 3600000)) AS hour,
    toUInt32(min(toUnixTimestamp64Milli(e.timestamp) % 3600000)) AS first_ms,
    toUInt32(max(toUnixTimestamp64Milli(e.timestamp) % 3600000)) AS last_ms
FROM events AS e
GROUP BY e.project_id, e.is_bot, e.visitor, e.user_hash, hour;

INSERT INTO activity
SELECT
    project_id, is_bot, user_hash != 0, visitor, user_hash,
    intDiv(toUnixTimestamp64Milli(timestamp), 3600000) AS hour,
    min(toUnixTimestamp64Milli(timestamp) % 3600000),
    max(toUnixTimestamp64Milli(timestamp) % 3600000)
FROM events
GROUP BY project_id, is_bot, visitor, user_hash, hour;

DROP VIEW IF EXISTS observations_mv;
DROP TABLE IF EXISTS observations;
