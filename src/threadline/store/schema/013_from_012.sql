-- Each statement is written down once it is done, so after a kill the next one begins, or the same
-- one again: each bears that. This file stays as it is, whatever becomes of the schema.

-- First, so that from here on an older Threadline that uses the same server inserts nothing past
-- the views. Only small parts are written anew; of the others, files get another name.
ALTER TABLE events
    RENAME COLUMN IF EXISTS anonymous_id_made TO anonymous_id_generated,
    RENAME COLUMN IF EXISTS place TO traffic_source;

-- The views that follow the events are made anew at the end, from their definitions.
DROP VIEW IF EXISTS links_mv;
DROP VIEW IF EXISTS device_users_mv;
DROP VIEW IF EXISTS activity_mv;
DROP VIEW IF EXISTS visitor_touches_mv;
DROP VIEW IF EXISTS user_touches_mv;
DROP VIEW IF EXISTS places_mv;

-- A name in a tuple or in a sorting key cannot be changed. The tables are copied row by row, which
-- takes no memory to speak of; adding a row twice changes nothing.
CREATE TABLE IF NOT EXISTS visitor_touches_13 (
    project_id LowCardinality(String),
    visitor UInt64,
    is_bot Bool,
    first_touch SimpleAggregateFunction(min, Tuple(
        timestamp DateTime64(3, 'UTC'), event_id String, traffic_source UInt64
    ))
)
ENGINE = AggregatingMergeTree
ORDER BY (project_id, is_bot, visitor)
SETTINGS non_replicated_deduplication_window = 1000,
    fsync_after_insert = 1, fsync_part_directory = 1;
INSERT INTO visitor_touches_13 SELECT project_id, visitor, is_bot,
    (first_touch.timestamp, first_touch.event_id, first_touch.place)
FROM visitor_touches;
DROP TABLE IF EXISTS visitor_touches SYNC;
RENAME TABLE IF EXISTS visitor_touches_13 TO visitor_touches;

CREATE TABLE IF NOT EXISTS user_touches_13 (
    project_id LowCardinality(String),
    user_id String,
    is_bot Bool,
    first_touch SimpleAggregateFunction(min, Tuple(
        timestamp DateTime64(3, 'UTC'), event_id String, visitor UInt64, traffic_source UInt64
    ))
)
ENGINE = AggregatingMergeTree
ORDER BY (project_id, is_bot, user_id)
SETTINGS non_replicated_deduplication_window = 1000,
    fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 1024;
INSERT INTO user_touches_13 SELECT project_id, user_id, is_bot,
    (first_touch.timestamp, first_touch.event_id, first_touch.visitor, first_touch.place)
FROM user_touches;
DROP TABLE IF EXISTS user_touches SYNC;
RENAME TABLE IF EXISTS user_touches_13 TO user_touches;

CREATE TABLE IF NOT EXISTS traffic_sources (
    project_id LowCardinality(String),
    traffic_source UInt64
        DEFAULT cityHash64(source, medium, campaign) * 2 + (source = 'direct'),
    source SimpleAggregateFunction(any, String),
    medium SimpleAggregateFunction(any, String),
    campaign SimpleAggregateFunction(any, String)
)
ENGINE = AggregatingMergeTree
ORDER BY (project_id, traffic_source)
SETTINGS non_replicated_deduplication_window = 1000,
    fsync_after_insert = 1, fsync_part_directory = 1;
INSERT INTO traffic_sources SELECT project_id, place, source, medium, campaign FROM places;
DROP TABLE IF EXISTS places SYNC;

-- A rebuild of it that was interrupted is one of the table's new name.
INSERT INTO unfinished_work (run, name, subject, reach, done)
SELECT run, name, 'traffic_sources', reach, max(done)
FROM unfinished_work WHERE subject = 'places'
GROUP BY run, name, reach;
INSERT INTO unfinished_work (run, name, subject, reach, done)
SELECT run, name, subject, reach, TRUE
FROM unfinished_work WHERE subject = 'places'
GROUP BY run, name, subject, reach;

ALTER TABLE unfinished_work MODIFY SETTING non_replicated_deduplication_window = 1000;
