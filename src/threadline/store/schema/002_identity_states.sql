-- What identity questions need of the events, kept up to date as they arrive. All states are
-- minima, maxima or sets: adding an event twice changes nothing, and order does not matter.

-- Who was seen on which device: one row per pair, from events that carry both ids.
CREATE TABLE IF NOT EXISTS links (
    project_id LowCardinality(String),
    user_id String,
    visitor UInt64,
    anonymous_id SimpleAggregateFunction(any, String),
    first_seen SimpleAggregateFunction(min, DateTime64(3, 'UTC')),
    last_seen SimpleAggregateFunction(max, DateTime64(3, 'UTC')),
    INDEX by_visitor visitor TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = AggregatingMergeTree
ORDER BY (project_id, user_id, visitor)
SETTINGS non_replicated_deduplication_window = 1000, index_granularity = 1024;

CREATE MATERIALIZED VIEW IF NOT EXISTS links_mv TO links AS
SELECT
    e.project_id AS project_id,
    assumeNotNull(e.user_id) AS user_id,
    e.visitor AS visitor,
    any(e.anonymous_id) AS anonymous_id,
    min(e.timestamp) AS first_seen,
    max(e.timestamp) AS last_seen
FROM events AS e
WHERE e.user_id IS NOT NULL AND NOT e.anonymous_id_made
GROUP BY e.project_id, e.user_id, e.visitor;

-- A touch sorts by time and then event_id, so the smallest tuple is the first touch. `visitor`
-- says where the whole event lies.

-- The first event without a user, per device.
CREATE TABLE IF NOT EXISTS visitor_touches (
    project_id LowCardinality(String),
    visitor UInt64,
    first_touch SimpleAggregateFunction(min, Tuple(
        timestamp DateTime64(3, 'UTC'), event_id String, visitor UInt64,
        source String, medium String, campaign String
    ))
)
ENGINE = AggregatingMergeTree
ORDER BY (project_id, visitor)
SETTINGS non_replicated_deduplication_window = 1000;

CREATE MATERIALIZED VIEW IF NOT EXISTS visitor_touches_mv TO visitor_touches AS
SELECT
    e.project_id AS project_id,
    e.visitor AS visitor,
    min((
        e.timestamp, e.event_id, e.visitor,
        toString(e.source), toString(e.medium), toString(e.campaign)
    )) AS first_touch
FROM events AS e
WHERE e.user_id IS NULL
GROUP BY e.project_id, e.visitor;

-- The first event with the user on it; its time is since when the user is known.
CREATE TABLE IF NOT EXISTS user_touches (
    project_id LowCardinality(String),
    user_id String,
    first_touch SimpleAggregateFunction(min, Tuple(
        timestamp DateTime64(3, 'UTC'), event_id String, visitor UInt64,
        source String, medium String, campaign String
    ))
)
ENGINE = AggregatingMergeTree
ORDER BY (project_id, user_id)
SETTINGS non_replicated_deduplication_window = 1000, index_granularity = 1024;

CREATE MATERIALIZED VIEW IF NOT EXISTS user_touches_mv TO user_touches AS
SELECT
    e.project_id AS project_id,
    assumeNotNull(e.user_id) AS user_id,
    min((
        e.timestamp, e.event_id, e.visitor,
        toString(e.source), toString(e.medium), toString(e.campaign)
    )) AS first_touch
FROM events AS e
WHERE e.user_id IS NOT NULL
GROUP BY e.project_id, e.user_id;

-- Events from before these tables existed. An event counted twice changes no minimum.
INSERT INTO links
SELECT project_id, assumeNotNull(user_id), visitor, any(anonymous_id), min(timestamp), max(timestamp)
FROM events
WHERE user_id IS NOT NULL AND NOT anonymous_id_made
GROUP BY project_id, user_id, visitor;

INSERT INTO visitor_touches
SELECT project_id, visitor, min((
    timestamp, event_id, visitor, toString(source), toString(medium), toString(campaign)
))
FROM events
WHERE user_id IS NULL
GROUP BY project_id, visitor;

INSERT INTO user_touches
SELECT project_id, assumeNotNull(user_id), min((
    timestamp, event_id, visitor, toString(source), toString(medium), toString(campaign)
))
FROM events
WHERE user_id IS NOT NULL
GROUP BY project_id, user_id;
