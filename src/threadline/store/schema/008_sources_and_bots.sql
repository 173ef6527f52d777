-- More of what an ad's link says; which classifier named the source; and whether a bot did it.
ALTER TABLE events
    ADD COLUMN IF NOT EXISTS term LowCardinality(String),
    ADD COLUMN IF NOT EXISTS content LowCardinality(String),
    ADD COLUMN IF NOT EXISTS classifier_version LowCardinality(String),
    ADD COLUMN IF NOT EXISTS is_bot Bool
        DEFAULT device_type = 'bot' AND browser NOT IN ('', 'Python-urllib');

-- The states once more, with bots apart from people: questions leave them out unless asked. All is
-- made anew from the events.
DROP VIEW IF EXISTS links_mv;
DROP TABLE IF EXISTS links;
CREATE TABLE links (
    project_id LowCardinality(String),
    user_id String,
    visitor UInt64,
    is_bot Bool,
    anonymous_id SimpleAggregateFunction(any, String),
    first_seen SimpleAggregateFunction(min, DateTime64(3, 'UTC')),
    last_seen SimpleAggregateFunction(max, DateTime64(3, 'UTC')),
    user_hash UInt64 MATERIALIZED sipHash64('user', user_id) CODEC(ZSTD),
    INDEX by_visitor visitor TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = AggregatingMergeTree
ORDER BY (project_id, is_bot, user_id, visitor)
SETTINGS non_replicated_deduplication_window = 1000, index_granularity = 1024,
    fsync_after_insert = 1, fsync_part_directory = 1;

CREATE MATERIALIZED VIEW links_mv TO links AS
SELECT
    e.project_id AS project_id,
    assumeNotNull(e.user_id) AS user_id,
    e.visitor AS visitor,
    e.is_bot AS is_bot,
    any(e.anonymous_id) AS anonymous_id,
    min(e.timestamp) AS first_seen,
    max(e.timestamp) AS last_seen
FROM events AS e
WHERE e.user_id IS NOT NULL AND NOT e.anonymous_id_made
GROUP BY e.project_id, e.user_id, e.visitor, e.is_bot;

DROP VIEW IF EXISTS observations_mv;
DROP TABLE IF EXISTS observations;
CREATE TABLE observations (
    project_id LowCardinality(String),
    visitor UInt64 CODEC(ZSTD),
    timestamp DateTime64(3, 'UTC') CODEC(T64, ZSTD),
    user_id String CODEC(ZSTD),
    is_bot Bool
)
ENGINE = ReplacingMergeTree
ORDER BY (project_id, is_bot, visitor, timestamp, user_id)
SETTINGS non_replicated_deduplication_window = 1000,
    fsync_after_insert = 1, fsync_part_directory = 1;

CREATE MATERIALIZED VIEW observations_mv TO observations AS
SELECT
    e.project_id AS project_id,
    e.visitor AS visitor,
    e.timestamp AS timestamp,
    assumeNotNull(e.user_id) AS user_id,
    e.is_bot AS is_bot
FROM events AS e
WHERE e.user_id IS NOT NULL AND NOT e.anonymous_id_made
GROUP BY e.project_id, e.visitor, e.timestamp, e.user_id, e.is_bot;

DROP VIEW IF EXISTS visitor_touches_mv;
DROP TABLE IF EXISTS visitor_touches;
CREATE TABLE visitor_touches (
    project_id LowCardinality(String),
    visitor UInt64,
    is_bot Bool,
    first_touch SimpleAggregateFunction(min, Tuple(
        timestamp DateTime64(3, 'UTC'), event_id String, visitor UInt64,
        source String, medium String, campaign String
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
    min((
        e.timestamp, e.event_id, e.visitor,
        toString(e.source), toString(e.medium), toString(e.campaign)
    )) AS first_touch
FROM events AS e
WHERE e.user_id IS NULL
GROUP BY e.project_id, e.visitor, e.is_bot;

DROP VIEW IF EXISTS user_touches_mv;
DROP TABLE IF EXISTS user_touches;
CREATE TABLE user_touches (
    project_id LowCardinality(String),
    user_id String,
    is_bot Bool,
    first_touch SimpleAggregateFunction(min, Tuple(
        timestamp DateTime64(3, 'UTC'), event_id String, visitor UInt64,
        source String, medium String, campaign String
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
    min((
        e.timestamp, e.event_id, e.visitor,
        toString(e.source), toString(e.medium), toString(e.campaign)
    )) AS first_touch
FROM events AS e
WHERE e.user_id IS NOT NULL
GROUP BY e.project_id, e.user_id, e.is_bot;

INSERT INTO links (project_id, user_id, visitor, is_bot, anonymous_id, first_seen, last_seen)
SELECT project_id, assumeNotNull(user_id), visitor, is_bot,
    any(anonymous_id), min(timestamp), max(timestamp)
FROM events
WHERE user_id IS NOT NULL AND NOT anonymous_id_made
GROUP BY project_id, user_id, visitor, is_bot;

INSERT INTO observations
SELECT DISTINCT project_id, visitor, timestamp, assumeNotNull(user_id), is_bot
FROM events
WHERE user_id IS NOT NULL AND NOT anonymous_id_made;

INSERT INTO visitor_touches
SELECT project_id, visitor, is_bot, min((
    timestamp, event_id, visitor, toString(source), toString(medium), toString(campaign)
))
FROM events
WHERE user_id IS NULL
GROUP BY project_id, visitor, is_bot;

INSERT INTO user_touches
SELECT project_id, assumeNotNull(user_id), is_bot, min((
    timestamp, event_id, visitor, toString(source), toString(medium), toString(campaign)
))
FROM events
WHERE user_id IS NOT NULL
GROUP BY project_id, user_id, is_bot;
