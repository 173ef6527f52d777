WITH hours AS (
    SELECT visitor, known, user_hash, hour,
        fromUnixTimestamp64Milli(toInt64(hour) * 3600000 + first_ms, 'UTC') AS began,
        fromUnixTimestamp64Milli(toInt64(hour) * 3600000 + last_ms, 'UTC') AS ended
    FROM activity
    WHERE project_id = {project_id:String}
        AND NOT is_bot
), counted_events AS (
    SELECT *, visitor, user_hash, traffic_source
    FROM events
    WHERE project_id = {project_id:String}
        AND NOT is_bot
), considered AS (
    SELECT *
    FROM (
        SELECT visitor, user_hash, ended AS timestamp, known
        FROM hours
        WHERE hour >= intDiv(toUnixTimestamp64Milli({from_:DateTime64(3, 'UTC')}), 3600000)
            AND NOT ((began < {from_:DateTime64(3, 'UTC')} AND ended >= {from_:DateTime64(3, 'UTC')}) OR (toTimeZone(toStartOfDay(began, {tz:String}), 'UTC') != toTimeZone(toStartOfDay(ended, {tz:String}), 'UTC')))
        UNION ALL
        SELECT visitor, user_hash, timestamp, user_hash != 0 AS known
        FROM counted_events
        WHERE (visitor, intDiv(toUnixTimestamp64Milli(timestamp), 3600000)) IN (
            SELECT visitor, hour
            FROM hours
            WHERE hour >= intDiv(toUnixTimestamp64Milli({from_:DateTime64(3, 'UTC')}), 3600000)
                AND ((began < {from_:DateTime64(3, 'UTC')} AND ended >= {from_:DateTime64(3, 'UTC')}) OR (toTimeZone(toStartOfDay(began, {tz:String}), 'UTC') != toTimeZone(toStartOfDay(ended, {tz:String}), 'UTC')))
        )
    )
    WHERE timestamp >= {from_:DateTime64(3, 'UTC')}
), person_events AS (
    SELECT if(r.user_hash = 0, r.visitor, r.user_hash) AS person, r.* EXCEPT (visitor, user_hash)
    FROM considered AS r
)
SELECT toTimeZone(toStartOfDay(timestamp, {tz:String}), 'UTC') AS bucket, uniqExact(person) AS value
FROM person_events
GROUP BY bucket
ORDER BY bucket DESC, value DESC
LIMIT 101;
