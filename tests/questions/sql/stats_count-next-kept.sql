WITH counted_events AS (
    SELECT *, visitor, user_hash, traffic_source
    FROM events
    WHERE project_id = {project_id:String}
        AND NOT is_bot
), considered AS (
    SELECT e.visitor AS visitor, e.user_hash AS user_hash, e.timestamp AS timestamp,
        toTimeZone(toStartOfDay(e.timestamp, {tz:String}), 'UTC') AS bucket
    FROM counted_events AS e
)
SELECT p.bucket AS bucket, count() AS value
FROM considered AS p
GROUP BY bucket
ORDER BY bucket DESC, value DESC
LIMIT 1001;
