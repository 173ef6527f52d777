SELECT is_alias, count() AS decisions, max(decided_at) AS newest
FROM (
    SELECT TRUE AS is_alias, decided_at FROM aliases WHERE project_id = {project_id:String}
    UNION ALL
    SELECT FALSE AS is_alias, decided_at FROM unlinks WHERE project_id = {project_id:String}
)
GROUP BY is_alias
ORDER BY is_alias;

WITH counted_events AS (
    SELECT *, visitor, user_hash, traffic_source
    FROM events
    WHERE project_id = {project_id:String}
        AND NOT is_bot
), considered AS (
    SELECT e.visitor AS visitor, e.user_hash AS user_hash, e.timestamp AS timestamp,
        toTimeZone(toDateTime(toMonday(e.timestamp, {tz:String}), {tz:String}), 'UTC') AS bucket,
        toString(e.event_name) AS event_name
    FROM counted_events AS e
    WHERE e.timestamp >= {from_:DateTime64(3, 'UTC')}
        AND e.timestamp < {to:DateTime64(3, 'UTC')}
)
SELECT p.bucket AS bucket, p.event_name AS event_name, count() AS value
FROM considered AS p
GROUP BY bucket, event_name
ORDER BY bucket DESC, value DESC, event_name
LIMIT 50001;
