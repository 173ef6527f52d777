WITH counted_events AS (
    SELECT *, visitor, user_hash, traffic_source
    FROM events
    WHERE project_id = {project_id:String}
        AND NOT is_bot
), considered AS (
    SELECT e.visitor AS visitor, e.user_hash AS user_hash, e.timestamp AS timestamp,
        cityHash64(e.session_id) AS session,
        if(e.source != 'internal', e.traffic_source, 0) AS traffic_source
    FROM counted_events AS e
), person_events AS (
    SELECT if(r.user_hash = 0, r.visitor, transform(
            r.user_hash, {aliased_hashes:Array(UInt64)}, {person_hashes:Array(UInt64)}, r.user_hash
        )) AS person, r.* EXCEPT (visitor, user_hash)
    FROM considered AS r
), sessions AS (
    SELECT person, min(timestamp) AS started, max(timestamp) AS ended, count() AS events,
        minIf((timestamp, traffic_source), traffic_source != 0).2 AS traffic_source
    FROM person_events
    GROUP BY person, session
), named_sources AS (
    SELECT traffic_source, source, medium, campaign FROM traffic_sources WHERE project_id = {project_id:String}
    UNION ALL
    SELECT cityHash64('direct', 'direct', '') * 2 + 1, 'direct', 'direct', ''
    UNION ALL
    SELECT 0, 'internal', 'internal', ''
)
SELECT toTimeZone(toDateTime(toMonday(started, {tz:String}), {tz:String}), 'UTC') AS bucket, n.source AS source, 
    count() AS sessions, uniqExact(person) AS persons,
    avg(events) AS events_per_session,
    avg(dateDiff('millisecond', started, ended)) / 1000 AS mean_seconds,
    countIf(events = 1) / sessions AS bounce_share
FROM sessions AS s
LEFT ANY JOIN named_sources AS n ON n.traffic_source = s.traffic_source
GROUP BY bucket, source
ORDER BY bucket DESC, sessions DESC, source
LIMIT 101;
