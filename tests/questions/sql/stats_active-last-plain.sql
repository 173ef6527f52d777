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
), user_links AS (
    SELECT r.visitor AS visitor, r.user_id AS user_id, r.user_hash AS user_hash,
        r.anonymous_id AS anonymous_id, r.first_seen AS first_seen, r.last_seen AS last_seen
    FROM links AS r
    WHERE r.project_id = {project_id:String}
        AND NOT is_bot
), owners AS (
    SELECT visitor, argMax(user_hash, (last_seen, user_id)) AS person
    FROM user_links
    GROUP BY visitor
), person_events AS (
    SELECT if(o.person != 0, o.person, e.seen) AS person, o.person = 0 AND e.untagged AS is_nobodys,
        e.* EXCEPT (seen, untagged)
    FROM (
        SELECT if(r.user_hash = 0, r.visitor, r.user_hash) AS seen, r.user_hash = 0 AS untagged, r.* EXCEPT (visitor, user_hash)
        FROM considered AS r
    ) AS e
    LEFT ANY JOIN owners AS o ON o.visitor = e.seen
)
SELECT toTimeZone(toStartOfDay(p.timestamp, {tz:String}), 'UTC') AS bucket, uniqExact(p.person) AS value
FROM person_events AS p
GROUP BY bucket
ORDER BY bucket DESC, value DESC
LIMIT 1001;
