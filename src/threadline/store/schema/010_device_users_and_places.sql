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

-- Where people come from as a number: it is carried through joins, sorted and grouped far faster than
-- three names. Odd where they come from nowhere in particular.
ALTER TABLE events ADD COLUMN IF NOT EXISTS place UInt64
    MATERIALIZED cityHash64(source, medium, campaign) * 2 + (source = 'direct') CODEC(ZSTD);
ALTER TABLE events MATERIALIZE COLUMN place;

CREATE TABLE IF NOT EXISTS places (
    project_id LowCardinality(String),
    place UInt64 DEFAULT cityHash64(source, medium, campaign) * 2 + (source = 'direct'),
    source String,
    medium String,
    campaign String
)
ENGINE = ReplacingMergeTree
ORDER BY (project_id, place)
SETTINGS non_replicated_deduplication_window = 1000,
    fsync_after_insert = 1, fsync_part_directory = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS places_mv TO places AS
SELECT
    e.project_id AS project_id,
    e.place AS place,
    toString(any(e.source)) AS source,
    toString(any(e.medium)) AS medium,
    toString(any(e.campaign)) AS campaign
FROM events AS e
GROUP BY e.project_id, e.place;

INSERT INTO places
SELECT project_id, place, any(source), any(medium), any(campaign)
FROM events
GROUP BY project_id, place;

-- First touches with the number.
DROP VIEW IF EXISTS visitor_touches_mv;
DROP TABLE IF EXISTS visitor_touches;
CREATE TABLE visitor_touches (
    project_id LowCardinality(String),
    visitor UInt64,
    is_bot Bool,
    first_touch SimpleAggregateFunction(min, Tuple(
        timestamp DateTime64(3, 'UTC'), event_id String, place UInt64
    ))
)
ENGINE = AggregatingMergeTree
ORDER BY (project_id, is_bot, visitor)
SETTINGS non_replicated_deduplication_window = 1000,
    fsync_after_insert = 1, fsync_part_directory = 1;

CREATE MATERIALIZED VIEW visitor_touches_mv TO visitor_touches AS
SELECT
    e.project_id AS project_id,
    e.visitor AS visitor,
    e.is_bot AS is_bot,
    min((e.timestamp, e.event_id, e.place)) AS first_touch
FROM events AS e
WHERE e.user_id IS NULL
GROUP BY e.project_id, e.visitor, e.is_bot;

INSERT INTO visitor_touches
SELECT project_id, visitor, is_bot, min((timestamp, event_id, place))
FROM events
WHERE user_id IS NULL
GROUP BY project_id, visitor, is_bot;

DROP VIEW IF EXISTS user_touches_mv;
DROP TABLE IF EXISTS user_touches;
CREATE TABLE user_touches (
    project_id LowCardinality(String),
    user_id String,
    is_bot Bool,
    first_touch SimpleAggregateFunction(min, Tuple(
        timestamp DateTime64(3, 'UTC'), event_id String, visitor UInt64, place UInt64
    ))
)
ENGINE = AggregatingMergeTree
ORDER BY (project_id, is_bot, user_id)
SETTINGS non_replicated_deduplication_window = 1000, index_granularity = 1024,
    fsync_after_insert = 1, fsync_part_directory = 1;

CREATE MATERIALIZED VIEW user_touches_mv TO user_touches AS
SELECT
    e.project_id AS project_id,
    assumeNotNull(e.user_id) AS user_id,
    e.is_bot AS is_bot,
    min((e.timestamp, e.event_id, e.visitor, e.place)) AS first_touch
FROM events AS e
WHERE e.user_id IS NOT NULL
GROUP BY e.project_id, e.user_id, e.is_bot;

INSERT INTO user_touches
SELECT project_id, assumeNotNull(user_id), is_bot, min((timestamp, event_id, visitor, place))
FROM events
WHERE user_id IS NOT NULL
GROUP BY project_id, user_id, is_bot;
