WITH stretches AS (
    SELECT visitor, known, user_hash, half_hour, page, first, last, events, page_views, actions,
        touches,
        fromUnixTimestamp64Milli(toInt64(half_hour) * 1800000 + intDiv(first.at, 2), 'UTC')
            AS began,
        fromUnixTimestamp64Milli(toInt64(half_hour) * 1800000 + last.at, 'UTC') AS ended
    FROM half_hours
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
        FROM stretches
        WHERE half_hour >= intDiv(toUnixTimestamp64Milli({from_:DateTime64(3, 'UTC')}), 1800000)
            AND NOT ((toTimeZone(toStartOfDay(began, {tz:String}), 'UTC') != toTimeZone(toStartOfDay(ended, {tz:String}), 'UTC')))
        UNION ALL
        SELECT visitor, user_hash, timestamp, user_hash != 0 AS known
        FROM counted_events AS e
        WHERE (e.visitor, intDiv(toUnixTimestamp64Milli(e.timestamp), 1800000)) IN (
            SELECT visitor, half_hour
            FROM stretches
            WHERE half_hour >= intDiv(toUnixTimestamp64Milli({from_:DateTime64(3, 'UTC')}), 1800000)
                AND ((toTimeZone(toStartOfDay(began, {tz:String}), 'UTC') != toTimeZone(toStartOfDay(ended, {tz:String}), 'UTC')))
        )
    )
    WHERE timestamp >= {from_:DateTime64(3, 'UTC')}
), person_events AS (
    SELECT if(e.owner = 0, e.seen, e.owner) AS person, e.owner = 0 AND e.untagged AS is_nobodys,
        e.* EXCEPT (seen, owner, untagged)
    FROM (
        SELECT if(r.user_hash = 0, r.visitor, r.user_hash) AS seen, dictGet({devices:String}, 'first', seen) AS owner, r.user_hash = 0 AS untagged,
            r.* EXCEPT (visitor, user_hash)
        FROM considered AS r
    ) AS e
)
SELECT toTimeZone(toStartOfDay(p.timestamp, {tz:String}), 'UTC') AS bucket, uniqExact(p.person) AS value
FROM person_events AS p
GROUP BY bucket
ORDER BY bucket DESC, value DESC
LIMIT 1001;
