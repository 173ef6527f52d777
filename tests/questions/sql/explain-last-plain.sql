WITH counted_events AS (
    SELECT *, visitor, user_hash, traffic_source
    FROM events
    WHERE project_id = {project_id:String}
        AND NOT is_bot
), observed_events AS (
    SELECT r.visitor AS visitor, r.timestamp AS timestamp, assumeNotNull(r.user_id) AS user_id,
        r.user_hash AS user_hash, r.anonymous_id AS anonymous_id,
        r.event_id AS event_id, r.event_name AS event_name
    FROM counted_events AS r
    WHERE r.user_id IS NOT NULL AND NOT r.anonymous_id_generated
)
SELECT user_id AS person, timestamp, event_id, event_name AS event
FROM observed_events
WHERE visitor = sipHash64({anonymous_id:String}) AND TRUE
ORDER BY timestamp, person, event_id
LIMIT 1 BY person
LIMIT {most:UInt32};

WITH counted_events AS (
    SELECT *, visitor, user_hash, traffic_source
    FROM events
    WHERE project_id = {project_id:String}
        AND NOT is_bot
), observed_events AS (
    SELECT r.visitor AS visitor, r.timestamp AS timestamp, assumeNotNull(r.user_id) AS user_id,
        r.user_hash AS user_hash, r.anonymous_id AS anonymous_id,
        r.event_id AS event_id, r.event_name AS event_name
    FROM counted_events AS r
    WHERE r.user_id IS NOT NULL AND NOT r.anonymous_id_generated
)
SELECT user_id AS person, timestamp, event_id, event_name AS event
FROM observed_events
WHERE visitor = sipHash64({anonymous_id:String}) AND timestamp >= {at:DateTime64(3, 'UTC')}
ORDER BY timestamp, person, event_id
LIMIT 1 BY person
LIMIT {most:UInt32};

WITH counted_events AS (
    SELECT *, visitor, user_hash, traffic_source
    FROM events
    WHERE project_id = {project_id:String}
        AND NOT is_bot
), observed_events AS (
    SELECT r.visitor AS visitor, r.timestamp AS timestamp, assumeNotNull(r.user_id) AS user_id,
        r.user_hash AS user_hash, r.anonymous_id AS anonymous_id,
        r.event_id AS event_id, r.event_name AS event_name
    FROM counted_events AS r
    WHERE r.user_id IS NOT NULL AND NOT r.anonymous_id_generated
)
SELECT user_id AS person, timestamp, event_id, event_name AS event
FROM observed_events
WHERE visitor = sipHash64({anonymous_id:String}) AND TRUE
ORDER BY timestamp DESC, person DESC, event_id
LIMIT 1 BY person
LIMIT {most:UInt32};
